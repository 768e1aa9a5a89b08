//! What to subscribe to.

use std::time::Duration;

use tickgate_protocol::{
    channel::{Channel, Channels},
    command::THROTTLE_LIMIT_MS,
    symbol::WILDCARD,
};

use crate::error::Invalid;

/// Events that may wait for a consumer, by default: 16,384.
pub const DEFAULT_CAPACITY: usize = 16_384;

/// What to subscribe to, and how much may wait for the consumer.
///
/// ```
/// use std::time::Duration;
/// use tickgate_client::Interest;
///
/// let quotes = Interest::symbols(["AAPL", "MSFT"]).throttle(Duration::from_millis(250));
/// let tape = Interest::symbols(["AAPL"]).only_trades().capacity(100_000);
/// # let _ = (quotes, tape);
/// ```
#[derive(Debug, Clone)]
pub struct Interest {
    pub(crate) symbols: Vec<String>,
    pub(crate) channels: Channels,
    pub(crate) throttle: Option<Duration>,
    pub(crate) capacity: usize,
}

impl Interest {
    /// Quotes and last-trade figures of these symbols; `*` is every symbol.
    #[must_use]
    pub fn symbols<S: Into<String>>(symbols: impl IntoIterator<Item = S>) -> Self {
        Self {
            symbols: symbols.into_iter().map(Into::into).collect(),
            channels: Channels::DEFAULT,
            throttle: None,
            capacity: DEFAULT_CAPACITY,
        }
    }

    /// Quotes and last-trade figures of every symbol, also of those listed later.
    #[must_use]
    pub fn everything() -> Self {
        Self::symbols([WILDCARD])
    }

    /// These channels and no others. Default quote and last.
    #[must_use]
    pub fn channels(mut self, channels: impl IntoIterator<Item = Channel>) -> Self {
        self.channels = channels.into_iter().collect();
        self
    }

    /// The tape as well.
    #[must_use]
    pub fn with_trades(mut self) -> Self {
        self.channels = self.channels.with(Channels::only(Channel::Trade));
        self
    }

    /// The tape and nothing else.
    #[must_use]
    pub fn only_trades(self) -> Self {
        self.channels([Channel::Trade])
    }

    /// Least time between two entries of a symbol's state channel: whole milliseconds, at most
    /// 60 s; 0 is as it happens. Default: the connection's.
    ///
    /// A symbol has one pace on a connection: of several subscriptions that name it, the shortest
    /// interval holds for all.
    #[must_use]
    pub fn throttle(mut self, interval: Duration) -> Self {
        self.throttle = Some(interval);
        self
    }

    /// Trades, corrections, losses and statuses that may wait for the consumer, in events. Default
    /// [`DEFAULT_CAPACITY`], at least 1; about 150 bytes each, taken only as they are needed.
    ///
    /// Past it the oldest are given up: the consumer is told the range as
    /// [`Lost`](crate::Lost) of origin [`Consumer`](crate::LossOrigin::Consumer), and
    /// [`Stats::events_dropped`](crate::Stats::events_dropped) counts them. Quotes and figures
    /// need no room: only the newest is kept, in one place for all subscriptions. With
    /// [`credit`](crate::Builder::credit) the gateway waits instead, as long as its tapes reach.
    #[must_use]
    pub fn capacity(mut self, events: usize) -> Self {
        self.capacity = events;
        self
    }

    pub(crate) fn throttle_ms(&self) -> Result<Option<u32>, Invalid> {
        self.throttle.map(whole_milliseconds).transpose()
    }
}

/// # Errors
/// [`Invalid`] for what is no throttle interval.
pub(crate) fn whole_milliseconds(interval: Duration) -> Result<u32, Invalid> {
    let whole = interval.subsec_nanos().is_multiple_of(1_000_000);
    match u32::try_from(interval.as_millis()) {
        Ok(milliseconds) if whole && milliseconds <= THROTTLE_LIMIT_MS => Ok(milliseconds),
        _ => Err(Invalid {
            field: "throttle",
            rule: "must be whole milliseconds from 0 to 60000",
            found: format!("{interval:?}"),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_whole_milliseconds_up_to_a_minute() {
        for (micros, milliseconds) in [(0, 0), (1_000, 1), (60_000_000, 60_000)] {
            let found = whole_milliseconds(Duration::from_micros(micros));
            assert_eq!(found.expect("valid"), milliseconds);
        }
        for micros in [1, 1_500, 60_000_001, 60_001_000, u64::MAX] {
            assert!(whole_milliseconds(Duration::from_micros(micros)).is_err(), "{micros}");
        }
    }
}
