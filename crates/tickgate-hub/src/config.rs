//! How large a hub is, and how many bytes that can come to.

use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use tickgate_protocol::{
    definition::Definition,
    instrument::{CURRENCY_LIMIT_BYTES, DESCRIPTION_LIMIT_BYTES, Instrument, VENUE_LIMIT_BYTES},
    symbol::NAME_LIMIT_BYTES,
};

use crate::{
    Hub, Publisher,
    bars::{BarCapacity, Bars, LEVELS},
    directory::{CHUNK, Listed},
    dirty::DirtyBits,
    publisher::{LISTINGS_PER_SYMBOL, Route},
    series::Series,
    shard::Shard,
    status::StatusTape,
    symbol::{DEFINITION_LIMIT, SymbolState},
    tape::Tape,
    worker::WorkerView,
};

/// Sizes of a hub; fixed for its life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubConfig {
    /// Parts of the symbols that can be written at the same time; 1 to 256, default 1. More than
    /// one helps only when several feeds publish at once.
    pub shards: usize,
    /// Session workers that read the hub, each with dirty bits of its own; 1 to 256, default 1.
    pub workers: usize,
    /// Most symbols; 1 to 2^24, default 16,384. A listing above it is refused and counted.
    pub symbol_limit: usize,
    /// Trades and corrections kept per symbol; a power of two up to 2^24, default 1,024. When full,
    /// the oldest is overwritten and its readers are told.
    pub tape_capacity: usize,
    /// Status changes kept per symbol; a power of two up to 2^24, default 16. When full, the oldest
    /// is overwritten and its readers are told.
    pub status_capacity: usize,
    /// Closed bars of a second kept per symbol; a power of two up to 2^24, default 128. When full,
    /// the oldest is overwritten, here as in the two below.
    pub bar_1s_capacity: usize,
    /// Closed bars of a minute kept per symbol; a power of two up to 2^24, default 256.
    pub bar_1m_capacity: usize,
    /// Closed bars of a day kept per symbol; a power of two up to 2^24, default 16.
    pub bar_1d_capacity: usize,
    /// When trading sessions begin by the feed's clock: seconds after midnight UTC, default 0;
    /// `None`: when a feed says so, and else never.
    pub session_start_s: Option<u32>,
    /// Upper bound for [`HubConfig::memory_bytes`], in bytes; default 2 GiB. Checked at start.
    pub memory_limit_bytes: u64,
}

impl Default for HubConfig {
    fn default() -> Self {
        Self {
            shards: 1,
            workers: 1,
            symbol_limit: 16_384,
            tape_capacity: 1_024,
            status_capacity: 16,
            bar_1s_capacity: 128,
            bar_1m_capacity: 256,
            bar_1d_capacity: 16,
            session_start_s: Some(0),
            memory_limit_bytes: 2 << 30,
        }
    }
}

/// Why a hub cannot be built.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HubError {
    /// A size is outside its bounds.
    #[error("{key} is {value}, it must be at least 1 and at most {limit}")]
    OutOfBounds {
        /// The configuration key.
        key: &'static str,
        /// Its value.
        value: usize,
        /// The most it may be.
        limit: usize,
    },
    /// A ring's capacity is no power of two.
    #[error("{key} is {value}, it must be a power of two")]
    NotPowerOfTwo {
        /// The configuration key.
        key: &'static str,
        /// Its value.
        value: usize,
    },
    /// All together could take more memory than allowed.
    #[error(
        "memory_limit_bytes is {limit}, it must be at least the {needed} bytes that the other sizes can take"
    )]
    Memory {
        /// The configured limit.
        limit: u64,
        /// What [`HubConfig::memory_bytes`] says.
        needed: u64,
    },
}

/// Most shards and most workers.
const PART_LIMIT: usize = 256;
/// Most symbols: with [`DEFINITION_LIMIT`] ids each, ids stay below 2^32.
const SYMBOL_LIMIT: usize = 1 << 24;
/// Most records in one ring.
const CAPACITY_LIMIT: usize = 1 << 24;

/// Bytes an allocator may add to an allocation of its own: header and rounding.
const ALLOCATION_BYTES: u64 = 32;

impl HubConfig {
    /// Most bytes the hub and one [`crate::Publisher`] will ever hold, whatever the market does and
    /// whoever reads. A size out of its bounds counts as its bound. The terms:
    ///
    /// - for each symbol, rounded up to whole chunks of 1,024: its [`SymbolState`];
    /// - for each symbol: its trade tape (`tape_capacity` records) and its status tape
    ///   (`status_capacity` records), its bars (the three capacities, and 32 hours),
    ///   [`DEFINITION_LIMIT`] definitions, its directory entry, its words;
    /// - for each worker: two sets of dirty bits, one bit per symbol and one per 64 symbols;
    /// - for the publisher: the same two sets once, and the route of each listing it may make;
    /// - for each shard: which symbols have a bar in progress, one bit per symbol and one per 64,
    ///   of each of four lengths;
    /// - the hub itself.
    ///
    /// Each further publisher adds [`HubConfig::publisher_memory_bytes`].
    #[must_use]
    pub fn memory_bytes(&self) -> u64 {
        let symbols = self.symbol_limit.min(SYMBOL_LIMIT);
        let chunks = symbols.div_ceil(CHUNK) as u64;
        let chunk = CHUNK as u64 * bytes::<SymbolState>()
            + bytes::<OnceLock<Box<[SymbolState]>>>()
            + ALLOCATION_BYTES;
        let symbol = ring_bytes::<Tape>(self.tape_capacity, Tape::SLOT_BYTES)
            + ring_bytes::<StatusTape>(self.status_capacity, StatusTape::SLOT_BYTES)
            + self.bars_bytes()
            + definitions_bytes()
            + directory_entry_bytes();
        let shard = bytes::<Mutex<Shard>>()
            + LEVELS as u64 * (DirtyBits::memory_bytes(symbols) as u64 + 2 * ALLOCATION_BYTES);
        let worker = WorkerView::memory_bytes(symbols) as u64 + 4 * ALLOCATION_BYTES;
        chunks * chunk
            + symbols as u64 * symbol
            + self.workers.min(PART_LIMIT) as u64 * worker
            + self.shards.min(PART_LIMIT) as u64 * shard
            + self.publisher_memory_bytes()
            + bytes::<Hub>()
            + 4 * ALLOCATION_BYTES
    }

    /// Most bytes one [`crate::Publisher`] will ever hold. With several shards, add 16 bytes for
    /// each tick of the largest batch it was given: their positions, by shard.
    #[must_use]
    pub fn publisher_memory_bytes(&self) -> u64 {
        let symbols = self.symbol_limit.min(SYMBOL_LIMIT);
        // A list that doubles holds up to twice what it needs, and while it moves, half that again.
        let routes = 3 * (symbols * LISTINGS_PER_SYMBOL) as u64 * bytes::<Option<Route>>();
        let touched = 2 * DirtyBits::memory_bytes(symbols) as u64;
        let parts = self.shards.min(PART_LIMIT) as u64 * (bytes::<Vec<usize>>() + ALLOCATION_BYTES);
        routes + touched + parts + bytes::<Publisher>() + 6 * ALLOCATION_BYTES
    }

    /// All bars of a symbol: boxed, and a box for the closed ones of each length.
    fn bars_bytes(&self) -> u64 {
        let capacities = self.bar_capacity().of_levels().map(|each| each.min(CAPACITY_LIMIT));
        (capacities.iter().sum::<usize>() * Series::SLOT_BYTES) as u64
            + bytes::<Bars>()
            + (1 + LEVELS as u64) * ALLOCATION_BYTES
    }

    pub(crate) fn bar_capacity(&self) -> BarCapacity {
        BarCapacity {
            seconds: self.bar_1s_capacity,
            minutes: self.bar_1m_capacity,
            days: self.bar_1d_capacity,
        }
    }

    /// Most listings one publisher may make: four for each symbol, so that symbols can be listed
    /// anew with finer exponents. One above it is refused and counted.
    pub(crate) fn listing_limit(&self) -> usize {
        self.symbol_limit * LISTINGS_PER_SYMBOL
    }

    /// Checks every rule; the first broken one is named.
    pub(crate) fn check(&self) -> Result<(), HubError> {
        for (key, value, limit) in [
            ("shards", self.shards, PART_LIMIT),
            ("workers", self.workers, PART_LIMIT),
            ("symbol_limit", self.symbol_limit, SYMBOL_LIMIT),
            ("tape_capacity", self.tape_capacity, CAPACITY_LIMIT),
            ("status_capacity", self.status_capacity, CAPACITY_LIMIT),
            ("bar_1s_capacity", self.bar_1s_capacity, CAPACITY_LIMIT),
            ("bar_1m_capacity", self.bar_1m_capacity, CAPACITY_LIMIT),
            ("bar_1d_capacity", self.bar_1d_capacity, CAPACITY_LIMIT),
        ] {
            if value == 0 || value > limit {
                return Err(HubError::OutOfBounds { key, value, limit });
            }
        }
        for (key, value) in [
            ("tape_capacity", self.tape_capacity),
            ("status_capacity", self.status_capacity),
            ("bar_1s_capacity", self.bar_1s_capacity),
            ("bar_1m_capacity", self.bar_1m_capacity),
            ("bar_1d_capacity", self.bar_1d_capacity),
        ] {
            if !value.is_power_of_two() {
                return Err(HubError::NotPowerOfTwo { key, value });
            }
        }
        let (limit, needed) = (self.memory_limit_bytes, self.memory_bytes());
        if needed > limit { Err(HubError::Memory { limit, needed }) } else { Ok(()) }
    }
}

/// A boxed ring, which boxes its slots.
fn ring_bytes<Ring>(capacity: usize, slot_bytes: usize) -> u64 {
    (capacity.min(CAPACITY_LIMIT) * slot_bytes) as u64 + bytes::<Ring>() + 2 * ALLOCATION_BYTES
}

/// All definitions of a symbol, each in an `Arc` (two counts) and with its name, and the list of
/// them, which doubled as it grew.
fn definitions_bytes() -> u64 {
    let one = bytes::<Definition>() + shared_name_bytes();
    let list = DEFINITION_LIMIT.next_power_of_two() as u64 * bytes::<Arc<Definition>>();
    DEFINITION_LIMIT as u64 * (one + ALLOCATION_BYTES) + list + ALLOCATION_BYTES
}

/// A symbol's place in the directory, with its words. The tree's nodes are at least 5/11 full, hence
/// 11/5 of an entry, and a fifth of a node's links.
fn directory_entry_bytes() -> u64 {
    let entry = bytes::<Arc<str>>() + bytes::<Listed>();
    entry * 11 / 5
        + (14 * bytes::<usize>() + ALLOCATION_BYTES) / 5
        + shared_name_bytes()
        + shared_instrument_bytes()
}

/// A symbol's words, each of the greatest length, in an `Arc` (two counts).
fn shared_instrument_bytes() -> u64 {
    let words = DESCRIPTION_LIMIT_BYTES + VENUE_LIMIT_BYTES + CURRENCY_LIMIT_BYTES;
    words as u64 + bytes::<Instrument>() + 2 * bytes::<usize>() + 4 * ALLOCATION_BYTES
}

/// A name of the greatest length, with the counts of an `Arc`.
fn shared_name_bytes() -> u64 {
    NAME_LIMIT_BYTES as u64 + 2 * bytes::<usize>() + ALLOCATION_BYTES
}

const fn bytes<T>() -> u64 {
    size_of::<T>() as u64
}

const _: () = assert!(SYMBOL_LIMIT * DEFINITION_LIMIT < u32::MAX as usize);

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn refused(change: impl FnOnce(&mut HubConfig)) -> String {
        let mut config = HubConfig::default();
        change(&mut config);
        Hub::new(config, 1).map(|_| ()).unwrap_err().to_string()
    }

    #[test]
    fn each_broken_rule_names_key_value_and_rule() {
        for (message, expected) in [
            (refused(|c| c.shards = 0), "shards is 0, it must be at least 1 and at most 256"),
            (refused(|c| c.shards = 257), "shards is 257, it must be at least 1 and at most 256"),
            (refused(|c| c.workers = 257), "workers is 257, it must be at least 1 and at most 256"),
            (
                refused(|c| c.symbol_limit = usize::MAX),
                "symbol_limit is 18446744073709551615, it must be at least 1 and at most 16777216",
            ),
            (
                refused(|c| c.tape_capacity = 1_000),
                "tape_capacity is 1000, it must be a power of two",
            ),
            (refused(|c| c.status_capacity = 3), "status_capacity is 3, it must be a power of two"),
            (
                refused(|c| c.status_capacity = 1 << 25),
                "status_capacity is 33554432, it must be at least 1 and at most 16777216",
            ),
        ] {
            assert_eq!(message, expected);
        }
    }

    #[test]
    fn each_size_may_be_its_limit() {
        let parts = |shards, workers| HubConfig { shards, workers, ..HubConfig::default() };
        assert_eq!(parts(256, 256).check(), Ok(()));
        assert_eq!(parts(1, 1).check(), Ok(()));
        assert_eq!(parts(16, 16).listing_limit(), 4 * 16_384);
    }

    #[test]
    fn a_hub_that_could_outgrow_its_memory_limit_is_refused() {
        let needed = HubConfig::default().memory_bytes();
        let fits = HubConfig { memory_limit_bytes: needed, ..HubConfig::default() };
        assert_eq!(fits.check(), Ok(()));
        let limit = needed - 1;
        let short = HubConfig { memory_limit_bytes: limit, ..HubConfig::default() };
        assert_eq!(short.check(), Err(HubError::Memory { limit, needed }));
    }

    /// Each term worked out by hand, with the sizes that the types have on a 64-bit machine.
    #[test]
    #[cfg(target_pointer_width = "64")]
    fn the_memory_formula_is_what_its_terms_add_up_to() {
        let config = HubConfig {
            shards: 3,
            workers: 2,
            symbol_limit: 1_030,
            tape_capacity: 8,
            status_capacity: 4,
            bar_1s_capacity: 8,
            bar_1m_capacity: 4,
            bar_1d_capacity: 2,
            ..HubConfig::default()
        };
        // Two chunks of 1,024 states of 384 bytes, each with its place and its allocation.
        let states = 2 * (1_024 * 384 + 24 + 32);
        // Two allocations a ring: it is boxed, and boxes its slots.
        let rings = (8 * 48 + 16 + 64) + (4 * 32 + 16 + 64);
        // Closed bars of 112 bytes, 32 of them hours; of each length a head of 20 words, a length
        // and a box; five allocations.
        let bars = (8 + 4 + 32 + 2) * 112 + 4 * (20 * 8 + 8 + 16) + 5 * 32;
        // A name of 32 bytes takes 80 with its counts and its allocation, a definition 56 and a
        // name and an allocation; the list of 37 has doubled to 64 places.
        let definitions = 37 * (56 + 80 + 32) + 64 * 8 + 32;
        // Words of 64, 16 and 8 bytes, the places of the three, two counts, four allocations.
        let words = 64 + 16 + 8 + 3 * 16 + 16 + 4 * 32;
        // 11/5 of 32 bytes, a fifth of 14 links and an allocation, the name and the words.
        let entry = 70 + 28 + 80 + words;
        // 17 words of 64 symbols and one of the summary, twice.
        let marks = 2 * 18 * 8;
        // Two sets, in four allocations.
        let worker = size_of::<WorkerView>() as u64 + marks + 4 * 32;
        // 4,120 listings of 12 bytes, three times.
        let publisher = 3 * 4_120 * 12 + marks + 3 * (24 + 32) + 416 + 6 * 32;
        assert_eq!(config.publisher_memory_bytes(), publisher);
        let symbols = 1_030 * (rings + bars + definitions + entry);
        // Four sets of which two allocations each.
        let shard = size_of::<Mutex<Shard>>() as u64 + 4 * (18 * 8 + 2 * 32);
        let fixed = 2 * worker + 3 * shard + publisher + size_of::<Hub>() as u64 + 4 * 32;
        assert_eq!(config.memory_bytes(), states + symbols + fixed);
        // What the documentation says of the defaults.
        assert_eq!(HubConfig::default().memory_bytes() / 1_000_000, 1_750);
    }

    #[test]
    fn absurd_sizes_have_a_formula_too() {
        let (shards, workers, symbol_limit) = (usize::MAX, usize::MAX, usize::MAX);
        let (tape_capacity, status_capacity) = (usize::MAX, usize::MAX);
        let memory_limit_bytes = u64::MAX;
        let config = HubConfig {
            shards,
            workers,
            symbol_limit,
            tape_capacity,
            status_capacity,
            memory_limit_bytes,
            ..HubConfig::default()
        };
        assert!(config.memory_bytes() > 1 << 53);
    }
}
