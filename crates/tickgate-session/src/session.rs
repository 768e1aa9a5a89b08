//! One client's connection and its state: cursors and allowances, never a queue of data.

use std::{collections::VecDeque, io};

use tickgate_protocol::{close::CloseReason, dialect::Dialect, number::ABSENT};

use crate::{
    config::EngineConfig,
    group::Group,
    intake::Share,
    outbound::Outbound,
    pace::{Budget, CommandRate, Credit},
    parser::Parser,
    portfolio::Portfolio,
    report::Totals,
    stats::EngineStats,
    transport::{Now, Transport},
    work,
};

/// `ready` entries a session may wait for; a subscribe beyond that is refused. Bounds
/// [`Session::owed`] together with the subscription limit.
pub(crate) const READY_LIMIT: usize = 256;

/// A snapshot or its end, in the order in which commands asked for them.
///
/// At most one `Symbol` for each subscription (its `owed` flag says it is here), one `Covered`,
/// and [`READY_LIMIT`] `Ready`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owed {
    /// What was never sent of this symbol.
    Symbol(u32),
    /// The same for the symbols from `next` to `end` that the wildcard covers.
    Covered { next: u32, end: u32 },
    /// All that the command asked for has been sent.
    Ready(Option<i64>),
}

/// One client's WebSocket connection and its state.
#[derive(Debug)]
pub(crate) struct Session<T> {
    pub(crate) transport: T,
    /// What makes messages of its bytes; `None` between two messages, when it needs none of its own.
    pub(crate) parser: Option<Box<Parser>>,
    /// Largest message it was told it may send.
    pub(crate) message_limit_bytes: usize,
    pub(crate) outbound: Outbound,
    /// Bytes read but not looked at while replies do not leave; at most one read's worth.
    pub(crate) unread: Vec<u8>,
    pub(crate) dialect: Dialect,
    /// Distinguishes this session from an earlier one at the same position.
    pub(crate) generation: u32,
    /// Gateway-wide number.
    pub(crate) number: u64,
    pub(crate) portfolio: Portfolio,
    pub(crate) owed: VecDeque<Owed>,
    pub(crate) rate: CommandRate,
    /// What it has taken of the worker's allowance.
    pub(crate) share: Share,
    pub(crate) budget: Option<Box<Budget>>,
    pub(crate) credit: Option<Box<Credit>>,
    /// Sequence of the last data frame.
    pub(crate) frame_sequence: u64,
    /// Highest frame acknowledged.
    pub(crate) acknowledged: u64,
    pub(crate) epoch: u64,
    pub(crate) feed_status_sequence: u64,
    /// Some subscribed symbol's status changed.
    pub(crate) status_due: bool,
    /// The feed's status or the epoch changed.
    pub(crate) notice_due: bool,
    /// Why what is due has not been sent yet: bits of [`tickgate_protocol::entry::cause`].
    pub(crate) late: u8,
    /// It waits in the engine's queue of sessions with work.
    pub(crate) is_ready: bool,
    /// It waits in the engine's queue of sessions with real-time work.
    pub(crate) is_urgent: bool,
    /// Flush tick in which it was put there.
    pub(crate) ready_tick: u64,
    /// It waits in the engine's list of sessions to try again at the next tick.
    pub(crate) is_waiting: bool,
    pub(crate) has_commanded: bool,
    pub(crate) closing: Option<Closing>,
    /// What it sent was no WebSocket: nothing more is made of its bytes. They are still read, or
    /// the kernel would cut the connection before the client has seen why it is closed.
    pub(crate) deaf: bool,
    pub(crate) opened_us: u64,
    pub(crate) heard_us: u64,
    pub(crate) pinged_us: u64,
    /// When the last data frame was formed.
    pub(crate) framed_us: u64,
    /// How old its oldest change was, if that is to be counted once it has left; else [`ABSENT`].
    pub(crate) oldest_us: i64,
    pub(crate) frame_bytes: u64,
    pub(crate) totals: Totals,
}

/// A close frame has been written; the client has until then to answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Closing {
    pub(crate) reason: CloseReason,
    pub(crate) until_us: u64,
    /// Both sides have said so: it ends once what waits has left.
    pub(crate) answered: bool,
}

impl<T> Session<T> {
    #[allow(clippy::too_many_arguments, reason = "what a session is made of")]
    pub(crate) fn new(
        transport: T,
        dialect: Dialect,
        generation: u32,
        number: u64,
        position: u32,
        config: &EngineConfig,
        epoch: u64,
        now: Now,
    ) -> Self {
        Self {
            transport,
            parser: None,
            message_limit_bytes: config.message_limit_bytes,
            outbound: Outbound::default(),
            unread: Vec::new(),
            dialect,
            generation,
            number,
            portfolio: Portfolio::new(position, config.throttle_interval.as_millis() as u16),
            owed: VecDeque::new(),
            rate: CommandRate::default(),
            share: Share::default(),
            budget: None,
            credit: None,
            frame_sequence: 0,
            acknowledged: 0,
            epoch,
            feed_status_sequence: 0,
            status_due: false,
            notice_due: true,
            late: 0,
            is_ready: false,
            is_urgent: false,
            ready_tick: 0,
            is_waiting: false,
            has_commanded: false,
            closing: None,
            deaf: false,
            opened_us: now.monotonic_us,
            heard_us: now.monotonic_us,
            pinged_us: now.monotonic_us,
            framed_us: now.monotonic_us,
            oldest_us: ABSENT,
            frame_bytes: 0,
            totals: Totals::default(),
        }
    }

    /// Writes what waits; true when all of it has left.
    ///
    /// # Errors
    /// What the socket says, except that it would block.
    pub(crate) fn flush(&mut self, now: Now, stats: &mut EngineStats) -> io::Result<bool>
    where
        T: Transport,
    {
        let was_mid_frame = self.outbound.is_mid_frame();
        let all = self.outbound.flush(&mut self.transport, now.monotonic_us)?;
        if was_mid_frame && !self.outbound.is_mid_frame() {
            self.frame_left(now.monotonic_us, stats);
        }
        Ok(all)
    }

    /// True when there is something to put into a data frame.
    pub(crate) fn is_due(&self) -> bool {
        self.notice_due
            || self.status_due
            || !self.owed.is_empty()
            || self.portfolio.groups.iter().any(|group| group.is_due())
            || self.portfolio.wildcard.as_ref().is_some_and(|each| each.group.is_due())
    }

    /// True when it is due a status or, behind no snapshot, a real-time change. News of the feed were
    /// urgent when they came; whoever is new has yet to hear them, and that can wait.
    pub(crate) fn is_urgently_due(&self) -> bool {
        let realtime = |group: &Group| group.is_realtime() && group.is_due();
        let changed = || {
            self.portfolio.groups.iter().any(realtime)
                || self.portfolio.wildcard.as_ref().is_some_and(|each| realtime(&each.group))
        };
        self.status_due || (self.owed.is_empty() && changed())
    }

    /// Owes a snapshot of each of these subscriptions, once, in this order.
    pub(crate) fn owe(&mut self, symbols: &[u32]) {
        work::look_at(self.owed.len() + symbols.len());
        // The wildcard may owe one already to a `ready` that waits: it stays in that line.
        let covered = self.owed.iter().enumerate().find_map(|(at, owed)| match owed {
            Owed::Covered { next, .. } => Some((at, *next)),
            _ => None,
        });
        let mut before_covered = Vec::new();
        for &symbol in symbols {
            let Some(member) = self.portfolio.find_mut(symbol).copied() else { continue };
            if member.owed || !self.portfolio.wants_snapshot(&member) {
                continue;
            }
            if let Some(member) = self.portfolio.find_mut(symbol) {
                member.owed = true;
            }
            match covered {
                Some((_, next)) if next <= symbol => before_covered.push(Owed::Symbol(symbol)),
                _ => self.owed.push_back(Owed::Symbol(symbol)),
            }
        }
        if let Some((at, _)) = covered
            && !before_covered.is_empty()
        {
            let behind = self.owed.split_off(at);
            self.owed.extend(before_covered.into_iter().chain(behind));
        }
    }

    /// Owes a snapshot of all that the wildcard covers, once: one that waits begins again where it
    /// stands in line, before the `ready` that waits for it.
    pub(crate) fn owe_covered(&mut self, count: u32) {
        let all = Owed::Covered { next: 0, end: count };
        match self.owed.iter_mut().find(|owed| matches!(owed, Owed::Covered { .. })) {
            Some(waiting) => *waiting = all,
            None => self.owed.push_back(all),
        }
    }

    /// Drops the snapshots of subscriptions that are no more, so that subscribing again owes one,
    /// not two.
    pub(crate) fn forget_owed(&mut self) {
        work::look_at(self.owed.len());
        let portfolio = &mut self.portfolio;
        self.owed.retain(|owed| match owed {
            Owed::Symbol(symbol) => portfolio.find_mut(*symbol).is_some_and(|member| member.owed),
            Owed::Covered { .. } => portfolio.wildcard.is_some(),
            Owed::Ready(_) => true,
        });
    }

    /// `ready` entries that wait.
    pub(crate) fn readies(&self) -> usize {
        self.owed.iter().filter(|each| matches!(each, Owed::Ready(_))).count()
    }
}
