//! What was measured goes to the controller, once a second.

use std::{sync::mpsc::TrySendError, time::Duration};

use anyhow::Result;
use hdrhistogram::Histogram;

use super::{GroupInterval, Interval, Note, SECOND_US, Swarm, microseconds};
use crate::{clock::Clock, process::Scheduled, report::ViolationReport};

/// Between two offers of an interval that the controller has no room for.
const HAND_OVER_AGAIN: Duration = Duration::from_millis(50);

/// Silence after which a client counts as unheard: a heartbeat of a gateway at its defaults, which
/// it looks for four times a second, and as much again.
const UNHEARD: Duration = Duration::from_millis(1_500);

/// What of an interval is the thread's own.
#[derive(Debug)]
pub(super) struct OwnInterval {
    /// Seconds since the run began that are over and told.
    pub(super) told: u64,
    began_us: i64,
    /// Not before this is it offered again, microseconds since the run began.
    pub(super) again_us: i64,
    pub(super) scheduled: Option<Scheduled>,
    pub(super) delay_us: Histogram<u64>,
    pub(super) violations: Vec<ViolationReport>,
}

impl OwnInterval {
    /// The first, which begins now.
    pub(super) fn new(clock: Clock) -> Self {
        Self {
            told: 0,
            began_us: clock.elapsed_us(),
            again_us: 0,
            scheduled: None,
            delay_us: empty_delay(),
            violations: Vec::new(),
        }
    }
}

impl Swarm {
    /// Hands over what was measured, once a second; at the next turn when the controller has no
    /// room.
    pub(super) fn hand_over(&mut self) -> Result<()> {
        let now_us = self.clock.elapsed_us();
        let over = u64::try_from(now_us / SECOND_US).unwrap_or(0);
        if over <= self.own.told || now_us < self.own.again_us {
            return Ok(());
        }
        self.look_for_silence();
        let scheduled = Scheduled::of_this_thread();
        let passed = scheduled.zip(self.own.scheduled).map(|(now, then)| now.since(then));
        let groups = 0..self.tallies.len();
        let interval = Interval {
            thread: self.thread,
            through: over,
            groups: groups.map(|group| self.group_interval(group)).collect(),
            scheduled: passed,
            length: Duration::from_micros(u64::try_from(now_us - self.own.began_us).unwrap_or(0)),
            delay_us: std::mem::replace(&mut self.own.delay_us, empty_delay()),
            violations: std::mem::take(&mut self.own.violations),
        };
        match self.notes.try_send(Note::Interval(Box::new(interval))) {
            Ok(()) => {
                self.own.told = over;
                self.own.began_us = now_us;
                self.own.scheduled = scheduled;
                Ok(())
            }
            Err(TrySendError::Full(Note::Interval(interval))) => {
                self.take_back(*interval);
                self.own.again_us = now_us + microseconds(HAND_OVER_AGAIN);
                Ok(())
            }
            Err(_) => anyhow::bail!("nobody listens"),
        }
    }

    fn group_interval(&mut self, group: usize) -> GroupInterval {
        let now_us = self.clock.unix_us();
        let tally = std::mem::take(&mut self.tallies[group]);
        let mut interval = GroupInterval { tally, clients: 0, ready: 0, unheard: 0 };
        for client in self.clients.iter().filter(|client| client.group == group) {
            interval.clients += 1;
            interval.ready += u32::from(client.is_served());
            interval.unheard += u32::from(client.is_unheard_for(UNHEARD, now_us));
        }
        interval
    }

    /// What could not be handed over goes on being measured.
    fn take_back(&mut self, interval: Interval) {
        for (tally, group) in self.tallies.iter_mut().zip(&interval.groups) {
            tally.add(&group.tally);
        }
        self.own.delay_us = interval.delay_us;
        self.own.violations = interval.violations;
    }

    fn look_for_silence(&mut self) {
        let now_us = self.clock.unix_us();
        for at in 0..self.clients.len() {
            if self.clients[at].is_silent_too_long(now_us) {
                self.with(at, |client, _, _, tally| client.drop_silent(tally));
            }
        }
    }
}

fn empty_delay() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000, 2).expect("constants that the library takes")
}
