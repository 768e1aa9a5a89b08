//! Sums over the clients of a group.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Sums over the clients of a group, for one interval or the whole window.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Data frames, or messages of targets that have no frames; heartbeats included.
    pub frames: u64,
    /// Data frames without entries.
    pub heartbeats: u64,
    /// Entries in frames; of other targets, messages with data.
    pub entries: u64,
    /// WebSocket bytes of what was received, headers included.
    pub bytes: u64,
    /// Entries that brought a newer state or a trade.
    pub updates: u64,
    /// Updates that were merged into these.
    pub merged: u64,
    /// Trades and corrections among them.
    pub trades: u64,
    /// Trades declared lost because the connection lagged, or that are missing on a tape that was
    /// resumed.
    pub lost: u64,
    /// Trades declared lost by the feed, where it can tell how many.
    pub lost_by_feed: u64,
    /// Updates without a time of the venue: counted, not timed.
    pub untimed: u64,
    /// Times before the event they are of: the clocks differ. Counted as 0.
    pub negative: u64,
    /// Frames that say they left later than asked, by cause: socket, budget, credit, load.
    pub causes: [u64; 4],
    /// Connections that were begun.
    pub connects: u64,
    /// Clients that became ready, each time.
    pub readies: u64,
    /// Handshakes that were refused, or connections that could not be had.
    pub refused: u64,
    /// Connections that the target ended, or that broke, though nobody here wanted it.
    pub closed: u64,
    /// What breaks the protocol.
    pub violations: u64,
    /// Clients that heard nothing for longer than the target promises.
    pub silent: u64,
    /// Times a client was told that the feed is stale.
    pub feed_stale: u64,
    /// Commands, or symbols in them, that the target refused though they are sound.
    pub commands_refused: u64,
    /// Messages that clients of the group published.
    pub published: u64,
    /// `refused`, by what was said.
    pub refusals: BTreeMap<String, u64>,
    /// `closed`, by close code and reason.
    pub closes: BTreeMap<String, u64>,
}

/// One of the sums, as objectives name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sum {
    /// [`Counts::lost`].
    Lost,
    /// [`Counts::violations`].
    Violations,
    /// [`Counts::refused`].
    Refused,
    /// [`Counts::closed`].
    Closed,
    /// [`Counts::silent`].
    Silent,
    /// [`Counts::merged`].
    Merged,
}

impl Sum {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Lost, Self::Violations, Self::Refused, Self::Closed, Self::Silent, Self::Merged];

    /// As it is written.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Lost => "lost",
            Self::Violations => "violations",
            Self::Refused => "refused",
            Self::Closed => "closed",
            Self::Silent => "silent",
            Self::Merged => "merged",
        }
    }
}

impl Counts {
    /// One of the sums.
    #[must_use]
    pub const fn sum(&self, sum: Sum) -> u64 {
        match sum {
            Sum::Lost => self.lost,
            Sum::Violations => self.violations,
            Sum::Refused => self.refused,
            Sum::Closed => self.closed,
            Sum::Silent => self.silent,
            Sum::Merged => self.merged,
        }
    }

    /// Adds another interval or group.
    pub fn add(&mut self, other: &Self) {
        self.frames += other.frames;
        self.heartbeats += other.heartbeats;
        self.entries += other.entries;
        self.bytes += other.bytes;
        self.updates += other.updates;
        self.merged += other.merged;
        self.trades += other.trades;
        self.lost += other.lost;
        self.lost_by_feed += other.lost_by_feed;
        self.untimed += other.untimed;
        self.negative += other.negative;
        for (sum, more) in self.causes.iter_mut().zip(other.causes) {
            *sum += more;
        }
        self.connects += other.connects;
        self.readies += other.readies;
        self.refused += other.refused;
        self.closed += other.closed;
        self.violations += other.violations;
        self.silent += other.silent;
        self.feed_stale += other.feed_stale;
        self.commands_refused += other.commands_refused;
        self.published += other.published;
        add_words(&mut self.refusals, &other.refusals);
        add_words(&mut self.closes, &other.closes);
    }
}

/// Most words kept apart; what a hostile target makes up beyond is counted together.
const WORD_LIMIT: usize = 32;

fn add_words(words: &mut BTreeMap<String, u64>, more: &BTreeMap<String, u64>) {
    for (word, count) in more {
        count_word(words, word, *count);
    }
}

/// Counts what was said, up to [`WORD_LIMIT`] different things.
pub(crate) fn count_word(words: &mut BTreeMap<String, u64>, word: &str, count: u64) {
    let is_known = words.contains_key(word);
    let word = if is_known || words.len() < WORD_LIMIT { word } else { "other" };
    *words.entry(word.to_owned()).or_default() += count;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_add_up_and_words_are_bounded() {
        let mut all = Counts { lost: 1, causes: [1, 0, 0, 2], ..Counts::default() };
        let mut more = Counts { lost: 2, causes: [1, 1, 0, 0], ..Counts::default() };
        for number in 0..100 {
            count_word(&mut more.closes, &format!("word {number}"), 1);
        }
        all.add(&more);
        assert_eq!((all.sum(Sum::Lost), all.causes), (3, [2, 1, 0, 2]));
        assert!(all.closes.len() <= WORD_LIMIT + 1, "{:?}", all.closes);
        assert_eq!(all.closes.values().sum::<u64>(), 100, "nothing is left out");
    }
}
