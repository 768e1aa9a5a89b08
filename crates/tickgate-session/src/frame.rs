//! Builds data frames, WebSocket header included, in one reused buffer.

use crate::cache::Shared;
use tickgate_protocol::{
    definition::Definition,
    dialect::{Dialect, FrameMark},
    entry::Entry,
};
use tungstenite::protocol::frame::{
    FrameHeader,
    coding::{Data, OpCode},
};

/// Room before the payload for the longest header a frame of at most 65,535 bytes needs.
const HEADER_ROOM: usize = 4;
/// What [`Dialect::finish_frame`] may still append.
const TRAILER_ROOM: usize = 2;

/// The frame being formed.
#[derive(Debug)]
pub(crate) struct FrameBuilder {
    bytes: Vec<u8>,
    mark: Option<FrameMark>,
    count: usize,
    dialect: Dialect,
    /// What the byte budget leaves, in WebSocket bytes.
    soft_limit: usize,
    /// What no frame exceeds, in WebSocket bytes.
    hard_limit: usize,
}

/// A point in a frame to go back to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Checkpoint {
    length: usize,
    count: usize,
}

impl FrameBuilder {
    pub(crate) fn new(hard_limit: usize) -> Self {
        Self {
            bytes: Vec::with_capacity(hard_limit * 2),
            mark: None,
            count: 0,
            dialect: Dialect::MessagePack,
            soft_limit: hard_limit,
            hard_limit,
        }
    }

    /// Starts over. `budget` cuts the frame, down to one entry.
    pub(crate) fn begin(
        &mut self,
        dialect: Dialect,
        sequence: u64,
        sent_at_us: i64,
        budget: Option<usize>,
    ) {
        self.bytes.clear();
        self.bytes.resize(HEADER_ROOM, 0);
        self.count = 0;
        self.dialect = dialect;
        self.soft_limit = budget.map_or(self.hard_limit, |bytes| bytes.min(self.hard_limit));
        self.mark = Some(dialect.begin_frame(&mut self.bytes, sequence, sent_at_us));
    }

    pub(crate) fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// Entries so far.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    pub(crate) fn checkpoint(&self) -> Checkpoint {
        Checkpoint { length: self.bytes.len(), count: self.count }
    }

    /// Appends an entry and returns its bytes.
    pub(crate) fn entry(&mut self, entry: &Entry, definition: Option<&Definition>) -> &[u8] {
        let start = self.bytes.len();
        self.dialect.write_entry(&mut self.bytes, entry, definition);
        self.count += 1;
        &self.bytes[start..]
    }

    /// Appends an entry that was encoded for another frame of this dialect, if the frame may be
    /// that long.
    #[inline]
    pub(crate) fn copy(&mut self, entry: &Shared<'_>) -> bool {
        let end = self.bytes.len() + entry.length;
        if end + TRAILER_ROOM > self.limit(self.count) {
            return false;
        }
        self.bytes.extend_from_slice(entry.padded);
        self.bytes.truncate(end);
        self.count += 1;
        true
    }

    /// Appends the bytes of an entry that was encoded for another frame of this dialect; to be kept
    /// or taken back like one that was written.
    pub(crate) fn append(&mut self, entry: &[u8]) {
        self.bytes.extend_from_slice(entry);
        self.count += 1;
    }

    /// Takes back what came after `checkpoint`.
    pub(crate) fn undo(&mut self, checkpoint: Checkpoint) {
        self.bytes.truncate(checkpoint.length);
        self.count = checkpoint.count;
    }

    /// Keeps what came after `checkpoint` if the frame may be that long, else takes it back.
    /// The first entry is kept over the byte budget, never over the frame limit.
    pub(crate) fn keep(&mut self, checkpoint: Checkpoint) -> bool {
        if self.bytes.len() + TRAILER_ROOM <= self.limit(checkpoint.count) {
            return true;
        }
        self.undo(checkpoint);
        false
    }

    /// How long it may become with an entry that comes after `count` others.
    fn limit(&self, count: usize) -> usize {
        if count == 0 { self.hard_limit } else { self.soft_limit }
    }

    /// Completes the frame and returns it with its WebSocket header.
    pub(crate) fn finish(&mut self, cause: u8) -> &[u8] {
        if let Some(mark) = self.mark.take() {
            self.dialect.finish_frame(&mut self.bytes, mark, cause, self.count);
        }
        let opcode = OpCode::Data(if self.dialect.is_text() { Data::Text } else { Data::Binary });
        let header = FrameHeader { opcode, ..FrameHeader::default() };
        let length = (self.bytes.len() - HEADER_ROOM) as u64;
        let start = HEADER_ROOM - header.len(length);
        header
            .format(length, &mut &mut self.bytes[start..HEADER_ROOM])
            .expect("the header of a frame of at most 65,535 bytes fits its room");
        &self.bytes[start..]
    }
}

/// Appends `payload` as one whole WebSocket message.
pub(crate) fn write_message(out: &mut Vec<u8>, text: bool, payload: &[u8]) {
    let opcode = OpCode::Data(if text { Data::Text } else { Data::Binary });
    FrameHeader { opcode, ..FrameHeader::default() }
        .format(payload.len() as u64, out)
        .expect("writing to memory cannot fail");
    out.extend_from_slice(payload);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::ENTRY_LIMIT_BYTES;

    /// A frame of that budget with one entry in it.
    fn begun(budget: usize) -> FrameBuilder {
        let mut frame = FrameBuilder::new(2_048);
        frame.begin(Dialect::MessagePack, 1, 0, Some(budget));
        let start = frame.checkpoint();
        frame.entry(&Entry::Epoch { epoch: 7 }, None);
        assert!(frame.keep(start), "the first is kept over the budget");
        frame
    }

    #[test]
    fn an_entry_is_copied_just_where_it_would_be_kept_if_it_were_encoded() {
        let second = Entry::Epoch { epoch: 1_700_000_000 };
        let mut encoded = begun(1_000);
        let bytes = encoded.entry(&second, None).to_vec();
        let mut padded = [0; ENTRY_LIMIT_BYTES];
        padded[..bytes.len()].copy_from_slice(&bytes);
        let mut kept = 0;
        for budget in 0..200 {
            let mut frame = begun(budget);
            let start = frame.checkpoint();
            frame.entry(&second, None);
            let fits = frame.keep(start);
            let encoded = frame.finish(0).to_vec();
            let mut frame = begun(budget);
            let shared = Shared { sequence: 0, padded: &padded, length: bytes.len() };
            assert_eq!(frame.copy(&shared), fits, "budget {budget}");
            assert_eq!(frame.finish(0), encoded, "budget {budget}");
            kept += usize::from(fits);
        }
        assert!((1..200).contains(&kept), "{kept} of 200");
    }
}
