//! What is printed of a trial, and what is kept of all of them.

use std::{
    fmt::Write as _,
    time::{SystemTime, UNIX_EPOCH},
};

use crate::trial::{GROWTH_LIMIT_BYTES, Pair, Plan, Trial, mebibytes};

/// One line: what it cost, and whether it was withstood; then a line for each fault.
#[must_use]
pub fn line(trial: &Trial) -> String {
    let (worker_quiet, worker_attacked) = trial.medians_ms(worker);
    let mut line = format!(
        "{:<22} {:<9} memory +{:>5} MiB, healthy p99 x {:.2}, tick x {:.2}, worker {:.0} -> {:.0} %, \
         {} connections, {} turned away",
        trial.name,
        if trial.faults.is_empty() { "withstood" } else { "FAILED" },
        mebibytes(trial.growth_bytes),
        trial.ratio(transit),
        trial.ratio(tick),
        worker_quiet * 100.0,
        worker_attacked * 100.0,
        trial.tally.connections,
        trial.tally.turned_away,
    );
    for fault in &trial.faults {
        // Writing to a string cannot fail.
        let _ = write!(line, "\n    {fault}");
    }
    line
}

/// All trials as Markdown. `machine` says on what they were run.
#[must_use]
pub fn markdown(trials: &[Trial], plan: &Plan, machine: &str) -> String {
    let mut page = format!(
        "# Attacks beside {} healthy clients, {}\n\n\
         `cargo run{} -p tickgate-attacks -- run --seconds {} --pairs {}{}`, {machine}.\n\n\
         Each attack: a gateway of its own, {} windows of {:.1} s, a quiet window of {:.1} s before \
         each. Memory is `RssAnon` of the gateway, the limit {} MiB over what it was before. p99 is \
         in milliseconds, its ratio the median of {} pairs: *transit* from a frame's `sent_at_us` \
         to its receipt, all healthy clients; *tick* from the venue's time of a quote to its \
         receipt, real-time clients. *Worker* is the share of a core that the gateway's worker used. \
         {} The offender's thread has the lowest priority.\n\n\
         | attack | memory + MiB | transit quiet → attacked | ratio | tick quiet → attacked | \
         ratio | worker % | connections (turned away) | verdict |\n\
         |---|---|---|---|---|---|---|---|---|\n",
        plan.clients,
        date(),
        if cfg!(debug_assertions) { "" } else { " --release" },
        plan.attacked.as_secs(),
        plan.pairs,
        if plan.pinned { " --pin" } else { "" },
        plan.pairs,
        plan.window().as_secs_f64(),
        plan.quiet().as_secs_f64(),
        mebibytes(GROWTH_LIMIT_BYTES),
        plan.pairs,
        if plan.pinned {
            "The gateway has core 0 to itself; offenders and healthy clients share core 1."
        } else {
            "Offenders, healthy clients and gateway share the machine's cores, so ratios include \
             what the offender itself takes of them."
        },
    );
    for trial in trials {
        let (transit_quiet, transit_attacked) = trial.medians_ms(transit);
        let (tick_quiet, tick_attacked) = trial.medians_ms(tick);
        // Thousandths of what is a core make tenths of a per cent.
        let (worker_quiet, worker_attacked) = trial.medians_ms(worker);
        let (worker_quiet, worker_attacked) = (worker_quiet * 100.0, worker_attacked * 100.0);
        // Writing to a string cannot fail.
        let _ = writeln!(
            page,
            "| {} | {} | {transit_quiet:.1} → {transit_attacked:.1} | {:.2} | \
             {tick_quiet:.1} → {tick_attacked:.1} | {:.2} | {worker_quiet:.0} → {worker_attacked:.0} | \
             {} ({}) | {} |",
            trial.name,
            mebibytes(trial.growth_bytes),
            trial.ratio(transit),
            trial.ratio(tick),
            trial.tally.connections,
            trial.tally.turned_away,
            if trial.faults.is_empty() { "withstood" } else { "failed" },
        );
    }
    page += "\n## What each offender was told\n";
    for trial in trials {
        let sent_megabytes = trial.tally.sent_bytes as f64 / 1e6;
        let _ = write!(
            page,
            "\n**{}**: {}. {sent_megabytes:.1} MB were taken from it.\n\n",
            trial.name, trial.does
        );
        for fault in &trial.faults {
            let _ = writeln!(page, "- failed: {fault}");
        }
        let mut cases: Vec<(&str, Vec<String>)> = Vec::new();
        for ((case, answer), count) in &trial.tally.answers {
            let told = format!("{answer} × {count}");
            match cases.last_mut() {
                Some((same, answers)) if same == case => answers.push(told),
                _ => cases.push((case, vec![told])),
            }
        }
        for (case, answers) in cases {
            let _ = writeln!(page, "- {case}: {}", answers.join(", "));
        }
    }
    page
}

fn transit(pair: &Pair) -> (u64, u64) {
    pair.transit_us
}

fn tick(pair: &Pair) -> (u64, u64) {
    pair.tick_us
}

fn worker(pair: &Pair) -> (u64, u64) {
    pair.worker_per_mille
}

/// Today in UTC, as in `2026-01-31`.
fn date() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    day(since.as_secs() / 86_400)
}

/// The Gregorian date of a number of days since 1970-01-01, by counting years and months.
fn day(mut days: u64) -> String {
    let is_leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    let mut year = 1970;
    while days >= 365 + u64::from(is_leap(year)) {
        days -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    let february = 28 + u64::from(is_leap(year));
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    format!("{year:04}-{month:02}-{:02}", days + 1)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::attack::Tally;

    #[test]
    fn days_are_dates() {
        assert_eq!(day(0), "1970-01-01");
        assert_eq!(day(11_016), "2000-02-29");
        assert_eq!(day(11_017), "2000-03-01");
        assert_eq!(day(20_453), "2025-12-31");
    }

    #[test]
    fn a_failed_trial_says_why_in_line_and_page() {
        let pair =
            Pair { transit_us: (1_000, 2_000), tick_us: (100, 100), worker_per_mille: (250, 300) };
        let trial = Trial {
            name: "test",
            does: "nothing",
            before_bytes: 0,
            growth_bytes: 3 << 20,
            pairs: vec![pair],
            tally: Tally::default(),
            faults: vec!["it went wrong".to_owned()],
        };
        let line = line(&trial);
        assert!(line.contains("FAILED") && line.contains("it went wrong"), "{line}");
        let plan =
            Plan { attacked: Duration::from_secs(60), pairs: 10, clients: 200, pinned: true };
        let page = markdown(&[trial], &plan, "2 cores");
        assert!(
            page.contains("| test | 3.0 | 1.0 → 2.0 | 2.00 | 0.1 → 0.1 | 1.00 | 25 → 30 |"),
            "{page}"
        );
        assert!(page.contains("- failed: it went wrong"), "{page}");
        assert!(page.contains("--pairs 10 --pin`") && page.contains("core 0 to itself"), "{page}");
    }
}
