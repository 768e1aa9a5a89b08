//! Which symbols there are: storage by index, and the directory by name. Filled by feeds alone; a
//! client can look a name up, but never make the hub keep one.

use std::{
    collections::BTreeMap,
    ops::Bound,
    sync::{Arc, OnceLock},
};

use tickgate_protocol::{
    instrument::Instrument,
    symbol::{SymbolIndex, WireId},
};

use crate::{
    symbol::SymbolState,
    sync::{AtomicU64, Ordering},
};

/// Symbols by index: lock-free to read, allocated a chunk at a time as symbols are listed.
#[derive(Debug)]
pub(crate) struct Symbols {
    chunks: Box<[OnceLock<Box<[SymbolState]>>]>,
    /// Symbols ready to be read.
    count: AtomicU64,
}

/// Symbols allocated at once.
pub(crate) const CHUNK: usize = 1_024;

impl Symbols {
    pub(crate) fn new(limit: usize) -> Self {
        let chunks = (0..limit.div_ceil(CHUNK)).map(|_| OnceLock::new()).collect();
        Self { chunks, count: AtomicU64::new(0) }
    }

    pub(crate) fn count(&self) -> usize {
        self.count.load(Ordering::Acquire) as usize
    }

    /// `None` for an index not listed.
    pub(crate) fn get(&self, position: usize) -> Option<&SymbolState> {
        if position >= self.count() {
            return None;
        }
        self.chunks[position / CHUNK].get()?.get(position % CHUNK)
    }

    /// Makes the next symbol visible, after `prepare` has given it its definition. The caller holds
    /// the directory's write lock and stays within the limit.
    pub(crate) fn push(&self, prepare: impl FnOnce(&SymbolState)) {
        let position = self.count();
        let chunk = self.chunks[position / CHUNK]
            .get_or_init(|| (0..CHUNK).map(|_| SymbolState::new()).collect());
        prepare(&chunk[position % CHUNK]);
        // Release: whoever sees the count sees the symbol ready.
        self.count.store(position as u64 + 1, Ordering::Release);
    }
}

/// A symbol in the directory. Words are kept here, once for all of its definitions: nothing that
/// happens to a symbol needs them.
#[derive(Debug, Clone)]
pub(crate) struct Listed {
    pub(crate) index: SymbolIndex,
    /// `None` where its listings knew none.
    pub(crate) instrument: Option<Arc<Instrument>>,
}

/// Symbols by name.
#[derive(Debug, Default)]
pub(crate) struct Directory {
    names: BTreeMap<Arc<str>, Listed>,
    /// The id of the next definition: dense from 0, never reused.
    next_id: WireId,
}

impl Directory {
    /// The id that the next definition will have.
    pub(crate) fn next_id(&self) -> WireId {
        self.next_id
    }

    /// Allots it. The configuration's limits keep ids below 2^32.
    pub(crate) fn take_id(&mut self) -> WireId {
        let id = self.next_id;
        self.next_id += 1;
        id
    }

    pub(crate) fn find(&self, name: &str) -> Option<SymbolIndex> {
        self.names.get(name).map(|listed| listed.index)
    }

    /// Takes a symbol in, or of one that is in what a newer listing knows.
    pub(crate) fn insert(&mut self, name: &str, index: SymbolIndex, instrument: Instrument) {
        let shared = |words: Instrument| (!words.is_unknown()).then(|| Arc::new(words));
        match self.names.get_mut(name) {
            Some(listed) => {
                let known = listed.instrument.as_deref().cloned().unwrap_or_default();
                listed.instrument = shared(instrument.or(known));
            }
            None => {
                let instrument = shared(instrument);
                self.names.insert(name.into(), Listed { index, instrument });
            }
        }
    }

    /// Up to `limit` symbols in order of name, with `prefix` and strictly after `after`; true when
    /// there are more.
    pub(crate) fn page(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> (Vec<Listed>, bool) {
        let from = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        let mut matching = self
            .names
            .range::<str, _>((from, Bound::Unbounded))
            .take_while(|(name, _)| name.starts_with(prefix))
            .map(|(_, listed)| listed.clone());
        let page = matching.by_ref().take(limit).collect();
        (page, matching.next().is_some())
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn pages_cover_every_match_once_and_in_order() {
        let mut directory = Directory::default();
        for (index, name) in ["B", "AB", "A", "AC", "ABC", "C"].into_iter().enumerate() {
            directory.insert(name, SymbolIndex(index as u32), Instrument::default());
        }
        let page = |prefix, after, limit| {
            let (page, more) = directory.page(prefix, after, limit);
            (page.into_iter().map(|listed| listed.index.0).collect::<Vec<_>>(), more)
        };
        assert_eq!(page("", None, 10), (vec![2, 1, 4, 3, 0, 5], false));
        assert_eq!(page("A", None, 2), (vec![2, 1], true));
        assert_eq!(page("A", Some("AB"), 2), (vec![4, 3], false));
        assert_eq!(page("A", Some("0"), 1), (vec![2], true));
        assert_eq!(page("A", Some("Z"), 1), (vec![], false));
        assert_eq!(page("B", Some("A"), 9), (vec![0], false));
        assert_eq!(page("X", None, 1), (vec![], false));
        assert_eq!(page("", None, 0), (vec![], true));
    }
}
