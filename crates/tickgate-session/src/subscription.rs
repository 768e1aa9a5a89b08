//! One session's interest in one symbol: channels, selection, and the cursors of what it was sent.

use tickgate_protocol::{
    channel::{Channel, Channels},
    entry::{last_field, quote_field},
    symbol::WireId,
};

/// A cursor of a channel whose full entry has not been sent yet.
pub(crate) const NEVER: u64 = u64::MAX;
/// The wire id of a symbol that has not been defined to the client yet.
pub(crate) const UNDEFINED: WireId = WireId::MAX;
/// An own throttle that is not set: the wildcard's, the connection's or the default holds.
pub(crate) const INHERIT: u16 = u16::MAX;
/// The channels whose entries wait for the tape's interval at most, whatever the throttle: each
/// trade is sent, and each closed bar.
pub(crate) const PROMPT: Channels = Channels::only(Channel::Trade).with(Channels::BARS);
/// Every field of a quote.
pub(crate) const ALL_QUOTE_FIELDS: u8 = ((1u16 << quote_field::COUNT) - 1) as u8;
/// Every field of the last-trade figures.
pub(crate) const ALL_LAST_FIELDS: u8 = ((1u16 << last_field::COUNT) - 1) as u8;

/// One symbol of one session. Its size is the session's memory, so it is kept at 56 bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Subscription {
    pub(crate) quote_cursor: u64,
    pub(crate) last_cursor: u64,
    /// Last sequence of the tape that was sent, declared lost or joined at.
    pub(crate) trade_cursor: u64,
    /// Position in the hub's directory.
    pub(crate) symbol: u32,
    /// The definition the client was told.
    pub(crate) id: WireId,
    pub(crate) status_cursor: u32,
    /// Flush tick of the last quote entry.
    pub(crate) quote_tick: u32,
    /// Flush tick of the last entry of last-trade figures.
    pub(crate) last_tick: u32,
    /// Throttle interval bound to this symbol, milliseconds, or [`INHERIT`].
    pub(crate) own_throttle_ms: u16,
    /// Channels the client named this symbol for.
    pub(crate) named: Channels,
    /// Channels in force: named, or through the wildcard.
    pub(crate) channels: Channels,
    pub(crate) quote_fields: u8,
    pub(crate) last_fields: u8,
    /// A snapshot waits in the session's `owed`.
    pub(crate) owed: bool,
    /// `trades joined` has been sent.
    pub(crate) joined: bool,
    /// The client asked to go on after `trade_cursor`.
    pub(crate) resumed: bool,
}

impl Subscription {
    pub(crate) fn new(symbol: u32) -> Self {
        Self {
            quote_cursor: NEVER,
            last_cursor: NEVER,
            trade_cursor: NEVER,
            symbol,
            id: UNDEFINED,
            status_cursor: 0,
            quote_tick: 0,
            last_tick: 0,
            own_throttle_ms: INHERIT,
            named: Channels::NONE,
            channels: Channels::NONE,
            quote_fields: ALL_QUOTE_FIELDS,
            last_fields: ALL_LAST_FIELDS,
            owed: false,
            joined: false,
            resumed: false,
        }
    }

    /// Puts `channels` in force; what ended forgets its cursor.
    pub(crate) fn set_channels(&mut self, channels: Channels) {
        let ended = self.channels.without(channels);
        if ended.has(Channel::Quote) {
            self.quote_cursor = NEVER;
        }
        if ended.has(Channel::Last) {
            self.last_cursor = NEVER;
        }
        if ended.has(Channel::Trade) {
            self.leave_tape();
        }
        self.channels = channels;
    }

    /// Selects fields; a changed selection sends a full entry.
    pub(crate) fn select(&mut self, quote_fields: u8, last_fields: u8) {
        if quote_fields != self.quote_fields {
            self.quote_fields = quote_fields;
            self.quote_cursor = NEVER;
        }
        if last_fields != self.last_fields {
            self.last_fields = last_fields;
            self.last_cursor = NEVER;
        }
    }

    /// Sends the full state again.
    pub(crate) fn forget_state(&mut self) {
        self.quote_cursor = NEVER;
        self.last_cursor = NEVER;
    }

    /// Forgets everything the client was told: its epoch is over.
    pub(crate) fn forget(&mut self) {
        self.forget_state();
        self.leave_tape();
        self.id = UNDEFINED;
        self.status_cursor = 0;
    }

    /// The tape is to be joined afresh.
    pub(crate) fn leave_tape(&mut self) {
        self.trade_cursor = NEVER;
        self.joined = false;
        self.resumed = false;
    }

    /// Flush tick of the last state entry; `None` before the first.
    pub(crate) fn sent_tick(&self) -> Option<u32> {
        let quote = (self.quote_cursor != NEVER).then_some(self.quote_tick);
        let last = (self.last_cursor != NEVER).then_some(self.last_tick);
        match (quote, last) {
            // Whichever is later on a clock that wraps.
            (Some(quote), Some(last)) if last.wrapping_sub(quote) > u32::MAX / 2 => Some(quote),
            (_, Some(last)) => Some(last),
            (quote, None) => quote,
        }
    }

    /// True when a full entry or the tape's joining is still to be sent.
    pub(crate) fn wants_snapshot(&self) -> bool {
        self.id == UNDEFINED
            || (self.channels.has(Channel::Quote) && self.quote_cursor == NEVER)
            || (self.channels.has(Channel::Last) && self.last_cursor == NEVER)
            || (self.channels.has(Channel::Trade) && !self.joined)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subscription_stays_small() {
        assert!(size_of::<Subscription>() <= 56, "{} bytes", size_of::<Subscription>());
    }

    #[test]
    fn a_channel_that_ended_begins_again_with_a_full_entry() {
        let mut subscription = Subscription::new(0);
        subscription.id = 4;
        subscription.set_channels(Channels::ALL);
        subscription.quote_cursor = 9;
        subscription.last_cursor = 9;
        subscription.trade_cursor = 9;
        subscription.joined = true;
        assert!(!subscription.wants_snapshot());
        subscription.set_channels(Channels::only(Channel::Last));
        subscription.set_channels(Channels::ALL);
        assert_eq!(subscription.last_cursor, 9);
        assert_eq!(subscription.quote_cursor, NEVER);
        assert!(!subscription.joined);
    }

    #[test]
    fn the_later_of_two_entries_counts_on_a_clock_that_wraps() {
        let sent_at = |quote: Option<u32>, last: Option<u32>| {
            let mut subscription = Subscription::new(0);
            if let Some(tick) = quote {
                (subscription.quote_cursor, subscription.quote_tick) = (1, tick);
            }
            if let Some(tick) = last {
                (subscription.last_cursor, subscription.last_tick) = (1, tick);
            }
            subscription.sent_tick()
        };
        assert_eq!(sent_at(None, None), None);
        assert_eq!(sent_at(Some(5), None), Some(5));
        assert_eq!(sent_at(None, Some(6)), Some(6));
        assert_eq!(sent_at(Some(5), Some(6)), Some(6));
        assert_eq!(sent_at(Some(6), Some(5)), Some(6));
        assert_eq!(sent_at(Some(u32::MAX), Some(3)), Some(3));
        assert_eq!(sent_at(Some(3), Some(u32::MAX)), Some(3));
    }

    #[test]
    fn a_snapshot_is_wanted_of_channels_in_force_only() {
        let mut subscription = Subscription::new(0);
        assert!(subscription.wants_snapshot(), "its definition at least");
        subscription.id = 4;
        assert!(!subscription.wants_snapshot());
        for channel in [Channel::Quote, Channel::Last, Channel::Trade] {
            subscription.set_channels(Channels::only(channel));
            assert!(subscription.wants_snapshot(), "{channel:?}");
            match channel {
                Channel::Quote => subscription.quote_cursor = 0,
                Channel::Last => subscription.last_cursor = 0,
                Channel::Trade => subscription.joined = true,
                Channel::Bar(_) => unreachable!("not among these"),
            }
            assert!(!subscription.wants_snapshot(), "{channel:?}");
        }
    }

    #[test]
    fn a_changed_selection_sends_a_full_entry_and_an_unchanged_one_does_not() {
        let mut subscription = Subscription::new(0);
        subscription.quote_cursor = 3;
        subscription.last_cursor = 3;
        subscription.select(ALL_QUOTE_FIELDS, 0b1);
        assert_eq!((subscription.quote_cursor, subscription.last_cursor), (3, NEVER));
    }
}
