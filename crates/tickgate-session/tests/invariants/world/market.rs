//! A random feed, and an independent fold of what it published into the checker's truth.

use rand::{RngExt, rngs::StdRng};
use std::ops::Range;

use super::bars::{Bars, Change};
use tickgate_checker::{Channel, Definition as Told, TapeEvent, Truth};
use tickgate_hub::Publisher;
use tickgate_protocol::{
    number::ABSENT,
    tick::{
        Batch, Correction, CorrectionKind, Listing, Quote, Reason, SessionStart, Status,
        StatusChange, Tick, TickBody, Trade,
    },
};

/// What is published of one symbol, as this side sees it.
struct Symbol {
    name: String,
    /// Place of its newest listing among all, by which its ticks name it.
    listing: u32,
    /// Of its definition.
    id: u32,
    exponents: (i8, i8),
    tick_size: Option<i64>,
    quote_sequence: u64,
    last_sequence: u64,
    tape_sequence: u64,
    epoch_tape: u64,
    status_sequence: u64,
    status: (i64, i64),
    session_date: u32,
    previous_close: Option<i64>,
    /// A session has begun in this epoch.
    is_dated: bool,
    /// Trades up to this sequence belong to earlier sessions.
    session_tape: u64,
    /// Venue's times of the newest states.
    quote_event_ns: Option<i64>,
    last_event_ns: Option<i64>,
    /// price, size, volume, trade_count, high, low, open, flags
    last: [Option<i64>; 8],
    quote: [Option<i64>; 5],
    /// Trades of this epoch.
    trades: Vec<Kept>,
    /// Sequence of the trade that opened the session.
    opened_by: Option<u64>,
    bars: Bars,
}

/// A trade as it holds now.
#[derive(Debug, Clone, Copy)]
struct Kept {
    trade_id: i64,
    sequence: u64,
    price: i64,
    size: i64,
    flags: u8,
    is_cancelled: bool,
}

/// A random market.
pub(crate) struct Market {
    publisher: Publisher,
    symbols: Vec<Symbol>,
    tape_capacity: u64,
    bar_capacities: [usize; 3],
    /// The feed's clock before the last batch and after it.
    clock_ns: Range<i64>,
    epoch: u64,
    feed: (u64, Status),
    next_trade_id: i64,
    listings: u32,
    next_id: u32,
    batch: Batch,
}

impl Market {
    pub(crate) fn new(
        publisher: Publisher,
        tape_capacity: u64,
        bar_capacities: [usize; 3],
        epoch: u64,
    ) -> Self {
        Self {
            publisher,
            symbols: Vec::new(),
            tape_capacity,
            bar_capacities,
            clock_ns: ABSENT..ABSENT,
            epoch,
            feed: (0, Status::Stale),
            next_trade_id: 1,
            listings: 0,
            next_id: 0,
            batch: Batch::default(),
        }
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.symbols.iter().map(|symbol| symbol.name.clone()).collect()
    }

    pub(crate) fn list(&mut self, now_us: u64, rng: &mut StdRng, truth: &mut Truth) {
        let number = self.symbols.len();
        let exponents = (rng.random_range(-4..=0), rng.random_range(-3..=0));
        let name = format!("S{number}");
        self.batch.clear();
        // Of some the tick size is known.
        let tick_size = [ABSENT, 1, 5, 25][number % 4];
        self.batch.listings.push(Listing {
            session_date: 20_240_808,
            tick_size,
            ..Listing::new(name.clone(), exponents.0, exponents.1)
        });
        self.publisher.publish(&self.batch);
        self.symbols.push(Symbol {
            name,
            listing: self.listings,
            id: self.next_id,
            exponents,
            tick_size: present(tick_size),
            quote_sequence: 0,
            last_sequence: 0,
            tape_sequence: 0,
            epoch_tape: 0,
            status_sequence: 0,
            status: (1, 0),
            session_date: 20_240_808,
            previous_close: None,
            is_dated: false,
            session_tape: 0,
            quote_event_ns: None,
            last_event_ns: None,
            last: [None; 8],
            quote: [None; 5],
            trades: Vec::new(),
            opened_by: None,
            bars: Bars::new(self.bar_capacities),
        });
        self.listings += 1;
        self.next_id += 1;
        self.tell_definition(now_us, number, truth);
    }

    /// A symbol's prices or sizes, or both, get a decimal place more: a new id, and its states anew.
    pub(crate) fn refine(&mut self, now_us: u64, rng: &mut StdRng, truth: &mut Truth) {
        let number = rng.random_range(0..self.symbols.len().min(4));
        let places = [(1, 0), (0, 1), (1, 1)][rng.random_range(0..3)];
        // A new tick size, or the old one at the new scale.
        let tick_size = [ABSENT, 2][self.listings as usize % 2];
        let (price, size) = self.symbols[number].exponents;
        if price - places.0 >= -6 && size - places.1 >= -6 {
            self.refine_by(now_us, number, places, tick_size, truth);
        }
    }

    /// The prices and sizes of a symbol get so many decimal places more.
    pub(crate) fn refine_by(
        &mut self,
        now_us: u64,
        number: usize,
        (price, size): (i8, i8),
        tick_size: i64,
        truth: &mut Truth,
    ) {
        let symbol = &mut self.symbols[number];
        symbol.exponents = (symbol.exponents.0 - price, symbol.exponents.1 - size);
        self.batch.clear();
        self.batch.listings.push(Listing {
            session_date: 20_240_808,
            tick_size,
            ..Listing::new(symbol.name.clone(), symbol.exponents.0, symbol.exponents.1)
        });
        self.publisher.publish(&self.batch);
        symbol.tick_size =
            present(tick_size).or(symbol.tick_size.map(|size| size * 10i64.pow(price as u32)));
        symbol.listing = self.listings;
        symbol.id = self.next_id;
        if symbol.session_date == 0 {
            symbol.session_date = 20_240_808;
        }
        self.listings += 1;
        self.next_id += 1;
        let (price, size) = (10i64.pow(price as u32), 10i64.pow(size as u32));
        let scale = |field: &mut Option<i64>, by: i64| {
            *field = field.map(|number| number * by);
        };
        for (at, by) in [(0, price), (1, size), (2, price), (3, size)] {
            scale(&mut symbol.quote[at], by);
        }
        for (at, by) in [(0, price), (1, size), (2, size), (4, price), (5, price), (6, price)] {
            scale(&mut symbol.last[at], by);
        }
        scale(&mut symbol.previous_close, price);
        for trade in &mut symbol.trades {
            (trade.price, trade.size) = (trade.price * price, trade.size * size);
        }
        self.tell_definition(now_us, number, truth);
        let symbol = &mut self.symbols[number];
        let restated = symbol.bars.refine(price, size);
        tell_bars(now_us, &symbol.name, restated, truth);
        if symbol.quote_sequence > 0 {
            symbol.quote_sequence += 1;
            symbol.tell_quote(now_us, symbol.quote_event_ns, truth);
        }
        if symbol.last_sequence > 0 {
            symbol.last_sequence += 1;
            symbol.tell_last(now_us, symbol.last_event_ns, truth);
        }
    }

    pub(crate) fn set_feed(
        &mut self,
        now_us: u64,
        unix_us: i64,
        status: Status,
        truth: &mut Truth,
    ) {
        if self.feed.1 == status {
            return;
        }
        let reason = if status == Status::Live { Reason::None } else { Reason::Disconnected };
        let event_ns = unix_us * 1_000;
        self.publisher.set_feed_status(status, reason, event_ns);
        self.feed = (self.feed.0 + 1, status);
        let reason = (reason != Reason::None).then_some(reason as i64);
        truth.feed_status(now_us, self.feed.0, status as i64, reason, Some(event_ns));
    }

    /// Every state is void; sequences go on.
    pub(crate) fn begin_epoch(&mut self, now_us: u64, truth: &mut Truth) {
        self.batch.clear();
        self.batch.new_epoch = true;
        self.batch.clock_ns = self.clock_ns.end;
        self.publisher.publish(&self.batch);
        self.epoch += 1;
        truth.epoch(now_us, self.epoch);
        for number in 0..self.symbols.len() {
            let symbol = &mut self.symbols[number];
            if std::mem::take(&mut symbol.is_dated) {
                (symbol.session_date, symbol.previous_close) = (0, None);
            }
            self.tell_definition(now_us, number, truth);
            let symbol = &mut self.symbols[number];
            symbol.quote = [None; 5];
            symbol.last = [None; 8];
            symbol.trades.clear();
            (symbol.opened_by, symbol.session_tape) = (None, symbol.tape_sequence);
            symbol.bars.void();
            if symbol.quote_sequence > 0 {
                symbol.quote_sequence += 1;
                symbol.tell_quote(now_us, None, truth);
            }
            if symbol.last_sequence > 0 {
                symbol.last_sequence += 1;
                symbol.tell_last(now_us, None, truth);
            }
            symbol.epoch_tape = symbol.tape_sequence;
            if symbol.status.0 != Status::Trading as i64 {
                symbol.status = (Status::Trading as i64, 0);
                symbol.status_sequence += 1;
                symbol.tell_status(now_us, None, truth);
            } else if symbol.status_sequence > 0 {
                symbol.tell_status(now_us, None, truth);
            }
        }
    }

    /// Publishes up to `most` random ticks in one batch.
    pub(crate) fn trade(
        &mut self,
        now_us: u64,
        unix_us: i64,
        most: usize,
        rng: &mut StdRng,
        truth: &mut Truth,
    ) {
        self.begin(unix_us);
        for _ in 0..rng.random_range(0..=most) {
            // Some symbols are busy, most are quiet.
            let number = (rng.random_range(0.0f64..1.0).powi(3) * self.symbols.len() as f64) as u32;
            let event_time_ns = match rng.random_range(0..10) {
                0 => ABSENT,
                1 => unix_us * 1_000 + rng.random_range(-2_000_000..2_000_000_000),
                _ => unix_us * 1_000 - rng.random_range(0..5_000_000),
            };
            let body = self.body(number as usize, rng);
            self.fold(now_us, number as usize, event_time_ns, &body, truth);
            let symbol = self.symbols[number as usize].listing;
            self.batch.ticks.push(Tick { symbol, event_time_ns, body });
        }
        self.send(now_us, truth);
    }

    /// Publishes these ticks, each of the symbol of a number, in one batch.
    pub(crate) fn publish(
        &mut self,
        now_us: u64,
        unix_us: i64,
        bodies: impl IntoIterator<Item = (usize, TickBody)>,
        truth: &mut Truth,
    ) {
        self.begin(unix_us);
        let event_time_ns = unix_us * 1_000;
        for (number, body) in bodies {
            self.fold(now_us, number, event_time_ns, &body, truth);
            let symbol = self.symbols[number].listing;
            self.batch.ticks.push(Tick { symbol, event_time_ns, body });
        }
        self.send(now_us, truth);
    }

    /// Begins a batch with the clock of now. A clock that steps back by more than a second is
    /// followed.
    fn begin(&mut self, unix_us: i64) {
        self.batch.clear();
        let told_ns = unix_us * 1_000;
        self.batch.clock_ns = told_ns;
        let known_ns = self.clock_ns.end;
        self.clock_ns = match told_ns < known_ns.saturating_sub(1_000_000_000) {
            true => told_ns..told_ns,
            false => known_ns..known_ns.max(told_ns),
        };
    }

    /// Publishes the batch, after which the clock closes bars.
    fn send(&mut self, now_us: u64, truth: &mut Truth) {
        self.publisher.publish(&self.batch);
        for symbol in &mut self.symbols {
            tell_bars(now_us, &symbol.name, symbol.bars.pass(&self.clock_ns), truth);
        }
    }

    fn body(&mut self, number: usize, rng: &mut StdRng) -> TickBody {
        let price = rng.random_range(-50..2_000);
        let size = rng.random_range(0..500);
        match rng.random_range(0..100) {
            0..60 => {
                let sided = |present: bool, value| if present { value } else { ABSENT };
                let (bid, ask) = (rng.random_bool(0.9), rng.random_bool(0.9));
                TickBody::Quote(Quote {
                    bid_price: sided(bid, price),
                    bid_size: sided(bid, size),
                    ask_price: sided(ask, price + rng.random_range(-3..6)),
                    ask_size: sided(ask, rng.random_range(0..3)),
                    suspect: rng.random_bool(0.02),
                })
            }
            60..94 => {
                self.next_trade_id += 1;
                let trade_id = if rng.random_bool(0.9) { self.next_trade_id } else { ABSENT };
                TickBody::Trade(Trade { price, size, flags: rng.random_range(0..16), trade_id })
            }
            94 => {
                // Now and then one that has begun already.
                let session_date = self.symbols[number].session_date + rng.random_range(0..3);
                let previous_close = if rng.random_bool(0.5) { ABSENT } else { price };
                TickBody::Session(SessionStart { session_date, previous_close })
            }
            95..97 => {
                let trades = &self.symbols[number].trades;
                let known = trades.get(rng.random_range(0..trades.len().max(1)));
                let (what, price) = match rng.random_bool(0.5) {
                    true => (CorrectionKind::Cancel, ABSENT),
                    false => (CorrectionKind::Correct, price),
                };
                let size = if price == ABSENT { ABSENT } else { size };
                let known = known.filter(|kept| self.is_plain(number, kept, price));
                let trade_id = known.map_or(-7, |kept| kept.trade_id);
                TickBody::Correction(Correction { trade_id, what, price, size })
            }
            _ => {
                let status = [Status::Trading, Status::Halted][rng.random_range(0..2)];
                let reason = [Reason::None, Reason::News][rng.random_range(0..2)];
                TickBody::Status(StatusChange { status, reason })
            }
        }
    }

    fn fold(
        &mut self,
        now_us: u64,
        number: usize,
        event_time_ns: i64,
        body: &TickBody,
        truth: &mut Truth,
    ) {
        let symbol = &mut self.symbols[number];
        let event_ns = (event_time_ns != ABSENT).then_some(event_time_ns);
        match *body {
            TickBody::Quote(quote) => {
                let mut flags = if quote.suspect { 4 } else { 0 };
                if quote.bid_price != ABSENT && quote.ask_price != ABSENT {
                    flags |= i64::from(quote.bid_price > quote.ask_price);
                    flags |= i64::from(quote.bid_price == quote.ask_price) << 1;
                }
                let fields = [quote.bid_price, quote.bid_size, quote.ask_price, quote.ask_size];
                for (slot, field) in symbol.quote.iter_mut().zip(fields) {
                    *slot = present(field);
                }
                symbol.quote[4] = Some(flags);
                symbol.quote_sequence += 1;
                symbol.tell_quote(now_us, event_ns, truth);
            }
            TickBody::Trade(trade) => {
                symbol.fold_trade(now_us, event_ns, &trade, truth);
                if let (Some(time_ns), 0) = (event_ns, trade.flags & 1) {
                    let (sequence, clock_ns) = (symbol.tape_sequence, self.clock_ns.start);
                    let fill = (time_ns, trade.price, trade.size);
                    let changes = symbol.bars.trade(sequence, fill, clock_ns);
                    tell_bars(now_us, &symbol.name, changes, truth);
                }
            }
            TickBody::Correction(correction) => {
                let capacity = self.tape_capacity;
                symbol.fold_correction(now_us, event_ns, &correction, capacity, truth);
            }
            TickBody::Status(change) => {
                let status = (change.status as i64, change.reason as i64);
                if symbol.status != status {
                    symbol.status = status;
                    symbol.status_sequence += 1;
                    symbol.tell_status(now_us, event_ns, truth);
                }
            }
            TickBody::Session(start) if start.session_date > symbol.session_date => {
                symbol.begin_session(now_us, event_ns, start, truth);
                self.tell_definition(now_us, number, truth);
            }
            TickBody::Session(_) => {}
        }
    }

    /// False for a trade whose correction might leave high or low in doubt: the hub finds these anew
    /// where the tape has the whole session, else it may or may not have the bars for it.
    fn is_plain(&self, number: usize, kept: &Kept, price: i64) -> bool {
        let symbol = &self.symbols[number];
        let oldest = (symbol.tape_sequence + 2).saturating_sub(self.tape_capacity);
        let [.., high, low, _, _] = symbol.last;
        let between = |price: i64| low < Some(price) && Some(price) < high;
        kept.trade_id != ABSENT
            && (oldest <= symbol.session_tape + 1
                || kept.flags & 1 != 0
                || (between(kept.price) && (price == ABSENT || between(price))))
    }

    fn tell_definition(&self, now_us: u64, number: usize, truth: &mut Truth) {
        let symbol = &self.symbols[number];
        truth.define(
            now_us,
            Told {
                id: symbol.id,
                name: symbol.name.clone(),
                price_exponent: symbol.exponents.0.into(),
                size_exponent: symbol.exponents.1.into(),
                session_date: (symbol.session_date != 0).then_some(symbol.session_date.into()),
                previous_close: symbol.previous_close,
                status: 1,
                status_sequence: 0,
                tick_size: symbol.tick_size,
            },
        );
    }
}

impl Symbol {
    fn fold_trade(&mut self, now_us: u64, event_ns: Option<i64>, trade: &Trade, truth: &mut Truth) {
        let [price, size, volume, count, high, low, open, flags] = &mut self.last;
        *volume = Some(volume.unwrap_or(0) + trade.size);
        *count = Some(count.unwrap_or(0) + 1);
        let eligible = trade.flags & 1 == 0;
        if eligible {
            *high = Some(high.map_or(trade.price, |high| high.max(trade.price)));
            *low = Some(low.map_or(trade.price, |low| low.min(trade.price)));
        }
        let volume = volume.unwrap_or(0);
        self.tape_sequence += 1;
        self.last_sequence += 1;
        if eligible && trade.flags & 2 == 0 {
            (*price, *size, *flags) =
                (Some(trade.price), Some(trade.size), Some(i64::from(trade.flags)));
            if open.is_none() {
                (*open, self.opened_by) = (Some(trade.price), Some(self.tape_sequence));
            }
        }
        let Trade { price, size, flags, trade_id } = *trade;
        let (sequence, is_cancelled) = (self.tape_sequence, false);
        self.trades.push(Kept { trade_id, sequence, price, size, flags, is_cancelled });
        let event = TapeEvent::Trade {
            price: Some(trade.price),
            size: Some(trade.size),
            flags: trade.flags.into(),
            trade_id: present(trade.trade_id),
        };
        truth.trade(now_us, &self.name, self.tape_sequence, event_ns, event, volume);
        self.tell_last(now_us, event_ns, truth);
    }

    fn fold_correction(
        &mut self,
        now_us: u64,
        event_ns: Option<i64>,
        correction: &Correction,
        capacity: u64,
        truth: &mut Truth,
    ) {
        let before = self.last;
        let oldest = (self.tape_sequence + 1).saturating_sub(capacity);
        let found = self
            .trades
            .iter_mut()
            .rfind(|kept| kept.trade_id == correction.trade_id && kept.sequence >= oldest);
        let corrects = found.as_ref().map(|kept| kept.sequence as i64);
        let changed = found.filter(|kept| !kept.is_cancelled).map(|kept| {
            match correction.what {
                CorrectionKind::Cancel => kept.is_cancelled = true,
                CorrectionKind::Correct => {
                    (kept.price, kept.size) = (correction.price, correction.size);
                }
            }
            *kept
        });
        self.tape_sequence += 1;
        if let Some(changed) = changed {
            let now = (!changed.is_cancelled).then_some((changed.price, changed.size));
            let changes = self.bars.correct(changed.sequence, now);
            tell_bars(now_us, &self.name, changes, truth);
        }
        if let Some(changed) = changed.filter(|kept| kept.sequence > self.session_tape) {
            let session = || self.held().filter(|kept| kept.sequence > self.session_tape);
            (self.last[2], self.last[3]) =
                (Some(session().map(|kept| kept.size).sum()), Some(session().count() as i64));
            if changed.flags & 1 == 0 {
                self.find_prices(changed.sequence, capacity);
            }
        }
        let event = TapeEvent::Correction {
            corrects,
            what: correction.what as i64,
            price: present(correction.price),
            size: present(correction.size),
        };
        let volume = self.last[2].unwrap_or(0);
        truth.trade(now_us, &self.name, self.tape_sequence, event_ns, event, volume);
        if self.last != before {
            self.last_sequence += 1;
            self.tell_last(now_us, event_ns, truth);
        }
    }

    fn held(&self) -> impl DoubleEndedIterator<Item = &Kept> {
        self.trades.iter().filter(|kept| !kept.is_cancelled)
    }

    /// Last price, open, high and low after the correction, just taped, of an eligible trade.
    fn find_prices(&mut self, corrected: u64, capacity: u64) {
        let oldest = (self.tape_sequence + 1).saturating_sub(capacity);
        let may_be_last = |kept: &&Kept| kept.flags & 3 == 0;
        let last = self.held().filter(|kept| kept.sequence >= oldest).rfind(may_be_last).copied();
        if last.is_some() || oldest <= self.epoch_tape + 1 {
            self.last[0] = last.map(|kept| kept.price);
            self.last[1] = last.map(|kept| kept.size);
            self.last[7] = last.map(|kept| kept.flags.into());
        }
        if self.opened_by == Some(corrected) {
            let next =
                self.held().filter(|kept| kept.sequence >= corrected).find(may_be_last).copied();
            self.last[6] = next.map(|kept| kept.price);
            self.opened_by = next.map(|kept| kept.sequence);
        }
        // Of a longer session only what is neither is corrected.
        if oldest <= self.session_tape + 1 {
            let prices = || {
                let session = self.held().filter(|kept| kept.sequence > self.session_tape);
                session.filter(|kept| kept.flags & 1 == 0).map(|kept| kept.price)
            };
            (self.last[4], self.last[5]) = (prices().max(), prices().min());
        }
    }

    /// Volume, count, high, low and open begin anew; the last price stays.
    fn begin_session(
        &mut self,
        now_us: u64,
        event_ns: Option<i64>,
        start: SessionStart,
        truth: &mut Truth,
    ) {
        self.session_date = start.session_date;
        self.previous_close =
            present(start.previous_close).or(self.last[0]).or(self.previous_close);
        self.status_sequence += 1;
        self.tell_status(now_us, event_ns, truth);
        self.session_tape = self.tape_sequence;
        truth.session(now_us, &self.name, start.session_date.into());
        self.is_dated = true;
        if self.last_sequence > 0 {
            (self.last[2], self.last[3]) = (Some(0), Some(0));
            (self.last[4], self.last[5], self.last[6]) = (None, None, None);
            self.opened_by = None;
            self.last_sequence += 1;
            self.tell_last(now_us, event_ns, truth);
        }
    }

    fn tell_quote(&mut self, now_us: u64, event_ns: Option<i64>, truth: &mut Truth) {
        self.quote_event_ns = event_ns;
        let sequence = self.quote_sequence;
        truth.state(now_us, &self.name, Channel::Quote, sequence, event_ns, &self.quote);
    }

    fn tell_last(&mut self, now_us: u64, event_ns: Option<i64>, truth: &mut Truth) {
        self.last_event_ns = event_ns;
        let sequence = self.last_sequence;
        truth.state(now_us, &self.name, Channel::Last, sequence, event_ns, &self.last);
    }

    fn tell_status(&self, now_us: u64, event_ns: Option<i64>, truth: &mut Truth) {
        let (status, reason) = self.status;
        let reason = (reason != 0).then_some(reason);
        let sequence = self.status_sequence;
        truth.status(now_us, &self.name, sequence, status, reason, event_ns, self.tape_sequence);
    }
}

fn tell_bars(now_us: u64, name: &str, changes: Vec<Change>, truth: &mut Truth) {
    for (channel, sequence, bar) in changes {
        truth.bar(now_us, name, channel, sequence, bar);
    }
}

fn present(field: i64) -> Option<i64> {
    (field != ABSENT).then_some(field)
}
