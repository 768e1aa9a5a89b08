//! Running the checks one after the other, and saying how each ended.

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use crate::{
    check::{Check, Verdict},
    checks,
};

struct Report {
    check: &'static Check,
    verdict: Verdict,
    why: Option<String>,
    took: Duration,
}

/// Prints the name of every check and what it proves.
pub(crate) fn list() -> ExitCode {
    for check in checks::ALL {
        println!("{:<14} {}", check.name, check.proves);
    }
    ExitCode::SUCCESS
}

/// Runs the checks in `names`, or all when it is empty. One that fails does not keep the others
/// from running. The last line says how many passed and failed.
pub(crate) fn run(names: &[String]) -> ExitCode {
    // Continuous integration sets CI; there a missing tool means the proof is missing.
    let strict = std::env::var_os("CI").is_some_and(|value| value == "true" || value == "1");
    let chosen = checks::ALL
        .iter()
        .filter(|check| names.is_empty() || names.iter().any(|name| name == check.name));
    let reports: Vec<Report> = chosen.map(|check| report(check, strict)).collect();
    summarize(&reports)
}

fn report(check: &'static Check, strict: bool) -> Report {
    println!("\n==== {}: {}", check.name, check.proves);
    let start = Instant::now();
    let result = (check.run)();
    let report = Report {
        check,
        verdict: Verdict::of(&result, strict),
        why: result.err().map(|trouble| trouble.to_string()),
        took: start.elapsed(),
    };
    println!("==== {} {} after {:.1} s", check.name, report.verdict, report.took.as_secs_f64());
    report
}

fn summarize(reports: &[Report]) -> ExitCode {
    println!("\n{:<14} {:<9} {:>8}", "check", "", "seconds");
    for Report { check, verdict, took, .. } in reports {
        println!("{:<14} {verdict:<9} {:>8.1}", check.name, took.as_secs_f64());
    }
    for Report { check, verdict, why, .. } in reports {
        if let Some(why) = why {
            println!("\n{} {verdict}: {why}", check.name);
        }
        if *verdict == Verdict::Unproved {
            println!("  what this leaves unproved: {}", check.proves);
        }
    }
    let count = |verdict| reports.iter().filter(|report| report.verdict == verdict).count();
    let (passed, failed, unproved) =
        (count(Verdict::Passed), count(Verdict::Failed), count(Verdict::Unproved));
    if unproved > 0 {
        println!("\n{unproved} unproved for want of a tool");
    }
    println!("\n{passed} passed, {failed} failed");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
