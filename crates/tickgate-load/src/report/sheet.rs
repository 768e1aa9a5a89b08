//! The tables of a report, as both the terminal and the page show them.

use super::{
    Comparison, Figures, Own, RampReport, Report, Server,
    units::{NOTHING, amount, bytes, count, microseconds, printable, rate, seconds, share},
};
use crate::{
    measure::{Counts, Spread, Timing},
    scenario::Speaks,
    slo::Verdict,
};

/// A table: titles of columns, then rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sheet {
    /// What it shows.
    pub(crate) title: String,
    /// Titles of its columns; empty where rows are a name and a value.
    pub(crate) columns: Vec<&'static str>,
    /// How many columns from the left are words; the others are numbers.
    pub(crate) words: usize,
    /// Its cells.
    pub(crate) rows: Vec<Vec<String>>,
}

impl Sheet {
    fn facts(title: impl Into<String>, facts: impl IntoIterator<Item = Fact>) -> Self {
        let rows = facts.into_iter().map(|(name, value)| vec![name.to_owned(), value]).collect();
        Self { title: title.into(), columns: Vec::new(), words: 2, rows }
    }
}

type Fact = (&'static str, String);

/// The spread of each time, in the order of reports.
pub(crate) fn spreads(figures: &Figures) -> [(Timing, Option<&Spread>); 5] {
    Timing::ALL.map(|timing| (timing, figures.spread(timing)))
}

fn time(us: Option<u64>) -> String {
    us.map_or_else(|| NOTHING.to_owned(), |us| microseconds(us as f64))
}

/// Healthy clients' times.
pub(crate) fn times(report: &Report) -> Sheet {
    let row = |(name, spread): (&str, Option<&Spread>)| {
        let mut row = vec![name.to_owned()];
        row.push(spread.map_or_else(|| NOTHING.to_owned(), |spread| count(spread.count)));
        row.extend(
            [
                spread.map(|spread| spread.p50_us),
                spread.map(|spread| spread.p90_us),
                spread.map(|spread| spread.p99_us),
                spread.map(|spread| spread.p999_us),
                spread.map(|spread| spread.max_us),
            ]
            .map(time),
        );
        row
    };
    Sheet {
        title: "times of healthy clients".to_owned(),
        columns: vec!["time", "count", "p50", "p90", "p99", "p99.9", "max"],
        words: 1,
        rows: spreads(&report.healthy)
            .map(|(timing, spread)| (timing.name(), spread))
            .into_iter()
            .chain([("opening", report.opening.as_ref())])
            .map(row)
            .collect(),
    }
}

/// What each group came to.
pub(crate) fn groups(report: &Report) -> Sheet {
    let rows = report.groups.iter().map(|group| {
        let counts = &group.figures.counts;
        let mark = if group.is_healthy { "" } else { " *" };
        vec![
            format!("{}{mark}", printable(&group.name)),
            count(group.clients.into()),
            rate(counts.frames as f64, report.window_s),
            rate(counts.bytes as f64 / 1e6, report.window_s),
            count(counts.updates),
            share(counts.merged as f64, (counts.updates + counts.merged) as f64),
            count(counts.lost),
            count(counts.closed),
            time(group.figures.late.map(|late| late.p99_us)),
        ]
    });
    Sheet {
        title: "groups".to_owned(),
        columns: vec![
            "group", "clients", "frames/s", "MB/s", "updates", "merged", "lost", "closed",
            "p99 late",
        ],
        words: 1,
        rows: rows.collect(),
    }
}

/// What stands below [`groups`] when one of them is marked.
pub(crate) const NOT_JUDGED: &str = "* not judged: asks to be served less, or does not keep up";

/// Why frames left later than asked, groups without any left out.
pub(crate) fn causes(report: &Report) -> Option<Sheet> {
    let is_any = |counts: &Counts| counts.causes.iter().any(|cause| *cause > 0);
    let groups = report.groups.iter().filter(|group| is_any(&group.figures.counts));
    let rows: Vec<_> = groups
        .map(|group| {
            let counts = &group.figures.counts;
            let mut row = vec![printable(&group.name)];
            row.extend(counts.causes.map(|cause| match cause {
                0 => "0".to_owned(),
                _ => format!("{} ({})", count(cause), share(cause as f64, counts.frames as f64)),
            }));
            row
        })
        .collect();
    (report.scenario.target.speaks == Speaks::Tickgate && !rows.is_empty()).then(|| Sheet {
        title: "frames that left later than asked, by cause".to_owned(),
        columns: vec!["group", "socket", "budget", "credit", "load"],
        words: 1,
        rows,
    })
}

/// What is not always there: sums that are mostly 0, and what was said at refusals and closes.
pub(crate) fn others(report: &Report) -> Option<Sheet> {
    let mut rows = Vec::new();
    for group in &report.groups {
        let counts = &group.figures.counts;
        let name = printable(&group.name);
        let sums = [
            ("silent for longer than promised", counts.silent),
            ("sound commands refused", counts.commands_refused),
            ("trades lost by the feed", counts.lost_by_feed),
            ("updates without a time", counts.untimed),
            ("times before their event", counts.negative),
            ("messages published", counts.published),
            ("connections refused", counts.refused),
            ("connections closed", counts.closed),
        ];
        let sums = sums.into_iter().filter(|(_, sum)| *sum > 0);
        rows.extend(sums.map(|(what, sum)| vec![name.clone(), what.to_owned(), count(sum)]));
        for (kind, words) in [("refused", &counts.refusals), ("closed", &counts.closes)] {
            rows.extend(words.iter().map(|(word, sum)| {
                vec![name.clone(), format!("{kind}: {}", printable(word)), count(*sum)]
            }));
        }
    }
    (!rows.is_empty()).then(|| Sheet {
        title: "also counted".to_owned(),
        columns: vec!["group", "what", "count"],
        words: 2,
        rows,
    })
}

/// The server, where it could be read.
pub(crate) fn server(server: &Server) -> Sheet {
    let memory = match (server.resident_bytes_before, server.resident_bytes_after) {
        (Some(before), Some(after)) => {
            Some(format!("{} → {}", bytes(before as f64), bytes(after as f64)))
        }
        (None, Some(one)) | (Some(one), None) => Some(bytes(one as f64)),
        (None, None) => None,
    };
    let slope = server.resident_bytes_per_hour.map(|slope| {
        let sign = if slope > 0.0 { "+" } else { "" };
        format!("{sign}{} an hour", bytes(slope))
    });
    let facts = [
        ("CPU", server.cores.map(|cores| format!("{cores:.2} cores"))),
        ("CPU for each frame", server.cost_per_frame_us.map(microseconds)),
        ("memory", memory),
        ("slope of memory", slope),
        ("ticks entering", server.ticks_per_second.map(|rate| format!("{}/s", amount(rate)))),
    ];
    let known = facts.into_iter().filter_map(|(name, value)| Some((name, value?)));
    Sheet::facts(format!("server ({})", printable(&server.source)), known)
}

/// What the load itself took.
pub(crate) fn own(own: &Own) -> Sheet {
    let percent = |share: f64| format!("{:.0} %", 100.0 * share);
    let busy = match (own.busy_share, own.most_busy_share) {
        (Some(mean), Some(most)) => {
            Some(format!("{} of a core, {} in its busiest second", percent(mean), percent(most)))
        }
        (Some(one), None) | (None, Some(one)) => Some(format!("{} of a core", percent(one))),
        (None, None) => None,
    };
    let delay = own.delay.map(|delay| {
        let (p99, max) = (delay.p99_us as f64, delay.max_us as f64);
        format!("p99 {}, max {}", microseconds(p99), microseconds(max))
    });
    let facts = [
        ("threads", Some(own.threads.to_string())),
        ("CPU for each frame", own.cost_per_frame_us.map(microseconds)),
        ("busiest thread", busy),
        ("its delay, at most", delay),
    ];
    let known = facts.into_iter().filter_map(|(name, value)| Some((name, value?)));
    Sheet::facts("the load itself", known)
}

/// How events went.
pub(crate) fn events(report: &Report) -> Option<Sheet> {
    let rows = report.events.iter().map(|event| {
        let recovered = event.recovered_after_s.map(seconds);
        vec![
            printable(&event.what),
            seconds(event.at_s),
            count(event.clients.into()),
            recovered.unwrap_or_else(|| "not by the end".to_owned()),
        ]
    });
    (!report.events.is_empty()).then(|| Sheet {
        title: "events".to_owned(),
        columns: vec!["event", "at", "clients", "ready again after"],
        words: 1,
        rows: rows.collect(),
    })
}

/// How the steps of a ramp went.
pub(crate) fn ramp(ramp: &RampReport) -> Sheet {
    let rows = ramp.steps.iter().map(|step| {
        let figures = &step.figures;
        vec![
            count(step.clients.into()),
            time(figures.late.map(|spread| spread.p50_us)),
            time(figures.late.map(|spread| spread.p99_us)),
            time(figures.latency.map(|spread| spread.p99_us)),
            time(figures.transit.map(|spread| spread.p99_us)),
            count(figures.counts.lost),
            step.server_cores.map_or_else(|| NOTHING.to_owned(), |cores| format!("{cores:.2}")),
            broken(&step.objectives),
        ]
    });
    let held = ramp.held.map(|held| format!("{} clients held", count(held.into())));
    let held = held.unwrap_or_else(|| "not even the first step held".to_owned());
    Sheet {
        title: format!("ramp: {held}; ended: {}", printable(&ramp.ended)),
        columns: vec![
            "clients",
            "p50 late",
            "p99 late",
            "p99 latency",
            "p99 transit",
            "lost",
            "cores",
            "broken",
        ],
        words: 0,
        rows: rows.collect(),
    }
}

/// The objectives that were not kept.
pub(crate) fn broken(verdicts: &[Verdict]) -> String {
    let broken = verdicts.iter().filter(|verdict| !verdict.is_kept);
    let broken: Vec<_> = broken.map(|verdict| printable(&verdict.objective)).collect();
    if broken.is_empty() { NOTHING.to_owned() } else { broken.join(", ") }
}

/// How the objectives came out.
pub(crate) fn objectives(report: &Report) -> Option<Sheet> {
    let rows = report.objectives.iter().map(|verdict| {
        let kept = if verdict.is_kept { "kept" } else { "BROKEN" };
        vec![kept.to_owned(), printable(&verdict.objective), printable(&verdict.measured)]
    });
    (!report.objectives.is_empty()).then(|| Sheet {
        title: "objectives".to_owned(),
        columns: vec!["", "objective", "measured"],
        words: 2,
        rows: rows.collect(),
    })
}

/// What the comparison with the gateway's own answer found.
pub(crate) fn comparison(comparison: &Comparison) -> Sheet {
    let facts = [
        ("clients", count(comparison.clients.into())),
        ("states compared", count(comparison.compared)),
        ("differing", count(comparison.differing)),
        ("without a match", count(comparison.without_match)),
    ];
    Sheet::facts("comparison with the gateway's own answer", facts)
}
