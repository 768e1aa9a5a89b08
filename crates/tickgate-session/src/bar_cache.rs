//! Bars read and encoded once in a pass, for every session that stands at the same place.
//!
//! When an interval is over many symbols close at once, and every session that has them is sent all
//! of these: what was read from a cursor serves each session at that cursor, and an encoded bar each
//! session of its dialect.
//!
//! Capacity: one read and two slots (a closed bar, the one in progress) per symbol and length, and
//! [`BYTES_LIMIT`] of encoded bars per dialect. What comes beyond that is not shared: each session
//! encodes its own.

use tickgate_hub::{BarRecord, BarsSince, Busy};
use tickgate_protocol::{
    bar::BarInterval, dialect::Dialect, entry::bar_flag, number::ABSENT, symbol::WireId,
};

/// Most bytes of encoded bars of one dialect in a pass.
const BYTES_LIMIT: usize = 4 << 20;

const LENGTHS: usize = BarInterval::ALL.len();

/// Bars of one pass.
#[derive(Debug, Default)]
pub(crate) struct BarCache {
    pass: u32,
    /// Encoded bars are neither given nor taken.
    hidden: bool,
    reads: [Vec<Read>; LENGTHS],
    entries: [Entries; Dialect::ALL.len()],
}

/// What was read of a channel.
#[derive(Debug, Clone, Copy)]
struct Read {
    pass: u32,
    cursor: u64,
    /// The channel's then.
    sequence: u64,
    few: Few,
}

/// Encoded bars of one dialect.
#[derive(Debug, Default)]
struct Entries {
    /// By symbol: the last closed bar that was encoded, and the last one in progress.
    slots: [Vec<[Slot; 2]>; LENGTHS],
    bytes: Vec<u8>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    sequence: u64,
    pass: u32,
    id: WireId,
    start: u32,
    length: u32,
}

/// Two bars at most: one that was closed and the one that followed it, mostly.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Few {
    bars: [BarRecord; 2],
    count: u8,
}

/// The bars that changed behind a cursor, in the order of their sequences.
#[derive(Debug)]
pub(crate) enum BarsRead {
    /// As they are shared.
    Few(Few),
    /// As they are not.
    Many(Vec<BarRecord>),
}

/// What a look behind a cursor found.
#[derive(Debug)]
pub(crate) struct BarRead {
    pub(crate) bars: BarsRead,
    /// Others had left the ring.
    pub(crate) lost: bool,
}

const NO_BAR: BarRecord = BarRecord {
    id: 0,
    sequence: 0,
    start_s: 0,
    open: ABSENT,
    high: ABSENT,
    low: ABSENT,
    close: ABSENT,
    volume: 0,
    vwap: ABSENT,
    trade_count: 0,
    flags: 0,
};

impl BarsRead {
    fn new(bars: Vec<BarRecord>) -> Self {
        match bars[..] {
            [] => Self::Few(Few { bars: [NO_BAR; 2], count: 0 }),
            [one] => Self::Few(Few { bars: [one, NO_BAR], count: 1 }),
            [first, second] => Self::Few(Few { bars: [first, second], count: 2 }),
            _ => Self::Many(bars),
        }
    }

    pub(crate) fn as_slice(&self) -> &[BarRecord] {
        match self {
            Self::Few(few) => &few.bars[..few.count.into()],
            Self::Many(bars) => bars,
        }
    }
}

impl BarCache {
    /// Forgets everything: the time has moved on.
    pub(crate) fn next_pass(&mut self, pass: u32) {
        self.pass = pass;
        self.hidden = false;
        for entries in &mut self.entries {
            entries.bytes.clear();
        }
    }

    /// For one frame, or no longer: it encodes all its entries itself and leaves none for others.
    pub(crate) fn hide_entries(&mut self, hidden: bool) {
        self.hidden = hidden;
    }

    /// What changed behind `cursor`, as it was read before in this pass or as it is now. `newest`:
    /// the channel's sequence, where nothing older will do.
    pub(crate) fn get_or_read(
        &mut self,
        (symbol, interval): (u32, BarInterval),
        cursor: u64,
        newest: Option<u64>,
        read: impl FnOnce() -> Result<BarsSince, Busy>,
    ) -> Result<BarRead, Busy> {
        let reads = &mut self.reads[interval as usize];
        let at = symbol as usize;
        if let Some(known) = reads.get(at)
            && (known.pass, known.cursor) == (self.pass, cursor)
            && newest.is_none_or(|newest| newest == known.sequence)
        {
            return Ok(BarRead { bars: BarsRead::Few(known.few), lost: false });
        }
        let BarsSince { bars, sequence, lost } = read()?;
        let bars = BarsRead::new(bars);
        if let (BarsRead::Few(few), false) = (&bars, lost) {
            if reads.len() <= at {
                // Pass 0 is never in force, so these count as unread.
                let few = Few { bars: [NO_BAR; 2], count: 0 };
                reads.resize(at + 1, Read { pass: 0, cursor: 0, sequence: 0, few });
            }
            reads[at] = Read { pass: self.pass, cursor, sequence, few: *few };
        }
        Ok(BarRead { bars, lost })
    }

    /// The bar as another frame of this dialect and pass has it, at the scale of `id`.
    pub(crate) fn entry(
        &self,
        (dialect, symbol, interval): (Dialect, u32, BarInterval),
        id: WireId,
        bar: &BarRecord,
    ) -> Option<&[u8]> {
        let entries = &self.entries[dialect as usize];
        let slot = entries.slots[interval as usize].get(symbol as usize)?[place_of(bar)];
        let is_it = slot.pass == self.pass && slot.sequence == bar.sequence && slot.id == id;
        let range = slot.start as usize..slot.start as usize + slot.length as usize;
        entries.bytes.get(range).filter(|_| is_it && !self.hidden)
    }

    /// Remembers how a bar was encoded.
    pub(crate) fn put(
        &mut self,
        (dialect, symbol, interval): (Dialect, u32, BarInterval),
        id: WireId,
        bar: &BarRecord,
        entry: &[u8],
    ) {
        let Entries { slots, bytes } = &mut self.entries[dialect as usize];
        if self.hidden || bytes.len() + entry.len() > BYTES_LIMIT {
            return;
        }
        let (slots, at) = (&mut slots[interval as usize], symbol as usize);
        if slots.len() <= at {
            // Pass 0 is never in force, so these hold nothing.
            slots.resize(at + 1, [Slot::default(); 2]);
        }
        let (start, length) = (bytes.len() as u32, entry.len() as u32);
        bytes.extend_from_slice(entry);
        slots[at][place_of(bar)] =
            Slot { sequence: bar.sequence, pass: self.pass, id, start, length };
    }
}

fn place_of(bar: &BarRecord) -> usize {
    usize::from(bar.flags & bar_flag::CLOSED == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: BarInterval = BarInterval::Minute;

    fn bar(sequence: u64, flags: u8) -> BarRecord {
        BarRecord { sequence, flags, ..NO_BAR }
    }

    fn read(
        cache: &mut BarCache,
        cursor: u64,
        newest: Option<u64>,
        sequences: &[u64],
    ) -> (Vec<u64>, bool) {
        let mut was_read = false;
        let found = cache.get_or_read((3, MINUTE), cursor, newest, || {
            was_read = true;
            let bars = sequences.iter().map(|sequence| bar(*sequence, 1)).collect();
            Ok(BarsSince { bars, sequence: *sequences.last().unwrap_or(&cursor), lost: false })
        });
        let found = found.expect("it is not busy");
        (found.bars.as_slice().iter().map(|bar| bar.sequence).collect(), was_read)
    }

    #[test]
    fn what_was_read_serves_all_at_the_same_cursor_in_its_pass() {
        let mut cache = BarCache::default();
        cache.next_pass(1);
        assert_eq!(read(&mut cache, 5, None, &[6, 8]), (vec![6, 8], true));
        assert_eq!(read(&mut cache, 5, None, &[9]), (vec![6, 8], false));
        assert_eq!(read(&mut cache, 5, Some(8), &[9]), (vec![6, 8], false));
        assert_eq!(read(&mut cache, 5, Some(9), &[9]), (vec![9], true), "it is not the newest");
        assert_eq!(read(&mut cache, 6, None, &[9]), (vec![9], true), "another cursor");
        cache.next_pass(2);
        assert_eq!(read(&mut cache, 6, None, &[9]), (vec![9], true), "another pass");
        assert_eq!(read(&mut cache, 6, None, &[]), (vec![9], false));
    }

    #[test]
    fn what_is_long_or_has_a_hole_is_not_shared() {
        let mut cache = BarCache::default();
        cache.next_pass(1);
        assert_eq!(read(&mut cache, 5, None, &[6, 8, 9]), (vec![6, 8, 9], true));
        assert_eq!(read(&mut cache, 5, None, &[6, 8]), (vec![6, 8], true));
        let lost = || Ok(BarsSince { bars: vec![bar(7, 1)], sequence: 7, lost: true });
        for _ in 0..2 {
            let found = cache.get_or_read((3, MINUTE), 4, None, lost).expect("it is not busy");
            assert!(found.lost, "each reader is told of its own hole");
        }
        let busy = cache.get_or_read((3, MINUTE), 9, None, || Err(Busy));
        assert_eq!(busy.map(|_| ()), Err(Busy));
    }

    #[test]
    fn an_encoded_bar_is_shared_within_its_pass_for_its_sequence_dialect_and_definition() {
        let mut cache = BarCache::default();
        cache.next_pass(1);
        let key = (Dialect::MessagePack, 7, MINUTE);
        cache.put(key, 3, &bar(10, 1), b"closed");
        cache.put(key, 3, &bar(11, 0), b"open");
        assert_eq!(cache.entry(key, 3, &bar(10, 1)), Some(&b"closed"[..]));
        assert_eq!(cache.entry(key, 3, &bar(11, 0)), Some(&b"open"[..]));
        assert_eq!(cache.entry(key, 3, &bar(12, 1)), None, "another sequence");
        assert_eq!(cache.entry(key, 4, &bar(10, 1)), None, "another definition");
        assert_eq!(cache.entry((Dialect::Json, 7, MINUTE), 3, &bar(10, 1)), None);
        assert_eq!(cache.entry((key.0, 7, BarInterval::Day), 3, &bar(10, 1)), None);
        assert_eq!(cache.entry((key.0, 6, MINUTE), 3, &bar(10, 1)), None);
        cache.hide_entries(true);
        assert_eq!(cache.entry(key, 3, &bar(10, 1)), None);
        cache.put(key, 3, &bar(13, 1), b"hidden");
        cache.hide_entries(false);
        assert_eq!(cache.entry(key, 3, &bar(13, 1)), None);
        assert!(cache.entry(key, 3, &bar(10, 1)).is_some());
        cache.next_pass(2);
        assert_eq!(cache.entry(key, 3, &bar(10, 1)), None, "another pass");
    }

    #[test]
    fn the_sizes_are_those_of_the_formula() {
        assert_eq!((size_of::<Read>(), size_of::<[Slot; 2]>()), (192, 48));
    }

    #[test]
    fn encoded_bars_have_a_limit() {
        let mut cache = BarCache::default();
        cache.next_pass(1);
        let key = |symbol| (Dialect::Json, symbol, MINUTE);
        let half = vec![b'a'; BYTES_LIMIT / 2];
        for symbol in 0..3 {
            cache.put(key(symbol), 3, &bar(1, 1), &half);
        }
        assert!(cache.entry(key(1), 3, &bar(1, 1)).is_some());
        assert!(cache.entry(key(2), 3, &bar(1, 1)).is_none());
        cache.next_pass(2);
        cache.put(key(2), 3, &bar(1, 1), &half);
        assert!(cache.entry(key(2), 3, &bar(1, 1)).is_some(), "the next pass begins anew");
    }
}
