//! The current state of a symbol, and how much it can be trusted.

use tickgate_protocol::{
    number::ABSENT,
    tick::{Reason, Status},
};

use crate::update::{Last, Listing, Quote};

/// What is known of a symbol now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Latest {
    /// What it is.
    pub listing: Listing,
    /// The newest quote; `None` before the first, and where nobody subscribed the channel.
    pub quote: Option<Quote>,
    /// Age of that quote.
    pub quote_age: Option<Age>,
    /// The newest last-trade figures.
    pub last: Option<Last>,
    /// Age of these figures.
    pub last_age: Option<Age>,
    /// Trading status.
    pub status: Status,
    /// Why.
    pub status_reason: Reason,
    /// What speaks against trusting it.
    pub doubts: Doubts,
}

/// How old a value is.
///
/// Ages are reckoned on the gateway's clock, which goes on here by the time that passed since the
/// newest frame; the clock of this machine is not asked, the way of a frame through the network
/// is not in them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Age {
    /// Microseconds since the venue's event; negative where the venue's clock runs ahead, `None`
    /// where it gives no time.
    pub since_event_us: Option<i64>,
    /// Microseconds since the gateway sent it. A quiet symbol's grows without being stale.
    pub since_sent_us: i64,
}

/// What speaks against trusting a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Doubts {
    /// There is no connection, or the symbol has not come again since the last reconnect.
    pub connection_lost: bool,
    /// The gateway says that its feed has a gap or is down.
    pub feed_stale: bool,
    /// The symbol is not open for trading: halted, closed or delisted.
    pub not_trading: bool,
}

impl Doubts {
    /// True when there is none.
    #[must_use]
    pub fn is_fresh(self) -> bool {
        self == Self::default()
    }
}

impl Age {
    pub(crate) fn at(now_us: i64, sent_at_us: i64, age_us: i64) -> Self {
        let since_sent_us = now_us.saturating_sub(sent_at_us);
        let since_event_us = (age_us != ABSENT).then(|| since_sent_us.saturating_add(age_us));
        Self { since_event_us, since_sent_us }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_grows_with_the_time_since_it_was_sent() {
        let age = Age::at(5_000, 2_000, -120);
        assert_eq!(age, Age { since_event_us: Some(2_880), since_sent_us: 3_000 });
        assert_eq!(Age::at(5_000, 5_000, ABSENT).since_event_us, None);
    }

    #[test]
    fn any_doubt_is_one_too_many() {
        assert!(Doubts::default().is_fresh());
        assert!(!Doubts { feed_stale: true, ..Doubts::default() }.is_fresh());
    }
}
