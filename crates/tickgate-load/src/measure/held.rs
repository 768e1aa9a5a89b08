//! What a client holds of a state channel, and what its next entry tells about the time between.
//!
//! A gateway that conflates sends the newest value. If only values that were sent were timed, a
//! gateway that stood still for half a second and then sent what is newest would look perfect:
//! the updates that waited were merged away. That is coordinated omission. An entry says how many
//! updates it stands for, so each of them is counted, late by the time until *something at least as
//! new* arrived. When the merged ones happened nobody tells; they are taken to lie evenly between
//! the connection's frame before (or the tick held, if that is later) and the tick that came: had
//! they been there before, that frame would have carried them. A stall of 500 ms shows as the
//! latencies from 0 to 500 ms that its updates had.
//!
//! Two limits. After a silence of the whole connection, which heartbeats end within a second, two
//! updates that were merged though neither was late are taken to be that much older than they were:
//! a client of few, quiet symbols looks worse than it is, never better. And a symbol that alone is
//! starved, on a connection that gets frames, shows by its newest tick only.

use tickgate_protocol::number::ABSENT;

use super::{Tally, Timing};

/// Most points in time that the merged updates of one entry are spread over; with more of them
/// each point stands for several.
const POINTS: u64 = 32;

/// More updates than this no entry stands for: a target that says so is not counted on.
const ADVANCE_LIMIT: u64 = 1 << 40;

/// How often what is held is sampled, microseconds.
const SAMPLE_US: i64 = 1_000_000;

/// Most samples of one gap. What lies further back than a minute is counted as a minute's.
const SAMPLE_LIMIT: i64 = 60;

/// The newest tick a client holds of a symbol's state channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// When it happened, Unix microseconds; [`ABSENT`] where the venue does not say.
    pub tick_us: i64,
    /// When it was received, Unix microseconds.
    pub received_us: i64,
}

/// How a client asked to be served, as far as times depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked {
    /// Its throttle interval, microseconds.
    pub throttle_us: i64,
    /// When in the second what it holds is sampled, microseconds; differs between clients.
    pub sampled_at_us: i64,
}

impl Held {
    /// Takes the next entry: `advance` updates, the newest of which happened at `tick_us`, the
    /// others after `since_us`, the stamp of the connection's frame before.
    pub fn replace(
        &mut self,
        next: Self,
        advance: u64,
        since_us: i64,
        asked: Asked,
        tally: &mut Tally,
    ) {
        let advance = advance.clamp(1, ADVANCE_LIMIT);
        tally.counts.updates += 1;
        tally.counts.merged += advance - 1;
        let before = std::mem::replace(self, next);
        // A tick older than the one before was reported late by the venue: its age says nothing
        // about the way here. One without a time says nothing either. ABSENT is less than any time.
        if next.tick_us < before.tick_us || next.tick_us == ABSENT {
            self.tick_us = before.tick_us;
            tally.counts.untimed += advance;
            return;
        }
        if before.tick_us == ABSENT {
            tally.counts.untimed += advance;
            return;
        }
        let since_us = since_us.clamp(before.tick_us, next.tick_us);
        let span_us = next.tick_us.saturating_sub(since_us);
        let points = advance.min(POINTS);
        for point in 1..=points {
            // Point `points` is the tick itself. Counts differ by one at most and add up.
            let count = advance * point / points - advance * (point - 1) / points;
            let at_us = since_us + share(span_us, point, points);
            tally.latency(next.received_us.saturating_sub(at_us), asked.throttle_us, count);
        }
        let first_missed_us = since_us + share(span_us, 1, advance);
        for sample_us in samples(before.received_us, next.received_us, asked.sampled_at_us) {
            let staleness_us = sample_us.saturating_sub(first_missed_us).max(0);
            tally.timings.record(Timing::Staleness, staleness_us, 1);
        }
    }
}

/// The sampling times after `from_us` and up to `to_us`.
fn samples(from_us: i64, to_us: i64, sampled_at_us: i64) -> impl Iterator<Item = i64> {
    let from_us = from_us.max(to_us.saturating_sub(SAMPLE_LIMIT * SAMPLE_US));
    let first = (from_us - sampled_at_us).div_euclid(SAMPLE_US) + 1;
    let last = (to_us - sampled_at_us).div_euclid(SAMPLE_US);
    (first..=last).map(move |number| number * SAMPLE_US + sampled_at_us)
}

/// `span × part / whole`, without overflow for spans of centuries.
fn share(span_us: i64, part: u64, whole: u64) -> i64 {
    let scaled = i128::from(span_us) * i128::from(part) / i128::from(whole);
    i64::try_from(scaled).expect("a part of a span is no longer than the span")
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASKED: Asked = Asked { throttle_us: 100, sampled_at_us: 0 };

    fn tally_of(before: (i64, i64), next: (i64, i64), advance: u64, asked: Asked) -> Tally {
        let mut tally = Tally::default();
        let mut held = Held { tick_us: before.0, received_us: before.1 };
        let next = Held { tick_us: next.0, received_us: next.1 };
        held.replace(next, advance, 0, asked, &mut tally);
        assert_eq!(held.received_us, next.received_us);
        tally
    }

    #[test]
    fn an_update_that_was_not_merged_counts_once() {
        let tally = tally_of((0, 50), (1_000, 1_150), 1, ASKED);
        let spread = tally.timings.spread(Timing::Latency).expect("recorded");
        assert_eq!((spread.count, spread.max_us), (1, 150));
        assert_eq!(tally.timings.spread(Timing::Late).expect("recorded").max_us, 50);
        assert_eq!((tally.counts.updates, tally.counts.merged), (1, 0));
    }

    #[test]
    fn merged_updates_are_as_late_as_what_replaced_them() {
        // Ticks at 100, 200, … 1000, all received at 1000: latencies 900, 800, … 0.
        let tally = tally_of((0, 0), (1_000, 1_000), 10, ASKED);
        let latency = tally.timings.of(Timing::Latency);
        assert_eq!((latency.len(), latency.min()), (10, 0));
        let (median, most) = (latency.value_at_quantile(0.5), latency.max());
        assert!((395..=410).contains(&median) && (895..=910).contains(&most), "{median} {most}");
        assert_eq!((tally.counts.updates, tally.counts.merged), (1, 9));
    }

    #[test]
    fn more_updates_than_points_all_count() {
        for advance in [31, 32, 33, 1_000, 12_345] {
            let tally = tally_of((0, 0), (1_000_000, 1_000_000), advance, ASKED);
            assert_eq!(tally.timings.of(Timing::Latency).len(), advance);
        }
    }

    #[test]
    fn a_stall_shows_also_when_only_the_newest_value_is_sent_after_it() {
        // 1,000 updates a second for ten seconds, each sent at once, but for a stall of 500 ms.
        let mut tally = Tally::default();
        let mut held = Held { tick_us: 0, received_us: 0 };
        let mut stamp_us = 0;
        for millisecond in 1..=10_000_i64 {
            let tick_us = millisecond * 1_000;
            if (5_000..5_500).contains(&millisecond) {
                continue;
            }
            let advance = if millisecond == 5_500 { 501 } else { 1 };
            let since_us = std::mem::replace(&mut stamp_us, tick_us);
            let next = Held { tick_us, received_us: tick_us + 10 };
            held.replace(next, advance, since_us, ASKED, &mut tally);
        }
        let latency = tally.timings.spread(Timing::Latency).expect("recorded");
        assert_eq!(latency.count, 10_000);
        // One update in twenty waited, evenly from 0 to 500 ms: one in a hundred above 400 ms.
        assert!((380_000..=420_000).contains(&latency.p99_us), "{latency:?}");
        assert!((480_000..=505_000).contains(&latency.p999_us), "{latency:?}");
        assert!(latency.p50_us < 20, "{latency:?}");
    }

    #[test]
    fn a_gateway_that_is_slow_for_ever_does_not_become_usual() {
        // Asked for every 100 ms, served once a second; a tick every 10 ms.
        let asked = Asked { throttle_us: 100_000, sampled_at_us: 0 };
        let mut tally = Tally::default();
        let mut held = Held { tick_us: 0, received_us: 0 };
        for second in 1..=60_i64 {
            let tick_us = second * 1_000_000;
            let next = Held { tick_us, received_us: tick_us };
            held.replace(next, 100, tick_us - 1_000_000, asked, &mut tally);
        }
        let late = tally.timings.spread(Timing::Late).expect("recorded");
        assert!((350_000..=450_000).contains(&late.p50_us), "{late:?}");
    }

    #[test]
    fn what_the_frame_before_would_have_carried_was_not_merged() {
        // Held for ten seconds; a frame came 100 ms ago and had nothing of this symbol.
        let mut tally = Tally::default();
        let mut held = Held { tick_us: 1_000, received_us: 2_000 };
        let next = Held { tick_us: 9_999_000, received_us: 10_000_100 };
        held.replace(next, 2, 9_900_000, ASKED, &mut tally);
        assert!(tally.timings.of(Timing::Latency).max() < 52_000);
    }

    #[test]
    fn staleness_is_sampled_once_a_second() {
        // Held since 0.2 s; newer ones at 1.25, 1.5, … 3.25 s; next received at 3.3 s.
        let asked = Asked { throttle_us: 0, sampled_at_us: 500_000 };
        let tally = tally_of((1_000_000, 200_000), (3_250_000, 3_300_000), 9, asked);
        // Sampled at 0.5 (nothing newer), 1.5 (0.25 s), 2.5 (1.25 s).
        let staleness = tally.timings.of(Timing::Staleness);
        assert_eq!((staleness.len(), staleness.min()), (3, 0));
        assert!((1_240_000..=1_260_000).contains(&staleness.max()), "{}", staleness.max());
    }

    #[test]
    fn ticks_without_a_time_or_out_of_order_harm_nothing() {
        assert_eq!(tally_of((ABSENT, 0), (1_000, 1_000), 4, ASKED).counts.untimed, 4);
        assert_eq!(tally_of((0, 0), (ABSENT, 1_000), 4, ASKED).counts.untimed, 4);
        let tally = tally_of((2_000, 2_000), (1_000, 2_500), 3, ASKED);
        assert_eq!((tally.timings.of(Timing::Latency).len(), tally.counts.untimed), (0, 3));
        let ancient = tally_of((0, 0), (i64::MAX / 4, i64::MAX / 4), 2, ASKED);
        assert_eq!(ancient.timings.of(Timing::Staleness).len(), SAMPLE_LIMIT as u64);
    }
}
