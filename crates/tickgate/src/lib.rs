//! The `tickgate` binary: parses, builds, waits. A library only so that the configuration can be
//! read without starting anything; nothing is meant to be built on it.
//!
//! - [`cli`]: what can be typed; [`config`]: what is in force; [`failure`]: how it ends badly;
//! - [`start`]: builds everything from a checked configuration; [`serve`]: waits;
//! - [`feed_thread`], [`liveness`], [`feed_figures`]: drive the feed, tell everybody when it is
//!   silent, show what it counted;
//! - [`banner`], [`log`]: what is printed; [`tail`]: a client for the terminal.

#![allow(rustdoc::private_intra_doc_links, reason = "written for whoever reads the source")]

mod banner;
mod cli;
mod config;
mod failure;
mod feed_figures;
mod feed_thread;
mod liveness;
mod log;
mod serve;
mod start;
mod tail;

use std::process::ExitCode;

use clap::Parser;

use cli::{Cli, Command};
use failure::Failure;

/// The whole program: reads the command line, runs, and says how it ended.
pub fn main() -> ExitCode {
    // A usage error ends here, with clap's own message and exit code 2.
    let cli = Cli::parse();
    let done = match cli.command {
        Some(Command::Check(options)) => check(&options),
        Some(Command::Tail(options)) => tail::run(&options),
        None => run(&cli.options),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

fn run(options: &cli::Options) -> Result<(), Failure> {
    let config = config::load(options)?;
    let settings = config.settings()?;
    log::init(&settings.log)?;
    serve::run(start::prepare(settings)?)
}

/// Validates without starting: no port is bound, no recording read.
fn check(options: &cli::Options) -> Result<(), Failure> {
    config::load(options)?.settings()?;
    banner::checked(options.config.as_deref());
    Ok(())
}

/// Reads `text` as a configuration file alone, without environment and flags, and checks every
/// rule. Nothing is started and no file is read.
///
/// # Errors
/// The line that the binary would end with: the key, its value and the rule it breaks.
pub fn check_configuration(text: &str) -> Result<(), String> {
    let loaded = config::from_text(text).map_err(|failure| failure.line())?;
    loaded.settings().map(drop).map_err(|failure| failure.line())
}
