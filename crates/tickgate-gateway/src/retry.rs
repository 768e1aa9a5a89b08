//! When a client that was refused should come again: not all of them at once.

use std::sync::{Mutex, PoisonError};

use rand::{RngExt, SeedableRng, rngs::StdRng};

/// Longest wait asked for, seconds.
pub(crate) const RETRY_AFTER_LIMIT_S: u64 = 10;

/// Spreads refused clients over the next seconds.
#[derive(Debug)]
pub(crate) struct RetryAfter(Mutex<StdRng>);

impl RetryAfter {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Mutex::new(StdRng::seed_from_u64(seed)))
    }

    /// Whole seconds for a `Retry-After`, 1 to [`RETRY_AFTER_LIMIT_S`].
    pub(crate) fn seconds(&self) -> u64 {
        let mut rng = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        rng.random_range(1..=RETRY_AFTER_LIMIT_S)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused_clients_are_spread_over_every_second() {
        let retry = RetryAfter::new(1);
        let mut asked = [0; RETRY_AFTER_LIMIT_S as usize + 2];
        for _ in 0..1_000 {
            asked[retry.seconds() as usize] += 1;
        }
        assert_eq!((asked[0], asked[asked.len() - 1]), (0, 0));
        let each = &asked[1..=RETRY_AFTER_LIMIT_S as usize];
        assert!(each.iter().all(|count| (50..200).contains(count)), "{asked:?}");
    }
}
