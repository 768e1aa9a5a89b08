//! What a hub should hold, computed the slow way: everything is remembered, and the session's
//! figures are folded anew from all of its trades each time.

use tickgate_hub::TapeRead;
use tickgate_protocol::{
    number::ABSENT,
    tick::{Correction, CorrectionKind, Quote, Reason, SessionStart, Status, StatusChange, Trade},
};

/// A state a channel went through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Past<const N: usize> {
    pub(crate) id: u32,
    pub(crate) event_time_ns: i64,
    pub(crate) fields: [i64; N],
}

/// One symbol's whole history; sequence `n` of a channel is at position `n - 1`.
#[derive(Debug)]
pub(crate) struct Model {
    pub(crate) id: u32,
    pub(crate) price_exponent: i8,
    pub(crate) size_exponent: i8,
    /// `(id, size exponent, price exponent)` of every definition.
    scales: Vec<(u32, i8, i8)>,
    pub(crate) quotes: Vec<Past<5>>,
    pub(crate) lasts: Vec<Past<8>>,
    pub(crate) tape: Vec<TapeRead>,
    /// Status, reason, venue's time, tape head, and the date of a session that begins.
    pub(crate) statuses: Vec<(Status, Reason, i64, u64, u32)>,
    /// Tape records before the epoch.
    pub(crate) epoch_start: usize,
    /// Tape records before the session, where one began in this epoch.
    session_start: Option<usize>,
    pub(crate) session_date: u32,
    pub(crate) previous_close: i64,
    /// The last-trade figures; volume and count are worked out when they are asked for.
    prices: [i64; 8],
    /// Position of the trade that opened the session.
    opened_by: Option<usize>,
}

/// A trade that was not cancelled, at the current scale.
#[derive(Debug, Clone, Copy)]
struct Held {
    position: usize,
    time_ns: i64,
    price: i64,
    size: i64,
    flags: u8,
}

impl Model {
    pub(crate) fn new(id: u32, price_exponent: i8, size_exponent: i8) -> Self {
        Self {
            id,
            price_exponent,
            size_exponent,
            scales: vec![(id, size_exponent, price_exponent)],
            quotes: Vec::new(),
            lasts: Vec::new(),
            tape: Vec::new(),
            statuses: Vec::new(),
            epoch_start: 0,
            session_start: None,
            session_date: 0,
            previous_close: ABSENT,
            prices: [ABSENT; 8],
            opened_by: None,
        }
    }

    pub(crate) fn quote(&mut self, event_time_ns: i64, quote: Quote) {
        let Quote { bid_price, bid_size, ask_price, ask_size, suspect } = quote;
        let both = bid_price != ABSENT && ask_price != ABSENT;
        let flags = i64::from(both && bid_price > ask_price)
            + 2 * i64::from(both && bid_price == ask_price)
            + 4 * i64::from(suspect);
        let fields = [bid_price, bid_size, ask_price, ask_size, flags];
        self.quotes.push(Past { id: self.id, event_time_ns, fields });
    }

    pub(crate) fn trade(&mut self, event_time_ns: i64, trade: Trade) {
        self.tape.push(TapeRead::Trade { id: self.id, event_time_ns, trade });
        self.take(&trade);
        self.push_last(event_time_ns);
    }

    /// `capacity` of the tape decides whether the trade can still be found.
    pub(crate) fn correction(
        &mut self,
        event_time_ns: i64,
        correction: Correction,
        capacity: usize,
    ) {
        let Correction { trade_id, what, price, size } = correction;
        let oldest = self.epoch_start.max(self.tape.len().saturating_sub(capacity));
        let found = (oldest..self.tape.len()).rev().find(|position| {
            matches!(self.tape[*position], TapeRead::Trade { trade, .. } if trade.trade_id == trade_id)
        });
        let corrects = found.map_or(ABSENT, |position| position as i64 + 1);
        let start = self.session_start.unwrap_or(self.epoch_start);
        let changes_prices = found.filter(|position| {
            let held = self.held(start);
            held.iter().any(|trade| trade.position == *position && trade.flags & 1 == 0)
        });
        self.tape.push(TapeRead::Correction {
            id: self.id,
            event_time_ns,
            corrects,
            what,
            price,
            size,
        });
        if let Some(position) = changes_prices {
            self.find_prices(position, capacity);
        }
        if self.lasts.last().is_some_and(|last| last.fields != self.session()) {
            self.push_last(event_time_ns);
        }
    }

    /// True when it said something new.
    pub(crate) fn status(&mut self, event_time_ns: i64, change: StatusChange) -> bool {
        let StatusChange { status, reason } = change;
        let current = self.current_status();
        if current != (status, reason) {
            self.statuses.push((status, reason, event_time_ns, self.tape.len() as u64, 0));
        }
        current != (status, reason)
    }

    /// True when it said something new.
    pub(crate) fn begin_session(&mut self, event_time_ns: i64, start: SessionStart) -> bool {
        let SessionStart { session_date, previous_close } = start;
        if session_date <= self.session_date {
            return false;
        }
        self.session_date = session_date;
        let (status, reason) = self.current_status();
        let after_trade = self.tape.len() as u64;
        self.statuses.push((status, reason, event_time_ns, after_trade, session_date));
        let price = self.lasts.last().map_or(ABSENT, |last| last.fields[0]);
        let closes = [previous_close, price, self.previous_close];
        self.previous_close = closes.into_iter().find(|close| *close != ABSENT).unwrap_or(ABSENT);
        self.session_start = Some(self.tape.len());
        (self.prices[4], self.prices[5], self.prices[6]) = (ABSENT, ABSENT, ABSENT);
        self.opened_by = None;
        if !self.lasts.is_empty() {
            self.push_last(event_time_ns);
        }
        true
    }

    pub(crate) fn begin_epoch(&mut self) {
        self.epoch_start = self.tape.len();
        if self.session_start.take().is_some() {
            (self.session_date, self.previous_close) = (0, ABSENT);
        }
        (self.prices, self.opened_by) = ([ABSENT; 8], None);
        let (id, event_time_ns) = (self.id, ABSENT);
        if !self.quotes.is_empty() {
            self.quotes.push(Past { id, event_time_ns, fields: [ABSENT; 5] });
        }
        if !self.lasts.is_empty() {
            self.push_last(ABSENT);
        }
        if self.current_status().0 != Status::Trading {
            let change = StatusChange { status: Status::Trading, reason: Reason::None };
            self.status(ABSENT, change);
        }
    }

    pub(crate) fn redefine(&mut self, id: u32, price_exponent: i8, size_exponent: i8) {
        let price = self.price_exponent - price_exponent;
        let size = self.size_exponent - size_exponent;
        (self.id, self.price_exponent, self.size_exponent) = (id, price_exponent, size_exponent);
        self.scales.push((id, size_exponent, price_exponent));
        self.previous_close = finer(self.previous_close, price);
        for field in [0, 4, 5, 6] {
            self.prices[field] = finer(self.prices[field], price);
        }
        self.prices[1] = finer(self.prices[1], size);
        if let Some(Past { event_time_ns, fields: [bp, bs, ap, az, flags], .. }) =
            self.quotes.last().copied()
        {
            let fields =
                [finer(bp, price), finer(bs, size), finer(ap, price), finer(az, size), flags];
            self.quotes.push(Past { id, event_time_ns, fields });
        }
        if let Some(last) = self.lasts.last() {
            self.push_last(last.event_time_ns);
        }
    }

    pub(crate) fn session_volume(&self) -> i64 {
        Some(self.session()[2]).filter(|volume| *volume != ABSENT).unwrap_or(0)
    }

    pub(crate) fn current_status(&self) -> (Status, Reason) {
        self.statuses.last().map_or((Status::Trading, Reason::None), |s| (s.0, s.1))
    }

    fn push_last(&mut self, event_time_ns: i64) {
        self.lasts.push(Past { id: self.id, event_time_ns, fields: self.session() });
    }

    /// The session's figures at the current scale: volume and count from all of its trades as they
    /// hold now, the prices kept up from trade to trade, and found anew after corrections.
    fn session(&self) -> [i64; 8] {
        let mut fields = self.prices;
        let any = (self.epoch_start..self.tape.len())
            .any(|position| matches!(self.tape[position], TapeRead::Trade { .. }));
        if any || self.session_start.is_some() {
            let start = self.session_start.unwrap_or(self.epoch_start);
            let held = self.held(start);
            fields[2] = held.iter().map(|trade| trade.size).sum();
            fields[3] = held.len() as i64;
        }
        fields
    }

    /// Trades from a position on that were not cancelled, at the current scale.
    fn held(&self, from: usize) -> Vec<Held> {
        let held = |position: usize| match &self.tape[position] {
            TapeRead::Trade { id, event_time_ns, trade } => {
                let (price, size) = self.corrected(position, *id, trade.price, trade.size)?;
                let (flags, time_ns) = (trade.flags, *event_time_ns);
                Some(Held { position, time_ns, price, size, flags })
            }
            _ => None,
        };
        (from..self.tape.len()).filter_map(held).collect()
    }

    /// What a new trade does to the prices.
    fn take(&mut self, trade: &Trade) {
        if trade.flags & 1 != 0 {
            return;
        }
        let [price, size, _, _, high, low, open, flags] = &mut self.prices;
        *high = (*high).max(trade.price);
        *low = if *low == ABSENT { trade.price } else { (*low).min(trade.price) };
        if trade.flags & 2 == 0 {
            (*price, *size, *flags) = (trade.price, trade.size, trade.flags.into());
            if *open == ABSENT {
                *open = trade.price;
                self.opened_by = Some(self.tape.len() - 1);
            }
        }
    }

    /// The prices after the correction, just taped, of the eligible trade at a position of this
    /// session.
    fn find_prices(&mut self, corrected: usize, capacity: usize) {
        let oldest = self.tape.len().saturating_sub(capacity);
        let epoch = self.held(self.epoch_start);
        let on_tape = |trade: &&Held| trade.position >= oldest;
        let may_be_last = |trade: &&Held| trade.flags & 3 == 0;
        match epoch.iter().filter(on_tape).rfind(may_be_last) {
            Some(Held { price, size, flags, .. }) => {
                (self.prices[0], self.prices[1], self.prices[7]) = (*price, *size, (*flags).into());
            }
            None if oldest <= self.epoch_start => {
                (self.prices[0], self.prices[1], self.prices[7]) = (ABSENT, ABSENT, ABSENT);
            }
            None => {}
        }
        if self.opened_by == Some(corrected) {
            let next = epoch.iter().filter(|t| t.position >= corrected).find(may_be_last);
            self.prices[6] = next.map_or(ABSENT, |trade| trade.price);
            self.opened_by = next.map(|trade| trade.position);
        }
        let start = self.session_start.unwrap_or(self.epoch_start);
        let session = epoch.iter().filter(|t| t.position >= start && t.flags & 1 == 0);
        // All times here are of one hour, with which no session begins.
        let all_have_times = session.clone().all(|trade| trade.time_ns != ABSENT);
        let by_hours =
            self.session_start.is_none() && all_have_times && session.clone().count() > 0;
        if oldest <= start || by_hours {
            let prices = || session.clone().map(|trade| trade.price);
            self.prices[4] = prices().max().unwrap_or(ABSENT);
            self.prices[5] = prices().min().unwrap_or(ABSENT);
        } else if let Some(trade) = session.clone().find(|trade| trade.position == corrected) {
            self.prices[4] = self.prices[4].max(trade.price);
            self.prices[5] = self.prices[5].min(trade.price);
        }
    }

    /// A trade's price and size after its corrections, at the current scale; `None` when it was
    /// cancelled.
    fn corrected(&self, position: usize, id: u32, price: i64, size: i64) -> Option<(i64, i64)> {
        let at_scale = |id, price, size| {
            let (size_exponent, price_exponent) = self.scale(id);
            let price = finer(price, price_exponent - self.price_exponent);
            (price, finer(size, size_exponent - self.size_exponent))
        };
        let mut now = at_scale(id, price, size);
        for later in &self.tape[position + 1..] {
            if let TapeRead::Correction { id, corrects, what, price, size, .. } = later
                && *corrects == position as i64 + 1
            {
                if *what == CorrectionKind::Cancel {
                    return None;
                }
                now = at_scale(*id, *price, *size);
            }
        }
        Some(now)
    }

    /// Size and price exponent of a definition.
    fn scale(&self, id: u32) -> (i8, i8) {
        let (_, size, price) = self.scales.iter().find(|scale| scale.0 == id).unwrap();
        (*size, *price)
    }
}

pub(crate) fn finer(value: i64, places: i8) -> i64 {
    if value == ABSENT { ABSENT } else { value * 10i64.pow(u32::try_from(places).unwrap()) }
}
