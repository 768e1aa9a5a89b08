//! What a replay is told.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::error::FeedError;

/// Settings of a replay. Every key but `files` has a default; unknown keys are refused.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReplayConfig {
    /// The recordings: Binance combined-stream lines, plain or gzip, and DBN (trades, tbbo, mbp-1,
    /// and beside these definition), plain or zstd, told apart by content. Several are merged by
    /// time; 1 to 256. No default.
    pub files: Vec<PathBuf>,
    /// How many times faster than recorded; 0 is flat out, as fast as the replay is polled.
    /// Default 1.0; 0, or 0.001 to 100,000.
    pub speed: f64,
    /// Begin anew, in a new epoch, when everything was played. Default false.
    pub repeat: bool,
    /// Shift event times along with the time of receipt, so that ages are those of the recording;
    /// otherwise they stay as recorded. Default true.
    pub rebase: bool,
    /// Most ticks one poll delivers, and most listings. Default 8,192; 1 to 1,000,000.
    pub ticks_per_poll: u32,
}

impl Default for ReplayConfig {
    fn default() -> Self {
        Self { files: Vec::new(), speed: 1.0, repeat: false, rebase: true, ticks_per_poll: 8_192 }
    }
}

impl ReplayConfig {
    /// Checks every key against its range; opens no file.
    ///
    /// # Errors
    /// [`FeedError::Config`] names the key, its value and the rule it broke.
    pub fn check(&self) -> Result<(), FeedError> {
        if !(1..=256).contains(&self.files.len()) {
            return Err(FeedError::config(
                "files",
                format_args!("{} files", self.files.len()),
                "must name 1 to 256 recordings",
            ));
        }
        if self.speed != 0.0 && !(0.001..=100_000.0).contains(&self.speed) {
            return Err(FeedError::config("speed", self.speed, "must be 0, or 0.001 to 100,000"));
        }
        if !(1..=1_000_000).contains(&self.ticks_per_poll) {
            return Err(FeedError::config(
                "ticks_per_poll",
                self.ticks_per_poll,
                "must be 1 to 1,000,000",
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_out_of_range_is_named_with_its_rule() {
        let files = vec![PathBuf::from("a.gz")];
        let base = || ReplayConfig { files: files.clone(), ..Default::default() };
        assert!(base().check().is_ok());
        let cases = [
            (ReplayConfig::default(), "files = 0 files: must name 1 to 256 recordings"),
            (
                ReplayConfig { speed: f64::NAN, ..base() },
                "speed = NaN: must be 0, or 0.001 to 100,000",
            ),
            (ReplayConfig { speed: -1.0, ..base() }, "speed = -1: must be 0, or 0.001 to 100,000"),
            (
                ReplayConfig { ticks_per_poll: 0, ..base() },
                "ticks_per_poll = 0: must be 1 to 1,000,000",
            ),
        ];
        for (config, message) in cases {
            assert_eq!(config.check().map_err(|e| e.to_string()), Err(message.to_owned()));
        }
    }
}
