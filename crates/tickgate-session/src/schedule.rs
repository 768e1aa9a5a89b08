//! When a worker's sessions are due: the wheel, and the index of who waits for which symbol.

use std::collections::{HashMap, hash_map::Entry};

use rand::{RngExt, rngs::StdRng};

use crate::{config::EngineConfig, wheel::Wheel};

/// What a timer of the wheel is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Due {
    /// Position of the session in the engine.
    pub(crate) session: u32,
    pub(crate) group: GroupId,
    /// Only the tapes, between two flushes of a long interval.
    pub(crate) tape_only: bool,
}

/// Names a group for the life of its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct GroupId(pub(crate) u32);

impl GroupId {
    /// The one that holds what the wildcard covers.
    pub(crate) const WILDCARD: Self = Self(0);
}

/// Everything that says when somebody is due.
#[derive(Debug)]
pub(crate) struct Schedule {
    pub(crate) wheel: Wheel<Due>,
    pub(crate) interest: Interest,
    pub(crate) rng: StdRng,
    /// The flush tick in force.
    pub(crate) tick: u64,
    tick_us: u64,
    tape_interval_ms: u16,
}

impl Schedule {
    pub(crate) fn new(config: &EngineConfig, rng: StdRng, now_us: u64) -> Self {
        let tick_us = config.flush_tick.as_micros() as u64;
        let tick = now_us / tick_us;
        Self {
            wheel: Wheel::new(tick),
            interest: Interest::default(),
            rng,
            tick,
            tick_us,
            tape_interval_ms: config.tape_interval.as_millis() as u16,
        }
    }

    /// The tick of a time.
    pub(crate) fn tick_of(&self, now_us: u64) -> u64 {
        now_us / self.tick_us
    }

    /// When a tick begins.
    pub(crate) fn time_of(&self, tick: u64) -> u64 {
        tick * self.tick_us
    }

    /// Ticks of an interval, rounded up; at least one.
    pub(crate) fn ticks(&self, interval_ms: u16) -> u64 {
        (u64::from(interval_ms) * 1_000).div_ceil(self.tick_us).max(1)
    }

    /// Ticks between two looks at the tapes of a group whose interval is longer than that.
    pub(crate) fn tape_ticks(&self, interval_ms: u16) -> Option<u64> {
        (interval_ms > self.tape_interval_ms).then(|| self.ticks(self.tape_interval_ms))
    }

    /// A tick within the next `ticks`: phases are spread, since aligned flushes wait for each
    /// other.
    pub(crate) fn phase(&mut self, ticks: u64) -> u64 {
        self.tick + self.rng.random_range(1..=ticks)
    }
}

/// Which sessions want a symbol as it happens.
#[derive(Debug, Default)]
pub(crate) struct Interest {
    /// By symbol, the sessions with a real-time subscription to it.
    realtime: Vec<Vec<u32>>,
    /// Where a session stands in the list of a symbol, so that leaving a list costs the same
    /// however many are in it.
    places: HashMap<(u32, u32), u32>,
    /// Sessions with a wildcard.
    pub(crate) wildcards: Vec<u32>,
    /// Of these, those that want everything as it happens.
    pub(crate) realtime_wildcards: usize,
}

impl Interest {
    pub(crate) fn add(&mut self, symbol: u32, session: u32) {
        let at = symbol as usize;
        if self.realtime.len() <= at {
            self.realtime.resize_with(at + 1, Vec::new);
        }
        let place = self.realtime[at].len() as u32;
        if let Entry::Vacant(entry) = self.places.entry((symbol, session)) {
            entry.insert(place);
            self.realtime[at].push(session);
        }
    }

    pub(crate) fn remove(&mut self, symbol: u32, session: u32) {
        let Some(place) = self.places.remove(&(symbol, session)) else { return };
        let sessions = &mut self.realtime[symbol as usize];
        sessions.swap_remove(place as usize);
        if let Some(moved) = sessions.get(place as usize) {
            self.places.insert((symbol, *moved), place);
        }
        if sessions.is_empty() {
            *sessions = Vec::new();
        }
    }

    pub(crate) fn of(&self, symbol: u32) -> &[u32] {
        self.realtime.get(symbol as usize).map_or(&[], Vec::as_slice)
    }

    /// True when the hub's doorbell should wake the worker.
    pub(crate) fn is_realtime(&self) -> bool {
        !self.places.is_empty() || self.realtime_wildcards > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_leaves_a_list_leaves_the_others_in_it() {
        let mut interest = Interest::default();
        for session in 0..5 {
            interest.add(7, session);
            interest.add(8, session);
        }
        for (leaving, left) in [(4, vec![0, 1, 2, 3]), (0, vec![1, 2, 3]), (2, vec![1, 3])] {
            interest.remove(7, leaving);
            let mut found = interest.of(7).to_vec();
            found.sort_unstable();
            assert_eq!(found, left);
        }
        interest.remove(7, 4);
        interest.remove(9, 1);
        assert_eq!(interest.of(7).len(), 2, "who is not in it cannot leave it");
        assert_eq!(interest.of(8), [0, 1, 2, 3, 4]);
        for session in 0..5 {
            interest.remove(7, session);
            assert!(interest.is_realtime());
            interest.remove(8, session);
        }
        assert!(!interest.is_realtime());
        assert!(interest.places.is_empty());
    }

    #[test]
    fn asking_twice_is_being_told_once() {
        let mut interest = Interest::default();
        interest.add(3, 1);
        interest.add(3, 1);
        assert_eq!(interest.of(3), [1]);
        interest.remove(3, 1);
        assert!(interest.of(3).is_empty() && !interest.is_realtime());
    }
}
