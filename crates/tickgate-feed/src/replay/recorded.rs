//! What readers of recordings have in common.

use tickgate_protocol::tick::{FeedSymbol, TickBody};

use crate::{feed::FeedStats, warnings::Warnings};

/// A tick with the time it was recorded at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Recorded {
    /// When the recorder received it: Unix time, nanoseconds, on the recorder's clock.
    pub(super) at_ns: i64,
    pub(super) symbol: FeedSymbol,
    /// As in [`tickgate_protocol::tick::Tick`].
    pub(super) event_time_ns: i64,
    pub(super) body: TickBody,
}

/// What reading on came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step<T = Recorded> {
    /// A tick.
    Tick(T),
    /// Everything was read.
    Finished,
    /// The recording broke off: where and why.
    Truncated(String),
}

/// Why a record is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    #[error("not of the recording's format")]
    Syntax,
    #[error("a number that is none or out of range")]
    Number,
    #[error("a symbol whose name is not allowed or unknown")]
    Symbol,
}

/// Where readers count and warn.
#[derive(Debug, Default)]
pub(super) struct Report {
    pub(super) stats: FeedStats,
    pub(super) warnings: Warnings,
}

impl Report {
    /// Counts a refused record and warns of it.
    pub(super) fn refuse(&mut self, fault: Fault, warning: impl FnOnce() -> String) {
        let malformed = &mut self.stats.malformed;
        match fault {
            Fault::Syntax => malformed.syntax += 1,
            Fault::Number => malformed.number += 1,
            Fault::Symbol => malformed.symbol += 1,
        }
        self.warnings.push(warning);
    }
}
