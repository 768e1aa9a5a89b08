//! The channels of a symbol, and sets of them.

use std::fmt;

/// One kind of data about a symbol, with a sequence of its own.
///
/// Status is no channel: every subscribed symbol carries it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Channel {
    /// Best bid and offer: sampled, conflated.
    Quote = 0,
    /// Last-trade figures of the trading session: sampled, conflated.
    Last = 1,
    /// The tape: every trade and correction, never conflated.
    Trade = 2,
}

impl Channel {
    /// All channels, in the order of their bits.
    pub const ALL: [Self; 3] = [Self::Quote, Self::Last, Self::Trade];

    /// The name on the wire, in metrics and logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Quote => "quote",
            Self::Last => "last",
            Self::Trade => "trade",
        }
    }

    /// The channel of a wire name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|channel| channel.name() == name)
    }
}

/// A set of [`Channel`]s, one bit each.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Channels(u8);

impl Channels {
    /// No channel.
    pub const NONE: Self = Self(0);
    /// Quote, last and trade.
    pub const ALL: Self = Self(0b111);
    /// What `subscribe` means when it names no channels: quote and last.
    pub const DEFAULT: Self = Self(0b011);

    /// The set of one.
    #[must_use]
    pub const fn only(channel: Channel) -> Self {
        Self(1 << channel as u8)
    }

    /// True when `channel` is in the set.
    #[must_use]
    pub const fn has(self, channel: Channel) -> bool {
        self.0 & (1 << channel as u8) != 0
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
