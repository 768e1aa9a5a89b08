//! How many lines of a kind a second may have. What is held back is counted, and the count is told
//! with the first line of any kind in a later second.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

/// Lines held back since the start, by every log of the process.
static SUPPRESSED: AtomicU64 = AtomicU64::new(0);

/// Lines held back since the start.
pub(super) fn suppressed() -> u64 {
    SUPPRESSED.load(Relaxed)
}

/// Counts lines by kind. A kind is a place in the code, so there are as many as the code has.
#[derive(Debug)]
pub(super) struct Flood<K> {
    /// Lines of one kind in a second.
    limit: u32,
    second: u64,
    kinds: HashMap<K, Count>,
}

#[derive(Debug, Default)]
struct Count {
    /// This second.
    written: u32,
    held_back: u64,
}

/// What is to be done with a line.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Verdict<K> {
    pub(super) write: bool,
    /// Kinds of which lines were held back in an earlier second, with how many: to be told first.
    pub(super) held_back: Vec<(K, u64)>,
}

impl<K: Copy + Eq + Hash> Flood<K> {
    pub(super) fn new(limit: u32) -> Self {
        Self { limit, second: 0, kinds: HashMap::new() }
    }

    /// A line of `kind` comes in `second`, which may be of any clock. One that steps back begins a
    /// new second as well.
    pub(super) fn judge(&mut self, kind: K, second: u64) -> Verdict<K> {
        let mut held_back = Vec::new();
        if second != self.second {
            self.second = second;
            for (kind, count) in &mut self.kinds {
                if count.held_back > 0 {
                    held_back.push((*kind, count.held_back));
                }
                *count = Count::default();
            }
        }
        let count = self.kinds.entry(kind).or_default();
        let write = count.written < self.limit;
        if write {
            count.written += 1;
        } else {
            count.held_back += 1;
            SUPPRESSED.fetch_add(1, Relaxed);
        }
        Verdict { write, held_back }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_its_lines_and_what_is_held_back_is_told_once() {
        let mut flood = Flood::new(3);
        let written = |flood: &mut Flood<&'static str>, kind, second| {
            (0..10).filter(|_| flood.judge(kind, second).write).count()
        };
        let before = suppressed();
        assert_eq!(written(&mut flood, "a", 7), 3);
        assert_eq!(written(&mut flood, "b", 7), 3, "another kind has lines of its own");
        assert!(suppressed() >= before + 14);
        let Verdict { write, mut held_back } = flood.judge("c", 8);
        held_back.sort_unstable();
        assert!(write);
        assert_eq!(held_back, [("a", 7), ("b", 7)], "told by a line of any kind");
        assert_eq!(flood.judge("a", 8), Verdict { write: true, held_back: vec![] }, "told once");
        assert_eq!(written(&mut flood, "a", 6), 3, "a clock that steps back begins a second too");
    }
}
