//! The servers that are compared, each started on a core of its own choosing: ours, the reference,
//! and peers where their tools are installed.

mod peer;
mod tickgate;

use std::{
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    path::PathBuf,
    process::Command,
    thread,
};

use anyhow::{Context, Result};
use clap::ValueEnum;
use serde::Serialize;

use crate::{load::Load, process::Running, sink::Content};

/// Core of every server.
pub const SERVER_CORE: usize = 0;
/// Core of the sink.
pub const SINK_CORE: usize = 1;

/// A server to measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// Tickgate itself: simulated market, one worker.
    Tickgate,
    /// The bare `send` loop, at Tickgate's mean frame size.
    Bare,
    /// Bun's `publish` (uWebSockets), symbols conflated to the throttle interval.
    Bun,
    /// Node with `ws`, likewise.
    Ws,
}

impl Target {
    /// The name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tickgate => "tickgate",
            Self::Bare => "bare",
            Self::Bun => "bun",
            Self::Ws => "ws",
        }
    }
}

/// What a server is started for.
#[derive(Debug, Clone)]
pub struct Job {
    /// The load it will carry.
    pub load: Load,
    /// Bytes of a frame with its header, for servers that can be told; those of Tickgate.
    pub frame_bytes: usize,
    /// The Tickgate binary.
    pub tickgate: PathBuf,
    /// Longest time a frame of Tickgate may be in flight; stalled sessions must outlive the run.
    pub drain_age_ms: u64,
}

/// A running server.
#[derive(Debug)]
pub struct Server {
    /// The process.
    pub running: Running,
    /// Where it listens.
    pub address: SocketAddr,
    /// Path of its WebSocket.
    pub path: &'static str,
    /// Subprotocol to offer.
    pub subprotocol: Option<&'static str>,
    /// What it sends.
    pub content: Content,
    /// Its symbols, most popular first.
    pub symbols: Vec<String>,
    /// Files it needs while it runs.
    _files: Option<tempfile::TempDir>,
}

impl Server {
    /// Starts it and waits until it listens.
    ///
    /// # Errors
    /// When it cannot be started or does not come up.
    pub fn start(target: Target, job: &Job) -> Result<Self> {
        match target {
            Target::Tickgate => tickgate::start(job),
            Target::Bare => start_bare(job),
            Target::Bun => peer::start(&peer::BUN, job),
            Target::Ws => peer::start(&peer::WS, job),
        }
        .with_context(|| format!("target {}", target.name()))
    }

    /// Why a target cannot be run here; `None` when it can.
    #[must_use]
    pub fn absent(target: Target, job: &Job) -> Option<String> {
        match target {
            Target::Bare => None,
            Target::Tickgate => (!job.tickgate.is_file())
                .then(|| format!("{} is not there: cargo build --release", job.tickgate.display())),
            Target::Bun => peer::absent(&peer::BUN),
            Target::Ws => peer::absent(&peer::WS),
        }
    }
}

fn start_bare(job: &Job) -> Result<Server> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["bare", "--bytes", &job.frame_bytes.to_string()]);
    command.args(["--interval-ms", &job.load.throttle_ms.max(1).to_string()]);
    let mut running = Running::start_pinned(SERVER_CORE, &command)?;
    let address = listening_line(&mut running)?;
    Ok(Server {
        running,
        address,
        path: "/",
        subprotocol: None,
        content: Content::Opaque,
        symbols: (0..job.load.universe).map(|n| format!("S{n}")).collect(),
        _files: None,
    })
}

/// Reads `listening ADDRESS`, the first line of a server of this package.
fn listening_line(running: &mut Running) -> Result<SocketAddr> {
    let mut output = BufReader::new(running.take_stdout().context("standard output")?);
    let mut line = String::new();
    output.read_line(&mut line)?;
    let address = line
        .trim()
        .strip_prefix("listening ")
        .and_then(|address| address.parse().ok())
        .with_context(|| format!("expected `listening ADDRESS`, got {line:?}"))?;
    discard(output);
    Ok(address)
}

/// Reads a server's output to its end, so that it never blocks on it.
fn discard(mut output: impl Read + Send + 'static) {
    // Ends with the server; nobody needs to wait for it.
    thread::spawn(move || std::io::copy(&mut output, &mut std::io::sink()));
}
