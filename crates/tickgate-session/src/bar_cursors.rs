//! Where a session stands in the bar channels of its symbols.
//!
//! A table of its own, since most sessions have none: a subscription stays as small as it was.
//!
//! Memory: 48 bytes for each symbol with a bar channel, named or covered by `*`, and a box of 40 that
//! is there only while there are such.

use tickgate_hub::Hub;
use tickgate_protocol::{
    bar::BarInterval,
    channel::{Channel, Channels},
    symbol::SymbolIndex,
};

use crate::{
    engine::Engine,
    portfolio::Portfolio,
    subscription::{NEVER, Subscription},
    transport::Transport,
    work,
};

/// Bar channels of a symbol.
const LENGTHS: usize = BarInterval::ALL.len();

/// All of a session, by symbol.
#[derive(Debug, Default)]
pub(crate) struct BarCursors {
    places: Vec<Place>,
    /// Bar channels of the wildcard, and how many symbols it covered, when the table was settled
    /// last: a symbol that was listed later is joined from its beginning.
    covered: (Channels, u32),
    /// Where the last look was: looks come in the order of symbols.
    hint: usize,
}

/// One symbol.
#[derive(Debug, Clone, Copy)]
struct Place {
    cursors: [u64; LENGTHS],
    ticks: [u32; LENGTHS],
    symbol: u32,
    joined: u8,
    caught_up: u8,
    lost: u8,
}

/// Where a session stands in one bar channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BarCursor {
    /// Sequence behind which everything is still to be sent. Before the joining: where the channel
    /// stood when it was asked for.
    pub(crate) cursor: u64,
    /// Flush tick of the last entry of a bar in progress.
    pub(crate) tick: u32,
    /// What there was before the cursor has been sent.
    pub(crate) joined: bool,
    /// So has what came behind it until then: the snapshot is complete.
    pub(crate) caught_up: bool,
    /// Bars were lost, and the client has not been told.
    pub(crate) lost: bool,
}

impl BarCursor {
    /// A channel to be joined where it stood at `cursor`.
    fn begin(cursor: u64) -> Self {
        // Half the clock's round ago: whatever the interval, it has passed.
        Self { cursor, tick: 1 << 31, joined: false, caught_up: false, lost: false }
    }
}

impl Place {
    fn new(symbol: u32) -> Self {
        let cursors = [NEVER; LENGTHS];
        Self { cursors, ticks: [0; LENGTHS], symbol, joined: 0, caught_up: 0, lost: 0 }
    }

    fn get(&self, interval: BarInterval) -> Option<BarCursor> {
        let (at, bit) = (interval as usize, 1 << interval as u8);
        let cursor = self.cursors[at];
        (cursor != NEVER).then_some(BarCursor {
            cursor,
            tick: self.ticks[at],
            joined: self.joined & bit != 0,
            caught_up: self.caught_up & bit != 0,
            lost: self.lost & bit != 0,
        })
    }

    fn set(&mut self, interval: BarInterval, to: BarCursor) {
        let (at, bit) = (interval as usize, 1 << interval as u8);
        (self.cursors[at], self.ticks[at]) = (to.cursor, to.tick);
        let flags = [
            (&mut self.joined, to.joined),
            (&mut self.caught_up, to.caught_up),
            (&mut self.lost, to.lost),
        ];
        for (flags, is_set) in flags {
            *flags = if is_set { *flags | bit } else { *flags & !bit };
        }
    }

    /// The channels that are joined, each with its cursor.
    fn joined(&self) -> impl Iterator<Item = (BarInterval, u64)> {
        BarInterval::ALL.into_iter().filter_map(|interval| {
            let cursor = self.get(interval).filter(|cursor| cursor.joined)?.cursor;
            Some((interval, cursor))
        })
    }

    fn held(&self) -> u64 {
        self.joined().map(|(_, cursor)| cursor).fold(0, u64::wrapping_add)
    }
}

impl BarCursors {
    /// Where a channel that is in force stands; one of a symbol that was listed just now is joined
    /// from its beginning.
    pub(crate) fn get(&mut self, symbol: u32, interval: BarInterval) -> BarCursor {
        self.find(symbol).and_then(|place| place.get(interval)).unwrap_or(BarCursor::begin(0))
    }

    /// An entry was sent, or the channel joined.
    pub(crate) fn set(&mut self, symbol: u32, interval: BarInterval, to: BarCursor) {
        if let Some(place) = self.find(symbol) {
            return place.set(interval, to);
        }
        let at = self.places.partition_point(|place| place.symbol < symbol);
        self.places.insert(at, Place::new(symbol));
        self.places[at].set(interval, to);
    }

    /// True when a channel of the symbol has yet to be joined, or its snapshot to be completed.
    pub(crate) fn wants_snapshot(&self, symbol: u32) -> bool {
        self.places.binary_search_by_key(&symbol, |place| place.symbol).is_ok_and(|at| {
            let place = &self.places[at];
            let mut all = BarInterval::ALL.into_iter().filter_map(|interval| place.get(interval));
            all.any(|cursor| !cursor.caught_up)
        })
    }

    /// The epoch is over: all channels are joined again, from the new one's beginning.
    pub(crate) fn begin_again(&mut self) {
        for place in &mut self.places {
            for interval in BarInterval::ALL {
                if place.get(interval).is_some() {
                    place.set(interval, BarCursor::begin(0));
                }
            }
        }
    }

    /// Sum of the cursors of everything that is joined. Wraps around.
    pub(crate) fn held(&self) -> u64 {
        self.places.iter().map(Place::held).fold(0, u64::wrapping_add)
    }

    /// The channels that are joined: symbol, length and cursor.
    pub(crate) fn joined(&self) -> impl Iterator<Item = (u32, BarInterval, u64)> {
        self.places.iter().flat_map(|place| {
            place.joined().map(|(interval, cursor)| (place.symbol, interval, cursor))
        })
    }

    /// Memory, bytes.
    pub(crate) fn bytes(&self) -> usize {
        size_of::<Self>() + self.places.capacity() * size_of::<Place>()
    }

    /// Brings the table in line with the channels in force: `wanted` names each symbol that has bar
    /// channels once, in rising order; `covered` are those of the wildcard, and how many symbols it
    /// covers. What is new begins where the hub stands now. Returns the sum of the cursors of what
    /// ended.
    pub(crate) fn settle(
        &mut self,
        wanted: &[(u32, Channels)],
        covered: (Channels, u32),
        hub: &Hub,
    ) -> u64 {
        let (before, covered_before) = std::mem::replace(&mut self.covered, covered);
        let held = self.held();
        let mut known = std::mem::take(&mut self.places).into_iter().peekable();
        self.places.reserve_exact(wanted.len());
        for (symbol, channels) in wanted {
            while known.next_if(|place| place.symbol < *symbol).is_some() {}
            let known = known.next_if(|place| place.symbol == *symbol);
            let mut place = known.unwrap_or_else(|| Place::new(*symbol));
            for interval in BarInterval::ALL {
                let channel = Channel::Bar(interval);
                if !channels.has(channel) {
                    place.set(interval, BarCursor::begin(NEVER));
                } else if place.get(interval).is_none() {
                    let from_listing = *symbol >= covered_before && before.has(channel);
                    let state = hub.symbol(SymbolIndex(*symbol)).filter(|_| !from_listing);
                    let cursor = state.map_or(0, |state| state.bar_sequence(interval));
                    place.set(interval, BarCursor::begin(cursor));
                }
            }
            self.places.push(place);
        }
        held.wrapping_sub(self.held())
    }

    /// True without places.
    pub(crate) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    fn find(&mut self, symbol: u32) -> Option<&mut Place> {
        let is_it = |at: usize| self.places.get(at).is_some_and(|place| place.symbol == symbol);
        if !is_it(self.hint) {
            self.hint = match self.hint + 1 {
                next if is_it(next) => next,
                _ => self.places.binary_search_by_key(&symbol, |place| place.symbol).ok()?,
            };
        }
        self.places.get_mut(self.hint)
    }
}

impl Portfolio {
    /// Brings the places in bar channels in line with the channels in force, after a command that
    /// named bar channels or may have ended some. What begins does so where the hub stands now.
    /// Returns the sum of the cursors of what ended. One look at each subscription, and one sorting
    /// of those with bars.
    pub(crate) fn settle_bars(&mut self, hub: &Hub) -> u64 {
        let covered = self.wildcard.iter().flat_map(|each| &each.group.members);
        let members = self.groups.iter().flat_map(|group| &group.members).chain(covered);
        let mut looked_at = 0;
        let with_bars = members.inspect(|_| looked_at += 1).filter_map(|member| {
            let has_bars = member.channels.has_any(Channels::BARS);
            has_bars.then_some((member.symbol, member.channels))
        });
        let mut wanted: Vec<_> = with_bars.collect();
        work::look_at(looked_at);
        wanted.sort_unstable_by_key(|(symbol, _)| *symbol);
        let covered = self
            .wildcard
            .as_ref()
            .map_or((Channels::NONE, 0), |each| (each.channels, each.group.members.len() as u32));
        let bars = self.bars.get_or_insert_default();
        let left = bars.settle(&wanted, covered, hub);
        if bars.is_empty() {
            self.bars = None;
        }
        left
    }

    /// True when a full entry, the tape's joining, or bars of the time of the joining are still to be
    /// sent.
    pub(crate) fn wants_snapshot(&self, member: &Subscription) -> bool {
        let bars = || self.bars.as_ref().is_some_and(|bars| bars.wants_snapshot(member.symbol));
        member.wants_snapshot() || bars()
    }
}

impl<T: Transport> Engine<T> {
    /// Joins and leaves bar channels, as the commands have it; costs nothing where there are none.
    pub(crate) fn settle_bars(&mut self, position: usize, names_bars: bool) {
        let portfolio = &mut self.sessions[position].portfolio;
        if names_bars || portfolio.bars.is_some() {
            self.stats.left(portfolio.settle_bars(self.shared.hub()), 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use tickgate_hub::HubConfig;
    use tickgate_protocol::{
        number::ABSENT,
        tick::{Batch, Listing, Tick, TickBody, Trade},
    };

    use super::*;

    const MINUTES: Channels = Channels::only(Channel::Bar(BarInterval::Minute));

    fn joined(cursor: u64) -> BarCursor {
        BarCursor { cursor, tick: 7, joined: true, caught_up: true, lost: false }
    }

    #[test]
    fn a_symbol_takes_48_bytes() {
        assert_eq!(size_of::<Place>(), 48);
        let mut cursors = BarCursors::default();
        let hub = Hub::new(HubConfig::default(), 1).expect("the sizes are good");
        let wanted: Vec<_> = (0..100).map(|symbol| (symbol, MINUTES)).collect();
        cursors.settle(&wanted, (Channels::NONE, 0), &hub);
        assert_eq!(cursors.bytes(), size_of::<BarCursors>() + 100 * 48, "and no room besides");
    }

    #[test]
    fn what_stays_keeps_its_cursor_and_what_ends_is_given_back() {
        let hub = Hub::new(HubConfig::default(), 1).expect("the sizes are good");
        let mut cursors = BarCursors::default();
        let none = (Channels::NONE, 0);
        assert_eq!(cursors.settle(&[(3, Channels::BARS), (9, MINUTES)], none, &hub), 0);
        assert!(cursors.wants_snapshot(3) && cursors.wants_snapshot(9));
        assert!(!cursors.wants_snapshot(4));
        for (symbol, interval, cursor) in [
            (3, BarInterval::Second, 10),
            (3, BarInterval::Day, 200),
            (9, BarInterval::Minute, 3_000),
        ] {
            cursors.set(symbol, interval, joined(cursor));
        }
        assert_eq!(cursors.held(), 3_210);
        assert!(cursors.wants_snapshot(3), "its minutes");
        assert!(!cursors.wants_snapshot(9));
        let days = Channels::only(Channel::Bar(BarInterval::Day));
        assert_eq!(cursors.settle(&[(3, days), (5, MINUTES)], none, &hub), 3_010);
        assert_eq!(cursors.joined().collect::<Vec<_>>(), [(3, BarInterval::Day, 200)]);
        assert_eq!(cursors.settle(&[], none, &hub), 200);
        assert!(cursors.is_empty());
        // It came again: afresh.
        cursors.settle(&[(3, days)], none, &hub);
        assert!(!cursors.get(3, BarInterval::Day).joined);
    }

    /// A hub of three symbols, each with one change of a bar of each length.
    fn traded() -> std::sync::Arc<Hub> {
        let hub = Hub::new(HubConfig::default(), 1).expect("the sizes are good");
        let listing = |name: &str| Listing::new(name, 0, 0);
        let body = TickBody::Trade(Trade { price: 1, size: 1, flags: 0, trade_id: ABSENT });
        hub.publisher().publish(&Batch {
            listings: ["A", "B", "C"].map(listing).to_vec(),
            ticks: (0..3).map(|symbol| Tick { symbol, event_time_ns: 0, body }).collect(),
            ..Batch::default()
        });
        hub
    }

    #[test]
    fn what_is_asked_for_begins_where_it_stands_and_what_is_listed_later_at_its_beginning() {
        let hub = traded();
        let mut cursors = BarCursors::default();
        cursors.settle(&[(0, MINUTES), (1, MINUTES)], (MINUTES, 2), &hub);
        // The third was listed since; its minutes were covered before anybody looked at it, its days
        // are asked for now.
        cursors.settle(
            &[(0, Channels::BARS), (1, MINUTES), (2, Channels::BARS)],
            (Channels::BARS, 3),
            &hub,
        );
        let begun = |cursors: &mut BarCursors, symbol, interval| {
            let at = cursors.get(symbol, interval);
            assert!(!at.joined && !at.caught_up && !at.lost);
            at.cursor
        };
        for (symbol, interval, cursor) in [
            (0, BarInterval::Minute, 1),
            (0, BarInterval::Day, 1),
            (1, BarInterval::Minute, 1),
            (2, BarInterval::Minute, 0),
            (2, BarInterval::Day, 1),
        ] {
            assert_eq!(begun(&mut cursors, symbol, interval), cursor, "{symbol}, {interval:?}");
        }
    }

    #[test]
    fn each_channel_has_flags_of_its_own_and_an_epoch_clears_them() {
        let mut cursors = BarCursors::default();
        for (at, interval) in BarInterval::ALL.into_iter().enumerate() {
            let cursor = BarCursor { lost: at == 1, tick: at as u32, ..joined(at as u64) };
            cursors.set(4, interval, cursor);
            assert_eq!(cursors.get(4, interval), cursor);
        }
        let back = BarCursor { lost: false, ..cursors.get(4, BarInterval::Minute) };
        cursors.set(4, BarInterval::Minute, back);
        assert_eq!(cursors.get(4, BarInterval::Minute), back);
        assert!(cursors.get(4, BarInterval::Day).caught_up);
        cursors.begin_again();
        for interval in BarInterval::ALL {
            assert_eq!(cursors.get(4, interval), BarCursor::begin(0));
        }
        assert!(cursors.wants_snapshot(4));
    }

    #[test]
    fn looks_find_their_symbol_in_any_order() {
        let mut cursors = BarCursors::default();
        for symbol in [8, 2, 5, 9] {
            cursors.set(symbol, BarInterval::Day, joined(symbol.into()));
        }
        for symbol in [2, 5, 8, 9, 2, 9, 5, 5, 8] {
            assert_eq!(cursors.get(symbol, BarInterval::Day), joined(symbol.into()));
        }
        assert_eq!(cursors.get(7, BarInterval::Day), BarCursor::begin(0));
    }
}
