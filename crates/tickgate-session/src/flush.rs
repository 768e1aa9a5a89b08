//! Fills one data frame with everything a session is due, in order of urgency.

use std::collections::VecDeque;

use tickgate_hub::Hub;
use tickgate_protocol::{channel::Channel, entry::Entry, symbol::SymbolIndex};

use crate::{
    group::Group,
    portfolio::Portfolio,
    sampling::{Sampled, Sampler, Want, status_entry},
    schedule::Schedule,
    session::{Owed, Session},
    subscription::{Subscription, UNDEFINED},
    wildcard::Wildcard,
};

/// Members whose cache misses are made to overlap: about as many as a core has under way.
const TOUCHED_AT_ONCE: usize = 32;

/// What is still due after a frame has been filled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Left {
    /// Nothing.
    Nothing,
    /// What did not fit: another frame can follow at once.
    More,
    /// What could not be read: try at the next tick.
    Unreadable,
}

/// Fills the sampler's frame: news of the feed, statuses, snapshots, real-time changes, then the
/// flushes that are due. Each step that fits ends what it was due for.
///
/// `exempt_only`: the byte budget is spent, so only what is exempt from it goes.
pub(crate) fn fill<T>(
    session: &mut Session<T>,
    position: u32,
    sampler: &mut Sampler<'_>,
    schedule: &mut Schedule,
    exempt_only: bool,
) -> Left {
    if session.notice_due && !notice(session, sampler) {
        return Left::More;
    }
    let mut unreadable = false;
    if session.status_due {
        match statuses(session, sampler, exempt_only) {
            // What comes after trades waits for the budget with them, and leaves when they do.
            Sampled::Done => session.status_due = false,
            Sampled::Full => return Left::More,
            Sampled::Busy => unreadable = true,
        }
    }
    if exempt_only {
        return if unreadable { Left::Unreadable } else { Left::Nothing };
    }
    match snapshots(session, sampler) {
        Sampled::Done => {}
        Sampled::Full => return Left::More,
        Sampled::Busy => return Left::Unreadable,
    }
    // The one behind the one that was cut short goes first, so that no group lives on what others
    // leave.
    let count = session.portfolio.groups.len() + 1;
    let first = (session.portfolio.from as usize).min(count - 1);
    for at in (first..count).chain(0..first) {
        let before = sampler.frame.count();
        match flush_group(&mut session.portfolio, at, position, sampler, schedule) {
            Sampled::Done => {}
            Sampled::Full => {
                // It has had its turn if anything of it went; a small budget could give it the
                // whole of every frame, and its interval always have passed again.
                let had_its_turn = sampler.frame.count() > before;
                let next = if had_its_turn { (at + 1) % count } else { at };
                session.portfolio.from = next as u32;
                return Left::More;
            }
            Sampled::Busy => unreadable = true,
        }
    }
    session.portfolio.from = 0;
    if unreadable { Left::Unreadable } else { Left::Nothing }
}

/// Flushes the group at a place, if it is due; the wildcard's place is behind the last.
fn flush_group(
    portfolio: &mut Portfolio,
    at: usize,
    position: u32,
    sampler: &mut Sampler<'_>,
    schedule: &mut Schedule,
) -> Sampled {
    let (sampled, group) = match (portfolio.groups.get_mut(at), portfolio.wildcard.as_mut()) {
        (Some(group), _) if group.is_due() => (flush_named(group, sampler, schedule), group),
        (None, Some(wildcard)) if wildcard.group.is_due() => {
            (flush_wildcard(wildcard, sampler, schedule), &mut wildcard.group)
        }
        _ => return Sampled::Done,
    };
    if sampled == Sampled::Done {
        group.completed(position, schedule);
    }
    sampled
}

/// A new epoch, and the feed's status. False when the frame is full.
fn notice<T>(session: &mut Session<T>, sampler: &mut Sampler<'_>) -> bool {
    let epoch = sampler.hub.epoch();
    if epoch != session.epoch {
        let start = sampler.frame.checkpoint();
        sampler.frame.entry(&Entry::Epoch { epoch }, None);
        if !sampler.frame.keep(start) {
            return false;
        }
        session.epoch = epoch;
        let bars = sampler.bars.as_ref().map_or(0, |bars| bars.held());
        sampler.stats.left(session.portfolio.held().wrapping_add(bars), 0);
        begin_again(session, sampler.hub);
        if let Some(bars) = sampler.bars.as_mut() {
            bars.begin_again();
        }
    }
    let status = sampler.hub.feed_status();
    if status.sequence != session.feed_status_sequence {
        let start = sampler.frame.checkpoint();
        sampler.frame.entry(&status_entry(None, &status, sampler.sent_at_us), None);
        if !sampler.frame.keep(start) {
            return false;
        }
        session.feed_status_sequence = status.sequence;
        sampler.stats.statuses += 1;
    }
    session.notice_due = false;
    true
}

/// The client discards everything, so everything is owed again, before the readies that wait.
fn begin_again<T>(session: &mut Session<T>, hub: &Hub) {
    session.feed_status_sequence = 0;
    let readies: Vec<Owed> =
        session.owed.drain(..).filter(|each| matches!(each, Owed::Ready(_))).collect();
    for group in &mut session.portfolio.groups {
        for member in &mut group.members {
            forget(member, hub);
            member.owed = true;
            session.owed.push_back(Owed::Symbol(member.symbol));
        }
    }
    if let Some(wildcard) = session.portfolio.wildcard.as_mut() {
        wildcard.grow(hub.symbol_count());
        for member in &mut wildcard.group.members {
            forget(member, hub);
            member.owed = false;
        }
        session.owed.push_back(Owed::Covered { next: 0, end: hub.symbol_count() });
    }
    session.owed.extend(readies);
}

/// Forgets what the client was told; its tape goes on from where the epoch began.
fn forget(member: &mut Subscription, hub: &Hub) {
    member.forget();
    if member.channels.has(Channel::Trade)
        && let Some(symbol) = hub.symbol(SymbolIndex(member.symbol))
    {
        member.trade_cursor = symbol.tape_epoch_start();
    }
}

/// Halts and resumptions, each after the trades that preceded it.
fn statuses<T>(session: &mut Session<T>, sampler: &mut Sampler<'_>, exempt_only: bool) -> Sampled {
    let want = if exempt_only { Want::Status } else { Want::Tape };
    let mut result = Sampled::Done;
    for member in session.portfolio.iter_mut() {
        // Without a definition the client does not know the symbol: that will carry the status.
        if member.id == UNDEFINED {
            continue;
        }
        let Some(symbol) = sampler.hub.symbol(SymbolIndex(member.symbol)) else {
            continue;
        };
        if symbol.status_sequence() == u64::from(member.status_cursor) {
            continue;
        }
        match sampler.sample(member, want) {
            Sampled::Done => {}
            Sampled::Full => return Sampled::Full,
            Sampled::Busy => result = Sampled::Busy,
        }
    }
    result
}

/// Snapshots that commands asked for, and the `ready` behind each.
fn snapshots<T>(session: &mut Session<T>, sampler: &mut Sampler<'_>) -> Sampled {
    while let Some(first) = session.owed.front_mut() {
        match first {
            Owed::Symbol(symbol) => {
                let symbol = *symbol;
                // Unsubscribed meanwhile: nothing is owed any more.
                if let Some(member) = session.portfolio.find_mut(symbol) {
                    match sampler.sample(member, Want::Snapshot) {
                        Sampled::Done => member.owed = false,
                        stopped => return stopped,
                    }
                }
            }
            Owed::Covered { next, end } => {
                if let Some(wildcard) = session.portfolio.wildcard.as_mut() {
                    let members = &mut wildcard.group.members;
                    while *next < (*end).min(members.len() as u32) {
                        let member = &mut members[*next as usize];
                        if !member.channels.is_empty() {
                            match sampler.sample(member, Want::Snapshot) {
                                Sampled::Done => {}
                                stopped => return stopped,
                            }
                        }
                        *next += 1;
                    }
                }
            }
            Owed::Ready(command_id) => {
                let start = sampler.frame.checkpoint();
                sampler.frame.entry(&Entry::Ready { command_id: *command_id }, None);
                if !sampler.frame.keep(start) {
                    return Sampled::Full;
                }
                sampler.stats.readies += 1;
            }
        }
        session.owed.pop_front();
    }
    // Most sessions owe nothing again for hours.
    session.owed = VecDeque::new();
    Sampled::Done
}

fn flush_named(group: &mut Group, sampler: &mut Sampler<'_>, schedule: &Schedule) -> Sampled {
    let find = |members: &[Subscription], symbol| {
        members.binary_search_by_key(&symbol, |member| member.symbol).ok()
    };
    match flush_moved(group, sampler, find) {
        Sampled::Done if group.is_flush_due() => {}
        finished => return finished,
    }
    if group.is_realtime() && !group.look_at_all {
        return flush_changed(group, sampler);
    }
    let want = want_of(group, schedule);
    sampler.newest = group.is_realtime();
    let first = group.from.min(group.members.len());
    let (before, after) = group.members.split_at_mut(first);
    let mut result = Sampled::Done;
    for (start, members) in [(first, after), (0, before)] {
        match flush_members(members, want, sampler) {
            (Sampled::Full, at) => {
                group.from = start + at;
                return Sampled::Full;
            }
            (Sampled::Busy, _) => result = Sampled::Busy,
            (Sampled::Done, _) => {}
        }
    }
    result
}

/// Flushes members in order; says where it stopped when the frame is full.
fn flush_members(
    members: &mut [Subscription],
    want: Want,
    sampler: &mut Sampler<'_>,
) -> (Sampled, usize) {
    let mut result = Sampled::Done;
    for (chunk, members) in members.chunks_mut(TOUCHED_AT_ONCE).enumerate() {
        sampler.cache.touch(sampler.frame.dialect(), members, sampler.hub);
        for (at, member) in members.iter_mut().enumerate() {
            // Its snapshot comes first and holds all there is.
            if member.owed {
                continue;
            }
            match sampler.sample(member, want) {
                Sampled::Done => {}
                Sampled::Full => return (Sampled::Full, chunk * TOUCHED_AT_ONCE + at),
                Sampled::Busy => result = Sampled::Busy,
            }
        }
    }
    (result, 0)
}

/// What has just come from a group of another interval, as [`Group::moved_in`] promises. `find`
/// says where a symbol is among the members.
fn flush_moved(
    group: &mut Group,
    sampler: &mut Sampler<'_>,
    find: impl Fn(&[Subscription], u32) -> Option<usize>,
) -> Sampled {
    let mut looked = 0;
    let mut stopped = Sampled::Done;
    group.settle_moved();
    for moved in &group.moved {
        if let Some(at) = find(&group.members, moved.symbol)
            && let member = &mut group.members[at]
            && !member.channels.is_empty()
        {
            let want = Want::Moved { interval_ticks: moved.ticks, at: moved.at };
            stopped = sampler.sample(member, want);
            if stopped != Sampled::Done {
                break;
            }
        }
        looked += 1;
    }
    group.moved.drain(..looked);
    stopped
}

/// Real time: only the symbols that changed, in the order in which they did.
fn flush_changed(group: &mut Group, sampler: &mut Sampler<'_>) -> Sampled {
    sampler.newest = true;
    let mut looked = 0;
    let mut stopped = Sampled::Done;
    for symbol in &group.changed {
        if let Ok(at) = group.members.binary_search_by_key(symbol, |member| member.symbol)
            && !group.members[at].owed
        {
            stopped = sampler.sample(&mut group.members[at], Want::Changes { interval_ticks: 0 });
            if stopped != Sampled::Done {
                break;
            }
        }
        looked += 1;
    }
    group.changed.drain(..looked);
    stopped
}

fn flush_wildcard(
    wildcard: &mut Wildcard,
    sampler: &mut Sampler<'_>,
    schedule: &Schedule,
) -> Sampled {
    let find = |members: &[Subscription], symbol: u32| {
        Some(symbol as usize).filter(|at| *at < members.len())
    };
    match flush_moved(&mut wildcard.group, sampler, find) {
        Sampled::Done if wildcard.group.is_flush_due() => {}
        finished => return finished,
    }
    let want = want_of(&wildcard.group, schedule);
    let tape_only = want == Want::Tape;
    // Its marks go with what was read, so nothing read before they were set will do.
    sampler.newest = true;
    let mut result = Sampled::Done;
    // One round: from where the last frame ended to the end, then from the beginning to there.
    let first = wildcard.group.from as u32;
    for (mut from, to) in [(first, u32::MAX), (0, first)] {
        while let Some(symbol) = wildcard.next_changed(from, tape_only) {
            if symbol >= to {
                break;
            }
            from = symbol + 1;
            let Some(member) = wildcard.group.members.get_mut(symbol as usize) else { break };
            if member.channels.is_empty() {
                wildcard.unmark(symbol, tape_only);
                continue;
            }
            let before = *member;
            sampler.left_bars = false;
            let sampled = sampler.sample(member, want);
            // Too early for its next state entry: it stays marked for the next flush.
            let early = !tape_only && (sampler.left_bars || too_early(&before, sampler.tick, want));
            match sampled {
                Sampled::Done if early => {}
                Sampled::Done => wildcard.unmark(symbol, tape_only),
                Sampled::Full => {
                    wildcard.group.from = symbol as usize;
                    return Sampled::Full;
                }
                Sampled::Busy => result = Sampled::Busy,
            }
        }
    }
    result
}

/// True when a change of `member` may have been left alone because its interval had not passed.
fn too_early(before: &Subscription, tick: u64, want: Want) -> bool {
    let Want::Changes { interval_ticks } = want else { return false };
    let early = |sent_tick| u64::from((tick as u32).wrapping_sub(sent_tick)) < interval_ticks;
    early(before.quote_tick) || early(before.last_tick)
}

fn want_of(group: &Group, schedule: &Schedule) -> Want {
    if group.is_realtime() {
        Want::Changes { interval_ticks: 0 }
    } else if group.state_due {
        Want::Changes { interval_ticks: schedule.ticks(group.interval_ms) }
    } else {
        Want::Tape
    }
}
