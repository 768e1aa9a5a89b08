//! `tickgate load`: what can be typed, and how a run goes from there.

use std::{
    fs::File,
    io::{self, IsTerminal},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result, ensure};
use clap::Args;

use crate::{
    measure::Tally,
    progress::{Phase, Progress},
    report::{Report, Second, hdr_log::HdrLog, html, json, outcome::Outcome, table},
    run::{self, LoadError, run},
    scenario::{BUILT_IN, Scenario, Speaks, built_in},
    spawn::Spawned,
};

/// Loads a gateway with thousands of clients, times and checks every delivery.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 passed, 1 an objective or the protocol was broken, 2 a scenario or \
                  flag that breaks a rule, 3 could not begin, 7 the figures are worthless."
)]
pub struct Options {
    /// A scenario that is built in (--list names them), or a TOML file
    #[arg(value_name = "SCENARIO", default_value = "steady")]
    scenario: String,
    /// List the scenarios that are built in
    #[arg(long)]
    list: bool,
    /// Print the scenario with everything in force, as a file to begin one's own from
    #[arg(long)]
    show: bool,
    /// The target's WebSocket (target.url)
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// What the target speaks (target.speaks)
    #[arg(long, value_enum, value_name = "PROTOCOL")]
    speaks: Option<Speaks>,
    /// Start a gateway for the run, with the scenario's settings, instead of loading one that runs
    #[arg(long, conflicts_with_all = ["url", "speaks", "metrics", "pid"])]
    spawn: bool,
    /// Clients in all, in the proportions of the scenario
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    clients: Option<u32>,
    /// Symbols of each client, in all groups
    #[arg(long, value_name = "COUNT")]
    symbols: Option<u32>,
    /// Throttle interval in all groups, milliseconds
    #[arg(long, value_name = "MILLISECONDS")]
    throttle_ms: Option<u32>,
    /// Length of the window, seconds (run.duration_s)
    #[arg(long, value_name = "SECONDS")]
    duration_s: Option<f64>,
    /// Time before it, seconds (run.warm_up_s)
    #[arg(long, value_name = "SECONDS")]
    warm_up_s: Option<f64>,
    /// New connections a second at the start (run.connects_per_second)
    #[arg(long, value_name = "RATE")]
    connects_per_second: Option<f64>,
    /// Threads that share the clients (run.threads)
    #[arg(long, value_name = "COUNT")]
    threads: Option<u16>,
    /// Seed of watchlists and behaviour (run.seed)
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
    /// Objectives, such as 'p99<5ms,late.p99.9<20ms,lost=0,violations=0' (slo)
    #[arg(long, value_name = "OBJECTIVES")]
    slo: Option<String>,
    /// Prometheus metrics of the server, for its CPU, memory and tick rate (target.metrics)
    #[arg(long, value_name = "URL")]
    metrics: Option<String>,
    /// Process id of the server, for its CPU and memory (target.pid)
    #[arg(long, value_name = "PID")]
    pid: Option<u32>,
    /// Write everything as JSON; - is stdout
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write one HTML page, readable without a network
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Write each second's histograms as an HdrHistogram log (V2)
    #[arg(long, value_name = "FILE")]
    hdr_log: Option<PathBuf>,
}

/// How it ended, where it did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// There was nothing to run, or the run passed.
    Passed,
    /// An objective was broken, or the protocol.
    Failed,
    /// The figures are worthless.
    Invalid,
}

/// Runs what was typed, shows it, and writes what was asked for.
///
/// # Errors
/// [`LoadError`] when there is no report.
#[expect(clippy::print_stdout, reason = "the report is what the program is run for")]
pub fn load(options: &Options) -> Result<Ended, LoadError> {
    if options.list {
        for name in BUILT_IN {
            let scenario = Scenario::parse(name, built_in(name).unwrap_or_default());
            let scenario = scenario.map_err(|error| LoadError::Scenario(error.into()))?;
            println!("{name:<10} {}", scenario.description);
        }
        return Ok(Ended::Passed);
    }
    let scenario = options.scenario().map_err(LoadError::Scenario)?;
    if options.show {
        let text = toml::to_string_pretty(&scenario).context("cannot be shown");
        print!("{}", text.map_err(LoadError::Scenario)?);
        return Ok(Ended::Passed);
    }
    let report = options.run(scenario)?;
    options.write(&report).map_err(LoadError::Running)?;
    Ok(match report.outcome() {
        Outcome::Passed => Ended::Passed,
        Outcome::Failed(_) => Ended::Failed,
        Outcome::Invalid(_) => Ended::Invalid,
    })
}

impl Options {
    /// The scenario with what was typed over it, checked.
    fn scenario(&self) -> Result<Scenario> {
        let mut scenario = Scenario::find(&self.scenario)?;
        let (target, run) = (&mut scenario.target, &mut scenario.run);
        set(&mut target.url, &self.url);
        set(&mut target.speaks, &self.speaks);
        target.metrics = self.metrics.clone().or(target.metrics.take());
        target.pid = self.pid.or(target.pid);
        set(&mut run.duration_s, &self.duration_s);
        set(&mut run.warm_up_s, &self.warm_up_s);
        set(&mut run.connects_per_second, &self.connects_per_second);
        set(&mut run.threads, &self.threads);
        set(&mut run.seed, &self.seed);
        set(&mut scenario.slo, &self.slo);
        for group in &mut scenario.clients {
            set(&mut group.symbols, &self.symbols);
            group.throttle_ms = self.throttle_ms.or(group.throttle_ms);
        }
        if let Some(clients) = self.clients {
            ensure!(scenario.ramp.is_none(), "--clients means nothing to a ramp: see ramp.to");
            scenario.scale(clients);
        }
        scenario.check()?;
        Ok(scenario)
    }

    fn run(&self, mut scenario: Scenario) -> Result<Report, LoadError> {
        // Files are made before anything else, so that a run is not lost for a wrong path.
        self.create_files().map_err(LoadError::Start)?;
        let mut audience = Audience {
            progress: Progress::new(io::stderr().is_terminal()),
            hdr_log: self.hdr_log.as_deref().map(Log::Planned),
        };
        let gateway = if self.spawn {
            let gateway = Spawned::start(&scenario.gateway).map_err(LoadError::Start)?;
            scenario.target.url = gateway.url.clone();
            scenario.target.metrics = Some(gateway.metrics.clone());
            scenario.target.pid = Some(gateway.pid());
            Some(gateway)
        } else {
            None
        };
        let is_set = !self.spawn && !scenario.gateway.is_empty();
        let settings = scenario.gateway.join(", ");
        let mut report = run(scenario, &mut audience);
        if let (Ok(report), true) = (&mut report, is_set) {
            report.remarks.push(format!(
                "the scenario asks for a gateway with {settings}; only one that --spawn starts is"
            ));
        }
        // It has to outlive the run, and no more.
        drop(gateway);
        report
    }

    fn create_files(&self) -> Result<()> {
        let is_file = |path: &&PathBuf| path.as_path() != Path::new("-");
        for path in [&self.json, &self.html, &self.hdr_log].into_iter().flatten().filter(is_file) {
            File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(())
    }

    fn write(&self, report: &Report) -> Result<()> {
        let is_json_on_stdout = self.json.as_deref().is_some_and(|path| path == Path::new("-"));
        if !is_json_on_stdout {
            table::closing_table(report, &mut io::stdout().lock())?;
        }
        if let Some(path) = &self.json {
            json::write(report, path)?;
        }
        if let Some(path) = &self.html {
            html::write(report, path)?;
        }
        Ok(())
    }
}

/// Shows a run while it goes, and writes each second's histograms.
struct Audience<'a> {
    progress: Progress,
    hdr_log: Option<Log<'a>>,
}

/// A log, which begins with the window.
enum Log<'a> {
    Planned(&'a Path),
    Begun(HdrLog),
}

impl run::Audience for Audience<'_> {
    fn phase(&mut self, phase: &Phase) {
        self.progress.phase(phase);
    }

    fn second(&mut self, second: &Second, healthy: &Tally, clients: u32) -> Result<()> {
        self.progress.second(second, clients);
        if let Some(log) = &mut self.hdr_log {
            let length = Duration::from_secs_f64(second.length_s);
            let end = Duration::from_secs_f64(second.at_s);
            if let Log::Planned(path) = *log {
                *log = Log::Begun(HdrLog::create(path, SystemTime::now() - end)?);
            }
            if let Log::Begun(log) = log {
                log.interval(end.saturating_sub(length), length, &healthy.timings)?;
            }
        }
        Ok(())
    }
}

fn set<T: Clone>(value: &mut T, typed: &Option<T>) {
    if let Some(typed) = typed {
        value.clone_from(typed);
    }
}
