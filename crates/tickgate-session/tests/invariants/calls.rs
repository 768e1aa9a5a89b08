//! What an engine tells its caller: when to come again, whom to listen to, who is who.

use std::io;

use tickgate_checker::{Channel, Command, Dialect, Subscribe, control, websocket::Opcode};
use tickgate_protocol::{close::CloseReason, reply::Reply};
use tickgate_session::{EngineConfig, Inbound, Progress};

use crate::world::{Heard, Manners, World};

const TICK_US: u64 = 5_000;

fn world(clients: usize) -> World {
    let config = EngineConfig { command_burst: 1_000, ..EngineConfig::default() };
    let mut world = World::new(3, 1, 4, 64, config);
    for _ in 0..clients {
        world.open(Dialect::MessagePack, 4_096, false, Manners::default());
    }
    world
}

fn subscribe(world: &mut World, client: usize, symbol: &str, throttle_ms: Option<u64>) {
    let wanted = Subscribe {
        symbols: vec![symbol.into()],
        channels: Some(vec![Channel::Quote]),
        throttle_ms: throttle_ms.map(Some),
        ..Subscribe::default()
    };
    world.subscribe(client, wanted);
    world.run_on(10, 10, 0);
}

fn unsubscribe(world: &mut World, client: usize, symbol: &str) {
    let at_us = world.now.monotonic_us;
    let command = Command::Unsubscribe { id: None, symbols: vec![symbol.into()], channels: None };
    world.clients[client].say(at_us, &command);
    world.run_on(10, 10, 0);
}

#[test]
fn an_engine_without_sessions_wants_nothing_and_one_with_some_comes_at_each_tick() {
    let mut world = world(0);
    assert!(world.engines[0].is_empty());
    let idle = Progress { more: false, next_us: None, wants_doorbell: false };
    assert_eq!(world.serve_slice(0), idle);
    let client = world.open(Dialect::MessagePack, 4_096, false, Manners::default());
    assert!(!world.engines[0].is_empty());
    for _ in 0..5 {
        world.pass(1_700);
        let now_us = world.now.monotonic_us;
        let next_us = Some((now_us / TICK_US + 1) * TICK_US);
        assert_eq!(world.serve_slice(0), Progress { next_us, ..idle });
    }
    let key = world.clients[client].key;
    world.engines[0].close(world.now, key, CloseReason::Kicked);
    world.run_on(1_500_000, TICK_US, 0);
    assert_eq!(world.serve_slice(0), idle);
    assert!(world.engines[0].is_empty());
}

#[test]
fn the_bell_is_wanted_while_somebody_is_in_real_time() {
    let mut world = world(3);
    let wants = |world: &mut World| world.serve_slice(0).wants_doorbell;
    assert!(!wants(&mut world));
    subscribe(&mut world, 0, "S0", None);
    subscribe(&mut world, 1, "*", Some(25));
    assert!(!wants(&mut world), "throttled only");
    subscribe(&mut world, 0, "S1", Some(0));
    assert!(wants(&mut world));
    subscribe(&mut world, 2, "S1", Some(0));
    unsubscribe(&mut world, 0, "S1");
    assert!(wants(&mut world), "another is");
    subscribe(&mut world, 2, "S1", Some(50));
    assert!(!wants(&mut world), "none is left");
    subscribe(&mut world, 1, "*", Some(0));
    assert!(wants(&mut world));
    subscribe(&mut world, 1, "*", Some(25));
    assert!(!wants(&mut world), "throttled again");
    subscribe(&mut world, 1, "*", Some(0));
    assert!(wants(&mut world));
    unsubscribe(&mut world, 1, "*");
    assert!(!wants(&mut world));
    subscribe(&mut world, 1, "*", Some(0));
    subscribe(&mut world, 2, "S2", Some(0));
    for client in [1, 2] {
        assert!(wants(&mut world));
        let key = world.clients[client].key;
        world.engines[0].close(world.now, key, CloseReason::Kicked);
    }
    assert!(!wants(&mut world), "they are gone");
}

#[test]
fn a_key_names_one_session_only() {
    let mut world = world(2);
    let old = world.clients[0].key;
    world.clients[0].pipe.send(&control(Opcode::Close, &1_000u16.to_be_bytes(), [1, 2, 3, 4]));
    world.run_on(TICK_US, TICK_US, 0);
    assert!(!world.engines[0].contains(old));
    let client = world.open(Dialect::MessagePack, 4_096, false, Manners::default());
    let new = world.clients[client].key;
    assert_ne!(old, new);
    assert_eq!(world.engines[0].len(), 2);
    assert!(world.engines[0].contains(new) && !world.engines[0].contains(old));
    assert!(world.engines[0].footprint(old).is_none());
    world.engines[0].close(world.now, old, CloseReason::Kicked);
    assert_eq!(world.engines[0].on_readable(world.now, old), Inbound::Closed);
    world.run_on(1_500_000, TICK_US, 0);
    assert!(world.engines[0].contains(new), "closing the old one concerns nobody");
    assert_eq!(world.ended.len(), 1);
}

#[test]
fn a_turn_of_reading_is_eight_messages_or_sixteen_kilobytes() {
    let mut world = world(1);
    let pongs = |world: &World| {
        let replies = world.clients[0].replies().into_iter();
        replies.filter(|reply| matches!(reply, Reply::Pong { .. })).count()
    };
    let at_us = world.now.monotonic_us;
    for id in 0..20 {
        world.clients[0].say(at_us, &Command::Ping { id: Some(id) });
    }
    let key = world.clients[0].key;
    for (turn, expected) in [(1, Inbound::Again), (2, Inbound::Again), (3, Inbound::Readable)] {
        assert_eq!(world.engines[0].on_readable(world.now, key), expected, "turn {turn}");
        world.serve_slice(0);
        assert_eq!(pongs(&world), (8 * turn).min(20), "turn {turn}");
    }
    // One long message comes in four reads a turn.
    let long = format!("{:<16000}", "x");
    world.clients[0].pipe.send(&control(Opcode::Binary, long.as_bytes(), [1, 2, 3, 4]));
    world.clients[0].pipe.send(&control(Opcode::Binary, long.as_bytes(), [1, 2, 3, 4]));
    let unread = world.clients[0].pipe.unread();
    assert_eq!(world.engines[0].on_readable(world.now, key), Inbound::Again);
    assert_eq!(unread - world.clients[0].pipe.unread(), 16 * 1_024);
    assert_eq!(world.engines[0].on_readable(world.now, key), Inbound::Again);
    assert_eq!(world.clients[0].pipe.unread(), 0);
}

#[test]
fn a_turn_of_writing_is_four_frames() {
    // Two turns a slice, two sessions that are owed a dozen frames each.
    let config =
        EngineConfig { frame_limit_bytes: 2_048, slice_sessions: 2, ..EngineConfig::default() };
    let mut world = World::new(3, 1, 400, 64, config);
    for _ in 0..2 {
        world.open(Dialect::MessagePack, 4_096, false, Manners::default());
    }
    world.run_on(10, 10, 0);
    for client in 0..2 {
        let wanted = Subscribe { symbols: vec!["*".into()], ..Subscribe::default() };
        world.subscribe(client, wanted);
    }
    for client in 0..2 {
        let key = world.clients[client].key;
        assert_eq!(world.engines[0].on_readable(world.now, key), Inbound::Readable);
    }
    let frames = |world: &World| [0, 1].map(|client: usize| world.clients[client].frames().len());
    let before = frames(&world);
    for turn in 1..3 {
        assert!(world.serve_slice(0).more, "turn {turn}");
        assert_eq!(frames(&world), before.map(|count| count + 4 * turn));
    }
    assert_eq!(world.shared.readies(), 0);
    let mut left = 100;
    while world.serve_slice(0).more && left > 0 {
        left -= 1;
    }
    assert!(left > 0, "it comes to an end");
    assert_eq!(world.shared.readies(), 2);
}

#[test]
fn answered_subscribes_are_counted_over_all_engines() {
    let mut world = World::new(3, 2, 4, 64, EngineConfig::default());
    for client in 0..4 {
        world.open(Dialect::MessagePack, 4_096, false, Manners::default());
        subscribe(&mut world, client, "S1", None);
        world.run_on(TICK_US, TICK_US, 0);
        assert_eq!(world.shared.readies(), client as u64 + 1);
    }
}

#[test]
fn a_connection_that_breaks_ends_for_its_reason() {
    // While it is written to, and while it is read.
    for read in [false, true] {
        let mut world = world(2);
        subscribe(&mut world, 0, "S0", Some(0));
        subscribe(&mut world, 1, "S0", Some(0));
        world.clients[0].pipe.cut();
        let key = world.clients[0].key;
        world.pass(10);
        if read {
            assert_eq!(world.engines[0].on_readable(world.now, key), Inbound::Closed);
        } else {
            world.requote();
            world.serve_slice(0);
            world.run_on(TICK_US, TICK_US, 0);
        }
        world.run_on(10, 10, 0);
        assert!(!world.engines[0].contains(key), "read: {read}");
        let [ended] = &world.ended[..] else { panic!("{:?}", world.ended) };
        assert_eq!((ended.session, ended.reason), (0, CloseReason::ConnectionLost));
        assert_eq!(world.engines[0].stats().subscriptions, 1, "the other's");
        // Who was being closed ends for the reason told.
        let key = world.clients[1].key;
        let at_us = world.now.monotonic_us;
        world.clients[1].block_after(at_us, 0);
        world.engines[0].close(world.now, key, CloseReason::Kicked);
        world.run_on(TICK_US, TICK_US, 0);
        assert!(world.engines[0].contains(key), "its close frame waits");
        world.clients[1].pipe.cut();
        if read {
            assert_eq!(world.engines[0].on_readable(world.now, key), Inbound::Closed);
        }
        world.run_on(TICK_US, TICK_US, 0);
        assert_eq!(world.ended[1].reason, CloseReason::Kicked, "read: {read}");
    }
}

#[test]
fn a_read_that_a_signal_interrupts_is_tried_again_and_any_other_error_ends_the_session() {
    let mut world = world(1);
    let key = world.clients[0].key;
    world.clients[0].pipe.fail_reads([io::ErrorKind::Interrupted; 3]);
    let at_us = world.now.monotonic_us;
    world.clients[0].say(at_us, &Command::Ping { id: Some(9) });
    world.run_on(10, 10, 0);
    assert!(matches!(world.clients[0].replies().last(), Some(Reply::Pong { id: Some(9), .. })));
    world.clients[0].pipe.fail_reads([io::ErrorKind::WouldBlock]);
    assert_eq!(world.engines[0].on_readable(world.now, key), Inbound::Readable);
    world.clients[0].pipe.fail_reads([io::ErrorKind::ConnectionReset]);
    assert_eq!(world.engines[0].on_readable(world.now, key), Inbound::Closed);
    let ended: Vec<_> = world.engines[0].take_ended();
    assert_eq!(
        ended.iter().map(|each| each.reason).collect::<Vec<_>>(),
        [CloseReason::ConnectionLost]
    );
}

#[test]
fn a_reply_that_did_not_leave_is_tried_again_at_the_next_tick() {
    let mut world = world(1);
    world.run_on(TICK_US, TICK_US, 0);
    let at_us = world.now.monotonic_us;
    world.clients[0].block_after(at_us, 1);
    for id in [8, 9] {
        world.clients[0].say(at_us, &Command::Ping { id: Some(id) });
    }
    // A few of them may wait while it is read on.
    assert_eq!(world.serve(false), [Inbound::Readable]);
    assert_eq!(world.engines[0].stats().commands, 2);
    let at_us = world.now.monotonic_us;
    world.clients[0].unblock(at_us);
    let pongs = |world: &World| {
        let replies = world.clients[0].replies().into_iter();
        replies.filter(|reply| matches!(reply, Reply::Pong { .. })).count()
    };
    assert_eq!(pongs(&world), 0);
    world.run_on(TICK_US, TICK_US, 0);
    assert_eq!(pongs(&world), 2);
}

#[test]
fn a_heartbeat_that_left_in_part_is_finished_at_the_next_tick() {
    let mut world = world(1);
    world.run_on(TICK_US, TICK_US, 0);
    let at_us = world.now.monotonic_us;
    world.clients[0].block_after(at_us, 1);
    let key = world.clients[0].key;
    while world.engines[0].footprint(key).is_some_and(|each| each.waiting == 0) {
        world.run_on(TICK_US, TICK_US, 0);
    }
    let at_us = world.now.monotonic_us;
    let before = world.clients[0].frames().len();
    world.clients[0].unblock(at_us);
    world.run_on(TICK_US, TICK_US, 0);
    let frames = world.clients[0].frames().split_off(before);
    assert!(matches!(&frames[..], [(_, frame)] if frame.entries.is_empty()), "{frames:?}");
}

#[test]
fn every_byte_of_replies_and_control_frames_is_counted() {
    let mut world = world(1);
    subscribe(&mut world, 0, "S0", Some(25));
    let at_us = world.now.monotonic_us;
    for round in 0..5 {
        world.clients[0].ping(at_us, &[round; 7]);
        world.clients[0].say(at_us, &Command::Ping { id: Some(1) });
    }
    // The gateway pings once each 20 s, and closes in the end: behind a reply that waits.
    let waiting = |world: &mut World, then: fn(&mut World)| {
        let at_us = world.now.monotonic_us;
        world.clients[0].block_after(at_us, 0);
        world.clients[0].say(at_us, &Command::Ping { id: Some(2) });
        world.run_on(10, 10, 0);
        then(world);
        let at_us = world.now.monotonic_us;
        world.clients[0].unblock(at_us);
        world.run_on(TICK_US, TICK_US, 0);
    };
    world.run_on(19_800_000, 50_000, 0);
    waiting(&mut world, |world| world.run_on(600_000, 50_000, 0));
    world.run_on(25_000_000, 50_000, 0);
    waiting(&mut world, |world| {
        let key = world.clients[0].key;
        world.engines[0].close(world.now, key, CloseReason::Kicked);
    });
    let mut kinds = std::collections::BTreeMap::new();
    let data = world.clients[0].frames().len();
    for (_, heard) in &world.clients[0].transcript {
        let Heard::Message(opcode, payload) = heard else { continue };
        let (count, bytes) = kinds.entry(format!("{opcode:?}")).or_insert((0, 0));
        *count += 1;
        *bytes += payload.len() as u64 + if payload.len() < 126 { 2 } else { 4 };
    }
    let kinds: Vec<_> =
        kinds.into_iter().map(|(kind, (count, bytes))| (kind, count, bytes)).collect();
    let [(_, replies_and_frames, _), (_, 1, _), (_, 2, _), (_, 5, _)] = &kinds[..] else {
        panic!("binary, one close, two pings, five pongs: {kinds:?}")
    };
    assert!(*replies_and_frames > data);
    let stats = world.engines[0].stats();
    let all: u64 = kinds.iter().map(|each| each.2).sum();
    assert_eq!(stats.control_bytes + stats.frame_bytes, all);
}

/// Ends a session at once, wherever it waits.
fn leave(world: &mut World, client: usize) {
    world.clients[client].pipe.cut();
    let key = world.clients[client].key;
    assert_eq!(world.engines[0].on_readable(world.now, key), Inbound::Closed);
}

#[test]
fn who_leaves_takes_nobody_else_out_of_the_queues() {
    // The first to be served, who wait for their welcome.
    let mut world = world(3);
    leave(&mut world, 1);
    world.serve_slice(0);
    for client in [0, 2] {
        assert_eq!(world.clients[client].replies().len(), 1, "client {client}");
    }
    // Those with something urgent.
    for client in [0, 2] {
        let wanted = Subscribe {
            symbols: vec!["S0".into()],
            channels: Some(vec![Channel::Quote]),
            throttle_ms: Some(Some(0)),
            ..Subscribe::default()
        };
        world.subscribe(client, wanted);
        let key = world.clients[client].key;
        assert_eq!(world.engines[0].on_readable(world.now, key), Inbound::Readable);
    }
    leave(&mut world, 0);
    let before = world.clients[2].frames().len();
    world.serve_slice(0);
    assert_eq!(world.clients[2].frames().len(), before + 1);
    // Those whose socket is full.
    let late = world.open(Dialect::MessagePack, 4_096, false, Manners::default());
    world.run_on(10, 10, 0);
    subscribe(&mut world, late, "S0", Some(0));
    let at_us = world.now.monotonic_us;
    for client in [2, late] {
        world.clients[client].block_after(at_us, 5);
    }
    let before = world.clients[2].frames().len();
    world.requote();
    world.serve_slice(0);
    leave(&mut world, late);
    world.clients[2].unblock(at_us);
    world.run_on(TICK_US, TICK_US, 0);
    assert_eq!(world.clients[2].frames().len(), before + 1);
    assert_eq!(world.engines[0].len(), 1);
}
