//! Resident memory per session: growth of the server from no session to all of them subscribed
//! and streaming, over their number.

use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;

use crate::{
    fanout::{Timing, measure},
    load::Load,
    process::await_settled,
    report::{Setting, table},
    sink::Report,
    target::{Job, Server, Target},
};

/// What was measured of one server.
#[derive(Debug, Clone, Serialize)]
pub struct MemoryReport {
    /// Where and when.
    pub setting: Setting,
    /// The load.
    pub load: Load,
    /// Which server.
    pub target: Target,
    /// Bytes an open connection without subscriptions adds.
    pub idle_bytes_per_session: f64,
    /// Bytes a subscribed, streaming session adds, all in.
    pub streaming_bytes_per_session: f64,
    /// Likewise, of the process's own pages only (`RssAnon`).
    pub streaming_anonymous_bytes_per_session: f64,
    /// Everything the sink measured.
    pub report: Report,
}

/// Runs one server under `load`, idle at first.
///
/// # Errors
/// When the server does not come up or the sink fails.
pub fn run(
    load: &Load,
    target: Target,
    tickgate: &Path,
    frame_bytes: usize,
    timing: Timing,
) -> Result<MemoryReport> {
    let job =
        Job { load: load.clone(), frame_bytes, tickgate: tickgate.into(), drain_age_ms: 5_000 };
    let server = Server::start(target, &job)?;
    await_settled(server.running.id())?;
    let report = measure(&server, load, vec![load.group()], timing, true)?;
    let before = report.resident_before;
    let idle = report.resident_idle.context("the sink read no idle memory")?;
    let streaming = report.memory.last().context("the sink read no memory")?.resident;
    let per_session =
        |after: u64, before: u64| (after as f64 - before as f64) / report.sessions as f64;
    Ok(MemoryReport {
        setting: Setting::here(),
        load: load.clone(),
        target,
        idle_bytes_per_session: per_session(idle.total_bytes, before.total_bytes),
        streaming_bytes_per_session: per_session(streaming.total_bytes, before.total_bytes),
        streaming_anonymous_bytes_per_session: per_session(
            streaming.anonymous_bytes,
            before.anonymous_bytes,
        ),
        report,
    })
}

impl MemoryReport {
    /// The figures as a table.
    #[must_use]
    pub fn table(&self) -> String {
        let kib = |bytes: f64| format!("{:.2}", bytes / 1024.0);
        let mib = |bytes: u64| format!("{:.1}", bytes as f64 / 1_048_576.0);
        let last = self.report.memory.last().map_or(0, |sample| sample.resident.total_bytes);
        let mut out = table(
            &[
                "target",
                "load",
                "idle KiB",
                "streaming KiB",
                "of it anonymous",
                "RSS MiB before",
                "after",
            ],
            &[vec![
                self.target.name().into(),
                self.load.name.clone(),
                kib(self.idle_bytes_per_session),
                kib(self.streaming_bytes_per_session),
                kib(self.streaming_anonymous_bytes_per_session),
                mib(self.report.resident_before.total_bytes),
                mib(last),
            ]],
        );
        for text in &self.report.faults {
            out += &format!("INVALID: {text}\n");
        }
        for text in &self.report.remarks {
            out += &format!("remark: {text}\n");
        }
        out
    }
}
