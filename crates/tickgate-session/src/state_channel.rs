//! The two channels that are conflated to a last value, quote and last, seen alike.

use tickgate_hub::{Busy, StateRecord, SymbolState};
use tickgate_protocol::{
    channel::Channel,
    entry::{Entry, StateEntry, last_field, quote_field},
};

use crate::{
    cache::{EntryCache, Records},
    stats::EngineStats,
    subscription::{ALL_LAST_FIELDS, ALL_QUOTE_FIELDS, Subscription},
};

/// A channel of `N` fields: where its state is, and what a subscription knows of it.
pub(crate) trait StateChannel<const N: usize> {
    const CHANNEL: Channel;
    const ALL_FIELDS: u8;
    /// Where it stands where there is one of each.
    const PLACE: usize;

    /// The newest sequence.
    fn head(symbol: &SymbolState) -> u64;
    fn read(symbol: &SymbolState) -> Result<StateRecord<N>, Busy>;
    /// What the pass has read of it.
    fn records(cache: &mut EntryCache) -> &mut Records<N>;
    fn entry(entry: StateEntry<N>) -> Entry;

    /// What was sent last, or [`crate::subscription::NEVER`].
    fn cursor(member: &Subscription) -> u64;
    /// Flush tick in which it was.
    fn sent_tick(member: &Subscription) -> u32;
    fn set_cursor(member: &mut Subscription, sequence: u64, tick: u32);
    /// Fields the client wants.
    fn selected(member: &Subscription) -> u8;
    /// Counts an entry that was not copied.
    fn count(stats: &mut EngineStats);
}

/// The quote channel.
pub(crate) struct Quotes;

impl StateChannel<{ quote_field::COUNT }> for Quotes {
    const CHANNEL: Channel = Channel::Quote;
    const ALL_FIELDS: u8 = ALL_QUOTE_FIELDS;
    const PLACE: usize = 0;

    fn head(symbol: &SymbolState) -> u64 {
        symbol.quote_sequence()
    }

    fn read(symbol: &SymbolState) -> Result<StateRecord<{ quote_field::COUNT }>, Busy> {
        symbol.quote()
    }

    fn records(cache: &mut EntryCache) -> &mut Records<{ quote_field::COUNT }> {
        &mut cache.quotes
    }

    fn entry(entry: StateEntry<{ quote_field::COUNT }>) -> Entry {
        Entry::Quote(entry)
    }

    fn cursor(member: &Subscription) -> u64 {
        member.quote_cursor
    }

    fn sent_tick(member: &Subscription) -> u32 {
        member.quote_tick
    }

    fn set_cursor(member: &mut Subscription, sequence: u64, tick: u32) {
        (member.quote_cursor, member.quote_tick) = (sequence, tick);
    }

    fn selected(member: &Subscription) -> u8 {
        member.quote_fields
    }

    fn count(stats: &mut EngineStats) {
        stats.quotes += 1;
    }
}

/// The channel of last-trade figures.
pub(crate) struct Lasts;

impl StateChannel<{ last_field::COUNT }> for Lasts {
    const CHANNEL: Channel = Channel::Last;
    const ALL_FIELDS: u8 = ALL_LAST_FIELDS;
    const PLACE: usize = 1;

    fn head(symbol: &SymbolState) -> u64 {
        symbol.last_sequence()
    }

    fn read(symbol: &SymbolState) -> Result<StateRecord<{ last_field::COUNT }>, Busy> {
        symbol.last()
    }

    fn records(cache: &mut EntryCache) -> &mut Records<{ last_field::COUNT }> {
        &mut cache.lasts
    }

    fn entry(entry: StateEntry<{ last_field::COUNT }>) -> Entry {
        Entry::Last(entry)
    }

    fn cursor(member: &Subscription) -> u64 {
        member.last_cursor
    }

    fn sent_tick(member: &Subscription) -> u32 {
        member.last_tick
    }

    fn set_cursor(member: &mut Subscription, sequence: u64, tick: u32) {
        (member.last_cursor, member.last_tick) = (sequence, tick);
    }

    fn selected(member: &Subscription) -> u8 {
        member.last_fields
    }

    fn count(stats: &mut EngineStats) {
        stats.lasts += 1;
    }
}
