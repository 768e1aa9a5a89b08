//! What a run came to.
//!
//! [`Report`] is what `--json` writes; everything else that is shown is made from it:
//!
//! - [`outcome`]: passed, failed or invalid, and why;
//! - [`table`]: the closing table on a terminal; [`html`]: the same with charts, as a page;
//! - [`json`]: all of it; [`hdr_log`]: each interval's histograms, written as the run goes.

pub mod hdr_log;
pub mod html;
pub mod json;
pub mod outcome;
#[cfg(test)]
pub(crate) mod sample;
mod sheet;
pub mod table;
pub(crate) mod units;

use serde::{Deserialize, Serialize};

use crate::{
    measure::{Counts, Spread, Timing, Timings},
    scenario::Scenario,
    slo::Verdict,
};

/// Version of the form of reports. Another number says that programs must look again.
pub const VERSION: u32 = 1;

/// What a run came to. Times are Unix microseconds or microseconds, as their names say.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Report {
    /// Version of this form: [`VERSION`].
    pub version: u32,
    /// Program and version that made it.
    pub generator: String,
    /// When the window began, Unix microseconds.
    pub began_at_us: i64,
    /// How long it was, seconds.
    pub window_s: f64,
    /// What machine the load came from.
    pub machine: Machine,
    /// What was run.
    pub scenario: Scenario,
    /// How long healthy clients took to be ready before the window, from the first attempt.
    pub opening: Option<Spread>,
    /// Healthy clients together: what objectives are judged by.
    pub healthy: Figures,
    /// Each group.
    pub groups: Vec<GroupFigures>,
    /// Second by second, healthy clients together.
    pub seconds: Vec<Second>,
    /// Quantiles of the healthy clients' times, for plots.
    pub curves: Vec<Curve>,
    /// What the load itself took.
    pub own: Own,
    /// The server, where it could be read.
    pub server: Option<Server>,
    /// Healthy clients that were not ready at the window's end, those that come and go by
    /// themselves only as far as they are more than a tenth.
    pub absent: u32,
    /// Violations before and after the window.
    pub violations_outside: u64,
    /// What broke the protocol, the first of them in full.
    pub violations: Vec<ViolationReport>,
    /// Comparison with the gateway's own answer after the window.
    pub comparison: Option<Comparison>,
    /// How each event went.
    pub events: Vec<EventReport>,
    /// How a ramp went.
    pub ramp: Option<RampReport>,
    /// How the objectives came out.
    pub objectives: Vec<Verdict>,
    /// What makes the figures worthless; empty is what it should be.
    pub invalid: Vec<String>,
    /// What should be known when reading them.
    pub remarks: Vec<String>,
}

/// What machine the load came from.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Machine {
    /// Cores.
    pub cores: usize,
    /// Model of the processor, where it says.
    pub processor: String,
    /// Kernel.
    pub kernel: String,
}

impl Machine {
    /// This one, as far as `/proc` tells.
    #[must_use]
    pub fn this() -> Self {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let info = read("/proc/cpuinfo");
        let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
        Self {
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            processor: model.map(|(_, name)| name.trim().to_owned()).unwrap_or_default(),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
        }
    }
}

/// Sums and spreads.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Figures {
    /// Sums.
    pub counts: Counts,
    /// [`crate::measure::Timing::Latency`].
    pub latency: Option<Spread>,
    /// [`crate::measure::Timing::Late`].
    pub late: Option<Spread>,
    /// [`crate::measure::Timing::Transit`].
    pub transit: Option<Spread>,
    /// [`crate::measure::Timing::Staleness`].
    pub staleness: Option<Spread>,
    /// [`crate::measure::Timing::Ready`].
    pub ready: Option<Spread>,
}

impl Figures {
    /// Of sums and histograms.
    #[must_use]
    pub fn of(counts: &Counts, timings: &Timings) -> Self {
        use crate::measure::Timing::{Late, Latency, Ready, Staleness, Transit};
        Self {
            counts: counts.clone(),
            latency: timings.spread(Latency),
            late: timings.spread(Late),
            transit: timings.spread(Transit),
            staleness: timings.spread(Staleness),
            ready: timings.spread(Ready),
        }
    }

    /// One of the times.
    #[must_use]
    pub const fn spread(&self, timing: Timing) -> Option<&Spread> {
        match timing {
            Timing::Latency => self.latency.as_ref(),
            Timing::Late => self.late.as_ref(),
            Timing::Transit => self.transit.as_ref(),
            Timing::Staleness => self.staleness.as_ref(),
            Timing::Ready => self.ready.as_ref(),
        }
    }
}

/// A group's part.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct GroupFigures {
    /// Its name.
    pub name: String,
    /// Its clients at the window's end.
    pub clients: u32,
    /// Whether it is judged.
    pub is_healthy: bool,
    /// What it came to.
    pub figures: Figures,
}

/// One second of the window.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Second {
    /// Its end, seconds from the window's beginning.
    pub at_s: f64,
    /// How long it was: longer than a second when the load's threads were late.
    pub length_s: f64,
    /// Clients of all groups that are ready at its end.
    pub ready: u32,
    /// Healthy clients' figures.
    pub figures: Figures,
    /// Busiest of the load's threads, share of a core.
    pub own_share: Option<f64>,
    /// The server's CPU time, cores.
    pub server_cores: Option<f64>,
    /// The server's resident memory, bytes.
    pub server_resident_bytes: Option<u64>,
    /// Ticks that entered the server's hub, a second.
    pub server_ticks_per_second: Option<f64>,
}

/// Points of a quantile plot.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Curve {
    /// Which time.
    pub timing: Timing,
    /// Quantile from 0 to 1, and microseconds.
    pub points: Vec<(f64, u64)>,
}

/// What the load itself took, and whether it may have been the limit.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Own {
    /// Threads that had clients.
    pub threads: u16,
    /// CPU time of each frame received, microseconds, reading from the kernel included.
    pub cost_per_frame_us: Option<f64>,
    /// Mean share of a core of the busiest thread.
    pub busy_share: Option<f64>,
    /// Its share in its busiest second.
    pub most_busy_share: Option<f64>,
    /// How long what had arrived waited to be looked at, at most: how much of the times is ours.
    pub delay: Option<Spread>,
}

/// The server in the window.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Server {
    /// Where this was read: a process id or a metrics address.
    pub source: String,
    /// CPU time over wall time, cores.
    pub cores: Option<f64>,
    /// CPU time of each frame that all clients received, microseconds.
    pub cost_per_frame_us: Option<f64>,
    /// Resident memory at the beginning, bytes.
    pub resident_bytes_before: Option<u64>,
    /// Resident memory at the end, bytes.
    pub resident_bytes_after: Option<u64>,
    /// Slope of a straight line through resident memory, bytes an hour.
    pub resident_bytes_per_hour: Option<f64>,
    /// Ticks that entered the hub, a second.
    pub ticks_per_second: Option<f64>,
}

/// One violation in full.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ViolationReport {
    /// When, seconds from the window's beginning; negative before it.
    pub at_s: f64,
    /// Number of the client.
    pub client: u32,
    /// Its group.
    pub group: String,
    /// What was wrong.
    pub what: String,
    /// Its last messages before and with it, oldest first, as text.
    pub messages: Vec<String>,
}

/// Comparison with the gateway's own answer.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Comparison {
    /// Clients compared.
    pub clients: u32,
    /// States of the same symbol, channel and sequence that were compared.
    pub compared: u64,
    /// Of them, those that differ; and symbols' channels in which a client was behind by more than
    /// a second at the end.
    pub differing: u64,
    /// Symbols' channels for which no sequence was seen on both sides.
    pub without_match: u64,
    /// The first differences, in words.
    pub differences: Vec<String>,
}

/// How an event went.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct EventReport {
    /// When, seconds from the window's beginning.
    pub at_s: f64,
    /// What, in words.
    pub what: String,
    /// Clients concerned.
    pub clients: u32,
    /// Seconds until 98 % as many clients were ready as before it; `None` when they were not
    /// by the window's end.
    pub recovered_after_s: Option<f64>,
}

/// How a ramp went.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RampReport {
    /// Most clients that kept the objectives; `None` when not even the first step did.
    pub held: Option<u32>,
    /// Why it ended.
    pub ended: String,
    /// Each step: clients, figures, verdicts.
    pub steps: Vec<RampStep>,
}

/// One step of a ramp.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RampStep {
    /// Clients of the group that grows.
    pub clients: u32,
    /// Healthy clients' figures.
    pub figures: Figures,
    /// The server's CPU time, cores.
    pub server_cores: Option<f64>,
    /// How the objectives came out.
    pub objectives: Vec<Verdict>,
}
