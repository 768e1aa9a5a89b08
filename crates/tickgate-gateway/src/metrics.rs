//! The figures as Prometheus text.
//!
//! Nothing is kept twice: each scrape sums what engines, hub and gateway count anyway into a
//! fresh registry. Labels come from closed lists; never a symbol's or a client's name.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use prometheus::{
    Counter, Error, Gauge, IntCounter, IntCounterVec, IntGauge, Opts, Registry, TextEncoder,
    process_collector::ProcessCollector,
};
use tickgate_hub::{HubStats, StatusRecord};
use tickgate_protocol::{close::CloseReason, entry::cause, tick::Status};
use tickgate_session::EngineStats;

use crate::{
    config::{Figure, FigureKind},
    counters::Counters,
};

/// Everything a scrape shows.
pub(crate) struct Figures<'a> {
    /// Of the workers that answered.
    pub(crate) engines: &'a [EngineStats],
    /// How many workers there should be.
    pub(crate) workers: usize,
    pub(crate) hub: &'a HubStats,
    pub(crate) hub_memory_limit_bytes: u64,
    pub(crate) feed: StatusRecord,
    pub(crate) counters: &'a Counters,
    /// Those of others, shown as they are.
    pub(crate) foreign: &'a [Figure],
}

/// The text of a scrape.
///
/// # Errors
/// A name or label that the format does not allow: a defect that the test below would show.
pub(crate) fn render(figures: &Figures<'_>) -> Result<String, Error> {
    let mut page = Page { registry: Registry::new() };
    engines(&mut page, figures)?;
    hub(&mut page, figures)?;
    gateway(&mut page, figures)?;
    foreign(&mut page, figures.foreign)?;
    page.registry.register(Box::new(ProcessCollector::for_self()))?;
    TextEncoder::new().encode_to_string(&page.registry.gather())
}

fn engines(page: &mut Page, figures: &Figures<'_>) -> Result<(), Error> {
    let sum = |of: fn(&EngineStats) -> u64| figures.engines.iter().map(of).sum::<u64>();
    page.gauge("tickgate_sessions", "Open sessions", sum(|e| e.sessions))?;
    page.gauge("tickgate_subscriptions", "Subscriptions held", sum(|e| e.subscriptions))?;
    let by_cause = |of: fn(&EngineStats) -> &[u64; 16]| {
        let sum = |mask: usize| figures.engines.iter().map(|e| of(e)[mask]).sum();
        (0..16).map(move |mask| (cause_label(mask), sum(mask))).collect::<Vec<_>>()
    };
    page.counters(
        "tickgate_frames_sent_total",
        "Data frames sent, heartbeats included, by why they left late",
        "cause",
        by_cause(|e| &e.frames_by_cause),
    )?;
    page.counter("tickgate_heartbeats_sent_total", "Empty frames sent", sum(|e| e.heartbeats))?;
    let bytes = [("frame", sum(|e| e.frame_bytes)), ("control", sum(|e| e.control_bytes))];
    page.counters(
        "tickgate_sent_bytes_total",
        "WebSocket bytes sent: data frames, and replies with control frames",
        "kind",
        bytes.map(|(kind, count)| (kind.to_owned(), count)),
    )?;
    let entries = [
        ("quote", sum(|e| e.quotes)),
        ("last", sum(|e| e.lasts)),
        ("trade", sum(|e| e.trades)),
        ("status", sum(|e| e.statuses)),
    ];
    page.counters(
        "tickgate_entries_sent_total",
        "Entries sent",
        "channel",
        entries.map(|(channel, count)| (channel.to_owned(), count)),
    )?;
    page.counter(
        "tickgate_entries_shared_total",
        "Entries copied from one encoded for another session",
        sum(|e| e.shared_entries),
    )?;
    page.counters(
        "tickgate_updates_merged_total",
        "Updates merged into a later entry, by why its frame left late",
        "cause",
        by_cause(|e| &e.merged),
    )?;
    page.counter(
        "tickgate_trades_lost_total",
        "Trades and corrections declared lost to clients that lagged",
        sum(|e| e.trades_lost),
    )?;
    page.counter(
        "tickgate_statuses_lost_total",
        "Status changes that clients missed",
        sum(|e| e.statuses_lost),
    )?;
    page.counter(
        "tickgate_cell_reads_given_up_total",
        "Reads of a cell given up because its shard was writing",
        sum(|e| e.busy_reads),
    )?;
    page.counter("tickgate_commands_total", "Messages from clients", sum(|e| e.commands))?;
    page.counter(
        "tickgate_commands_refused_total",
        "Commands answered with an error",
        sum(|e| e.refusals),
    )?;
    page.counter(
        "tickgate_flushes_late_total",
        "Flushes begun two ticks or more after they were due",
        sum(|e| e.late_flushes),
    )?;
    page.counter(
        "tickgate_reads_paused_total",
        "Times a client was not read because its replies did not leave",
        sum(|e| e.reads_paused),
    )?;
    page.counter(
        "tickgate_received_bytes_total",
        "WebSocket bytes received",
        sum(|e| e.received_bytes),
    )?;
    page.counter(
        "tickgate_reads_held_total",
        "Times a client was not read because all of a worker's together had sent enough",
        sum(|e| e.reads_held),
    )?;
    page.counter(
        "tickgate_controls_refused_total",
        "WebSocket pings and pongs beyond the command rate",
        sum(|e| e.controls_refused),
    )?;
    let closed = CloseReason::ALL.iter().enumerate().map(|(position, reason)| {
        (reason.name().to_owned(), figures.engines.iter().map(|e| e.closed[position]).sum())
    });
    page.counters("tickgate_sessions_closed_total", "Sessions ended", "reason", closed)
}

fn hub(page: &mut Page, figures: &Figures<'_>) -> Result<(), Error> {
    let hub = figures.hub;
    let kinds = [
        ("quote", hub.quotes),
        ("trade", hub.trades),
        ("correction", hub.corrections),
        ("status", hub.statuses),
    ];
    let ticks = kinds.map(|(kind, count)| (kind.to_owned(), count));
    page.counters("tickgate_ticks_total", "Ticks applied", "kind", ticks)?;
    let refused = hub.refused.iter().map(|(reason, count)| ((*reason).to_owned(), *count));
    page.counters("tickgate_ticks_refused_total", "Ticks refused", "reason", refused)?;
    page.counter("tickgate_batches_total", "Batches published", hub.batches)?;
    page.gauge("tickgate_symbols", "Symbols listed", hub.symbols)?;
    page.gauge("tickgate_epoch", "Epoch of the hub's state", hub.epoch)?;
    page.gauge(
        "tickgate_hub_memory_limit_bytes",
        "Most bytes the hub can come to hold",
        figures.hub_memory_limit_bytes,
    )?;
    let live = u64::from(figures.feed.status == Status::Live);
    page.gauge("tickgate_feed_live", "1 while the feed is live, 0 while it is stale", live)?;
    page.counter("tickgate_feed_changes_total", "Changes of that", figures.feed.sequence)
}

fn gateway(page: &mut Page, figures: &Figures<'_>) -> Result<(), Error> {
    let counters = figures.counters;
    let read = |counter: &AtomicU64| counter.load(Relaxed);
    page.gauge("tickgate_workers", "Workers configured", figures.workers as u64)?;
    page.gauge("tickgate_workers_up", "Workers that answer", figures.engines.len() as u64)?;
    page.counter(
        "tickgate_connections_accepted_total",
        "Connections accepted, on any listener",
        read(&counters.accepted),
    )?;
    page.counter(
        "tickgate_accepts_held_total",
        "Times nothing was accepted because too many connections were in HTTP",
        read(&counters.accepts_held),
    )?;
    let turned = counters.turned_away().map(|(reason, count)| (reason.to_owned(), count));
    page.counters(
        "tickgate_connections_turned_away_total",
        "Connections that were not served",
        "reason",
        turned,
    )?;
    page.counter(
        "tickgate_accept_errors_total",
        "Accepts that failed",
        read(&counters.accept_errors),
    )?;
    page.counter(
        "tickgate_handshakes_accepted_total",
        "Upgrades accepted",
        read(&counters.upgraded),
    )?;
    page.counter(
        "tickgate_handshakes_lost_total",
        "Upgrades accepted whose connection broke before its session",
        read(&counters.upgrades_lost),
    )?;
    page.gauge(
        "tickgate_memory_used_bytes",
        "Memory held against its limit; 0 where there is none",
        read(&counters.memory_used_bytes),
    )?;
    page.gauge(
        "tickgate_memory_limit_bytes",
        "What that may come to; 0 where there is no limit",
        read(&counters.memory_limit_bytes),
    )?;
    let refused = counters.refused().map(|(reason, count)| (reason.to_owned(), count));
    page.counters("tickgate_handshakes_refused_total", "Upgrades refused", "reason", refused)
}

/// Figures of one name stand together in one family, each with its label.
fn foreign(page: &mut Page, figures: &[Figure]) -> Result<(), Error> {
    let mut helps = HashMap::new();
    for figure in figures {
        // One family has one help text; the registry would refuse a second.
        let help = *helps.entry(figure.name).or_insert(figure.help);
        let mut options = Opts::new(figure.name, help);
        if let Some((label, value)) = figure.label {
            options = options.const_label(label, value);
        }
        match figure.kind {
            FigureKind::Counter => {
                let counter = Counter::with_opts(options)?;
                counter.inc_by(figure.value.max(0.0));
                page.registry.register(Box::new(counter))?;
            }
            FigureKind::Gauge => {
                let gauge = Gauge::with_opts(options)?;
                gauge.set(figure.value);
                page.registry.register(Box::new(gauge))?;
            }
        }
    }
    Ok(())
}

/// A cause mask in words: `on_time`, `socket`, `socket_budget`, ...
fn cause_label(mask: usize) -> String {
    let names = [
        (cause::SOCKET, "socket"),
        (cause::BUDGET, "budget"),
        (cause::CREDIT, "credit"),
        (cause::LOAD, "load"),
    ];
    let set = names.iter().filter(|(bit, _)| mask & usize::from(*bit) != 0);
    let label = set.map(|(_, name)| *name).collect::<Vec<_>>().join("_");
    if label.is_empty() { "on_time".to_owned() } else { label }
}

/// A registry that is filled with values instead of being kept up to date.
struct Page {
    registry: Registry,
}

impl Page {
    fn gauge(&mut self, name: &str, help: &str, value: u64) -> Result<(), Error> {
        let gauge = IntGauge::new(name, help)?;
        gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        self.registry.register(Box::new(gauge))
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) -> Result<(), Error> {
        let counter = IntCounter::new(name, help)?;
        counter.inc_by(value);
        self.registry.register(Box::new(counter))
    }

    fn counters(
        &mut self,
        name: &str,
        help: &str,
        label: &str,
        values: impl IntoIterator<Item = (String, u64)>,
    ) -> Result<(), Error> {
        let counters = IntCounterVec::new(Opts::new(name, help), &[label])?;
        for (value, count) in values {
            counters.with_label_values(&[value]).inc_by(count);
        }
        self.registry.register(Box::new(counters))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tickgate_protocol::tick::Reason;

    #[test]
    fn a_scrape_sums_workers_and_names_every_label() {
        let odd = |reason, value| Figure {
            name: "tickgate_odd_total",
            help: "Oddities",
            label: Some(("reason", reason)),
            kind: FigureKind::Counter,
            value,
        };
        let mut engine = EngineStats { sessions: 3, quotes: 10, ..EngineStats::default() };
        engine.merged[3] = 5;
        engine.frames_by_cause[0] = 9;
        engine.closed[3] = 2;
        let hub = HubStats { quotes: 7, refused: vec![("bad_price", 1)], ..HubStats::default() };
        let feed = StatusRecord {
            sequence: 4,
            status: Status::Live,
            reason: Reason::None,
            event_time_ns: 0,
            after_trade: 0,
        };
        let figures = Figures {
            engines: &[engine.clone(), engine],
            workers: 2,
            hub: &hub,
            hub_memory_limit_bytes: 99,
            feed,
            counters: &Counters::default(),
            foreign: &[odd("syntax", 2.0), odd("number", 0.5)],
        };
        let text = render(&figures).expect("valid names");
        for line in [
            "tickgate_sessions 6",
            "tickgate_entries_sent_total{channel=\"quote\"} 20",
            "tickgate_frames_sent_total{cause=\"on_time\"} 18",
            "tickgate_updates_merged_total{cause=\"socket_budget\"} 10",
            "tickgate_updates_merged_total{cause=\"on_time\"} 0",
            "tickgate_sessions_closed_total{reason=\"slow_consumer\"} 4",
            "tickgate_ticks_total{kind=\"quote\"} 7",
            "tickgate_ticks_refused_total{reason=\"bad_price\"} 1",
            "tickgate_feed_live 1",
            "tickgate_odd_total{reason=\"syntax\"} 2",
            "tickgate_odd_total{reason=\"number\"} 0.5",
            "tickgate_handshakes_refused_total{reason=\"origin\"} 0",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is missing in\n{text}");
        }
        #[cfg(target_os = "linux")]
        assert!(text.contains("process_resident_memory_bytes"));
    }
}
