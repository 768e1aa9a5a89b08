//! How old frames are when they have left: one frame in some five hundred is looked at.
//!
//! Knowing the oldest change in a frame takes a look at each entry, and most entries are copied
//! without one. So the frame that is looked at encodes all its entries itself, which makes it some
//! times dearer than the others, and all of them together dearer by a few thousandths.

use tickgate_protocol::number::ABSENT;

use crate::{session::Session, stats::EngineStats};

/// What a frame's age says something about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// The gateway: the session takes everything as it happens, and nothing held the frame up.
    Realtime,
    /// The throttle interval, mostly: nothing else held the frame up.
    Throttled,
    /// The client: its socket, budget or credit held the frame up.
    HeldUp,
}

impl Pace {
    /// All of them, in the order of [`EngineStats::frame_age`].
    pub const ALL: [Self; 3] = [Self::Realtime, Self::Throttled, Self::HeldUp];

    /// The metric label.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Realtime => "realtime",
            Self::Throttled => "throttled",
            Self::HeldUp => "held_up",
        }
    }
}

/// Least frames from one that is looked at to the next; on average there are half as many more.
const APART: u64 = 341;

/// Which frame is looked at next.
#[derive(Debug, Default)]
pub(crate) struct Turn {
    /// The first frame after so many.
    at: u64,
}

impl Turn {
    /// True when so many frames have been formed before and this one is to be looked at.
    #[inline]
    pub(crate) fn has_come(&self, frames: u64) -> bool {
        frames >= self.at
    }

    /// It was looked at. The next one comes by chance, since the same sessions have their frames at
    /// the same places of every interval.
    pub(crate) fn is_over(&mut self, frames: u64) {
        let chance = frames.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
        self.at = frames + APART + chance % APART;
    }
}

impl EngineStats {
    /// A frame has left whose oldest change was `oldest_us` old when it was formed, `since_us` ago.
    pub(crate) fn count_age(&mut self, pace: Pace, oldest_us: i64, since_us: u64) {
        // A venue's clock may run ahead.
        let age_us = u64::try_from(oldest_us).unwrap_or(0) + since_us;
        self.frame_age[pace as usize].count(age_us / 100);
    }
}

impl<T> Session<T> {
    /// Whose doing the age of a frame with these causes is.
    pub(crate) fn pace(&self, cause: u8) -> Pace {
        use tickgate_protocol::entry::cause::LOAD;
        let portfolio = &self.portfolio;
        let covered = portfolio.wildcard.iter().map(|wildcard| &wildcard.group);
        if cause & !LOAD != 0 {
            Pace::HeldUp
        } else if portfolio.groups.iter().chain(covered).all(|group| group.is_realtime()) {
            Pace::Realtime
        } else {
            Pace::Throttled
        }
    }

    /// The frame that waited has left.
    pub(crate) fn frame_left(&mut self, now_us: u64, stats: &mut EngineStats) {
        let took_us = now_us.saturating_sub(self.framed_us);
        stats.leaving.count(took_us / 1_000);
        let oldest_us = std::mem::replace(&mut self.oldest_us, ABSENT);
        if oldest_us != ABSENT {
            stats.count_age(Pace::HeldUp, oldest_us, took_us);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_looked_at_now_and_then_and_in_time_at_each_place_of_an_interval() {
        const SESSIONS: u64 = 511;
        let mut turn = Turn::default();
        let mut places = [0; SESSIONS as usize];
        let frames = 20_000 * SESSIONS;
        for frame in 0..frames {
            if turn.has_come(frame) {
                turn.is_over(frame);
                places[(frame % SESSIONS) as usize] += 1;
            }
        }
        let share = frames / places.iter().sum::<u64>();
        assert!((APART..2 * APART).contains(&share), "one in {share}");
        assert!(places.iter().all(|count| *count > 10), "{places:?}");
    }
}
