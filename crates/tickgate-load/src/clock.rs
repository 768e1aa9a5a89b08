//! Unix time that does not step while a run goes on.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Times that both clocks are read at the beginning.
const READINGS: usize = 16;

/// Unix time in microseconds, as it was when the run began plus what has passed since on the
/// monotonic clock.
///
/// A step of the system's clock in the middle of a run would otherwise be a spike of the same
/// height in every time. What NTP slews, both clocks follow alike (`clock_gettime(2)`).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    began: Instant,
    began_unix_us: i64,
}

impl Clock {
    /// Begins now. `ahead_us` is what it is put forward by: how far the target's clock is ahead of
    /// this machine's, so that times are those of the target.
    pub(crate) fn start(ahead_us: i64) -> Self {
        // Being interrupted between the two readings would put one clock behind the other for the
        // whole run: the tightest of some pairs counts.
        let pair = |_| {
            let before = Instant::now();
            let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            (before.elapsed(), before, since)
        };
        let (_, began, since) = (0..READINGS).map(pair).min().expect("there is one at least");
        let unix_us = i64::try_from(since.as_micros()).unwrap_or(i64::MAX);
        Self { began, began_unix_us: unix_us.saturating_add(ahead_us) }
    }

    /// Unix microseconds.
    pub(crate) fn unix_us(&self) -> i64 {
        self.began_unix_us + self.elapsed_us()
    }

    /// When it began, Unix microseconds.
    pub(crate) fn began_unix_us(&self) -> i64 {
        self.began_unix_us
    }

    /// Microseconds since it began.
    pub(crate) fn elapsed_us(&self) -> i64 {
        i64::try_from(self.began.elapsed().as_micros()).unwrap_or(i64::MAX)
    }

    /// From now until a moment of this clock; nothing when it has passed.
    pub(crate) fn until(&self, unix_us: i64) -> Duration {
        Duration::from_micros(u64::try_from(unix_us - self.unix_us()).unwrap_or(0))
    }
}
