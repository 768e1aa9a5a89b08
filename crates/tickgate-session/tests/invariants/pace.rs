//! Budgets, credit and clocks, to the byte, the frame and the tick.

use std::collections::BTreeSet;

use tickgate_checker::{Channel, Command, Dialect, Subscribe};
use tickgate_protocol::{
    decode::Message,
    entry::{Entry, Frame, cause},
    number::ABSENT,
    tick::{Reason, Status, StatusChange, TickBody, Trade},
};
use tickgate_session::{EngineConfig, Now};

use crate::world::{Manners, Told, World};

const TICK_US: u64 = 5_000;

fn quotes(symbols: &[String], throttle_ms: u64) -> Subscribe {
    Subscribe {
        symbols: symbols.to_vec(),
        channels: Some(vec![Channel::Quote]),
        throttle_ms: Some(Some(throttle_ms)),
        ..Subscribe::default()
    }
}

/// One client with all quotes at an interval, settled.
fn subscribed(dialect: Dialect, throttle_ms: u64) -> World {
    let mut world = World::new(6, 1, 12, 1_024, EngineConfig::default());
    let client = world.open(dialect, 4_096, false, Manners::default());
    let wanted = quotes(&world.market.names(), throttle_ms);
    world.subscribe(client, wanted);
    world.run_with(500_000, TICK_US, World::requote);
    world
}

fn say(world: &mut World, command: &Command) {
    let now_us = world.now.monotonic_us;
    world.clients[0].say(now_us, command);
}

fn budget(world: &mut World, bytes: u64) {
    let max_bytes_per_second = Some(Some(bytes));
    let command =
        Command::Throttle { id: None, symbols: None, throttle_ms: None, max_bytes_per_second };
    say(world, &command);
}

fn data_frames(world: &World, from: usize) -> Vec<Frame> {
    let frames = world.clients[0].frames().split_off(from);
    frames.into_iter().map(|(_, frame)| frame).filter(|frame| !frame.entries.is_empty()).collect()
}

/// Keeps the account of a budget of `rate` from `since_us` on: the balance at the end of what was
/// `told`, in millionths of a byte.
fn settle(told: &[Told], rate: u64, since_us: u64) -> i64 {
    let full = rate as i64 * 1_000_000;
    let (mut balance, mut settled_us) = (full, since_us);
    for each in told {
        balance = (balance + (each.at_us - settled_us) as i64 * rate as i64).min(full);
        settled_us = each.at_us;
        if let Message::Frame(frame) = &each.message {
            let bytes = each.bytes as i64;
            if !frame.entries.is_empty() {
                assert!(balance >= 1_000_000, "{bytes} bytes with {balance} left");
            }
            if frame.entries.len() > 1 {
                assert!(bytes * 1_000_000 <= balance, "{bytes} bytes with {balance} left");
            }
        }
        balance -= each.bytes as i64 * 1_000_000;
    }
    balance
}

#[test]
fn a_budget_is_spent_to_the_byte_and_replies_are_debited() {
    for dialect in [Dialect::MessagePack, Dialect::Json] {
        for rate in [700, 3_000] {
            let mut world = subscribed(dialect, 25);
            let before = world.clients[0].told().len();
            budget(&mut world, rate);
            let since_us = world.now.monotonic_us + TICK_US;
            let mut round = 0;
            world.run_with(20_000_000, TICK_US, |world| {
                world.requote();
                round += 1;
                if round % 40 == 0 {
                    say(world, &Command::Ping { id: Some(round) });
                }
            });
            let told = world.clients[0].told().split_off(before);
            assert!(matches!(told[0].message, Message::Reply(_)), "the answer to the throttle");
            // The reply is written before the budget is in force or after: it is debited.
            let balance = settle(&told, rate, since_us);
            // There is always something to send, so no balance is left that an entry fits.
            let end_us = world.now.monotonic_us;
            let since_last = end_us - told.last().map_or(since_us, |last| last.at_us);
            let left = balance + (since_last * rate) as i64;
            assert!(left < 1_000_000, "{left} millionths of a byte left at {rate}");
            let pongs = told.iter().filter(|each| matches!(each.message, Message::Reply(_)));
            assert!(pongs.count() > 90);
        }
    }
}

#[test]
fn heartbeats_and_statuses_pass_a_spent_budget() {
    let mut world = subscribed(Dialect::MessagePack, 25);
    budget(&mut world, 1);
    world.run_with(1_000_000, TICK_US, World::requote);
    let before = world.clients[0].frames().len();
    world.run_with(20_000_000, TICK_US, World::requote);
    // Each heartbeat costs more than the second between two brings in.
    let frames = world.clients[0].frames().split_off(before);
    assert!(frames.iter().all(|(_, frame)| frame.entries.is_empty()), "{frames:?}");
    assert!((16..=20).contains(&frames.len()), "{} heartbeats", frames.len());

    let before = world.clients[0].frames().len();
    let halt = StatusChange { status: Status::Halted, reason: Reason::News };
    world.pass(100);
    world.publish([(3, TickBody::Status(halt))]);
    world.serve(true);
    let frames = data_frames(&world, before);
    let [Frame { entries, .. }] = &frames[..] else { panic!("{frames:?}") };
    let [Entry::Status(status)] = &entries[..] else { panic!("{entries:?}") };
    assert_eq!((status.status, status.reason), (Status::Halted, Reason::News));

    let before = world.clients[0].frames().len();
    world.pass(100);
    let Now { monotonic_us, unix_us } = world.now;
    world.market.set_feed(monotonic_us, unix_us, Status::Stale, &mut world.truth);
    world.serve(true);
    let frames = data_frames(&world, before);
    let [Frame { entries, .. }] = &frames[..] else { panic!("{frames:?}") };
    let [Entry::Status(status)] = &entries[..] else { panic!("{entries:?}") };
    assert_eq!((status.id, status.status), (None, Status::Stale));
    let at_us = world.now.monotonic_us;
    assert_eq!(world.finish(at_us).remove(0).verdict.violations, []);
}

#[test]
fn what_a_spent_budget_held_up_follows_a_status_that_passed_it() {
    let mut world = subscribed(Dialect::MessagePack, 25);
    budget(&mut world, 300);
    world.run_with(2_000_000, TICK_US, World::requote);
    // At a tick, when whoever waits is tried again.
    let before = world.clients[0].frames().len();
    let halt = StatusChange { status: Status::Halted, reason: Reason::News };
    world.pass(TICK_US);
    world.publish([(3, TickBody::Status(halt))]);
    world.serve(true);
    let frames = data_frames(&world, before);
    let [Frame { entries, .. }] = &frames[..] else { panic!("{frames:?}") };
    assert!(matches!(entries[..], [Entry::Status(_)]), "the budget is spent: {entries:?}");

    let before = world.clients[0].frames().len();
    world.run_on(3_000_000, TICK_US, 0);
    let frames = data_frames(&world, before);
    let entries = frames.iter().map(|frame| frame.entries.len()).sum::<usize>();
    assert_eq!(entries, 12, "each symbol's last quote: {frames:?}");
    assert!(frames.iter().all(|frame| frame.cause & cause::BUDGET != 0), "{frames:?}");
}

#[test]
fn a_change_that_a_status_overtook_names_the_budget_though_it_has_recovered() {
    let mut world = subscribed(Dialect::MessagePack, 0);
    // A hundred bytes a tick.
    budget(&mut world, 20_000);
    world.run_with(3_000_000, TICK_US, World::requote);
    let mut overtaken = 0;
    for number in 0..24 {
        // All has been sent, and little of the budget is left.
        world.run_on(25_000, TICK_US, 0);
        let status = if number % 2 == 0 { Status::Halted } else { Status::Trading };
        let before = world.clients[0].frames().len();
        // Answers spend what is left, more or less of it, just before both are due.
        for _ in 0..number / 2 {
            say(&mut world, &Command::Ping { id: None });
        }
        world.pass(100);
        world.requote();
        world.publish([(3, TickBody::Status(StatusChange { status, reason: Reason::None }))]);
        world.serve(true);
        let frames = data_frames(&world, before);
        let is_status = |entry: &Entry| matches!(entry, Entry::Status(_));
        if frames.len() == 1 && frames[0].entries.iter().all(is_status) {
            let before = world.clients[0].frames().len();
            world.run_on(TICK_US, TICK_US, 0);
            for next in data_frames(&world, before).iter().take(1) {
                assert_eq!(next.cause & cause::BUDGET, cause::BUDGET, "{next:?}");
                overtaken += 1;
            }
        }
        world.run_with(50_000, TICK_US, World::requote);
    }
    assert!(overtaken > 0, "{overtaken} times");
}

#[test]
fn news_of_the_feed_and_what_changed_with_it_share_a_frame() {
    let mut world = subscribed(Dialect::MessagePack, 0);
    let before = world.clients[0].frames().len();
    world.pass(100);
    let Now { monotonic_us, unix_us } = world.now;
    world.market.set_feed(monotonic_us, unix_us, Status::Stale, &mut world.truth);
    world.requote();
    world.serve(true);
    let frames = data_frames(&world, before);
    assert_eq!(frames.iter().map(|frame| frame.entries.len()).collect::<Vec<_>>(), [13]);
}

#[test]
fn a_status_does_not_wait_for_the_interval() {
    for subscribes in [vec!["S3".to_owned()], vec!["*".to_owned()]] {
        let mut world = World::new(6, 1, 12, 1_024, EngineConfig::default());
        let client = world.open(Dialect::MessagePack, 4_096, false, Manners::default());
        world.subscribe(client, quotes(&subscribes, 60_000));
        world.run_with(500_000, TICK_US, World::requote);
        for status in [Status::Halted, Status::Trading] {
            let before = world.clients[0].frames().len();
            world.pass(100);
            let change = StatusChange { status, reason: Reason::None };
            world.publish([(3, TickBody::Status(change)), (4, TickBody::Status(change))]);
            world.serve(true);
            let frames = data_frames(&world, before);
            let told: Vec<&Entry> = frames.iter().flat_map(|frame| &frame.entries).collect();
            let expected = if subscribes[0] == "*" { 2 } else { 1 };
            assert_eq!(told.len(), expected, "{frames:?}");
            let is_told = |entry: &&Entry| matches!(entry, Entry::Status(s) if s.status == status);
            assert!(told.iter().all(is_told), "{frames:?}");
        }
    }
}

#[test]
fn withheld_credit_lets_heartbeats_pass_and_never_closes() {
    for frames in [1, 3] {
        let mut world = subscribed(Dialect::MessagePack, 25);
        let before = world.clients[0].frames().len();
        say(&mut world, &Command::Credit { id: None, frames: Some(frames) });
        world.run_with(120_000_000, 50_000, World::requote);
        assert!(world.ended.is_empty(), "withholding credit never closes");
        let data = data_frames(&world, before);
        assert_eq!(data.len() as u64, frames, "as many data frames as credited");
        let heartbeats = world.clients[0].frames().len() - before - data.len();
        assert!((95..=120).contains(&heartbeats), "{heartbeats} heartbeats in 120 s");

        // The heartbeats are not acknowledged, and took no credit.
        let before = world.clients[0].frames().len();
        let first = data[0].sequence;
        say(&mut world, &Command::Ack { frame: first });
        world.run_with(500_000, TICK_US, World::requote);
        assert_eq!(data_frames(&world, before).len(), 1, "one was given back");
    }
}

#[test]
fn a_lapped_status_tape_goes_on_at_the_oldest_there_is() {
    for changes in [16, 17, 40] {
        let mut world = subscribed(Dialect::MessagePack, 25);
        say(&mut world, &Command::Credit { id: None, frames: Some(1) });
        world.run_with(300_000, TICK_US, World::requote);
        for number in 0..changes {
            let status = if number % 2 == 0 { Status::Halted } else { Status::Trading };
            let change = StatusChange { status, reason: Reason::None };
            world.pass(1_000);
            world.publish([(3, TickBody::Status(change))]);
            world.serve(true);
        }
        let before = world.clients[0].frames().len();
        let now_us = world.now.monotonic_us;
        world.clients[0].acknowledge(now_us);
        world.run_on(100_000, TICK_US, 0);
        let frames = data_frames(&world, before);
        let told: Vec<u64> = frames
            .iter()
            .flat_map(|frame| &frame.entries)
            .filter_map(|entry| match entry {
                Entry::Status(status) => Some(status.status_sequence),
                _ => None,
            })
            .collect();
        // The small tape holds the newest 16.
        let oldest = changes - 15;
        assert_eq!(told, (oldest..=changes).collect::<Vec<_>>(), "{changes} changes");
        assert_eq!(world.engines[0].stats().statuses_lost, oldest - 1, "{changes} changes");
    }
}

#[test]
fn sessions_of_one_interval_are_spread_over_it() {
    let mut world = World::new(8, 1, 2, 1_024, EngineConfig::default());
    let names = world.market.names();
    let clients: Vec<usize> = (0..100)
        .map(|_| {
            let client = world.open(Dialect::MessagePack, 4_096, false, Manners::default());
            world.subscribe(client, quotes(&names, 100));
            client
        })
        .collect();
    world.run_with(500_000, TICK_US, World::requote);
    let mut phases: BTreeSet<u64> = BTreeSet::new();
    for client in clients {
        let frames = world.clients[client].frames();
        let (at_us, _) = frames.last().expect("all changes all the time");
        phases.insert(at_us / TICK_US % 20);
    }
    // One hundred draws of 20 miss more than five of them once in ten thousand runs; the seed is
    // fixed.
    assert!(phases.len() >= 15, "{phases:?}");
}

#[test]
fn symbols_of_one_interval_leave_together_whenever_they_came() {
    let mut world = World::new(8, 1, 8, 1_024, EngineConfig::default());
    let names = world.market.names();
    let client = world.open(Dialect::MessagePack, 4_096, false, Manners::default());
    for part in names.chunks(3) {
        world.subscribe(client, quotes(part, 100));
        world.run_with(130_000, TICK_US, World::requote);
    }
    world.run_with(200_000, TICK_US, World::requote);
    let before = world.clients[client].frames().len();
    world.run_with(1_000_000, TICK_US, World::requote);
    let frames = data_frames(&world, before);
    assert_eq!(frames.len(), 10);
    for frame in frames {
        assert_eq!(frame.entries.len(), names.len(), "{frame:?}");
    }
}

#[test]
fn an_interval_is_rounded_up_to_whole_ticks_and_kept_exactly() {
    for (throttle_ms, expected_us) in
        [(1, 5_000), (5, 5_000), (6, 10_000), (25, 25_000), (99, 100_000), (100, 100_000)]
    {
        for symbols in [vec!["S0".to_owned(), "S1".to_owned()], vec!["*".to_owned()]] {
            let mut world = World::new(8, 1, 2, 1_024, EngineConfig::default());
            let client = world.open(Dialect::MessagePack, 4_096, false, Manners::default());
            world.subscribe(client, quotes(&symbols, throttle_ms));
            world.run_with(500_000, TICK_US, World::requote);
            let before = world.clients[client].frames().len();
            world.run_with(1_000_000, TICK_US, World::requote);
            let frames = world.clients[client].frames().split_off(before);
            for pair in frames.windows(2) {
                assert_eq!(pair[1].0 - pair[0].0, expected_us, "{throttle_ms} ms");
                assert_eq!(pair[1].1.entries.len(), 2, "{throttle_ms} ms");
            }
            assert!(frames.len() as u64 >= 1_000_000 / expected_us - 1, "{throttle_ms} ms");
        }
    }
}

#[test]
fn tapes_of_a_long_interval_are_looked_at_ten_times_a_second_whatever_was_asked() {
    for symbol in ["S0", "*"] {
        let mut world = World::new(8, 1, 2, 1_024, EngineConfig::default());
        let client = world.open(Dialect::MessagePack, 4_096, false, Manners::default());
        let trades = Some(vec![Channel::Trade]);
        for round in 0..30 {
            let wanted = Subscribe { channels: trades.clone(), ..quotes(&[symbol.into()], 60_000) };
            world.subscribe(client, wanted);
            let interval = Command::Throttle {
                id: None,
                symbols: Some(vec![symbol.into()]),
                throttle_ms: Some(Some(50_000 + round % 2)),
                max_bytes_per_second: None,
            };
            say(&mut world, &interval);
            world.run_on(35_000, TICK_US, 0);
        }
        let before = world.clients[client].frames().len();
        let trade = |world: &mut World| {
            let trade = Trade { price: 5, size: 1, flags: 0, trade_id: ABSENT };
            world.publish([(0, TickBody::Trade(trade))]);
        };
        world.run_with(2_000_000, TICK_US, trade);
        let frames = data_frames(&world, before);
        assert_eq!(frames.len(), 20, "{symbol}");
        let told = frames.iter().map(|frame| frame.entries.len()).sum::<usize>();
        assert!(told >= 380, "{symbol}: {told} of 400 trades, the others wait for 100 ms at most");
    }
}

#[test]
fn a_symbol_moved_away_before_every_flush_leaves_in_time_all_the_same() {
    moved_away(|interval_ms| Command::Throttle {
        id: None,
        symbols: Some(vec!["S2".into()]),
        throttle_ms: Some(Some(interval_ms)),
        max_bytes_per_second: None,
    });
    moved_away(|interval_ms| Command::Subscribe(quotes(&["S2".to_owned()], interval_ms)));
}

/// Has `to` move a symbol from an interval to another just before the first one's flush.
fn moved_away(to: impl Fn(u64) -> Command) {
    let config = EngineConfig { command_burst: 10_000, ..EngineConfig::default() };
    let mut world = World::new(8, 1, 3, 1_024, config);
    world.open(Dialect::MessagePack, 4_096, false, Manners::default());
    for (symbol, throttle_ms) in [("S0", 100), ("S1", 200), ("S2", 100)] {
        world.subscribe(0, quotes(&[symbol.to_owned()], throttle_ms));
    }
    world.run_with(600_000, TICK_US, World::requote);
    // Flush ticks of the two intervals, by what comes of the symbols that stay.
    let phase = |world: &World, id: u32, ticks: u64| {
        let frames = world.clients[0].frames().into_iter().rev();
        let mut at_us = frames.filter_map(|(at_us, frame)| {
            let has = |entry: &Entry| matches!(entry, Entry::Quote(quote) if quote.id == id);
            frame.entries.iter().any(has).then_some(at_us)
        });
        at_us.next().expect("it changes all the time") / TICK_US % ticks
    };
    let (short, long) = (phase(&world, 0, 20), phase(&world, 1, 40));
    assert_ne!(short, long % 20, "another seed, please");

    let before = world.clients[0].frames().len();
    world.run_with(5_000_000, TICK_US, |world| {
        world.requote();
        let next = world.now.monotonic_us / TICK_US;
        let interval_ms = match (next % 20 == short, next % 40 == long) {
            (true, _) => 200,
            (_, true) => 100,
            _ => return,
        };
        say(world, &to(interval_ms));
    });
    let mut last_us = world.now.monotonic_us - 5_000_000;
    let frames = world.clients[0].frames().split_off(before);
    let has = |entry: &Entry| matches!(entry, Entry::Quote(quote) if quote.id == 2);
    for (at_us, _) in frames.iter().filter(|(_, frame)| frame.entries.iter().any(has)) {
        assert!(at_us - last_us <= 405_000, "{} us without it", at_us - last_us);
        last_us = *at_us;
    }
    assert!(world.now.monotonic_us - last_us <= 405_000, "it comes no more");
}

#[test]
fn a_changed_interval_counts_from_the_last_entry() {
    for symbol in ["S0", "*"] {
        for (before_ms, after_ms) in [(100, 300), (300, 100), (0, 200)] {
            let mut world = World::new(8, 1, 2, 1_024, EngineConfig::default());
            let client = world.open(Dialect::MessagePack, 4_096, false, Manners::default());
            world.subscribe(client, quotes(&[symbol.into()], before_ms));
            world.run_with(1_000_000, TICK_US, World::requote);
            // Two ticks after an entry.
            let count = world.clients[client].frames().len();
            while world.clients[client].frames().len() == count {
                world.run_with(TICK_US, TICK_US, World::requote);
            }
            let last_us = world.now.monotonic_us;
            world.run_on(2 * TICK_US, TICK_US, 0);
            let interval = Command::Throttle {
                id: None,
                symbols: Some(vec![symbol.into()]),
                throttle_ms: Some(Some(after_ms)),
                max_bytes_per_second: None,
            };
            say(&mut world, &interval);
            world.run_with(1_000_000, TICK_US, World::requote);
            let frames = world.clients[client].frames();
            let next = frames.iter().find(|(at_us, _)| *at_us > last_us).expect("it changes");
            let waited_us = next.0 - last_us;
            // What comes from real time may leave once more at once.
            let expected = [after_ms * 1_000, if before_ms == 0 { 3 * TICK_US } else { 0 }];
            assert!(expected.contains(&waited_us), "{symbol}: {waited_us} us to {after_ms} ms");
        }
    }
}
