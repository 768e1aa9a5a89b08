//! One seeded run from the first connection to a quiet end.

use std::time::Duration;

use rand::RngExt;
use tickgate_checker::{Dialect, Subscribe, Truth};
use tickgate_protocol::tick::Status;
use tickgate_session::{EngineConfig, EngineStats, Held, Survey};

use super::{
    client::{Manners, Outcome},
    stage::{BAR_CAPACITIES, EVENING_US, World},
};

/// What a run is made of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) engines: usize,
    pub(crate) clients: usize,
    pub(crate) symbols: usize,
    /// Virtual time in which the feed runs, microseconds.
    pub(crate) length_us: u64,
    pub(crate) stalls: bool,
    pub(crate) credit: bool,
    pub(crate) budget: bool,
    /// The Unix clock steps, the engine is called late.
    pub(crate) jumps: bool,
    /// New epochs, new symbols, finer scales, the feed going stale.
    pub(crate) upheaval: bool,
    pub(crate) tape_capacity: usize,
    /// Bar channels are among those that clients ask for, and the run begins just before midnight.
    pub(crate) bars: bool,
    /// Rings of bars so small that who is held up loses some.
    pub(crate) few_bars: bool,
}

/// What a run left behind.
pub(crate) struct Run {
    pub(crate) outcomes: Vec<Outcome>,
    /// Of each engine, after all its sessions were ended.
    pub(crate) stats: Vec<EngineStats>,
    /// Of each engine, while its sessions were still open: figures, and a survey of them.
    pub(crate) open: Vec<(EngineStats, Held)>,
    pub(crate) truth: Truth,
    /// Nothing was published after it.
    pub(crate) quiet_since_us: u64,
    pub(crate) end_us: u64,
}

/// Enough for the longest throttle in use, twice, and a heartbeat.
const QUIET_US: u64 = 3_000_000;

/// Runs it.
pub(crate) fn run(plan: Plan) -> Run {
    let config = EngineConfig {
        // Scripted clients may stall for the whole run: the drain age has tests of its own.
        drain_age: Duration::from_secs(600),
        wildcard_limit: 64,
        commands_per_second: 1_000_000,
        command_burst: 1_000,
        ..EngineConfig::default()
    };
    let Plan { seed, engines, symbols, tape_capacity, .. } = plan;
    let mut world = if plan.bars {
        let capacities = if plan.few_bars { [2, 1, 1] } else { BAR_CAPACITIES };
        World::at(EVENING_US, seed, engines, symbols, tape_capacity, capacities, config)
    } else {
        World::new(seed, engines, symbols, tape_capacity, config)
    };
    for _ in 0..plan.clients {
        let json = world.rng.random_bool(0.3);
        let dialect = if json { Dialect::Json } else { Dialect::MessagePack };
        let step = [1, 7, 4_096][world.rng.random_range(0..3)];
        let Plan { stalls, credit, budget, bars, .. } = plan;
        let manners = Manners { stalls, credit, budget, bars };
        let client = world.open(dialect, step, plan.jumps, manners);
        let first = Subscribe { id: Some(1), symbols: vec!["S0".into()], ..Subscribe::default() };
        world.subscribe(client, first);
    }

    let end_us = world.now.monotonic_us + plan.length_us;
    // Set once the feed has ended: a jump of the clock may pass the end by far.
    let mut quiet_since_us = None;
    while quiet_since_us.is_none_or(|since_us| world.now.monotonic_us < since_us + QUIET_US) {
        let feeding = world.now.monotonic_us < end_us;
        advance(&mut world, plan, feeding);
        let at_us = world.now.monotonic_us;
        let mut rang = false;
        if feeding {
            if world.rng.random_bool(0.5) {
                let most = if world.rng.random_bool(0.02) { 200 } else { 6 };
                world.trade(most);
                rang = true;
            }
            if plan.upheaval && upheaval(&mut world) {
                rang = true;
            }
        } else if quiet_since_us.is_none() {
            quiet_since_us = Some(at_us);
            for client in &mut world.clients {
                client.unblock(at_us);
            }
        }
        let names = world.market.names();
        let World { clients, rng, .. } = &mut world;
        for client in clients.iter_mut().filter(|client| client.checker.ended().is_none()) {
            if feeding {
                client.act(at_us, &names, rng);
            } else {
                client.acknowledge(at_us);
            }
        }
        world.serve(rang);
    }
    let quiet_since_us = quiet_since_us.expect("the loop ends after it was quiet");
    close_all(world, quiet_since_us)
}

/// Judges the clients as they are, then ends their sessions, for the engines' books.
fn close_all(mut world: World, quiet_since_us: u64) -> Run {
    let end_us = world.now.monotonic_us;
    let truth = world.truth.clone();
    let open = world.engines.iter().map(|engine| {
        let mut survey = Survey::new(0);
        while !engine.survey(world.now, &mut survey, 1) {}
        let slowest_first = |top| {
            let mut survey = Survey::new(top);
            assert!(engine.survey(world.now, &mut survey, usize::MAX), "all in one slice");
            survey.finish().1
        };
        let all = slowest_first(world.clients.len());
        assert!(all.is_sorted_by(|a, b| a.slowness() > b.slowness()), "{all:?}");
        assert_eq!(all.len(), engine.len());
        assert_eq!(slowest_first(2), all[..all.len().min(2)], "the slowest are kept");
        (engine.stats().clone(), survey.finish().0)
    });
    let open = open.collect();
    let keys: Vec<_> = world.clients.iter().map(|client| (client.engine, client.key)).collect();
    for (engine, key) in keys {
        let reason = tickgate_protocol::close::CloseReason::Kicked;
        world.engines[engine].close(world.now, key, reason);
    }
    let stats = world.engines.iter().map(|engine| engine.stats().clone()).collect();
    Run { outcomes: world.finish(quiet_since_us), stats, open, truth, quiet_since_us, end_us }
}

/// Lets time pass, sometimes so much that the engines were left alone for long.
fn advance(world: &mut World, plan: Plan, feeding: bool) {
    let before_us = world.now.monotonic_us;
    let mut step_us = world.rng.random_range(100..3_000);
    let late = plan.jumps && feeding && world.rng.random_bool(0.004);
    if late {
        step_us += world.rng.random_range(10_000..8_000_000);
    }
    world.pass(step_us);
    let at_us = world.now.monotonic_us;
    if plan.jumps && feeding && world.rng.random_bool(0.004) {
        world.now.unix_us += world.rng.random_range(-5_000_000i64..5_000_000);
        world.truth.clock(at_us, world.now.unix_us);
    }
    if late {
        for client in &mut world.clients {
            client.checker.neglected(before_us, at_us);
        }
    }
}

/// True when something was published.
fn upheaval(world: &mut World) -> bool {
    let World { market, now, rng, truth, .. } = world;
    match rng.random_range(0..4_000) {
        0 => market.begin_epoch(now.monotonic_us, truth),
        1..4 if market.names().len() < 200 => market.list(now.monotonic_us, rng, truth),
        4..7 => market.set_feed(now.monotonic_us, now.unix_us, Status::Stale, truth),
        20..28 => market.refine(now.monotonic_us, rng, truth),
        7..20 => market.set_feed(now.monotonic_us, now.unix_us, Status::Live, truth),
        _ => return false,
    }
    true
}
