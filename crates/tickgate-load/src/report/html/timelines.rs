//! Which charts a report has: percentiles, the window second by second, the steps of a ramp.

use super::{
    axis::{Axis, Unit},
    chart::{Chart, Mark, Series},
};
use crate::{
    measure::{Spread, Timing},
    report::{
        RampReport, Report, Second,
        units::{NOTHING, amount, bytes, count, counted, microseconds, seconds},
    },
};

/// Most points of a timeline; of longer windows each stands for several seconds.
const MOST_POINTS: usize = 360;

/// The times against their percentiles; `None` when nothing was timed.
pub(super) fn percentiles(report: &Report) -> Option<Chart> {
    let curves: Vec<_> = report.curves.iter().filter(|curve| !curve.points.is_empty()).collect();
    // The maximum is the quantile 1, which has no place on a scale of nines.
    let is_placed = |(quantile, _): &&(f64, u64)| *quantile < 1.0;
    let points = || curves.iter().flat_map(|curve| curve.points.iter().filter(is_placed));
    let most = points().map(|(quantile, _)| *quantile).fold(0.0, f64::max);
    points().next()?;
    let series = curves.iter().map(|curve| Series {
        name: curve.timing.name().to_owned(),
        look: (curve.timing as usize + 1, curve.timing as usize % 3),
        points: curve
            .points
            .iter()
            .filter(is_placed)
            .map(|&(quantile, us)| (quantile, Some(us as f64)))
            .collect(),
        has_dots: false,
    });
    let levels = [0.5_f64, 0.9, 0.99, 0.999, 0.9999, 0.99999, 1.0];
    let reached = |points: &[(f64, u64)], level: f64| {
        let point = points.iter().find(|(quantile, _)| *quantile >= level - 1e-9);
        point.or(points.last()).map_or_else(|| NOTHING.to_owned(), |(_, us)| time(*us as f64))
    };
    let rows = levels.map(|level| {
        let percent = 100.0 * level;
        let mut row = vec![format!("{} %", (percent * 1e6).round() / 1e6)];
        row.extend(curves.iter().map(|curve| reached(&curve.points, level)));
        row
    });
    let columns = curves.iter().map(|curve| curve.timing.name().to_owned());
    let healthy = &report.healthy;
    let spread = healthy.late.map(|late| ("late", late));
    let spread = spread.or(healthy.latency.map(|latency| ("on their way", latency)));
    let summary = spread.map_or_else(String::new, |(how, spread)| {
        format!(
            "Half of the updates were at most {} {how}, all but one in a hundred {}, the latest {}.",
            time(spread.p50_us as f64),
            time(spread.p99_us as f64),
            time(spread.max_us as f64)
        )
    });
    Some(Chart {
        title: "Times by percentile",
        summary,
        x: Axis::quantile(most),
        x_name: "percentile",
        y: Axis::log(points().map(|(_, us)| *us as f64)),
        series: series.collect(),
        marks: Vec::new(),
        data: (["percentile".to_owned()].into_iter().chain(columns).collect(), rows.into()),
    })
}

/// The window, one chart for each thing that was measured.
pub(super) fn timelines(report: &Report) -> Vec<Chart> {
    let points = points(&report.seconds);
    if points.is_empty() {
        return Vec::new();
    }
    let last = points.last().map_or(0.0, |point| point.at_s);
    let timeline = Timeline {
        points: &points,
        x: Axis::exact(0.0, last.max(report.window_s), Unit::Seconds),
        marks: marks(report),
    };
    let charts = [
        timeline.times("Late, second by second", Timing::Late),
        timeline.times("Transit, second by second", Timing::Transit),
        timeline.times("Staleness, second by second", Timing::Staleness),
        timeline.amounts(
            "Frames a second",
            &amount,
            Unit::Amount,
            &[("frames/s", &|point| Some(point.frames_per_second))],
        ),
        timeline.amounts(
            "Clients ready",
            &amount,
            Unit::Amount,
            &[("ready", &|point| Some(f64::from(point.ready)))],
        ),
        timeline.amounts(
            "CPU, cores",
            &|cores| format!("{cores:.2}"),
            Unit::Amount,
            &[
                ("server", &|point| point.server_cores),
                ("busiest thread here", &|point| point.own_share),
            ],
        ),
        timeline.amounts(
            "The server's memory",
            &bytes,
            Unit::Bytes,
            &[("resident", &|point| point.server_bytes)],
        ),
        timeline.amounts(
            "Ticks entering the server a second",
            &amount,
            Unit::Amount,
            &[("ticks/s", &|point| point.server_ticks)],
        ),
    ];
    charts.into_iter().flatten().collect()
}

/// The events' places, by their number in the list below.
fn marks(report: &Report) -> Vec<Mark> {
    let mut marks: Vec<_> = report.events.iter().enumerate().collect();
    marks.sort_by(|(_, a), (_, b)| a.at_s.total_cmp(&b.at_s));
    let mark = |(number, event): (usize, &crate::report::EventReport)| Mark {
        x: event.at_s,
        label: (number + 1).to_string(),
    };
    marks.into_iter().map(mark).collect()
}

/// A ramp's times against its clients; `None` without steps that were timed.
pub(super) fn ramp(ramp: &RampReport) -> Option<Chart> {
    let clients = |at: usize| ramp.steps.get(at).map(|step| f64::from(step.clients));
    let (from, to) = (clients(0)?, clients(ramp.steps.len() - 1)?);
    let timings = [Timing::Late, Timing::Latency, Timing::Transit];
    let p99 = |step: &crate::report::RampStep, timing| {
        step.figures.spread(timing).map(|spread| spread.p99_us as f64)
    };
    let all = ramp.steps.iter().flat_map(|step| timings.map(|timing| p99(step, timing)));
    let all: Vec<f64> = all.flatten().collect();
    all.first()?;
    let series = timings.map(|timing| Series {
        name: format!("p99 {}", timing.name()),
        look: (timing as usize + 1, timing as usize % 3),
        points: ramp
            .steps
            .iter()
            .map(|step| (f64::from(step.clients), p99(step, timing)))
            .collect(),
        has_dots: true,
    });
    let rows = ramp.steps.iter().map(|step| {
        let mut row = vec![count(step.clients.into())];
        row.extend(timings.map(|timing| shown(p99(step, timing), &time)));
        row
    });
    let columns = ["clients", "p99 late", "p99 latency", "p99 transit"].map(str::to_owned);
    let held = ramp.held.map(|held| Mark { x: held.into(), label: "held".to_owned() });
    Some(Chart {
        title: "Times by number of clients",
        summary: ramp.held.map_or_else(
            || "Not even the first step kept the objectives.".to_owned(),
            |held| format!("{} kept the objectives.", counted(held.into(), "client")),
        ),
        x: Axis::exact(from, to, Unit::Amount),
        x_name: "clients",
        y: Axis::log(all.iter().copied()),
        series: series.into(),
        marks: held.into_iter().collect(),
        data: (columns.into(), rows.collect()),
    })
}

/// What a point of the timelines stands for: a second, or the worst of several.
#[derive(Debug, Default)]
struct Point {
    at_s: f64,
    ready: u32,
    frames_per_second: f64,
    /// p50, p99 and maximum of each time, microseconds.
    times: [Option<[f64; 3]>; 5],
    own_share: Option<f64>,
    server_cores: Option<f64>,
    server_bytes: Option<f64>,
    server_ticks: Option<f64>,
}

fn points(seconds: &[Second]) -> Vec<Point> {
    seconds.chunks(seconds.len().div_ceil(MOST_POINTS).max(1)).map(point).collect()
}

fn point(seconds: &[Second]) -> Point {
    let most =
        |value: &dyn Fn(&Second) -> Option<f64>| seconds.iter().filter_map(value).reduce(f64::max);
    let worst = |timing: Timing, of: &dyn Fn(&Spread) -> u64| {
        most(&|second| second.figures.spread(timing).map(|spread| of(spread) as f64))
    };
    let times = Timing::ALL.map(|timing| {
        Some([
            worst(timing, &|spread| spread.p50_us)?,
            worst(timing, &|spread| spread.p99_us)?,
            worst(timing, &|spread| spread.max_us)?,
        ])
    });
    let length_s: f64 = seconds.iter().map(|second| second.length_s).sum();
    let frames: u64 = seconds.iter().map(|second| second.figures.counts.frames).sum();
    Point {
        at_s: seconds.last().map_or(0.0, |second| second.at_s),
        ready: seconds.iter().map(|second| second.ready).min().unwrap_or(0),
        frames_per_second: if length_s > 0.0 { frames as f64 / length_s } else { 0.0 },
        times,
        own_share: most(&|second| second.own_share),
        server_cores: most(&|second| second.server_cores),
        server_bytes: most(&|second| second.server_resident_bytes.map(|bytes| bytes as f64)),
        server_ticks: most(&|second| second.server_ticks_per_second),
    }
}

struct Timeline<'a> {
    points: &'a [Point],
    x: Axis,
    marks: Vec<Mark>,
}

type Value<'a> = (&'a str, &'a dyn Fn(&Point) -> Option<f64>);

impl Timeline<'_> {
    fn times(&self, title: &'static str, timing: Timing) -> Option<Chart> {
        let of = |part: usize| move |point: &Point| Some(point.times[timing as usize]?[part]);
        let (p50, p99, max) = (of(0), of(1), of(2));
        let values = || self.points.iter().filter_map(|point| point.times[timing as usize]);
        let worst = self.points.iter().filter_map(|point| Some((point.at_s, max(point)?)));
        let (at_s, worst) = worst.reduce(|a, b| if b.1 > a.1 { b } else { a })?;
        let summary = format!("The longest was {}, shortly before {}.", time(worst), seconds(at_s));
        let y = Axis::log(values().flatten());
        let parts: [Value<'_>; 3] = [("p50", &p50), ("p99", &p99), ("max", &max)];
        Some(self.chart(title, summary, y, &parts, &time))
    }

    fn amounts(
        &self,
        title: &'static str,
        words: &dyn Fn(f64) -> String,
        unit: Unit,
        parts: &[Value<'_>],
    ) -> Option<Chart> {
        let values = |part: &Value<'_>| self.points.iter().filter_map(part.1).collect::<Vec<_>>();
        let known: Vec<_> = parts.iter().copied().filter(|part| !values(part).is_empty()).collect();
        let most = known.iter().flat_map(values).reduce(f64::max)?;
        let sentences = known.iter().map(|part| {
            let values = values(part);
            let (least, most) =
                (values.iter().copied().reduce(f64::min), values.iter().copied().reduce(f64::max));
            format!("{}: {} to {}.", part.0, shown(least, words), shown(most, words))
        });
        let summary = sentences.collect::<Vec<_>>().join(" ");
        Some(self.chart(title, summary, Axis::linear(most, unit), &known, words))
    }

    fn chart(
        &self,
        title: &'static str,
        summary: String,
        y: Axis,
        parts: &[Value<'_>],
        words: &dyn Fn(f64) -> String,
    ) -> Chart {
        let series = parts.iter().enumerate().map(|(number, (name, value))| Series {
            name: (*name).to_owned(),
            look: (number + 1, number),
            points: self.points.iter().map(|point| (point.at_s, value(point))).collect(),
            has_dots: false,
        });
        let rows = self.points.iter().map(|point| {
            let mut row = vec![seconds(point.at_s)];
            row.extend(parts.iter().map(|(_, value)| shown(value(point), words)));
            row
        });
        let columns = parts.iter().map(|(name, _)| (*name).to_owned());
        Chart {
            title,
            summary,
            x: self.x.clone(),
            x_name: "since the window's beginning",
            y,
            series: series.collect(),
            marks: self.marks.clone(),
            data: (["until".to_owned()].into_iter().chain(columns).collect(), rows.collect()),
        }
    }
}

/// How many seconds each point stands for.
pub(super) fn seconds_a_point(report: &Report) -> usize {
    report.seconds.len().div_ceil(MOST_POINTS)
}

fn time(us: f64) -> String {
    microseconds(us)
}

fn shown(value: Option<f64>, words: &dyn Fn(f64) -> String) -> String {
    value.map_or_else(|| NOTHING.to_owned(), words)
}

#[cfg(test)]
mod tests {
    use super::{super::super::sample, *};

    #[test]
    fn charts_show_what_was_measured_and_no_others() {
        let report = sample::full();
        let charts = timelines(&report);
        let titles: Vec<_> = charts.iter().map(|chart| chart.title).collect();
        assert_eq!(titles.len(), 8, "{titles:?}");
        assert!(charts.iter().all(|chart| chart.marks.len() == 2 && chart.data.1.len() == 30));
        assert_eq!(charts[0].series[1].points[17], (18.0, None), "nothing came in this second");
        assert!(charts[0].summary.contains("shortly before 19 s"), "{}", charts[0].summary);
        assert!(timelines(&sample::bare()).is_empty());
        assert!(percentiles(&sample::bare()).is_none());
        assert_eq!(percentiles(&report).expect("curves").series.len(), 5);

        let mut report = report;
        for second in &mut report.seconds {
            (second.server_cores, second.server_resident_bytes) = (None, None);
            second.server_ticks_per_second = None;
        }
        let charts = timelines(&report);
        let titles: Vec<_> = charts.iter().map(|chart| chart.title).collect();
        assert!(titles.contains(&"CPU, cores") && titles.len() == 6, "{titles:?}");
        assert_eq!(charts[5].series[0].name, "busiest thread here");
    }

    #[test]
    fn the_maximum_has_no_place_but_stands_in_the_table() {
        let chart = percentiles(&sample::full()).expect("curves");
        assert!(chart.series.iter().all(|series| series.points.iter().all(|(x, _)| *x < 1.0)));
        let last = chart.data.1.last().expect("rows");
        assert_eq!(last[..3], ["100 %", "612 ms", "512 ms"]);
    }

    #[test]
    fn a_long_window_keeps_its_worst_seconds_and_loses_no_frame() {
        let mut report = sample::full();
        let one = report.seconds[0].clone();
        let second = |number: u32| Second { at_s: f64::from(number) + 1.0, ..one.clone() };
        report.seconds = (0..10_000).map(second).collect();
        report.seconds[7_777].ready = 3;
        let worst = report.seconds[7_777].figures.late.as_mut().expect("there");
        (worst.p50_us, worst.p99_us, worst.max_us) = (7_000_000, 8_000_000, 9_000_000);
        let points = points(&report.seconds);
        assert!(points.len() <= MOST_POINTS, "{}", points.len());
        assert_eq!(seconds_a_point(&report), 28);
        let late = points.iter().filter_map(|point| point.times[Timing::Late as usize]);
        assert_eq!(late.map(|[_, _, max]| max).reduce(f64::max), Some(9_000_000.0));
        assert_eq!(points.iter().map(|point| point.ready).min(), Some(3));
        let frames = one.figures.counts.frames as f64;
        assert!(points.iter().all(|point| (point.frames_per_second - frames).abs() < 1e-6));
    }

    #[test]
    fn a_ramp_is_drawn_over_its_clients() {
        let report = sample::ramp();
        let chart = ramp(report.ramp.as_ref().expect("a ramp")).expect("steps");
        assert_eq!(chart.marks[0].x, 3_000.0);
        assert_eq!(chart.series[0].points[3], (4_000.0, Some(32_000.0)));
        assert_eq!(chart.summary, "3,000 clients kept the objectives.");
        assert!(
            ramp(&RampReport { held: None, ended: String::new(), steps: Vec::new() }).is_none()
        );
    }
}
