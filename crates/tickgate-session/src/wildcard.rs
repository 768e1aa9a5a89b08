//! A wildcard subscription: a group with a place for every symbol of the directory.
//!
//! Memory: `symbols × (size_of::<Subscription>() + 2 bits)`, grown as symbols are listed, and until
//! the frame after a change of interval `16 bytes` for each symbol that waits. It is
//! flushed by what changed, from the bits the hub's shards set, never by looking at every symbol.

use tickgate_protocol::channel::Channels;

use crate::{
    group::Group,
    schedule::{GroupId, Schedule},
    subscription::{ALL_LAST_FIELDS, ALL_QUOTE_FIELDS, INHERIT, PROMPT, Subscription},
};

/// What `*` covers and how.
#[derive(Debug)]
pub(crate) struct Wildcard {
    /// One member for each symbol, by index; one that is subscribed by name is vacant here.
    pub(crate) group: Group,
    pub(crate) channels: Channels,
    pub(crate) own_throttle_ms: u16,
    pub(crate) quote_fields: u8,
    pub(crate) last_fields: u8,
    /// Symbols that changed since they were last looked at, one bit each.
    state: Vec<u64>,
    tape: Vec<u64>,
}

impl Wildcard {
    pub(crate) fn new(interval_ms: u16) -> Self {
        Self {
            group: Group::new(GroupId::WILDCARD, interval_ms),
            channels: Channels::NONE,
            own_throttle_ms: INHERIT,
            quote_fields: ALL_QUOTE_FIELDS,
            last_fields: ALL_LAST_FIELDS,
            state: Vec::new(),
            tape: Vec::new(),
        }
    }

    /// Makes room for symbols up to `count`; new ones are covered from now on.
    pub(crate) fn grow(&mut self, count: u32) {
        for symbol in self.group.members.len() as u32..count {
            let member = self.covered(symbol);
            self.group.members.push(member);
            self.mark_one(symbol);
        }
    }

    /// Marks the symbols of one word of dirty bits.
    pub(crate) fn mark(&mut self, word: usize, bits: u64) {
        let Some(state) = self.state.get_mut(word) else { return };
        *state |= bits;
        if self.channels.has_any(PROMPT) {
            self.tape[word] |= bits;
        }
    }

    pub(crate) fn mark_one(&mut self, symbol: u32) {
        let (word, bit) = place(symbol);
        if self.state.len() <= word {
            self.state.resize(word + 1, 0);
            self.tape.resize(word + 1, 0);
        }
        self.state[word] |= bit;
        self.tape[word] |= bit;
    }

    /// The next changed symbol from `from` on.
    pub(crate) fn next_changed(&self, from: u32, tape_only: bool) -> Option<u32> {
        let bits = if tape_only { &self.tape } else { &self.state };
        let (first, _) = place(from);
        for (word, bits) in bits.iter().enumerate().skip(first) {
            let bits = if word == first { bits & (u64::MAX << (from % 64)) } else { *bits };
            if bits != 0 {
                return Some(word as u32 * 64 + bits.trailing_zeros());
            }
        }
        None
    }

    /// It has been looked at: its tape, and its state unless `tape_only`.
    pub(crate) fn unmark(&mut self, symbol: u32, tape_only: bool) {
        let (word, bit) = place(symbol);
        self.tape[word] &= !bit;
        if !tape_only {
            self.state[word] &= !bit;
        }
    }

    /// Memory of the marks.
    pub(crate) fn mark_bytes(&self) -> usize {
        (self.state.capacity() + self.tape.capacity()) * size_of::<u64>()
    }

    /// A member as the wildcard alone covers it.
    pub(crate) fn covered(&self, symbol: u32) -> Subscription {
        let mut member = Subscription::new(symbol);
        member.channels = self.channels;
        member.quote_fields = self.quote_fields;
        member.last_fields = self.last_fields;
        member
    }

    /// Takes a symbol out, because it is subscribed by name from now on.
    pub(crate) fn vacate(&mut self, symbol: u32) -> Option<Subscription> {
        let member = self.group.members.get_mut(symbol as usize)?;
        Some(std::mem::replace(member, Subscription::new(symbol)))
    }

    /// Flushes at another interval from now on; what waits leaves as [`Group::moved_in`] says.
    pub(crate) fn set_interval(&mut self, interval_ms: u16, schedule: &Schedule) {
        let left_ms = std::mem::replace(&mut self.group.interval_ms, interval_ms);
        self.group.state_due = self.group.is_realtime();
        self.group.tape_due = false;
        self.group.moved = Vec::new();
        if self.group.is_realtime() {
            return;
        }
        let mut moved = Vec::new();
        let mut from = 0;
        while let Some(symbol) = self.next_changed(from, false) {
            from = symbol + 1;
            moved.push(self.group.moved(symbol, left_ms, schedule));
        }
        self.group.moved = moved;
    }

    /// Takes a symbol back, with the cursors it has, because its name was unsubscribed.
    pub(crate) fn take_back(
        &mut self,
        mut member: Subscription,
        left_ms: u16,
        schedule: &Schedule,
    ) {
        member.named = Channels::NONE;
        member.own_throttle_ms = INHERIT;
        member.set_channels(self.channels);
        member.select(self.quote_fields, self.last_fields);
        let symbol = member.symbol;
        self.mark_one(symbol);
        if let Some(place) = self.group.members.get_mut(symbol as usize) {
            *place = member;
        }
        if self.group.is_realtime() {
            self.group.state_due = true;
        } else {
            self.group.moved_in(symbol, left_ms, schedule);
        }
    }
}

fn place(symbol: u32) -> (usize, u64) {
    (symbol as usize / 64, 1 << (symbol % 64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_changed_is_looked_at_and_new_symbols_are_covered() {
        let mut wildcard = Wildcard::new(100);
        wildcard.channels = Channels::ALL;
        wildcard.grow(200);
        for symbol in 0..200 {
            assert_eq!(wildcard.next_changed(0, false), Some(symbol));
            assert_eq!(wildcard.next_changed(0, true), Some(symbol), "its tape likewise");
            wildcard.unmark(symbol, false);
        }
        assert_eq!(wildcard.next_changed(0, false), None);
        wildcard.mark(2, 0b101);
        assert_eq!(wildcard.next_changed(0, false), Some(128));
        assert_eq!(wildcard.next_changed(129, false), Some(130));
        assert_eq!(wildcard.next_changed(131, false), None);
        wildcard.unmark(128, true);
        assert_eq!(wildcard.next_changed(0, true), Some(130));
        assert_eq!(wildcard.next_changed(0, false), Some(128), "its state still waits");
        wildcard.mark(50, 1);
        assert_eq!(wildcard.next_changed(131, false), None, "not listed yet");
        wildcard.grow(201);
        assert_eq!(wildcard.next_changed(131, false), Some(200));
    }

    #[test]
    fn marks_take_two_bits_a_symbol() {
        let mut wildcard = Wildcard::new(100);
        wildcard.grow(1_000);
        // In words of 64; vectors double.
        assert!((2 * 16 * 8..=4 * 16 * 8).contains(&wildcard.mark_bytes()));
    }

    #[test]
    fn a_symbol_moves_between_name_and_wildcard_with_its_cursors() {
        let mut wildcard = Wildcard::new(100);
        wildcard.channels = Channels::DEFAULT;
        wildcard.grow(2);
        wildcard.group.members[1].quote_cursor = 17;
        let named = wildcard.vacate(1).expect("listed");
        assert!(wildcard.group.members[1].channels.is_empty());
        let config = crate::EngineConfig::default();
        let schedule = Schedule::new(&config, rand::SeedableRng::seed_from_u64(1), 0);
        wildcard.take_back(named, 25, &schedule);
        assert_eq!(wildcard.group.moved.len(), 1, "what waits in it does not wait again");
        assert_eq!(wildcard.group.members[1].quote_cursor, 17);
        assert_eq!(wildcard.group.members[1].channels, Channels::DEFAULT);
    }
}
