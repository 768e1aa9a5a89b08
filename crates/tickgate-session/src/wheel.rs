//! Timers on one coarse grid.
//!
//! A timer is scheduled and cancelled in constant time; nothing stale stays behind, so the wheel
//! never holds more than its sessions own. Timers further ahead than one turn stay in their slot
//! until their turn comes round.

use slab::Slab;

/// Slots of one turn: with 5 ms ticks about five seconds.
const SLOTS: usize = 1_024;
const NONE: u32 = u32::MAX;

/// A scheduled timer; cancel it at most once, and not after it fired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TimerKey(u32);

#[derive(Debug)]
struct Node<E> {
    tick: u64,
    event: E,
    previous: u32,
    next: u32,
}

/// Events by tick.
#[derive(Debug)]
pub(crate) struct Wheel<E> {
    heads: Vec<u32>,
    nodes: Slab<Node<E>>,
    /// Every timer of this tick and before has fired.
    reached: u64,
}

impl<E: Copy> Wheel<E> {
    pub(crate) fn new(now_tick: u64) -> Self {
        Self { heads: vec![NONE; SLOTS], nodes: Slab::new(), reached: now_tick }
    }

    /// Fires `event` once `tick` is reached, at the next advance if it already was.
    pub(crate) fn schedule(&mut self, tick: u64, event: E) -> TimerKey {
        let tick = tick.max(self.reached + 1);
        let slot = slot_of(tick);
        let next = self.heads[slot];
        let key = self.nodes.insert(Node { tick, event, previous: NONE, next }) as u32;
        if next != NONE {
            self.nodes[next as usize].previous = key;
        }
        self.heads[slot] = key;
        TimerKey(key)
    }

    /// Takes a timer back.
    pub(crate) fn cancel(&mut self, key: TimerKey) {
        self.unlink(key.0);
    }

    /// Appends `(event, tick it was scheduled for)` of every timer up to `tick`, oldest slot first.
    pub(crate) fn advance(&mut self, tick: u64, fired: &mut Vec<(E, u64)>) {
        // After a jump of a whole turn or more one look at each slot is enough.
        let turns = (tick.saturating_sub(self.reached)).min(SLOTS as u64);
        let first = tick + 1 - turns;
        for at in first..=tick {
            let mut key = self.heads[slot_of(at)];
            while key != NONE {
                let node = &self.nodes[key as usize];
                let next = node.next;
                if node.tick <= tick {
                    fired.push((node.event, node.tick));
                    self.unlink(key);
                }
                key = next;
            }
        }
        self.reached = self.reached.max(tick);
    }

    fn unlink(&mut self, key: u32) {
        let node = self.nodes.remove(key as usize);
        match node.previous {
            NONE => self.heads[slot_of(node.tick)] = node.next,
            previous => self.nodes[previous as usize].next = node.next,
        }
        if node.next != NONE {
            self.nodes[node.next as usize].previous = node.previous;
        }
    }
}

fn slot_of(tick: u64) -> usize {
    (tick % SLOTS as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng, rngs::StdRng};

    #[test]
    fn every_timer_fires_exactly_once_at_its_tick_and_cancelled_ones_never() {
        for seed in 0..200u64 {
            let mut rng = StdRng::seed_from_u64(seed);
            let mut wheel = Wheel::new(0);
            let mut expected: Vec<(u32, u64, TimerKey)> = Vec::new();
            let mut now = 0u64;
            let mut fired = Vec::new();
            for number in 0..300u32 {
                let tick = now + 1 + rng.random_range(0..3_000);
                expected.push((number, tick, wheel.schedule(tick, number)));
                if rng.random_bool(0.2) {
                    let at = rng.random_range(0..expected.len());
                    let (_, _, key) = expected.swap_remove(at);
                    wheel.cancel(key);
                }
                if rng.random_bool(0.3) {
                    now += if rng.random_bool(0.1) { 5_000 } else { rng.random_range(1..50) };
                    fired.clear();
                    wheel.advance(now, &mut fired);
                    let mut due: Vec<_> = expected
                        .extract_if(.., |timer| timer.1 <= now)
                        .map(|timer| (timer.0, timer.1))
                        .collect();
                    due.sort_unstable();
                    fired.sort_unstable();
                    assert_eq!(fired, due, "seed {seed}");
                }
            }
            assert_eq!(wheel.nodes.len(), expected.len(), "seed {seed}");
        }
    }

    #[test]
    fn a_timer_in_the_past_fires_at_the_next_tick() {
        let mut wheel = Wheel::new(10);
        wheel.schedule(3, 'a');
        let mut fired = Vec::new();
        wheel.advance(10, &mut fired);
        assert!(fired.is_empty());
        wheel.advance(11, &mut fired);
        assert_eq!(fired, [('a', 11)]);
    }
}
