//! A symbol's trades and corrections in order, never conflated.
//!
//! A ring of [`crate::HubConfig::tape_capacity`] records; when full, the oldest is overwritten and
//! whoever had not read it is told so. A record is published before the head that announces it.

use tickgate_protocol::{
    number::ABSENT,
    symbol::WireId,
    tick::{CorrectionKind, Trade},
};

use crate::{
    cell::{Busy, Cell},
    ring::{Ring, RingRead},
};

/// Where a tape stands: the last record's sequence and the session's figures at it, read together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TapeHead {
    /// Sequence of the newest record; 0 when there is none.
    pub sequence: u64,
    /// Volume of the trading session up to it, scaled by `id`.
    pub volume: i64,
    /// The definition the volume is scaled by.
    pub id: WireId,
}

/// What the tape has at a sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TapeRead {
    /// An execution.
    Trade {
        /// The definition its numbers are scaled by: the one in force when it was published.
        id: WireId,
        /// The venue's time: nanoseconds since the Unix epoch, UTC; [`ABSENT`] where it gave none.
        event_time_ns: i64,
        /// The trade.
        trade: Trade,
    },
    /// A trade was cancelled or corrected.
    Correction {
        /// The definition its numbers are scaled by: the one in force when it was published.
        id: WireId,
        /// The venue's time: nanoseconds since the Unix epoch, UTC; [`ABSENT`] where it gave none.
        event_time_ns: i64,
        /// Tape sequence of the trade; [`ABSENT`] when it was no longer on the tape.
        corrects: i64,
        /// What happened to it.
        what: CorrectionKind,
        /// The price that holds now; [`ABSENT`] for a cancel.
        price: i64,
        /// The size that holds now; [`ABSENT`] for a cancel.
        size: i64,
    },
    /// Overwritten, or being overwritten.
    Lapped,
    /// Above the head.
    NotYet,
}

/// Words of a record: event time, price, size, trade id or `corrects`, and id | kind | flags.
const WORDS: usize = 5;

/// The ring of one symbol, allocated at its first trade.
pub(crate) type Tape = Ring<WORDS>;

/// In the kind's byte: a trade; a correction has its [`CorrectionKind`].
const TRADE: u8 = 0;

/// One record, as it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TapeRecord {
    pub(crate) id: WireId,
    pub(crate) event_time_ns: i64,
    pub(crate) body: TapeBody,
    /// The lengths of bars that a trade was folded into, a bit each ([`crate::bars::LENGTHS_S`]); 0 of
    /// a correction.
    pub(crate) in_bars: u8,
}

/// What a record says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TapeBody {
    Trade(Trade),
    Correction { corrects: i64, what: CorrectionKind, price: i64, size: i64 },
}

impl TapeRecord {
    pub(crate) fn encode(&self) -> [u64; WORDS] {
        let (price, size, reference, kind, flags) = match self.body {
            TapeBody::Trade(trade) => (trade.price, trade.size, trade.trade_id, TRADE, trade.flags),
            TapeBody::Correction { corrects, what, price, size } => {
                (price, size, corrects, what as u8, 0)
            }
        };
        let packed = u64::from(self.id)
            | u64::from(kind) << 32
            | u64::from(flags) << 40
            | u64::from(self.in_bars) << 48;
        [self.event_time_ns as u64, price as u64, size as u64, reference as u64, packed]
    }

    fn decode(words: [u64; WORDS]) -> Self {
        let [event_time_ns, price, size, reference, packed] = words;
        let (price, size, reference) = (price as i64, size as i64, reference as i64);
        let correction = |what| TapeBody::Correction { corrects: reference, what, price, size };
        let body = match (packed >> 32) as u8 {
            TRADE => {
                let flags = (packed >> 40) as u8;
                TapeBody::Trade(Trade { price, size, flags, trade_id: reference })
            }
            kind if kind == CorrectionKind::Cancel as u8 => correction(CorrectionKind::Cancel),
            _ => correction(CorrectionKind::Correct),
        };
        let (id, in_bars) = (packed as u32, (packed >> 48) as u8);
        Self { id, event_time_ns: event_time_ns as i64, body, in_bars }
    }
}

impl From<RingRead<WORDS>> for TapeRead {
    fn from(read: RingRead<WORDS>) -> Self {
        let words = match read {
            RingRead::Words(words) => words,
            RingRead::Lapped => return Self::Lapped,
            RingRead::NotYet => return Self::NotYet,
        };
        let TapeRecord { id, event_time_ns, body, .. } = TapeRecord::decode(words);
        match body {
            TapeBody::Trade(trade) => Self::Trade { id, event_time_ns, trade },
            TapeBody::Correction { corrects, what, price, size } => {
                Self::Correction { id, event_time_ns, corrects, what, price, size }
            }
        }
    }
}

/// A trade found on the tape, as it stands after the corrections that followed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FoundTrade {
    pub(crate) sequence: u64,
    /// The definition `price` and `size` are scaled by.
    pub(crate) id: WireId,
    /// When it happened, as it was published.
    pub(crate) event_time_ns: i64,
    /// Bits of [`tickgate_protocol::entry::trade_flag`].
    pub(crate) flags: u8,
    /// The lengths of bars that it is in, a bit each.
    pub(crate) in_bars: u8,
    /// The price that holds now; of no meaning when it was cancelled.
    pub(crate) price: i64,
    /// The size that holds now; [`ABSENT`] when it was cancelled.
    pub(crate) size: i64,
}

/// The record of a sequence, as the writer reads it.
pub(crate) fn record(tape: &Tape, sequence: u64) -> Option<TapeRecord> {
    match tape.read(sequence) {
        RingRead::Words(words) => Some(TapeRecord::decode(words)),
        RingRead::Lapped | RingRead::NotYet => None,
    }
}

/// Looks for the trade with `trade_id` among `oldest..=head`, newest first, then for corrections
/// of it. For the writer only, for whom nothing is lapped on the way. Costs at most two passes over
/// the ring, for an event that is rare.
pub(crate) fn find_trade(tape: &Tape, trade_id: i64, oldest: u64, head: u64) -> Option<FoundTrade> {
    if trade_id == ABSENT {
        return None;
    }
    let mut found = (oldest..=head).rev().find_map(|sequence| match record(tape, sequence)? {
        TapeRecord { id, event_time_ns, body: TapeBody::Trade(trade), in_bars }
            if trade.trade_id == trade_id =>
        {
            let Trade { price, size, flags, .. } = trade;
            Some(FoundTrade { sequence, id, event_time_ns, flags, in_bars, price, size })
        }
        _ => None,
    })?;
    for later in (found.sequence + 1..=head).filter_map(|sequence| record(tape, sequence)) {
        if let TapeBody::Correction { corrects, what, price, size } = later.body
            && corrects as u64 == found.sequence
            && found.size != ABSENT
        {
            (found.id, found.price) = (later.id, price);
            found.size = if what == CorrectionKind::Cancel { ABSENT } else { size };
        }
    }
    Some(found)
}

/// The published [`TapeHead`].
///
/// Its version counts writes, not sequences: a new epoch and a new definition restate the volume
/// at the same sequence.
#[derive(Debug)]
pub(crate) struct HeadCell(Cell<3>);

impl HeadCell {
    pub(crate) fn new() -> Self {
        Self(Cell::new())
    }

    /// The head's sequence by itself: one load, ordered after the record it announces.
    pub(crate) fn sequence(&self) -> u64 {
        self.0.word(0)
    }

    /// The published head; `id` stands in while nothing was written.
    pub(crate) fn read(&self, id: WireId) -> Result<TapeHead, Busy> {
        self.0.read().map(|read| decode_head(read, id))
    }

    /// For the writer: its own last head.
    pub(crate) fn own(&self, id: WireId) -> TapeHead {
        decode_head(self.0.own(), id)
    }

    /// For the writer: publishes a head.
    pub(crate) fn write(&self, head: TapeHead) {
        let (version, _) = self.0.own();
        self.0.write(version + 1, &[head.sequence, head.volume as u64, u64::from(head.id)]);
    }
}

fn decode_head((version, words): (u64, [u64; 3]), id: WireId) -> TapeHead {
    let [sequence, volume, own_id] = words;
    let id = if version == 0 { id } else { own_id as u32 };
    TapeHead { sequence, volume: volume as i64, id }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn trade(trade_id: i64, size: i64) -> TapeRecord {
        let trade = Trade { price: -5, size, flags: 9, trade_id };
        let body = TapeBody::Trade(trade);
        TapeRecord { id: 3, event_time_ns: ABSENT, body, in_bars: 0b1010 }
    }

    fn correction(corrects: i64, what: CorrectionKind, size: i64) -> TapeRecord {
        let body = TapeBody::Correction { corrects, what, price: ABSENT, size };
        TapeRecord { id: u32::MAX, event_time_ns: 7, body, in_bars: 0 }
    }

    #[test]
    fn records_survive_the_packing() {
        for record in [
            trade(ABSENT, 4),
            correction(8, CorrectionKind::Correct, 2),
            correction(ABSENT, CorrectionKind::Cancel, ABSENT),
        ] {
            assert_eq!(TapeRecord::decode(record.encode()), record);
        }
    }

    #[test]
    fn a_trade_is_found_as_its_corrections_left_it() {
        let tape = Tape::new(8);
        let records = [
            trade(100, 4),
            trade(101, 5),
            correction(1, CorrectionKind::Correct, 3),
            correction(2, CorrectionKind::Cancel, ABSENT),
            correction(2, CorrectionKind::Correct, 9),
        ];
        for (sequence, record) in (1..).zip(&records) {
            tape.write(sequence, &record.encode());
        }
        let found = |id, oldest| find_trade(&tape, id, oldest, 5).map(|f| (f.sequence, f.size));
        assert_eq!(found(100, 1), Some((1, 3)));
        assert_eq!(found(101, 1), Some((2, ABSENT)), "what was cancelled stays cancelled");
        assert_eq!(found(100, 2), None, "not before the oldest");
        assert_eq!(found(ABSENT, 1), None);
    }

    #[test]
    fn a_head_can_be_restated_at_its_sequence() {
        let head = HeadCell::new();
        assert_eq!(head.read(5), Ok(TapeHead { sequence: 0, volume: 0, id: 5 }));
        head.write(TapeHead { sequence: 4, volume: 10, id: 5 });
        head.write(TapeHead { sequence: 4, volume: 100, id: 6 });
        assert_eq!(head.read(0), Ok(TapeHead { sequence: 4, volume: 100, id: 6 }));
        assert_eq!(head.sequence(), 4);
    }
}
