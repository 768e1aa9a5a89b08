//! What the workers' engines count, and what a survey of their sessions found.

use std::time::Duration;

use prometheus::Error;
use tickgate_protocol::{channel::Channel, close::CloseReason, command::ErrorCode, entry::cause};
use tickgate_session::{EngineStats, Held, Pace, Spread};

use super::page::Page;

/// Of one worker, all as of one moment.
#[derive(Debug, Clone, Default)]
pub(crate) struct WorkerFigures {
    pub(crate) stats: EngineStats,
    pub(crate) held: Held,
    /// Time its thread has not spent waiting.
    pub(crate) busy: Duration,
}

/// Writes the sums over workers. `tick` is the flush tick, the unit of lateness.
pub(super) fn write(
    page: &mut Page,
    workers: &[WorkerFigures],
    tick: Duration,
) -> Result<(), Error> {
    let engines = Engines { workers };
    sessions(page, &engines)?;
    frames(page, &engines)?;
    books(page, &engines)?;
    pace(page, &engines, tick)?;
    commands(page, &engines)?;
    let busy = workers.iter().enumerate();
    page.seconds(
        "tickgate_worker_busy_seconds_total",
        "Time a worker has not spent waiting; its rate is the share it is busy",
        "worker",
        busy.map(|(index, worker)| (index.to_string(), worker.busy.as_secs_f64())),
    )
}

struct Engines<'a> {
    workers: &'a [WorkerFigures],
}

impl Engines<'_> {
    fn sum(&self, of: fn(&EngineStats) -> u64) -> u64 {
        self.workers.iter().map(|worker| of(&worker.stats)).fold(0, u64::wrapping_add)
    }

    fn held(&self) -> Held {
        let mut held = Held::default();
        self.workers.iter().for_each(|worker| held.add(&worker.held));
        held
    }

    fn spread<const BUCKETS: usize>(
        &self,
        of: impl Fn(&EngineStats) -> &Spread<BUCKETS>,
    ) -> Spread<BUCKETS> {
        let mut spread = Spread::default();
        self.workers.iter().for_each(|worker| spread.add(of(&worker.stats)));
        spread
    }

    fn by_cause(&self, of: fn(&EngineStats) -> &[u64; 16]) -> Vec<(String, u64)> {
        let sum = |mask: usize| self.workers.iter().map(|worker| of(&worker.stats)[mask]).sum();
        (0..16).map(|mask| (cause_label(mask), sum(mask))).collect()
    }
}

fn sessions(page: &mut Page, engines: &Engines<'_>) -> Result<(), Error> {
    let held = engines.held();
    page.gauge("tickgate_sessions", "Open sessions", engines.sum(|e| e.sessions))?;
    page.gauge(
        "tickgate_subscriptions",
        "Subscriptions held; a wildcard counts as one",
        engines.sum(|e| e.subscriptions),
    )?;
    page.gauges(
        "tickgate_subscribed_channels",
        "Channels that subscriptions name; a wildcard counts as one of each it has",
        "channel",
        Channel::ALL.into_iter().map(Channel::name).zip(held.subscriptions),
    )?;
    page.gauge("tickgate_wildcards", "Wildcard subscriptions held", held.wildcards)?;
    let labels: Vec<String> = (0..16).map(cause_label).collect();
    page.gauges(
        "tickgate_sessions_held_up",
        "Open sessions by what holds their next frame up",
        "cause",
        labels.iter().map(String::as_str).zip(held.held_up),
    )?;
    page.gauge(
        "tickgate_waiting_bytes",
        "Bytes of frames and replies that wait for sockets",
        held.waiting_bytes,
    )?;
    page.gauge(
        "tickgate_session_memory_bytes",
        "Memory that sessions have allocated, less their fixed part and sockets",
        held.allocated_bytes,
    )?;
    let closed = CloseReason::ALL.iter().enumerate().map(|(at, reason)| {
        (reason.name(), engines.workers.iter().map(|worker| worker.stats.closed[at]).sum())
    });
    page.counters("tickgate_sessions_closed_total", "Sessions ended", "reason", closed)
}

fn frames(page: &mut Page, engines: &Engines<'_>) -> Result<(), Error> {
    page.counters(
        "tickgate_frames_sent_total",
        "Data frames sent, heartbeats included, by why they left late",
        "cause",
        engines.by_cause(|e| &e.frames_by_cause),
    )?;
    let heartbeats = engines.sum(|e| e.heartbeats);
    page.counter("tickgate_heartbeats_sent_total", "Empty frames sent", heartbeats)?;
    page.counters(
        "tickgate_sent_bytes_total",
        "WebSocket bytes: data frames; replies with pings, pongs and closes",
        "kind",
        [("frame", engines.sum(|e| e.frame_bytes)), ("control", engines.sum(|e| e.control_bytes))],
    )?;
    page.counters(
        "tickgate_entries_sent_total",
        "Entries sent",
        "channel",
        [
            ("quote", engines.sum(|e| e.quotes)),
            ("last", engines.sum(|e| e.lasts)),
            ("trade", engines.sum(|e| e.trades)),
            ("bar", engines.sum(|e| e.bars)),
            ("status", engines.sum(|e| e.statuses)),
        ],
    )?;
    page.counter(
        "tickgate_snapshots_sent_total",
        "Full entries among those of quote and last, and bars of the time of a joining",
        engines.sum(|e| e.snapshots),
    )?;
    page.counter(
        "tickgate_readies_sent_total",
        "Subscribes answered in full",
        engines.sum(|e| e.readies),
    )?;
    page.counter(
        "tickgate_entries_shared_total",
        "Entries copied from one encoded for another session",
        engines.sum(|e| e.shared_entries),
    )?;
    page.counter(
        "tickgate_cell_reads_given_up_total",
        "Reads of a cell given up because its shard was writing",
        engines.sum(|e| e.busy_reads),
    )
}

/// What stands on both sides of the books.
fn books(page: &mut Page, engines: &Engines<'_>) -> Result<(), Error> {
    let held = engines.held();
    // The sums wrap around; what is left is how far heads have moved since their joins.
    let left_at = engines.sum(|e| e.left_at).wrapping_add(held.heads);
    let since_join = left_at.wrapping_sub(engines.sum(|e| e.joined_at));
    // As of several moments, where a survey took several turns of a worker: below zero at worst.
    page.difference(
        "tickgate_updates_since_join",
        "Updates of joined channels since they were joined: heads less heads at the join",
        since_join as i64,
    )?;
    page.counters(
        "tickgate_updates_merged_total",
        "Updates merged into a later entry, by why its frame left late",
        "cause",
        engines.by_cause(|e| &e.merged),
    )?;
    page.counter(
        "tickgate_trades_lost_total",
        "Trades and corrections declared lost to clients that lagged",
        engines.sum(|e| e.trades_lost),
    )?;
    page.counter(
        "tickgate_bars_lost_total",
        "Changes of bars passed over where clients were told that some were lost",
        engines.sum(|e| e.bars_lost),
    )?;
    page.gauge(
        "tickgate_updates_pending",
        "Updates that open sessions have not been sent yet",
        held.pending,
    )?;
    page.counter(
        "tickgate_updates_unsent_total",
        "Updates that had not been sent when their session closed",
        engines.sum(|e| e.pending),
    )?;
    page.counter(
        "tickgate_statuses_lost_total",
        "Status changes that clients missed",
        engines.sum(|e| e.statuses_lost),
    )
}

fn pace(page: &mut Page, engines: &Engines<'_>, tick: Duration) -> Result<(), Error> {
    let tick_us = tick.as_micros() as u64;
    page.counter(
        "tickgate_flushes_late_total",
        "Flushes begun two ticks or more after they were due",
        engines.sum(|e| e.late_flushes),
    )?;
    page.histogram(
        "tickgate_flush_lateness_seconds",
        "How late the timers of flushes fired, in whole flush ticks",
        &engines.spread(|e| &e.lateness),
        tick_us,
        true,
    );
    page.histogram(
        "tickgate_turn_wait_seconds",
        "How long sessions with something to send waited for their turn, in whole flush ticks",
        &engines.spread(|e| &e.turn_waits),
        tick_us,
        true,
    );
    page.histogram(
        "tickgate_frame_leaving_seconds",
        "How long frames that the socket did not take at once took to leave",
        &engines.spread(|e| &e.leaving),
        1_000,
        false,
    );
    let ages = Pace::ALL.into_iter().enumerate();
    page.histograms(
        "tickgate_frame_age_seconds",
        "How old a frame's oldest change was, from the venue's time, when the frame had left",
        "pace",
        100,
        ages.map(|(at, pace)| (pace.name(), engines.spread(|e| &e.frame_age[at]))),
    );
    Ok(())
}

fn commands(page: &mut Page, engines: &Engines<'_>) -> Result<(), Error> {
    page.counter("tickgate_commands_total", "Messages from clients", engines.sum(|e| e.commands))?;
    let refused = ErrorCode::ALL.iter().enumerate().map(|(at, code)| {
        (code.name(), engines.workers.iter().map(|worker| worker.stats.refused[at]).sum())
    });
    page.counters(
        "tickgate_commands_refused_total",
        "Commands answered with an error",
        "code",
        refused,
    )?;
    page.counter(
        "tickgate_reads_paused_total",
        "Times a client was not read because its replies did not leave",
        engines.sum(|e| e.reads_paused),
    )?;
    page.counter(
        "tickgate_received_bytes_total",
        "WebSocket bytes received",
        engines.sum(|e| e.received_bytes),
    )?;
    page.counter(
        "tickgate_reads_held_total",
        "Times a client was not read because all of a worker's together had sent enough",
        engines.sum(|e| e.reads_held),
    )?;
    page.counter(
        "tickgate_controls_refused_total",
        "WebSocket pings and pongs beyond the command rate",
        engines.sum(|e| e.controls_refused),
    )
}

/// The causes of a mask by name.
pub(crate) fn causes(mask: u8) -> impl Iterator<Item = &'static str> {
    let names = [
        (cause::SOCKET, "socket"),
        (cause::BUDGET, "budget"),
        (cause::CREDIT, "credit"),
        (cause::LOAD, "load"),
    ];
    names.into_iter().filter(move |(bit, _)| mask & bit != 0).map(|(_, name)| name)
}

/// A cause mask in words: `on_time`, `socket`, `socket_budget`, ...
fn cause_label(mask: usize) -> String {
    let label = causes(mask as u8).collect::<Vec<_>>().join("_");
    if label.is_empty() { "on_time".to_owned() } else { label }
}
