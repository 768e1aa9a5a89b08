//! Head-to-head runs: servers take turns under one load, and each round gives ratios of its own.
//!
//! Tickgate goes first in a round, because the bare loop sends frames of the size that Tickgate's
//! had in the same round. Absolute figures drift by a fifth between identical runs on a shared
//! machine; ratios within a round drift less, and their median over rounds is what is quoted.

use std::{
    fs::File,
    io::{Read, Write as _},
    path::PathBuf,
    process::Command,
};

use anyhow::{Context, Result, ensure};
use serde::Serialize;

use crate::{
    busy,
    load::Load,
    process::{Running, ThreadUse},
    report::{Setting, Spread, table},
    sink::{Content, Group, Latency, Plan, Report},
    target::{Job, SERVER_CORE, SINK_CORE, Server, Target},
};

/// Longest time a frame may be in flight in runs without stalled sessions; the default.
const DRAIN_AGE_MS: u64 = 5_000;
/// Warm-up and window of a trial that looks for a server's share of its core.
const TRIAL: (u64, u64) = (1_000, 2_000);
/// How far Tickgate's share of its core may be from the one asked for without a remark.
const BUSY_ERROR: f64 = 0.05;
/// Share of the frames a load asks for below which a run deserves a remark.
const SCHEDULE_SHARE: f64 = 0.98;

/// What to run.
#[derive(Debug, Clone)]
pub struct Options {
    /// The servers; Tickgate is run first.
    pub targets: Vec<Target>,
    /// Rounds of all of them.
    pub rounds: usize,
    /// How each is measured.
    pub timing: Timing,
    /// Share of its core that Tickgate should use: the load's ticks a second are set accordingly.
    pub busy: Option<f64>,
    /// The Tickgate binary.
    pub tickgate: PathBuf,
    /// Frame size for the others when Tickgate is not among the targets.
    pub frame_bytes: usize,
}

/// How one server is measured.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Timing {
    /// From the last session's first frame to the window.
    pub warm_up_ms: u64,
    /// The measured window.
    pub window_ms: u64,
    /// Seed of the watchlists.
    pub seed: u64,
}

/// All rounds under one load.
#[derive(Debug, Clone, Serialize)]
pub struct FanoutReport {
    /// Where and when.
    pub setting: Setting,
    /// The load.
    pub load: Load,
    /// How it was measured.
    pub timing: Timing,
    /// Targets that could not be run, and why.
    pub absent: Vec<(Target, String)>,
    /// What was measured, round by round.
    pub rounds: Vec<Vec<Outcome>>,
}

/// One server in one round.
#[derive(Debug, Clone, Serialize)]
pub struct Outcome {
    /// Which server.
    pub target: Target,
    /// What the sink measured.
    pub report: Report,
}

/// Runs `options.rounds` rounds under `load`; calls `progress` after each server.
///
/// # Errors
/// When a server does not come up, or none is left to run.
pub fn run(load: &Load, options: &Options, mut progress: impl FnMut(&str)) -> Result<FanoutReport> {
    let mut job = Job {
        load: load.clone(),
        frame_bytes: options.frame_bytes,
        tickgate: options.tickgate.clone(),
        drain_age_ms: DRAIN_AGE_MS,
    };
    let mut targets = options.targets.clone();
    targets.sort_unstable();
    targets.dedup();
    let absent: Vec<(Target, String)> = targets
        .iter()
        .filter_map(|target| Some((*target, Server::absent(*target, &job)?)))
        .collect();
    for (target, reason) in &absent {
        progress(&format!("{}: not run: {reason}", target.name()));
    }
    targets.retain(|target| !absent.iter().any(|(other, _)| other == target));
    ensure!(!targets.is_empty(), "no target is left to run");

    if let Some(share) = options.busy {
        ensure!(targets.contains(&Target::Tickgate), "a share is looked for with Tickgate's ticks");
        let found = busy::ticks_per_second(share, load.ticks_per_second, |ticks| {
            job.load.ticks_per_second = ticks;
            let measured = trial(&job, options.timing.seed)?;
            progress(&format!("{}: {ticks} ticks/s use {measured:.2} of the core", load.name));
            Ok(measured)
        })?;
        job.load.ticks_per_second = found;
    }
    let load = &job.load.clone();

    let mut rounds = Vec::new();
    for round in 1..=options.rounds {
        let mut outcomes = Vec::new();
        for target in &targets {
            let server = Server::start(*target, &job)?;
            let mut report = measure(&server, load, vec![load.group()], options.timing, false)?;
            report.remarks.extend(schedule_remark(load, server.content, &report));
            if *target == Target::Tickgate {
                if report.frames > 0 {
                    job.frame_bytes = report.bytes_per_frame().round() as usize;
                }
                report.remarks.extend(options.busy.and_then(|share| busy_remark(share, &report)));
            }
            progress(&line(&load.name, round, *target, &report));
            outcomes.push(Outcome { target: *target, report });
        }
        rounds.push(outcomes);
    }
    Ok(FanoutReport {
        setting: Setting::here(),
        load: load.clone(),
        timing: options.timing,
        absent,
        rounds,
    })
}

/// Tickgate's share of its core under the job's load, in a short window.
fn trial(job: &Job, seed: u64) -> Result<f64> {
    let server = Server::start(Target::Tickgate, job)?;
    let (warm_up_ms, window_ms) = TRIAL;
    let timing = Timing { warm_up_ms, window_ms, seed };
    let report = measure(&server, &job.load, vec![job.load.group()], timing, false)?;
    Ok(report.server_share())
}

/// Runs the sink, pinned to its core, against a running server.
///
/// # Errors
/// When the sink fails; its error is on standard error.
pub fn measure(
    server: &Server,
    load: &Load,
    groups: Vec<Group>,
    timing: Timing,
    hold_idle: bool,
) -> Result<Report> {
    let plan = Plan {
        address: server.address,
        path: server.path.into(),
        subprotocol: server.subprotocol.map(Into::into),
        content: server.content,
        server_pid: server.running.id(),
        server_core: SERVER_CORE,
        sink_core: SINK_CORE,
        symbols: server.symbols.clone(),
        skew: load.skew,
        seed: timing.seed,
        groups,
        hold_idle,
        warm_up_ms: timing.warm_up_ms,
        window_ms: timing.window_ms,
        sample_every: if load.throttle_ms == 0 { 1 } else { 10 },
    };
    let files = tempfile::tempdir()?;
    let path = files.path().join("plan.json");
    File::create(&path)?.write_all(&serde_json::to_vec(&plan)?)?;

    let mut command = Command::new(std::env::current_exe()?);
    command.arg("sink").arg(&path);
    let mut sink = Running::start_pinned(SINK_CORE, &command)?;
    let mut output = Vec::new();
    sink.take_stdout().context("standard output")?.read_to_end(&mut output)?;
    sink.finish().context("the sink failed")?;
    serde_json::from_slice(&output).context("cannot read the sink's report")
}

impl FanoutReport {
    /// Ratios of `figure`, of `one` to `other`, in every round that is valid for both.
    #[must_use]
    pub fn ratio(
        &self,
        one: Target,
        other: Target,
        figure: impl Fn(&Report) -> f64,
    ) -> Option<Spread> {
        let find = |round: &[Outcome], target| {
            let found = round.iter().find(|outcome| outcome.target == target)?;
            found.report.faults.is_empty().then(|| figure(&found.report))
        };
        Spread::of(
            self.rounds.iter().filter_map(|round| Some(find(round, one)? / find(round, other)?)),
        )
    }

    /// Medians (and ranges) over the valid rounds, one line a target, and what was wrong below.
    #[must_use]
    pub fn table(&self) -> String {
        let first = self.rounds.first().map_or(&[][..], Vec::as_slice);
        let rows: Vec<Vec<String>> = first.iter().map(|o| self.row(o.target)).collect();
        let mut out = format!(
            "{}: {} sessions x {} of {} symbols, {} ms throttle, {} ticks/s, {} rounds of {} s\n\n",
            self.load.name,
            self.load.sessions,
            self.load.symbols,
            self.load.universe,
            self.load.throttle_ms,
            self.load.ticks_per_second,
            self.rounds.len(),
            self.timing.window_ms as f64 / 1e3,
        );
        out += &table(
            &[
                "target",
                "frames/CPU-s",
                "of bare",
                "entries/CPU-s",
                "tickgate is x",
                "B/frame",
                "entries/frame",
                "frames/s",
                "server CPU",
                "sink CPU",
                "transit p99 ms",
                "stale p50 ms",
                "stale p99 ms",
                "RSS MiB",
                "valid",
            ],
            &rows,
        );
        for outcome in self.rounds.iter().flatten().filter(|o| o.target == Target::Tickgate) {
            out += &threads_line(&outcome.report);
            out += &latency_line(&outcome.report);
        }
        for (target, reason) in &self.absent {
            out += &format!("{}: not run: {reason}\n", target.name());
        }
        for (round, outcomes) in self.rounds.iter().enumerate() {
            for outcome in outcomes {
                for (what, texts) in
                    [("INVALID", &outcome.report.faults), ("remark", &outcome.report.remarks)]
                {
                    for text in texts {
                        out += &format!(
                            "{what}: round {}, {}: {text}\n",
                            round + 1,
                            outcome.target.name()
                        );
                    }
                }
            }
        }
        out
    }

    fn row(&self, target: Target) -> Vec<String> {
        let valid: Vec<&Report> = self
            .rounds
            .iter()
            .flatten()
            .filter(|outcome| outcome.target == target && outcome.report.faults.is_empty())
            .map(|outcome| &outcome.report)
            .collect();
        let show = |decimals, figure: &dyn Fn(&Report) -> Option<f64>| {
            Spread::show(Spread::of(valid.iter().filter_map(|report| figure(report))), decimals)
        };
        // Peers send a message for each symbol and many messages at once: no frames in our sense.
        let framed = matches!(target, Target::Tickgate | Target::Bare);
        let one_send_a_message = framed || self.load.symbols == 1;
        // The reference's frames hold nothing.
        let entries = |report: &Report| (target != Target::Bare).then_some(report.entries as f64);
        vec![
            target.name().into(),
            show(0, &|r| Some(r.frames_per_cpu_second())),
            if one_send_a_message {
                Spread::show(self.ratio(target, Target::Bare, Report::frames_per_cpu_second), 3)
            } else {
                "–".into()
            },
            show(0, &|r| entries(r).map(|entries| entries / r.server_cpu_seconds)),
            if target == Target::Bare {
                "–".into()
            } else {
                let ratio = self.ratio(Target::Tickgate, target, Report::entries_per_cpu_second);
                Spread::show(ratio, 2)
            },
            show(0, &|r| Some(r.bytes_per_frame())),
            show(1, &|r| entries(r).map(|entries| entries / r.frames as f64)),
            show(0, &|r| Some(r.frames as f64 / r.window_seconds)),
            show(2, &|r| Some(r.server_share())),
            show(2, &|r| Some(r.sink_share)),
            show(2, &|r| r.transit.map(|latency| latency.p99_us as f64 / 1e3)),
            show(1, &|r| r.staleness.map(|latency| latency.p50_us as f64 / 1e3)),
            show(1, &|r| r.staleness.map(|latency| latency.p99_us as f64 / 1e3)),
            show(1, &|r| Some(r.memory.last()?.resident.total_bytes as f64 / 1_048_576.0)),
            format!("{}/{}", valid.len(), self.rounds.len()),
        ]
    }
}

/// A remark on a server that sent less than the load asks for. Its ratio stands, for CPU time is
/// what it is measured by, but it was measured at another load.
fn schedule_remark(load: &Load, content: Content, report: &Report) -> Option<String> {
    if load.throttle_ms == 0 {
        return None;
    }
    let messages = if content == Content::Stamped { load.symbols } else { 1 };
    let asked = (load.sessions * messages) as f64 * 1e3 / f64::from(load.throttle_ms);
    let share = report.frames as f64 / report.window_seconds / asked;
    (share < SCHEDULE_SHARE).then(|| format!("sent {:.0} % of what the load asks for", share * 1e2))
}

/// A remark on a server that was busier, or less busy, than was asked for.
fn busy_remark(share: f64, report: &Report) -> Option<String> {
    let used = report.server_share();
    let is_off = (used - share).abs() > BUSY_ERROR;
    is_off.then(|| format!("used {used:.2} of its core, not {share:.2}"))
}

/// Where the server's CPU time went, thread by thread, dearest first, and who had to wait for it.
fn threads_line(report: &Report) -> String {
    let mut threads: Vec<(&String, ThreadUse)> =
        report.server_threads.iter().map(|(name, each)| (name, *each)).collect();
    threads.sort_by(|(_, one), (_, other)| other.cpu_seconds.total_cmp(&one.cpu_seconds));
    let share = |seconds: f64| seconds / report.window_seconds;
    let shares: Vec<String> = threads
        .iter()
        .filter(|(_, each)| each.cpu_seconds > 0.0)
        .map(|(name, each)| {
            let (used, waited) = (share(each.cpu_seconds), share(each.waited_seconds));
            format!("{name} {used:.3} ({waited:.3})")
        })
        .collect();
    format!(
        "tickgate's threads, share of the core (and of the time, waiting for it): {}; sink {:.3} ({:.3})\n",
        shares.join(", "),
        report.sink_share,
        share(report.sink_waited_seconds),
    )
}

/// Where an entry's time went, for servers that tell.
fn latency_line(report: &Report) -> String {
    let show = |what: &str, latency: Option<Latency>| {
        let each = latency?;
        let ms = [each.p50_us, each.p99_us, each.p999_us, each.max_us].map(|us| us as f64 / 1e3);
        Some(format!("{what} {:.2} / {:.2} / {:.2} / {:.2}", ms[0], ms[1], ms[2], ms[3]))
    };
    let parts = [
        show("tick to frame", report.age),
        show("frame to arrival", report.transit),
        show("tick to arrival", report.staleness),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    format!("latency in ms, p50 / p99 / p99.9 / max: {}\n", parts.join(", "))
}

fn line(load: &str, round: usize, target: Target, report: &Report) -> String {
    format!(
        "{load} round {round} {:<8} {:>9.0} frames/CPU-s, {:>6.0} B/frame, server {:.2}, sink {:.2}{}",
        target.name(),
        report.frames_per_cpu_second(),
        report.bytes_per_frame(),
        report.server_share(),
        report.sink_share,
        if report.faults.is_empty() { "" } else { ", INVALID" },
    )
}
