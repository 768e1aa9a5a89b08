//! Why a feed could not be opened.

use std::{io, path::PathBuf};

/// Why a feed could not be opened. Once open, a feed does not fail: it counts, warns and ends.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FeedError {
    /// A configured value breaks a rule.
    #[error("{key} = {value}: {rule}")]
    Config {
        /// The key, as the feed's configuration names it.
        key: &'static str,
        /// Its value.
        value: String,
        /// The rule it broke.
        rule: &'static str,
    },
    /// A recording cannot be opened or read.
    #[error("{}: cannot be read", path.display())]
    Read {
        /// The recording.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// A recording is not what its name or content promises.
    #[error("{}: {rule}", path.display())]
    Format {
        /// The recording.
        path: PathBuf,
        /// What was found and what is needed.
        rule: String,
    },
}

impl FeedError {
    pub(crate) fn config(key: &'static str, value: impl ToString, rule: &'static str) -> Self {
        Self::Config { key, value: value.to_string(), rule }
    }
}
