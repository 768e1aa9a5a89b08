//! What a run is: how many clients do what, for how long, against what.
//!
//! A scenario is a TOML file; those built in ([`BUILT_IN`]) are such files as well, and flags change
//! single values of either. [`check`](Scenario::check) names whatever cannot be run.

mod builtin;
mod check;
mod choices;

use serde::{Deserialize, Serialize};

pub use self::{
    builtin::{BUILT_IN, built_in},
    check::{Invalid, ScenarioError},
    choices::{Acknowledge, Format, Reads, Speaks},
};

/// Everything a run needs to know.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// What reports call it.
    pub name: String,
    /// One sentence of what it shows.
    #[serde(default)]
    pub description: String,
    /// What is loaded.
    #[serde(default)]
    pub target: Target,
    /// How long, how fast, from which seed.
    #[serde(default)]
    pub run: Run,
    /// Who loads it: at least one group.
    pub clients: Vec<Group>,
    /// What happens to clients at set times of the window.
    #[serde(default)]
    pub events: Vec<Event>,
    /// Grows the first group step by step until an objective breaks.
    #[serde(default)]
    pub ramp: Option<Ramp>,
    /// Objectives, as `--slo` takes them; none by default.
    #[serde(default)]
    pub slo: String,
    /// Settings of a gateway that is started for the run, as its `--set` takes them; without
    /// meaning for one that runs already.
    #[serde(default)]
    pub gateway: Vec<String>,
}

impl Scenario {
    /// Most clients that there are at any time.
    #[must_use]
    pub fn most_clients(&self) -> u32 {
        let counts = self.clients.iter().enumerate().map(|(at, group)| match self.ramp {
            Some(ramp) if at == 0 => ramp.to,
            _ => group.count,
        });
        counts.fold(0, u32::saturating_add)
    }

    /// Makes it so many clients in all, in the same proportions; each group keeps one at least.
    pub fn scale(&mut self, clients: u32) {
        let now: u32 = self.clients.iter().map(|group| group.count).sum();
        for group in &mut self.clients {
            let share = f64::from(group.count) / f64::from(now.max(1));
            group.count = ((share * f64::from(clients)).round() as u32).max(1);
        }
    }
}

/// What is loaded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Target {
    /// Its WebSocket, `ws://` only. Default `ws://127.0.0.1:7400/v1/stream`.
    pub url: String,
    /// What it speaks. Default Tickgate's own protocol.
    pub speaks: Speaks,
    /// Prometheus text to read CPU, memory and tick rate of the server from; none by default.
    pub metrics: Option<String>,
    /// Process to read CPU and memory of instead, on this machine; none by default.
    pub pid: Option<u32>,
    /// Symbols to draw watchlists from, the most popular first. Empty: those of the target's
    /// directory, where it has one.
    pub symbols: Vec<String>,
    /// Where there is no directory and no list: so many symbols called `SYM0001` and so on.
    pub made_up_symbols: u32,
}

impl Default for Target {
    fn default() -> Self {
        Self {
            url: "ws://127.0.0.1:7400/v1/stream".to_owned(),
            speaks: Speaks::Tickgate,
            metrics: None,
            pid: None,
            symbols: Vec::new(),
            made_up_symbols: 1_000,
        }
    }
}

/// How long, how fast, from which seed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Run {
    /// Time between the last client being ready and the window, seconds. Default 3.
    pub warm_up_s: f64,
    /// The window: what is reported was received in it, seconds. Default 30.
    pub duration_s: f64,
    /// Longest time until every client is ready, seconds; past it the run fails. Default 60.
    pub ready_within_s: f64,
    /// New connections a second at the start. Default 1,000.
    pub connects_per_second: f64,
    /// Seed of watchlists, jitter and behaviour. Default 1.
    pub seed: u64,
    /// Threads that share the clients. Default 1.
    pub threads: u16,
    /// `SO_RCVBUF` of clients, bytes; 0, the default, leaves it to the kernel. Small ones make slow
    /// clients push back sooner.
    pub receive_buffer_bytes: u32,
    /// Clients whose state is compared with the gateway's own answer after the window. Default 8.
    pub compared_clients: u32,
}

impl Default for Run {
    fn default() -> Self {
        Self {
            warm_up_s: 3.0,
            duration_s: 30.0,
            ready_within_s: 60.0,
            connects_per_second: 1_000.0,
            seed: 1,
            threads: 1,
            receive_buffer_bytes: 0,
            compared_clients: 8,
        }
    }
}

/// Clients that do the same.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Group {
    /// What reports call it.
    pub name: String,
    /// How many.
    pub count: u32,
    /// Symbols of each, drawn without repetition; all there are when there are fewer. Default 20.
    pub symbols: u32,
    /// Subscribes to `*` instead.
    pub wildcard: bool,
    /// How unevenly symbols are drawn: the n-th has weight n^-zipf_exponent. Default 1; 0 is even.
    pub zipf_exponent: f64,
    /// Channels to subscribe to. Default quote and last.
    pub channels: Vec<String>,
    /// Throttle interval, milliseconds; 0 is as it happens. Default: what the gateway gives.
    pub throttle_ms: Option<u32>,
    /// Byte budget of each client, bytes a second. Default: none.
    pub max_bytes_per_second: Option<u64>,
    /// Encoding. Default MessagePack.
    pub format: Format,
    /// How it reads. Default: everything at once.
    pub reads: Reads,
    /// Frames it grants unacknowledged. Default: no credit.
    pub credit_frames: Option<u64>,
    /// When it acknowledges, with credit. Default: at once.
    pub acknowledges: Acknowledge,
    /// Mean length of a connection, seconds, exponentially spread; then it leaves and comes back
    /// with other symbols. Default: it stays.
    pub lifetime_s: Option<f64>,
    /// Sends what breaks the rules instead of reading, as fast as it gets an answer. Default no.
    pub hostile: bool,
    /// Messages it publishes a second, where the target takes them from clients. Default 0.
    pub publishes_per_second: f64,
}

impl Default for Group {
    fn default() -> Self {
        Self {
            name: "clients".to_owned(),
            count: 100,
            symbols: 20,
            wildcard: false,
            zipf_exponent: 1.0,
            channels: vec!["quote".to_owned(), "last".to_owned()],
            throttle_ms: None,
            max_bytes_per_second: None,
            format: Format::MessagePack,
            reads: Reads::Everything,
            credit_frames: None,
            acknowledges: Acknowledge::AtOnce,
            lifetime_s: None,
            hostile: false,
            publishes_per_second: 0.0,
        }
    }
}

impl Group {
    /// True for clients that ask for no consideration: they read at once and bound nothing. Only
    /// their latencies say something about the target, and only these are in totals.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        self.reads == Reads::Everything
            && !self.hostile
            && self.max_bytes_per_second.is_none()
            && (self.credit_frames.is_none() || self.acknowledges == Acknowledge::AtOnce)
    }
}

/// What happens to clients at a set time of the window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Event {
    /// When, seconds from the window's beginning.
    pub at_s: f64,
    /// To which groups, by name; to all when empty.
    #[serde(default)]
    pub groups: Vec<String>,
    /// To which share of their clients. Default all.
    #[serde(default = "whole")]
    pub share: f64,
    /// What: `{ disconnect = { back_within_s = 5 } }` or `{ stall = { for_s = 2 } }`.
    pub what: What,
}

fn whole() -> f64 {
    1.0
}

/// What can happen.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum What {
    /// Connections break without a word, and come back each at a moment of its own.
    Disconnect {
        /// They come back within so many seconds, evenly spread.
        back_within_s: f64,
    },
    /// Clients stop reading, then read on.
    Stall {
        /// For so many seconds.
        for_s: f64,
    },
}

/// Grows the first group until an objective breaks. The window is as long as the steps take.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ramp {
    /// Clients of the first step; `count` of the group is not used.
    pub from: u32,
    /// More of them at each step.
    pub step: u32,
    /// Most of them: there the ramp ends even if nothing broke.
    pub to: u32,
    /// How long a step is watched once its clients are ready, seconds.
    pub every_s: f64,
}
