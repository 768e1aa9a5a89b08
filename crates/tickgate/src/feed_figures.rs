//! What the feed counted, as figures for `/metrics`.

use tickgate_gateway::{Figure, FigureKind};

use crate::{feed_thread::Totals, liveness::Moment};

/// The figures of a feed's totals as of `now`, on the feed's clock.
pub(crate) fn figures(totals: &Totals, now: Moment) -> Vec<Figure> {
    let stats = &totals.stats;
    let figure = |name, help, kind, value| Figure { name, help, label: None, kind, value };
    let counter = |name, help, count: u64| figure(name, help, FigureKind::Counter, count as f64);
    let seconds = |nanoseconds: u64| nanoseconds as f64 / 1e9;
    let micros = |microseconds: u64| microseconds as f64 / 1e6;
    let mut figures = vec![
        counter("tickgate_feed_polls_total", "Times the feed was asked for ticks", totals.polls),
        figure(
            "tickgate_feed_poll_seconds_total",
            "Time the feed took to answer",
            FigureKind::Counter,
            micros(totals.poll_us),
        ),
        figure(
            "tickgate_publish_seconds_total",
            "Time it took to apply the feed's ticks to the hub",
            FigureKind::Counter,
            micros(totals.publish_us),
        ),
        figure(
            "tickgate_feed_silence_seconds",
            "Time since the feed last answered; a sleeping feed is asked when its next tick is due",
            FigureKind::Gauge,
            micros(now.monotonic_us.saturating_sub(totals.polled_us)),
        ),
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
        ("session", stats.sessions),
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
        let mut totals = Totals { polled_us: 250_000, publish_us: 2_000, ..Totals::default() };
        totals.stats.slipped_ns = 1_500_000_000;
        totals.stats.malformed.number = 3;
        let figures = figures(&totals, Moment { monotonic_us: 1_000_000, unix_ns: 0 });
        let value = |name: &str, label| {
            let found = figures.iter().find(|figure| figure.name == name && figure.label == label);
            found.map(|figure| figure.value)
        };
        assert_eq!(value("tickgate_feed_slipped_seconds_total", None), Some(1.5));
        assert_eq!(value("tickgate_feed_silence_seconds", None), Some(0.75));
        assert_eq!(value("tickgate_publish_seconds_total", None), Some(0.002));
        let label = Some(("reason", "number"));
        assert_eq!(value("tickgate_feed_malformed_total", label), Some(3.0));
    }
}
