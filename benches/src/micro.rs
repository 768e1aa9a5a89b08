//! What the micro-benchmarks time: the simulated market's ticks, the real hub, the real encoder.
//!
//! Criterion measures time with it and the `instructions` program counts instructions; both run
//! the same code on the same inputs.

use std::sync::Arc;

use anyhow::{Context, Result};
use rand::RngExt;
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
use tickgate_feed::{
    Feed, Next,
    simulated::{SimulatedConfig, SimulatedMarket},
};
use tickgate_hub::{Hub, HubConfig, Publisher, StateRecord, SymbolState};
use tickgate_protocol::{
    dialect::Dialect,
    entry::{Entry, StateEntry, Step, quote_field},
    number::ABSENT,
    symbol::SymbolIndex,
    tick::{Batch, Tick, TickBody},
};

/// Entries of the frame that is built.
pub const FRAME_ENTRIES: usize = 20;
/// Ticks of a published batch.
pub const BATCH_TICKS: usize = 256;
/// Seed of every random choice here.
const SEED: u64 = 1;
/// When the simulated market begins: 2026-01-02 15:00 UTC, any weekday will do.
const START_NS: i64 = 1_767_366_000_000_000_000;
/// How far the market runs between two polls, 10 ms.
const STEP_NS: i64 = 10_000_000;

/// A hub with a market in it.
#[derive(Debug)]
pub struct Market {
    /// The hub.
    pub hub: Arc<Hub>,
    publisher: Publisher,
    feed: SimulatedMarket,
    now_ns: i64,
    /// Symbols in random order, walked in a circle, so that a read finds a cold cell as in a
    /// server with many sessions.
    order: Vec<u32>,
    at: usize,
}

/// Which ticks of the market a batch holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ticks {
    /// Quotes only: validation, cell, dirty bit.
    Quotes,
    /// Trades only: the tape besides.
    Trades,
    /// As the market makes them, ten quotes to a trade.
    Mixed,
}

impl Market {
    /// Lists `symbols` symbols and lets the market run for a second at 50 ticks a second and
    /// symbol; less beyond 40,000 symbols, for a market makes 2,000,000 ticks a second at most.
    ///
    /// # Errors
    /// When market or hub refuse the size.
    pub fn open(symbols: u32) -> Result<Self> {
        let feed = SimulatedMarket::open(SimulatedConfig {
            seed: SEED,
            symbols,
            ticks_per_second: (symbols * 50).clamp(10, 2_000_000),
            zipf_exponent: 0.0,
            burst_factor: 1,
            halts_per_hour: 0,
            start_time_ns: Some(START_NS),
            ..SimulatedConfig::default()
        })?;
        let sizes = HubConfig { symbol_limit: symbols as usize, ..HubConfig::default() };
        // Short tapes and few bars for many symbols: 100,000 full ones would want gigabytes.
        let sizes = match symbols {
            0..=10_000 => sizes,
            _ => HubConfig { tape_capacity: 64, bar_1s_capacity: 16, bar_1m_capacity: 16, ..sizes },
        };
        let hub = Hub::new(HubConfig { memory_limit_bytes: sizes.memory_bytes(), ..sizes }, 1)?;
        let publisher = hub.publisher();
        let mut order: Vec<u32> = (0..symbols).collect();
        let mut random = ChaCha8Rng::seed_from_u64(SEED);
        for last in (1..order.len()).rev() {
            order.swap(last, random.random_range(0..=last));
        }
        let mut market = Self { hub, publisher, feed, now_ns: START_NS, order, at: 0 };
        market.advance_ms(1_000);
        Ok(market)
    }

    /// The market's time, Unix nanoseconds.
    #[must_use]
    pub fn now_ns(&self) -> i64 {
        self.now_ns
    }

    /// Lets the market run for so long and publishes what it does.
    pub fn advance_ms(&mut self, milliseconds: i64) {
        let end_ns = self.now_ns + milliseconds * 1_000_000;
        let mut batch = Batch::default();
        while self.now_ns < end_ns {
            // In short steps: a market that is polled a second late gives up what it missed.
            self.now_ns = end_ns.min(self.now_ns + STEP_NS);
            let mut next = Next::Again;
            while next == Next::Again {
                next = self.feed.poll(self.now_ns, &mut batch);
                self.publisher.publish(&batch);
                batch.clear();
            }
        }
    }

    /// `count` batches of [`BATCH_TICKS`] ticks each, not yet published.
    pub fn batches(&mut self, count: usize, ticks: Ticks) -> Vec<Batch> {
        let wanted = |tick: &Tick| match ticks {
            Ticks::Quotes => matches!(tick.body, TickBody::Quote(_)),
            Ticks::Trades => matches!(tick.body, TickBody::Trade(_)),
            Ticks::Mixed => true,
        };
        let mut kept: Vec<Tick> = Vec::new();
        let mut batch = Batch::default();
        while kept.len() < count * BATCH_TICKS {
            self.now_ns += 1_000_000;
            while self.feed.poll(self.now_ns, &mut batch) == Next::Again {}
            kept.extend(batch.ticks.drain(..).filter(wanted));
            batch.clear();
        }
        kept.chunks_exact(BATCH_TICKS)
            .take(count)
            .map(|chunk| Batch { ticks: chunk.to_vec(), ..Batch::default() })
            .collect()
    }

    /// Publishes a batch made by [`Market::batches`]; also more than once.
    pub fn publish(&mut self, batch: &Batch) {
        self.publisher.publish(batch);
    }

    /// Ticks that the hub refused so far; none in a sound benchmark.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.hub.stats().refused.iter().map(|(_, count)| count).sum()
    }

    /// The next symbol of the random order.
    pub fn next_symbol(&mut self) -> (u32, &SymbolState) {
        let index = self.order[self.at];
        self.at = (self.at + 1) % self.order.len();
        let symbol = self.hub.symbol(SymbolIndex(index)).expect("listed when the market opened");
        (index, symbol)
    }
}

/// Reads the quotes of the next [`FRAME_ENTRIES`] symbols and builds one frame of deltas from
/// `cursors`, as a session's flush does; returns the payload's length.
///
/// # Errors
/// When a cell was mid-write or nothing changed in it since the cursor: no benchmark runs into it.
pub fn build_frame(
    market: &mut Market,
    dialect: Dialect,
    cursors: &[u64],
    out: &mut Vec<u8>,
) -> Result<usize> {
    let sent_at_us = market.now_ns / 1_000;
    out.clear();
    let mark = dialect.begin_frame(out, 1_000, sent_at_us);
    for _ in 0..FRAME_ENTRIES {
        let (index, symbol) = market.next_symbol();
        let record = symbol.quote().ok().context("no writer is running")?;
        let entry = quote_delta(&record, cursors[index as usize], sent_at_us)
            .with_context(|| format!("symbol {index} did not change"))?;
        // Names and scales are asked for by JSON alone; the hot path must not pay for them.
        match dialect {
            Dialect::MessagePack => dialect.write_entry(out, &entry, None),
            Dialect::Json => dialect.write_entry(out, &entry, Some(&symbol.definition())),
        }
    }
    dialect.finish_frame(out, mark, 0, FRAME_ENTRIES);
    Ok(out.len())
}

/// The delta from `cursor` to a quote's record; `None` when there is none.
#[must_use]
pub fn quote_delta(
    record: &StateRecord<{ quote_field::COUNT }>,
    cursor: u64,
    sent_at_us: i64,
) -> Option<Entry> {
    let mask = record.changed_since(cursor)?;
    let advance = record.sequence.checked_sub(cursor).filter(|advance| *advance > 0)?;
    let mut fields = record.fields;
    for (bit, field) in fields.iter_mut().enumerate() {
        if mask & (1 << bit) == 0 {
            *field = ABSENT;
        }
    }
    Some(Entry::Quote(StateEntry {
        id: record.id,
        step: Step::Delta { advance },
        age_us: age_us(record.event_time_ns, sent_at_us),
        mask,
        fields,
    }))
}

/// The full state of a quote.
#[must_use]
pub fn quote_full(record: &StateRecord<{ quote_field::COUNT }>, sent_at_us: i64) -> Entry {
    Entry::Quote(StateEntry {
        id: record.id,
        step: Step::Full { sequence: record.sequence },
        age_us: age_us(record.event_time_ns, sent_at_us),
        mask: (1 << quote_field::COUNT) - 1,
        fields: record.fields,
    })
}

/// The sequence of every symbol's quote now.
#[must_use]
pub fn quote_sequences(hub: &Hub) -> Vec<u64> {
    (0..hub.symbol_count())
        .filter_map(|index| hub.symbol(SymbolIndex(index)))
        .map(SymbolState::quote_sequence)
        .collect()
}

fn age_us(event_time_ns: i64, sent_at_us: i64) -> i64 {
    if event_time_ns == ABSENT { ABSENT } else { sent_at_us - event_time_ns.div_euclid(1_000) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_symbol_of_a_frame_changed_and_none_was_refused() {
        let mut market = Market::open(100).expect("a market");
        let cursors = quote_sequences(&market.hub);
        let quotes: u64 = cursors.iter().sum();
        assert!((4_000..5_000).contains(&quotes), "{quotes}: 10 in 11 of 50 ticks, 100 symbols");
        market.advance_ms(5_000);
        let later: u64 = quote_sequences(&market.hub).iter().sum();
        assert!((24_000..30_000).contains(&later), "{later}: six seconds of them");
        let mut out = Vec::new();
        for dialect in Dialect::ALL {
            for _ in 0..5 {
                build_frame(&mut market, dialect, &cursors, &mut out).expect("a frame");
            }
        }
        assert_eq!(market.refused(), 0);
    }

    #[test]
    fn batches_hold_what_they_are_asked_for() {
        let mut market = Market::open(100).expect("a market");
        let before = market.hub.stats();
        let batches = market.batches(3, Ticks::Trades);
        assert_eq!(batches.len(), 3);
        for batch in &batches {
            assert_eq!(batch.ticks.len(), BATCH_TICKS);
            market.publish(batch);
        }
        let after = market.hub.stats();
        assert_eq!(after.trades - before.trades, 3 * BATCH_TICKS as u64);
        assert_eq!(after.quotes, before.quotes);
    }
}
