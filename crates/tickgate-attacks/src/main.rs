//! Runs the attacks: `cargo run --release -p tickgate-attacks -- run`.

#![allow(clippy::print_stdout, reason = "what it prints is what it is for")]

use std::{fs, path::PathBuf, process::ExitCode, time::Duration};

use anyhow::{Context, Result, ensure};
use clap::{Args, Parser, Subcommand};
use tickgate_attacks::{attack::Attack, attacks, cores, report, trial};

/// Attacks on a running gateway, one after the other beside healthy clients.
#[derive(Debug, Parser)]
#[command(version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run all attacks, or those named; fails when one is not withstood
    Run(Options),
    /// Name the attacks and what each does
    List,
}

#[derive(Debug, Args)]
struct Options {
    /// How long each attack lasts, seconds
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
    /// Run only this attack; may be repeated
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Windows the time is divided into, each behind a quiet one
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=100))]
    pairs: u32,
    /// Healthy clients
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    clients: u64,
    /// Give the gateway the first core to itself, and offenders and healthy clients the second
    #[arg(long)]
    pin: bool,
    /// The gateway's binary; default: tickgate beside this program
    #[arg(long, value_name = "FILE")]
    tickgate: Option<PathBuf>,
    /// Where to write the report (Markdown)
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::List => {
            for attack in attacks::all() {
                println!("{:<22} {}", attack.name, attack.does);
            }
            Ok(true)
        }
        Command::Run(options) => run(&options),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("tickgate-attacks: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// True when every attack was withstood.
fn run(options: &Options) -> Result<bool> {
    let chosen = chosen(&options.only)?;
    let binary = match &options.tickgate {
        Some(file) => file.clone(),
        None => std::env::current_exe()?.with_file_name("tickgate"),
    };
    ensure!(binary.is_file(), "{} is not there: build the binary first", binary.display());
    let plan = trial::Plan {
        attacked: Duration::from_secs(options.seconds),
        pairs: options.pairs,
        clients: usize::try_from(options.clients)?,
        pinned: options.pin,
    };
    if plan.pinned {
        cores::stay_on(cores::CLIENTS)?;
    }
    let connections = plan.connection_limit()?;
    if connections < 5_000 {
        println!("the descriptor limit allows {connections} of 5,000 half-open connections");
    }
    let mut trials = Vec::new();
    for attack in chosen {
        let trial = trial::run(attack, &plan, &binary).with_context(|| attack.name)?;
        println!("{}", report::line(&trial));
        trials.push(trial);
    }
    if let Some(file) = &options.report {
        fs::write(file, report::markdown(&trials, &plan, &machine()))
            .with_context(|| format!("cannot write {}", file.display()))?;
    }
    let failed = trials.iter().filter(|trial| !trial.faults.is_empty()).count();
    println!("{} withstood, {failed} failed", trials.len() - failed);
    Ok(failed == 0)
}

fn chosen(names: &[String]) -> Result<Vec<&'static Attack>> {
    let all = attacks::all();
    for name in names {
        ensure!(all.iter().any(|attack| attack.name == name), "no attack is called {name}");
    }
    let wanted = |attack: &&Attack| {
        names.is_empty() || names.iter().any(|name| attack.name == name.as_str())
    };
    Ok(all.into_iter().filter(wanted).collect())
}

/// What it was run on, for the report.
fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("{cores} cores, Linux {}", kernel.trim())
}
