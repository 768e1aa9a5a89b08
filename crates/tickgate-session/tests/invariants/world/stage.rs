//! The hub, its engines, their clients and the clock, moved on step by step.

use std::sync::Arc;

use rand::{RngExt, SeedableRng, rngs::StdRng};
use tickgate_checker::{Command, Config, Dialect, Subscribe, Truth};
use tickgate_hub::{Hub, HubConfig};
use tickgate_protocol::{
    dialect::Dialect as Spoken,
    tick::{Quote, Status, TickBody},
};
use tickgate_session::{Ended, Engine, EngineConfig, Inbound, Now, Progress, Shared};

use super::{
    client::{Client, Manners, Outcome},
    market::Market,
    pipe::Pipe,
};

const EPOCH: u64 = 1_700_000_000;
const UNIX_US: i64 = 1_700_000_000_000_000;
/// A second before midnight, when a second, a minute and a day end together.
pub(crate) const EVENING_US: i64 = 1_700_006_399_000_000;
/// Closed bars kept of each symbol by default, of a second, a minute and a day.
pub(crate) const BAR_CAPACITIES: [usize; 3] = [128, 256, 16];

/// A gateway and everybody around it.
pub(crate) struct World {
    pub(crate) rng: StdRng,
    pub(crate) now: Now,
    pub(crate) truth: Truth,
    pub(crate) market: Market,
    /// What the engines have in common.
    pub(crate) shared: Arc<Shared>,
    /// One for each worker of the hub.
    pub(crate) engines: Vec<Engine<Pipe>>,
    pub(crate) clients: Vec<Client>,
    /// Sessions that ended, in order.
    pub(crate) ended: Vec<Ended>,
    next_due_us: Vec<u64>,
    tape_capacity: usize,
    bar_capacities: [usize; 3],
}

impl World {
    /// With `symbols` listed, a live feed and nobody connected.
    pub(crate) fn new(
        seed: u64,
        engines: usize,
        symbols: usize,
        tape_capacity: usize,
        config: EngineConfig,
    ) -> Self {
        Self::at(UNIX_US, seed, engines, symbols, tape_capacity, BAR_CAPACITIES, config)
    }

    /// The same at another time, with other rings of bars.
    pub(crate) fn at(
        unix_us: i64,
        seed: u64,
        engines: usize,
        symbols: usize,
        tape_capacity: usize,
        bar_capacities: [usize; 3],
        config: EngineConfig,
    ) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let hub = HubConfig {
            shards: rng.random_range(1..=3),
            workers: engines,
            symbol_limit: 1_024,
            tape_capacity,
            bar_1s_capacity: bar_capacities[0],
            bar_1m_capacity: bar_capacities[1],
            bar_1d_capacity: bar_capacities[2],
            // Sessions begin when the market says so.
            session_start_s: None,
            ..HubConfig::default()
        };
        let hub = Hub::new(hub, EPOCH).expect("the sizes keep the rules");
        let mut market = Market::new(hub.publisher(), tape_capacity as u64, bar_capacities, EPOCH);
        let shared = Shared::new(hub, config).expect("the settings keep the rules");
        let now = Now { monotonic_us: 1_000_000, unix_us };
        let mut truth = Truth::new(EPOCH);
        truth.clock(now.monotonic_us, now.unix_us);
        let engines: Vec<_> =
            (0..engines).map(|worker| Engine::new(shared.clone(), worker, seed, now)).collect();
        for _ in 0..symbols {
            market.list(now.monotonic_us, &mut rng, &mut truth);
        }
        market.set_feed(now.monotonic_us, now.unix_us, Status::Live, &mut truth);
        Self {
            rng,
            now,
            truth,
            market,
            shared,
            next_due_us: vec![now.monotonic_us; engines.len()],
            engines,
            clients: Vec::new(),
            ended: Vec::new(),
            tape_capacity,
            bar_capacities,
        }
    }

    /// Connects a client that reads `step` bytes at a time; its place among the clients.
    pub(crate) fn open(
        &mut self,
        dialect: Dialect,
        step: usize,
        load_possible: bool,
        manners: Manners,
    ) -> usize {
        let number = self.clients.len();
        let engine = number % self.engines.len();
        let spoken = match dialect {
            Dialect::MessagePack => Spoken::MessagePack,
            Dialect::Json => Spoken::Json,
        };
        let pipe = Pipe::new(step);
        let key =
            self.engines[engine].open(self.now, pipe.clone(), spoken, number as u64, Vec::new());
        let mut config = Config::new(dialect);
        config.load_possible = load_possible;
        config.tape_capacity = self.tape_capacity as u64;
        config.bar_capacities = self.bar_capacities;
        self.clients.push(Client::new(engine, key, pipe, config, manners));
        number
    }

    /// The client subscribes to these symbols as the gateway offers them.
    pub(crate) fn subscribe(&mut self, client: usize, wanted: Subscribe) {
        self.clients[client].say(self.now.monotonic_us, &Command::Subscribe(wanted));
    }

    /// Lets time pass; nobody is served meanwhile.
    pub(crate) fn pass(&mut self, step_us: u64) {
        self.now.monotonic_us += step_us;
        self.now.unix_us += step_us as i64;
    }

    /// Publishes up to `most` random ticks.
    pub(crate) fn trade(&mut self, most: usize) {
        let Now { monotonic_us, unix_us } = self.now;
        self.market.trade(monotonic_us, unix_us, most, &mut self.rng, &mut self.truth);
    }

    /// Gives every symbol a quote it did not have before.
    pub(crate) fn requote(&mut self) {
        let (quote, count) = (self.fresh_quote(), self.market.names().len());
        self.publish((0..count).map(|number| (number, quote)));
    }

    /// A quote that no symbol had before this moment.
    pub(crate) fn fresh_quote(&self) -> TickBody {
        let price = (self.now.monotonic_us % 1_000_000_000) as i64;
        TickBody::Quote(Quote {
            bid_price: price,
            bid_size: 1,
            ask_price: price + 1,
            ask_size: 1,
            suspect: false,
        })
    }

    /// Publishes these ticks, each of the symbol of a number.
    pub(crate) fn publish(&mut self, bodies: impl IntoIterator<Item = (usize, TickBody)>) {
        let Now { monotonic_us, unix_us } = self.now;
        self.market.publish(monotonic_us, unix_us, bodies, &mut self.truth);
    }

    /// Has an engine serve one slice, and the clients read what came.
    pub(crate) fn serve_slice(&mut self, engine: usize) -> Progress {
        let progress = self.engines[engine].poll(self.now);
        self.ended.extend(self.engines[engine].take_ended());
        for client in &mut self.clients {
            client.read(self.now.monotonic_us, &self.truth);
        }
        progress
    }

    /// Steps of `step_us` for `length_us`; before each is served, `each` does something.
    pub(crate) fn run_with(
        &mut self,
        length_us: u64,
        step_us: u64,
        mut each: impl FnMut(&mut Self),
    ) {
        let end_us = self.now.monotonic_us + length_us;
        while self.now.monotonic_us < end_us {
            self.pass(step_us);
            each(self);
            self.serve(true);
        }
    }

    /// Does what the workers do now: reads clients, and polls at a tick, when the doorbell `rang`
    /// or input came. Says of each client what its socket is watched for next.
    pub(crate) fn serve(&mut self, rang: bool) -> Vec<Inbound> {
        let at_us = self.now.monotonic_us;
        let mut rang = vec![rang; self.engines.len()];
        let mut watched = Vec::new();
        for client in &mut self.clients {
            let engine = &mut self.engines[client.engine];
            let mut next = Inbound::Readable;
            // One that was not read because its replies did not leave is tried again.
            while (client.pipe.has_input() || client.paused || next == Inbound::Again)
                && engine.contains(client.key)
            {
                next = engine.on_readable(self.now, client.key);
                rang[client.engine] = true;
                client.paused = next == Inbound::Writable;
                if matches!(next, Inbound::Writable | Inbound::Held | Inbound::Closed) {
                    break;
                }
            }
            watched.push(next);
            client.read(at_us, &self.truth);
        }
        for (worker, engine) in self.engines.iter_mut().enumerate() {
            while rang[worker] || at_us >= self.next_due_us[worker] {
                let progress = engine.poll(self.now);
                self.next_due_us[worker] = progress.next_us.unwrap_or(u64::MAX);
                rang[worker] = progress.more;
            }
            self.ended.extend(engine.take_ended());
        }
        for client in &mut self.clients {
            client.read(at_us, &self.truth);
        }
        watched
    }

    /// Steps of `step_us` for `length_us`, with ticks where `most` is not 0.
    pub(crate) fn run_on(&mut self, length_us: u64, step_us: u64, most: usize) {
        let end_us = self.now.monotonic_us + length_us;
        while self.now.monotonic_us < end_us {
            self.pass(step_us);
            if most > 0 {
                self.trade(most);
            }
            self.serve(most > 0);
        }
    }

    /// Ends the run; nothing was published after `quiet_since_us`.
    pub(crate) fn finish(self, quiet_since_us: u64) -> Vec<Outcome> {
        let now_us = self.now.monotonic_us;
        self.clients
            .into_iter()
            .map(|client| client.finish(&self.truth, now_us, quiet_since_us))
            .collect()
    }
}
