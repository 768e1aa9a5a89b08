//! One group's measures: what a client reports to.

use tickgate_protocol::{entry::cause, number::ABSENT};

use super::{Counts, Timing, Timings};

/// One group's measures of one interval, in one thread.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// Sums.
    pub counts: Counts,
    /// Times.
    pub timings: Timings,
    /// What was wrong, in words, until somebody takes it: at most [`WORDS_LIMIT`].
    pub violations: Vec<String>,
}

/// Most violations that are told in words between two times that they are taken; all are counted.
const WORDS_LIMIT: usize = 8;

impl Tally {
    /// Adds another interval or group.
    pub fn add(&mut self, other: &Self) {
        self.counts.add(&other.counts);
        self.timings.add(&other.timings);
    }

    /// Counts a data frame: how many entries, why it is late, when it was stamped and received.
    pub fn frame(&mut self, entries: usize, causes: u8, sent_at_us: i64, received_us: i64) {
        self.counts.frames += 1;
        self.counts.entries += entries as u64;
        self.counts.heartbeats += u64::from(entries == 0);
        for (sum, bit) in self.counts.causes.iter_mut().zip([
            cause::SOCKET,
            cause::BUDGET,
            cause::CREDIT,
            cause::LOAD,
        ]) {
            *sum += u64::from(causes & bit != 0);
        }
        self.transit(sent_at_us, received_us);
    }

    /// Counts what breaks the protocol.
    pub fn violation(&mut self, what: impl Into<String>) {
        self.counts.violations += 1;
        if self.violations.len() < WORDS_LIMIT {
            self.violations.push(what.into());
        }
    }

    /// Records the way from a stamp to its receipt.
    pub fn transit(&mut self, sent_at_us: i64, received_us: i64) {
        self.record(Timing::Transit, received_us.saturating_sub(sent_at_us), 1);
    }

    /// Records an event that is never merged: a trade, a message of a plain target. `event_us` may
    /// be [`ABSENT`].
    pub fn event(&mut self, event_us: i64, received_us: i64, asked_us: i64) {
        self.counts.updates += 1;
        if event_us == ABSENT {
            self.counts.untimed += 1;
            return;
        }
        self.latency(received_us.saturating_sub(event_us), asked_us, 1);
    }

    pub(super) fn latency(&mut self, latency_us: i64, asked_us: i64, count: u64) {
        self.record(Timing::Latency, latency_us, count);
        self.timings.record(Timing::Late, latency_us.saturating_sub(asked_us), count);
    }

    fn record(&mut self, timing: Timing, microseconds: i64, count: u64) {
        self.counts.negative += if microseconds < 0 { count } else { 0 };
        self.timings.record(timing, microseconds, count);
    }
}
