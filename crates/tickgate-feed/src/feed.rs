//! The contract between a feed and the thread that drives it.

use std::fmt;

use tickgate_protocol::tick::{Batch, TickBody};

/// A source of ticks that is pulled, with the clock as an argument.
///
/// Whoever drives it calls [`Feed::poll`], hands the batch to the hub, and sleeps until the time it
/// was told. A feed starts no threads and never sleeps; only a replay reads files.
pub trait Feed: Send {
    /// Appends what is due at `now_ns` (Unix time, nanoseconds, UTC) to `batch`, and says when to
    /// come again.
    ///
    /// Sets [`Batch::clock_ns`], also when nothing is due, where the feed has a clock.
    ///
    /// One call appends a bounded number of listings and ticks; what is left is due at once
    /// ([`Next::Again`]). Hand the batch over and clear it between two calls: a call may set
    /// [`Batch::new_epoch`], which voids everything that came before, and never does so after
    /// appending ticks of the old epoch itself.
    fn poll(&mut self, now_ns: i64, batch: &mut Batch) -> Next;

    /// One line for the start banner and the log.
    fn describe(&self) -> String;

    /// Running totals since the feed was opened.
    fn stats(&self) -> FeedStats;

    /// Hands out the warnings since the last call, oldest first; see
    /// [`crate::warnings::Warnings`] for how many are kept.
    fn take_warnings(&mut self) -> Vec<String>;
}

/// When a feed wants to be polled again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// More is due already.
    Again,
    /// Nothing is due before this time (Unix time, nanoseconds, UTC). Coming later is fine: what
    /// became due meanwhile leaves together.
    At(i64),
    /// Nothing will ever be due again.
    Ended(End),
}

/// How a feed ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// Everything was delivered.
    Finished,
    /// An input broke off; everything up to there was delivered.
    Truncated {
        /// Which input, and where.
        message: String,
    },
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Finished => f.write_str("finished"),
            Self::Truncated { message } => write!(f, "truncated: {message}"),
        }
    }
}

/// Running totals of a feed. Times are nanoseconds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FeedStats {
    /// Symbols announced.
    pub listings: u64,
    /// Quotes delivered.
    pub quotes: u64,
    /// Trades delivered.
    pub trades: u64,
    /// Corrections and cancels delivered.
    pub corrections: u64,
    /// Status changes delivered.
    pub statuses: u64,
    /// Beginnings of trading sessions delivered, one for each symbol.
    pub sessions: u64,
    /// Records of the input that are understood but carry no tick (book depth, other record kinds).
    pub skipped: u64,
    /// Records of the input that were refused, by reason.
    pub malformed: Malformed,
    /// Times a recording began anew.
    pub loops: u64,
    /// Schedule given up because the driver came too late, and not made up for.
    pub slipped_ns: u64,
    /// Times the clock handed to [`Feed::poll`] stepped back and the schedule followed it.
    pub clock_steps: u64,
    /// How late the oldest tick of the last poll that delivered any was picked up.
    pub lateness_ns: u64,
    /// The largest [`FeedStats::lateness_ns`] so far.
    pub lateness_max_ns: u64,
}

/// Refused records of a recording, by reason.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Malformed {
    /// Not of the recording's format at all: no time, no JSON, a missing field, an undecodable
    /// record.
    pub syntax: u64,
    /// A price, size or time that is no number or outside the limits of
    /// [`tickgate_protocol::number`].
    pub number: u64,
    /// A symbol whose name is not allowed or that the recording does not map.
    pub symbol: u64,
}

impl Malformed {
    /// All reasons together.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.syntax + self.number + self.symbol
    }

    /// Each reason's name, as in logs and metrics, with its count.
    #[must_use]
    pub const fn by_reason(&self) -> [(&'static str, u64); 3] {
        [("syntax", self.syntax), ("number", self.number), ("symbol", self.symbol)]
    }
}

impl FeedStats {
    /// All ticks together.
    #[must_use]
    pub const fn ticks(&self) -> u64 {
        self.quotes + self.trades + self.corrections + self.statuses + self.sessions
    }

    pub(crate) fn count(&mut self, body: &TickBody) {
        match body {
            TickBody::Quote(_) => self.quotes += 1,
            TickBody::Trade(_) => self.trades += 1,
            TickBody::Correction(_) => self.corrections += 1,
            TickBody::Status(_) => self.statuses += 1,
            TickBody::Session(_) => self.sessions += 1,
        }
    }

    pub(crate) fn note_lateness(&mut self, lateness_ns: u64) {
        self.lateness_ns = lateness_ns;
        self.lateness_max_ns = self.lateness_max_ns.max(self.lateness_ns);
    }
}
