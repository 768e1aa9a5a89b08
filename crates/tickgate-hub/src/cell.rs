//! A seqlock in safe Rust: a few words that one writer replaces and anybody reads, whole.
//!
//! The version word is `version << 1 | writing`. Why no reader ever returns a torn mix:
//!
//! - The writer stores the odd version, then each word with `Release`. A reader that loads a word
//!   of a later write with `Acquire` therefore sees that write's odd version, or a later one, when
//!   it checks the version again, and discards what it read.
//! - The even version is stored last with `Release`. A reader that loads it with `Acquire` sees all
//!   words of that write, so it cannot return older ones either.
//!
//! The writer never waits. A reader gives up after [`TRIES`]: the writer may have been preempted
//! mid-write, and spinning would burn the core it needs to go on.

use std::array;

use crate::sync::{AtomicU64, Ordering};

/// How often a read is tried before it is [`Busy`].
const TRIES: usize = 4;

/// A read was given up because the writer was mid-write at each of four tries: stay due, count it
/// and come back later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Busy;

/// `WORDS` words that change together; all zero at version 0.
///
/// Writes must come from one writer at a time; here the holder of a shard's lock.
#[derive(Debug)]
pub(crate) struct Cell<const WORDS: usize> {
    version: AtomicU64,
    words: [AtomicU64; WORDS],
}

/// What [`Cell::read_version`] found instead of the version asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Other {
    /// A later version, complete or in the making.
    Newer,
    /// An earlier one, or the one asked for is still being written.
    Older,
}

impl<const WORDS: usize> Cell<WORDS> {
    pub(crate) fn new() -> Self {
        Self { version: AtomicU64::new(0), words: array::from_fn(|_| AtomicU64::new(0)) }
    }

    /// The last version and its words.
    ///
    /// # Errors
    /// [`Busy`] when a writer was in the middle at each try.
    pub(crate) fn read(&self) -> Result<(u64, [u64; WORDS]), Busy> {
        (0..TRIES).find_map(|_| self.try_read()).ok_or(Busy)
    }

    /// The words of exactly `version`, or on which side of it the cell is.
    ///
    /// Needs no second try: once `version` was complete, only a newer one can disturb the read.
    pub(crate) fn read_version(&self, version: u64) -> Result<[u64; WORDS], Other> {
        let before = self.version.load(Ordering::Acquire);
        if before >> 1 > version {
            return Err(Other::Newer);
        }
        if before != version << 1 {
            return Err(Other::Older);
        }
        let words = self.load_words(Ordering::Acquire);
        let after = self.version.load(Ordering::Relaxed);
        if after == before { Ok(words) } else { Err(Other::Newer) }
    }

    /// The newest complete version, for a cell whose versions rise by one: cheap, one load.
    pub(crate) fn version(&self) -> u64 {
        let stamp = self.version.load(Ordering::Acquire);
        (stamp >> 1) - (stamp & 1)
    }

    /// One word by itself.
    pub(crate) fn word(&self, index: usize) -> u64 {
        self.words[index].load(Ordering::Acquire)
    }

    /// What the writer itself wrote last; for the writer only, whose lock orders these loads.
    pub(crate) fn own(&self) -> (u64, [u64; WORDS]) {
        (self.version.load(Ordering::Relaxed) >> 1, self.load_words(Ordering::Relaxed))
    }

    /// Replaces all words; `version` must be above every earlier one, or a reader could take the
    /// old and the new for the same.
    pub(crate) fn write(&self, version: u64, words: &[u64; WORDS]) {
        debug_assert!(version > self.version.load(Ordering::Relaxed) >> 1, "versions rise");
        self.announce(version);
        for (slot, word) in self.words.iter().zip(words) {
            slot.store(*word, Ordering::Release);
        }
        self.version.store(version << 1, Ordering::Release);
    }

    /// The words are being replaced by those of `version`.
    fn announce(&self, version: u64) {
        self.version.store(version << 1 | 1, Ordering::Relaxed);
    }

    fn try_read(&self) -> Option<(u64, [u64; WORDS])> {
        let before = self.version.load(Ordering::Acquire);
        if before & 1 == 1 {
            return None;
        }
        let words = self.load_words(Ordering::Acquire);
        // Relaxed is enough: the Acquire loads above already order this one after them, and after
        // the odd version of whatever write they saw.
        let after = self.version.load(Ordering::Relaxed);
        (after == before).then_some((before >> 1, words))
    }

    fn load_words(&self, ordering: Ordering) -> [u64; WORDS] {
        array::from_fn(|i| self.words[i].load(ordering))
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::{sync::Barrier, thread};

    use super::*;

    #[test]
    fn the_last_write_is_read_back_with_its_version() {
        let cell = Cell::<3>::new();
        assert_eq!(cell.read(), Ok((0, [0; 3])));
        cell.write(1, &[1, 2, 3]);
        cell.write(2, &[4, 5, 6]);
        assert_eq!(cell.read(), Ok((2, [4, 5, 6])));
        assert_eq!(cell.own(), (2, [4, 5, 6]));
        assert_eq!((cell.version(), cell.word(1)), (2, 5));
    }

    #[test]
    fn a_read_of_one_version_never_answers_with_another() {
        let cell = Cell::<1>::new();
        assert_eq!(cell.read_version(5), Err(Other::Older));
        cell.write(5, &[50]);
        assert_eq!(cell.read_version(5), Ok([50]));
        assert_eq!(cell.read_version(4), Err(Other::Newer));
        assert_eq!(cell.read_version(6), Err(Other::Older));
    }

    #[test]
    fn a_reader_gives_up_while_a_write_is_unfinished() {
        let cell = Cell::<1>::new();
        cell.write(1, &[10]);
        cell.announce(2);
        assert_eq!(cell.read(), Err(Busy));
        assert_eq!(cell.version(), 1, "the unfinished version is not announced");
        assert_eq!(cell.read_version(2), Err(Other::Older));
        assert_eq!(cell.read_version(1), Err(Other::Newer));
    }

    #[test]
    fn concurrent_readers_see_whole_values_that_rise() {
        const WRITES: u64 = 50_000;
        let (cell, start) = (Cell::<9>::new(), Barrier::new(2));
        thread::scope(|scope| {
            scope.spawn(|| {
                start.wait();
                for version in 1..=WRITES {
                    cell.write(version, &[version; 9]);
                }
            });
            start.wait();
            let mut last = 0;
            for _ in 0..WRITES {
                if let Ok((version, words)) = cell.read() {
                    assert_eq!(words, [version; 9], "torn");
                    assert!(version >= last, "went back from {last} to {version}");
                    last = version;
                }
            }
        });
        assert_eq!(cell.read(), Ok((WRITES, [WRITES; 9])));
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use loom::{sync::Arc, thread};

    use super::*;

    #[test]
    fn loom_a_read_is_never_torn_and_never_goes_back() {
        loom::model(|| {
            let cell = Arc::new(Cell::<2>::new());
            let writer = {
                let cell = Arc::clone(&cell);
                thread::spawn(move || {
                    cell.write(1, &[11, 21]);
                    cell.write(2, &[12, 22]);
                })
            };
            let announced = cell.version();
            if let Some((version, words)) = cell.try_read() {
                let expected = [[0, 0], [11, 21], [12, 22]][version as usize];
                assert_eq!(words, expected);
                assert!(version >= announced);
            }
            writer.join().unwrap();
            assert_eq!(cell.read(), Ok((2, [12, 22])));
        });
    }

    #[test]
    fn loom_a_version_is_read_exactly_or_refused() {
        loom::model(|| {
            let cell = Arc::new(Cell::<2>::new());
            cell.write(1, &[11, 21]);
            let writer = {
                let cell = Arc::clone(&cell);
                thread::spawn(move || cell.write(3, &[13, 23]))
            };
            match cell.read_version(1) {
                Ok(words) => assert_eq!(words, [11, 21]),
                Err(other) => assert_eq!(other, Other::Newer),
            }
            if let Ok(words) = cell.read_version(3) {
                assert_eq!(words, [13, 23]);
            }
            writer.join().unwrap();
            assert_eq!(cell.read_version(3), Ok([13, 23]));
        });
    }
}
