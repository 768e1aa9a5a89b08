//! Thousands of WebSocket clients in one thread, cheaper than any server they load.
//!
//! The sink connects, subscribes, lets everything warm up and then measures a window: its own
//! counters and the server's CPU time are read at the same two moments. What it costs itself is in
//! the report; a run in which its core was saturated measured the sink and is marked invalid.

mod command;
mod connection;
mod tally;

use std::{
    collections::BTreeMap,
    io::ErrorKind,
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use mio::{Events, Poll, Registry, Token};
use serde::{Deserialize, Serialize};

use crate::{
    process::{
        CpuReading, CpuUse, Resident, ThreadUse, descriptor_limit, tcp_memory_bytes, thread_use,
    },
    watchlist::Watchlists,
    wire,
};
use connection::{Connection, State};

pub use tally::{Content, Latency, Tally};

/// Connections being opened at once; well below the servers' backlogs.
const HANDSHAKES: usize = 256;
/// Bytes taken from a socket at once.
const READ_BYTES: usize = 64 * 1024;
/// Descriptors the process needs besides its sessions.
const SPARE_DESCRIPTORS: usize = 32;
/// How long connecting, or waiting for everybody's first frame, may take.
const SETUP_LIMIT: Duration = Duration::from_secs(60);
/// Above this share of its core the sink may have held up the server.
const SATURATED_SHARE: f64 = 0.9;
/// Other processes' share of a core that deserves a remark.
const FOREIGN_SHARE: f64 = 0.05;

/// What the sink does; read from a JSON file.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Where the server listens.
    pub address: SocketAddr,
    /// Path of the WebSocket.
    pub path: String,
    /// Subprotocol to offer.
    pub subprotocol: Option<String>,
    /// How to subscribe and what comes back.
    pub content: Content,
    /// Whose CPU time and memory are measured.
    pub server_pid: u32,
    /// The core it is pinned to.
    pub server_core: usize,
    /// The core the sink is pinned to.
    pub sink_core: usize,
    /// Symbols in order of popularity.
    pub symbols: Vec<String>,
    /// Zipf exponent of watchlists; 0 spreads them evenly.
    pub skew: f64,
    /// Seed of the watchlists.
    pub seed: u64,
    /// The sessions.
    pub groups: Vec<Group>,
    /// Hold every session open without a subscription first and read the server's memory.
    pub hold_idle: bool,
    /// From the last session's first frame to the window.
    pub warm_up_ms: u64,
    /// The measured window.
    pub window_ms: u64,
    /// Ages of entries are read in every so many frames of a session; 0 for never.
    pub sample_every: u64,
}

/// Sessions that are alike.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// How many.
    pub sessions: usize,
    /// Symbols each watches.
    pub symbols: usize,
    /// Channels each asks for.
    pub channels: Vec<String>,
    /// Throttle interval each asks for.
    pub throttle_ms: u32,
    /// Stop reading when the window begins.
    pub stalls: bool,
}

/// What was measured.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Report {
    /// Sessions that were open and streaming.
    pub sessions: usize,
    /// Length of the window.
    pub window_seconds: f64,
    /// CPU seconds of the server in the window, kernel included.
    pub server_cpu_seconds: f64,
    /// What its threads had of the core, by name, and how long they waited for it.
    pub server_threads: BTreeMap<String, ThreadUse>,
    /// Share of the sink's own core it used.
    pub sink_share: f64,
    /// How long the sink was ready and did not have its core.
    pub sink_waited_seconds: f64,
    /// Share of the server's core that other processes used.
    pub foreign_share: f64,
    /// Share of the sink's core that other processes used.
    pub sink_foreign_share: f64,
    /// Data frames.
    pub frames: u64,
    /// Entries in them; a message of a server without frames counts as one.
    pub entries: u64,
    /// WebSocket bytes of the data frames, headers included.
    pub bytes: u64,
    /// Data frames without entries.
    pub heartbeats: u64,
    /// Socket reads that brought something.
    pub reads: u64,
    /// From `sent_at_us` in a frame to its arrival.
    pub transit: Option<Latency>,
    /// From the venue's time of an event to the frame that carries it, by the server's clock.
    pub age: Option<Latency>,
    /// From the venue's time of an event to the arrival of its entry; includes the throttle.
    pub staleness: Option<Latency>,
    /// The server's memory before the first connection.
    pub resident_before: Resident,
    /// With all sessions open and none subscribed.
    pub resident_idle: Option<Resident>,
    /// Through the window, about once a second.
    pub memory: Vec<MemorySample>,
    /// Why the run counts for nothing; empty in a good one.
    pub faults: Vec<String>,
    /// What a reader should know of it.
    pub remarks: Vec<String>,
}

/// Memory at one moment of the window.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct MemorySample {
    /// Since the window began.
    pub seconds: f64,
    /// The server's.
    pub resident: Resident,
    /// The kernel's, for all TCP sockets, both ends.
    pub tcp_bytes: u64,
}

impl Report {
    /// Frames per second of the server's CPU time.
    #[must_use]
    pub fn frames_per_cpu_second(&self) -> f64 {
        self.frames as f64 / self.server_cpu_seconds
    }

    /// Entries per second of the server's CPU time.
    #[must_use]
    pub fn entries_per_cpu_second(&self) -> f64 {
        self.entries as f64 / self.server_cpu_seconds
    }

    /// Share of its core the server used.
    #[must_use]
    pub fn server_share(&self) -> f64 {
        self.server_cpu_seconds / self.window_seconds
    }

    /// Mean WebSocket bytes of a data frame.
    #[must_use]
    pub fn bytes_per_frame(&self) -> f64 {
        self.bytes as f64 / self.frames as f64
    }
}

/// Does what the plan says.
///
/// # Errors
/// When the server goes away, refuses a session or a command, or does not send everybody a first
/// frame within a minute. Faults of the measurement are in the report instead.
pub fn run(plan: &Plan) -> Result<Report> {
    let sessions: usize = plan.groups.iter().map(|group| group.sessions).sum();
    let descriptors = descriptor_limit()?;
    ensure!(
        sessions + SPARE_DESCRIPTORS <= descriptors,
        "{sessions} sessions need more than the {descriptors} descriptors allowed (ulimit -n)"
    );
    let resident_before = Resident::of_process(plan.server_pid)?;
    let mut sink = Sink::new(plan)?;

    sink.connect_all(sessions)?;
    let mut resident_idle = None;
    if plan.hold_idle {
        sink.run_for(Duration::from_secs(1), |_| Ok(()))?;
        resident_idle = Some(Resident::of_process(plan.server_pid)?);
        sink.subscribe_all()?;
    }
    sink.await_first_frames()?;
    sink.run_for(Duration::from_millis(plan.warm_up_ms), |_| Ok(()))?;
    sink.stall()?;

    sink.tally = Tally::new(plan.content, plan.sample_every)?;
    let own_pid = std::process::id();
    let read_all = || -> Result<_> {
        Ok((
            CpuReading::of_process(plan.server_pid)?,
            CpuReading::of_process(own_pid)?,
            CpuReading::of_core(plan.server_core)?,
            CpuReading::of_core(plan.sink_core)?,
        ))
    };
    let threads_start = thread_use(plan.server_pid)?;
    let own_waited_start = waited_seconds(own_pid)?;
    let (server_start, own_start, server_core_start, sink_core_start) = read_all()?;
    let mut memory = Vec::new();
    sink.run_for(Duration::from_millis(plan.window_ms), |seconds| {
        memory.push(MemorySample {
            seconds,
            resident: Resident::of_process(plan.server_pid)?,
            tcp_bytes: tcp_memory_bytes()?,
        });
        Ok(())
    })?;
    let (server_end, own_end, server_core_end, sink_core_end) = read_all()?;
    let threads_end = thread_use(plan.server_pid)?;
    let sink_waited_seconds = waited_seconds(own_pid)? - own_waited_start;

    let server = server_end.since(server_start);
    let own = own_end.since(own_start);
    let foreign = |core: CpuUse, ours: CpuUse| (core.share() - ours.share()).max(0.0);
    let foreign_share = foreign(server_core_end.since(server_core_start), server);
    let sink_foreign_share = foreign(sink_core_end.since(sink_core_start), own);
    let tally = &sink.tally;
    let mut faults = tally.faults();
    let mut remarks = Vec::new();
    if own.share() > SATURATED_SHARE {
        faults.push(format!("the sink's core was saturated ({:.0} %)", own.share() * 100.0));
    }
    if server.cpu_seconds <= 0.0 {
        faults.push("the window is too short to see the server's CPU time".into());
    }
    if server.share() > SATURATED_SHARE {
        remarks.push(format!("the server's core was saturated ({:.0} %)", server.share() * 100.0));
    }
    for (whose, share) in [("server", foreign_share), ("sink", sink_foreign_share)] {
        if share > FOREIGN_SHARE {
            remarks.push(format!("others used {:.0} % of the {whose}'s core", share * 100.0));
        }
    }
    Ok(Report {
        sessions,
        window_seconds: server.wall_seconds,
        server_cpu_seconds: server.cpu_seconds,
        server_threads: threads_end
            .into_iter()
            .map(|(name, end)| {
                let start = threads_start.get(&name).copied().unwrap_or_default();
                (name, end.since(start))
            })
            .collect(),
        sink_share: own.share(),
        sink_waited_seconds,
        foreign_share,
        sink_foreign_share,
        frames: tally.frames,
        entries: tally.entries,
        bytes: tally.bytes,
        heartbeats: tally.heartbeats,
        reads: tally.reads,
        transit: Latency::of(&tally.transit_us),
        age: Latency::of(&tally.age_us),
        staleness: Latency::of(&tally.staleness_us),
        resident_before,
        resident_idle,
        memory,
        faults,
        remarks,
    })
}

/// How long all threads of a process together have waited for a core so far.
fn waited_seconds(pid: u32) -> Result<f64> {
    Ok(thread_use(pid)?.values().map(|each| each.waited_seconds).sum())
}

struct Sink<'a> {
    plan: &'a Plan,
    poll: Poll,
    events: Events,
    connections: Vec<Connection>,
    buffer: Vec<u8>,
    tally: Tally,
    handshake: Vec<u8>,
    watchlists: Watchlists,
}

impl<'a> Sink<'a> {
    fn new(plan: &'a Plan) -> Result<Self> {
        let host = plan.address.to_string();
        Ok(Self {
            plan,
            poll: Poll::new()?,
            events: Events::with_capacity(1024),
            connections: Vec::new(),
            buffer: vec![0; READ_BYTES],
            tally: Tally::new(plan.content, plan.sample_every)?,
            handshake: wire::handshake_request(&host, &plan.path, plan.subprotocol.as_deref()),
            watchlists: Watchlists::new(plan.symbols.len(), plan.skew, plan.seed),
        })
    }

    /// Opens every session, a few at a time; each subscribes as soon as it is open, unless the
    /// plan holds them idle.
    fn connect_all(&mut self, sessions: usize) -> Result<()> {
        let started = Instant::now();
        let groups = self.plan.groups.iter().enumerate();
        let mut waiting = groups.flat_map(|(at, group)| std::iter::repeat_n(at, group.sessions));
        let mut open = 0;
        while open < sessions {
            ensure!(started.elapsed() < SETUP_LIMIT, "only {open} of {sessions} sessions opened");
            while self.connections.len() - open < HANDSHAKES {
                let Some(group) = waiting.next() else { break };
                let token = Token(self.connections.len());
                let connection =
                    Connection::open(self.plan.address, group, self.poll.registry(), token)
                        .with_context(|| format!("session {}", self.connections.len()))?;
                self.connections.push(connection);
            }
            for at in self.step(Duration::from_millis(100))? {
                open += 1;
                if !self.plan.hold_idle {
                    self.subscribe(at)?;
                }
            }
        }
        Ok(())
    }

    fn subscribe_all(&mut self) -> Result<()> {
        (0..self.connections.len()).try_for_each(|at| self.subscribe(at))
    }

    fn subscribe(&mut self, at: usize) -> Result<()> {
        let group = &self.plan.groups[self.connections[at].group];
        let names: Vec<&str> = self
            .watchlists
            .draw(group.symbols)
            .into_iter()
            .map(|position| self.plan.symbols[position].as_str())
            .collect();
        let connection = &mut self.connections[at];
        if let Some((opcode, payload)) = command::subscribe(self.plan.content, group, &names)? {
            wire::write_client_frame(&mut connection.outbox, opcode, &payload);
            connection.flush().with_context(|| format!("session {at} was cut off"))?;
        }
        Ok(())
    }

    fn await_first_frames(&mut self) -> Result<()> {
        let started = Instant::now();
        loop {
            self.step(Duration::from_millis(100))?;
            if let Some(error) = self.tally.refusal() {
                bail!("the server refused: {error}");
            }
            let lacking = self.connections.iter().filter(|c| c.frame_sequence.is_none()).count();
            if lacking == 0 {
                return Ok(());
            }
            ensure!(
                started.elapsed() < SETUP_LIMIT,
                "{lacking} of {} sessions got no data",
                self.connections.len()
            );
        }
    }

    /// Stops reading on the sessions that stall.
    fn stall(&mut self) -> Result<()> {
        for connection in &mut self.connections {
            if self.plan.groups[connection.group].stalls {
                connection.stall(self.poll.registry())?;
            }
        }
        Ok(())
    }

    /// Serves events for `duration`; calls `every_second` at its start, then about once a second.
    fn run_for(
        &mut self,
        duration: Duration,
        mut every_second: impl FnMut(f64) -> Result<()>,
    ) -> Result<()> {
        let started = Instant::now();
        let mut next_second = Duration::ZERO;
        loop {
            let elapsed = started.elapsed();
            if elapsed >= next_second || elapsed >= duration {
                every_second(elapsed.as_secs_f64())?;
                next_second += Duration::from_secs(1);
            }
            if elapsed >= duration {
                return Ok(());
            }
            self.step(duration - elapsed)?;
        }
    }

    /// Waits for events and serves them; returns the sessions that were opened.
    fn step(&mut self, timeout: Duration) -> Result<Vec<usize>> {
        // A pause that is longer than a second would skip a memory sample.
        let timeout = timeout.min(Duration::from_millis(200));
        match self.poll.poll(&mut self.events, Some(timeout)) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            outcome => outcome.context("epoll")?,
        }
        let mut opened = Vec::new();
        for event in &self.events {
            let Token(at) = event.token();
            let connection = &mut self.connections[at];
            let before = connection.state;
            connection
                .on_event(event, &self.handshake, &mut self.buffer, &mut self.tally)
                .with_context(|| format!("session {at} ended"))?;
            if before != State::Open && connection.state == State::Open {
                opened.push(at);
            }
        }
        Ok(opened)
    }
}

/// Where connections register; named for the modules below.
type Epoll = Registry;
