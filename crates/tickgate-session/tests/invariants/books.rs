//! The books balance: what the clients were sent, told merged and told lost is what the engines
//! counted, and with what was pending at the close it is all there was.

use tickgate_checker::{Books, Channel};
use tickgate_session::Held;

use super::{CALM, seeds};
use crate::world::{Plan, Run, run};

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
