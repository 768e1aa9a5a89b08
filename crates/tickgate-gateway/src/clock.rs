//! What time it is: one monotonic base shared by every thread, and Unix time beside it.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tickgate_session::Now;

/// Turns the machine's clocks into the engine's [`Now`].
///
/// Copies share the base, so monotonic times of different workers compare.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    base: Instant,
}

impl Clock {
    /// A clock whose monotonic time begins at 0 now.
    #[must_use]
    pub fn start() -> Self {
        Self { base: Instant::now() }
    }

    /// The time now, on both clocks.
    #[must_use]
    pub fn now(&self) -> Now {
        Now { monotonic_us: micros(self.base.elapsed()), unix_us: unix_us(SystemTime::now()) }
    }

    /// The instant of a monotonic time of this clock.
    #[must_use]
    pub fn instant(&self, monotonic_us: u64) -> Instant {
        self.base + Duration::from_micros(monotonic_us)
    }
}

/// Microseconds since the Unix epoch, negative before it.
fn unix_us(time: SystemTime) -> i64 {
    // Past the year 294,000 the number saturates instead of wrapping.
    let signed = |duration| i64::try_from(micros(duration)).unwrap_or(i64::MAX);
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => signed(after),
        Err(before) => -signed(before.duration()),
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unix_time_is_signed_around_the_epoch() {
        assert_eq!(unix_us(UNIX_EPOCH), 0);
        assert_eq!(unix_us(UNIX_EPOCH + Duration::from_micros(7)), 7);
        assert_eq!(unix_us(UNIX_EPOCH - Duration::from_micros(7)), -7);
    }

    #[test]
    fn monotonic_times_lead_back_to_their_instant() {
        let clock = Clock::start();
        assert_eq!(clock.instant(1_500) - clock.instant(0), Duration::from_micros(1_500));
        let before = clock.now().monotonic_us;
        assert!(clock.now().monotonic_us >= before);
    }
}
