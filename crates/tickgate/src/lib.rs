//! The `tickgate` binary: parses, builds, waits. A library only so that the configuration can be
//! read without starting anything; nothing is meant to be built on it.
//!
//! - [`cli`]: what can be typed; [`config`]: what is in force; [`failure`]: how it ends badly;
//! - [`start`]: builds everything from a checked configuration; [`descriptors`]: are there enough;
//!   [`serve`]: waits;
//! - [`feed_thread`], [`liveness`], [`feed_figures`]: drive the feed, tell everybody when it is
//!   silent, show what it counted;
//! - [`signals`], [`reload`]: what it can be told while it runs;
//! - [`banner`], [`log`]: what is printed; [`tail`]: a client for the terminal;
//! - [`load`]: the load generator's way in and out;
//! - [`sessions`], [`kick`] over [`admin_client`]: what an operator asks of a running gateway.

#![allow(rustdoc::private_intra_doc_links, reason = "written for whoever reads the source")]

mod admin_client;
mod banner;
mod cli;
mod config;
mod descriptors;
mod failure;
mod feed_figures;
mod feed_thread;
mod kick;
mod liveness;
mod load;
mod log;
mod reload;
mod serve;
mod sessions;
mod signals;
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
        Some(Command::Sessions(options)) => sessions::run(&options),
        Some(Command::Kick(options)) => kick::run(&options),
        Some(Command::Load(options)) => load::run(&options),
        None => run(cli.options),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

fn run(options: cli::Options) -> Result<(), Failure> {
    let loaded = config::load(&options)?;
    let settings = loaded.settings()?;
    let log = log::Log::init(&settings.log)?;
    let (log_to_watch, log_to_change) = (log.handle(), log.handle());
    let prepared = start::prepare(settings)?;
    descriptors::raise(&prepared.settings);
    serve::run(prepared, log_to_watch, |gateway, effective| {
        reload::Reloader::new(options, loaded, log_to_change, gateway, effective)
    })
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
