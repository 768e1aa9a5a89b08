//! The books balance: what the clients were sent, told merged and told lost is what the engines
//! counted, and with what was pending at the close it is all there was.

use tickgate_checker::{Books, Channel, Dialect, Subscribe};
use tickgate_protocol::{
    decode::Message,
    entry::{Entry, Step},
    number::ABSENT,
    tick::{TickBody, Trade},
};
use tickgate_session::{EngineConfig, EngineStats, Held, Spread};

use super::{CALM, seeds};
use crate::world::{Manners, Plan, Run, World, run, told};

/// Both sides of the books, summed over clients and over engines: sent, lost, pending, then merged
/// by cause.
fn sides(run: &Run) -> [(u64, u64, u64, [u64; 16]); 2] {
    let mut told = (0, 0, 0, [0; 16]);
    for books in run.outcomes.iter().flat_map(|outcome| outcome.verdict.books.values()) {
        let Books { sent, merged, lost, pending, .. } = books;
        told = (told.0 + sent, told.1 + lost, told.2 + pending, told.3);
        told.3.iter_mut().zip(merged).for_each(|(sum, merged)| *sum += merged);
    }
    let mut counted = (0, 0, 0, [0; 16]);
    for stats in &run.stats {
        counted.0 += stats.quotes + stats.lasts - stats.snapshots + stats.trades;
        counted.1 += stats.trades_lost;
        counted.2 += stats.pending;
        counted.3.iter_mut().zip(stats.merged).for_each(|(sum, merged)| *sum += merged);
    }
    [told, counted]
}

fn balance(name: &str, plan: Plan) {
    for seed in seeds() {
        let [told, counted] = sides(&run(Plan { seed, ..plan }));
        assert_eq!(told, counted, "{name}, TICKGATE_SEED={seed}: told and counted");
    }
}

#[test]
fn what_clients_were_told_is_what_the_engines_counted() {
    balance("books", Plan { engines: 2, clients: 4, ..CALM });
    balance(
        "held up",
        Plan { stalls: true, credit: true, budget: true, tape_capacity: 16, ..CALM },
    );
}

/// What an operator can check from the figures alone, with unsubscribing, new scales, new epochs
/// and everything else that random clients and markets do.
#[test]
fn heads_less_heads_at_the_join_are_sent_merged_lost_and_pending() {
    let plans = [
        ("calm", Plan { engines: 2, clients: 4, ..CALM }),
        ("held up", Plan { stalls: true, credit: true, budget: true, tape_capacity: 16, ..CALM }),
        ("upheaval", Plan { engines: 2, clients: 4, stalls: true, upheaval: true, ..CALM }),
    ];
    let mut moved = 0;
    for (name, plan) in plans {
        for seed in seeds() {
            let run = run(Plan { seed, ..plan });
            let closed = run.stats.into_iter().map(|stats| (stats, Held::default()));
            for (stats, held) in run.open.into_iter().chain(closed) {
                let heads = stats.left_at.wrapping_add(held.heads).wrapping_sub(stats.joined_at);
                assert_eq!(
                    heads,
                    stats.booked() + stats.pending + held.pending,
                    "{name}, TICKGATE_SEED={seed}: {held:?} {stats:?}"
                );
                moved += stats.booked();
            }
        }
    }
    assert!(moved > 0, "nothing was booked");
}

#[test]
fn every_update_since_the_join_is_in_the_books() {
    for seed in seeds() {
        let run = run(Plan { seed, stalls: true, tape_capacity: 16, ..CALM });
        for outcome in &run.outcomes {
            for ((symbol, channel), books) in &outcome.verdict.books {
                // Of subscriptions that were joined once; a repeated join adds up differently.
                if books.joins != 1 || !books.open {
                    continue;
                }
                let head = run.truth.head(symbol, *channel);
                let account = books.sent + books.merged_total() + books.skipped + books.lost;
                assert_eq!(
                    head - books.joined,
                    account + books.pending,
                    "TICKGATE_SEED={seed}: {symbol} {channel:?} {books:?}"
                );
                if *channel == Channel::Trade {
                    assert_eq!(books.merged_total(), 0, "TICKGATE_SEED={seed}: trades merged");
                }
            }
        }
    }
}

/// What an engine must have counted, by what its clients were told.
fn counted(run: &Run) -> EngineStats {
    let mut stats = EngineStats::default();
    for outcome in &run.outcomes {
        for each in told(outcome.dialect, &outcome.transcript) {
            let frame = match each.message {
                Message::Frame(frame) => frame,
                _ => {
                    stats.control_bytes += each.bytes as u64;
                    continue;
                }
            };
            stats.frames += 1;
            stats.frame_bytes += each.bytes as u64;
            stats.frames_by_cause[usize::from(frame.cause)] += 1;
            stats.heartbeats += u64::from(frame.entries.is_empty());
            for entry in &frame.entries {
                count(entry, &mut stats);
            }
        }
    }
    stats
}

fn count(entry: &Entry, stats: &mut EngineStats) {
    let is_full = |step: Step| u64::from(matches!(step, Step::Full { .. }));
    match entry {
        Entry::Quote(quote) => {
            stats.quotes += 1;
            stats.snapshots += is_full(quote.step);
        }
        Entry::Last(last) => {
            stats.lasts += 1;
            stats.snapshots += is_full(last.step);
        }
        Entry::Trade(_) | Entry::TradeCorrection(_) => stats.trades += 1,
        Entry::Status(_) => stats.statuses += 1,
        Entry::Ready { .. } => stats.readies += 1,
        Entry::TradesLost(lost) => stats.trades_lost += (lost.to - lost.from + 1) as u64,
        _ => {}
    }
}

#[test]
fn an_engine_counts_what_it_says() {
    for plan in [
        Plan { upheaval: true, ..CALM },
        Plan { stalls: true, credit: true, budget: true, tape_capacity: 16, ..CALM },
    ] {
        for seed in seeds().take(10) {
            let run = run(Plan { seed, ..plan });
            let (engine, told) = (&run.stats[0], counted(&run));
            assert_eq!(engine.entries(), told.quotes + told.lasts + told.trades + told.statuses);
            assert!(told.snapshots > 0 && told.trades > 0 && told.heartbeats > 0);
            let frames = |each: &EngineStats| {
                (each.frames, each.heartbeats, each.frame_bytes, each.frames_by_cause)
            };
            assert_eq!(frames(engine), frames(&told), "TICKGATE_SEED={seed}");
            let entries = |each: &EngineStats| {
                let states = (each.quotes, each.lasts, each.snapshots);
                (states, each.trades, each.trades_lost, each.statuses, each.readies)
            };
            assert_eq!(entries(engine), entries(&told), "TICKGATE_SEED={seed}");
            // Control frames come on top of replies.
            assert!(engine.control_bytes >= told.control_bytes, "TICKGATE_SEED={seed}");
            assert_eq!((engine.subscriptions, engine.busy_reads), (0, 0), "TICKGATE_SEED={seed}");
        }
    }
}

#[test]
fn sessions_with_the_same_cursor_share_entries() {
    for throttle_ms in [0, 5] {
        let mut world = World::new(5, 1, 10, 64, EngineConfig::default());
        let names = world.market.names();
        for _ in 0..6 {
            let client = world.open(Dialect::MessagePack, 4_096, false, Manners::default());
            let wanted = Subscribe {
                symbols: names.clone(),
                throttle_ms: Some(Some(throttle_ms)),
                ..Subscribe::default()
            };
            world.subscribe(client, wanted);
        }
        world.run_with(100_000, 5_000, World::requote);
        let before = world.engines[0].stats().clone();
        world.run_with(500_000, 5_000, World::requote);
        let after = world.engines[0].stats();
        assert_eq!(after.quotes - before.quotes, 6_000, "{throttle_ms} ms");
        let shared = after.shared_entries - before.shared_entries;
        // A frame whose age is counted encodes its ten entries itself.
        let timed = |stats: &EngineStats| stats.frame_age.iter().map(Spread::total).sum::<u64>();
        let alone = 10 * (timed(after) - timed(&before));
        assert!(alone <= 20, "{alone}");
        assert_eq!(shared, 5_000 - alone, "{throttle_ms} ms: one of six encodes, five copy");
        // The other state channel likewise.
        let before = world.engines[0].stats().clone();
        world.run_with(500_000, 5_000, |world| {
            let trade = Trade { price: 5, size: 1, flags: 0, trade_id: ABSENT };
            world.publish((0..10).map(|number| (number, TickBody::Trade(trade))));
        });
        let after = world.engines[0].stats();
        assert_eq!(after.lasts - before.lasts, 6_000, "{throttle_ms} ms");
        let alone = 10 * (timed(after) - timed(&before));
        assert!(alone <= 20, "{alone}");
        let shared = after.shared_entries - before.shared_entries;
        assert_eq!(shared, 5_000 - alone, "{throttle_ms} ms");
    }
}
