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
        self.tape.push(TapeRead::Correction {
            id: self.id,
            event_time_ns,
            corrects,
            what,
            price,
            size,
        });
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
        if !self.lasts.is_empty() {
            self.push_last(event_time_ns);
        }
        true
    }

    pub(crate) fn begin_epoch(&mut self) {
        self.epoch_start = self.tape.len();
        self.session_start = None;
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

    /// The session's figures at the current scale, from all trades and corrections since the epoch
    /// and the session began; the last price is that of any session of the epoch.
    fn session(&self) -> [i64; 8] {
        let since_epoch = (self.epoch_start..).zip(&self.tape[self.epoch_start..]);
        let all: Vec<(usize, u32, Trade)> = since_epoch
            .filter_map(|(position, record)| match record {
                TapeRead::Trade { id, trade, .. } => Some((position, *id, *trade)),
                _ => None,
            })
            .collect();
        if all.is_empty() && self.session_start.is_none() {
            return [ABSENT; 8];
        }
        let start = self.session_start.unwrap_or(0);
        let trades: Vec<_> = all.iter().filter(|trade| trade.0 >= start).collect();
        let (mut volume, mut count) = (0, 0);
        for (position, id, trade) in &trades {
            if let Some(size) = self.corrected_size(*position, *id, trade.size) {
                volume += size;
                count += 1;
            }
        }
        let price = |(_, id, trade): &(usize, u32, Trade)| {
            finer(trade.price, self.scale(*id).1 - self.price_exponent)
        };
        let is_eligible = |(_, _, trade): &(usize, u32, Trade)| trade.flags & 1 == 0;
        let is_timely = |(_, _, trade): &(usize, u32, Trade)| trade.flags & 3 == 0;
        let eligible: Vec<_> = trades.iter().filter(|trade| is_eligible(trade)).collect();
        let or_absent = |value: Option<i64>| value.unwrap_or(ABSENT);
        let last = all.iter().rfind(|trade| is_timely(trade));
        [
            or_absent(last.map(price)),
            or_absent(last.map(|t| finer(t.2.size, self.scale(t.1).0 - self.size_exponent))),
            volume,
            count,
            or_absent(eligible.iter().map(|t| price(t)).max()),
            or_absent(eligible.iter().map(|t| price(t)).min()),
            or_absent(trades.iter().find(|trade| is_timely(trade)).map(|t| price(t))),
            or_absent(last.map(|t| t.2.flags.into())),
        ]
    }

    /// A trade's size after its corrections, at the current scale; `None` when it was cancelled.
    fn corrected_size(&self, position: usize, id: u32, size: i64) -> Option<i64> {
        let mut now = finer(size, self.scale(id).0 - self.size_exponent);
        for later in &self.tape[position + 1..] {
            if let TapeRead::Correction { id, corrects, what, size, .. } = later
                && *corrects == position as i64 + 1
            {
                if *what == CorrectionKind::Cancel {
                    return None;
                }
                now = finer(*size, self.scale(*id).0 - self.size_exponent);
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
