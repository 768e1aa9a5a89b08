//! Tickgate's pub/sub core: what feeds publish, held so that any number of sessions can sample it.
//!
//! A tick touches one cell, perhaps a tape, and a bit per worker; never its subscribers. Nothing is
//! queued and nothing grows with time: [`HubConfig::memory_bytes`] is the most it will ever hold.
//! Knows no sockets. Read in this order:
//!
//! - `config`: how large a hub is;
//! - `sync`, `cell`, `ring`: words that change together, and numbered records of them;
//! - `state`, `tape`, `status`: what is kept in them of a symbol;
//! - `bar`, `series`, `bars`: what trades add up to, by interval;
//! - `symbol`, `directory`: one symbol, and all of them by index and by name;
//! - `dirty`, `doorbell`, `worker`: how readers learn what changed, and are woken;
//! - `refusal`, `scale`, `figures`, `held`, `session`, `clock`, `shard`, `publisher`, `stats`: a
//!   batch's way in.

mod bar;
mod bars;
mod cell;
mod clock;
mod config;
mod directory;
mod dirty;
mod doorbell;
mod figures;
mod held;
mod publisher;
mod refusal;
mod ring;
mod scale;
mod series;
mod session;
mod shard;
mod state;
mod stats;
mod status;
mod symbol;
mod sync;
mod tape;
mod worker;

use std::{fmt, sync::Arc};

use parking_lot::{Mutex, RwLock};
use tickgate_protocol::{
    definition::Definition,
    instrument::Instrument,
    number::ABSENT,
    symbol::SymbolIndex,
    tick::{Reason, Status},
};

pub use crate::{
    bars::{BarRecord, BarsSince},
    cell::Busy,
    config::{HubConfig, HubError},
    doorbell::Doorbell,
    publisher::Publisher,
    refusal::Refusal,
    state::StateRecord,
    stats::HubStats,
    status::{StatusRead, StatusRecord},
    symbol::{DEFINITION_LIMIT, SymbolState},
    tape::{TapeHead, TapeRead},
    worker::WorkerView,
};
use crate::{
    directory::{Directory, Listed, Symbols},
    shard::Shard,
    stats::Counters,
    sync::{AtomicU64, Ordering},
};

/// All symbols and their state.
///
/// Feeds write through a [`Publisher`] each; everybody else reads.
pub struct Hub {
    config: HubConfig,
    epoch: AtomicU64,
    symbols: Symbols,
    directory: RwLock<Directory>,
    shards: Box<[Mutex<Shard>]>,
    workers: Box<[WorkerView]>,
    feed: Mutex<StatusRecord>,
    counters: Counters,
}

/// What the directory tells of one symbol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectoryLine {
    /// As it is defined now.
    pub definition: Arc<Definition>,
    /// What it stands for; `None` where its feed says nothing of it.
    pub instrument: Option<Arc<Instrument>>,
}

impl Hub {
    /// Checks the configuration, then allocates the part that does not depend on what is listed.
    /// `epoch` is the first epoch; it should be above every epoch of an earlier run.
    ///
    /// # Errors
    /// [`HubError`] names the key, its value and the rule it broke.
    pub fn new(config: HubConfig, epoch: u64) -> Result<Arc<Self>, HubError> {
        config.check()?;
        let symbol_limit = config.symbol_limit;
        let shard = || Mutex::new(Shard::new(&config));
        Ok(Arc::new(Self {
            epoch: AtomicU64::new(epoch),
            symbols: Symbols::new(symbol_limit),
            directory: RwLock::default(),
            shards: (0..config.shards).map(|_| shard()).collect(),
            workers: (0..config.workers).map(|_| WorkerView::new(symbol_limit)).collect(),
            feed: Mutex::new(StatusRecord {
                sequence: 0,
                status: Status::Stale,
                reason: Reason::Silent,
                event_time_ns: ABSENT,
                after_trade: 0,
                session_date: 0,
            }),
            counters: Counters::default(),
            config,
        }))
    }

    /// Its sizes.
    #[must_use]
    pub fn config(&self) -> &HubConfig {
        &self.config
    }

    /// The way in for one feed, which keeps that feed's own numbering of symbols.
    #[must_use]
    pub fn publisher(self: &Arc<Self>) -> Publisher {
        Publisher::new(Arc::clone(self))
    }

    /// The epoch: an integer that rises when a feed begins anew. What is read after it is never
    /// older than it.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// Symbols listed so far; their indices are 0 up to this.
    #[must_use]
    pub fn symbol_count(&self) -> u32 {
        // Within the configured limit, which is far below 2^32.
        self.symbols.count() as u32
    }

    /// One symbol, without locks; `None` for an index not listed.
    #[must_use]
    pub fn symbol(&self, index: SymbolIndex) -> Option<&SymbolState> {
        self.symbols.get(index.position())
    }

    /// The symbol of that name.
    #[must_use]
    pub fn lookup(&self, name: &str) -> Option<SymbolIndex> {
        self.directory.read().find(name)
    }

    /// The symbols of these names, in their order; `None` for a name not listed.
    ///
    /// Takes the directory's lock once for some of them and never for long: a listing waits for 64
    /// look-ups at most.
    #[must_use]
    pub fn lookup_all<N: AsRef<str>>(&self, names: &[N]) -> Vec<Option<SymbolIndex>> {
        let mut found = Vec::with_capacity(names.len());
        for some in names.chunks(64) {
            let directory = self.directory.read();
            found.extend(some.iter().map(|name| directory.find(name.as_ref())));
        }
        found
    }

    /// A page of the directory in order of name: those with `prefix`, strictly after `after`, at
    /// most `limit`; and whether there are more. Holds off listings, not ticks, while it runs.
    #[must_use]
    pub fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> (Vec<DirectoryLine>, bool) {
        let (page, more) = self.directory.read().page(prefix, after, limit);
        let lines = page.into_iter().filter_map(|Listed { index, instrument }| {
            Some(DirectoryLine { definition: self.symbol(index)?.definition(), instrument })
        });
        (lines.collect(), more)
    }

    /// Liveness of the feed: stale and silent, with sequence 0, until a feed says otherwise.
    #[must_use]
    pub fn feed_status(&self) -> StatusRecord {
        *self.feed.lock()
    }

    /// Worker `index`'s dirty bits and doorbell.
    ///
    /// # Panics
    /// When `index` is not below [`HubConfig::workers`]: a defect of the caller, which starts them.
    #[must_use]
    pub fn worker(&self, index: usize) -> &WorkerView {
        &self.workers[index]
    }

    /// Figures since start. A batch under way is counted when it is done.
    #[must_use]
    pub fn stats(&self) -> HubStats {
        self.counters.stats(self.symbols.count(), self.epoch())
    }

    /// The shard that writes a name's symbol: FNV-1a, which spreads short names well and is the
    /// same in every run.
    fn shard_of(&self, name: &str) -> u16 {
        let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        // Fewer shards than 2^16 by the configuration's limits.
        (hash % self.shards.len() as u64) as u16
    }

    /// Release: whoever loads the new epoch sees everything that was written before.
    fn raise_epoch(&self) {
        self.epoch.fetch_add(1, Ordering::AcqRel);
    }
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut hub = f.debug_struct("Hub");
        hub.field("config", &self.config).field("epoch", &self.epoch());
        hub.field("symbols", &self.symbol_count()).finish_non_exhaustive()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_hub_keeps_its_sizes_and_spreads_symbols_over_all_its_shards() {
        let config = HubConfig { shards: 7, symbol_limit: 99, ..HubConfig::default() };
        let hub = Hub::new(config.clone(), 1).unwrap();
        assert_eq!(*hub.config(), config);
        let mut counts = [0; 7];
        for number in 0..700 {
            counts[usize::from(hub.shard_of(&format!("S{number}")))] += 1;
        }
        assert!(counts.iter().all(|count| (50..150).contains(count)), "{counts:?}");
        // Published figures of 64-bit FNV-1a (draft-eastlake-fnv): "" and "foobar".
        assert_eq!(u64::from(hub.shard_of("")), 0xcbf2_9ce4_8422_2325 % 7);
        assert_eq!(u64::from(hub.shard_of("foobar")), 0x8594_4171_f739_67e8 % 7);
    }
}
