//! The server's figures, second by second and over the window.

use std::time::Duration;

use crate::{
    report::Server,
    scenario::Target,
    server::{Reading, ServerWatch},
};

/// Below this a slope over an hour would say more about the moment than about the server.
const SHORTEST_SLOPE: Duration = Duration::from_secs(60);

/// The server's figures, where it can be watched.
pub(super) struct Served {
    watch: Option<ServerWatch>,
    /// At the window's beginning.
    first: Option<Reading>,
    last: Option<Reading>,
}

/// The server in one second.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Rates {
    /// CPU time over wall time.
    pub(super) cores: Option<f64>,
    /// Resident memory, bytes.
    pub(super) resident_bytes: Option<u64>,
    /// Ticks that entered the hub, a second.
    pub(super) ticks_per_second: Option<f64>,
}

impl Served {
    pub(super) fn of(target: &Target) -> Self {
        let watch = match (target.pid, &target.metrics) {
            (Some(pid), Some(metrics)) => Some(ServerWatch::pid(pid).and_metrics(metrics)),
            (Some(pid), None) => Some(ServerWatch::pid(pid)),
            (None, Some(metrics)) => Some(ServerWatch::metrics(metrics)),
            (None, None) => None,
        };
        Self { watch, first: None, last: None }
    }

    /// The window begins.
    pub(super) fn begin(&mut self) {
        if let Some(watch) = &mut self.watch {
            watch.restart_slope();
            self.first = Some(watch.sample());
            self.last = self.first;
        }
    }

    /// What it did since the last call.
    pub(super) fn second(&mut self) -> Rates {
        let Some(watch) = &mut self.watch else { return Rates::default() };
        let now = watch.sample();
        let before = self.last.replace(now);
        Rates {
            cores: before.and_then(|before| rate(before, now, |reading| reading.cpu_seconds)),
            resident_bytes: now.resident_bytes,
            ticks_per_second: before.and_then(|before| rate(before, now, |reading| reading.ticks)),
        }
    }

    /// CPU time over wall time since the window's beginning, or since `then`.
    pub(super) fn cores_since(&self, then: Option<Reading>) -> Option<f64> {
        rate(then?, self.last?, |reading| reading.cpu_seconds)
    }

    /// What was read last.
    pub(super) fn last(&self) -> Option<Reading> {
        self.last
    }

    /// The window as a whole; `frames` is what all clients received in it.
    pub(super) fn report(&self, frames: u64) -> Option<Server> {
        let (watch, first, last) = (self.watch.as_ref()?, self.first?, self.last?);
        let cpu_seconds = first.cpu_seconds.zip(last.cpu_seconds).map(|(from, to)| to - from);
        Some(Server {
            source: watch.to_string(),
            cores: self.cores_since(self.first),
            cost_per_frame_us: cpu_seconds
                .filter(|_| frames > 0)
                .map(|seconds| seconds * 1e6 / frames as f64),
            resident_bytes_before: first.resident_bytes,
            resident_bytes_after: last.resident_bytes,
            resident_bytes_per_hour: watch
                .resident_bytes_per_hour()
                .filter(|_| last.at.duration_since(first.at) >= SHORTEST_SLOPE),
            ticks_per_second: rate(first, last, |reading| reading.ticks),
        })
    }
}

fn rate(from: Reading, to: Reading, figure: impl Fn(Reading) -> Option<f64>) -> Option<f64> {
    let seconds = to.at.duration_since(from.at).as_secs_f64();
    let (before, after) = (figure(from)?, figure(to)?);
    (seconds > 0.0).then(|| (after - before) / seconds)
}
