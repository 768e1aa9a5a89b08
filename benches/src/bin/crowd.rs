//! What the engine itself costs per frame among thousands of sessions, without sockets.
//!
//! A real engine samples a real hub for sessions whose sockets take everything. In place of the
//! kernel, a write walks over as much memory of that connection as a `send` does, so that the
//! engine finds the caches as it would in a server; that walk is timed by itself and taken off.

use std::{
    cell::Cell,
    io::{self, Write},
    rc::Rc,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use clap::Parser;
use serde::Serialize;
use tickgate_benches::{micro::Market, watchlist::Watchlists, wire};
use tickgate_protocol::{dialect::Dialect, symbol::SymbolIndex};
use tickgate_session::{Engine, EngineConfig, Now, Shared, Transport};

/// Symbols in the market, each of which changes about 50 times a second.
const SYMBOLS: u32 = 2_000;
/// Flush tick of the engine and step of the market.
const TICK_MS: u64 = 5;
/// Seed of the watchlists and of the engine's phases.
const SEED: u64 = 1;

/// The engine's own cost per frame and per entry.
#[derive(Debug, Parser)]
struct Cli {
    /// Sessions.
    #[arg(long, default_value_t = 6_000)]
    sessions: usize,
    /// Symbols that each is subscribed to.
    #[arg(long, default_value_t = 20)]
    symbols: usize,
    /// Throttle interval, milliseconds.
    #[arg(long, default_value_t = 100)]
    throttle_ms: u16,
    /// Memory that a write walks over in place of the kernel, bytes for each connection.
    #[arg(long, default_value_t = 6 * 1024)]
    kernel_bytes: usize,
    /// Length of the measurement, milliseconds of the market's time.
    #[arg(long, default_value_t = 3_000)]
    window_ms: u64,
}

fn main() -> Result<()> {
    let cli = Cli::parse();
    ensure!(cli.sessions > 0 && cli.throttle_ms > 0, "some sessions, and a throttle interval");
    let mut crowd = Crowd::open(&cli)?;
    crowd.run(1_000);
    let before = crowd.engine.stats().clone();
    crowd.kernel.set(Duration::ZERO);
    let polled = crowd.run(cli.window_ms);
    let after = crowd.engine.stats();
    let frames = after.frames - before.frames;
    let entries = after.quotes - before.quotes;
    let shared = after.shared_entries - before.shared_entries;
    let engine_ns = (polled - crowd.kernel.get()).as_nanos() as f64;
    ensure!(frames > 0, "no frame was sent");
    writeln!(
        io::stdout(),
        "{frames} frames, {:.1} entries each, {:.1} % of them shared: {:.0} ns a frame, \
         {:.1} ns an entry, beside {:.0} ns in the kernel's place",
        entries as f64 / frames as f64,
        shared as f64 / entries as f64 * 100.0,
        engine_ns / frames as f64,
        engine_ns / entries as f64,
        crowd.kernel.get().as_nanos() as f64 / frames as f64,
    )?;
    Ok(())
}

/// An engine full of sessions, and the market they watch.
struct Crowd {
    market: Market,
    engine: Engine<Sink>,
    kernel: Rc<Cell<Duration>>,
    start_ns: i64,
}

impl Crowd {
    fn open(cli: &Cli) -> Result<Self> {
        let market = Market::open(SYMBOLS)?;
        let start_ns = market.now_ns();
        let config =
            EngineConfig { flush_tick: Duration::from_millis(TICK_MS), ..EngineConfig::default() };
        let shared = Shared::new(market.hub.clone(), config)?;
        let now = now_at(market.now_ns(), start_ns);
        let mut engine = Engine::new(shared, 0, SEED, now);
        let kernel = Rc::new(Cell::new(Duration::ZERO));
        let mut lists = Watchlists::new(SYMBOLS as usize, 1.0, SEED);
        for number in 0..cli.sessions {
            let names: Vec<String> =
                lists.draw(cli.symbols).into_iter().map(|at| name(&market, at)).collect();
            let command = Subscribe {
                op: "subscribe",
                symbols: names,
                channels: ["quote"],
                throttle_ms: cli.throttle_ms,
            };
            let mut inbound = Vec::new();
            let payload = rmp_serde::to_vec_named(&command)?;
            wire::write_client_frame(&mut inbound, wire::BINARY, &payload);
            let transport = Sink {
                inbound,
                memory: vec![0; cli.kernel_bytes.div_ceil(8).max(8)],
                kernel: Rc::clone(&kernel),
            };
            let key = engine.open(now, transport, Dialect::MessagePack, number as u64, Vec::new());
            engine.on_readable(now, key);
        }
        Ok(Self { market, engine, kernel, start_ns })
    }

    /// Lets market and engine run by turns; says how long the engine took.
    fn run(&mut self, milliseconds: u64) -> Duration {
        let mut polled = Duration::ZERO;
        for _ in 0..milliseconds.div_ceil(TICK_MS) {
            self.market.advance_ms(TICK_MS as i64);
            let now = now_at(self.market.now_ns(), self.start_ns);
            let begin = Instant::now();
            while self.engine.poll(now).more {}
            polled += begin.elapsed();
        }
        polled
    }
}

fn name(market: &Market, at: usize) -> String {
    let symbol = market.hub.symbol(SymbolIndex(at as u32)).expect("listed when the market opened");
    symbol.definition().name.to_string()
}

fn now_at(market_ns: i64, start_ns: i64) -> Now {
    Now { monotonic_us: ((market_ns - start_ns) / 1_000) as u64, unix_us: market_ns / 1_000 }
}

/// The one command of a session.
#[derive(Serialize)]
struct Subscribe {
    op: &'static str,
    symbols: Vec<String>,
    channels: [&'static str; 1],
    throttle_ms: u16,
}

/// A socket that gives one command and takes everything.
struct Sink {
    inbound: Vec<u8>,
    memory: Vec<u64>,
    kernel: Rc<Cell<Duration>>,
}

impl Transport for Sink {
    fn try_read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.inbound.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let count = self.inbound.len().min(buffer.len());
        buffer[..count].copy_from_slice(&self.inbound[..count]);
        self.inbound.drain(..count);
        Ok(count)
    }

    fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let begin = Instant::now();
        for line in self.memory.chunks_mut(8) {
            line[0] = line[0].wrapping_add(bytes.len() as u64);
        }
        self.kernel.set(self.kernel.get() + begin.elapsed());
        Ok(bytes.len())
    }

    fn shutdown(&mut self) {}
}
