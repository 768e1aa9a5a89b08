//! Where a feed's own time lies on the clock it is given.

use crate::{feed::FeedStats, warnings::Warnings};

/// A driver that comes later than this after something was due does not make up for it: the
/// timeline slips instead, and [`FeedStats::slipped_ns`] tells by how much. A clock that steps back
/// by more than this takes the timeline along.
pub(crate) const CATCH_UP_LIMIT_NS: i64 = 1_000_000_000;

/// A feed's time, counted from its beginning, laid onto Unix time; nanoseconds, both.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timeline {
    base_ns: i64,
    polled_at_ns: i64,
}

impl Timeline {
    /// A timeline whose zero is at `base_ns`, as seen at `now_ns`.
    pub(crate) fn new(base_ns: i64, now_ns: i64) -> Self {
        Self { base_ns, polled_at_ns: now_ns }
    }

    /// When, in Unix time, the feed's own time is `own_ns`.
    pub(crate) fn unix_ns(&self, own_ns: i64) -> i64 {
        self.base_ns.saturating_add(own_ns)
    }

    /// Follows a clock that jumped, either way, so that what is due next at `upcoming_ns` (own
    /// time) is neither far in the past nor further in the future than it was; notes how late it
    /// is picked up.
    pub(crate) fn follow(
        &mut self,
        now_ns: i64,
        upcoming_ns: i64,
        stats: &mut FeedStats,
        warnings: &mut Warnings,
    ) {
        let stepped_back = self.polled_at_ns.saturating_sub(now_ns);
        if stepped_back > CATCH_UP_LIMIT_NS {
            self.base_ns = self.base_ns.saturating_sub(stepped_back);
            stats.clock_steps += 1;
            warnings.push(|| {
                format!("the clock stepped back by {stepped_back} ns; the schedule follows")
            });
        }
        self.polled_at_ns = now_ns;
        let mut behind = now_ns.saturating_sub(self.unix_ns(upcoming_ns));
        if behind > CATCH_UP_LIMIT_NS {
            self.base_ns = self.base_ns.saturating_add(behind);
            stats.slipped_ns = stats.slipped_ns.saturating_add(behind.unsigned_abs());
            warnings.push(|| {
                format!("polled {behind} ns after a tick was due; the schedule slips by as much")
            });
            behind = 0;
        }
        if behind >= 0 {
            stats.note_lateness(behind.unsigned_abs());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = CATCH_UP_LIMIT_NS;

    fn follow(timeline: &mut Timeline, now_ns: i64, upcoming_ns: i64) -> FeedStats {
        let mut stats = FeedStats::default();
        timeline.follow(now_ns, upcoming_ns, &mut stats, &mut Warnings::default());
        stats
    }

    #[test]
    fn up_to_a_second_late_is_caught_up_and_past_it_slips() {
        let mut timeline = Timeline::new(1_000 * SECOND, 1_000 * SECOND);
        let stats = follow(&mut timeline, 1_001 * SECOND, 0);
        assert_eq!((stats.slipped_ns, stats.lateness_ns), (0, SECOND.unsigned_abs()));
        assert_eq!(timeline.unix_ns(0), 1_000 * SECOND);
        let stats = follow(&mut timeline, 1_005 * SECOND, 0);
        assert_eq!((stats.slipped_ns, stats.lateness_ns), (5 * SECOND.unsigned_abs(), 0));
        assert_eq!(timeline.unix_ns(0), 1_005 * SECOND);
    }

    #[test]
    fn clocks_at_the_ends_of_time_do_no_harm() {
        let mut timeline = Timeline::new(0, 0);
        for now_ns in [i64::MAX, i64::MIN, 0, i64::MAX, -1] {
            follow(&mut timeline, now_ns, 5);
            timeline.unix_ns(i64::MAX);
        }
        assert_eq!(follow(&mut timeline, 10, 5).clock_steps, 0);
    }
}
