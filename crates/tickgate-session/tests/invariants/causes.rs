//! A frame says why it is late, and one that is on time says nothing.

use tickgate_checker::{Channel, Command, Dialect, Subscribe};
use tickgate_protocol::entry::{Frame, cause};
use tickgate_session::EngineConfig;

use crate::world::{Manners, World};

const TICK_US: u64 = 5_000;

/// One client with all quotes at an interval, settled.
fn subscribed(throttle_ms: u64) -> World {
    let mut world = World::new(6, 1, 12, 1_024, EngineConfig::default());
    let client = world.open(Dialect::MessagePack, 4_096, true, Manners::default());
    let wanted = Subscribe {
        symbols: world.market.names(),
        channels: Some(vec![Channel::Quote]),
        throttle_ms: Some(Some(throttle_ms)),
        ..Subscribe::default()
    };
    world.subscribe(client, wanted);
    world.run_with(500_000, TICK_US, World::requote);
    world
}

fn say(world: &mut World, command: &Command) {
    let now_us = world.now.monotonic_us;
    world.clients[0].say(now_us, command);
}

fn budget(world: &mut World, bytes: Option<u64>) {
    let max_bytes_per_second = Some(bytes);
    let command =
        Command::Throttle { id: None, symbols: None, throttle_ms: None, max_bytes_per_second };
    say(world, &command);
}

/// The frames with entries that come while every symbol changes at every tick.
fn frames_of(world: &mut World, length_us: u64) -> Vec<Frame> {
    let before = world.clients[0].frames().len();
    world.run_with(length_us, TICK_US, World::requote);
    let frames = world.clients[0].frames().split_off(before);
    frames.into_iter().map(|(_, frame)| frame).filter(|frame| !frame.entries.is_empty()).collect()
}

fn causes(frames: &[Frame]) -> Vec<u8> {
    frames.iter().map(|frame| frame.cause).collect()
}

#[test]
fn limits_that_hold_nothing_up_are_no_cause() {
    for throttle_ms in [0, 25] {
        let mut world = subscribed(throttle_ms);
        budget(&mut world, Some(1_000_000));
        say(&mut world, &Command::Credit { id: None, frames: Some(256) });
        let frames = frames_of(&mut world, 1_000_000);
        assert!(frames.len() >= 30, "{} frames", frames.len());
        assert!(frames.iter().all(|frame| frame.cause == 0), "{:?}", causes(&frames));
        assert_eq!(world.engines[0].stats().late_flushes, 0);
    }
}

#[test]
fn a_spent_budget_is_the_cause() {
    for throttle_ms in [0, 25] {
        let mut world = subscribed(throttle_ms);
        budget(&mut world, Some(1_000));
        // The burst is spent first; then every frame waits.
        frames_of(&mut world, 2_000_000);
        let frames = frames_of(&mut world, 3_000_000);
        assert!(frames.len() > 10, "{} frames", frames.len());
        assert!(frames.iter().all(|frame| frame.cause == cause::BUDGET), "{:?}", causes(&frames));
        budget(&mut world, None);
        frames_of(&mut world, 100_000);
        let frames = frames_of(&mut world, 500_000);
        assert!(frames.iter().all(|frame| frame.cause == 0), "{:?}", causes(&frames));
    }
}

#[test]
fn a_spent_credit_is_the_cause() {
    let mut world = subscribed(25);
    say(&mut world, &Command::Credit { id: None, frames: Some(1) });
    assert_eq!(frames_of(&mut world, 500_000).len(), 1);
    for _ in 0..10 {
        let now_us = world.now.monotonic_us;
        world.clients[0].acknowledge(now_us);
        let frames = frames_of(&mut world, 200_000);
        assert_eq!(causes(&frames), [cause::CREDIT]);
    }
    // Acknowledged before the next is due, nothing waits.
    for _ in 0..10 {
        let now_us = world.now.monotonic_us;
        world.clients[0].acknowledge(now_us);
        let late = frames_of(&mut world, TICK_US);
        assert!(late.len() <= 1);
    }
    let now_us = world.now.monotonic_us;
    world.clients[0].acknowledge(now_us);
    let before = world.clients[0].frames().len();
    while world.clients[0].frames().len() == before {
        world.run_with(TICK_US, TICK_US, World::requote);
    }
    let now_us = world.now.monotonic_us;
    world.clients[0].acknowledge(now_us);
    let frames = frames_of(&mut world, 25_000);
    assert_eq!(causes(&frames), [0]);
}

#[test]
fn a_full_socket_is_the_cause() {
    let mut world = subscribed(25);
    for room in [0, 10] {
        let now_us = world.now.monotonic_us;
        world.clients[0].block_after(now_us, room);
        assert_eq!(frames_of(&mut world, 300_000), [], "none is whole");
        let now_us = world.now.monotonic_us;
        world.clients[0].unblock(now_us);
        let frames = frames_of(&mut world, 100_000);
        // The frame that stood in the socket was on time, what waited behind it was not.
        assert_eq!(causes(&frames[..3]), [0, cause::SOCKET, 0]);
    }
}

#[test]
fn a_flush_two_ticks_late_names_our_load_and_one_tick_late_does_not() {
    for (late_ticks, expected) in [(0, 0), (1, 0), (2, cause::LOAD), (3, cause::LOAD)] {
        let mut world = subscribed(25);
        let before = world.clients[0].frames().len();
        while world.clients[0].frames().len() == before {
            world.run_with(TICK_US, TICK_US, World::requote);
        }
        // The next is due in five ticks.
        world.run_with(4 * TICK_US, TICK_US, World::requote);
        let neglected_us = world.now.monotonic_us;
        world.pass(late_ticks * TICK_US);
        let at_us = world.now.monotonic_us;
        if late_ticks > 0 {
            world.clients[0].checker.neglected(neglected_us, at_us);
        }
        let frames = frames_of(&mut world, TICK_US);
        assert_eq!(causes(&frames), [expected], "{late_ticks} ticks late");
        let late = u64::from(expected != 0);
        assert_eq!(world.engines[0].stats().late_flushes, late, "{late_ticks} ticks late");
        // It has told, and the next is on time.
        let frames = frames_of(&mut world, 25_000);
        assert_eq!(causes(&frames), [0]);
    }
}
