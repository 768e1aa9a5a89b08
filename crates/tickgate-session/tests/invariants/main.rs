//! The invariants of the design, held by an independent checker over random runs of the real hub
//! and the real engine.
//!
//! `TICKGATE_SEEDS` says how many seeds each plan runs (default 40), `TICKGATE_SEED` replays one
//! and prints what its failure says. A failure names its plan and seed.

mod bars;
mod books;
mod calls;
mod causes;
mod clock_steps;
mod fairness;
mod finer;
mod lagging;
mod leaving;
mod limits;
mod measured;
mod midst;
mod moving;
mod offsets;
mod pace;
mod replies;
mod slow;
mod spoiled;
mod spoiled_bars;
mod surveys;
mod world;

use world::{Plan, run};

const CALM: Plan = Plan {
    seed: 0,
    engines: 1,
    clients: 3,
    symbols: 12,
    length_us: 2_000_000,
    stalls: false,
    credit: false,
    budget: false,
    jumps: false,
    upheaval: false,
    tape_capacity: 1_024,
    bars: false,
    few_bars: false,
};

/// The seeds each plan runs.
fn seeds() -> std::ops::Range<u64> {
    let number = |key: &str| std::env::var(key).ok().and_then(|text| text.parse::<u64>().ok());
    match number("TICKGATE_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("TICKGATE_SEEDS").unwrap_or(40),
    }
}

fn hold(name: &str, plan: Plan) {
    hold_over(seeds(), name, plan);
}

/// The same over a quarter of the seeds, for plans whose worlds live longer.
fn hold_long(name: &str, plan: Plan) {
    let seeds = seeds();
    let quarter = (seeds.end - seeds.start).div_ceil(4);
    hold_over(seeds.start..seeds.start + quarter, name, plan);
}

fn hold_over(seeds: std::ops::Range<u64>, name: &str, plan: Plan) {
    let mut failures = Vec::new();
    for seed in seeds.clone() {
        for (client, outcome) in run(Plan { seed, ..plan }).outcomes.into_iter().enumerate() {
            let violations = outcome.verdict.violations.iter().map(ToString::to_string);
            let all: Vec<String> = violations.chain(outcome.breaches).collect();
            let first = &all[..all.len().min(5)];
            if !first.is_empty() {
                let count = all.len();
                failures.push(format!(
                    "TICKGATE_SEED={seed}, client {client}, {count} violations:\n  {}",
                    first.join("\n  ")
                ));
            }
        }
    }
    let seeds = seeds.end - seeds.start;
    assert!(
        failures.is_empty(),
        "{name}: {} verdicts of {seeds} seeds\n{}",
        failures.len(),
        failures[..failures.len().min(20)].join("\n")
    );
}

#[test]
fn two_workers_over_one_hub_keep_every_promise() {
    hold("workers", Plan { engines: 2, clients: 5, stalls: true, upheaval: true, ..CALM });
}

/// All symbols were named when the wildcard got a long interval; the next one was listed later, and
/// no timer looked at its tape.
#[test]
fn the_trades_of_a_symbol_listed_under_an_empty_wildcard_are_in_time() {
    let plan = Plan { engines: 2, clients: 5, stalls: true, upheaval: true, ..CALM };
    for outcome in run(Plan { seed: 1_379, ..plan }).outcomes {
        assert_eq!(outcome.verdict.violations, []);
    }
}

#[test]
fn a_client_that_reads_gets_every_promise() {
    hold("calm", CALM);
}

#[test]
fn a_socket_that_stalls_at_any_byte_gets_the_newest_values_and_no_backlog() {
    hold("stalls", Plan { stalls: true, ..CALM });
}

#[test]
fn withheld_credit_conflates_and_never_closes() {
    hold("credit", Plan { credit: true, ..CALM });
}

#[test]
fn a_byte_budget_is_kept_and_starves_no_symbol() {
    hold("budget", Plan { budget: true, ..CALM });
}

#[test]
fn clocks_that_jump_harm_nothing() {
    hold("jumps", Plan { jumps: true, ..CALM });
}

#[test]
fn epochs_listings_and_a_stale_feed_reach_everybody() {
    hold("upheaval", Plan { upheaval: true, ..CALM });
}

#[test]
fn a_small_tape_declares_exactly_what_it_lost() {
    hold("small tape", Plan { stalls: true, tape_capacity: 16, ..CALM });
}

#[test]
fn everything_at_once() {
    hold(
        "everything",
        Plan {
            stalls: true,
            credit: true,
            budget: true,
            jumps: true,
            upheaval: true,
            tape_capacity: 32,
            ..CALM
        },
    );
}
