//! Fan-out runs from the command line; `benches/README.md` says what each measures.

use std::{
    fs::File,
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
    sync::atomic::AtomicBool,
    time::Duration,
};

use anyhow::{Context, Result};
use clap::{Args, Parser, Subcommand};
use tickgate_benches::{
    bare::{self, BareConfig},
    fanout::{self, FanoutReport, Timing},
    load::Load,
    memory, report, sink, stalled,
    target::Target,
};

/// Head-to-head fan-out runs: servers on core 0, clients on core 1.
#[derive(Debug, Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Servers take turns under a load: frames and entries per CPU-second, ratios to a bare loop.
    Run {
        /// SYMBOLSxSESSIONS or `realtime`; again for more.
        #[arg(long = "load", default_values = ["20x6000", "50x2000", "100x4000", "1x5000"])]
        loads: Vec<String>,
        /// Servers to compare.
        #[arg(long, value_enum, value_delimiter = ',', default_values = ["tickgate", "bare"])]
        targets: Vec<Target>,
        /// Rounds of all of them.
        #[arg(long, default_value_t = 5)]
        rounds: usize,
        /// Share of its core that Tickgate is to use, such as 0.5: looks for the ticks a second
        /// that make it so, beginning at the load's.
        #[arg(long, value_parser = share)]
        busy: Option<f64>,
        #[command(flatten)]
        common: Common,
    },
    /// Resident memory a session adds, idle and streaming.
    Memory {
        /// SYMBOLSxSESSIONS.
        #[arg(long, default_value = "20x6000")]
        load: String,
        /// The server.
        #[arg(long, value_enum, default_value = "tickgate")]
        target: Target,
        #[command(flatten)]
        common: Common,
    },
    /// Memory that stalled clients add, and what their neighbours notice.
    Stalled {
        /// The healthy sessions: SYMBOLSxSESSIONS.
        #[arg(long, default_value = "20x2000")]
        load: String,
        /// Stalled sessions in the memory run.
        #[arg(long, default_value_t = 200)]
        stalled_sessions: usize,
        /// Symbols of a stalled session.
        #[arg(long, default_value_t = 500)]
        stalled_symbols: usize,
        /// Share of all sessions that stalls in the neighbours' run, below 1.
        #[arg(long, default_value_t = 0.1)]
        stalled_share: f64,
        /// Rounds of the neighbours' run.
        #[arg(long, default_value_t = 3)]
        rounds: usize,
        #[command(flatten)]
        common: Common,
    },
    /// The reference server, alone: prints `listening ADDRESS` and sends to whoever connects.
    Bare {
        /// Bytes of a frame, WebSocket header included.
        #[arg(long)]
        bytes: usize,
        /// Milliseconds between two frames of a connection.
        #[arg(long, default_value_t = 100)]
        interval_ms: u64,
        /// Milliseconds of the grid connections are spread on; more than the interval counts as
        /// the interval.
        #[arg(long, default_value_t = 5)]
        tick_ms: u64,
    },
    /// The clients, alone: does what a plan (JSON) says, prints a report (JSON).
    Sink {
        /// The plan.
        plan: PathBuf,
    },
}

#[derive(Debug, Args)]
struct Common {
    /// The Tickgate binary.
    #[arg(long, default_value = "target/release/tickgate")]
    tickgate: PathBuf,
    /// Milliseconds from the last session's first frame to the window.
    #[arg(long, default_value_t = 3_000)]
    warm_up_ms: u64,
    /// Milliseconds of the measured window.
    #[arg(long, default_value_t = 10_000)]
    window_ms: u64,
    /// Seed of the watchlists.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Ticks a second of the simulated market, instead of the load's own.
    #[arg(long)]
    ticks_per_second: Option<u32>,
    /// Zipf exponent of watchlists, instead of the load's own; 0 spreads them evenly.
    #[arg(long, value_parser = exponent)]
    skew: Option<f64>,
    /// Channels every session asks for, instead of `quote`.
    #[arg(long, value_delimiter = ',')]
    channels: Option<Vec<String>>,
    /// Frame size of the bare loop when Tickgate is not among the targets.
    #[arg(long, default_value_t = 200)]
    frame_bytes: usize,
    /// Write everything that was measured to this file.
    #[arg(long)]
    json: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nothing is left to do when standard error is gone, too.
            let _ = writeln!(io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<()> {
    match command {
        Command::Run { loads, targets, rounds, busy, common } => {
            let options = fanout::Options {
                targets,
                rounds,
                timing: common.timing(),
                busy,
                tickgate: common.tickgate.clone(),
                frame_bytes: common.frame_bytes,
            };
            let loads: Vec<Load> =
                loads.iter().map(|name| common.load(name)).collect::<Result<_>>()?;
            let mut reports: Vec<FanoutReport> = Vec::new();
            for load in &loads {
                let report = fanout::run(load, &options, progress)?;
                print(&format!("\n{}", report.table()))?;
                reports.push(report);
            }
            common.write_json(&reports)
        }
        Command::Memory { load, target, common } => {
            let load = common.load(&load)?;
            let report =
                memory::run(&load, target, &common.tickgate, common.frame_bytes, common.timing())?;
            print(&report.table())?;
            common.write_json(&report)
        }
        Command::Stalled {
            load,
            stalled_sessions,
            stalled_symbols,
            stalled_share,
            rounds,
            common,
        } => {
            anyhow::ensure!(
                (0.0..1.0).contains(&stalled_share),
                "stalled_share = {stalled_share}: must be at least 0 and below 1"
            );
            let options = stalled::Options {
                load: common.load(&load)?,
                stalled_sessions,
                stalled_symbols,
                stalled_share,
                rounds,
                timing: common.timing(),
            };
            let report = stalled::run(options, &common.tickgate, progress)?;
            print(&report.table())?;
            common.write_json(&report)
        }
        Command::Bare { bytes, interval_ms, tick_ms } => {
            let listener = bare::listen().context("cannot listen")?;
            print(&format!("listening {}\n", listener.local_addr()?))?;
            let config = BareConfig {
                frame_bytes: bytes,
                interval: Duration::from_millis(interval_ms),
                tick: Duration::from_millis(tick_ms.min(interval_ms)),
            };
            bare::run(listener, config, &AtomicBool::new(false))
        }
        Command::Sink { plan } => {
            let file = File::open(&plan).with_context(|| format!("plan {}", plan.display()))?;
            let plan = serde_json::from_reader(io::BufReader::new(file)).context("plan")?;
            let report = sink::run(&plan)?;
            print(&(serde_json::to_string(&report)? + "\n"))
        }
    }
}

impl Common {
    fn timing(&self) -> Timing {
        Timing { warm_up_ms: self.warm_up_ms, window_ms: self.window_ms, seed: self.seed }
    }

    fn load(&self, name: &str) -> Result<Load> {
        let mut load = Load::parse(name)?;
        load.ticks_per_second = self.ticks_per_second.unwrap_or(load.ticks_per_second);
        load.skew = self.skew.unwrap_or(load.skew);
        if let Some(channels) = &self.channels {
            load.channels.clone_from(channels);
        }
        Ok(load)
    }

    fn write_json(&self, report: &impl serde::Serialize) -> Result<()> {
        self.json.as_ref().map_or(Ok(()), |path| report::write_json(path, report))
    }
}

fn exponent(text: &str) -> Result<f64, String> {
    let exponent = text.parse().ok().filter(|exponent| (0.0..=3.0).contains(exponent));
    exponent.ok_or_else(|| "must be 0 to 3".into())
}

fn share(text: &str) -> Result<f64, String> {
    let share = text.parse().ok().filter(|share| (0.05..=0.95).contains(share));
    share.ok_or_else(|| "must be 0.05 to 0.95".into())
}

fn print(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}

fn progress(text: &str) {
    // Progress is for a person who watches; a run goes on without one.
    let _ = writeln!(io::stderr(), "{text}");
}
