//! What a client holds of a state channel, and what its next entry tells about the time between.
//!
//! A gateway that conflates sends the newest value. If only values that were sent were timed, a
//! gateway that stood still for half a second and then sent what is newest would look perfect:
//! the updates that waited were merged away. That is coordinated omission. An entry says how many
//! updates it stands for, so each of them is counted, late by the time until *something at least as
//! new* arrived. When the merged ones happened nobody tells; they are taken to lie evenly between a
//! moment that [`Rhythm`] names and the tick that came. A stall of 500 ms shows as the latencies
//! from 0 to 500 ms that its updates had.

use tickgate_protocol::number::ABSENT;

use super::{Tally, Timing};

/// Most points in time that the merged updates of one entry are spread over; with more of them
/// each point stands for several.
const POINTS: u64 = 32;

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
    /// others after `since_us`, the moment that [`Rhythm::frame`] named.
    pub fn replace(
        &mut self,
        next: Self,
        advance: u64,
        since_us: i64,
        asked: Asked,
        tally: &mut Tally,
    ) {
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
        let span_us = next.tick_us - since_us;
        let points = advance.min(POINTS);
        for point in 1..=points {
            // Point `points` is the tick itself. Counts differ by one at most and add up.
            let count = advance * point / points - advance * (point - 1) / points;
            let at_us = since_us + share(span_us, point, points);
            tally.latency(next.received_us - at_us, asked.throttle_us, count);
        }
        let first_missed_us = since_us + share(span_us, 1, advance);
        for sample_us in samples(before.received_us, next.received_us, asked.sampled_at_us) {
            let staleness_us = (sample_us - first_missed_us).max(0);
            tally.timings.record(Timing::Staleness, staleness_us, 1);
        }
    }
}

/// How frames follow each other on a connection, to tell a quiet market from a gateway that stands
/// still.
///
/// After a quiet minute two updates within a millisecond are merged, and neither was late; after a
/// stall of a minute updates of the whole minute are. Both look alike in the entry. What tells them
/// apart is whether such a silence is usual on the connection: longer than the mean time between
/// its frames by six times their mean deviation, kept as TCP keeps round trips (RFC 6298, section
/// 2), is not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rhythm {
    /// Stamp of the frame before, Unix microseconds.
    stamp_us: Option<i64>,
    mean_us: i64,
    deviation_us: i64,
    /// Silences that were seen, up to [`SILENCES_LEARNT`].
    seen: u32,
}

/// Silences from which on it is known what is usual.
const SILENCES_LEARNT: u32 = 8;

/// Deviations from the mean up to which a silence is usual.
const DEVIATIONS: i64 = 6;

/// Shortest interval on which a gateway looks for changes, microseconds: two of its flush ticks.
const SHORTEST_US: i64 = 10_000;

impl Rhythm {
    /// Takes the stamp of a frame, heartbeats included, and says since when the updates that were
    /// merged in it are taken to have happened: since the frame before, when the silence was no
    /// longer than the gateway may take anyway or longer than usual; otherwise within the last
    /// throttle interval.
    pub fn frame(&mut self, stamp_us: i64, throttle_us: i64) -> i64 {
        let Some(before_us) = self.stamp_us.replace(stamp_us) else { return stamp_us };
        let silence_us = (stamp_us - before_us).max(0);
        let error_us = silence_us - self.mean_us;
        let is_usual = self.seen >= SILENCES_LEARNT
            && error_us <= DEVIATIONS.saturating_mul(self.deviation_us);
        // Gains of 1/8 and 1/4, as there.
        if self.seen == 0 {
            (self.mean_us, self.deviation_us) = (silence_us, silence_us / 2);
        } else {
            self.deviation_us += (error_us.abs() - self.deviation_us) / 4;
            self.mean_us += error_us / 8;
        }
        self.seen = (self.seen + 1).min(SILENCES_LEARNT);
        let allowed_us = throttle_us.max(SHORTEST_US);
        if is_usual && silence_us > 2 * allowed_us { stamp_us - allowed_us } else { before_us }
    }
}

/// The sampling times after `from_us` and up to `to_us`.
fn samples(from_us: i64, to_us: i64, sampled_at_us: i64) -> impl Iterator<Item = i64> {
    let from_us = from_us.max(to_us - SAMPLE_LIMIT * SAMPLE_US);
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
        let mut rhythm = Rhythm::default();
        for millisecond in 1..=10_000_i64 {
            let tick_us = millisecond * 1_000;
            if (5_000..5_500).contains(&millisecond) {
                continue;
            }
            let advance = if millisecond == 5_500 { 501 } else { 1 };
            let since_us = rhythm.frame(tick_us, 0);
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
    fn two_updates_after_a_usual_silence_were_not_late() {
        // A quiet symbol: heartbeats once a second; then two ticks within a millisecond.
        let mut rhythm = Rhythm::default();
        for second in 0..20 {
            rhythm.frame(second * 1_000_000, 100_000);
        }
        let since_us = rhythm.frame(20_000_000, 100_000);
        assert_eq!(since_us, 19_900_000);
        let mut tally = Tally::default();
        let mut held = Held { tick_us: 1_000, received_us: 2_000 };
        let next = Held { tick_us: 19_999_000, received_us: 20_000_100 };
        held.replace(next, 2, since_us, ASKED, &mut tally);
        assert!(tally.timings.of(Timing::Latency).max() < 52_000);
        // A silence that is longer than any before is suspect.
        assert_eq!(rhythm.frame(25_000_000, 100_000), 20_000_000);
    }

    #[test]
    fn what_is_usual_is_learnt_before_it_excuses() {
        let mut rhythm = Rhythm::default();
        assert_eq!(rhythm.frame(1_000_000, 0), 1_000_000);
        assert_eq!(rhythm.frame(2_000_000, 0), 1_000_000);
        // The interval itself is never suspect.
        assert_eq!(rhythm.frame(2_150_000, 100_000), 2_000_000);
        // Clocks may step back.
        assert_eq!(rhythm.frame(0, 0), 2_150_000);
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
