//! What a session's subscriptions cost to make and to end, when a command has as many names as a
//! message holds.
//!
//! `cargo run --release -p tickgate-session --example many_names`
//!
//! Names out of 10,000 at random from a fixed seed, in JSON messages of at most 16 KiB. The clock
//! covers the engine's reading and carrying out of all of them, not the frames that follow. Medians of
//! nine rounds after one to warm up.
#![allow(clippy::print_stdout, reason = "an example's result is what it prints")]

use std::{cell::RefCell, collections::VecDeque, io, rc::Rc, sync::Arc, time::Instant};

use rand::{SeedableRng, rngs::StdRng, seq::SliceRandom};
use tickgate_hub::{Hub, HubConfig};
use tickgate_protocol::{
    dialect::Dialect,
    tick::{Batch, Listing},
};
use tickgate_session::{Engine, EngineConfig, Inbound, Now, Shared, Transport};

const SYMBOLS: usize = 10_000;
const ROUNDS: usize = 9;

fn main() {
    let sizes = HubConfig { workers: 1, ..HubConfig::default() };
    let hub = Hub::new(sizes, 1).expect("the defaults keep the rules");
    let names: Vec<String> = (0..SYMBOLS).map(|n| format!("S{n:05}")).collect();
    let listings = names.iter().map(listing).collect();
    hub.publisher().publish(&Batch { listings, ..Batch::default() });
    for count in [512, 1_024, 2_048, 4_096, 8_192] {
        let mut rounds: Vec<[f64; 2]> =
            (0..=ROUNDS).map(|seed| round(&hub, &names, count, seed as u64)).skip(1).collect();
        let [subscribe, unsubscribe] = [0, 1].map(|at| {
            rounds.sort_by(|left, right| left[at].total_cmp(&right[at]));
            rounds[ROUNDS / 2][at]
        });
        println!(
            "{count:5} names: subscribe {subscribe:8.0} us, {:6.0} ns a name; \
             unsubscribe {unsubscribe:8.0} us, {:6.0} ns a name",
            subscribe * 1_000.0 / count as f64,
            unsubscribe * 1_000.0 / count as f64,
        );
    }
}

/// Microseconds to subscribe so many names and to end them in another order.
fn round(hub: &Arc<Hub>, names: &[String], count: usize, seed: u64) -> [f64; 2] {
    let config = EngineConfig {
        subscription_limit: SYMBOLS,
        commands_per_second: 1_000_000,
        command_burst: 1_000_000,
        ..EngineConfig::default()
    };
    let now = Now { monotonic_us: 1_000_000, unix_us: 1_700_000_000_000_000 };
    let shared = Shared::new(Arc::clone(hub), config).expect("the settings keep the rules");
    let mut engine = Engine::new(shared, 0, seed, now);
    let pipe = Pipe::default();
    let key = engine.open(now, pipe.clone(), Dialect::Json, 1, Vec::new());
    let mut order: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut rng = StdRng::seed_from_u64(seed);
    order.shuffle(&mut rng);
    order.truncate(count);
    ["subscribe", "unsubscribe"].map(|op| {
        order.shuffle(&mut rng);
        // 1,800 names of six characters, each with quotes and a comma, are 16,200 bytes.
        for names in order.chunks(1_800) {
            pipe.send(&format!(r#"{{"op":"{op}","symbols":["{}"]}}"#, names.join(r#"",""#)));
        }
        let start = Instant::now();
        while matches!(engine.on_readable(now, key), Inbound::Again | Inbound::Readable)
            && !pipe.0.borrow().is_empty()
        {}
        let took = start.elapsed();
        while engine.poll(now).more {}
        let held = if op == "subscribe" { count } else { 0 };
        assert_eq!(engine.stats().subscriptions, held as u64, "all of them were carried out");
        took.as_secs_f64() * 1e6
    })
}

fn listing(name: impl ToString) -> Listing {
    Listing { session_date: 20_240_808, ..Listing::new(name.to_string(), -2, 0) }
}

/// A client's messages on their way in; what comes back is thrown away.
#[derive(Debug, Clone, Default)]
struct Pipe(Rc<RefCell<VecDeque<u8>>>);

impl Pipe {
    /// A text message, masked with zeros.
    fn send(&self, message: &str) {
        let mut input = self.0.borrow_mut();
        let length = u16::try_from(message.len()).expect("within the limit of a message");
        input.extend([0x81, 0x80 | 126]);
        input.extend(length.to_be_bytes());
        input.extend([0; 4]);
        input.extend(message.as_bytes());
    }
}

impl Transport for Pipe {
    fn try_read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match io::Read::read(&mut *self.0.borrow_mut(), buffer)? {
            0 => Err(io::ErrorKind::WouldBlock.into()),
            read => Ok(read),
        }
    }

    fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn shutdown(&mut self) {}
}
