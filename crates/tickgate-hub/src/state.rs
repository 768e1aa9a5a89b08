//! The last value of a channel and when each of its fields last changed.

use std::array;

use tickgate_protocol::{
    entry::{last_field, quote_field},
    number::ABSENT,
    symbol::WireId,
};

use crate::cell::{Busy, Cell};

/// A consistent read of a symbol's last quote or last-trade figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StateRecord<const N: usize> {
    /// The definition the values are scaled by.
    pub id: WireId,
    /// How many updates this state is the result of; 0 when there is none yet (all fields
    /// [`ABSENT`]).
    pub sequence: u64,
    /// The venue's time of the newest update: nanoseconds since the Unix epoch, UTC; [`ABSENT`]
    /// where it gave none.
    pub event_time_ns: i64,
    /// The fields, scaled, in wire order; [`ABSENT`] where there is no value.
    pub fields: [i64; N],
    /// Low 32 bits of the sequence at which each field last changed its value.
    pub changed: [u32; N],
}

impl<const N: usize> StateRecord<N> {
    /// No state yet.
    #[must_use]
    pub const fn empty(id: WireId) -> Self {
        Self { id, sequence: 0, event_time_ns: ABSENT, fields: [ABSENT; N], changed: [0; N] }
    }

    /// Mask of the fields that changed after `cursor` (a sequence of this channel); bit 0 is the
    /// first field. `None` when the cursor is 2^31 or more behind and the truncated sequences can
    /// no longer tell: send all.
    ///
    /// Never misses a change. A field that stood still for 2^32 − 2^31 updates or more may be
    /// reported as changed once more, which costs its bytes and nothing else.
    #[must_use]
    pub fn changed_since(&self, cursor: u64) -> Option<u8> {
        let behind = self.sequence.saturating_sub(cursor);
        if behind >= 1 << 31 {
            return None;
        }
        let fields = self.changed.iter().enumerate();
        Some(fields.fold(0, |mask, (field, changed)| {
            // How long ago it changed, in updates, modulo 2^32.
            let age = (self.sequence as u32).wrapping_sub(*changed);
            mask | (u8::from(u64::from(age) < behind) << field)
        }))
    }

    /// Takes the next sequence with `fields` as its values.
    pub(crate) fn advance(&mut self, event_time_ns: i64, fields: [i64; N]) {
        self.sequence += 1;
        self.event_time_ns = event_time_ns;
        for (field, value) in fields.into_iter().enumerate() {
            // A select, not a branch: which fields change is as good as random.
            let same = self.fields[field] == value;
            self.changed[field] = if same { self.changed[field] } else { self.sequence as u32 };
            self.fields[field] = value;
        }
    }
}

/// The published [`StateRecord`] of `N` fields in `WORDS` words: event time, fields, then two
/// 32-bit values to a word (the id, then when each field changed). Compact, since what a tick
/// costs is mostly cache misses.
#[derive(Debug)]
pub(crate) struct StateCell<const N: usize, const WORDS: usize>(Cell<WORDS>);

/// A quote: 80 bytes with its version.
pub(crate) type QuoteCell = StateCell<{ quote_field::COUNT }, { words(quote_field::COUNT) }>;
/// The last-trade figures: 120 bytes with their version.
pub(crate) type LastCell = StateCell<{ last_field::COUNT }, { words(last_field::COUNT) }>;

const fn words(fields: usize) -> usize {
    1 + fields + (1 + fields).div_ceil(2)
}

impl<const N: usize, const WORDS: usize> StateCell<N, WORDS> {
    pub(crate) fn new() -> Self {
        const { assert!(WORDS == words(N), "the words of these fields") };
        Self(Cell::new())
    }

    /// The newest published sequence: one load.
    pub(crate) fn sequence(&self) -> u64 {
        self.0.version()
    }

    /// The published record; `id` stands in while there is no state.
    pub(crate) fn read(&self, id: WireId) -> Result<StateRecord<N>, Busy> {
        self.0.read().map(|(sequence, words)| decode(sequence, &words, id))
    }

    /// For the writer: its own last record. The cell is the only copy, so that a tick touches half
    /// the cache lines it would with a private one beside it.
    pub(crate) fn own(&self, id: WireId) -> StateRecord<N> {
        let (sequence, words) = self.0.own();
        decode(sequence, &words, id)
    }

    /// For the writer: publishes `record`, whose sequence is above the last.
    pub(crate) fn write(&self, record: &StateRecord<N>) {
        self.0.write(record.sequence, &encode(record));
    }
}

fn encode<const N: usize, const WORDS: usize>(record: &StateRecord<N>) -> [u64; WORDS] {
    let mut words = [0; WORDS];
    words[0] = record.event_time_ns as u64;
    for (word, field) in words[1..=N].iter_mut().zip(record.fields) {
        *word = field as u64;
    }
    words[1 + N] = u64::from(record.id);
    for (field, changed) in record.changed.into_iter().enumerate() {
        let (word, shift) = changed_position::<N>(field);
        words[word] |= u64::from(changed) << shift;
    }
    words
}

fn decode<const N: usize, const WORDS: usize>(
    sequence: u64,
    words: &[u64; WORDS],
    id: WireId,
) -> StateRecord<N> {
    if sequence == 0 {
        return StateRecord::empty(id);
    }
    StateRecord {
        id: words[1 + N] as u32,
        sequence,
        event_time_ns: words[0] as i64,
        fields: array::from_fn(|field| words[1 + field] as i64),
        changed: array::from_fn(|field| {
            let (word, shift) = changed_position::<N>(field);
            (words[word] >> shift) as u32
        }),
    }
}

/// Word and shift of a field's change sequence; the id is half-word 0.
const fn changed_position<const N: usize>(field: usize) -> (usize, u32) {
    let half = field + 1;
    (1 + N + half / 2, if half % 2 == 1 { 32 } else { 0 })
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_record_survives_the_packing() {
        let record = StateRecord {
            id: u32::MAX,
            sequence: 9,
            event_time_ns: -1,
            fields: [ABSENT, -2, 0, 4, i64::MAX, 6, 7, 8],
            changed: [1, u32::MAX, 3, 4, 5, 6, 7, 0x8000_0001],
        };
        let cell = LastCell::new();
        assert_eq!(cell.read(7), Ok(StateRecord::empty(7)));
        cell.write(&record);
        assert_eq!(cell.read(7), Ok(record));
        assert_eq!(cell.own(7), record);
        assert_eq!((size_of::<QuoteCell>(), size_of::<LastCell>()), (80, 120));
    }

    #[test]
    fn only_fields_with_a_new_value_count_as_changed() {
        let mut record = StateRecord::<3>::empty(0);
        record.advance(1, [10, 20, ABSENT]);
        record.advance(2, [10, 21, ABSENT]);
        record.advance(3, [10, 21, 5]);
        assert_eq!(record.changed_since(0), Some(0b111));
        assert_eq!(record.changed_since(1), Some(0b110));
        assert_eq!(record.changed_since(2), Some(0b100));
        assert_eq!(record.changed_since(3), Some(0));
        assert_eq!(record.changed_since(4), Some(0), "a cursor ahead has nothing to learn");
    }

    #[test]
    fn changes_are_found_across_the_32_bit_wrap() {
        let mut record = StateRecord::<2>::empty(0);
        record.sequence = (1 << 32) - 2;
        record.advance(0, [1, 1]);
        record.advance(0, [2, 1]);
        record.advance(0, [3, 1]);
        assert_eq!(record.sequence, (1 << 32) + 1);
        assert_eq!(record.changed_since((1 << 32) - 2), Some(0b11));
        assert_eq!(record.changed_since((1 << 32) - 1), Some(0b01));
        assert_eq!(record.changed_since(1 << 32), Some(0b01));
        assert_eq!(record.changed_since((1 << 32) + 1), Some(0));
    }

    #[test]
    fn a_cursor_too_far_behind_is_told_so() {
        let mut record = StateRecord::<1>::empty(0);
        record.sequence = 1 << 40;
        record.advance(0, [1]);
        assert_eq!(record.changed_since(record.sequence - (1 << 31)), None);
        assert_eq!(record.changed_since(record.sequence - (1 << 31) + 1), Some(1));
        assert_eq!(record.changed_since(0), None);
    }
}
