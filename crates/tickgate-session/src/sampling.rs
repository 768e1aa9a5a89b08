//! Samples the hub for one subscription: what changed since its cursors becomes entries.

use tickgate_hub::{Busy, Hub, StateRecord, SymbolState};
use tickgate_protocol::{
    channel::{Channel, Channels},
    definition::Definition,
    dialect::Dialect,
    entry::{Entry, StateEntry, StatusEntry, Step},
    number::{ABSENT, LIMIT},
    symbol::{SymbolIndex, WireId},
};

use crate::{
    bar_cursors::BarCursors,
    cache::EntryCache,
    frame::{Checkpoint, FrameBuilder},
    state_channel::{Lasts, Quotes, StateChannel},
    stats::EngineStats,
    subscription::{NEVER, PROMPT, Subscription, UNDEFINED},
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
    /// The largest `age_us` of the changes in the frame; [`ABSENT`] without any. What is sent in
    /// full is no change, however old. Entries that were copied are not looked at
    /// ([`EntryCache::hide_entries`]).
    pub(crate) oldest_us: i64,
    pub(crate) tally: Tally,
    /// Where the session stands in bar channels; given back with the frame.
    pub(crate) bars: Option<Box<BarCursors>>,
    /// A bar in progress was left for the end of its interval.
    pub(crate) left_bars: bool,
}

/// What is counted of a frame's state entries, added to the engine's figures once for the frame: an
/// entry that is copied takes few instructions, and each counter would be a hundredth of them.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Entries copied, of quote and of last.
    copied: [u64; 2],
    /// How far these moved their cursors, together: each by one, and by what it merged.
    advanced: u64,
    /// Updates merged into entries that were not copied.
    merged: u64,
}

impl Tally {
    /// Changes of bars that came with a later one.
    pub(crate) fn merge(&mut self, changes: u64) {
        self.merged += changes;
    }
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
    /// The tape, the status and closed bars, between two flushes.
    Tape,
    /// The status alone, as far as no trade comes before it.
    Status,
}

impl Sampler<'_> {
    /// Appends what `member` is to be sent. Its cursors move with the entries, never without.
    #[inline]
    pub(crate) fn sample(&mut self, member: &mut Subscription, want: Want) -> Sampled {
        // By far the most samples are of this kind, and often all they need is in the cache. A
        // changed status has made the session due by itself.
        let prompt = member.channels.has_any(PROMPT);
        if matches!(want, Want::Changes { .. }) && member.id != UNDEFINED && !prompt {
            return self.state(member, want);
        }
        self.sample_all(member, want)
    }

    /// Definition, tape, status, bars and state.
    #[inline(never)]
    fn sample_all(&mut self, member: &mut Subscription, want: Want) -> Sampled {
        let trades = member.channels.has(Channel::Trade);
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
        if want == Want::Status {
            return Sampled::Done;
        }
        if member.channels.has_any(Channels::BARS) {
            match self.bars(member, symbol, want) {
                Sampled::Done => {}
                stopped => return stopped,
            }
        }
        if want == Want::Tape {
            return Sampled::Done;
        }
        self.state(member, want)
    }

    /// Quote and last, each kept or taken back whole.
    #[inline]
    fn state(&mut self, member: &mut Subscription, want: Want) -> Sampled {
        if member.channels.has(Channel::Quote) {
            match self.state_of::<Quotes, _>(member, want) {
                Sampled::Done => {}
                stopped => return stopped,
            }
        }
        if member.channels.has(Channel::Last) {
            return self.state_of::<Lasts, _>(member, want);
        }
        Sampled::Done
    }

    #[inline]
    fn state_of<C: StateChannel<N>, const N: usize>(
        &mut self,
        member: &mut Subscription,
        want: Want,
    ) -> Sampled {
        let cursor = C::cursor(member);
        if !self.is_allowed(cursor, C::sent_tick(member), want) {
            return Sampled::Done;
        }
        let shares = cursor != NEVER && C::selected(member) == C::ALL_FIELDS;
        // The delta that another session of the pass had encoded from the same cursor.
        let key = (self.frame.dialect(), C::CHANNEL, member.symbol);
        if shares
            && let Some(shared) = self.cache.get(key, member.id, cursor)
            && (!self.newest || self.head::<C, N>(member) == Some(shared.sequence))
        {
            let sequence = shared.sequence;
            if !self.frame.copy(&shared) {
                return Sampled::Full;
            }
            C::set_cursor(member, sequence, self.tick as u32);
            self.tally.copied[C::PLACE] += 1;
            self.tally.advanced += sequence - cursor;
            return Sampled::Done;
        }
        self.encode_state::<C, N>(member, shares)
    }

    fn head<C: StateChannel<N>, const N: usize>(&self, member: &Subscription) -> Option<u64> {
        self.hub.symbol(SymbolIndex(member.symbol)).map(C::head)
    }

    /// A snapshot sends what was never sent; a flush also what changed, once its interval passed.
    pub(crate) fn is_allowed(&self, cursor: u64, sent_tick: u32, want: Want) -> bool {
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

    /// Reads the cell and appends what changed since the member's cursor. `shares`: its bytes may
    /// go to others, too.
    #[inline(never)]
    fn encode_state<C: StateChannel<N>, const N: usize>(
        &mut self,
        member: &mut Subscription,
        shares: bool,
    ) -> Sampled {
        let cursor = C::cursor(member);
        let Some(symbol) = self.hub.symbol(SymbolIndex(member.symbol)) else {
            return Sampled::Done;
        };
        let fresh;
        let record = if self.newest || cursor == NEVER {
            fresh = C::read(symbol);
            fresh.as_ref().map_err(|Busy| Busy)
        } else {
            C::records(self.cache).get_or_read(member.symbol, || C::read(symbol))
        };
        let Ok(record) = record else {
            return self.busy();
        };
        if cursor != NEVER && record.sequence <= cursor {
            return Sampled::Done;
        }
        let start = self.frame.checkpoint();
        if record.id != member.id {
            let record = *record;
            return self.redefined_state::<C, N>(member, symbol, &record, start);
        }
        let selected = C::selected(member);
        let sequence = record.sequence;
        let Some(entry) = delta(record, cursor, selected, self.sent_at_us) else {
            return Sampled::Done;
        };
        let dialect = self.frame.dialect();
        let definition = definition_for(dialect, symbol, member.id);
        let age_us = entry.age_us;
        let bytes = self.frame.entry(&C::entry(entry), definition.as_deref());
        if shares {
            let key = (dialect, C::CHANNEL, member.symbol);
            self.cache.put(key, member.id, cursor, sequence, bytes);
        }
        if !self.frame.keep(start) {
            return Sampled::Full;
        }
        if cursor != NEVER {
            self.oldest_us = self.oldest_us.max(age_us);
        }
        self.moved::<C, N>(member, cursor, sequence);
        Sampled::Done
    }

    /// The state under a new definition: that first, then the state in full, both or neither.
    #[cold]
    fn redefined_state<C: StateChannel<N>, const N: usize>(
        &mut self,
        member: &mut Subscription,
        symbol: &SymbolState,
        record: &StateRecord<N>,
        start: Checkpoint,
    ) -> Sampled {
        let before = *member;
        if let Err(Busy) = self.redefine(member, symbol, record.id) {
            self.frame.undo(start);
            *member = before;
            return self.busy();
        }
        if let Some(entry) = delta(record, NEVER, C::selected(member), self.sent_at_us) {
            let definition = definition_for(self.frame.dialect(), symbol, member.id);
            self.frame.entry(&C::entry(entry), definition.as_deref());
        }
        if !self.frame.keep(start) {
            *member = before;
            return Sampled::Full;
        }
        self.stats.left(before.forgotten(member), 0);
        // In full, so it is a join, which passes nothing over.
        self.moved::<C, N>(member, NEVER, record.sequence);
        Sampled::Done
    }

    /// Sends the definition in force, with the status of the moment.
    pub(crate) fn define(
        &mut self,
        member: &mut Subscription,
        symbol: &SymbolState,
    ) -> Result<(), Busy> {
        // The status first: a session that begins in between is then told once more, not never.
        let status = current_status(symbol)?;
        let mut definition = Definition::clone(&*symbol.definition());
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
    fn moved<C: StateChannel<N>, const N: usize>(
        &mut self,
        member: &mut Subscription,
        from: u64,
        to: u64,
    ) {
        C::set_cursor(member, to, self.tick as u32);
        C::count(self.stats);
        if from == NEVER {
            self.stats.snapshots += 1;
            self.stats.joined_at = self.stats.joined_at.wrapping_add(to);
        } else {
            self.tally.merged += to - from - 1;
        }
    }

    /// The frame is filled: brings the engine's figures up to date, and says how many updates were
    /// merged into its entries.
    pub(crate) fn settle(&mut self) -> u64 {
        let Tally { copied: [quotes, lasts], advanced, merged } = std::mem::take(&mut self.tally);
        let shared = quotes + lasts;
        let merged = merged + (advanced - shared);
        self.stats.quotes += quotes;
        self.stats.lasts += lasts;
        self.stats.shared_entries += shared;
        self.stats.merged[usize::from(self.cause)] += merged;
        merged
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
    let age_ns = sent_at_us.checked_mul(1_000).and_then(|ns| ns.checked_sub(event_time_ns));
    let age_us = match age_ns {
        Some(age_ns) => age_ns.div_euclid(1_000),
        // Centuries from now or ago.
        None => {
            let age_ns = i128::from(sent_at_us) * 1_000 - i128::from(event_time_ns);
            age_ns.div_euclid(1_000).clamp(i64::MIN.into(), i64::MAX.into()) as i64
        }
    };
    age_us.clamp(-LIMIT, LIMIT)
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
            session_date: 0,
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
        // Where nanoseconds leave 64 bits, their difference may not.
        let (sent_at_us, event_time_ns) = (9_300_000_000_000_000, 9_000_000_000_000_000_000);
        assert_eq!(age_us(sent_at_us, event_time_ns), 300_000_000_000_000);
    }

    #[test]
    fn a_read_that_is_given_up_is_counted() {
        let hub = Hub::new(tickgate_hub::HubConfig::default(), 1).expect("the sizes are good");
        let mut stats = EngineStats::default();
        let mut sampler = Sampler {
            hub: &hub,
            frame: &mut FrameBuilder::new(2_048),
            cache: &mut EntryCache::default(),
            stats: &mut stats,
            sent_at_us: 0,
            tick: 0,
            cause: 0,
            newest: false,
            oldest_us: ABSENT,
            tally: Tally::default(),
            bars: None,
            left_bars: false,
        };
        assert_eq!([sampler.busy(), sampler.busy()], [Sampled::Busy; 2]);
        assert_eq!(stats.busy_reads, 2);
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
