//! Which symbols changed since a worker last looked: one bit each, so bounded and deduplicated.
//!
//! Two levels: bit `b` of word `w` is symbol `64 × w + b`, and a summary bit per word, so that a
//! worker finds a few dirty symbols among many without reading all words.
//!
//! Why no change is ever lost. A writer publishes the value, then sets the symbol's bit, then the
//! summary bit. A worker swaps a summary word to zero, then the words it named, then reads values.
//!
//! - If the worker's swap of the word finds the bit, it synchronises with the `fetch_or` that set
//!   it (`AcqRel` on both sides) and then reads that value or a newer one.
//! - If it comes too early to find the bit, the writer sets the summary bit afterwards, hence after
//!   the worker's swap of the summary: the next drain finds it.
//! - A bit may be taken before its summary bit is set; then a later drain finds an empty word,
//!   which it skips.
//!
//! In the other order (summary first) a worker could take the summary bit, find the word still
//! empty, and never look again.

use crate::sync::{AtomicU64, Ordering};

/// The dirty symbols of one worker.
#[derive(Debug)]
pub(crate) struct DirtyBits {
    words: Box<[AtomicU64]>,
    summary: Box<[AtomicU64]>,
}

impl DirtyBits {
    /// Clean bits for symbols `0..symbols`.
    pub(crate) fn new(symbols: usize) -> Self {
        let zeros = |count| (0..count).map(|_| AtomicU64::new(0)).collect();
        Self { words: zeros(words(symbols)), summary: zeros(words(words(symbols))) }
    }

    /// Bytes both levels take.
    pub(crate) const fn memory_bytes(symbols: usize) -> usize {
        (words(symbols) + words(words(symbols))) * size_of::<AtomicU64>()
    }

    /// Marks what a batch touched: one `fetch_or` per word, not per tick.
    pub(crate) fn mark(&self, touched: &Touched) {
        for (position, named) in touched.summary.iter().enumerate() {
            if *named == 0 {
                continue;
            }
            for bit in ones(*named) {
                let word = position * 64 + bit;
                self.words[word].fetch_or(touched.words[word], Ordering::AcqRel);
            }
            self.summary[position].fetch_or(*named, Ordering::AcqRel);
        }
    }

    /// Takes all bits; calls `visit(word, bits)` for each word that has some.
    pub(crate) fn drain(&self, mut visit: impl FnMut(usize, u64)) {
        for (position, summary) in self.summary.iter().enumerate() {
            for bit in ones(summary.swap(0, Ordering::AcqRel)) {
                let word = position * 64 + bit;
                let bits = self.words[word].swap(0, Ordering::AcqRel);
                if bits != 0 {
                    visit(word, bits);
                }
            }
        }
    }
}

/// What one batch touched, gathered by its publisher before any worker hears of it. Same shape as
/// [`DirtyBits`], without atomics.
#[derive(Debug)]
pub(crate) struct Touched {
    words: Box<[u64]>,
    summary: Box<[u64]>,
    any: bool,
}

impl Touched {
    /// Nothing of symbols `0..symbols`.
    pub(crate) fn new(symbols: usize) -> Self {
        Self {
            words: vec![0; words(symbols)].into(),
            summary: vec![0; words(words(symbols))].into(),
            any: false,
        }
    }

    pub(crate) fn insert(&mut self, symbol: usize) {
        let word = symbol / 64;
        self.words[word] |= 1 << (symbol % 64);
        self.summary[word / 64] |= 1 << (word % 64);
        self.any = true;
    }

    pub(crate) fn is_empty(&self) -> bool {
        !self.any
    }

    /// Takes each symbol out, and puts it back where `stays` says so. Costs what is in it.
    pub(crate) fn retain(&mut self, mut stays: impl FnMut(usize) -> bool) {
        self.any = false;
        for (position, summary) in self.summary.iter_mut().enumerate() {
            for bit in ones(*summary) {
                let word = position * 64 + bit;
                for symbol in ones(self.words[word]) {
                    if !stays(word * 64 + symbol) {
                        self.words[word] &= !(1 << symbol);
                    }
                }
                if self.words[word] == 0 {
                    *summary &= !(1 << bit);
                }
            }
            self.any |= *summary != 0;
        }
    }

    /// Costs what was touched, not what there is.
    pub(crate) fn clear(&mut self) {
        for (position, summary) in self.summary.iter_mut().enumerate() {
            for bit in ones(std::mem::take(summary)) {
                self.words[position * 64 + bit] = 0;
            }
        }
        self.any = false;
    }
}

/// Words that hold one bit for each of `bits`.
const fn words(bits: usize) -> usize {
    bits.div_ceil(64)
}

/// Positions of the set bits, ascending.
fn ones(mut word: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        (word != 0).then(|| {
            let bit = word.trailing_zeros() as usize;
            word &= word - 1;
            bit
        })
    })
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::{
        collections::BTreeSet,
        sync::atomic::{AtomicBool, AtomicU64 as Value},
        thread,
    };

    use super::*;

    fn drained(dirty: &DirtyBits) -> Vec<usize> {
        let mut symbols = Vec::new();
        dirty.drain(|word, bits| symbols.extend(ones(bits).map(|bit| word * 64 + bit)));
        symbols
    }

    #[test]
    fn each_touched_symbol_is_drained_once() {
        let (dirty, mut touched) = (DirtyBits::new(10_000), Touched::new(10_000));
        for symbol in [9_999, 0, 63, 64, 4_095, 4_096, 63] {
            touched.insert(symbol);
        }
        dirty.mark(&touched);
        dirty.mark(&touched);
        assert_eq!(drained(&dirty), [0, 63, 64, 4_095, 4_096, 9_999]);
        assert_eq!(drained(&dirty), [0; 0]);
        touched.clear();
        assert!(touched.is_empty());
        dirty.mark(&touched);
        assert_eq!(drained(&dirty), [0; 0]);
        // Nothing is left of the batch before beside what the next one touches.
        for symbol in [1, 65, 4_097, 9_998] {
            touched.insert(symbol);
        }
        dirty.mark(&touched);
        assert_eq!(drained(&dirty), [1, 65, 4_097, 9_998]);
    }

    #[test]
    fn what_stays_is_visited_again_and_the_others_are_not() {
        let mut touched = Touched::new(10_000);
        let symbols = [0, 63, 64, 4_095, 4_096, 9_999];
        for symbol in symbols {
            touched.insert(symbol);
        }
        let mut visited = |stays: fn(usize) -> bool| {
            let mut visited = Vec::new();
            touched.retain(|symbol| {
                visited.push(symbol);
                stays(symbol)
            });
            (visited, touched.is_empty())
        };
        assert_eq!(visited(|symbol| symbol % 2 == 1), (symbols.to_vec(), false));
        assert_eq!(visited(|_| false), (vec![63, 4_095, 9_999], true));
        assert_eq!(visited(|_| true), (vec![], true));
    }

    #[test]
    fn a_drain_under_way_never_loses_a_symbol() {
        const SYMBOLS: usize = 300;
        const ROUNDS: u64 = 2_000;
        let dirty = DirtyBits::new(SYMBOLS);
        let values: Vec<Value> = (0..SYMBOLS).map(|_| Value::new(0)).collect();
        let (done, mut seen) = (AtomicBool::new(false), vec![0; SYMBOLS]);
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut touched = Touched::new(SYMBOLS);
                for round in 1..=ROUNDS {
                    let batch: BTreeSet<usize> =
                        (0..7).map(|i| (round as usize * 31 + i * 97) % SYMBOLS).collect();
                    for symbol in batch {
                        values[symbol].store(round, Ordering::Relaxed);
                        touched.insert(symbol);
                    }
                    dirty.mark(&touched);
                    touched.clear();
                }
                done.store(true, Ordering::Release);
            });
            loop {
                // Loaded first: a drain that begins after the last mark finds everything left.
                let last = done.load(Ordering::Acquire);
                for symbol in drained(&dirty) {
                    seen[symbol] = values[symbol].load(Ordering::Relaxed);
                }
                if last {
                    break;
                }
            }
        });
        let expected: Vec<u64> = values.iter().map(|v| v.load(Ordering::Relaxed)).collect();
        assert_eq!(seen, expected);
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use loom::{sync::Arc, thread};

    use super::*;

    /// One change alone: with the summary bit set first, a drain in between would lose it.
    #[test]
    fn loom_a_single_change_is_drained_and_its_value_seen() {
        drain_beside_a_writer(1);
    }

    /// Two changes: the second comes while the bit of the first is there, or being taken.
    #[test]
    fn loom_every_change_is_drained_and_its_value_seen() {
        drain_beside_a_writer(2);
    }

    fn drain_beside_a_writer(changes: u64) {
        loom::model(move || {
            let shared = Arc::new((DirtyBits::new(1), AtomicU64::new(0)));
            let writer = {
                let shared = Arc::clone(&shared);
                thread::spawn(move || {
                    let mut touched = Touched::new(1);
                    touched.insert(0);
                    for value in 1..=changes {
                        shared.1.store(value, Ordering::Relaxed);
                        shared.0.mark(&touched);
                    }
                })
            };
            let mut seen = 0;
            let mut look = || {
                shared.0.drain(|_, _| {
                    let value = shared.1.load(Ordering::Relaxed);
                    assert!(value >= 1, "the bit came before its value");
                    seen = value;
                });
            };
            look();
            writer.join().unwrap();
            look();
            assert_eq!(seen, changes);
        });
    }
}
