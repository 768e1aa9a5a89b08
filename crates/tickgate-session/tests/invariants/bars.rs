//! Bar channels: among the random subscriptions, and what sharing and losing come to.

use tickgate_checker::{Channel, Dialect, Subscribe};
use tickgate_protocol::{
    decode::Message,
    entry::{Entry, bar_flag},
    number::ABSENT,
    tick::{TickBody, Trade},
};
use tickgate_session::{EngineConfig, EngineStats, Held, Spread};

use super::{CALM, hold_long, seeds};
use crate::world::{Manners, Plan, Run, World, run, told};

const BARS: Plan = Plan { bars: true, ..CALM };
const HELD_UP: Plan =
    Plan { stalls: true, credit: true, budget: true, length_us: 4_000_000, ..BARS };
const FEW: Plan =
    Plan { few_bars: true, stalls: true, tape_capacity: 16, length_us: 4_000_000, ..BARS };
const UPHEAVAL: Plan = Plan { engines: 2, clients: 4, upheaval: true, ..BARS };

/// The run passes the end of a second, a minute and a day.
#[test]
fn every_closed_bar_comes_in_time_and_the_one_in_progress_as_often_as_asked() {
    hold_long("bars", BARS);
}

#[test]
fn bars_wait_for_a_socket_a_credit_and_a_budget_and_none_is_missing_after_it() {
    hold_long("bars held up", HELD_UP);
}

#[test]
fn bars_that_left_a_small_ring_are_declared_lost_and_no_others() {
    hold_long("few bars", FEW);
}

#[test]
fn bars_begin_anew_with_an_epoch_and_follow_a_finer_scale() {
    hold_long("bars upheaval", UPHEAVAL);
}

#[test]
fn bars_and_everything_at_once() {
    let everything = Plan { jumps: true, upheaval: true, tape_capacity: 32, ..HELD_UP };
    hold_long("bars, everything", Plan { few_bars: true, length_us: 8_000_000, ..everything });
}

/// Two sessions began behind the same trade, and a tape was joined between them: the checker took the
/// second for the only one, and the volume of the first for wrong.
#[test]
fn a_tape_joined_between_two_sessions_without_a_trade_is_as_it_says() {
    for outcome in run(Plan { seed: 169, ..HELD_UP }).outcomes {
        assert_eq!(outcome.verdict.violations, []);
    }
}

/// Bars that a run's clients were told, and those among them that said of a hole.
fn told_bars(run: &Run) -> (u64, u64) {
    let told = run.outcomes.iter().flat_map(|each| told(each.dialect, &each.transcript));
    let entries = told.flat_map(|told| match told.message {
        Message::Frame(frame) => frame.entries,
        _ => Vec::new(),
    });
    let flags = entries.filter_map(|entry| match entry {
        Entry::Bar(bar) => Some(bar.flags),
        _ => None,
    });
    flags.fold((0, 0), |(bars, lost), flags| {
        (bars + 1, lost + u64::from(flags & bar_flag::LOST != 0))
    })
}

/// With what sessions hold and what was pending when they were closed. Of bar channels the checker
/// keeps no such account, since nobody is told where one was joined; what it sees is in their
/// entries.
#[test]
fn the_books_of_bars_balance_and_what_was_said_was_counted() {
    let (mut all, mut holes, mut lost) = (0, 0, 0);
    for (name, plan) in [("held up", HELD_UP), ("few", FEW), ("upheaval", UPHEAVAL)] {
        for seed in seeds().take(100) {
            let run = run(Plan { seed, ..plan });
            let counted = |of: fn(&EngineStats) -> u64| run.stats.iter().map(of).sum::<u64>();
            let (bars, said_lost) = told_bars(&run);
            assert_eq!(counted(|stats| stats.bars), bars, "{name}, TICKGATE_SEED={seed}");
            let changes_lost = counted(|stats| stats.bars_lost);
            assert!(said_lost > 0 || changes_lost == 0, "{name}, TICKGATE_SEED={seed}");
            (all, holes, lost) = (all + bars, holes + said_lost, lost + changes_lost);
            let closed = run.stats.into_iter().map(|stats| (stats, Held::default()));
            for (stats, held) in run.open.into_iter().chain(closed) {
                let heads = stats.left_at.wrapping_add(held.heads).wrapping_sub(stats.joined_at);
                let account = stats.booked() + stats.pending + held.pending;
                assert_eq!(heads, account, "{name}, TICKGATE_SEED={seed}: {held:?} {stats:?}");
            }
        }
    }
    assert!(all > 1_000 && holes > 0 && lost > 0, "{all} bars, {holes} holes, {lost} lost");
}

/// All symbols trade, and a second of theirs is over at each step: six sessions are sent two bars of
/// each, the closed one and the one in progress.
#[test]
fn bars_that_close_together_are_encoded_once_for_all() {
    for (dialect, throttle_ms, symbol) in [
        (Dialect::MessagePack, 0, "*"),
        (Dialect::MessagePack, 5, "*"),
        (Dialect::MessagePack, 5, "S0"),
        (Dialect::Json, 5, "*"),
    ] {
        const SYMBOLS: usize = 10;
        let mut world = World::new(5, 1, SYMBOLS, 64, EngineConfig::default());
        for _ in 0..6 {
            let client = world.open(dialect, 4_096, false, Manners::default());
            let wanted = Subscribe {
                symbols: vec![symbol.into()],
                channels: Some(vec![Channel::Bar1s]),
                throttle_ms: Some(Some(throttle_ms)),
                ..Subscribe::default()
            };
            world.subscribe(client, wanted);
        }
        let trade = |world: &mut World| {
            world.now.unix_us += 1_000_000;
            world.truth.clock(world.now.monotonic_us, world.now.unix_us);
            let trade = Trade { price: 5, size: 1, flags: 0, trade_id: ABSENT };
            world.publish((0..SYMBOLS).map(|number| (number, TickBody::Trade(trade))));
        };
        world.run_with(100_000, 5_000, trade);
        let before = world.engines[0].stats().clone();
        world.run_with(500_000, 5_000, trade);
        let after = world.engines[0].stats();
        let symbols = if symbol == "*" { SYMBOLS as u64 } else { 1 };
        let context = format!("{dialect:?}, {throttle_ms} ms, {symbol}");
        assert_eq!(after.bars - before.bars, 6 * 100 * 2 * symbols, "{context}");
        assert_eq!(after.bars_lost, 0, "{context}");
        // A frame whose age is counted encodes its bars itself.
        let timed = |stats: &EngineStats| stats.frame_age.iter().map(Spread::total).sum::<u64>();
        let alone = 2 * symbols * (1 + timed(after) - timed(&before));
        let shared = after.shared_entries - before.shared_entries;
        let expected = 5 * 100 * 2 * symbols;
        assert!((expected - 2 * alone..=expected).contains(&shared), "{context}: {shared}");
    }
}

#[test]
fn a_session_without_bars_holds_nothing_for_them() {
    let held = |channels: &[Channel]| {
        let mut world = World::new(5, 1, 100, 64, EngineConfig::default());
        let client = world.open(Dialect::MessagePack, 4_096, false, Manners::default());
        let mut wanted = Subscribe {
            symbols: world.market.names(),
            channels: Some(vec![Channel::Quote, Channel::Trade]),
            ..Subscribe::default()
        };
        world.subscribe(client, wanted.clone());
        world.run_on(10_000, 5_000, 0);
        if !channels.is_empty() {
            wanted.channels = Some(channels.to_vec());
            world.subscribe(client, wanted);
            world.run_on(10_000, 5_000, 0);
        }
        let key = world.clients[client].key;
        let with_bars = world.engines[0].footprint(key).expect("it is open").subscriptions;
        let symbols = world.market.names();
        let unsubscribe = tickgate_checker::Command::Unsubscribe {
            id: None,
            symbols,
            channels: Some(Channel::BARS.to_vec()),
        };
        world.clients[client].say(world.now.monotonic_us, &unsubscribe);
        world.run_on(10_000, 5_000, 0);
        let after = world.engines[0].footprint(key).expect("it is open").subscriptions;
        (with_bars, after)
    };
    let (without, _) = held(&[]);
    for bars in [&[Channel::Bar1d][..], &Channel::BARS] {
        assert_eq!(held(bars), (without + 40 + 100 * 48, without), "{bars:?}");
    }
}
