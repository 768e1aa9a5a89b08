//! What the feed counted, as figures for `/metrics`.

use tickgate_feed::FeedStats;
use tickgate_gateway::{Figure, FigureKind};

/// The figures of a feed's totals.
pub(crate) fn figures(stats: &FeedStats) -> Vec<Figure> {
    let figure = |name, help, kind, value| Figure { name, help, label: None, kind, value };
    let counter = |name, help, count: u64| figure(name, help, FigureKind::Counter, count as f64);
    let seconds = |nanoseconds: u64| nanoseconds as f64 / 1e9;
    let mut figures = vec![
        counter("tickgate_feed_listings_total", "Symbols the feed announced", stats.listings),
        counter(
            "tickgate_feed_skipped_total",
            "Records of a recording that are understood but carry no tick",
            stats.skipped,
        ),
        counter("tickgate_feed_loops_total", "Times a recording began anew", stats.loops),
        counter(
            "tickgate_feed_clock_steps_total",
            "Times the clock stepped back and the feed's schedule followed",
            stats.clock_steps,
        ),
        figure(
            "tickgate_feed_slipped_seconds_total",
            "Schedule given up because the feed was polled too late",
            FigureKind::Counter,
            seconds(stats.slipped_ns),
        ),
        figure(
            "tickgate_feed_lateness_seconds",
            "How late the oldest tick of the last poll was picked up",
            FigureKind::Gauge,
            seconds(stats.lateness_ns),
        ),
        figure(
            "tickgate_feed_lateness_max_seconds",
            "The largest of those since the start",
            FigureKind::Gauge,
            seconds(stats.lateness_max_ns),
        ),
    ];
    let kinds = [
        ("quote", stats.quotes),
        ("trade", stats.trades),
        ("correction", stats.corrections),
        ("status", stats.statuses),
    ];
    figures.extend(kinds.map(|(kind, count)| Figure {
        label: Some(("kind", kind)),
        ..counter("tickgate_feed_ticks_total", "Ticks the feed delivered", count)
    }));
    figures.extend(stats.malformed.by_reason().map(|(reason, count)| Figure {
        label: Some(("reason", reason)),
        ..counter("tickgate_feed_malformed_total", "Records of a recording refused", count)
    }));
    figures
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nanoseconds_become_seconds_and_reasons_become_labels() {
        let mut stats = FeedStats { slipped_ns: 1_500_000_000, ..FeedStats::default() };
        stats.malformed.number = 3;
        let figures = figures(&stats);
        let value = |name: &str, label| {
            let found = figures.iter().find(|figure| figure.name == name && figure.label == label);
            found.map(|figure| figure.value)
        };
        assert_eq!(value("tickgate_feed_slipped_seconds_total", None), Some(1.5));
        let label = Some(("reason", "number"));
        assert_eq!(value("tickgate_feed_malformed_total", label), Some(3.0));
    }
}
