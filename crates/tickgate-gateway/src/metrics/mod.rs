//! The figures as Prometheus text.
//!
//! Nothing is kept twice: each scrape sums what engines, hub and gateway count anyway into a
//! fresh registry. Labels come from closed lists; never a symbol's or a client's name.

mod engines;
mod page;

use std::{
    collections::HashMap,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use prometheus::Error;
use tickgate_hub::{HubStats, StatusRecord};
use tickgate_protocol::tick::Status;

pub(crate) use engines::{WorkerFigures, causes};

use crate::{config::Figure, counters::Counters};
use page::Page;

/// Everything a scrape shows.
pub(crate) struct Figures<'a> {
    /// Of all workers, as far as they ever answered.
    pub(crate) workers: &'a [WorkerFigures],
    /// Workers that answered now.
    pub(crate) workers_up: usize,
    pub(crate) flush_tick: Duration,
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
    let mut page = Page::new();
    let version = env!("CARGO_PKG_VERSION");
    page.gauges(
        "tickgate_build_info",
        "Always 1; its label says what runs",
        "version",
        [(version, 1)],
    )?;
    engines::write(&mut page, figures.workers, figures.flush_tick)?;
    hub(&mut page, figures)?;
    gateway(&mut page, figures)?;
    foreign(&mut page, figures.foreign)?;
    page.text()
}

fn hub(page: &mut Page, figures: &Figures<'_>) -> Result<(), Error> {
    let hub = figures.hub;
    let kinds = [
        ("quote", hub.quotes),
        ("trade", hub.trades),
        ("correction", hub.corrections),
        ("status", hub.statuses),
        ("session", hub.sessions),
    ];
    page.counters("tickgate_ticks_total", "Ticks applied", "kind", kinds)?;
    let refused = hub.refused.iter().copied();
    page.counters("tickgate_ticks_refused_total", "Ticks refused", "reason", refused)?;
    page.counter("tickgate_batches_total", "Batches published", hub.batches)?;
    page.counter("tickgate_bars_closed_total", "Bars closed by the feed's clock", hub.bars_closed)?;
    page.counter(
        "tickgate_bars_revised_total",
        "Changes of closed bars by late trades, cancels and corrections",
        hub.bars_revised,
    )?;
    page.counter(
        "tickgate_trades_unplaced_total",
        "Trades and corrections that are missing in a bar",
        hub.trades_unplaced,
    )?;
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
    page.gauge("tickgate_workers", "Workers configured", figures.workers.len() as u64)?;
    page.gauge(
        "tickgate_workers_up",
        "Workers that answer; figures of the others are their last",
        figures.workers_up as u64,
    )?;
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
    page.counters(
        "tickgate_connections_turned_away_total",
        "Connections that were not served",
        "reason",
        counters.turned_away(),
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
    let refused = counters.refused();
    page.counters("tickgate_handshakes_refused_total", "Upgrades refused", "reason", refused)
}

/// Figures of one name stand together in one family, each with its label.
fn foreign(page: &mut Page, figures: &[Figure]) -> Result<(), Error> {
    let mut helps = HashMap::new();
    for figure in figures {
        // One family has one help text; the registry would refuse a second.
        let help = *helps.entry(figure.name).or_insert(figure.help);
        page.figure(figure, help)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::FigureKind;
    use tickgate_protocol::tick::Reason;
    use tickgate_session::{EngineStats, Held};

    #[test]
    fn a_scrape_sums_workers_and_names_every_label() {
        let odd = |reason, value| Figure {
            name: "tickgate_odd_total",
            help: "Oddities",
            label: Some(("reason", reason)),
            kind: FigureKind::Counter,
            value,
        };
        let mut stats = EngineStats {
            sessions: 3,
            quotes: 10,
            joined_at: u64::MAX - 4,
            left_at: 10,
            ..EngineStats::default()
        };
        stats.merged[3] = 5;
        stats.frames_by_cause[0] = 9;
        stats.closed[3] = 2;
        stats.refused[4] = 8;
        stats.lateness.counts[0] = 7;
        stats.lateness.counts[2] = 1;
        stats.lateness.sum = 3;
        stats.leaving.counts[1] = 1;
        stats.leaving.sum = 1;
        stats.frame_age[0].counts[4] = 3;
        stats.frame_age[0].sum = 33;
        let mut held = Held { heads: 100, pending: 6, ..Held::default() };
        held.subscriptions[2] = 4;
        held.held_up[4] = 1;
        let worker = WorkerFigures { stats, held, busy: Duration::from_millis(1_500) };
        let hub = HubStats { quotes: 7, refused: vec![("bad_price", 1)], ..HubStats::default() };
        let feed = StatusRecord {
            session_date: 0,
            sequence: 4,
            status: Status::Live,
            reason: Reason::None,
            event_time_ns: 0,
            after_trade: 0,
        };
        let figures = Figures {
            workers: &[worker.clone(), worker],
            workers_up: 1,
            flush_tick: Duration::from_millis(5),
            hub: &hub,
            hub_memory_limit_bytes: 99,
            feed,
            counters: &Counters::default(),
            foreign: &[odd("syntax", 2.0), odd("number", 0.5)],
        };
        let text = render(&figures).expect("valid names");
        for line in [
            "tickgate_sessions 6",
            "tickgate_subscribed_channels{channel=\"trade\"} 8",
            "tickgate_sessions_held_up{cause=\"credit\"} 2",
            "tickgate_entries_sent_total{channel=\"quote\"} 20",
            "tickgate_frames_sent_total{cause=\"on_time\"} 18",
            "tickgate_updates_merged_total{cause=\"socket_budget\"} 10",
            "tickgate_updates_merged_total{cause=\"on_time\"} 0",
            "tickgate_updates_since_join 230",
            "tickgate_updates_pending 12",
            "tickgate_commands_refused_total{code=\"unknown_symbol\"} 16",
            "tickgate_sessions_closed_total{reason=\"slow_consumer\"} 4",
            "tickgate_flush_lateness_seconds_bucket{le=\"0\"} 14",
            "tickgate_flush_lateness_seconds_bucket{le=\"0.005\"} 14",
            "tickgate_flush_lateness_seconds_bucket{le=\"0.015\"} 16",
            "tickgate_flush_lateness_seconds_bucket{le=\"+Inf\"} 16",
            "tickgate_flush_lateness_seconds_sum 0.03",
            "tickgate_flush_lateness_seconds_count 16",
            "tickgate_frame_leaving_seconds_bucket{le=\"0.001\"} 0",
            "tickgate_frame_leaving_seconds_bucket{le=\"0.002\"} 2",
            "tickgate_frame_age_seconds_bucket{pace=\"realtime\",le=\"0.0008\"} 0",
            "tickgate_frame_age_seconds_bucket{pace=\"realtime\",le=\"0.0016\"} 6",
            "tickgate_frame_age_seconds_sum{pace=\"realtime\"} 0.0066",
            "tickgate_frame_age_seconds_count{pace=\"held_up\"} 0",
            "tickgate_worker_busy_seconds_total{worker=\"1\"} 1.5",
            "tickgate_workers 2",
            "tickgate_workers_up 1",
            "tickgate_ticks_total{kind=\"quote\"} 7",
            "tickgate_ticks_refused_total{reason=\"bad_price\"} 1",
            "tickgate_feed_live 1",
            "tickgate_odd_total{reason=\"syntax\"} 2",
            "tickgate_odd_total{reason=\"number\"} 0.5",
            "tickgate_handshakes_refused_total{reason=\"origin\"} 0",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is missing in\n{text}");
        }
        assert!(text.contains("tickgate_build_info{version="));
        #[cfg(target_os = "linux")]
        assert!(text.contains("process_resident_memory_bytes"));
    }
}
