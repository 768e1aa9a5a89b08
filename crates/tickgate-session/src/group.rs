//! The subscriptions of one session that share a throttle interval, and so leave together.

use crate::{
    schedule::{Due, GroupId, Schedule},
    subscription::{PROMPT, Subscription},
    wheel::TimerKey,
    work,
};

/// A member that came from a group of another interval.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moved {
    pub(crate) symbol: u32,
    /// The shorter of the two intervals, in ticks; 0 where one of them is real time.
    pub(crate) ticks: u64,
    /// Flush tick of the move.
    pub(crate) at: u32,
}

/// Subscriptions of one interval.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) id: GroupId,
    /// Throttle interval in milliseconds; 0 is as it happens.
    pub(crate) interval_ms: u16,
    /// By symbol.
    pub(crate) members: Vec<Subscription>,
    /// A flush is due; no timer runs until it has been completed.
    pub(crate) state_due: bool,
    /// The tapes are due, and bars that are closed.
    pub(crate) tape_due: bool,
    /// Where the next frame begins to look: behind the last symbol that fitted, so that the
    /// longest unsent goes first.
    pub(crate) from: usize,
    /// Real time only: symbols that changed since they were sent, at most as many as members;
    /// beyond that `look_at_all` stands for them.
    pub(crate) changed: Vec<u32>,
    pub(crate) look_at_all: bool,
    /// Throttled only: members to look at ahead of the next flush, because they just came from
    /// another group. At most as many as members.
    pub(crate) moved: Vec<Moved>,
    /// The wildcard's only: it covers channels of [`PROMPT`], also of symbols that are yet to be
    /// listed.
    covers_prompt: bool,
    timer: Option<TimerKey>,
    tape_timer: Option<TimerKey>,
}

impl Group {
    pub(crate) fn new(id: GroupId, interval_ms: u16) -> Self {
        Self {
            id,
            interval_ms,
            members: Vec::new(),
            state_due: false,
            tape_due: false,
            from: 0,
            changed: Vec::new(),
            look_at_all: false,
            moved: Vec::new(),
            covers_prompt: false,
            timer: None,
            tape_timer: None,
        }
    }

    pub(crate) fn is_realtime(&self) -> bool {
        self.interval_ms == 0
    }

    pub(crate) fn is_due(&self) -> bool {
        self.is_flush_due() || !self.moved.is_empty()
    }

    /// True when there is more to look at than what has just moved here.
    pub(crate) fn is_flush_due(&self) -> bool {
        self.state_due || self.tape_due || self.look_at_all || !self.changed.is_empty()
    }

    /// Where a symbol is, or would be.
    pub(crate) fn position(&self, symbol: u32) -> Result<usize, usize> {
        self.members.binary_search_by_key(&symbol, |member| member.symbol)
    }

    /// Adds members that are not in it, sorted by symbol. Who is in it moves once at most, however
    /// many come.
    pub(crate) fn insert_all(
        &mut self,
        joining: impl ExactSizeIterator<Item = Subscription> + DoubleEndedIterator + Clone,
    ) {
        let mut end = self.members.len();
        self.members.extend(joining.clone());
        // From the last: those behind its place make room for it and for all that come before it.
        for (before, member) in joining.enumerate().rev() {
            let held = &self.members[..end];
            let at = held.partition_point(|each| each.symbol < member.symbol);
            work::look_at(end - at + 1);
            self.members.copy_within(at..end, at + before + 1);
            self.members[at + before] = member;
            end = at;
        }
    }

    /// A real-time member's symbol changed.
    pub(crate) fn mark(&mut self, symbol: u32) {
        if self.look_at_all {
            return;
        }
        if self.changed.len() >= self.members.len() {
            self.changed = Vec::new();
            self.look_at_all = true;
        } else {
            self.changed.push(symbol);
        }
    }

    /// A member came from a group of the interval `left_ms`. What waits in it leaves at once if the
    /// shorter of the two intervals has passed since its last entry, else with this group: so it
    /// waits for two intervals at most, however often a client moves it.
    pub(crate) fn moved_in(&mut self, symbol: u32, left_ms: u16, schedule: &Schedule) {
        let moved = self.moved(symbol, left_ms, schedule);
        self.moved.push(moved);
        if self.moved.len() > 2 * self.members.len() {
            self.settle_moved();
        }
    }

    /// Who left before it was looked at, and came again, counts once, as it came last.
    pub(crate) fn settle_moved(&mut self) {
        work::look_at(self.moved.len());
        self.moved.reverse();
        self.moved.sort_by_key(|each| each.symbol);
        self.moved.dedup_by_key(|each| each.symbol);
    }

    pub(crate) fn moved(&self, symbol: u32, left_ms: u16, schedule: &Schedule) -> Moved {
        let shorter_ms = left_ms.min(self.interval_ms);
        let ticks = if shorter_ms == 0 { 0 } else { schedule.ticks(shorter_ms) };
        Moved { symbol, ticks, at: schedule.tick as u32 }
    }

    /// Sees to it that a throttled group has its timers. The first flush of a new group comes as
    /// soon as the interval allows for a member that was sent something before; else its phase is
    /// random. `prompt`: a member has a channel of [`PROMPT`], as far as the caller knows of a new
    /// one.
    pub(crate) fn ensure_timers(&mut self, session: u32, prompt: bool, schedule: &mut Schedule) {
        self.covers_prompt = prompt && self.id == GroupId::WILDCARD;
        if self.is_realtime() {
            return;
        }
        let ticks = schedule.ticks(self.interval_ms);
        if self.timer.is_none() && !self.state_due {
            work::look_at(self.members.len());
            let at = match self.members.iter().find_map(Subscription::sent_tick) {
                Some(sent) => {
                    let since = u64::from((schedule.tick as u32).wrapping_sub(sent));
                    schedule.tick + ticks.saturating_sub(since).max(1)
                }
                None => schedule.phase(ticks),
            };
            self.timer = Some(schedule.wheel.schedule(at, self.due(session, false)));
        }
        if prompt && self.tape_timer.is_none() && !self.tape_due {
            self.schedule_tape(session, schedule);
        }
    }

    /// A timer fired.
    pub(crate) fn fired(&mut self, tape_only: bool) {
        if tape_only {
            self.tape_timer = None;
            self.tape_due = true;
        } else {
            self.timer = None;
            self.state_due = true;
        }
    }

    /// Everything that was due has been sent: the next flush is an interval from now, so that an
    /// interval always lies between two entries, also after one that left late.
    pub(crate) fn completed(&mut self, session: u32, schedule: &mut Schedule) {
        self.changed.clear();
        self.moved = Vec::new();
        self.look_at_all = false;
        if self.state_due {
            self.state_due = false;
            if !self.is_realtime() {
                let at = schedule.tick + schedule.ticks(self.interval_ms);
                self.timer = Some(schedule.wheel.schedule(at, self.due(session, false)));
            }
        }
        if self.tape_due {
            self.tape_due = false;
            self.schedule_tape(session, schedule);
        }
    }

    /// Takes its timers back.
    pub(crate) fn cancel(&mut self, schedule: &mut Schedule) {
        for timer in [self.timer.take(), self.tape_timer.take()].into_iter().flatten() {
            schedule.wheel.cancel(timer);
        }
    }

    /// Runs while a member has a channel of [`PROMPT`] and the interval is longer than what is on it
    /// may wait.
    fn schedule_tape(&mut self, session: u32, schedule: &mut Schedule) {
        let Some(ticks) = schedule.tape_ticks(self.interval_ms) else { return };
        work::look_at(self.members.len());
        let is_prompt = |member: &Subscription| member.channels.has_any(PROMPT);
        if self.covers_prompt || self.members.iter().any(is_prompt) {
            let at = schedule.tick + ticks;
            self.tape_timer = Some(schedule.wheel.schedule(at, self.due(session, true)));
        }
    }

    fn due(&self, session: u32, tape_only: bool) -> Due {
        Due { session, group: self.id, tape_only }
    }
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;
    use crate::config::EngineConfig;

    #[test]
    fn a_group_has_one_timer_until_it_fires_and_none_until_its_flush_is_complete() {
        let config = EngineConfig::default();
        let mut schedule = Schedule::new(&config, StdRng::seed_from_u64(1), 0);
        let mut group = Group::new(GroupId::WILDCARD, 50);
        let fires = |schedule: &mut Schedule| {
            let mut fired = Vec::new();
            schedule.tick += 1_000;
            schedule.wheel.advance(schedule.tick, &mut fired);
            fired.len()
        };
        for _ in 0..3 {
            group.ensure_timers(0, false, &mut schedule);
        }
        assert_eq!(fires(&mut schedule), 1, "however often it is seen to");
        group.fired(false);
        group.ensure_timers(0, false, &mut schedule);
        assert_eq!(fires(&mut schedule), 0, "its flush is due");
        group.completed(0, &mut schedule);
        group.ensure_timers(0, false, &mut schedule);
        assert_eq!(fires(&mut schedule), 1);
    }
}
