//! Serves what is due, in slices: one frame in flight for each session.

use std::hint::black_box;

use tickgate_protocol::{close::CloseReason, entry::cause, number::ABSENT};

use crate::{
    engine::{Engine, Pass, Progress},
    flush::{self, Left},
    intake::Spell,
    sampling::{Sampler, Tally},
    session::Closing,
    transport::{Now, Transport},
};

/// Members of the next session that are loaded ahead.
const MEMBERS_AHEAD: usize = 32;
/// Frames one session may send before others have their turn.
const FRAMES_IN_A_ROW: usize = 4;
/// Bytes of frames in one slice, beyond which it ends: as long as 64 frames of 2 KiB take. Whoever
/// becomes urgent during a slice waits for its end, and the frames of a few large snapshots take
/// longer than those of many flushes.
const SLICE_BYTES: u64 = 128 * 1024;
/// A flush that begins this many ticks after it was due is late through our own load.
const LATE_TICKS: u64 = 2;

impl<T: Transport> Engine<T> {
    /// Serves what is due: one slice, real-time sessions first.
    pub fn poll(&mut self, now: Now) -> Progress {
        self.spell = Spell::default();
        self.collect();
        let tick = self.schedule.tick_of(now.monotonic_us);
        let is_new = tick > self.schedule.tick;
        self.begin_pass(now, is_new);
        if is_new {
            self.advance(now, tick);
        }
        let readies = self.stats.readies;
        let mut slice = Slice::begin(self.shared.config().slice_sessions, self.stats.frame_bytes);
        while !slice.is_over(self.stats.frame_bytes, !self.ready.is_empty()) {
            let urgent_first = slice.urgent_first(self.stats.frame_bytes);
            let Some((position, urgent)) = self.next_ready(urgent_first) else { break };
            slice.turn(urgent);
            let session = &mut self.sessions[position as usize];
            let flag = if urgent { &mut session.is_urgent } else { &mut session.is_ready };
            *flag = false;
            self.look_ahead();
            self.serve(now, position);
        }
        if self.stats.readies > readies {
            self.shared.count_readies(self.stats.readies - readies);
        }
        let more = !self.urgent.is_empty() || !self.ready.is_empty();
        let next_us =
            (!self.sessions.is_empty()).then(|| self.schedule.time_of(self.schedule.tick + 1));
        Progress { more, next_us, wants_doorbell: self.schedule.interest.is_realtime() }
    }

    /// Loads what the next sessions' frames will need, each step a session earlier than the one that
    /// depends on it. Several thousand sessions do not fit the caches: served one by one, each would
    /// wait for memory at every step.
    fn look_ahead(&self) {
        let next = |ahead: usize| self.ready.get(ahead).copied();
        let mut seen = next(2).map_or(0, |position| self.touch_session(position));
        seen ^= next(1).map_or(0, |position| self.touch_group(position));
        let group = next(0)
            .and_then(|position| self.sessions.get(position as usize)?.portfolio.groups.first());
        for member in group.into_iter().flat_map(|group| &group.members).take(MEMBERS_AHEAD) {
            seen ^= u64::from(member.symbol);
        }
        black_box(seen);
    }

    /// Loads what a turn looks at in a session itself; the value means nothing.
    fn touch_session(&self, position: u32) -> u64 {
        self.sessions.get(position as usize).map_or(0, |session| {
            session.frame_sequence
                ^ session.ready_tick
                ^ session.portfolio.groups.len() as u64
                ^ u64::from(session.late)
                ^ u64::from(session.outbound.is_empty())
        })
    }

    /// The same for its first group.
    fn touch_group(&self, position: u32) -> u64 {
        let session = self.sessions.get(position as usize);
        let group = session.and_then(|session| session.portfolio.groups.first());
        group.map_or(0, |group| group.members.len() as u64 ^ u64::from(group.state_due))
    }

    /// A new time for the frames to come: at each tick, and whenever real-time sessions or answers
    /// to commands are served, which want what is newest. A pass so lasts one tick at most, and a
    /// tick's throttled sessions share it.
    fn begin_pass(&mut self, now: Now, is_new_tick: bool) {
        let is_over = std::mem::take(&mut self.pass_is_over) || !self.urgent.is_empty();
        if is_new_tick || is_over || now.unix_us < self.pass.sent_at_us {
            self.pass = Pass { sent_at_us: now.unix_us };
            self.cache.next_pass();
        }
    }

    /// A tick or several have passed: timers fire, waiting sessions are tried again.
    fn advance(&mut self, now: Now, tick: u64) {
        let before = std::mem::replace(&mut self.schedule.tick, tick);
        let mut fired = std::mem::take(&mut self.fired);
        self.schedule.wheel.advance(tick, &mut fired);
        for at in 0..fired.len() {
            let (due, scheduled) = fired[at];
            let ahead = |by: usize| fired.get(at + by).map(|(due, _)| due.session);
            let seen = ahead(4).map_or(0, |position| self.touch_session(position));
            black_box(seen ^ ahead(2).map_or(0, |position| self.touch_group(position)));
            let session = &mut self.sessions[due.session as usize];
            let Some(group) = session.portfolio.group_mut(due.group) else { continue };
            group.fired(due.tape_only);
            self.stats.lateness.count(tick - scheduled);
            if tick - scheduled >= LATE_TICKS && session.late == 0 {
                session.late = cause::LOAD;
                self.stats.late_flushes += 1;
            }
            self.make_ready(due.session, false);
        }
        fired.clear();
        self.fired = fired;
        for position in std::mem::take(&mut self.waiting) {
            self.sessions[position as usize].is_waiting = false;
            self.make_ready(position, false);
        }
        self.housekeep(now, before, tick);
    }

    /// Writes what waits, then forms frames as long as they leave whole.
    fn serve(&mut self, now: Now, position: u32) {
        let session = &mut self.sessions[position as usize];
        self.stats.turn_waits.count(self.schedule.tick - session.ready_tick);
        if self.schedule.tick - session.ready_tick >= LATE_TICKS && session.late == 0 {
            session.late = cause::LOAD;
            self.stats.late_flushes += 1;
        }
        for _ in 0..FRAMES_IN_A_ROW {
            let session = &mut self.sessions[position as usize];
            let closing = session.closing;
            match session.flush(now, &mut self.stats) {
                Err(_) => return self.end(now, position as usize, lost(closing)),
                Ok(true) => {}
                Ok(false) => return self.blocked(now, position),
            }
            if let Some(closing) = closing {
                if closing.answered {
                    self.end(now, position as usize, closing.reason);
                }
                return;
            }
            if !session.is_due() {
                session.late = 0;
                return;
            }
            if session.credit.as_ref().is_some_and(|credit| credit.is_spent()) {
                // An acknowledgement makes it ready again.
                session.late |= cause::CREDIT;
                return;
            }
            let balance =
                session.budget.as_mut().map(|budget| budget.balance_bytes(now.monotonic_us));
            let is_spent = balance.is_some_and(|bytes| bytes <= 0);
            if is_spent && !session.notice_due && !session.status_due {
                session.late |= cause::BUDGET;
                return self.make_wait(position);
            }
            match self.send_frame(now, position, balance.filter(|_| !is_spent), is_spent) {
                Sent::More => {}
                Sent::Done => return,
                Sent::Later => return self.make_wait(position),
            }
        }
        self.make_ready(position, false);
    }

    /// Forms one frame of what is due and hands it to the socket.
    fn send_frame(
        &mut self,
        now: Now,
        position: u32,
        budget: Option<i64>,
        exempt_only: bool,
    ) -> Sent {
        let session = &mut self.sessions[position as usize];
        let cause = session.late;
        let sequence = session.frame_sequence + 1;
        let budget = budget.map(|bytes| usize::try_from(bytes).unwrap_or(0));
        let is_timed = self.timed.has_come(self.stats.frames) && session.owed.is_empty();
        if is_timed {
            self.cache.hide_entries();
        }
        self.frame.begin(session.dialect, sequence, self.pass.sent_at_us, budget);
        let mut sampler = Sampler {
            hub: self.shared.hub(),
            frame: &mut self.frame,
            cache: &mut self.cache,
            stats: &mut self.stats,
            sent_at_us: self.pass.sent_at_us,
            tick: self.schedule.tick,
            cause,
            newest: false,
            oldest_us: ABSENT,
            tally: Tally::default(),
            bars: session.portfolio.bars.take(),
            left_bars: false,
        };
        let lost_before = sampler.stats.trades_lost;
        let left = flush::fill(session, position, &mut sampler, &mut self.schedule, exempt_only);
        let merged = sampler.settle();
        let oldest_us = sampler.oldest_us;
        session.portfolio.bars = sampler.bars.take();
        if is_timed {
            self.cache.show_entries();
            self.timed.is_over(self.stats.frames);
        }
        if self.frame.count() > 0 {
            let lost = self.stats.trades_lost - lost_before;
            session.totals.formed(now.monotonic_us, cause, merged, lost);
            if let Some(credit) = session.credit.as_mut() {
                credit.sent(sequence);
            }
            self.hand_over(now, position, cause);
            if is_timed && oldest_us != ABSENT {
                self.time_frame(position, cause, oldest_us);
            }
        }
        let session = &mut self.sessions[position as usize];
        match left {
            Left::Unreadable => Sent::Later,
            Left::More => Sent::More,
            Left::Nothing if session.is_due() => {
                // Only what is exempt from the budget has gone.
                session.late |= cause::BUDGET;
                Sent::Later
            }
            Left::Nothing => {
                session.late = 0;
                if session.outbound.is_empty() { Sent::Done } else { Sent::Later }
            }
        }
    }

    /// Counts the age of the frame that was just handed over, or has it counted once it has left.
    fn time_frame(&mut self, position: u32, cause: u8, oldest_us: i64) {
        let session = &mut self.sessions[position as usize];
        if session.outbound.is_mid_frame() {
            session.oldest_us = oldest_us;
        } else {
            self.stats.count_age(session.pace(cause), oldest_us, 0);
        }
    }

    /// Completes the frame in the builder and writes it. Takes the next frame sequence.
    pub(crate) fn hand_over(&mut self, now: Now, position: u32, cause: u8) {
        let session = &mut self.sessions[position as usize];
        let bytes = self.frame.finish(cause);
        session.frame_sequence += 1;
        session.framed_us = now.monotonic_us;
        session.frame_bytes += bytes.len() as u64;
        if let Some(budget) = session.budget.as_mut() {
            budget.debit(bytes.len());
        }
        self.stats.frames += 1;
        self.stats.frames_by_cause[usize::from(cause)] += 1;
        self.stats.frame_bytes += bytes.len() as u64;
        if session.outbound.send(bytes, &mut session.transport, now.monotonic_us).is_err() {
            // It is removed at its next turn: the caller still looks at it in this one.
            let until_us = now.monotonic_us;
            let reason = CloseReason::ConnectionLost;
            session.closing.get_or_insert(Closing { reason, until_us, answered: true });
            self.make_wait(position);
        }
    }

    /// The socket is full. Past the drain age the session ends; no close frame can follow half a
    /// data frame, so such a client sees the connection end.
    fn blocked(&mut self, now: Now, position: u32) {
        let drain_age_us = self.shared.config().drain_age.as_micros() as u64;
        let session = &mut self.sessions[position as usize];
        if session.outbound.waiting_us(now.monotonic_us) > drain_age_us {
            let reason = session.closing.map_or(CloseReason::SlowConsumer, |each| each.reason);
            return self.end(now, position as usize, reason);
        }
        if session.is_due() {
            session.late |= cause::SOCKET;
        }
        self.make_wait(position);
    }
}

/// How far a slice is, and whose turn is next.
struct Slice {
    /// Sessions it serves at most.
    limit: usize,
    served: usize,
    /// Bytes of all frames before it.
    bytes_before: u64,
    last_was_urgent: bool,
}

impl Slice {
    fn begin(limit: usize, bytes_before: u64) -> Self {
        Self { limit, served: 0, bytes_before, last_was_urgent: false }
    }

    fn turn(&mut self, urgent: bool) {
        self.served += 1;
        self.last_was_urgent = urgent;
    }

    /// Its bytes do not end it behind an urgent turn while others wait: large real-time frames
    /// would fill every slice by themselves.
    fn is_over(&self, bytes: u64, others_wait: bool) -> bool {
        let is_full = bytes - self.bytes_before >= SLICE_BYTES;
        self.served >= self.limit || (is_full && !(self.last_was_urgent && others_wait))
    }

    /// Real-time sessions go first for half a slice; then both take turns, so that however busy
    /// they are the others are served.
    fn urgent_first(&self, bytes: u64) -> bool {
        let is_first_half =
            self.served < self.limit / 2 && bytes - self.bytes_before < SLICE_BYTES / 2;
        is_first_half || !self.last_was_urgent
    }
}

/// What became of a session's turn.
enum Sent {
    /// Everything due has been sent.
    Done,
    /// Another frame can follow at once.
    More,
    /// It is to be tried again at the next tick.
    Later,
}

/// A connection that breaks while it closes ends for the reason it was closing.
fn lost(closing: Option<Closing>) -> CloseReason {
    closing.map_or(CloseReason::ConnectionLost, |closing| closing.reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urgent_sessions_have_half_of_a_slice_and_then_turns() {
        let mut slice = Slice::begin(8, 0);
        let mut turns = Vec::new();
        while !slice.is_over(0, true) {
            let urgent = slice.urgent_first(0);
            turns.push(urgent);
            slice.turn(urgent);
        }
        assert_eq!(turns, [true, true, true, true, false, true, false, true]);
    }

    #[test]
    fn bytes_end_a_slice_but_not_behind_an_urgent_turn_while_others_wait() {
        let mut slice = Slice::begin(64, 1_000);
        assert!(!slice.is_over(1_000 + SLICE_BYTES - 1, true));
        assert!(slice.is_over(1_000 + SLICE_BYTES, true));
        slice.turn(true);
        assert!(!slice.is_over(1_000 + SLICE_BYTES, true));
        assert!(slice.is_over(1_000 + SLICE_BYTES, false));
        // Half of them end the urgent ones' precedence.
        assert!(slice.urgent_first(1_000 + SLICE_BYTES / 2 - 1));
        assert!(!slice.urgent_first(1_000 + SLICE_BYTES / 2));
    }
}
