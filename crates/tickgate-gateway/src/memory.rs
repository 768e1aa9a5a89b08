//! What happens when memory is short: nobody new, then the slowest go. Never the whole process.
//!
//! | memory in use | what happens | what shows it |
//! |---|---|---|
//! | above 85 % of the limit | handshakes are answered with 503 | `handshakes_refused_total{reason="memory"}` |
//! | above 92 % | every two seconds a share of the sessions closes, the slowest first | `sessions_closed_total{reason="overloaded"}` |
//!
//! The share grows with what is missing: next to none at the mark, half of all sessions at the
//! limit itself. A round that freed nothing is not followed by another before memory has grown: an
//! allocator may keep what it was given back, and will use that first.

mod source;

use std::{sync::atomic::Ordering::Relaxed, time::Duration};

use tokio::{
    sync::mpsc,
    time::{MissedTickBehavior, interval},
};

use crate::{
    admin::tell_workers, counters::Counters, handover::Dispatcher, live::Live, worker::Control,
};
use source::Source;

/// Between two looks. A look reads one or two small files of the kernel.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Looks between two rounds of closing: two seconds, in which those who were told to leave have
/// left, so that no round is for memory that was about to be free.
const LOOKS_A_ROUND: u32 = 4;

/// Above this share of the limit, in a thousand, nobody new is taken.
const REFUSE_PER_MILLE: u64 = 850;

/// Above this share of the limit, in a thousand, sessions are closed.
const SHED_PER_MILLE: u64 = 920;

/// Growth since the last round that asks for another although that freed nothing, as a share of
/// the limit, in a thousand. From the mark to the limit there are so twenty rounds at least.
const GROWTH_PER_MILLE: u64 = 4;

/// Memory in use, and what it may come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reading {
    pub(crate) used_bytes: u64,
    pub(crate) limit_bytes: u64,
}

/// What follows from a reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Verdict {
    /// Nobody new.
    refuse: bool,
    /// Close this share of the sessions, in a thousand; 0 closes none.
    shed_per_mille: usize,
}

/// Looks after memory until dropped.
pub(crate) async fn guard(
    live: &Live,
    dispatcher: &Dispatcher,
    counters: &Counters,
    controls: &[mpsc::Sender<Control>],
) {
    let source = Source::of_this_process();
    let mut policy = Policy::default();
    let mut refused = false;
    let mut looks = interval(LOOK_EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        let reading = source.read(live.now().memory_limit_bytes);
        counters.memory_used_bytes.store(reading.map_or(0, |r| r.used_bytes), Relaxed);
        counters.memory_limit_bytes.store(reading.map_or(0, |r| r.limit_bytes), Relaxed);
        let verdict = policy.judge(reading);
        if verdict.refuse != refused {
            refused = verdict.refuse;
            dispatcher.set_short_of_memory(refused);
            let used_bytes = reading.map(|reading| reading.used_bytes);
            let limit_bytes = reading.map(|reading| reading.limit_bytes);
            if refused {
                tracing::warn!(used_bytes, limit_bytes, "memory is short: nobody new is taken");
            } else {
                tracing::info!(used_bytes, limit_bytes, "memory suffices again");
            }
        }
        if verdict.shed_per_mille > 0 {
            let per_mille = verdict.shed_per_mille;
            tracing::warn!(per_mille, "memory is short: the slowest sessions are closed");
            tell_workers(controls, || Control::Shed(per_mille)).await;
        }
    }
}

/// Judges readings that come every [`LOOK_EVERY`].
#[derive(Debug, Default)]
struct Policy {
    /// The last round of closing: looks since, and what was in use then.
    round: Option<(u32, u64)>,
}

impl Policy {
    /// Without a reading there is no limit.
    fn judge(&mut self, reading: Option<Reading>) -> Verdict {
        let Some(Reading { used_bytes, limit_bytes }) = reading else {
            self.round = None;
            return Verdict { refuse: false, shed_per_mille: 0 };
        };
        // In 128 bits, since a limit may be anything.
        let mark =
            |per_mille: u64| (u128::from(limit_bytes) * u128::from(per_mille) / 1_000) as u64;
        let refuse = used_bytes > mark(REFUSE_PER_MILLE);
        let shed_at = mark(SHED_PER_MILLE);
        if used_bytes <= shed_at {
            self.round = None;
            return Verdict { refuse, shed_per_mille: 0 };
        }
        if let Some((looks, before)) = &mut self.round {
            *looks = looks.saturating_add(1);
            let is_falling = used_bytes.saturating_add(mark(GROWTH_PER_MILLE)) < *before;
            let is_rising = used_bytes > before.saturating_add(mark(GROWTH_PER_MILLE));
            if *looks < LOOKS_A_ROUND || !(is_falling || is_rising) {
                return Verdict { refuse, shed_per_mille: 0 };
            }
        }
        self.round = Some((0, used_bytes));
        let missing = u128::from(used_bytes - shed_at);
        let room = u128::from((limit_bytes - shed_at).max(1));
        let half = (missing * 500).div_ceil(room).min(500) as usize;
        Verdict { refuse, shed_per_mille: half }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: u64 = 1_000_000;
    const NOTHING: Verdict = Verdict { refuse: false, shed_per_mille: 0 };

    fn judge(policy: &mut Policy, used_bytes: u64) -> Verdict {
        policy.judge(Some(Reading { used_bytes, limit_bytes: LIMIT }))
    }

    #[test]
    fn without_a_limit_nothing_ever_happens() {
        assert_eq!(Policy::default().judge(None), NOTHING);
    }

    #[test]
    fn each_mark_holds_to_the_byte() {
        let mut policy = Policy::default();
        assert_eq!(judge(&mut policy, 850_000), NOTHING);
        assert_eq!(judge(&mut policy, 850_001), Verdict { refuse: true, ..NOTHING });
        assert_eq!(judge(&mut policy, 920_000), Verdict { refuse: true, ..NOTHING });
        assert_eq!(judge(&mut policy, 920_001), Verdict { refuse: true, shed_per_mille: 1 });
        assert_eq!(judge(&mut policy, 800_000), NOTHING, "and back");
    }

    #[test]
    fn the_share_grows_with_what_is_missing_and_half_is_the_most() {
        for (used, share) in [(960_000, 250), (1_000_000, 500), (5_000_000, 500)] {
            assert_eq!(judge(&mut Policy::default(), used).shed_per_mille, share, "{used}");
        }
    }

    #[test]
    fn rounds_leave_time_to_leave_and_end_when_memory_is_below() {
        let mut policy = Policy::default();
        let shares: Vec<usize> =
            [960_000, 960_000, 950_000, 940_000, 930_000, 930_000, 925_000, 922_000, 921_000]
                .map(|used| judge(&mut policy, used).shed_per_mille)
                .to_vec();
        assert_eq!(shares, [250, 0, 0, 0, 63, 0, 0, 0, 7]);
        assert_eq!(judge(&mut policy, 910_000), Verdict { refuse: true, ..NOTHING });
        assert_eq!(judge(&mut policy, 840_000), NOTHING);
    }

    #[test]
    fn a_round_that_freed_nothing_waits_for_growth() {
        let mut policy = Policy::default();
        assert_eq!(judge(&mut policy, 930_000).shed_per_mille, 63);
        for _ in 0..100 {
            assert_eq!(judge(&mut policy, 932_000).shed_per_mille, 0, "it is kept, not in use");
        }
        assert_eq!(judge(&mut policy, 934_001).shed_per_mille, 88, "it grows");
    }

    #[test]
    fn limits_of_any_size_are_judged() {
        for limit_bytes in [0, 1, u64::MAX] {
            for used_bytes in [0, 1, u64::MAX] {
                Policy::default().judge(Some(Reading { used_bytes, limit_bytes }));
            }
        }
    }
}
