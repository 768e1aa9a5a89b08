//! The channels of a symbol, and sets of them.

use std::fmt;

use crate::bar::BarInterval;

/// One kind of data about a symbol, with a sequence of its own.
///
/// Status is no channel: every subscribed symbol carries it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Channel {
    /// Best bid and offer: sampled, conflated.
    Quote,
    /// Last-trade figures of the trading session: sampled, conflated.
    Last,
    /// The tape: every trade and correction, never conflated.
    Trade,
    /// Bars of one length: the one in progress is conflated, those that are closed are not.
    Bar(BarInterval),
}

impl Channel {
    /// All channels, in the order of their bits.
    pub const ALL: [Self; 6] = [
        Self::Quote,
        Self::Last,
        Self::Trade,
        Self::Bar(BarInterval::Second),
        Self::Bar(BarInterval::Minute),
        Self::Bar(BarInterval::Day),
    ];

    /// The name on the wire, in metrics and logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Quote => "quote",
            Self::Last => "last",
            Self::Trade => "trade",
            Self::Bar(interval) => interval.channel(),
        }
    }

    /// The channel of a wire name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|channel| channel.name() == name)
    }

    /// Its bit in a set.
    const fn bit(self) -> u8 {
        match self {
            Self::Quote => 1,
            Self::Last => 1 << 1,
            Self::Trade => 1 << 2,
            Self::Bar(interval) => 1 << (3 + interval as u8),
        }
    }
}

/// A set of [`Channel`]s, one bit each.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Channels(u8);

impl Channels {
    /// No channel.
    pub const NONE: Self = Self(0);
    /// Quote, last and trade: what a symbol's ticks are. Bars are asked for by themselves.
    pub const ALL: Self = Self(0b111);
    /// Bars of every length.
    pub const BARS: Self = Self(0b11_1000);
    /// Every channel there is: what `unsubscribe` means when it names none.
    pub const EVERY: Self = Self::ALL.with(Self::BARS);
    /// What `subscribe` means when it names no channels: quote and last.
    pub const DEFAULT: Self = Self(0b011);

    /// The set of one.
    #[must_use]
    pub const fn only(channel: Channel) -> Self {
        Self(channel.bit())
    }

    /// True when `channel` is in the set.
    #[must_use]
    pub const fn has(self, channel: Channel) -> bool {
        self.0 & channel.bit() != 0
    }

    /// True when any of `others` is in the set.
    #[must_use]
    pub const fn has_any(self, others: Self) -> bool {
        self.0 & others.0 != 0
    }

    /// True when nothing is in the set.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Both sets together.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// This set less the other.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// The channels in the set, in the order of their bits.
    pub fn iter(self) -> impl Iterator<Item = Channel> {
        Channel::ALL.into_iter().filter(move |channel| self.has(*channel))
    }
}

impl FromIterator<Channel> for Channels {
    fn from_iter<I: IntoIterator<Item = Channel>>(channels: I) -> Self {
        channels.into_iter().fold(Self::NONE, |set, channel| set.with(Self::only(channel)))
    }
}

impl fmt::Debug for Channels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter().map(Channel::name)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_channel_has_a_name_and_a_bit_of_its_own() {
        let mut seen = Channels::NONE;
        for channel in Channel::ALL {
            assert_eq!(Channel::from_name(channel.name()), Some(channel));
            assert!(!seen.has(channel), "{channel:?}");
            seen = seen.with(Channels::only(channel));
        }
        assert_eq!(seen, Channels::EVERY);
        assert_eq!(seen.iter().collect::<Vec<_>>(), Channel::ALL);
        assert!(Channels::BARS.iter().all(|channel| matches!(channel, Channel::Bar(_))));
        assert!(!Channels::ALL.has_any(Channels::BARS));
    }
}
