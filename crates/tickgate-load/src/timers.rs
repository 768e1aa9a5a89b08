//! What clients do at a time of their own.

use std::{cmp::Reverse, collections::BinaryHeap};

/// What a client does then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// Connects.
    Connect,
    /// Gives a connection up that is not open by then, or not closed after it said goodbye.
    GiveUp,
    /// Reads a little, being slow.
    Read,
    /// Reads on after a stall.
    Resume,
    /// Acknowledges, or attacks.
    Act,
    /// Publishes.
    Publish,
    /// Leaves, to come back with other symbols.
    Leave,
}

/// A timer that has fired.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Due {
    /// When it was to fire, microseconds of the swarm's clock.
    pub(crate) at_us: i64,
    /// Position of the client.
    pub(crate) client: usize,
    /// What for.
    pub(crate) timer: Timer,
    /// The connection it was set in: one of an earlier connection does nothing.
    pub(crate) connection: u64,
}

/// Timers in order of time. Those of a connection that is over do nothing when they fire.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    heap: BinaryHeap<Reverse<Due>>,
}

impl Timers {
    pub(crate) fn set(&mut self, due: Due) {
        self.heap.push(Reverse(due));
    }

    /// When the next one fires.
    pub(crate) fn next_us(&self) -> Option<i64> {
        self.heap.peek().map(|Reverse(due)| due.at_us)
    }

    /// The next one, if it is due.
    pub(crate) fn pop(&mut self, now_us: i64) -> Option<Due> {
        (self.next_us()? <= now_us).then(|| self.heap.pop().map(|Reverse(due)| due))?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timers_fire_in_order_and_not_early() {
        let mut timers = Timers::default();
        for at_us in [30, 10, 20] {
            timers.set(Due { at_us, client: 0, timer: Timer::Act, connection: 1 });
        }
        assert_eq!(timers.next_us(), Some(10));
        let fired: Vec<i64> = std::iter::from_fn(|| timers.pop(20)).map(|due| due.at_us).collect();
        assert_eq!(fired, [10, 20]);
        assert_eq!(timers.next_us(), Some(30));
    }
}
