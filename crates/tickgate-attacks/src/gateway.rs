//! The gateway under attack: the real binary, on ports that the system chooses.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;
use tickgate_benches::process::{Resident, await_settled, thread_use};

use crate::cores;

/// How long it may take to print its addresses, on a machine that is busy building.
const START_LIMIT: Duration = Duration::from_secs(30);

/// How long its admin listener may take to answer.
const ADMIN_LIMIT: Duration = Duration::from_secs(10);

/// The one origin that the gateway lets browsers come from.
pub const ALLOWED_ORIGIN: &str = "https://dashboard.example";

/// Symbols of its market: few, so that whoever subscribes to all of them is served much.
pub const SYMBOLS: usize = 100;

/// Limits that are about time, shortened so that every window of an attack sees them expire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadlines {
    /// `gateway.request_head_age_ms`; default 5 s.
    pub request_head_age: Duration,
    /// `session.drain_age_ms`; default 5 s.
    pub drain_age: Duration,
}

impl Deadlines {
    /// The defaults, or two fifths of a window where that is less; at least a second.
    #[must_use]
    pub fn within(window: Duration) -> Self {
        let share = (window * 2 / 5).max(Duration::from_secs(1)).min(Duration::from_secs(5));
        Self { request_head_age: share, drain_age: share }
    }
}

/// A running gateway; killed when dropped.
#[derive(Debug)]
pub struct Gateway {
    child: Child,
    /// Where clients connect.
    pub address: SocketAddr,
    admin: SocketAddr,
    _folder: TempDir,
}

impl Gateway {
    /// Starts `binary` and waits until it has printed its addresses. What it says on standard
    /// error (warnings and worse) goes where ours goes.
    ///
    /// # Errors
    /// When it cannot be started (pinned, by `taskset` of util-linux), or ends or stays silent
    /// instead.
    pub fn start(binary: &Path, deadlines: Deadlines, pinned: bool) -> Result<Self> {
        let folder = TempDir::new()?;
        let file = folder.path().join("tickgate.toml");
        fs::write(&file, config(deadlines))?;
        let mut command = Command::new(if pinned { Path::new("taskset") } else { binary });
        if pinned {
            // It replaces itself with the program, so the child's id is the program's.
            command.args(["-c", &cores::GATEWAY.to_string()]).arg(binary);
        }
        command.arg("--config").arg(&file);
        // The settings are those of the file, whatever the caller's environment says.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("TICKGATE_") {
                command.env_remove(name);
            }
        }
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", binary.display()))?;
        let lines = lines_of(child.stdout.take().context("standard output is piped")?);
        let addresses = printed_address(&lines, "ws://")
            .and_then(|address| Ok((address, printed_address(&lines, "http://")?)))
            // The page's address is printed before the admin listener's.
            .and_then(|(address, _)| Ok((address, printed_address(&lines, "http://")?)));
        match addresses {
            Ok((address, admin)) => Ok(Self { child, address, admin, _folder: folder }),
            Err(error) => {
                // It may have ended by itself; either way nothing stays behind.
                let _ = child.kill();
                let _ = child.wait();
                Err(error.context(format!("{} did not start", binary.display())))
            }
        }
    }

    /// Waits until its fixed tables are filled: its memory grows no more.
    ///
    /// # Errors
    /// When it grows for a minute, or is gone.
    pub fn settle(&self) -> Result<()> {
        await_settled(self.child.id())
    }

    /// Its own memory, not mapped from files, in bytes (`RssAnon`).
    ///
    /// # Errors
    /// When it is gone.
    pub fn memory_bytes(&self) -> Result<u64> {
        Ok(Resident::of_process(self.child.id())?.anonymous_bytes)
    }

    /// CPU seconds of its workers so far.
    ///
    /// # Errors
    /// When it is gone.
    pub fn worker_seconds(&self) -> Result<f64> {
        let threads = thread_use(self.child.id())?;
        let workers = threads.iter().filter(|(name, _)| name.starts_with("tickgate-worker"));
        Ok(workers.map(|(_, used)| used.cpu_seconds).sum())
    }

    /// Sessions that ended so far for `reason`, as `/metrics` tells it; 0 when it names none.
    ///
    /// # Errors
    /// When the admin listener does not answer.
    pub fn closes(&self, reason: &str) -> Result<u64> {
        let mut stream = TcpStream::connect(self.admin).context("the admin listener")?;
        stream.set_read_timeout(Some(ADMIN_LIMIT))?;
        let host = self.admin;
        write!(stream, "GET /metrics HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")?;
        let mut page = Vec::new();
        stream.read_to_end(&mut page).context("/metrics")?;
        let page = String::from_utf8_lossy(&page);
        ensure!(
            page.starts_with("HTTP/1.1 200"),
            "/metrics: {}",
            page.lines().next().unwrap_or("")
        );
        Ok(closes_in(&page, reason))
    }

    /// True while it has not ended.
    #[must_use]
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // It may have ended already; what counts is that it is gone.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Small tapes, so that the market fills them before the first window; a steady market, so that
/// windows can be compared; every limit that is not about time at its default.
fn config(deadlines: Deadlines) -> String {
    let head_age_ms = deadlines.request_head_age.as_millis();
    let drain_age_ms = deadlines.drain_age.as_millis();
    format!(
        "[gateway]\nlisten = \"127.0.0.1:0\"\nallowed_origins = [\"{ALLOWED_ORIGIN}\"]\n\
         request_head_age_ms = {head_age_ms}\n\
         [session]\ndrain_age_ms = {drain_age_ms}\n\
         [admin]\nlisten = \"127.0.0.1:0\"\n\
         [log]\nfilter = \"error\"\n\
         [hub]\ntape_capacity = 64\n\
         [feed]\nkind = \"simulated\"\n\
         [feed.simulated]\nsymbols = {SYMBOLS}\nticks_per_second = 5000\nburst_factor = 1\n\
         halts_per_hour = 0\n"
    )
}

/// Adds up the samples of a counter of closes with `reason`, whatever the counter's full name.
fn closes_in(page: &str, reason: &str) -> u64 {
    let label = format!("reason=\"{reason}\"");
    page.lines()
        .filter(|line| line.contains("closed_total{") && line.contains(&label))
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .map(|count| count as u64)
        .sum()
}

/// The lines of `pipe`, so that the child never waits for us to read.
fn lines_of(pipe: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, lines) = mpsc::channel();
    // Ends with the child.
    thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            // Nobody listens once the addresses are known; it is read all the same.
            let _ = sender.send(line);
        }
    });
    lines
}

/// The address in the next URL of `scheme` that is printed.
fn printed_address(lines: &Receiver<String>, scheme: &str) -> Result<SocketAddr> {
    let start = Instant::now();
    loop {
        let Ok(line) = lines.recv_timeout(START_LIMIT.saturating_sub(start.elapsed())) else {
            bail!("no {scheme} address was printed");
        };
        let url = line.split_whitespace().find_map(|word| word.strip_prefix(scheme));
        if let Some(authority) = url.and_then(|url| url.split('/').next()) {
            return authority.parse().with_context(|| line.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closes_are_read_by_reason() {
        let page = "tickgate_sessions_closed_total{reason=\"silent\"} 3\n\
                    tickgate_sessions_closed_total{reason=\"slow_consumer\"} 41\n\
                    tickgate_ticks_refused_total{reason=\"slow_consumer\"} 9\n";
        assert_eq!(closes_in(page, "slow_consumer"), 41);
        assert_eq!(closes_in(page, "kicked"), 0);
    }

    #[test]
    fn deadlines_expire_within_a_window_and_never_exceed_the_defaults() {
        let of = |seconds| Deadlines::within(Duration::from_secs(seconds)).drain_age;
        assert_eq!(of(5), Duration::from_secs(2));
        assert_eq!(of(60), Duration::from_secs(5));
        assert_eq!(of(1), Duration::from_secs(1));
    }

    #[test]
    fn addresses_are_taken_from_urls_in_their_order() {
        let (sender, lines) = mpsc::channel();
        for line in ["Tickgate", "  stream ws://127.0.0.1:5/v1/stream", "  page http://[::1]:6/"] {
            sender.send(line.to_owned()).expect("it listens");
        }
        drop(sender);
        assert_eq!(printed_address(&lines, "ws://").expect("printed").port(), 5);
        assert_eq!(printed_address(&lines, "http://").expect("printed").port(), 6);
        assert!(printed_address(&lines, "http://").is_err());
    }
}
