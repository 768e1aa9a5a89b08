//! What an engine measures of itself: how late timers and turns are, and how long frames take to leave.

use std::time::Duration;

use tickgate_checker::{Channel, Command, Dialect, Subscribe};
use tickgate_protocol::{
    close::CloseReason,
    entry::cause,
    number::ABSENT,
    tick::{TickBody, Trade},
};
use tickgate_session::{EngineConfig, Spread};

use crate::world::{Manners, World};

const TICK_US: u64 = 5_000;

/// Clients with all quotes of ten symbols at an interval, settled.
fn world(clients: usize, throttle_ms: u64, config: EngineConfig) -> World {
    let mut world = World::new(6, 1, 10, 16, config);
    for _ in 0..clients {
        let client = world.open(Dialect::MessagePack, 4_096, true, Manners::default());
        let wanted = Subscribe {
            symbols: world.market.names(),
            channels: Some(vec![Channel::Quote]),
            throttle_ms: Some(Some(throttle_ms)),
            ..Subscribe::default()
        };
        world.subscribe(client, wanted);
    }
    world.run_with(500_000, TICK_US, World::requote);
    world
}

/// How many values have been counted since `before`, and their sum.
fn since(before: &Spread, after: &Spread) -> (u64, u64) {
    (after.total() - before.total(), after.sum - before.sum)
}

#[test]
fn timers_count_the_ticks_by_which_they_fire_late() {
    for late_ticks in [0, 1, 3] {
        let mut world = world(1, 25, EngineConfig::default());
        let before = world.clients[0].frames().len();
        while world.clients[0].frames().len() == before {
            world.run_with(TICK_US, TICK_US, World::requote);
        }
        world.run_with(4 * TICK_US, TICK_US, World::requote);
        let before = world.engines[0].stats().clone();
        world.pass(late_ticks * TICK_US);
        world.run_with(TICK_US, TICK_US, World::requote);
        let after = world.engines[0].stats();
        assert_eq!(since(&before.lateness, &after.lateness), (1, late_ticks));
        assert_eq!(since(&before.turn_waits, &after.turn_waits), (1, 0));
    }
}

#[test]
fn turns_count_the_ticks_they_were_waited_for_and_two_are_our_load() {
    let config = EngineConfig { slice_sessions: 2, ..EngineConfig::default() };
    for waited_ticks in [1, 2, 3] {
        let mut world = world(4, 0, config.clone());
        let before = world.engines[0].stats().clone();
        let frames: Vec<usize> = world.clients.iter().map(|each| each.frames().len()).collect();
        world.pass(100);
        world.requote();
        assert!(world.serve_slice(0).more, "two of the four have had their turn");
        world.pass(waited_ticks * TICK_US);
        while world.serve_slice(0).more {}
        let after = world.engines[0].stats();
        assert_eq!(after.turn_waits.sum - before.turn_waits.sum, 2 * waited_ticks);
        let (late, expected) = if waited_ticks < 2 { (0, 0) } else { (2, cause::LOAD) };
        assert_eq!(after.late_flushes - before.late_flushes, late, "{waited_ticks} ticks");
        let causes =
            world.clients.iter().zip(frames).map(|(each, from)| each.frames()[from].1.cause);
        let mut causes: Vec<u8> = causes.collect();
        causes.sort_unstable();
        assert_eq!(causes, [0, 0, expected, expected], "{waited_ticks} ticks");
    }
}

#[test]
fn frames_that_the_socket_did_not_take_at_once_count_the_time_they_took() {
    let mut world = world(1, 25, EngineConfig::default());
    let before = world.engines[0].stats().leaving.clone();
    world.run_with(500_000, TICK_US, World::requote);
    assert_eq!(before.total(), 0, "nothing was refused");
    assert_eq!(world.engines[0].stats().leaving, before);
    for took_ms in [40, 100] {
        let before = world.engines[0].stats().leaving.clone();
        let now_us = world.now.monotonic_us;
        world.clients[0].block_after(now_us, 10);
        while world.engines[0].footprint(world.clients[0].key).is_some_and(|each| each.waiting == 0)
        {
            world.run_with(TICK_US, TICK_US, World::requote);
        }
        world.run_with(took_ms * 1_000 - TICK_US, TICK_US, World::requote);
        let now_us = world.now.monotonic_us;
        world.clients[0].unblock(now_us);
        world.run_with(500_000, TICK_US, World::requote);
        let after = &world.engines[0].stats().leaving;
        assert_eq!(since(&before, after), (1, took_ms));
    }
}

#[test]
fn a_frame_that_stands_for_just_the_drain_age_may_still_leave() {
    let drain_age = Duration::from_secs(1);
    let mut world = world(1, 25, EngineConfig { drain_age, ..EngineConfig::default() });
    let now_us = world.now.monotonic_us;
    world.clients[0].block_after(now_us, 10);
    while world.engines[0].footprint(world.clients[0].key).is_some_and(|each| each.waiting == 0) {
        world.run_with(TICK_US, TICK_US, World::requote);
    }
    world.run_with(1_000_000, TICK_US, World::requote);
    assert!(world.ended.is_empty());
    world.run_with(TICK_US, TICK_US, World::requote);
    let ended: Vec<_> = world.ended.iter().map(|ended| ended.reason).collect();
    assert_eq!(ended, [CloseReason::SlowConsumer]);
}

#[test]
fn the_end_of_a_session_says_what_it_merged_and_lost() {
    let mut world = world(1, 25, EngineConfig::default());
    let trades = Subscribe {
        symbols: world.market.names(),
        channels: Some(vec![Channel::Trade]),
        ..Subscribe::default()
    };
    world.subscribe(0, trades);
    world.run_with(500_000, TICK_US, World::requote);
    let now_us = world.now.monotonic_us;
    world.clients[0].say(now_us, &Command::Credit { id: None, frames: Some(1) });
    let lagging = |world: &mut World| {
        let trade = Trade { price: 5, size: 1, flags: 0, trade_id: ABSENT };
        world.publish([(0, TickBody::Trade(trade))]);
        world.requote();
    };
    // Three rounds in which the tape of 16 laps it.
    for _ in 0..3 {
        world.run_with(200_000, TICK_US, lagging);
        let now_us = world.now.monotonic_us;
        world.clients[0].acknowledge(now_us);
    }
    world.run_with(100_000, TICK_US, lagging);
    let key = world.clients[0].key;
    world.engines[0].close(world.now, key, CloseReason::Kicked);
    world.run_on(2_000_000, TICK_US, 0);
    let stats = world.engines[0].stats();
    let merged: u64 = stats.merged.iter().sum();
    assert!(merged > 500 && stats.trades_lost > 30, "{merged} merged, {} lost", stats.trades_lost);
    let ended: Vec<_> = world.ended.iter().map(|ended| (ended.merged, ended.lost)).collect();
    assert_eq!(ended, [(merged, stats.trades_lost)]);
}

#[test]
fn a_tick_is_one_pass_for_throttled_sessions_however_many_slices_it_takes() {
    let config = EngineConfig { slice_sessions: 2, ..EngineConfig::default() };
    let mut world = world(8, 5, config);
    let before = world.engines[0].stats().shared_entries;
    world.pass(TICK_US);
    world.requote();
    // One slice at the tick, one at the same time, two a moment later.
    for (step_us, more) in [(0, true), (0, true), (10, true), (10, false)] {
        world.pass(step_us);
        assert_eq!(world.serve_slice(0).more, more);
    }
    let shared = world.engines[0].stats().shared_entries - before;
    assert_eq!(shared, 7 * 10, "one of eight is encoded, seven are copied");
}

#[test]
fn real_time_frames_are_dated_when_they_are_formed() {
    let mut world = world(1, 0, EngineConfig::default());
    for step_us in [1_300, 700, 1_900] {
        world.pass(step_us);
        world.requote();
        world.serve(true);
        let frames = world.clients[0].frames();
        let (at_us, frame) = frames.last().expect("there are many");
        assert_eq!((*at_us, frame.sent_at_us), (world.now.monotonic_us, world.now.unix_us));
    }
}
