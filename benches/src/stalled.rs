//! What stalled clients cost: memory in the server and in the kernel, and their neighbours' time.
//!
//! Two questions, two kinds of run. Memory: clients of many symbols and nothing else; they stop
//! reading together and the server's and the kernel's memory are watched for as long as the window
//! lasts. Neighbours: healthy sessions alone, then the same with every tenth session stalled, in
//! turns.

use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;

use crate::{
    fanout::{Timing, measure},
    load::Load,
    process::await_settled,
    report::{Setting, Spread, table},
    sink::{Group, Report},
    target::{Job, Server, Target},
};

/// Longer than any run, so that no stalled session is closed while it is watched.
const DRAIN_AGE_MS: u64 = 600_000;

/// What to run.
#[derive(Debug, Clone, Serialize)]
pub struct Options {
    /// The healthy sessions.
    pub load: Load,
    /// Stalled sessions in the memory run.
    pub stalled_sessions: usize,
    /// Symbols of a stalled session.
    pub stalled_symbols: usize,
    /// Stalled sessions in the neighbours' run, as a share of all.
    pub stalled_share: f64,
    /// Rounds of the neighbours' run.
    pub rounds: usize,
    /// How each is measured.
    pub timing: Timing,
}

/// Both answers.
#[derive(Debug, Clone, Serialize)]
pub struct StalledReport {
    /// Where and when.
    pub setting: Setting,
    /// What was run.
    pub options: Options,
    /// The memory run.
    pub memory: Report,
    /// Per round: healthy sessions alone, and with stalled ones.
    pub neighbours: Vec<(Report, Report)>,
}

/// Runs both.
///
/// # Errors
/// When the server does not come up or the sink fails.
pub fn run(
    options: Options,
    tickgate: &Path,
    mut progress: impl FnMut(&str),
) -> Result<StalledReport> {
    let load = &options.load;
    let job = Job {
        load: load.clone(),
        frame_bytes: 0,
        tickgate: tickgate.into(),
        drain_age_ms: DRAIN_AGE_MS,
    };
    let stalled = |sessions| Group {
        sessions,
        symbols: options.stalled_symbols,
        channels: load.channels.clone(),
        throttle_ms: load.throttle_ms,
        stalls: true,
    };
    let server = Server::start(Target::Tickgate, &job)?;
    let groups = vec![stalled(options.stalled_sessions)];
    await_settled(server.running.id())?;
    let mut memory = measure(&server, load, groups, options.timing, false)?;
    // Nobody reads, so nothing arrives: no fault in this run.
    memory.faults.retain(|fault| fault != "no frame arrived");
    drop(server);
    progress("memory of stalled sessions: done");

    let share = options.stalled_share;
    let beside = (load.sessions as f64 * share / (1.0 - share)).round() as usize;
    let mut neighbours = Vec::new();
    for round in 1..=options.rounds {
        let server = Server::start(Target::Tickgate, &job)?;
        let alone = measure(&server, load, vec![load.group()], options.timing, false)?;
        drop(server);
        let server = Server::start(Target::Tickgate, &job)?;
        let groups = vec![load.group(), stalled(beside)];
        let with = measure(&server, load, groups, options.timing, false)?;
        progress(&format!(
            "round {round}: healthy transit p99 {} us alone, {} us beside {beside} stalled sessions",
            p99(&alone)?,
            p99(&with)?
        ));
        neighbours.push((alone, with));
    }
    Ok(StalledReport { setting: Setting::here(), options, memory, neighbours })
}

impl StalledReport {
    /// The figures as tables.
    #[must_use]
    pub fn table(&self) -> String {
        let sessions = self.options.stalled_sessions as f64;
        let first = self.memory.memory.first();
        let rows: Vec<Vec<String>> = self
            .memory
            .memory
            .iter()
            .map(|sample| {
                let kib = |now: u64, start: Option<u64>| {
                    let added = now as f64 - start.unwrap_or(now) as f64;
                    format!("{:.1}", added / sessions / 1024.0)
                };
                vec![
                    format!("{:.0}", sample.seconds),
                    kib(sample.resident.total_bytes, first.map(|s| s.resident.total_bytes)),
                    kib(sample.tcp_bytes, first.map(|s| s.tcp_bytes)),
                ]
            })
            .collect();
        let mut out = format!(
            "{} clients of {} symbols stop reading; KiB each of them has added since\n\n",
            self.options.stalled_sessions, self.options.stalled_symbols
        );
        out += &table(&["s", "server", "kernel, both ends"], &rows);
        let figures = |pick: fn(&(Report, Report)) -> &Report| {
            Spread::of(self.neighbours.iter().filter_map(|pair| p99(pick(pair)).ok()))
        };
        let ratios = self
            .neighbours
            .iter()
            .filter_map(|(alone, with)| Some(p99(with).ok()? / p99(alone).ok()?));
        out += &format!("\n{}: healthy transit p99 in us\n\n", self.options.load.name,);
        out += &table(
            &["alone", "beside stalled", "ratio"],
            &[vec![
                Spread::show(figures(|pair| &pair.0), 0),
                Spread::show(figures(|pair| &pair.1), 0),
                Spread::show(Spread::of(ratios), 2),
            ]],
        );
        let pairs = self.neighbours.iter().flat_map(|(alone, with)| [alone, with]);
        for report in [&self.memory].into_iter().chain(pairs) {
            for fault in &report.faults {
                out += &format!("INVALID: {fault}\n");
            }
            for remark in &report.remarks {
                out += &format!("remark: {remark}\n");
            }
        }
        out
    }
}

fn p99(report: &Report) -> Result<f64> {
    Ok(report.transit.context("no frame arrived")?.p99_us as f64)
}
