//! The one way in for a feed: takes its batches, in its numbering, and tells the workers once per
//! batch.

use std::{hint::black_box, sync::Arc};

use tickgate_protocol::{
    definition::Definition,
    number::ABSENT,
    symbol::SymbolIndex,
    tick::{Batch, Listing, Reason, SessionStart, Status, Tick, TickBody},
};

use crate::{
    Hub,
    bars::LENGTHS_S,
    clock::FeedClock,
    dirty::Touched,
    refusal::{Refusal, check_listing, check_tick, sound_fields},
    scale::Scale,
    shard::Shard,
    stats::{Event, Tally},
    symbol::{DEFINITION_LIMIT, SymbolState},
};

/// Ticks whose cache misses are made to overlap: about as many as a core has under way.
const TOUCHED_AT_ONCE: usize = 16;

/// Listings one publisher may make, per symbol of the hub's limit.
pub(crate) const LISTINGS_PER_SYMBOL: usize = 4;

/// Publishes one feed's batches. Each feed has one of its own, which keeps that feed's numbering
/// of symbols.
#[derive(Debug)]
pub struct Publisher {
    hub: Arc<Hub>,
    /// By the feed's number; `None` where the listing was refused.
    routes: Vec<Option<Route>>,
    marks: Marks,
    /// Positions of a batch's ticks by shard; stays empty with one shard. Bounded by the batch.
    parts: Vec<Vec<usize>>,
    clock: FeedClock,
    tally: Tally,
}

/// Where a feed's symbol lives, and the scale that feed uses for it. The symbol's own may be finer
/// by now; then the ticks are brought to it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Route {
    index: SymbolIndex,
    shard: u16,
    scale: Scale,
}

/// What the batch under way touched.
#[derive(Debug)]
struct Marks {
    dirty: Touched,
    status: Touched,
    notice: bool,
}

impl Publisher {
    pub(crate) fn new(hub: Arc<Hub>) -> Self {
        let symbols = hub.config.symbol_limit;
        let marks =
            Marks { dirty: Touched::new(symbols), status: Touched::new(symbols), notice: false };
        let parts = vec![Vec::new(); hub.config.shards];
        let clock = FeedClock::new(hub.config.session_start_s);
        Self { hub, routes: Vec::new(), marks, parts, clock, tally: Tally::default() }
    }

    /// Applies the batch in order: new epoch, listings, ticks, clock, which closes the bars whose
    /// interval is over. Between the ticks of two days by the calendar
    /// ([`crate::HubConfig::session_start_s`]) a new trading session begins. Then sets the dirty bit
    /// of each touched symbol and rings each doorbell; once, or once more for bars that closed.
    ///
    /// Invalid listings and ticks are refused and counted by [`Refusal`]; the rest goes on. Blocks
    /// only while another publisher applies its part to the same shard.
    pub fn publish(&mut self, batch: &Batch) {
        self.clock.follow(batch);
        if batch.is_empty() && !self.clock.has_passed(1) {
            return;
        }
        if batch.new_epoch {
            self.begin_epoch();
        }
        for listing in &batch.listings {
            let route = self.list(listing);
            if let Err(refusal) = route {
                self.tally.refuse(refusal);
            }
            // Refused ones take a number too, or the feed's and ours would drift apart.
            if self.routes.len() < self.hub.config.listing_limit() {
                self.routes.push(route.ok());
            }
        }
        match self.clock.next_session() {
            Some((start_ns, start)) => {
                let first = batch.ticks.iter().position(|tick| tick.event_time_ns >= start_ns);
                let (before, after) = batch.ticks.split_at(first.unwrap_or(batch.ticks.len()));
                self.apply(before);
                self.begin_sessions(start_ns, start);
                self.apply(after);
            }
            None => self.apply(&batch.ticks),
        }
        if self.clock.has_passed(1) {
            // Whoever waits for the ticks does not wait for the bars as well.
            self.tell();
            self.close_bars();
        }
        self.tally.count(Event::Batch);
        self.tell();
    }

    /// Sets the feed's liveness ([`Status::Live`] or [`Status::Stale`]; others are refused and
    /// counted). A change takes the next feed status sequence and reaches every worker by its
    /// notice; what holds already changes nothing. The hub starts out stale and silent.
    pub fn set_feed_status(&mut self, status: Status, reason: Reason, event_time_ns: i64) {
        if !matches!(status, Status::Live | Status::Stale) {
            self.tally.refuse(Refusal::Status);
        } else {
            let mut feed = self.hub.feed.lock();
            if (feed.status, feed.reason) != (status, reason) {
                feed.sequence += 1;
                (feed.status, feed.reason, feed.event_time_ns) = (status, reason, event_time_ns);
                self.marks.notice = true;
            }
        }
        self.tell();
    }

    /// Begins a session of every symbol of this feed.
    fn begin_sessions(&mut self, start_ns: i64, start: SessionStart) {
        let hub = &*self.hub;
        let body = TickBody::Session(start);
        let tick = Tick { symbol: 0, event_time_ns: start_ns, body };
        for (number, shard) in hub.shards.iter().enumerate() {
            let mut shard = shard.lock();
            for route in self.routes.iter().flatten() {
                if usize::from(route.shard) == number {
                    let (marks, tally) = (&mut self.marks, &mut self.tally);
                    apply(hub, &mut shard, Some(*route), &tick, marks, tally);
                }
            }
        }
    }

    /// Closes the bars whose interval is over, of the lengths that the clock has passed the end of
    /// one of.
    fn close_bars(&mut self) {
        let Self { hub, marks, tally, clock, .. } = self;
        for shard in &hub.shards {
            let mut shard = shard.lock();
            shard.set_clock(clock.ns());
            for (level, length_s) in LENGTHS_S.into_iter().enumerate() {
                if clock.has_passed(length_s) {
                    shard.close_bars(level, &hub.symbols, tally, |position| {
                        marks.dirty.insert(position);
                    });
                }
            }
        }
    }

    /// Voids all state, then raises the epoch, then marks everything.
    ///
    /// In this order, because readers race: one that loads the new epoch acquires what was cleared
    /// before it, so nothing of the old epoch can be sent under the new one. One that still has
    /// the old epoch may read the cleared cells, or even ticks of the new epoch, under newer
    /// sequences: true values, which the full states after its notice repeat. Had the epoch risen
    /// first, old prices could have left as new ones. The marks come last, so that whoever drains
    /// them sees the new epoch.
    fn begin_epoch(&mut self) {
        let hub = &*self.hub;
        // A symbol listed while this runs has no state to void.
        let count = hub.symbols.count();
        for (number, shard) in hub.shards.iter().enumerate() {
            let mut shard = shard.lock();
            for position in 0..count {
                if let Some(symbol) = hub.symbols.get(position)
                    && usize::from(hub.shard_of(&symbol.definition().name)) == number
                {
                    shard.begin_epoch(symbol);
                }
            }
        }
        hub.raise_epoch();
        for position in 0..count {
            self.marks.dirty.insert(position);
            self.marks.status.insert(position);
        }
        self.marks.notice = true;
    }

    fn list(&mut self, listing: &Listing) -> Result<Route, Refusal> {
        check_listing(listing)?;
        if self.routes.len() >= self.hub.config.listing_limit() {
            return Err(Refusal::ListingLimit);
        }
        let Listing { price_exponent, size_exponent, .. } = *listing;
        let scale = Scale { price_exponent, size_exponent };
        let (index, changed) = self.intern(listing, scale)?;
        if changed {
            self.marks.dirty.insert(index.position());
            self.marks.status.insert(index.position());
        }
        Ok(Route { index, shard: self.hub.shard_of(&listing.name), scale })
    }

    /// The symbol of that name: new, the same, or redefined when the listing is finer than it. A
    /// coarser listing leaves the symbol as it is; its ticks are brought to the finer scale. True
    /// when the symbol has a definition it did not have before; only then is anything taken from
    /// the listing.
    fn intern(&mut self, listing: &Listing, scale: Scale) -> Result<(SymbolIndex, bool), Refusal> {
        let Self { hub, tally, .. } = self;
        let (tick_size, instrument) = sound_fields(listing, tally);
        let mut directory = hub.directory.write();
        if let Some(index) = directory.find(&listing.name) {
            let symbol = hub.symbols.get(index.position()).ok_or(Refusal::UnknownSymbol)?;
            let (_, current) = symbol.identity();
            let finest = current.finest(scale);
            if finest != current {
                if symbol.definition_count() >= DEFINITION_LIMIT {
                    return Err(Refusal::DefinitionLimit);
                }
                let mut shard = hub.shards[usize::from(hub.shard_of(&listing.name))].lock();
                let definition = redefinition(symbol, listing, scale, finest)?;
                let tick_size = match tick_size {
                    ABSENT => current.to(finest).price(definition.tick_size),
                    told => scale.to(finest).price(told),
                };
                // One that the finer scale cannot hold is no reason to lose the ticks that it can.
                let tick_size = tick_size.unwrap_or_else(|_| {
                    tally.refuse(Refusal::TickSize);
                    ABSENT
                });
                let definition = Definition { id: directory.next_id(), tick_size, ..definition };
                shard.redefine(symbol, definition, current.to(finest))?;
                directory.take_id();
                directory.insert(&listing.name, index, instrument);
            }
            return Ok((index, finest != current));
        }
        if hub.symbols.count() >= hub.config.symbol_limit {
            return Err(Refusal::SymbolLimit);
        }
        let index = SymbolIndex(hub.symbols.count() as u32);
        let definition = Definition {
            session_date: listing.session_date,
            previous_close: listing.previous_close,
            tick_size,
            ..Definition::new(
                directory.take_id(),
                &listing.name,
                listing.price_exponent,
                listing.size_exponent,
            )
        };
        hub.symbols.push(|symbol| symbol.define(definition));
        directory.insert(&listing.name, index, instrument);
        Ok((index, true))
    }

    fn apply(&mut self, ticks: &[Tick]) {
        let hub = &*self.hub;
        if let [shard] = &*hub.shards {
            if !ticks.is_empty() {
                let mut shard = shard.lock();
                shard.set_clock(self.clock.ns());
                for ticks in ticks.chunks(TOUCHED_AT_ONCE) {
                    touch(hub, &self.routes, ticks);
                    for tick in ticks {
                        let route = route(&self.routes, tick);
                        apply(hub, &mut shard, route, tick, &mut self.marks, &mut self.tally);
                    }
                }
            }
            return;
        }
        for (position, tick) in ticks.iter().enumerate() {
            match route(&self.routes, tick) {
                Some(route) => self.parts[usize::from(route.shard)].push(position),
                None => self.tally.refuse(Refusal::UnknownSymbol),
            }
        }
        for (part, shard) in self.parts.iter_mut().zip(&hub.shards) {
            if part.is_empty() {
                continue;
            }
            let mut shard = shard.lock();
            shard.set_clock(self.clock.ns());
            for position in part.drain(..) {
                let tick = &ticks[position];
                let route = route(&self.routes, tick);
                apply(hub, &mut shard, route, tick, &mut self.marks, &mut self.tally);
            }
        }
    }

    /// Passes on what was touched and counted.
    fn tell(&mut self) {
        let Marks { dirty, status, notice } = &mut self.marks;
        if *notice || !dirty.is_empty() || !status.is_empty() {
            for worker in &self.hub.workers {
                worker.tell(dirty, status, *notice);
            }
            dirty.clear();
            status.clear();
            *notice = false;
        }
        self.hub.counters.add(&mut self.tally);
    }
}

/// Loads what the ticks will look at, in two rounds, since where the bars are stands with the symbol:
/// the loads of a round do not depend on each other, so their cache misses overlap instead of adding
/// up. With symbols enough to fit no cache this is most of what a tick costs.
fn touch(hub: &Hub, routes: &[Option<Route>], ticks: &[Tick]) {
    let symbol = |tick| hub.symbols.get(route(routes, tick)?.index.position());
    let is_trade = |tick: &&Tick| matches!(tick.body, TickBody::Trade(_));
    let states = ticks.iter().filter_map(symbol).map(SymbolState::touch);
    let bars = ticks.iter().filter(is_trade).filter_map(symbol).map(SymbolState::touch_bars);
    black_box(states.fold(0, |seen, word| seen ^ word));
    black_box(bars.fold(0, |seen, word| seen ^ word));
}

fn route(routes: &[Option<Route>], tick: &Tick) -> Option<Route> {
    routes.get(tick.symbol as usize).copied().flatten()
}

fn apply(
    hub: &Hub,
    shard: &mut Shard,
    route: Option<Route>,
    tick: &Tick,
    marks: &mut Marks,
    tally: &mut Tally,
) {
    match try_apply(hub, shard, route, tick, tally) {
        Ok((position, Some(event))) => {
            marks.dirty.insert(position);
            if matches!(event, Event::Status | Event::Session) {
                marks.status.insert(position);
            }
            tally.count(event);
        }
        Ok((_, None)) => {}
        Err(refusal) => tally.refuse(refusal),
    }
}

fn try_apply(
    hub: &Hub,
    shard: &mut Shard,
    route: Option<Route>,
    tick: &Tick,
    tally: &mut Tally,
) -> Result<(usize, Option<Event>), Refusal> {
    let Route { index, scale, .. } = route.ok_or(Refusal::UnknownSymbol)?;
    let position = index.position();
    let symbol = hub.symbols.get(position).ok_or(Refusal::UnknownSymbol)?;
    check_tick(&tick.body)?;
    let (_, current) = symbol.identity();
    let event = if scale == current {
        shard.apply(symbol, position, tick.event_time_ns, &tick.body, tally)?
    } else {
        let body = scale.to(current).tick(tick.body)?;
        shard.apply(symbol, position, tick.event_time_ns, &body, tally)?
    };
    Ok((position, event))
}

/// The definition that replaces the symbol's current one, but for its tick size; what the listing
/// does not know stays.
fn redefinition(
    symbol: &SymbolState,
    listing: &Listing,
    scale: Scale,
    finest: Scale,
) -> Result<Definition, Refusal> {
    let old = symbol.definition();
    let is_other = old.session_date != 0 && listing.session_date != old.session_date;
    let previous_close = if listing.previous_close == ABSENT || is_other {
        Scale::of(&old).to(finest).price(old.previous_close)?
    } else {
        scale.to(finest).price(listing.previous_close)?
    };
    Ok(Definition {
        price_exponent: finest.price_exponent,
        size_exponent: finest.size_exponent,
        // A session begins by itself, with its figures; a listing only says which one it is.
        session_date: if old.session_date == 0 { listing.session_date } else { old.session_date },
        previous_close,
        ..(*old).clone()
    })
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

    use tickgate_protocol::{
        bar::BarInterval,
        tick::{Quote, StatusChange, Trade},
    };

    use super::*;
    use crate::HubConfig;

    fn hub(symbol_limit: usize) -> Arc<Hub> {
        Hub::new(HubConfig { symbol_limit, workers: 2, ..HubConfig::default() }, 5).unwrap()
    }

    fn listing(name: &str, price_exponent: i8, size_exponent: i8) -> Listing {
        Listing::new(name, price_exponent, size_exponent)
    }

    fn list(publisher: &mut Publisher, listings: &[Listing]) {
        publisher.publish(&Batch { listings: listings.to_vec(), ..Batch::default() });
    }

    fn trade(symbol: u32, price: i64, size: i64) -> Tick {
        let trade = Trade { price, size, flags: 0, trade_id: ABSENT };
        Tick { symbol, event_time_ns: 0, body: TickBody::Trade(trade) }
    }

    fn publish(publisher: &mut Publisher, ticks: &[Tick]) {
        publisher.publish(&Batch { ticks: ticks.to_vec(), ..Batch::default() });
    }

    fn price_and_size(hub: &Hub, name: &str) -> (i64, i64) {
        let symbol = hub.symbol(hub.lookup(name).unwrap()).unwrap();
        let [price, size, ..] = symbol.last().unwrap().fields;
        (price, size)
    }

    fn refused(hub: &Hub, refusal: Refusal) -> u64 {
        hub.stats().refused[refusal as usize].1
    }

    #[test]
    fn a_refused_listing_takes_a_number_of_its_feed_all_the_same() {
        let hub = hub(2);
        let mut publisher = hub.publisher();
        let names = ["A", "*", "B", "C"].map(|name| listing(name, 0, 0));
        list(&mut publisher, &names);
        publish(&mut publisher, &[0, 1, 2, 3, 4].map(|symbol| trade(symbol, 10, 1)));
        assert_eq!(hub.symbol_count(), 2);
        assert_eq!(hub.stats().trades, 2);
        assert_eq!(price_and_size(&hub, "B"), (10, 1));
        assert_eq!(hub.lookup("C"), None);
        assert_eq!(refused(&hub, Refusal::Name), 1);
        assert_eq!(refused(&hub, Refusal::SymbolLimit), 1);
        assert_eq!(refused(&hub, Refusal::UnknownSymbol), 3);
    }

    #[test]
    fn listing_again_is_the_same_symbol_whatever_its_scale() {
        let hub = hub(2);
        let mut publisher = hub.publisher();
        list(&mut publisher, &[listing("A", -2, 0), listing("B", 0, 0), listing("A", -2, 0)]);
        publish(&mut publisher, &[trade(0, 150, 3)]);
        // Finer: a new id, and the price at its scale. Coarser: the same id, ticks at the finer one.
        list(&mut publisher, &[listing("A", -3, 0), listing("A", 0, 1)]);
        assert_eq!(price_and_size(&hub, "A"), (1_500, 3));
        for (feed_symbol, expected) in [(0, (20, 1)), (2, (20, 1)), (3, (2, 1)), (4, (2_000, 10))] {
            publish(&mut publisher, &[trade(feed_symbol, 2, 1)]);
            assert_eq!(price_and_size(&hub, "A"), expected, "feed symbol {feed_symbol}");
        }
        let symbol = hub.symbol(SymbolIndex(0)).unwrap();
        assert_eq!((symbol.id(), symbol.definition_count()), (2, 2));
        assert_eq!(symbol.definition_of(0).unwrap().price_exponent, -2);
        assert_eq!(symbol.definition_of(1), None, "that one is B");
        assert_eq!(hub.symbol_count(), 2);
    }

    #[test]
    fn a_redefinition_keeps_what_its_listing_does_not_know() {
        let hub = hub(1);
        let mut publisher = hub.publisher();
        let known = Listing { session_date: 20_240_808, previous_close: 12, ..listing("A", -1, 0) };
        list(&mut publisher, &[known, listing("A", -2, 0)]);
        let definition = hub.symbol(SymbolIndex(0)).unwrap().definition();
        assert_eq!((definition.session_date, definition.previous_close), (20_240_808, 120));
        let same = Listing { session_date: 20_240_808, previous_close: 7, ..listing("A", 0, -1) };
        list(&mut publisher, &[same]);
        let definition = hub.symbol(SymbolIndex(0)).unwrap().definition();
        assert_eq!((definition.price_exponent, definition.previous_close), (-2, 700));
        // A listing begins no session, so its figures would be of the one before.
        let next = Listing { session_date: 20_240_809, previous_close: 8, ..listing("A", 0, -2) };
        list(&mut publisher, &[next]);
        let definition = hub.symbol(SymbolIndex(0)).unwrap().definition();
        assert_eq!((definition.size_exponent, definition.previous_close), (-2, 700));
        assert_eq!(definition.session_date, 20_240_808);
    }

    #[test]
    fn a_symbol_redefined_too_often_keeps_its_scale() {
        let hub = hub(DEFINITION_LIMIT);
        let mut publisher = hub.publisher();
        let steps = (0..DEFINITION_LIMIT as i8).map(|n| listing("A", 18 - n, 18));
        list(&mut publisher, &steps.collect::<Vec<_>>());
        let symbol = hub.symbol(SymbolIndex(0)).unwrap();
        assert_eq!(symbol.definition().price_exponent, -18);
        list(&mut publisher, &[listing("A", -18, 17)]);
        assert_eq!(symbol.definition().size_exponent, 18);
        assert_eq!(symbol.definition_count(), DEFINITION_LIMIT);
        assert_eq!(refused(&hub, Refusal::DefinitionLimit), 1);
    }

    #[test]
    fn a_feed_that_lists_without_end_is_stopped() {
        let hub = hub(1);
        let mut publisher = hub.publisher();
        list(&mut publisher, &vec![listing("A", 0, 0); LISTINGS_PER_SYMBOL + 3]);
        assert_eq!(refused(&hub, Refusal::ListingLimit), 3);
        assert_eq!(publisher.routes.len(), LISTINGS_PER_SYMBOL);
    }

    #[test]
    fn two_feeds_number_their_symbols_by_themselves() {
        let hub = hub(3);
        let (mut one, mut two) = (hub.publisher(), hub.publisher());
        list(&mut one, &[listing("A", 0, 0), listing("B", 0, 0)]);
        list(&mut two, &[listing("B", 0, 0), listing("C", 0, 0)]);
        publish(&mut two, &[trade(0, 7, 1)]);
        assert_eq!(price_and_size(&hub, "B"), (7, 1));
        let (page, more) = hub.list("", None, 2);
        assert_eq!(page.iter().map(|line| &*line.definition.name).collect::<Vec<_>>(), ["A", "B"]);
        assert!(more);
    }

    #[test]
    fn each_worker_is_rung_once_per_batch_that_says_something() {
        let hub = hub(2);
        let mut publisher = hub.publisher();
        let wakes = Arc::new(AtomicU32::new(0));
        let counter = Arc::clone(&wakes);
        let bell = &hub.worker(1).doorbell;
        bell.install(Box::new(move || {
            counter.fetch_add(1, Relaxed);
        }));
        list(&mut publisher, &[listing("A", 0, 0), listing("B", 0, 0)]);
        assert!(!bell.arm(), "rung by the listing");
        assert!(bell.arm());
        publisher.publish(&Batch::default());
        publish(&mut publisher, &[trade(9, 1, 1)]);
        assert_eq!(wakes.load(Relaxed), 0, "nothing was said");
        publish(&mut publisher, &[trade(0, 1, 1), trade(1, 1, 1), trade(0, 2, 1)]);
        publish(&mut publisher, &[trade(0, 1, 1)]);
        assert_eq!(wakes.load(Relaxed), 1);
    }

    /// Volume, count, high, low and open, then the date and the close before.
    fn session(hub: &Hub, name: &str) -> ([i64; 5], u32, i64) {
        let symbol = hub.symbol(hub.lookup(name).expect("listed")).expect("there");
        let fields = symbol.last().expect("idle").fields;
        let definition = symbol.definition();
        let figures = [2, 3, 4, 5, 6].map(|field| fields[field]);
        (figures, definition.session_date, definition.previous_close)
    }

    #[test]
    fn a_session_begins_once_between_the_ticks_of_two_days() {
        const DAY_NS: i64 = 86_400 * 1_000_000_000;
        let config = HubConfig {
            shards: 2,
            symbol_limit: 3,
            session_start_s: Some(79_200),
            ..HubConfig::default()
        };
        let hub = Hub::new(config, 1).unwrap();
        let mut publisher = hub.publisher();
        list(&mut publisher, &[listing("A", 0, 0), listing("B", 0, 0)]);
        // Two hours before the midnight that ends 2024-08-08.
        let start_ns = 19_944 * DAY_NS - 7_200_000_000_000;
        let at = |price, seconds: i64| Tick {
            event_time_ns: start_ns + seconds * 1_000_000_000,
            ..trade(0, price, 1)
        };
        let mut publish = |ticks: &[Tick], seconds: i64| {
            let clock_ns = start_ns + seconds * 1_000_000_000;
            publisher.publish(&Batch { ticks: ticks.to_vec(), clock_ns, ..Batch::default() });
        };
        publish(&[at(50, -20), at(70, -10)], -10);
        assert_eq!(session(&hub, "A"), ([2, 2, 70, 50, 50], 0, ABSENT));
        publish(&[at(60, -1), at(55, 0), at(56, 1)], 1);
        assert_eq!(session(&hub, "A"), ([2, 2, 56, 55, 55], 20_240_809, 60));
        assert_eq!(session(&hub, "B"), ([ABSENT; 5], 20_240_809, ABSENT), "it never traded");
        // The clock goes on within the day, then over the next two.
        publish(&[], 70_000);
        assert_eq!(session(&hub, "A").1, 20_240_809);
        publish(&[], 2 * 86_400);
        assert_eq!(session(&hub, "A"), ([0, 0, ABSENT, ABSENT, ABSENT], 20_240_811, 56));
        assert_eq!(hub.stats().sessions, 4);
        let symbol = hub.symbol(hub.lookup("A").unwrap()).unwrap();
        assert_eq!((symbol.status_sequence(), symbol.definition().status_sequence), (2, 2));
    }

    /// The bars and flags of a symbol's minutes, oldest first.
    fn minutes(hub: &Hub) -> Vec<(i64, u8)> {
        let symbol = hub.symbol(SymbolIndex(0)).expect("listed");
        let (bars, _) = symbol.bars_before(BarInterval::Minute, i64::MAX, 9).expect("idle");
        bars.iter().rev().map(|bar| (bar.start_s, bar.flags)).collect()
    }

    #[test]
    fn a_clock_that_goes_back_is_followed() {
        let hub = hub(1);
        let mut publisher = hub.publisher();
        list(&mut publisher, &[listing("A", 0, 0)]);
        let mut publish = |seconds: &[i64], clock_s: i64, new_epoch| {
            let ticks = seconds
                .iter()
                .map(|second| Tick { event_time_ns: second * 1_000_000_000, ..trade(0, 5, 1) });
            let (ticks, clock_ns) = (ticks.collect(), clock_s * 1_000_000_000);
            publisher.publish(&Batch { ticks, clock_ns, new_epoch, ..Batch::default() });
        };
        publish(&[7_210], 7_220, false);
        // A host's clock that was two hours ahead is set right.
        publish(&[], 30, false);
        publish(&[35], 40, false);
        publish(&[], 60, false);
        assert_eq!(
            minutes(&hub),
            [(0, 3), (7_200, 0)],
            "no bar could be open beside the later one"
        );
        publish(&[65], 70, false);
        // A recording that begins anew, and passes a minute in its first batch.
        publish(&[10, 70], 71, true);
        assert_eq!(minutes(&hub), [(0, 1), (60, 0)]);
        publish(&[], 120, false);
        assert_eq!(minutes(&hub), [(0, 1), (60, 1)]);
        publish(&[10], 60, true);
        assert_eq!(minutes(&hub), [(0, 1)], "over when its batch is");
    }

    #[test]
    fn without_a_calendar_a_session_begins_when_the_feed_says_so() {
        let config = HubConfig { symbol_limit: 3, session_start_s: None, ..HubConfig::default() };
        let hub = Hub::new(config, 1).unwrap();
        let mut publisher = hub.publisher();
        list(&mut publisher, &[listing("A", 0, 0)]);
        let mut publish = |ticks: Vec<Tick>, clock_ns| {
            publisher.publish(&Batch { ticks, clock_ns, ..Batch::default() });
        };
        let start = |session_date, previous_close| {
            let body = TickBody::Session(SessionStart { session_date, previous_close });
            Tick { symbol: 0, event_time_ns: 0, body }
        };
        publish(vec![trade(0, 50, 3)], 0);
        publish(vec![], 3 * 86_400 * 1_000_000_000);
        assert_eq!(session(&hub, "A"), ([3, 1, 50, 50, 50], 0, ABSENT));
        publish(vec![start(20_240_809, 49), trade(0, 51, 2)], 0);
        assert_eq!(session(&hub, "A"), ([2, 1, 51, 51, 51], 20_240_809, 49));
        publish(vec![start(20_240_809, 48), start(20_240_808, 47)], 0);
        assert_eq!(session(&hub, "A"), ([2, 1, 51, 51, 51], 20_240_809, 49), "it has begun");
    }

    #[test]
    fn rare_changes_have_bits_of_their_own() {
        let hub = hub(70);
        let mut publisher = hub.publisher();
        let names: Vec<Listing> = (0..70).map(|n| listing(&format!("S{n}"), 0, 0)).collect();
        list(&mut publisher, &names);
        let drained = || {
            let (mut dirty, mut status) = (Vec::new(), Vec::new());
            hub.worker(0).drain_dirty(|word, bits| dirty.push((word, bits)));
            hub.worker(0).drain_status(|word, bits| status.push((word, bits)));
            (dirty, status)
        };
        let all = vec![(0, u64::MAX), (1, 0b11_1111)];
        assert_eq!(drained(), (all.clone(), all.clone()));
        let change = StatusChange { status: Status::Halted, reason: Reason::None };
        let halt = Tick { symbol: 65, event_time_ns: 0, body: TickBody::Status(change) };
        let quote = Tick { symbol: 3, event_time_ns: 0, body: TickBody::Quote(Quote::EMPTY) };
        publish(&mut publisher, &[quote, halt]);
        assert_eq!(drained(), (vec![(0, 8), (1, 2)], vec![(1, 2)]));
        publish(&mut publisher, &[halt]);
        list(&mut publisher, &[listing("S0", 0, 0)]);
        assert_eq!(drained(), (vec![], vec![]), "neither said anything new");
        assert!(!hub.worker(0).take_notice());
        publisher.publish(&Batch { new_epoch: true, ..Batch::default() });
        assert_eq!((drained(), hub.epoch()), ((all.clone(), all), 6));
        assert!(hub.worker(0).take_notice());
        assert!(!hub.worker(0).take_notice(), "once");
    }

    #[test]
    fn the_feed_is_stale_until_it_says_otherwise() {
        let hub = hub(1);
        let mut publisher = hub.publisher();
        let status = || {
            let feed = hub.feed_status();
            (feed.sequence, feed.status, feed.reason, hub.worker(1).take_notice())
        };
        assert_eq!(status(), (0, Status::Stale, Reason::Silent, false));
        publisher.set_feed_status(Status::Live, Reason::None, 8);
        assert_eq!(status(), (1, Status::Live, Reason::None, true));
        publisher.set_feed_status(Status::Live, Reason::None, 9);
        publisher.set_feed_status(Status::Halted, Reason::None, 9);
        assert_eq!(status(), (1, Status::Live, Reason::None, false));
        publisher.set_feed_status(Status::Stale, Reason::Gap, 9);
        assert_eq!(status(), (2, Status::Stale, Reason::Gap, true));
        assert_eq!((hub.feed_status().event_time_ns, refused(&hub, Refusal::Status)), (9, 1));
    }
}
