//! Slow and greedy clients: they end or wait by themselves, hold bounded memory, and their
//! neighbours notice nothing.

use std::time::Duration;

use tickgate_checker::{Channel, Closing, Command, Dialect, Subscribe};
use tickgate_protocol::close::CloseReason;
use tickgate_session::{EngineConfig, Inbound};

use crate::world::{Heard, Manners, World};

fn subscribe(names: &[String], throttle_ms: u64) -> Subscribe {
    Subscribe {
        symbols: names.to_vec(),
        channels: Some(Channel::ALL.to_vec()),
        throttle_ms: Some(Some(throttle_ms)),
        ..Subscribe::default()
    }
}

/// What two neighbours hear while the first client stalls `room` bytes into what comes next, or
/// does not stall.
fn neighbours_of(room: Option<usize>) -> Vec<Vec<(u64, Heard)>> {
    let drain_age = Duration::from_secs(2);
    let config = EngineConfig { drain_age, ..EngineConfig::default() };
    let mut world = World::new(3, 1, 20, 1_024, config);
    let names = world.market.names();
    for (dialect, throttle_ms) in
        [(Dialect::MessagePack, 25), (Dialect::MessagePack, 0), (Dialect::Json, 100)]
    {
        let client = world.open(dialect, 4_096, false, Manners::default());
        world.subscribe(client, subscribe(&names, throttle_ms));
    }
    world.run_on(500_000, 2_000, 4);
    let stalled_us = world.now.monotonic_us;
    if let Some(room) = room {
        world.clients[0].block_after(stalled_us, room);
    }
    world.run_on(1_900_000, 2_000, 4);
    assert!(world.ended.is_empty(), "nobody ends within the drain age");
    world.run_on(2_000_000, 2_000, 4);
    let quiet_since_us = world.now.monotonic_us;
    world.run_on(500_000, 2_000, 0);

    let ended: Vec<_> = world.ended.iter().map(|ended| (ended.session, ended.reason)).collect();
    let expected = room.map(|_| (0, CloseReason::SlowConsumer));
    assert_eq!(ended, expected.into_iter().collect::<Vec<_>>());
    // Half a frame stands before where a close frame would: the connection just ends.
    let how = world.clients[0].checker.ended();
    assert_eq!(how, room.map(|_| Closing::Cut));
    let outcomes = world.finish(quiet_since_us);
    for (client, outcome) in outcomes.iter().enumerate() {
        assert_eq!(outcome.verdict.violations, [], "client {client}, room {room:?}");
        assert_eq!(outcome.breaches, [] as [String; 0], "client {client}, room {room:?}");
    }
    outcomes.into_iter().skip(1).map(|outcome| outcome.transcript).collect()
}

#[test]
fn a_slow_consumer_ends_past_the_drain_age_and_its_neighbours_hear_the_same_bytes() {
    let alone = neighbours_of(None);
    for room in [1, 50, 333] {
        assert!(neighbours_of(Some(room)) == alone, "{room} bytes into a frame");
    }
}

#[test]
fn a_client_that_never_reads_is_not_read_either_and_recovers() {
    let config = EngineConfig {
        drain_age: Duration::from_secs(600),
        commands_per_second: 1_000_000,
        command_burst: 100_000,
        ..EngineConfig::default()
    };
    let limit = config.control_limit_bytes;
    let mut world = World::new(5, 1, 4, 1_024, config);
    let client = world.open(Dialect::MessagePack, 4_096, false, Manners::default());
    let names = world.market.names();
    world.subscribe(client, subscribe(&names, 25));
    world.run_on(200_000, 5_000, 3);
    let at_us = world.now.monotonic_us;
    world.clients[client].block_after(at_us, 10);

    let mut most = 0;
    for round in 0..200u64 {
        let at_us = world.now.monotonic_us;
        for id in 0..50 {
            world.clients[client].say(at_us, &Command::Ping { id: Some(id) });
            world.clients[client].ping(at_us, &[round as u8; 100]);
        }
        world.pass(5_000);
        world.trade(4);
        let watched = world.serve(true);
        if round > 20 {
            assert_eq!(watched, [Inbound::Writable], "round {round}");
        }
        let key = world.clients[client].key;
        let footprint = world.engines[0].footprint(key).expect("it is open");
        most = most.max(footprint.waiting);
    }
    // Vectors double; one reply may overshoot the limit, and one read waits unread.
    let bound = 16 * 1_024 + 2 * (limit + 1_024) + 4 * 1_024;
    assert!(most <= bound, "{most} bytes wait, at most {bound}");
    assert!(world.clients[client].pipe.unread() > 500_000, "the rest stays with the client");
    assert!(world.engines[0].stats().reads_paused > 0);

    let at_us = world.now.monotonic_us;
    world.clients[client].unblock(at_us);
    let quiet_since_us = at_us;
    world.run_on(1_000_000, 1_000, 0);
    assert_eq!(world.clients[client].pipe.unread(), 0, "it was read on");
    let outcome = world.finish(quiet_since_us).remove(client);
    assert_eq!(outcome.verdict.violations, []);
}

#[test]
fn a_stalled_session_holds_as_much_after_minutes_as_after_seconds() {
    let config = EngineConfig {
        drain_age: Duration::from_secs(600),
        ping_interval: Duration::from_secs(600),
        client_silence_limit: Duration::from_secs(3_600),
        ..EngineConfig::default()
    };
    let mut world = World::new(11, 1, 500, 64, config);
    let names = world.market.names();
    // It is called in steps of several ticks, so flushes may be late.
    let client = world.open(Dialect::MessagePack, 4_096, true, Manners::default());
    for throttle_ms in [100, 0] {
        let (slow, fast) = names.split_at(250);
        let half = if throttle_ms == 0 { fast } else { slow };
        world.subscribe(client, subscribe(half, throttle_ms));
    }
    world.run_on(1_000_000, 5_000, 20);
    let at_us = world.now.monotonic_us;
    world.clients[client].block_after(at_us, 100);
    world.run_on(5_000_000, 10_000, 50);
    let key = world.clients[client].key;
    let after_seconds = world.engines[0].footprint(key).expect("it is open");
    world.run_on(300_000_000, 50_000, 50);
    let after_minutes = world.engines[0].footprint(key).expect("it is open");
    assert_eq!(after_minutes, after_seconds);
    let bound = 500 * 2 * 76 + 16 * 1_024;
    assert!(after_minutes.total() <= bound, "{after_minutes:?}, at most {bound} bytes");

    let at_us = world.now.monotonic_us;
    world.clients[client].unblock(at_us);
    world.run_on(1_000_000, 5_000, 0);
    let outcome = world.finish(at_us).remove(client);
    assert_eq!(outcome.verdict.violations, [], "it then holds the newest values");
    assert_eq!(outcome.breaches, [] as [String; 0]);
}

#[test]
fn a_client_that_moves_its_symbols_for_ever_holds_no_more_than_after_a_few_moves() {
    // From interval to interval, in two ways, and between a name and the wildcard.
    moves_for_ever(|names, round| {
        let interval_ms = |at: usize| [25, 100, 0][(round + at) % 3];
        let throttle = |(at, name): (usize, &String)| Command::Throttle {
            id: None,
            symbols: Some(vec![name.clone()]),
            throttle_ms: Some(Some(interval_ms(at))),
            max_bytes_per_second: None,
        };
        names.iter().enumerate().map(throttle).collect()
    });
    moves_for_ever(|names, round| {
        let unsubscribe = |name: &String| Command::Unsubscribe {
            id: None,
            symbols: vec![name.clone()],
            channels: None,
        };
        let subscribe =
            |name: &String| Command::Subscribe(subscribe(std::slice::from_ref(name), 25));
        // A subscribe is owed its ready, so only so many can wait for it.
        match round {
            0..30 if round % 2 == 0 => names.iter().map(subscribe).collect(),
            0..30 => names.iter().map(unsubscribe).collect(),
            _ => Vec::new(),
        }
    });
}

fn moves_for_ever(commands: impl Fn(&[String], usize) -> Vec<Command>) {
    let config = EngineConfig {
        commands_per_second: 1_000_000,
        command_burst: 100_000,
        ..EngineConfig::default()
    };
    let mut world = World::new(12, 1, 8, 64, config);
    let client = world.open(Dialect::MessagePack, 4_096, false, Manners::default());
    let names = world.market.names();
    world.subscribe(client, subscribe(&["*".into()], 100));
    world.subscribe(client, subscribe(&names, 100));
    world.run_on(300_000, 5_000, 5);
    // Data waits for credit, so nothing settles what was moved; replies leave.
    let at_us = world.now.monotonic_us;
    world.clients[client].say(at_us, &Command::Credit { id: None, frames: Some(1) });
    world.run_on(300_000, 5_000, 5);
    let mut most = [0; 2];
    for round in 0..1_000 {
        for command in commands(&names, round) {
            let at_us = world.now.monotonic_us;
            world.clients[client].say(at_us, &command);
        }
        world.pass(10);
        world.trade(3);
        world.serve(true);
        let key = world.clients[client].key;
        let footprint = world.engines[0].footprint(key).expect("it is open");
        let part = &mut most[usize::from(round >= 10)];
        *part = footprint.subscriptions.max(*part);
    }
    assert!(most[1] <= most[0], "{most:?} bytes in the first ten rounds and after them");
}

#[test]
fn snapshots_asked_for_again_and_again_are_owed_once() {
    let again = |world: &mut World, names: &[String]| {
        world.subscribe(0, Subscribe { snapshot: true, ..subscribe(names, 100) });
    };
    asked_for_snapshots(again);
    asked_for_snapshots(|world, names| {
        let at_us = world.now.monotonic_us;
        let symbols = names.to_vec();
        world.clients[0].say(at_us, &Command::Unsubscribe { id: None, symbols, channels: None });
        again(world, names);
    });
}

/// Has a client that gives no credit do this again and again.
fn asked_for_snapshots(again: impl Fn(&mut World, &[String])) {
    let config = EngineConfig { command_burst: 1_000, ..EngineConfig::default() };
    let mut world = World::new(12, 1, 8, 64, config);
    let client = world.open(Dialect::MessagePack, 4_096, false, Manners::default());
    let names = world.market.names();
    world.subscribe(client, subscribe(&names, 100));
    let at_us = world.now.monotonic_us;
    world.clients[client].say(at_us, &Command::Credit { id: None, frames: Some(1) });
    world.run_on(300_000, 5_000, 5);
    for _ in 0..250 {
        again(&mut world, &names);
        world.run_on(10, 10, 0);
    }
    let key = world.clients[client].key;
    let footprint = world.engines[0].footprint(key).expect("it is open");
    // 16 bytes each for 8 names and 250 readies, rounded up to a power of two.
    assert!(footprint.owed <= 16 * 512, "{footprint:?}");
    let at_us = world.now.monotonic_us;
    world.clients[client].say(at_us, &Command::Credit { id: None, frames: None });
    world.run_on(1_000_000, 5_000, 0);
    let outcome = world.finish(at_us).remove(client);
    assert_eq!(outcome.verdict.violations, []);
}
