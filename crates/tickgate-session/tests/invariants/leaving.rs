//! Sessions that are made to leave: by a drain, by a shortage, and under settings that change.

use std::time::Duration;

use tickgate_checker::{Channel, Closing, Dialect, Subscribe};
use tickgate_protocol::close::CloseReason;
use tickgate_session::EngineConfig;

use crate::world::{Manners, World};

const DRAINING: Option<Closing> = Some(Closing::Code(CloseReason::Draining.code()));
const OVERLOADED: Option<Closing> = Some(Closing::Code(CloseReason::Overloaded.code()));

fn world(clients: usize, config: EngineConfig) -> World {
    let mut world = World::new(9, 1, 12, 1_024, config);
    let names = world.market.names();
    for number in 0..clients {
        let dialect = [Dialect::MessagePack, Dialect::Json][number % 2];
        let client = world.open(dialect, 4_096, false, Manners::default());
        let wanted = Subscribe {
            symbols: names.clone(),
            channels: Some(Channel::ALL.to_vec()),
            throttle_ms: Some(Some([0, 25, 100][number % 3])),
            ..Subscribe::default()
        };
        world.subscribe(client, wanted);
    }
    world.run_on(500_000, 2_000, 4);
    world
}

/// Which clients were closed so far.
fn closed(world: &World) -> Vec<usize> {
    let each = world.clients.iter().enumerate();
    each.filter(|(_, client)| client.checker.ended().is_some()).map(|(at, _)| at).collect()
}

#[test]
fn a_drain_ends_within_its_time_also_with_clients_that_never_answer() {
    for within_ms in [5_000, 2_000, 1_250, 100, 0] {
        let mut world = world(30, EngineConfig::default());
        let within = Duration::from_millis(within_ms);
        let began_us = world.now.monotonic_us;
        world.engines[0].drain(world.now, within);
        // One that had its handshake answered just before.
        let late = world.open(Dialect::Json, 4_096, false, Manners::default());
        let mut steps = Vec::new();
        while world.now.monotonic_us < began_us + within.as_micros() as u64 {
            steps.push(closed(&world).len());
            world.run_on(50_000, 2_000, 4);
        }
        // What must be answered at once is given its second all the same.
        let least_us = 1_250_000_u64.saturating_sub(within.as_micros() as u64);
        world.run_on(least_us, 2_000, 4);
        assert!(world.engines[0].is_empty(), "{within_ms} ms: somebody is left");
        assert!(world.ended.iter().all(|ended| ended.reason == CloseReason::Draining));
        for (number, client) in world.clients.iter().enumerate() {
            assert_eq!(client.checker.ended(), DRAINING, "{within_ms} ms: client {number}");
        }
        assert_eq!(world.ended.len(), 31, "client {late} among them");
        if within_ms > 1_250 {
            steps.dedup();
            assert!(steps.len() > 5, "{within_ms} ms: closed in {} steps", steps.len());
        }
    }
}

#[test]
fn a_shortage_closes_the_stalled_first_then_those_that_hold_most() {
    let config = EngineConfig { drain_age: Duration::from_secs(600), ..EngineConfig::default() };
    let mut world = world(6, config);
    let at_us = world.now.monotonic_us;
    // One holds more than the others; one stalls in the middle of a frame, and one has stalled for
    // longer.
    let greedy = Subscribe { symbols: vec!["*".into()], ..Subscribe::default() };
    world.subscribe(0, greedy);
    world.clients[4].block_after(at_us, 30);
    world.run_on(500_000, 2_000, 4);
    let at_us = world.now.monotonic_us;
    world.clients[2].block_after(at_us, 30);
    world.run_on(500_000, 2_000, 4);

    let mut gone = Vec::new();
    for _ in 0..2 {
        world.engines[0].shed(world.now, 1);
        world.run_on(10_000, 2_000, 0);
        gone.extend(
            closed(&world).into_iter().filter(|each| !gone.contains(each)).collect::<Vec<_>>(),
        );
    }
    assert_eq!(gone, [4, 2], "by how long they have stalled");
    for client in gone {
        // Half a frame stands before where a close frame would.
        assert_eq!(world.clients[client].checker.ended(), Some(Closing::Cut));
    }
    world.engines[0].shed(world.now, 1);
    world.run_on(10_000, 2_000, 0);
    assert_eq!(world.clients[0].checker.ended(), OVERLOADED);

    world.engines[0].shed(world.now, 100);
    world.run_on(1_500_000, 2_000, 0);
    assert!(world.engines[0].is_empty(), "more than there are closes all");
    let reasons: Vec<_> = world.ended.iter().map(|ended| ended.reason).collect();
    assert_eq!(reasons, [CloseReason::Overloaded; 6]);
}

#[test]
fn settings_that_change_hold_at_once_and_what_an_engine_is_built_around_stays() {
    let mut world = World::new(13, 1, 12, 1_024, EngineConfig::default());
    let before = EngineConfig::default();
    let wanted = EngineConfig {
        flush_tick: Duration::from_millis(50),
        tape_interval: Duration::from_millis(70),
        frame_limit_bytes: 2_048,
        first_command_limit: Duration::from_secs(2),
        ..before.clone()
    };
    let shared = world.shared.with_config(wanted).expect("valid");
    assert_eq!(shared.config().flush_tick, before.flush_tick);
    assert_eq!(shared.config().tape_interval, before.tape_interval);
    assert_eq!(shared.config().frame_limit_bytes, before.frame_limit_bytes);
    let idle = world.open(Dialect::MessagePack, 4_096, false, Manners::default());
    world.engines[0].reconfigure(shared);
    world.run_on(2_400_000, 5_000, 0);
    assert_eq!(
        world.clients[idle].checker.ended(),
        Some(Closing::Code(CloseReason::NoCommand.code()))
    );
    let broken = EngineConfig { slice_sessions: 1, ..before };
    assert_eq!(world.shared.with_config(broken).expect_err("a rule").key, "slice_sessions");
}

#[test]
fn wildcards_are_counted_across_a_change_of_settings() {
    let config = EngineConfig { wildcard_limit: 1, ..EngineConfig::default() };
    let mut world = World::new(17, 1, 12, 1_024, config.clone());
    let all = Subscribe { symbols: vec!["*".into()], ..Subscribe::default() };
    let first = world.open(Dialect::MessagePack, 4_096, false, Manners::default());
    world.subscribe(first, all.clone());
    world.run_on(100_000, 2_000, 2);
    let shared = world.shared.with_config(config).expect("valid");
    world.engines[0].reconfigure(shared);
    let second = world.open(Dialect::MessagePack, 4_096, false, Manners::default());
    world.subscribe(second, all);
    world.run_on(100_000, 2_000, 2);
    assert_eq!(world.engines[0].stats().subscriptions, 1, "the one place is taken");
}
