//! What one tick of the simulated market costs, beside drawing one random number.
//!
//! `cargo run --release -p tickgate-feed --example simulated_cost`

use std::{hint::black_box, time::Instant};

use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng, SeedableRng},
};
use tickgate_feed::{
    Feed,
    simulated::{SimulatedConfig, SimulatedMarket},
};
use tickgate_protocol::tick::Batch;

const TICKS: u64 = 4_000_000;

#[allow(clippy::print_stdout, reason = "an example reports to its reader")]
fn main() -> Result<(), tickgate_feed::FeedError> {
    let mut generator = ChaCha8Rng::seed_from_u64(1);
    let started = Instant::now();
    for _ in 0..TICKS {
        black_box(generator.next_u64());
    }
    let draw = started.elapsed().as_nanos() as f64 / TICKS as f64;
    println!("one ChaCha8 draw of 64 bits: {draw:.2} ns");
    for symbols in [1_000, 100_000] {
        let config = SimulatedConfig {
            symbols,
            ticks_per_second: 2_000_000,
            start_time_ns: Some(0),
            ..Default::default()
        };
        let mut market = SimulatedMarket::open(config)?;
        let mut batch = Batch::default();
        let (mut now_ns, mut ticks) = (0, 0);
        let started = Instant::now();
        while ticks < TICKS {
            batch.clear();
            market.poll(now_ns, &mut batch);
            ticks += batch.ticks.len() as u64;
            now_ns += 1_000_000;
            black_box(&batch);
        }
        let tick = started.elapsed().as_nanos() as f64 / ticks as f64;
        println!("{symbols} symbols: {tick:.1} ns a tick, {:.1} draws' worth", tick / draw);
    }
    Ok(())
}
