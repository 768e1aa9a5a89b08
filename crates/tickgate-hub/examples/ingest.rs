//! Ticks per second that one publisher brings into the hub, with validation and tape, beside a bare
//! loop that stores the same ticks in a plain table, in the same run.
//!
//! `cargo run --release -p tickgate-hub --example ingest`
//!
//! Ten quotes to one trade, symbols at random from a fixed seed, batches of 1,000 ticks, one shard,
//! one worker whose bits nobody drains. The clock covers `publish` alone; the ticks are made
//! before. Medians of nine rounds after one to warm up.
#![allow(clippy::print_stdout, reason = "an example's result is what it prints")]

use std::{hint::black_box, time::Instant};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use tickgate_hub::{Hub, HubConfig};
use tickgate_protocol::{
    number::ABSENT,
    tick::{Batch, Listing, Quote, Tick, TickBody, Trade},
};

const BATCHES: usize = 1_000;
const BATCH_TICKS: usize = 1_000;
const ROUNDS: usize = 9;

fn main() {
    for symbols in [1_000, 100_000] {
        let batches = batches(symbols);
        let bare = median(|| bare(symbols, &batches));
        let hub = {
            let (tape_capacity, symbol_limit) = (64, symbols);
            let config = HubConfig {
                symbol_limit,
                tape_capacity,
                bar_1s_capacity: 16,
                bar_1m_capacity: 16,
                bar_1d_capacity: 2,
                ..HubConfig::default()
            };
            let config = HubConfig { memory_limit_bytes: config.memory_bytes(), ..config };
            Hub::new(config, 1).expect("valid by construction")
        };
        let mut publisher = hub.publisher();
        let listings = listings(symbols);
        let ticks = (0..symbols as u32).map(first_trade).collect();
        publisher.publish(&Batch { listings, ticks, ..Batch::default() });
        let full = median(|| batches.iter().for_each(|batch| publisher.publish(batch)));
        let refused: u64 = hub.stats().refused.iter().map(|(_, count)| count).sum();
        println!(
            "{symbols} symbols: hub {full:.1} M ticks/s, bare loop {bare:.1} M ticks/s, ratio {:.2}, {refused} refused",
            full / bare
        );
    }
}

/// Millions of ticks a second.
fn median(mut round: impl FnMut()) -> f64 {
    round();
    let mut rates: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let begin = Instant::now();
            round();
            (BATCHES * BATCH_TICKS) as f64 / begin.elapsed().as_secs_f64() / 1e6
        })
        .collect();
    rates.sort_by(f64::total_cmp);
    rates[ROUNDS / 2]
}

/// The least that has to be done: the newest tick of each symbol, and volume of its trades.
fn bare(symbols: usize, batches: &[Batch]) {
    let mut table = vec![([0; 5], 0, 0); symbols];
    for tick in batches.iter().flat_map(|batch| &batch.ticks) {
        let (fields, event_time_ns, volume) = &mut table[tick.symbol as usize];
        *event_time_ns = tick.event_time_ns;
        match tick.body {
            TickBody::Quote(q) => {
                *fields = [q.bid_price, q.bid_size, q.ask_price, q.ask_size, q.suspect.into()];
            }
            TickBody::Trade(t) => *volume += t.size,
            TickBody::Correction(_) | TickBody::Status(_) | TickBody::Session(_) => {}
        }
    }
    black_box(table);
}

fn listings(symbols: usize) -> Vec<Listing> {
    let listing = |symbol| Listing::new(format!("S{symbol}"), -2, 0);
    (0..symbols).map(listing).collect()
}

/// Every symbol trades once before the clock starts, so that its tape exists.
fn first_trade(symbol: u32) -> Tick {
    let trade = Trade { price: 10_050, size: 1, flags: 0, trade_id: ABSENT };
    Tick { symbol, event_time_ns: 0, body: TickBody::Trade(trade) }
}

fn batches(symbols: usize) -> Vec<Batch> {
    let mut rng = StdRng::seed_from_u64(1);
    // One after the other, all within a second.
    let mut times_ns = (0..1_000_000_000).step_by(1_000).cycle();
    let mut tick = || {
        let (price, size) = (rng.random_range(10_000..10_100), rng.random_range(1..=500));
        let body = if rng.random_ratio(1, 11) {
            TickBody::Trade(Trade { price, size, flags: 0, trade_id: ABSENT })
        } else {
            let (bid_price, ask_price) = (price, price + 1);
            let (bid_size, ask_size, suspect) = (size, 501 - size, false);
            TickBody::Quote(Quote { bid_price, bid_size, ask_price, ask_size, suspect })
        };
        let symbol = rng.random_range(0..symbols) as u32;
        Tick { symbol, event_time_ns: times_ns.next().expect("without end"), body }
    };
    let mut batch = || (0..BATCH_TICKS).map(|_| tick()).collect();
    (0..BATCHES).map(|_| Batch { ticks: batch(), ..Batch::default() }).collect()
}
