//! The intervals of bars, and where they begin.

/// Length of the interval that a bar sums up. Each is a channel of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum BarInterval {
    /// One second: channel `bar.1s`.
    Second = 0,
    /// One minute: channel `bar.1m`.
    Minute = 1,
    /// One day, from midnight UTC to midnight UTC: channel `bar.1d`.
    Day = 2,
}

impl BarInterval {
    /// All of them, the shortest first.
    pub const ALL: [Self; 3] = [Self::Second, Self::Minute, Self::Day];

    /// Its length in seconds; the wire's `interval_s`.
    #[must_use]
    pub const fn seconds(self) -> u32 {
        match self {
            Self::Second => 1,
            Self::Minute => 60,
            Self::Day => 86_400,
        }
    }

    /// The name of its channel on the wire, in metrics and logs.
    #[must_use]
    pub const fn channel(self) -> &'static str {
        match self {
            Self::Second => "bar.1s",
            Self::Minute => "bar.1m",
            Self::Day => "bar.1d",
        }
    }

    /// The interval whose channel has that name.
    #[must_use]
    pub fn from_channel(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|interval| interval.channel() == name)
    }

    /// The interval of that length.
    #[must_use]
    pub fn from_seconds(seconds: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|interval| interval.seconds() == seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_found_by_its_channel_and_its_length() {
        for interval in BarInterval::ALL {
            assert_eq!(BarInterval::from_channel(interval.channel()), Some(interval));
            assert_eq!(BarInterval::from_seconds(interval.seconds()), Some(interval));
        }
        assert_eq!(BarInterval::from_channel("bar.5m"), None);
        assert_eq!(BarInterval::from_seconds(0), None);
    }
}
