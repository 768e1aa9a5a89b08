//! What an operator is told of the open sessions, gathered in slices so that no flush waits for it.
//!
//! A [`Survey`] walks the sessions of an engine, some subscriptions at a time, and keeps sums over
//! all of them ([`Held`]) and a report of the slowest.

use std::{
    cmp::{Ordering, Reverse},
    collections::BinaryHeap,
};

use tickgate_hub::Hub;
use tickgate_protocol::{
    channel::{Channel, Channels},
    dialect::Dialect,
    symbol::SymbolIndex,
};

use crate::{
    engine::Engine,
    portfolio::Portfolio,
    session::Session,
    subscription::{NEVER, Subscription},
    transport::{Now, Transport},
};

/// Shares of a new interval in the running mean of a session's intervals: one in eight.
const SMOOTHING: i64 = 8;

/// What one session was sent, beyond what it must remember to be served.
#[derive(Debug, Clone, Default)]
pub(crate) struct Totals {
    /// Updates merged into its entries.
    pub(crate) merged: u64,
    /// Trades and corrections it was told it lost.
    pub(crate) lost: u64,
    /// Frames with a cause.
    late_frames: u64,
    /// Causes of all its frames.
    causes: u8,
    /// Running mean of the time between two data frames, microseconds; 0 before the second.
    interval_us: i64,
    /// When the last data frame was formed, heartbeats left out.
    formed_us: u64,
}

impl Totals {
    /// A data frame was formed.
    pub(crate) fn formed(&mut self, now_us: u64, cause: u8, merged: u64, lost: u64) {
        self.merged += merged;
        self.lost += lost;
        self.late_frames += u64::from(cause != 0);
        self.causes |= cause;
        let last_us = std::mem::replace(&mut self.formed_us, now_us);
        if last_us != 0 {
            let interval_us = now_us.saturating_sub(last_us) as i64;
            self.interval_us = match self.interval_us {
                0 => interval_us,
                mean_us => mean_us + (interval_us - mean_us) / SMOOTHING,
            };
        }
    }
}

/// Sums over the sessions that are open, as of one survey.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Held {
    /// Subscriptions by channel, in the order of [`Channel::ALL`]; a wildcard counts as one of
    /// each channel it has.
    pub subscriptions: [u64; Channel::ALL.len()],
    /// Wildcards among them.
    pub wildcards: u64,
    /// Sum of the heads of all channels that are joined. Wraps around.
    pub heads: u64,
    /// Updates and trades between their cursors and those heads.
    pub pending: u64,
    /// Bytes of frames and replies that wait for sockets.
    pub waiting_bytes: u64,
    /// Memory that sessions have allocated, bytes ([`crate::Footprint`]).
    pub allocated_bytes: u64,
    /// Sessions by the causes that hold them up now; position 0 has those that nothing does.
    pub held_up: [u64; 16],
}

impl Held {
    /// Adds what another worker's survey found.
    pub fn add(&mut self, other: &Self) {
        self.subscriptions.iter_mut().zip(other.subscriptions).for_each(|(a, b)| *a += b);
        self.held_up.iter_mut().zip(other.held_up).for_each(|(a, b)| *a += b);
        self.wildcards += other.wildcards;
        self.heads = self.heads.wrapping_add(other.heads);
        self.pending += other.pending;
        self.waiting_bytes += other.waiting_bytes;
        self.allocated_bytes += other.allocated_bytes;
    }
}

/// One open session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionReport {
    /// Its gateway-wide number, as told in `welcome`.
    pub session: u64,
    /// The encoding it chose.
    pub dialect: Dialect,
    /// Subscriptions it holds; a wildcard counts as one.
    pub subscriptions: u64,
    /// Whether it holds a wildcard.
    pub wildcard: bool,
    /// Channels of any of its subscriptions.
    pub channels: Channels,
    /// The throttle intervals in force, milliseconds, in rising order; 0 is as it happens.
    pub throttles_ms: Vec<u16>,
    /// Mean time between its data frames lately, microseconds; `None` before the second. A quiet
    /// market makes it longer than asked for.
    pub interval_us: Option<u64>,
    /// Data frames it was sent, heartbeats included.
    pub frames: u64,
    /// Frames that left late, for whatever cause.
    pub late_frames: u64,
    /// Causes of all its frames, as bits ([`tickgate_protocol::entry::cause`]).
    pub causes: u8,
    /// Causes that hold it up now.
    pub held_up_by: u8,
    /// How old the newest frame is that it was sent, while something holds the next one up; else 0.
    /// Microseconds.
    pub frame_age_us: u64,
    /// WebSocket bytes of its data frames.
    pub bytes: u64,
    /// Updates merged into entries it was sent.
    pub merged: u64,
    /// Trades and corrections it was told it lost.
    pub lost: u64,
    /// Updates and trades between its cursors and the hub's heads.
    pub cursor_lag: u64,
    /// Bytes that wait for its socket.
    pub waiting_bytes: u64,
    /// Memory it has allocated, bytes.
    pub allocated_bytes: u64,
    /// Credit it turned on: frames allowed, and frames not acknowledged yet.
    pub credit: Option<(u64, u64)>,
    /// Byte budget it asked for, bytes a second.
    pub budget_bytes_per_second: Option<u64>,
    /// How long it has been open, microseconds.
    pub age_us: u64,
}

/// What sessions are sorted by: how long the slowest has been held up, then the share of its frames
/// that left late in thousandths, then what it lags. The older session stands first among equals.
pub type Slowness = (u64, u64, u64, Reverse<u64>);

impl SessionReport {
    /// How slow it is, for sorting: larger is slower.
    #[must_use]
    pub fn slowness(&self) -> Slowness {
        let late_share = late_share(self.late_frames, self.frames);
        (self.frame_age_us, late_share, self.cursor_lag, Reverse(self.session))
    }
}

/// In thousandths.
fn late_share(late_frames: u64, frames: u64) -> u64 {
    late_frames * 1_000 / frames.max(1)
}

/// A walk over the sessions of one engine.
#[derive(Debug)]
pub struct Survey {
    /// The next position to look at.
    position: usize,
    held: Held,
    /// How many of the slowest are kept.
    top: usize,
    /// The slowest so far, the least slow of them first. At most `top`.
    slowest: BinaryHeap<Reverse<Ranked>>,
}

#[derive(Debug)]
struct Ranked(SessionReport);

impl PartialEq for Ranked {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Ranked {}

impl PartialOrd for Ranked {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Ranked {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.slowness().cmp(&other.0.slowness())
    }
}

impl Survey {
    /// One that keeps a report of the `top` slowest sessions.
    #[must_use]
    pub fn new(top: usize) -> Self {
        Self { position: 0, held: Held::default(), top, slowest: BinaryHeap::new() }
    }

    /// The sums, and the slowest sessions, the slowest first.
    #[must_use]
    pub fn finish(self) -> (Held, Vec<SessionReport>) {
        let sorted = self.slowest.into_sorted_vec();
        (self.held, sorted.into_iter().map(|Reverse(Ranked(report))| report).collect())
    }
}

impl<T: Transport> Engine<T> {
    /// Goes on with a survey until about `work` subscriptions were looked at; true when it is
    /// complete. A session is never divided, so a slice is `work` and one session at most.
    ///
    /// Complete in one slice, it agrees with [`Engine::stats`] of the same moment to the last
    /// update, since each head is read once.
    pub fn survey(&self, now: Now, survey: &mut Survey, work: usize) -> bool {
        let mut done = 0;
        while survey.position < self.sessions.capacity() {
            if done >= work {
                return false;
            }
            if let Some(session) = self.sessions.get(survey.position) {
                self.look_at(now, session, survey);
                done += session.portfolio.places();
            }
            // Looking at an empty place, or at a session without subscriptions, costs as well.
            done += 1;
            survey.position += 1;
        }
        true
    }

    fn look_at(&self, now: Now, session: &Session<T>, survey: &mut Survey) {
        let portfolio = &session.portfolio;
        let standing = portfolio.standing(self.shared.hub());
        let waiting_bytes = session.outbound.waiting_bytes() as u64;
        let allocated_bytes = self.footprint_of(session).total() as u64;
        let held = &mut survey.held;
        for (channel, count) in Channel::ALL.into_iter().zip(&mut held.subscriptions) {
            let named = portfolio.groups.iter().flat_map(|group| &group.members);
            *count += named.filter(|member| member.named.has(channel)).count() as u64;
            let covers = portfolio.wildcard.as_ref().is_some_and(|all| all.channels.has(channel));
            *count += u64::from(covers);
        }
        held.wildcards += u64::from(portfolio.wildcard.is_some());
        held.heads = held.heads.wrapping_add(standing.heads);
        held.pending += standing.pending;
        held.waiting_bytes += waiting_bytes;
        held.allocated_bytes += allocated_bytes;
        held.held_up[usize::from(session.late & 15)] += 1;

        let is_held_up = session.late != 0 || !session.outbound.is_empty();
        let since_us = |at_us: u64| now.monotonic_us.saturating_sub(at_us);
        let frame_age_us = if is_held_up { since_us(session.framed_us) } else { 0 };
        let totals = &session.totals;
        let late_share = late_share(totals.late_frames, session.frame_sequence);
        let slowness = (frame_age_us, late_share, standing.pending, Reverse(session.number));
        let least = survey.slowest.peek().map(|Reverse(Ranked(report))| report.slowness());
        if survey.slowest.len() >= survey.top && least.is_none_or(|least| least >= slowness) {
            return;
        }
        let report = SessionReport {
            session: session.number,
            dialect: session.dialect,
            subscriptions: portfolio.count() as u64,
            wildcard: portfolio.wildcard.is_some(),
            channels: portfolio.channels(),
            throttles_ms: portfolio.throttles_ms(),
            interval_us: u64::try_from(totals.interval_us).ok().filter(|mean_us| *mean_us > 0),
            frames: session.frame_sequence,
            late_frames: totals.late_frames,
            causes: totals.causes,
            held_up_by: session.late,
            frame_age_us,
            bytes: session.frame_bytes,
            merged: totals.merged,
            lost: totals.lost,
            cursor_lag: standing.pending,
            waiting_bytes,
            allocated_bytes,
            credit: session.credit.as_ref().map(|each| (each.frames, each.unacknowledged())),
            budget_bytes_per_second: session.budget.as_ref().map(|each| each.bytes_per_second),
            age_us: since_us(session.opened_us),
        };
        survey.slowest.push(Reverse(Ranked(report)));
        if survey.slowest.len() > survey.top {
            survey.slowest.pop();
        }
    }
}

/// Where the channels of a session stand that it has joined.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Standing {
    /// Sum of the heads. Wraps around.
    pub(crate) heads: u64,
    /// What lies between the cursors and the heads.
    pub(crate) pending: u64,
}

impl Standing {
    fn add(&mut self, head: u64, cursor: u64) {
        // After a new epoch a head may be behind a cursor, until the session hears of it.
        let head = head.max(cursor);
        self.heads = self.heads.wrapping_add(head);
        self.pending += head - cursor;
    }
}

impl Portfolio {
    /// Heads and cursors of everything that is joined.
    pub(crate) fn standing(&self, hub: &Hub) -> Standing {
        let mut standing = Standing::default();
        for member in self.members() {
            let Some(symbol) = hub.symbol(SymbolIndex(member.symbol)) else { continue };
            for (channel, cursor) in member.joined_cursors() {
                let head = match channel {
                    Channel::Quote => symbol.quote_sequence(),
                    Channel::Last => symbol.last_sequence(),
                    Channel::Trade => symbol.tape_sequence(),
                    Channel::Bar(interval) => symbol.bar_sequence(interval),
                };
                standing.add(head, cursor);
            }
        }
        for (symbol, interval, cursor) in self.bars.iter().flat_map(|bars| bars.joined()) {
            if let Some(symbol) = hub.symbol(SymbolIndex(symbol)) {
                standing.add(symbol.bar_sequence(interval), cursor);
            }
        }
        standing
    }

    /// Sum of the cursors of everything that is joined, but for bars. Wraps around.
    pub(crate) fn held(&self) -> u64 {
        self.members().map(Subscription::held).fold(0, u64::wrapping_add)
    }

    fn members(&self) -> impl Iterator<Item = &Subscription> {
        let covered = self.wildcard.iter().flat_map(|each| &each.group.members);
        self.groups.iter().flat_map(|group| &group.members).chain(covered)
    }

    /// Subscriptions to look at in a walk over all of them.
    fn places(&self) -> usize {
        let covered = self.wildcard.as_ref().map_or(0, |each| each.group.members.len());
        self.groups.iter().map(|group| group.members.len()).sum::<usize>() + covered
    }

    fn channels(&self) -> Channels {
        self.members().fold(Channels::NONE, |all, member| all.with(member.channels))
    }

    fn throttles_ms(&self) -> Vec<u16> {
        let wildcard = self.wildcard.iter().map(|each| each.group.interval_ms);
        let mut all: Vec<u16> =
            self.groups.iter().map(|group| group.interval_ms).chain(wildcard).collect();
        all.sort_unstable();
        all.dedup();
        all
    }
}

impl Subscription {
    /// The channels that are joined, each with the last sequence that was sent.
    fn joined_cursors(&self) -> impl Iterator<Item = (Channel, u64)> {
        let trade = if self.joined { self.trade_cursor } else { NEVER };
        let cursors = [
            (Channel::Quote, self.quote_cursor),
            (Channel::Last, self.last_cursor),
            (Channel::Trade, trade),
        ];
        cursors.into_iter().filter(|(_, cursor)| *cursor != NEVER)
    }

    /// Sum of the cursors of the channels that are joined. Wraps around.
    pub(crate) fn held(&self) -> u64 {
        self.joined_cursors().map(|(_, cursor)| cursor).fold(0, u64::wrapping_add)
    }

    /// Sum of the cursors of state channels that `after` has lost: a full entry follows.
    pub(crate) fn forgotten(&self, after: &Self) -> u64 {
        let lost = |before: u64, after: u64| {
            if before != NEVER && after == NEVER { before } else { 0 }
        };
        lost(self.quote_cursor, after.quote_cursor)
            .wrapping_add(lost(self.last_cursor, after.last_cursor))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_interval_follows_the_frames_and_heartbeats_are_not_among_them() {
        let mut totals = Totals::default();
        totals.formed(1_000, 0, 2, 0);
        assert_eq!(totals.interval_us, 0, "one frame has no interval");
        for frame in 1..=100 {
            totals.formed(1_000 + frame * 50_000, 0, 0, 1);
        }
        assert_eq!(totals.interval_us, 50_000);
        for frame in 1..=100 {
            totals.formed(5_001_000 + frame * 200_000, 4, 0, 0);
        }
        assert!((199_900..=200_000).contains(&totals.interval_us), "{}", totals.interval_us);
        assert_eq!((totals.merged, totals.lost), (2, 100));
        assert_eq!((totals.late_frames, totals.causes), (100, 4));
    }

    #[test]
    fn workers_add_up() {
        let held = |one: u64| Held {
            subscriptions: std::array::from_fn(|channel| (1 + channel as u64) * one),
            wildcards: 4 * one,
            heads: 5 * one,
            pending: 6 * one,
            waiting_bytes: 7 * one,
            allocated_bytes: 8 * one,
            held_up: std::array::from_fn(|cause| (9 + cause as u64) * one),
        };
        let mut sum = held(100);
        sum.add(&held(1));
        assert_eq!(sum, held(101));
    }

    #[test]
    fn the_late_share_is_in_thousandths_of_the_frames() {
        assert_eq!(late_share(3, 8), 375);
        assert_eq!(late_share(0, 0), 0, "no frame is no late one");
        assert_eq!(late_share(2, 2), 1_000);
    }

    #[test]
    fn only_what_was_joined_is_held_and_what_is_forgotten_is_told() {
        let mut before = Subscription::new(1);
        assert_eq!(before.held(), 0);
        before.quote_cursor = 5;
        before.trade_cursor = 70;
        assert_eq!(before.held(), 5, "a tape to be resumed is not joined yet");
        before.joined = true;
        before.last_cursor = 9;
        assert_eq!(before.held(), 84);
        let mut after = before;
        after.forget_state();
        after.quote_cursor = 8;
        assert_eq!(before.forgotten(&after), 9, "the quote went on under its new scale");
    }
}
