//! A fixed ring of numbered records: the newest `capacity` of them, each read exactly or not at all.
//!
//! Each slot is a [`Cell`] whose version is the sequence of the record in it, so a reader that asks
//! for one sequence cannot be given another's data, nor a mix. When full, the oldest record is
//! overwritten: the writer never waits for a reader. A reader that comes too late is told
//! [`RingRead::Lapped`], from which the engine declares and counts the loss.

use crate::cell::{Cell, Other};

/// The newest `capacity` records; `WORDS` words each.
#[derive(Debug)]
pub(crate) struct Ring<const WORDS: usize> {
    slots: Box<[Cell<WORDS>]>,
}

/// What a ring has at a sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RingRead<const WORDS: usize> {
    /// The record.
    Words([u64; WORDS]),
    /// Overwritten, or being overwritten.
    Lapped,
    /// Not written yet.
    NotYet,
}

impl<const WORDS: usize> Ring<WORDS> {
    /// Bytes of one record.
    pub(crate) const SLOT_BYTES: usize = size_of::<Cell<WORDS>>();

    /// An empty ring; `capacity` is a power of two, which the configuration's check ensures.
    pub(crate) fn new(capacity: usize) -> Self {
        debug_assert!(capacity.is_power_of_two(), "positions are taken by a mask");
        Self { slots: (0..capacity).map(|_| Cell::new()).collect() }
    }

    pub(crate) fn capacity(&self) -> usize {
        self.slots.len()
    }

    /// Sequences begin at 1, so 0 is always lapped.
    pub(crate) fn read(&self, sequence: u64) -> RingRead<WORDS> {
        if sequence == 0 {
            return RingRead::Lapped;
        }
        match self.slot(sequence).read_version(sequence) {
            Ok(words) => RingRead::Words(words),
            Err(Other::Newer) => RingRead::Lapped,
            Err(Other::Older) => RingRead::NotYet,
        }
    }

    /// Writes the record of `sequence`, over the one `capacity` before it. One writer at a time.
    pub(crate) fn write(&self, sequence: u64, words: &[u64; WORDS]) {
        self.slot(sequence).write(sequence, words);
    }

    fn slot(&self, sequence: u64) -> &Cell<WORDS> {
        // Truncation keeps the low bits, which are all a power-of-two capacity looks at.
        &self.slots[sequence as usize & (self.slots.len() - 1)]
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_newest_records_are_exact_and_older_ones_lapped() {
        let ring = Ring::<2>::new(4);
        assert_eq!(ring.read(0), RingRead::Lapped);
        assert_eq!(ring.read(1), RingRead::NotYet);
        for sequence in 1..=10 {
            ring.write(sequence, &[sequence, sequence * 10]);
        }
        for sequence in 1..=6 {
            assert_eq!(ring.read(sequence), RingRead::Lapped, "{sequence}");
        }
        for sequence in 7..=10 {
            assert_eq!(ring.read(sequence), RingRead::Words([sequence, sequence * 10]));
        }
        assert_eq!(ring.read(11), RingRead::NotYet);
        assert_eq!(ring.read(u64::MAX >> 1), RingRead::NotYet);
    }

    #[test]
    fn a_ring_of_one_holds_the_newest() {
        let ring = Ring::<1>::new(1);
        ring.write(1, &[1]);
        ring.write(2, &[2]);
        assert_eq!((ring.read(1), ring.read(2)), (RingRead::Lapped, RingRead::Words([2])));
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use loom::{sync::Arc, thread};

    use super::*;
    use crate::sync::{AtomicU64, Ordering};

    #[test]
    fn loom_what_the_head_announces_is_there_or_lapped() {
        loom::model(|| {
            let ring = Arc::new((Ring::<1>::new(1), AtomicU64::new(0)));
            let writer = {
                let ring = Arc::clone(&ring);
                thread::spawn(move || {
                    for sequence in 1..=2 {
                        ring.0.write(sequence, &[sequence * 10]);
                        ring.1.store(sequence, Ordering::Release);
                    }
                })
            };
            let head = ring.1.load(Ordering::Acquire);
            if head > 0 {
                match ring.0.read(head) {
                    RingRead::Words(words) => assert_eq!(words, [head * 10]),
                    RingRead::Lapped => assert_eq!(head, 1, "nothing follows 2"),
                    RingRead::NotYet => panic!("{head} was announced"),
                }
            }
            writer.join().unwrap();
            assert_eq!(ring.0.read(2), RingRead::Words([20]));
        });
    }
}
