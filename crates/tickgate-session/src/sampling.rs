//! Samples the hub for one subscription: what changed since its cursors becomes entries.

use tickgate_hub::{Busy, Hub, StateRecord, SymbolState};
use tickgate_protocol::{
    channel::Channel,
    definition::Definition,
    dialect::Dialect,
    entry::{Entry, StateEntry, StatusEntry, Step},
    number::{ABSENT, LIMIT},
    symbol::{SymbolIndex, WireId},
};

use crate::{
    cache::EntryCache,
    frame::FrameBuilder,
    stats::EngineStats,
    subscription::{NEVER, Subscription, UNDEFINED},
};

/// One frame being filled, and what it is filled from.
pub(crate) struct Sampler<'a> {
    pub(crate) hub: &'a Hub,
    pub(crate) frame: &'a mut FrameBuilder,
    pub(crate) cache: &'a mut EntryCache,
    pub(crate) stats: &'a mut EngineStats,
    /// Unix time of the engine tick, microseconds.
    pub(crate) sent_at_us: i64,
    /// The flush tick in force.
    pub(crate) tick: u64,
    /// Cause bits of the frame, for the merges in it.
    pub(crate) cause: u8,
    /// Entries shared within the pass may be a pass old; a real-time session wants the newest.
    pub(crate) newest: bool,
}

/// How far the sampling of a subscription came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sampled {
    /// Nothing is left to send.
    Done,
    /// The frame is full; what did not fit is still due.
    Full,
    /// A cell was mid-write four times over; it is still due.
    Busy,
}

/// What to look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Want {
    /// What was never sent, in full.
    Snapshot,
    /// Everything that changed, the state only if `interval_ticks` passed since it last left.
    Changes { interval_ticks: u64 },
    /// The same for what came from another group at the tick `at`, unless it left since then.
    Moved { interval_ticks: u64, at: u32 },
    /// The tape and the status, between two flushes.
    Tape,
    /// The status alone, as far as no trade comes before it.
    Status,
}

impl Sampler<'_> {
    /// Appends what `member` is to be sent. Its cursors move with the entries, never without.
    pub(crate) fn sample(&mut self, member: &mut Subscription, want: Want) -> Sampled {
        let trades = member.channels.has(Channel::Trade);
        // By far the most samples are of this kind, and often all they need is in the cache. A
        // changed status has made the session due by itself.
        if matches!(want, Want::Changes { .. }) && member.id != UNDEFINED && !trades {
            return self.state(member, want);
        }
        let Some(symbol) = self.hub.symbol(SymbolIndex(member.symbol)) else {
            return Sampled::Done;
        };
        if member.id == UNDEFINED {
            let start = self.frame.checkpoint();
            let before = *member;
            if let Err(Busy) = self.define(member, symbol) {
                return self.busy();
            }
            if !self.frame.keep(start) {
                *member = before;
                return Sampled::Full;
            }
        }
        // The tape comes first: a definition under a new id would otherwise overtake trades.
        if trades || u64::from(member.status_cursor) != symbol.status_sequence() {
            match self.tape(member, symbol, want) {
                Sampled::Done => {}
                stopped => return stopped,
            }
        }
        if matches!(want, Want::Tape | Want::Status) {
            return Sampled::Done;
        }
        self.state(member, want)
    }

    /// Quote and last, each kept or taken back whole.
    fn state(&mut self, member: &mut Subscription, want: Want) -> Sampled {
        for channel in [Channel::Quote, Channel::Last] {
            if !member.channels.has(channel) || !self.is_allowed(member, channel, want) {
                continue;
            }
            let start = self.frame.checkpoint();
            if let Some(sequence) = self.copy_shared(channel, member) {
                if !self.frame.keep(start) {
                    return Sampled::Full;
                }
                self.moved(channel, member, member.cursor(channel), sequence);
                continue;
            }
            let before = *member;
            let sampled = match channel {
                Channel::Quote => self.quote(member),
                _ => self.last(member),
            };
            if sampled != Sampled::Done {
                self.frame.undo(start);
                *member = before;
                return sampled;
            }
            if self.frame.count() == start.count() {
                continue;
            }
            if !self.frame.keep(start) {
                *member = before;
                return Sampled::Full;
            }
            self.stats.left(before.forgotten(member), 0);
            self.moved(channel, member, before.cursor(channel), member.cursor(channel));
        }
        Sampled::Done
    }

    /// A snapshot sends what was never sent; a flush also what changed, once its interval passed.
    fn is_allowed(&self, member: &Subscription, channel: Channel, want: Want) -> bool {
        let (cursor, sent_tick) = match channel {
            Channel::Quote => (member.quote_cursor, member.quote_tick),
            _ => (member.last_cursor, member.last_tick),
        };
        // Ticks wrap around.
        let passed = u64::from((self.tick as u32).wrapping_sub(sent_tick));
        match want {
            _ if cursor == NEVER => true,
            Want::Changes { interval_ticks } => passed >= interval_ticks,
            Want::Moved { interval_ticks, at } => {
                let since_move = u64::from((self.tick as u32).wrapping_sub(at));
                passed > since_move && passed >= interval_ticks
            }
            Want::Snapshot | Want::Tape | Want::Status => false,
        }
    }

    fn quote(&mut self, member: &mut Subscription) -> Sampled {
        let cursor = member.quote_cursor;
        let Some(symbol) = self.hub.symbol(SymbolIndex(member.symbol)) else {
            return Sampled::Done;
        };
        let record = if self.newest || cursor == NEVER {
            symbol.quote()
        } else {
            self.cache.quotes.get_or_read(member.symbol, || symbol.quote())
        };
        let Ok(record) = record else { return self.busy() };
        if cursor != NEVER && record.sequence <= cursor {
            return Sampled::Done;
        }
        if record.id != member.id
            && let Err(Busy) = self.redefine(member, symbol, record.id)
        {
            return self.busy();
        }
        let cursor = member.quote_cursor;
        let Some(entry) = delta(&record, cursor, member.quote_fields, self.sent_at_us) else {
            return Sampled::Done;
        };
        let place = member.shares(Channel::Quote).then_some((Channel::Quote, record.sequence));
        self.append_state(member, symbol, &Entry::Quote(entry), place);
        member.quote_cursor = record.sequence;
        Sampled::Done
    }

    fn last(&mut self, member: &mut Subscription) -> Sampled {
        let cursor = member.last_cursor;
        let Some(symbol) = self.hub.symbol(SymbolIndex(member.symbol)) else {
            return Sampled::Done;
        };
        let record = if self.newest || cursor == NEVER {
            symbol.last()
        } else {
            self.cache.lasts.get_or_read(member.symbol, || symbol.last())
        };
        let Ok(record) = record else { return self.busy() };
        if cursor != NEVER && record.sequence <= cursor {
            return Sampled::Done;
        }
        if record.id != member.id
            && let Err(Busy) = self.redefine(member, symbol, record.id)
        {
            return self.busy();
        }
        let cursor = member.last_cursor;
        let Some(entry) = delta(&record, cursor, member.last_fields, self.sent_at_us) else {
            return Sampled::Done;
        };
        let place = member.shares(Channel::Last).then_some((Channel::Last, record.sequence));
        self.append_state(member, symbol, &Entry::Last(entry), place);
        member.last_cursor = record.sequence;
        Sampled::Done
    }

    /// Copies the delta another session of the pass had encoded from the same cursor; says the
    /// sequence it leads to.
    fn copy_shared(&mut self, channel: Channel, member: &Subscription) -> Option<u64> {
        if !member.shares(channel) {
            return None;
        }
        let dialect = self.frame.dialect();
        let cursor = member.cursor(channel);
        let hit = self.cache.get(dialect, channel, member.symbol, member.id, cursor)?;
        if self.newest {
            let symbol = self.hub.symbol(SymbolIndex(member.symbol))?;
            let head = match channel {
                Channel::Quote => symbol.quote_sequence(),
                _ => symbol.last_sequence(),
            };
            if hit.sequence != head {
                return None;
            }
        }
        self.frame.copy(&hit);
        self.stats.shared_entries += 1;
        Some(hit.sequence)
    }

    /// Appends an entry, and keeps its bytes for others where they share: `place` is the channel
    /// and the sequence it leads to from the member's cursor.
    fn append_state(
        &mut self,
        member: &Subscription,
        symbol: &SymbolState,
        entry: &Entry,
        place: Option<(Channel, u64)>,
    ) {
        let dialect = self.frame.dialect();
        let definition = definition_for(dialect, symbol, member.id);
        let bytes = self.frame.entry(entry, definition.as_deref());
        if let Some((channel, sequence)) = place {
            let cursor = member.cursor(channel);
            self.cache.put(dialect, channel, member.symbol, member.id, cursor, sequence, bytes);
        }
    }

    /// Sends the definition in force, with the status of the moment.
    pub(crate) fn define(
        &mut self,
        member: &mut Subscription,
        symbol: &SymbolState,
    ) -> Result<(), Busy> {
        let mut definition = Definition::clone(&*symbol.definition());
        let status = current_status(symbol)?;
        definition.status = status.status;
        definition.status_sequence = status.sequence;
        self.frame.entry(&Entry::Definition(definition.clone()), Some(&definition));
        member.id = definition.id;
        member.status_cursor = status.sequence as u32;
        Ok(())
    }

    /// The symbol's scale became finer: its id is retired. State goes out in full under the new
    /// one.
    pub(crate) fn redefine(
        &mut self,
        member: &mut Subscription,
        symbol: &SymbolState,
        id: u32,
    ) -> Result<(), Busy> {
        let definition = symbol.definition();
        if definition.id != id {
            return Err(Busy);
        }
        let mut definition = Definition::clone(&definition);
        // The status the client knows; a later change follows as an entry of its own. One that the
        // small tape has lapped is known to nobody any more: then the newest.
        let status =
            known_status(symbol, member.status_cursor).or_else(|Busy| current_status(symbol))?;
        let passed = status.sequence.saturating_sub(u64::from(member.status_cursor) + 1);
        self.stats.statuses_lost += passed;
        member.status_cursor = status.sequence as u32;
        definition.status = status.status;
        definition.status_sequence = status.sequence;
        self.frame.entry(&Entry::Definition(definition.clone()), Some(&definition));
        member.id = id;
        member.forget_state();
        Ok(())
    }

    pub(crate) fn busy(&mut self) -> Sampled {
        self.stats.busy_reads += 1;
        Sampled::Busy
    }

    /// An entry is in the frame that moves the cursor of a channel.
    fn moved(&mut self, channel: Channel, member: &mut Subscription, from: u64, to: u64) {
        let tick = self.tick as u32;
        if channel == Channel::Quote {
            self.stats.quotes += 1;
            (member.quote_cursor, member.quote_tick) = (to, tick);
        } else {
            self.stats.lasts += 1;
            (member.last_cursor, member.last_tick) = (to, tick);
        }
        if from == NEVER {
            self.stats.snapshots += 1;
            self.stats.joined_at = self.stats.joined_at.wrapping_add(to);
        } else {
            self.stats.merged[usize::from(self.cause)] += to - from - 1;
        }
    }
}

/// Only JSON needs the definition with each entry: the one its numbers are scaled by.
pub(crate) fn definition_for(
    dialect: Dialect,
    symbol: &SymbolState,
    id: WireId,
) -> Option<std::sync::Arc<Definition>> {
    if dialect == Dialect::Json { symbol.definition_of(id) } else { None }
}

/// Frame time less the venue's time, rounded down; absent where the venue gives none.
pub(crate) fn age_us(sent_at_us: i64, event_time_ns: i64) -> i64 {
    if event_time_ns == ABSENT {
        return ABSENT;
    }
    let age_ns = i128::from(sent_at_us) * 1_000 - i128::from(event_time_ns);
    (age_ns.div_euclid(1_000)).clamp(-i128::from(LIMIT), i128::from(LIMIT)) as i64
}

/// An entry of a status change.
pub(crate) fn status_entry(
    id: Option<u32>,
    record: &tickgate_hub::StatusRecord,
    sent_at_us: i64,
) -> Entry {
    Entry::Status(StatusEntry {
        id,
        status_sequence: record.sequence,
        status: record.status,
        reason: record.reason,
        age_us: age_us(sent_at_us, record.event_time_ns),
    })
}

/// The step from `cursor` to what the cell holds, or `None` when no selected field changed.
fn delta<const N: usize>(
    record: &StateRecord<N>,
    cursor: u64,
    selected: u8,
    sent_at_us: i64,
) -> Option<StateEntry<N>> {
    let changed = if cursor == NEVER { None } else { record.changed_since(cursor) };
    let (step, mask) = match changed {
        None => (Step::Full { sequence: record.sequence }, selected),
        Some(changed) if changed & selected == 0 => return None,
        Some(changed) => (Step::Delta { advance: record.sequence - cursor }, changed & selected),
    };
    let mut fields = [ABSENT; N];
    for (at, field) in fields.iter_mut().enumerate() {
        if mask & (1 << at) != 0 {
            *field = record.fields[at];
        }
    }
    let age_us = age_us(sent_at_us, record.event_time_ns);
    Some(StateEntry { id: record.id, step, age_us, mask, fields })
}

/// The newest status.
fn current_status(symbol: &SymbolState) -> Result<tickgate_hub::StatusRecord, Busy> {
    let sequence = symbol.status_sequence();
    known_status(symbol, sequence as u32)
}

/// The status at `sequence`, where it is still known.
fn known_status(symbol: &SymbolState, sequence: u32) -> Result<tickgate_hub::StatusRecord, Busy> {
    use tickgate_hub::{StatusRead, StatusRecord};
    use tickgate_protocol::tick::{Reason, Status};
    if sequence == 0 {
        return Ok(StatusRecord {
            sequence: 0,
            status: Status::Trading,
            reason: Reason::None,
            event_time_ns: ABSENT,
            after_trade: 0,
        });
    }
    match symbol.status_read(u64::from(sequence)) {
        StatusRead::Record(record) => Ok(record),
        StatusRead::Lapped | StatusRead::NotYet => Err(Busy),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_rounded_down_and_signed() {
        assert_eq!(age_us(1_000, 999_999), 0);
        assert_eq!(age_us(1_000, 999_000), 1);
        assert_eq!(age_us(1_000, 1_000_001), -1);
        assert_eq!(age_us(1_000, ABSENT), ABSENT);
        assert_eq!(age_us(i64::MAX, 0), LIMIT);
    }

    #[test]
    fn updates_to_fields_not_selected_wait() {
        let record = StateRecord {
            id: 1,
            sequence: 12,
            event_time_ns: ABSENT,
            fields: [5, 6, 7, 8, 0],
            changed: [12, 11, 3, 3, 0],
        };
        assert_eq!(delta(&record, 11, 0b00010, 0), None);
        let entry = delta(&record, 10, 0b00010, 0).expect("bid size changed at 11");
        assert_eq!(entry.step, Step::Delta { advance: 2 });
        assert_eq!((entry.mask, entry.fields), (0b00010, [ABSENT, 6, ABSENT, ABSENT, ABSENT]));
        let full = delta(&record, NEVER, 0b00011, 0).expect("never sent");
        assert_eq!(full.fields, [5, 6, ABSENT, ABSENT, ABSENT]);
    }
}
