//! What the simulated market is told.

use serde::{Deserialize, Serialize};

use crate::error::FeedError;

/// Settings of the simulated market. Every key has a default; unknown keys are refused.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SimulatedConfig {
    /// Seed: the same seed and settings give the same ticks. Default 1.
    pub seed: u64,
    /// Symbols, most active first, well-known names before made-up ones. Default 1,000; 1 to
    /// 100,000.
    pub symbols: u32,
    /// Ticks a second, averaged over calm and bursts. Default 20,000; 10 to 2,000,000.
    pub ticks_per_second: u32,
    /// How unevenly activity is spread: the n-th symbol's share is proportional to
    /// n^-`zipf_exponent`. Default 1.0; 0 (evenly) to 2.
    pub zipf_exponent: f64,
    /// Quotes for each trade, on average. Default 10; 0 to 1,000.
    pub quotes_per_trade: u32,
    /// Milliseconds from one burst's beginning to the next, on average. Default 3,000; 100 to
    /// 600,000.
    pub burst_interval_ms: u32,
    /// Longest burst, milliseconds; bursts last 5 ms to this. Default 500; 5 to half of
    /// `burst_interval_ms`.
    pub burst_length_ms: u32,
    /// How many times the calm rate a burst runs at; the calm rate is lowered so that the average
    /// stays `ticks_per_second`. Default 5; 1 (no bursts) to 100.
    pub burst_factor: u32,
    /// Halts an hour, over all symbols; active ones are hit more often. At most 64 symbols are
    /// halted at once. Default 60; 0 (none) to 100,000.
    pub halts_per_hour: u32,
    /// Longest halt, milliseconds; halts last a quarter of this to this. Default 20,000; 100 to
    /// 3,600,000.
    pub halt_length_ms: u32,
    /// Quotes in a million with only a bid or only an ask. Default 1,000.
    pub one_sided_per_million: u32,
    /// Quotes in a million whose bid equals the ask. Default 1,000.
    pub locked_per_million: u32,
    /// Quotes in a million whose bid exceeds the ask. Default 200. The three together: at most
    /// 1,000,000.
    pub crossed_per_million: u32,
    /// Trades in a million that are reported 1 to 10 s late; only these carry an event time other
    /// than the scheduled one. Default 500; at most 1,000,000.
    pub late_per_million: u32,
    /// Trades in a million that are not eligible for open, high, low and last. Default 10,000; at
    /// most 1,000,000.
    pub not_eligible_per_million: u32,
    /// Corrections and cancels for a million trades. Default 500; at most 1,000,000.
    pub corrections_per_million: u32,
    /// How far a price wanders in a second, in millionths of itself (one standard deviation).
    /// Default 150; 0 to 10,000. Prices stay within 0.62 and 1.63 times where they began.
    pub volatility_per_million: u32,
    /// When the schedule begins, Unix time in nanoseconds, UTC. Default: at the first poll.
    pub start_time_ns: Option<i64>,
    /// Most ticks one poll delivers, and most listings. Default 8,192; 1 to 1,000,000.
    pub ticks_per_poll: u32,
}

impl Default for SimulatedConfig {
    fn default() -> Self {
        Self {
            seed: 1,
            symbols: 1_000,
            ticks_per_second: 20_000,
            zipf_exponent: 1.0,
            quotes_per_trade: 10,
            burst_interval_ms: 3_000,
            burst_length_ms: 500,
            burst_factor: 5,
            halts_per_hour: 60,
            halt_length_ms: 20_000,
            one_sided_per_million: 1_000,
            locked_per_million: 1_000,
            crossed_per_million: 200,
            late_per_million: 500,
            not_eligible_per_million: 10_000,
            corrections_per_million: 500,
            volatility_per_million: 150,
            start_time_ns: None,
            ticks_per_poll: 8_192,
        }
    }
}

impl SimulatedConfig {
    /// Shortest burst, milliseconds.
    pub(super) const BURST_FLOOR_MS: u32 = 5;

    /// Checks every key against its range.
    ///
    /// # Errors
    /// [`FeedError::Config`] names the key, its value and the rule it broke.
    pub fn check(&self) -> Result<(), FeedError> {
        let odd_books = u64::from(self.one_sided_per_million)
            + u64::from(self.locked_per_million)
            + u64::from(self.crossed_per_million);
        let half_interval = u64::from(self.burst_interval_ms / 2);
        let ranges: [(&'static str, u64, u64, u64, &'static str); 14] = [
            ("symbols", self.symbols.into(), 1, 100_000, "must be 1 to 100,000"),
            (
                "ticks_per_second",
                self.ticks_per_second.into(),
                10,
                2_000_000,
                "must be 10 to 2,000,000",
            ),
            ("quotes_per_trade", self.quotes_per_trade.into(), 0, 1_000, "must be 0 to 1,000"),
            (
                "burst_interval_ms",
                self.burst_interval_ms.into(),
                100,
                600_000,
                "must be 100 to 600,000",
            ),
            (
                "burst_length_ms",
                self.burst_length_ms.into(),
                Self::BURST_FLOOR_MS.into(),
                half_interval,
                "must be 5 to half of burst_interval_ms",
            ),
            ("burst_factor", self.burst_factor.into(), 1, 100, "must be 1 to 100"),
            ("halts_per_hour", self.halts_per_hour.into(), 0, 100_000, "must be 0 to 100,000"),
            (
                "halt_length_ms",
                self.halt_length_ms.into(),
                100,
                3_600_000,
                "must be 100 to 3,600,000",
            ),
            (
                "one_sided_per_million + locked_per_million + crossed_per_million",
                odd_books,
                0,
                1_000_000,
                "must be at most 1,000,000 together",
            ),
            (
                "late_per_million",
                self.late_per_million.into(),
                0,
                1_000_000,
                "must be at most 1,000,000",
            ),
            (
                "not_eligible_per_million",
                self.not_eligible_per_million.into(),
                0,
                1_000_000,
                "must be at most 1,000,000",
            ),
            (
                "corrections_per_million",
                self.corrections_per_million.into(),
                0,
                1_000_000,
                "must be at most 1,000,000",
            ),
            (
                "volatility_per_million",
                self.volatility_per_million.into(),
                0,
                10_000,
                "must be 0 to 10,000",
            ),
            ("ticks_per_poll", self.ticks_per_poll.into(), 1, 1_000_000, "must be 1 to 1,000,000"),
        ];
        for (key, value, low, high, rule) in ranges {
            if !(low..=high).contains(&value) {
                return Err(FeedError::config(key, value, rule));
            }
        }
        if !(0.0..=2.0).contains(&self.zipf_exponent) {
            return Err(FeedError::config("zipf_exponent", self.zipf_exponent, "must be 0 to 2"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_pass() {
        assert!(SimulatedConfig::default().check().is_ok());
    }

    #[test]
    fn a_value_out_of_range_is_named_with_its_rule() {
        let refused = |config: SimulatedConfig| config.check().map_err(|e| e.to_string());
        let base = SimulatedConfig::default;
        let cases = [
            (SimulatedConfig { symbols: 0, ..base() }, "symbols = 0: must be 1 to 100,000"),
            (
                SimulatedConfig { ticks_per_second: 9, ..base() },
                "ticks_per_second = 9: must be 10 to 2,000,000",
            ),
            (
                SimulatedConfig { zipf_exponent: f64::NAN, ..base() },
                "zipf_exponent = NaN: must be 0 to 2",
            ),
            (
                SimulatedConfig { burst_length_ms: 1_501, ..base() },
                "burst_length_ms = 1501: must be 5 to half of burst_interval_ms",
            ),
        ];
        for (config, message) in cases {
            assert_eq!(refused(config), Err(message.to_owned()));
        }
    }
}
