//! Axes: where a value is, and which values are named.

use crate::report::units;

/// A value named on an axis.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Tick {
    /// Where, from 0 to 1.
    pub(super) at: f64,
    /// What it says.
    pub(super) label: String,
}

/// How values lie on an axis.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Scale {
    Linear,
    /// Decades, as microseconds.
    Log,
    /// Nines: the quantile q lies at log10(1 / (1 - q)).
    Quantile,
}

/// What the values of an axis are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Unit {
    /// Seconds of the window.
    Seconds,
    /// A number.
    Amount,
    /// Bytes.
    Bytes,
}

/// An axis over a range.
#[derive(Debug, Clone)]
pub(super) struct Axis {
    scale: Scale,
    unit: Unit,
    from: f64,
    to: f64,
    step: f64,
}

/// Lines that an axis may have beside its origin.
const MOST_TICKS: f64 = 6.0;

impl Axis {
    /// From 0 to the nearest round value above `most`.
    pub(super) fn linear(most: f64, unit: Unit) -> Self {
        let most = if most > 0.0 && most.is_finite() { most } else { 1.0 };
        let step = step(most / MOST_TICKS, unit);
        Self { scale: Scale::Linear, unit, from: 0.0, to: (most / step).ceil() * step, step }
    }

    /// From `from` to exactly `to`: the window, the steps of a ramp.
    pub(super) fn exact(from: f64, to: f64, unit: Unit) -> Self {
        let to = if to > from { to } else { from + 1.0 };
        let step = step((to - from) / MOST_TICKS, unit);
        Self { scale: Scale::Linear, unit, from, to, step }
    }

    /// Whole decades around microseconds; what is below one counts as one.
    pub(super) fn log(values: impl Iterator<Item = f64> + Clone) -> Self {
        let (least, most) = (values.clone().fold(f64::MAX, f64::min), values.fold(1.0, f64::max));
        let from = least.clamp(1.0, most).log10().floor();
        let to = most.log10().ceil().max(from + 1.0);
        Self { scale: Scale::Log, unit: Unit::Amount, from, to, step: 1.0 }
    }

    /// From 0 to the whole number of nines that holds `most`, which is below 1.
    pub(super) fn quantile(most: f64) -> Self {
        // 0.999 has three nines, though 1 - 0.999 is a little less than a thousandth.
        let to = (nines(most) - 1e-6).ceil().clamp(2.0, 9.0);
        // Names grow by a digit at each nine: with more than five every second one has room.
        let step = if to > 5.0 { 2.0 } else { 1.0 };
        Self { scale: Scale::Quantile, unit: Unit::Amount, from: 0.0, to, step }
    }

    /// Where a value is, from 0 to 1; what lies outside is at the edge.
    pub(super) fn at(&self, value: f64) -> f64 {
        let value = match self.scale {
            Scale::Linear => value,
            Scale::Log => value.max(1.0).log10(),
            Scale::Quantile => nines(value),
        };
        ((value - self.from) / (self.to - self.from)).clamp(0.0, 1.0)
    }

    /// The values that are named.
    pub(super) fn ticks(&self) -> Vec<Tick> {
        let first = (self.from / self.step).ceil() as i64;
        let last = (self.to / self.step + 1e-9).floor() as i64;
        let whole = (first..=last).map(|number| number as f64 * self.step);
        let tick = |value: f64| Tick {
            at: (value - self.from) / (self.to - self.from),
            label: self.label(value),
        };
        let mut ticks: Vec<_> = whole.map(tick).collect();
        if self.scale == Scale::Log && self.to - self.from < 3.0 {
            // Few decades: halves and fifths help to read values.
            let decades = (self.from as i64..self.to as i64).map(|decade| decade as f64);
            ticks.extend(
                decades.flat_map(|decade| [2.0_f64, 5.0].map(|n| tick(decade + n.log10()))),
            );
            ticks.sort_by(|a, b| a.at.total_cmp(&b.at));
        }
        ticks
    }

    fn label(&self, value: f64) -> String {
        match self.scale {
            Scale::Linear => match self.unit {
                Unit::Seconds => units::seconds(value),
                Unit::Amount if self.step >= 1.0 => units::count(value.round() as u64),
                Unit::Amount => {
                    let decimals = (-self.step.log10()).ceil().max(0.0) as usize;
                    format!("{value:.decimals$}")
                }
                Unit::Bytes => round(units::bytes(value)),
            },
            Scale::Log => round(units::microseconds(10_f64.powf(value).round())),
            Scale::Quantile => percent(value),
        }
    }
}

/// How many nines a quantile has.
fn nines(quantile: f64) -> f64 {
    -(1.0 - quantile).max(1e-12).log10()
}

/// The percentile of whole nines: 0 %, 90 %, 99 %, 99.9 %.
fn percent(nines: f64) -> String {
    match nines.round() as usize {
        0 => "0 %".to_owned(),
        1 => "90 %".to_owned(),
        2 => "99 %".to_owned(),
        more => format!("99.{} %", "9".repeat(more - 2)),
    }
}

/// `1.00 ms` is `1 ms` on an axis.
fn round(text: String) -> String {
    match text.split_once(' ') {
        Some((number, unit)) if number.contains('.') => {
            format!("{} {unit}", number.trim_end_matches('0').trim_end_matches('.'))
        }
        _ => text,
    }
}

/// The round step at or above `least`: 1, 2 or 5 of a power of ten, of time what clocks have, of
/// memory powers of two.
fn step(least: f64, unit: Unit) -> f64 {
    const CLOCK: [f64; 14] = [
        10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1_800.0, 3_600.0, 7_200.0, 14_400.0,
        21_600.0, 43_200.0,
    ];
    match unit {
        Unit::Bytes => return least.log2().ceil().exp2(),
        Unit::Seconds if least > 5.0 => {
            let step = CLOCK.into_iter().find(|step| *step >= least);
            return step.unwrap_or_else(|| (least / 86_400.0).ceil() * 86_400.0);
        }
        Unit::Seconds | Unit::Amount => {}
    }
    let power = 10_f64.powf(least.log10().floor());
    let digit = [1.0, 2.0, 5.0].into_iter().find(|digit| digit * power >= least * (1.0 - 1e-9));
    digit.unwrap_or(10.0) * power
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: &Axis) -> Vec<String> {
        axis.ticks().into_iter().map(|tick| tick.label).collect()
    }

    #[test]
    fn values_are_named_by_round_numbers() {
        assert_eq!(
            labels(&Axis::linear(19_312.0, Unit::Amount)),
            ["0", "5,000", "10,000", "15,000", "20,000"]
        );
        assert_eq!(
            labels(&Axis::linear(0.94, Unit::Amount)),
            ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]
        );
        assert_eq!(
            labels(&Axis::linear(0.0, Unit::Amount)),
            ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]
        );
        assert_eq!(
            labels(&Axis::linear(214.0 * 1_048_576.0, Unit::Bytes)),
            ["0 B", "64 MiB", "128 MiB", "192 MiB", "256 MiB"]
        );
        assert_eq!(
            labels(&Axis::exact(0.0, 30.0, Unit::Seconds)).join(" "),
            "0 s 5 s 10 s 15 s 20 s 25 s 30 s"
        );
        assert_eq!(
            labels(&Axis::exact(0.0, 605.0, Unit::Seconds)).join(" "),
            "0 s 2 min 4 min 6 min 8 min 10 min"
        );
        let week = labels(&Axis::exact(0.0, 7.0 * 86_400.0, Unit::Seconds));
        assert!((3..=8).contains(&week.len()), "{week:?}");
    }

    #[test]
    fn times_lie_on_decades() {
        let axis = Axis::log([280.0, 512_000.0].into_iter());
        assert_eq!(labels(&axis), ["100 µs", "1 ms", "10 ms", "100 ms", "1 s"]);
        assert_eq!(
            [axis.at(100.0), axis.at(1e6), axis.at(0.0), axis.at(1e9)],
            [0.0, 1.0, 0.0, 1.0]
        );
        assert!((axis.at(10_000.0) - 0.5).abs() < 1e-9);
        assert_eq!(
            labels(&Axis::log([12.0, 40.0].into_iter())).join(" "),
            "10 µs 20 µs 50 µs 100 µs"
        );
        assert_eq!(labels(&Axis::log(std::iter::empty())), ["1 µs", "2 µs", "5 µs", "10 µs"]);
        assert_eq!(labels(&Axis::log([0.0].into_iter())), ["1 µs", "2 µs", "5 µs", "10 µs"]);
    }

    #[test]
    fn quantiles_lie_on_nines() {
        let axis = Axis::quantile(0.99995);
        assert_eq!(labels(&axis), ["0 %", "90 %", "99 %", "99.9 %", "99.99 %", "99.999 %"]);
        assert!((axis.at(0.9) - 0.2).abs() < 1e-9 && (axis.at(0.999) - 0.6).abs() < 1e-9);
        assert_eq!((axis.at(0.0), axis.at(1.0)), (0.0, 1.0));
        assert_eq!(labels(&Axis::quantile(0.99999)).last().expect("ticks"), "99.999 %");
        assert_eq!(labels(&Axis::quantile(0.5)), ["0 %", "90 %", "99 %"]);
        let many = labels(&Axis::quantile(0.999_999_99));
        assert_eq!(many, ["0 %", "99 %", "99.99 %", "99.9999 %", "99.999999 %"]);
    }
}
