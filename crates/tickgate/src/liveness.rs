//! Whether the feed is alive, told to the hub as it changes.
//!
//! The feed's thread beats; a watchdog looks whether it does. A feed that has not come back from a
//! poll for [`SILENCE_LIMIT_US`] is stale until it beats again: then nothing was lost, it was late.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use tickgate_protocol::tick::{Reason, Status};

/// Longest silence of a live feed, microseconds. With [`LOOK_EVERY_US`] on top, clients learn of
/// it within the second that they were promised.
pub(crate) const SILENCE_LIMIT_US: u64 = 750_000;

/// How often the watchdog looks, microseconds.
pub(crate) const LOOK_EVERY_US: u64 = 200_000;

/// Who is told of a change: status, reason, Unix time in nanoseconds.
pub(crate) trait Herald: FnMut(Status, Reason, i64) + Send {}

impl<F: FnMut(Status, Reason, i64) + Send> Herald for F {}

/// The time, as liveness is told it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    /// Microseconds on a clock that never steps back.
    pub(crate) monotonic_us: u64,
    /// Unix time, nanoseconds, UTC.
    pub(crate) unix_ns: i64,
}

/// Shared by the feed's thread, which beats, and the watchdog, which looks.
pub(crate) struct Liveness<H> {
    last_beat_us: AtomicU64,
    told: Mutex<Told<H>>,
}

/// What was told last, and to whom.
struct Told<H> {
    herald: H,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing came yet.
    Waiting,
    Live,
    Silent,
    /// For good.
    Over,
}

impl<H: Herald> Liveness<H> {
    pub(crate) fn new(herald: H) -> Self {
        let told = Mutex::new(Told { herald, state: State::Waiting });
        Self { last_beat_us: AtomicU64::new(0), told }
    }

    /// The feed came back from a poll.
    pub(crate) fn beat(&self, now: Moment) {
        let before = self.last_beat_us.swap(now.monotonic_us.max(1), Relaxed);
        // The lock is taken at the first beat and after a silence only, or when the watchdog may
        // just be declaring one.
        if before == 0 || now.monotonic_us.saturating_sub(before) > SILENCE_LIMIT_US / 2 {
            self.change(State::Live, Status::Live, Reason::None, now);
        }
    }

    /// The watchdog looks. True while there is something to watch.
    pub(crate) fn look(&self, now: Moment) -> bool {
        let mut told = self.lock();
        let silent_us = now.monotonic_us.saturating_sub(self.last_beat_us.load(Relaxed));
        if told.state == State::Live && silent_us > SILENCE_LIMIT_US {
            told.state = State::Silent;
            (told.herald)(Status::Stale, Reason::Silent, now.unix_ns);
        }
        told.state != State::Over
    }

    /// The feed came to its end.
    pub(crate) fn ended(&self, now: Moment) {
        self.change(State::Over, Status::Stale, Reason::Ended, now);
    }

    /// The feed's thread died; nothing happens when it had ended before.
    pub(crate) fn died(&self, now: Moment) {
        self.change(State::Over, Status::Stale, Reason::Disconnected, now);
    }

    fn change(&self, state: State, status: Status, reason: Reason, now: Moment) {
        let mut told = self.lock();
        if told.state != state && told.state != State::Over {
            told.state = state;
            (told.herald)(status, reason, now.unix_ns);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Told<H>> {
        // A herald that panicked leaves a state that is still true.
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    type Record = Arc<Mutex<Vec<(Status, Reason)>>>;

    fn liveness() -> (Liveness<impl Herald>, Record) {
        let record = Record::default();
        let writer = Arc::clone(&record);
        let herald = move |status, reason, _| {
            writer.lock().expect("record").push((status, reason));
        };
        (Liveness::new(herald), record)
    }

    fn at(monotonic_us: u64) -> Moment {
        Moment { monotonic_us, unix_ns: 0 }
    }

    fn told(record: &Record) -> Vec<(Status, Reason)> {
        std::mem::take(&mut record.lock().expect("record"))
    }

    const LIVE: (Status, Reason) = (Status::Live, Reason::None);
    const SILENT: (Status, Reason) = (Status::Stale, Reason::Silent);

    #[test]
    fn a_beating_feed_is_live_once() {
        let (liveness, record) = liveness();
        for ms in 0..2_000 {
            liveness.beat(at(ms * 1_000));
            assert!(liveness.look(at(ms * 1_000)));
        }
        assert_eq!(told(&record), [LIVE]);
    }

    #[test]
    fn a_hanging_poll_is_silence_within_the_second_and_a_beat_ends_it() {
        let (liveness, record) = liveness();
        liveness.beat(at(1_000));
        let mut now = 1_000;
        while told(&record) != [SILENT] {
            now += LOOK_EVERY_US;
            liveness.look(at(now));
            assert!(now < 1_002_000, "not told within a second");
        }
        liveness.look(at(now + 5_000_000));
        assert_eq!(told(&record), [], "told once");
        liveness.beat(at(now + 6_000_000));
        assert_eq!(told(&record), [LIVE]);
    }

    #[test]
    fn an_end_is_for_good() {
        let (liveness, record) = liveness();
        liveness.beat(at(1));
        liveness.ended(at(2));
        liveness.died(at(3));
        liveness.beat(at(9_000_000));
        assert!(!liveness.look(at(10_000_000)), "nothing left to watch");
        assert_eq!(told(&record), [LIVE, (Status::Stale, Reason::Ended)]);
    }

    #[test]
    fn a_feed_that_dies_is_disconnected_even_before_its_first_beat() {
        let (liveness, record) = liveness();
        liveness.died(at(1));
        assert_eq!(told(&record), [(Status::Stale, Reason::Disconnected)]);
    }
}
