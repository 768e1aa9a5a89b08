//! A symbol that goes from one interval to another: what waits in it leaves in time, and those it
//! comes to are left alone.

use tickgate_checker::{Channel, Command, Dialect, Subscribe};
use tickgate_protocol::{
    entry::Entry,
    number::ABSENT,
    tick::{Reason, Status, StatusChange, TickBody, Trade},
};
use tickgate_session::EngineConfig;

use crate::world::{Manners, World};

const TICK_US: u64 = 5_000;

/// One client of five symbols with these subscriptions.
fn world(subscribes: impl IntoIterator<Item = Subscribe>) -> World {
    let mut world = World::new(8, 1, 5, 1_024, EngineConfig::default());
    world.open(Dialect::MessagePack, 4_096, false, Manners::default());
    for subscribe in subscribes {
        world.subscribe(0, subscribe);
    }
    world
}

fn wanted(symbols: &[&str], channels: &[Channel], throttle_ms: u64) -> Subscribe {
    Subscribe {
        symbols: symbols.iter().map(|name| (*name).to_owned()).collect(),
        channels: Some(channels.to_vec()),
        throttle_ms: Some(Some(throttle_ms)),
        ..Subscribe::default()
    }
}

fn unsubscribe(symbols: &[&str]) -> Command {
    let symbols = symbols.iter().map(|name| (*name).to_owned()).collect();
    Command::Unsubscribe { id: None, symbols, channels: None }
}

fn say(world: &mut World, command: &Command) {
    let now_us = world.now.monotonic_us;
    world.clients[0].say(now_us, command);
}

/// The states in the frames from one on: when, and of which symbol's id.
fn states(world: &World, from: usize) -> Vec<(u64, u32)> {
    let frames = world.clients[0].frames().split_off(from).into_iter();
    let entries =
        frames.flat_map(|(at_us, frame)| frame.entries.into_iter().map(move |each| (at_us, each)));
    entries
        .filter_map(|(at_us, entry)| match entry {
            Entry::Quote(quote) => Some((at_us, quote.id)),
            Entry::Last(last) => Some((at_us, last.id)),
            _ => None,
        })
        .collect()
}

/// Flush tick, modulo the `ticks` of its interval, of a symbol that changes all the time.
fn phase(world: &World, id: u32, ticks: u64) -> u64 {
    let states = states(world, 0);
    let last = states.iter().rfind(|each| each.1 == id).expect("it changes all the time");
    last.0 / TICK_US % ticks
}

#[test]
fn symbols_that_move_together_leave_at_once_and_take_nobody_along() {
    let moved = ["S2", "S3", "S4"];
    let to_names = Command::Throttle {
        id: None,
        symbols: Some(moved.iter().map(|name| (*name).to_owned()).collect()),
        throttle_ms: Some(Some(1_000)),
        max_bytes_per_second: None,
    };
    // To the interval of other names, and to that of the wildcard.
    for (others, to) in [(vec!["S0", "S1"], to_names), (vec!["*"], unsubscribe(&moved))] {
        let quotes = [Channel::Quote];
        let mut world = world([wanted(&others, &quotes, 1_000), wanted(&moved, &quotes, 25)]);
        world.run_with(3_000_000, TICK_US, World::requote);
        let phase = phase(&world, 0, 200);
        // Long enough for every interval to have passed, and well before the next flush.
        world.run_on(1_500_000, TICK_US, 0);
        while world.now.monotonic_us / TICK_US % 200 != (phase + 100) % 200 {
            world.run_on(TICK_US, TICK_US, 0);
        }

        let before = world.clients[0].frames().len();
        world.pass(100);
        world.requote();
        say(&mut world, &to);
        world.serve(true);
        let ids =
            |states: Vec<(u64, u32)>| states.into_iter().map(|each| each.1).collect::<Vec<_>>();
        assert_eq!(ids(states(&world, before)), [2, 3, 4], "{others:?}");

        let before = world.clients[0].frames().len();
        world.run_on(600_000, TICK_US, 0);
        let flushed = states(&world, before);
        assert_eq!(ids(flushed.clone()), [0, 1], "{others:?}");
        assert!(flushed.iter().all(|each| each.0 / TICK_US % 200 == phase), "{flushed:?}");
    }
}

#[test]
fn a_change_too_early_for_the_wildcards_flush_is_in_the_next_one() {
    let trade = TickBody::Trade(Trade { price: 5, size: 1, flags: 0, trade_id: ABSENT });
    // What has just left: the quote, the last-trade figures, or both.
    for (quotes, trades) in [(true, false), (false, true), (true, true)] {
        let channels = [Channel::Quote, Channel::Last];
        let mut world = world([wanted(&["*"], &channels, 100), wanted(&["S1"], &channels, 0)]);
        world.run_with(1_000_000, TICK_US, |world| {
            world.publish([(0, trade), (1, trade)]);
            world.requote();
        });
        let phase = phase(&world, 0, 20);
        let change = |world: &mut World| {
            let quote = world.fresh_quote();
            let bodies = [quotes.then_some((1, quote)), trades.then_some((1, trade))];
            world.publish(bodies.into_iter().flatten());
        };
        world.run_with(500_000, TICK_US, change);
        while world.now.monotonic_us / TICK_US % 20 != (phase + 17) % 20 {
            world.run_with(TICK_US, TICK_US, change);
        }
        // The wildcard has it back three ticks before its flush, and it changes once more.
        say(&mut world, &unsubscribe(&["S1"]));
        world.run_on(TICK_US, TICK_US, 0);
        let before = world.clients[0].frames().len();
        world.run_with(TICK_US, TICK_US, change);
        world.run_on(300_000, TICK_US, 0);
        let states = states(&world, before);
        assert_eq!(states.len(), usize::from(quotes) + usize::from(trades), "{states:?}");
        for (at_us, id) in states {
            assert_eq!((at_us / TICK_US % 20, id), (phase, 1), "quotes {quotes}, trades {trades}");
        }
        let at_us = world.now.monotonic_us;
        assert_eq!(world.finish(at_us - 200_000).remove(0).verdict.violations, []);
    }
}

#[test]
fn a_symbol_that_is_listed_and_halted_under_a_wildcard_is_told_halted() {
    let mut world = world([wanted(&["*"], &[Channel::Quote], 100)]);
    world.run_with(300_000, TICK_US, World::requote);
    let before = world.clients[0].frames().len();
    let World { market, now, rng, truth, .. } = &mut world;
    market.list(now.monotonic_us, rng, truth);
    let halt = StatusChange { status: Status::Halted, reason: Reason::News };
    world.publish([(5, TickBody::Status(halt))]);
    world.run_on(300_000, TICK_US, 0);
    let frames = world.clients[0].frames().split_off(before);
    let definitions: Vec<_> = frames
        .into_iter()
        .flat_map(|(_, frame)| frame.entries)
        .filter_map(|entry| match entry {
            Entry::Definition(told) => Some((told.id, told.status, told.status_sequence)),
            _ => None,
        })
        .collect();
    assert_eq!(definitions, [(5, Status::Halted, 1)]);
}
