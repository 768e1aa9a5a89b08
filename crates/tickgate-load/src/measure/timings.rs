//! The five times, as histograms.

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// Longest time that is told apart, microseconds: ten minutes. Longer ones count as this.
const LONGEST_US: u64 = 600_000_000;

/// One of the times that are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Timing {
    /// Tick to receipt, every update.
    Latency,
    /// What of it was not asked for.
    Late,
    /// Stamp to receipt.
    Transit,
    /// How old what is held was.
    Staleness,
    /// Until everything asked for was there.
    Ready,
}

impl Timing {
    /// All of them, in the order of reports.
    pub const ALL: [Self; 5] =
        [Self::Latency, Self::Late, Self::Transit, Self::Staleness, Self::Ready];

    /// As it is written.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Latency => "latency",
            Self::Late => "late",
            Self::Transit => "transit",
            Self::Staleness => "staleness",
            Self::Ready => "ready",
        }
    }

    /// What it covers, in a few words.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Latency => "tick's scheduled time to receipt, every update, merged ones too",
            Self::Late => "the same beyond the throttle interval asked for",
            Self::Transit => "gateway's stamp to receipt, each frame",
            Self::Staleness => "how long newer than what is held existed, once a second",
            Self::Ready => "wanting a connection until everything asked for is there",
        }
    }
}

/// The five times of a group; microseconds, two significant digits at the least (three decimal
/// digits up to 2 ms).
#[derive(Debug, Clone)]
pub struct Timings {
    histograms: [Histogram<u64>; 5],
}

impl Default for Timings {
    fn default() -> Self {
        // Two digits: a hundredth of each value, 30 KiB a histogram. A run has five a group and
        // thread, and hands them over each second.
        let empty = Histogram::new_with_bounds(1, LONGEST_US, 2);
        let empty = empty.expect("bounds and digits are constants that the library takes");
        Self { histograms: std::array::from_fn(|_| empty.clone()) }
    }
}

impl Timings {
    /// Records a time, `count` times over; a negative one as 0.
    pub fn record(&mut self, timing: Timing, microseconds: i64, count: u64) {
        let microseconds = u64::try_from(microseconds).unwrap_or(0);
        self.histograms[timing as usize].saturating_record_n(microseconds, count);
    }

    /// One of them.
    #[must_use]
    pub fn of(&self, timing: Timing) -> &Histogram<u64> {
        &self.histograms[timing as usize]
    }

    /// Adds another interval or group.
    pub fn add(&mut self, other: &Self) {
        for (sum, more) in self.histograms.iter_mut().zip(&other.histograms) {
            sum.add(more).expect("both have the same bounds");
        }
    }

    /// Adds one of another's times.
    pub fn add_only(&mut self, timing: Timing, other: &Self) {
        let sum = &mut self.histograms[timing as usize];
        sum.add(other.of(timing)).expect("both have the same bounds");
    }

    /// The spread of one of them; `None` when nothing was recorded.
    #[must_use]
    pub fn spread(&self, timing: Timing) -> Option<Spread> {
        Spread::of(self.of(timing))
    }
}

/// A histogram in a few numbers, microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// Values.
    pub count: u64,
    /// Mean.
    pub mean_us: f64,
    /// Median.
    pub p50_us: u64,
    /// One in ten is above.
    pub p90_us: u64,
    /// One in a hundred is above.
    pub p99_us: u64,
    /// One in a thousand is above.
    pub p999_us: u64,
    /// One in ten thousand is above.
    pub p9999_us: u64,
    /// The largest.
    pub max_us: u64,
}

impl Spread {
    /// Of a histogram that is not empty.
    #[must_use]
    pub fn of(histogram: &Histogram<u64>) -> Option<Self> {
        (!histogram.is_empty()).then(|| Self {
            count: histogram.len(),
            mean_us: histogram.mean(),
            p50_us: histogram.value_at_quantile(0.5),
            p90_us: histogram.value_at_quantile(0.9),
            p99_us: histogram.value_at_quantile(0.99),
            p999_us: histogram.value_at_quantile(0.999),
            p9999_us: histogram.value_at_quantile(0.9999),
            max_us: histogram.max(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_kept_to_a_hundredth_and_capped() {
        let mut timings = Timings::default();
        assert_eq!(timings.spread(Timing::Late), None);
        for milliseconds in 1..=1_000 {
            timings.record(Timing::Latency, milliseconds * 1_000, 1);
        }
        let spread = timings.spread(Timing::Latency).expect("recorded");
        assert!((495_000..=505_000).contains(&spread.p50_us), "{spread:?}");
        assert!((985_000..=1_000_000).contains(&spread.p99_us), "{spread:?}");
        timings.record(Timing::Late, -5, 3);
        timings.record(Timing::Late, i64::MAX, 1);
        let spread = timings.spread(Timing::Late).expect("recorded");
        assert_eq!((spread.count, spread.p50_us), (4, 0));
        assert!(spread.max_us >= LONGEST_US * 99 / 100, "{spread:?}");
    }
}
