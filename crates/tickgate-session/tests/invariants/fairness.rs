//! Whoever shares something gets a share: real-time and throttled sessions of one worker, clients
//! that come back all at once, and the symbols of a client whose budget is too small for all of them.

use std::collections::BTreeMap;

use tickgate_checker::{Channel, Command, Dialect, Subscribe};
use tickgate_protocol::entry::Entry;
use tickgate_session::EngineConfig;

use crate::world::{Manners, World};

/// Few enough that one slice never serves everybody.
const SLICE: usize = 4;
/// Bytes after which a slice ends, and the most that one session is sent in its turn: four frames.
const SLICE_BYTES: u64 = 128 * 1024;
const TURN_BYTES: u64 = 4 * 16 * 1024;
/// Symbols that fill a frame.
const MANY: usize = 400;

fn quotes(symbols: &[String], throttle_ms: u64) -> Subscribe {
    Subscribe {
        symbols: symbols.to_vec(),
        channels: Some(vec![Channel::Quote]),
        throttle_ms: Some(Some(throttle_ms)),
        ..Subscribe::default()
    }
}

/// A worker that serves four sessions at once, with clients of these throttle intervals, all set.
fn crowd(intervals_ms: impl IntoIterator<Item = u64>) -> World {
    crowd_of(8, SLICE, intervals_ms)
}

/// The same with so many symbols, all of which everybody wants, and so many sessions to a slice.
fn crowd_of(
    symbols: usize,
    slice_sessions: usize,
    intervals_ms: impl IntoIterator<Item = u64>,
) -> World {
    let config = EngineConfig { slice_sessions, ..EngineConfig::default() };
    let mut world = World::new(2, 1, symbols, 1_024, config);
    let names = world.market.names();
    for throttle_ms in intervals_ms {
        let client = world.open(Dialect::MessagePack, 4_096, true, Manners::default());
        world.subscribe(client, quotes(&names, throttle_ms));
    }
    world.run_on(500_000, 5_000, 4);
    world
}

#[test]
fn throttled_sessions_are_not_starved_by_real_time_ones() {
    // Twelve real-time sessions have something new each time one slice of four has been served; of
    // the smallest slices they could fill every one.
    for slice in [SLICE, 2] {
        let mut world = crowd_of(8, slice, [0; 12].into_iter().chain([25; 3]));
        let before: Vec<usize> = world.clients.iter().map(|client| client.frames().len()).collect();
        for _ in 0..4_000 {
            world.pass(500);
            world.requote();
            assert!(world.serve_slice(0).more, "real-time sessions wait all the time");
        }
        for (client, before) in world.clients.iter().zip(before).skip(12) {
            let frames = client.frames().len() - before;
            // 80 intervals, each prolonged by a tick where the turn comes after the tick.
            assert!((65..=80).contains(&frames), "{frames} frames in 80 intervals");
        }
        let at_us = world.now.monotonic_us;
        for (number, outcome) in world.finish(at_us).into_iter().enumerate() {
            assert_eq!(outcome.verdict.violations, [], "client {number}");
        }
    }
}

#[test]
fn throttled_sessions_are_not_starved_by_large_real_time_frames() {
    // What forty real-time sessions are due fills three slices.
    let mut world = crowd_of(MANY, 64, [0; 40].into_iter().chain([25; 3]));
    let before: Vec<usize> = world.clients.iter().map(|client| client.frames().len()).collect();
    for _ in 0..100 {
        world.pass(5_000);
        world.requote();
        assert!(world.serve_slice(0).more, "real-time sessions wait all the time");
    }
    for (client, before) in world.clients.iter().zip(before).skip(40) {
        let frames = client.frames().len() - before;
        assert!(frames >= 16, "{frames} frames in 20 intervals");
    }
}

#[test]
fn real_time_sessions_do_not_wait_behind_those_that_come_back() {
    let mut world = crowd([0]);
    let names = world.market.names();
    for _ in 0..40 {
        let client = world.open(Dialect::MessagePack, 4_096, true, Manners::default());
        world.subscribe(client, quotes(&names, 50));
    }
    // All of them are heard before anybody is served.
    for client in &world.clients[1..] {
        while client.pipe.has_input() {
            world.engines[0].on_readable(world.now, client.key);
        }
    }
    for slice in 0..10 {
        world.pass(10);
        world.requote();
        let before = world.clients[0].frames().len();
        assert!(world.serve_slice(0).more, "the others wait for their snapshots");
        assert_eq!(world.clients[0].frames().len(), before + 1, "slice {slice}");
    }
}

#[test]
fn a_slice_ends_when_it_has_sent_much() {
    let mut world = crowd_of(MANY, 64, []);
    world.requote();
    let names = world.market.names();
    for _ in 0..40 {
        let client = world.open(Dialect::MessagePack, 4_096, true, Manners::default());
        world.subscribe(client, quotes(&names, 50));
    }
    for client in &world.clients {
        while client.pipe.has_input() {
            world.engines[0].on_readable(world.now, client.key);
        }
    }
    let mut slices = 0;
    loop {
        let before = world.engines[0].stats().frame_bytes;
        let more = world.serve_slice(0).more;
        let sent = world.engines[0].stats().frame_bytes - before;
        assert!(sent < SLICE_BYTES + TURN_BYTES, "{sent} bytes in one slice");
        slices += 1;
        if !more {
            break;
        }
    }
    assert!(slices > 4, "{slices} slices of at most 64 sessions for 40 of them");
}

#[test]
fn real_time_sessions_do_not_wait_behind_throttled_ones() {
    let mut world = crowd([0].into_iter().chain([50; 80]));
    for _ in 0..10 {
        let before_us = world.now.monotonic_us;
        world.pass(200_000);
        let at_us = world.now.monotonic_us;
        for client in &mut world.clients {
            client.checker.neglected(before_us, at_us);
        }
        // All 80 are due at once, for 20 slices.
        for slice in 0..20 {
            world.pass(10);
            world.requote();
            let before = world.clients[0].frames().len();
            assert!(world.serve_slice(0).more, "throttled sessions wait all the time");
            assert_eq!(world.clients[0].frames().len(), before + 1, "slice {slice}");
        }
        world.run_on(100_000, 5_000, 0);
    }
}

/// Entries by symbol's id that a client gets in 20 s, in order, whose budget is a tenth or less of
/// what it subscribed to, at the intervals given; all symbols change all the time.
fn squeezed(symbols: usize, subscribes: impl FnOnce(&[String]) -> Vec<Subscribe>) -> Vec<u32> {
    squeezed_to(2_000, symbols, subscribes)
}

/// The same with a budget of so many bytes a second.
fn squeezed_to(
    rate: u64,
    symbols: usize,
    subscribes: impl FnOnce(&[String]) -> Vec<Subscribe>,
) -> Vec<u32> {
    let mut world = World::new(4, 1, symbols, 1_024, EngineConfig::default());
    let names = world.market.names();
    let client = world.open(Dialect::MessagePack, 4_096, false, Manners::default());
    for subscribe in subscribes(&names) {
        world.subscribe(client, subscribe);
    }
    world.run_with(500_000, 5_000, World::requote);
    let budget = Command::Throttle {
        id: None,
        symbols: None,
        throttle_ms: None,
        max_bytes_per_second: Some(Some(rate)),
    };
    world.clients[client].say(world.now.monotonic_us, &budget);
    // The burst is spent first.
    world.run_with(2_000_000, 5_000, World::requote);
    let settled = world.clients[client].frames().len();
    world.run_with(20_000_000, 5_000, World::requote);
    let frames = world.clients[client].frames().split_off(settled);
    frames
        .into_iter()
        .flat_map(|(_, frame)| frame.entries)
        .map(|entry| match entry {
            Entry::Quote(quote) => quote.id,
            other => panic!("{other:?} was not asked for"),
        })
        .collect()
}

/// How many entries each symbol got.
fn counts(entries: &[u32]) -> BTreeMap<u32, usize> {
    let mut counts = BTreeMap::new();
    for id in entries {
        *counts.entry(*id).or_default() += 1;
    }
    counts
}

#[test]
fn under_a_small_budget_the_symbols_of_an_interval_come_in_turns() {
    for throttle_ms in [0, 25, 100] {
        let entries = squeezed(24, |names| vec![quotes(names, throttle_ms)]);
        assert!(entries.len() > 1_000, "{} entries", entries.len());
        let counts = counts(&entries);
        assert_eq!(counts.len(), 24, "{throttle_ms} ms: {counts:?}");
        let (least, most) = (counts.values().min(), counts.values().max());
        assert!(most <= least.map(|least| least + 2).as_ref(), "{throttle_ms} ms: {counts:?}");
    }
}

#[test]
fn a_round_of_many_symbols_goes_on_where_the_frame_was_full() {
    // Some forty entries fit a frame, of eighty that have changed.
    let entries = squeezed_to(150_000, 80, |names| vec![quotes(names, 5)]);
    let mut last = BTreeMap::new();
    for (at, id) in entries.iter().enumerate() {
        if let Some(before) = last.insert(*id, at) {
            assert!(at - before >= 78, "{id} again after {}", at - before);
        }
    }
    assert_eq!(last.len(), 80);
    assert!(entries.len() > 100_000, "{} entries", entries.len());
}

#[test]
fn under_a_small_budget_the_wildcards_symbols_come_in_turns() {
    for throttle_ms in [0, 25] {
        let entries = squeezed(24, |_| vec![quotes(&["*".into()], throttle_ms)]);
        let counts = counts(&entries);
        assert_eq!(counts.len(), 24, "{throttle_ms} ms: {counts:?}");
        let (least, most) = (counts.values().min(), counts.values().max());
        assert!(most <= least.map(|least| least + 2).as_ref(), "{throttle_ms} ms: {counts:?}");
    }
}

#[test]
fn under_a_small_budget_no_interval_lives_on_what_others_leave() {
    let entries = squeezed(24, |names| {
        let wildcard = quotes(&["*".into()], 50);
        vec![quotes(&names[..8], 25), quotes(&names[8..16], 30), wildcard]
    });
    let counts = counts(&entries);
    assert_eq!(counts.len(), 24, "{counts:?}");
    let (least, most) = (counts.values().min(), counts.values().max());
    assert!(most <= least.map(|least| 2 * least).as_ref(), "{counts:?}");
}

#[test]
fn under_a_small_budget_an_interval_that_got_nothing_begins_the_next_frame() {
    // Room for one entry at a time, and the first interval has always passed again.
    let entries = squeezed(9, |names| vec![quotes(&names[..1], 5), quotes(&names[1..], 30)]);
    let counts = counts(&entries);
    assert_eq!(counts.len(), 9, "{counts:?}");
    let others: usize = counts.values().skip(1).sum();
    assert!(others >= counts[&0], "{counts:?}");
}
