//! How long to wait before connecting again.

use std::time::Duration;

/// Longest wait that a gateway's word (`Retry-After`, `reconnect_after_ms`) is followed: 5 minutes.
/// A longer one is cut to it, so that a wrong number cannot keep a client away for good.
pub const TOLD_LIMIT: Duration = Duration::from_secs(300);

/// Full jitter: a wait is uniform between nothing and a ceiling that doubles with each attempt.
///
/// Clients that lost the same gateway in the same moment come back spread over the whole span,
/// not in waves. What the gateway itself asked for comes on top as the least.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// Ceiling of the first wait. Default 500 ms.
    pub base: Duration,
    /// Ceiling that is never exceeded. Default 30 s. A connection that lasted this long counts as
    /// sound: the next wait after it begins from `base` again.
    pub cap: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { base: Duration::from_millis(500), cap: Duration::from_secs(30) }
    }
}

impl Backoff {
    /// The wait before attempt number `attempt` (0 is the first after a loss).
    ///
    /// `told` is what the gateway asked for: the wait is that, at most [`TOLD_LIMIT`], plus the
    /// jitter. `random` is uniform in 0 to 1; what is outside is brought inside.
    #[must_use]
    pub fn wait(&self, attempt: u32, told: Option<Duration>, random: f64) -> Duration {
        let random = if random.is_finite() { random.clamp(0.0, 1.0) } else { 1.0 };
        let told = told.unwrap_or_default().min(TOLD_LIMIT);
        told + self.ceiling(attempt).mul_f64(random)
    }

    /// `base × 2^attempt`, at most `cap`.
    #[must_use]
    pub fn ceiling(&self, attempt: u32) -> Duration {
        let doubled = 2u32.checked_pow(attempt).and_then(|factor| self.base.checked_mul(factor));
        doubled.map_or(self.cap, |doubled| doubled.min(self.cap))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACKOFF: Backoff =
        Backoff { base: Duration::from_millis(100), cap: Duration::from_secs(10) };

    #[test]
    fn the_ceiling_doubles_up_to_the_cap() {
        let ceilings: Vec<u128> =
            (0..9).map(|attempt| BACKOFF.ceiling(attempt).as_millis()).collect();
        assert_eq!(ceilings, [100, 200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000]);
        assert_eq!(BACKOFF.ceiling(u32::MAX), BACKOFF.cap);
    }

    #[test]
    fn the_wait_is_anything_from_nothing_to_the_ceiling() {
        assert_eq!(BACKOFF.wait(3, None, 0.0), Duration::ZERO);
        assert_eq!(BACKOFF.wait(3, None, 0.5), Duration::from_millis(400));
        assert_eq!(BACKOFF.wait(3, None, 1.0), Duration::from_millis(800));
    }

    #[test]
    fn what_the_gateway_asks_for_is_the_least_and_is_itself_limited() {
        let told = Some(Duration::from_secs(2));
        assert_eq!(BACKOFF.wait(0, told, 0.0), Duration::from_secs(2));
        assert_eq!(BACKOFF.wait(0, told, 1.0), Duration::from_millis(2_100));
        assert_eq!(BACKOFF.wait(0, Some(Duration::MAX), 0.0), TOLD_LIMIT);
    }

    #[test]
    fn randomness_that_breaks_its_rule_does_no_harm() {
        assert_eq!(BACKOFF.wait(0, None, -1.0), Duration::ZERO);
        assert_eq!(BACKOFF.wait(0, None, 7.0), BACKOFF.base);
        assert_eq!(BACKOFF.wait(0, None, f64::NAN), BACKOFF.base);
    }
}
