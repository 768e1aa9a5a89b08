//! Entries encoded once and copied into the frames of every session with the same cursor.
//!
//! Frames of one pass share `sent_at_us`, so an encoded `age_us` stays true for all of them. A
//! slot remembers one cursor per symbol and channel: sessions of one phase share it. They keep
//! sharing it, because a pass reads each cell once and takes all its throttled sessions to the
//! same sequence; what changes later in the pass is there for the next one.
//!
//! Capacity: one slot and one record per symbol and channel. An entry longer than
//! [`ENTRY_LIMIT_BYTES`] is not shared: each session encodes its own.

use std::hint::black_box;

use tickgate_hub::{Busy, Hub, StateRecord, SymbolState};
use tickgate_protocol::{
    channel::Channel,
    dialect::Dialect,
    entry::{last_field, quote_field},
    symbol::{SymbolIndex, WireId},
};

use crate::{bar_cache::BarCache, subscription::Subscription};

/// Longest entry that is shared: with it a slot fills one cache line. A quote that changed in all
/// fields takes about 30 bytes in MessagePack.
pub(crate) const ENTRY_LIMIT_BYTES: usize = 39;

/// A pass that no entry is of.
const HIDDEN: u32 = u32::MAX;

/// Entries of one pass.
#[derive(Debug, Default)]
pub(crate) struct EntryCache {
    pass: u32,
    slots: [Vec<Slot>; Dialect::ALL.len()],
    pub(crate) quotes: Records<{ quote_field::COUNT }>,
    pub(crate) lasts: Records<{ last_field::COUNT }>,
    pub(crate) bars: BarCache,
}

/// What a pass has read of one channel, by symbol.
#[derive(Debug, Default)]
pub(crate) struct Records<const N: usize> {
    pass: u32,
    read: Vec<(u32, StateRecord<N>)>,
}

impl<const N: usize> Records<N> {
    /// The record of this pass, read now if it has not been.
    pub(crate) fn get_or_read(
        &mut self,
        symbol: u32,
        read: impl FnOnce() -> Result<StateRecord<N>, Busy>,
    ) -> Result<&StateRecord<N>, Busy> {
        let at = symbol as usize;
        if self.read.len() <= at {
            // Pass 0 is never in force, so these count as unread.
            self.read.resize(at + 1, (0, StateRecord::empty(0)));
        }
        let (pass, record) = &mut self.read[at];
        if *pass != self.pass {
            *record = read()?;
            *pass = self.pass;
        }
        Ok(record)
    }
}

#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
struct Slot {
    cursor: u64,
    sequence: u64,
    pass: u32,
    id: WireId,
    length: u8,
    bytes: [u8; ENTRY_LIMIT_BYTES],
}

/// An encoded delta from the asked-for cursor.
pub(crate) struct Shared<'a> {
    /// The sequence it leads to.
    pub(crate) sequence: u64,
    /// Its bytes, and more behind them: a copy of fixed size costs less than one of the right size.
    pub(crate) padded: &'a [u8; ENTRY_LIMIT_BYTES],
    pub(crate) length: usize,
}

impl EntryCache {
    /// Forgets everything: the time has moved on.
    pub(crate) fn next_pass(&mut self) {
        self.pass = self.quotes.pass + 1;
        if self.pass == HIDDEN {
            // After as many passes as there are numbers a forgotten slot could look current.
            *self = Self { pass: 1, ..Self::default() };
        }
        self.quotes.pass = self.pass;
        self.lasts.pass = self.pass;
        self.bars.next_pass(self.pass);
    }

    /// For one frame: it encodes all its entries itself, from what the pass has read, and leaves
    /// none for others.
    pub(crate) fn hide_entries(&mut self) {
        self.pass = HIDDEN;
        self.bars.hide_entries(true);
    }

    /// The frame is filled: entries are shared again.
    pub(crate) fn show_entries(&mut self) {
        self.pass = self.quotes.pass;
        self.bars.hide_entries(false);
    }

    #[inline]
    pub(crate) fn get(
        &self,
        (dialect, channel, symbol): (Dialect, Channel, u32),
        id: WireId,
        cursor: u64,
    ) -> Option<Shared<'_>> {
        let slot = self.slots[dialect as usize].get(slot_of(symbol, channel))?;
        let is_it = slot.cursor == cursor && slot.pass == self.pass && slot.id == id;
        is_it.then_some(Shared {
            sequence: slot.sequence,
            padded: &slot.bytes,
            length: usize::from(slot.length),
        })
    }

    /// Loads what [`Self::get`] and a read of the cell will look at, for many symbols at once: the
    /// loads do not depend on each other, so their cache misses overlap instead of adding up.
    pub(crate) fn touch(&self, dialect: Dialect, members: &[Subscription], hub: &Hub) {
        let slots = &self.slots[dialect as usize];
        let mut seen = 0;
        for member in members {
            let symbol = SymbolIndex(member.symbol);
            if member.channels.has(Channel::Quote)
                && slots
                    .get(slot_of(member.symbol, Channel::Quote))
                    .is_none_or(|slot| slot.pass != self.pass)
            {
                seen ^= hub.symbol(symbol).map_or(0, SymbolState::quote_sequence);
            }
            if member.channels.has(Channel::Last)
                && slots
                    .get(slot_of(member.symbol, Channel::Last))
                    .is_none_or(|slot| slot.pass != self.pass)
            {
                seen ^= hub.symbol(symbol).map_or(0, SymbolState::last_sequence);
            }
        }
        black_box(seen);
    }

    /// Remembers the delta from `cursor` to `sequence`.
    pub(crate) fn put(
        &mut self,
        (dialect, channel, symbol): (Dialect, Channel, u32),
        id: WireId,
        cursor: u64,
        sequence: u64,
        entry: &[u8],
    ) {
        if entry.len() > ENTRY_LIMIT_BYTES || self.pass == HIDDEN {
            return;
        }
        let mut bytes = [0; ENTRY_LIMIT_BYTES];
        bytes[..entry.len()].copy_from_slice(entry);
        let length = entry.len() as u8;
        let slots = &mut self.slots[dialect as usize];
        let at = slot_of(symbol, channel);
        if slots.len() <= at {
            // Pass 0 is never in force, so these hold nothing.
            let empty = Slot {
                cursor: 0,
                sequence: 0,
                pass: 0,
                id: 0,
                length: 0,
                bytes: [0; ENTRY_LIMIT_BYTES],
            };
            slots.resize(at + 1, empty);
        }
        slots[at] = Slot { cursor, sequence, pass: self.pass, id, length, bytes };
    }
}

/// Only the two state channels are shared.
fn slot_of(symbol: u32, channel: Channel) -> usize {
    symbol as usize * 2 + usize::from(channel == Channel::Last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_shared_only_within_its_pass_and_for_its_cursor() {
        let mut cache = EntryCache::default();
        cache.next_pass();
        let (dialect, quote) = (Dialect::MessagePack, Channel::Quote);
        cache.put((dialect, quote, 7), 3, 10, 12, b"delta");
        let hit = cache.get((dialect, quote, 7), 3, 10).expect("same cursor");
        assert_eq!((hit.sequence, &hit.padded[..hit.length]), (12, &b"delta"[..]));
        assert!(cache.get((dialect, quote, 7), 3, 11).is_none(), "another cursor");
        assert!(cache.get((dialect, quote, 7), 4, 10).is_none(), "another definition");
        assert!(cache.get((dialect, Channel::Last, 7), 3, 10).is_none(), "another channel");
        assert!(cache.get((Dialect::Json, quote, 7), 3, 10).is_none(), "another dialect");
        cache.next_pass();
        assert!(cache.get((dialect, quote, 7), 3, 10).is_none(), "another pass");
        cache.put((dialect, quote, 7), 3, 10, 12, &[0; ENTRY_LIMIT_BYTES + 1]);
        assert!(cache.get((dialect, quote, 7), 3, 10).is_none(), "too long to share");
    }

    #[test]
    fn when_passes_begin_anew_what_an_earlier_one_of_that_number_left_is_gone() {
        let mut cache = EntryCache::default();
        cache.next_pass();
        let key = (Dialect::MessagePack, Channel::Quote, 7);
        cache.put(key, 3, 10, 12, b"delta");
        cache.quotes.pass = HIDDEN - 1;
        cache.next_pass();
        assert_eq!(cache.pass, 1, "the number it was put under");
        assert!(cache.get(key, 3, 10).is_none());
        assert_eq!((cache.quotes.pass, cache.lasts.pass), (1, 1));
    }

    #[test]
    fn a_frame_that_encodes_for_itself_finds_no_entry_and_leaves_none() {
        let mut cache = EntryCache::default();
        cache.next_pass();
        let key = |symbol| (Dialect::MessagePack, Channel::Quote, symbol);
        cache.put(key(7), 3, 10, 12, b"delta");
        cache.hide_entries();
        assert!(cache.get(key(7), 3, 10).is_none());
        cache.put(key(8), 3, 10, 12, b"delta");
        cache.show_entries();
        assert!(cache.get(key(7), 3, 10).is_some(), "it is still of this pass");
        assert!(cache.get(key(8), 3, 10).is_none());
        cache.hide_entries();
        assert!(cache.get(key(8), 3, 10).is_none(), "not for a later one either");
    }

    #[test]
    fn a_slot_fills_one_cache_line() {
        assert_eq!(size_of::<Slot>(), 64);
    }
}
