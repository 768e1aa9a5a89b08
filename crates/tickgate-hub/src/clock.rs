//! A feed's clock, and what the calendar says by it.

use std::ops::Range;

use tickgate_protocol::{
    date::date_of,
    number::ABSENT,
    tick::{Batch, SessionStart},
};

/// A clock that goes back by more than this is followed.
const STEP_NS: i64 = 1_000_000_000;

/// A day, in seconds.
const DAY_S: i64 = 86_400;

/// The clock of one feed.
#[derive(Debug)]
pub(crate) struct FeedClock {
    /// Before the last batch and after it, [`ABSENT`] before it was told; it steps back with a new
    /// epoch, and by more than [`STEP_NS`].
    ns: Range<i64>,
    /// [`crate::HubConfig::session_start_s`].
    session_start_s: Option<u32>,
    /// The trading session that the calendar says it is, counted in days; `None` before the clock.
    session_day: Option<i64>,
}

impl FeedClock {
    pub(crate) fn new(session_start_s: Option<u32>) -> Self {
        Self { ns: ABSENT..ABSENT, session_start_s, session_day: None }
    }

    /// Takes the batch's clock over.
    pub(crate) fn follow(&mut self, batch: &Batch) {
        let (known, told) = (self.ns.end, batch.clock_ns);
        let went_back = told != ABSENT && told < known.saturating_sub(STEP_NS);
        if batch.new_epoch || went_back {
            // A recording that is played again as it was recorded begins at its beginning, and a
            // host's clock that was ahead is set right: what is behind it is no measure any more.
            let start = if batch.new_epoch { ABSENT } else { told };
            self.ns = start..told;
            self.session_day = None;
        } else {
            self.ns = known..known.max(told);
        }
    }

    /// Before the last batch and after it, nanoseconds since the Unix epoch.
    pub(crate) fn ns(&self) -> Range<i64> {
        self.ns.clone()
    }

    /// True when an interval of that length has ended with the last batch.
    pub(crate) fn has_passed(&self, length_s: u32) -> bool {
        let interval = |clock_ns| seconds(clock_ns).div_euclid(length_s.into());
        interval(self.ns.start) < interval(self.ns.end)
    }

    /// The trading session that the calendar begins between the clock before the last batch and the
    /// one after it: its beginning, nanoseconds, and its date, which is that of the day on which it
    /// ends. Each is told once.
    pub(crate) fn next_session(&mut self) -> Option<(i64, SessionStart)> {
        let start_s = i64::from(self.session_start_s?);
        if self.ns.end == ABSENT {
            return None;
        }
        let day = (seconds(self.ns.end) - start_s).div_euclid(DAY_S);
        let known = self.session_day.replace(day)?;
        if day <= known {
            return None;
        }
        let begins_s = day * DAY_S + start_s;
        let session_date = date_of(begins_s + DAY_S - 1);
        let start = SessionStart { session_date, previous_close: ABSENT };
        Some((begins_s.saturating_mul(1_000_000_000), start))
    }
}

/// Whole seconds of a clock; of none, before all others.
fn seconds(clock_ns: i64) -> i64 {
    clock_ns.div_euclid(1_000_000_000)
}
