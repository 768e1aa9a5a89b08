//! What a client that lags is told once it catches up: trades, statuses and new scales, each once and
//! in its place, and how much it lost.

use tickgate_checker::{Channel, Command, Dialect, Subscribe};
use tickgate_protocol::{
    entry::Entry,
    number::ABSENT,
    tick::{Reason, Status, StatusChange, TickBody, Trade},
};
use tickgate_session::EngineConfig;

use crate::world::{Manners, World};

const TICK_US: u64 = 5_000;

/// One client of the trades of one symbol that gives no credit, with its one frame sent.
fn lagging() -> World {
    let mut world = World::new(6, 1, 1, 1_024, EngineConfig::default());
    world.open(Dialect::MessagePack, 4_096, false, Manners::default());
    let wanted = Subscribe {
        symbols: vec!["S0".into()],
        channels: Some(vec![Channel::Trade]),
        throttle_ms: Some(Some(25)),
        ..Subscribe::default()
    };
    world.subscribe(0, wanted);
    world.run_on(300_000, TICK_US, 0);
    let now_us = world.now.monotonic_us;
    world.clients[0].say(now_us, &Command::Credit { id: None, frames: Some(1) });
    trades(&mut world, 60);
    world
}

fn trades(world: &mut World, count: usize) {
    let trade = TickBody::Trade(Trade { price: 5, size: 1, flags: 0, trade_id: ABSENT });
    for _ in 0..count {
        world.publish([(0, trade)]);
        world.run_on(TICK_US, TICK_US, 0);
    }
}

fn refine(world: &mut World) {
    let World { market, now, rng, truth, .. } = world;
    market.refine(now.monotonic_us, rng, truth);
}

/// Forty changes of its status, of which the small tape holds the newest sixteen.
fn statuses(world: &mut World) {
    for number in 0..40 {
        let status = if number % 2 == 0 { Status::Halted } else { Status::Trading };
        let change = StatusChange { status, reason: Reason::None };
        world.publish([(0, TickBody::Status(change))]);
        world.run_on(TICK_US, TICK_US, 0);
    }
}

/// What it is told once it gives credit.
fn caught_up(world: &mut World) -> Vec<Entry> {
    let before = world.clients[0].frames().len();
    let now_us = world.now.monotonic_us;
    world.clients[0].acknowledge(now_us);
    world.run_on(500_000, TICK_US, 0);
    let frames = world.clients[0].frames().split_off(before).into_iter();
    frames.flat_map(|(_, frame)| frame.entries).collect()
}

#[test]
fn a_new_scale_is_told_once_however_many_trades_are_older() {
    let mut world = lagging();
    trades(&mut world, 20);
    refine(&mut world);
    trades(&mut world, 5);
    let told = caught_up(&mut world);
    let is_definition = |entry: &Entry| matches!(entry, Entry::Definition(_));
    assert_eq!(told.iter().filter(|entry| is_definition(entry)).count(), 1, "{told:?}");
    assert_eq!(told.iter().rposition(is_definition), Some(told.len() - 6), "before the five");
    assert!(told.len() > 26);
    let at_us = world.now.monotonic_us;
    assert_eq!(world.finish(at_us).remove(0).verdict.violations, []);
}

#[test]
fn every_status_that_a_new_scale_passes_over_is_counted_as_lost() {
    let mut world = lagging();
    refine(&mut world);
    trades(&mut world, 1);
    statuses(&mut world);
    let told = caught_up(&mut world);
    // The small tape no longer holds the one before the oldest, so the definition has the newest.
    let definitions: Vec<u64> = told
        .iter()
        .filter_map(|entry| match entry {
            Entry::Definition(definition) => Some(definition.status_sequence),
            _ => None,
        })
        .collect();
    assert_eq!(definitions, [40]);
    assert!(!told.iter().any(|entry| matches!(entry, Entry::Status(_))), "{told:?}");
    assert_eq!(world.engines[0].stats().statuses_lost, 39);
}

#[test]
fn trades_before_a_lapped_status_are_told_before_it_and_no_status_is_skipped() {
    let mut world = lagging();
    statuses(&mut world);
    let told = caught_up(&mut world);
    let trades = told.iter().take_while(|entry| matches!(entry, Entry::Trade(_))).count();
    assert!(trades > 50, "{trades} trades");
    let statuses: Vec<u64> = told[trades..]
        .iter()
        .map(|entry| match entry {
            Entry::Status(status) => status.status_sequence,
            other => panic!("{other:?} among the statuses"),
        })
        .collect();
    assert_eq!(statuses, (25..=40).collect::<Vec<_>>());
    assert_eq!(world.engines[0].stats().statuses_lost, 24);
}
