//! What happens: the n-th tick of a seeded market, as a pure function of seed and settings.

use tickgate_protocol::{
    entry::trade_flag,
    number::ABSENT,
    tick::{
        Correction, CorrectionKind, Listing, Quote, Reason, Status, StatusChange, Tick, TickBody,
        Trade,
    },
};

use super::{
    config::SimulatedConfig,
    instrument::{Instrument, Walk},
    names::{names, words},
    random::{Random, scale, threshold},
    zipf::Zipf,
};

/// Most symbols halted at once; a halt past it does not happen.
const HALTED_LIMIT: usize = 64;

/// Trades that may still be corrected; an older one falls out.
const RECENT_LIMIT: usize = 64;

/// The market's own walk is a third as lively as its symbols'.
const MARKET_SHARE: f64 = 1.0 / 3.0;

/// The market's walk moves at most this often; finer steps would only cost time.
const MARKET_STEP_NS: i64 = 10_000_000;

/// All symbols and the chance that moves them.
#[derive(Debug)]
pub(crate) struct Market {
    random: Random,
    zipf: Zipf,
    instruments: Vec<Instrument>,
    factor: Walk,
    factor_at_ns: i64,
    halted: Vec<Halt>,
    /// When the first of them resumes; never, when none is.
    resumes_at_ns: i64,
    recent: Vec<Recent>,
    recent_oldest: usize,
    odds: Odds,
}

#[derive(Debug, Clone, Copy)]
struct Halt {
    symbol: u32,
    until_ns: i64,
}

#[derive(Debug, Clone, Copy)]
struct Recent {
    symbol: u32,
    trade: Trade,
}

/// Probabilities, as cumulative thresholds of one 64-bit (events) or 32-bit (variants) draw.
#[derive(Debug)]
struct Odds {
    halt: u64,
    correction: u64,
    trade: u64,
    one_sided: u32,
    locked: u32,
    crossed: u32,
    late: u32,
    not_eligible: u32,
    halt_length_ms: u64,
}

impl Odds {
    fn new(config: &SimulatedConfig) -> Self {
        let halt =
            threshold(config.halts_per_hour.into(), u128::from(config.ticks_per_second) * 3_600);
        let per_trade = u128::from(config.quotes_per_trade) + 1;
        let correction = threshold(config.corrections_per_million.into(), per_trade * 1_000_000);
        Self {
            halt,
            correction: halt.saturating_add(correction),
            trade: halt.saturating_add(correction).saturating_add(threshold(1, per_trade)),
            one_sided: config.one_sided_per_million,
            locked: config.one_sided_per_million + config.locked_per_million,
            crossed: config.one_sided_per_million
                + config.locked_per_million
                + config.crossed_per_million,
            late: config.late_per_million,
            not_eligible: config.not_eligible_per_million,
            halt_length_ms: config.halt_length_ms.into(),
        }
    }
}

impl Market {
    pub(crate) fn new(config: &SimulatedConfig) -> Self {
        let volatility = f64::from(config.volatility_per_million) / 1e6;
        let mut habits = Random::new(config.seed, 2);
        Self {
            random: Random::new(config.seed, 3),
            zipf: Zipf::new(config.symbols, config.zipf_exponent),
            instruments: (0..config.symbols as usize)
                .map(|rank| Instrument::new(rank, volatility, &mut habits))
                .collect(),
            factor: Walk::new(volatility * MARKET_SHARE),
            factor_at_ns: 0,
            halted: Vec::with_capacity(HALTED_LIMIT),
            resumes_at_ns: i64::MAX,
            recent: Vec::with_capacity(RECENT_LIMIT),
            recent_oldest: 0,
            odds: Odds::new(config),
        }
    }

    /// How the symbols are announced, in the order of their numbers.
    pub(crate) fn listings(&self, session_date: u32) -> impl Iterator<Item = Listing> {
        names(self.instruments.len() as u32)
            .zip(&self.instruments)
            .enumerate()
            .map(move |(rank, (name, of))| of.listing(name, words(rank), session_date))
    }

    /// What happens at `now_ns`, counted from the beginning of the schedule; never called with an
    /// earlier time than before. The event time of the tick is counted likewise.
    pub(crate) fn next(&mut self, now_ns: i64) -> Tick {
        if now_ns >= self.resumes_at_ns {
            return self.resume(now_ns);
        }
        if now_ns - self.factor_at_ns >= MARKET_STEP_NS {
            self.factor.step(now_ns - self.factor_at_ns, self.random.noise());
            self.factor_at_ns = now_ns;
        }
        let symbol = self.zipf.draw(&mut self.random);
        let roll = self.random.bits();
        if self.instruments[symbol as usize].halted {
            return self.quote(symbol, now_ns);
        }
        if roll < self.odds.halt {
            self.halt(symbol, now_ns)
        } else if roll < self.odds.correction {
            self.correct(now_ns).unwrap_or_else(|| self.trade(symbol, now_ns))
        } else if roll < self.odds.trade {
            self.trade(symbol, now_ns)
        } else {
            self.quote(symbol, now_ns)
        }
    }

    fn quote(&mut self, symbol: u32, now_ns: i64) -> Tick {
        let instrument = &mut self.instruments[symbol as usize];
        let ordinary = instrument.requote(now_ns, self.factor.position(), &mut self.random);
        let bits = self.random.bits();
        let kind = scale((bits >> 32) as u32, 1_000_000);
        let quote = if kind < self.odds.one_sided {
            if bits & 1 == 0 {
                Quote { bid_price: ABSENT, bid_size: ABSENT, ..ordinary }
            } else {
                Quote { ask_price: ABSENT, ask_size: ABSENT, ..ordinary }
            }
        } else if kind < self.odds.locked {
            Quote { bid_price: ordinary.ask_price, ..ordinary }
        } else if kind < self.odds.crossed {
            Quote { bid_price: ordinary.ask_price + instrument.tick, ..ordinary }
        } else {
            ordinary
        };
        instrument.quote = quote;
        Tick { symbol, event_time_ns: now_ns, body: TickBody::Quote(quote) }
    }

    /// A trade against the last quote; a symbol that was never quoted is quoted first.
    fn trade(&mut self, symbol: u32, now_ns: i64) -> Tick {
        let instrument = &mut self.instruments[symbol as usize];
        let bits = self.random.bits();
        let Some((price, displayed, sells)) = instrument.touch(bits & 1 == 0) else {
            return self.quote(symbol, now_ns);
        };
        let mut event_time_ns = now_ns;
        let mut size = instrument.size((bits >> 1) as u32 & 0xFFFF).min(displayed);
        let mut flags =
            if sells { trade_flag::SELLER_INITIATED } else { trade_flag::BUYER_INITIATED };
        let kind = scale((bits >> 32) as u32, 1_000_000);
        if kind < self.odds.late {
            flags |= trade_flag::LATE;
            event_time_ns -= self.random.between(1_000, 10_000) as i64 * 1_000_000;
        } else if kind < self.odds.late.saturating_add(self.odds.not_eligible) {
            // Odd lots are the commonest reason.
            flags |= trade_flag::NOT_ELIGIBLE;
            size = 1 + i64::from(self.random.below(instrument.lot as u32 - 1));
        }
        let trade = Trade { price, size, flags, trade_id: instrument.next_trade_id };
        instrument.next_trade_id += 1;
        self.remember(Recent { symbol, trade });
        Tick { symbol, event_time_ns, body: TickBody::Trade(trade) }
    }

    fn remember(&mut self, recent: Recent) {
        if self.recent.len() < RECENT_LIMIT {
            self.recent.push(recent);
        } else {
            self.recent[self.recent_oldest] = recent;
            self.recent_oldest = (self.recent_oldest + 1) % RECENT_LIMIT;
        }
    }

    /// Cancels or corrects a recent trade, each at most once; `None` when there is none left.
    fn correct(&mut self, now_ns: i64) -> Option<Tick> {
        let bits = self.random.bits();
        let count = self.recent.len() as u32;
        if count == 0 {
            return None;
        }
        let Recent { symbol, trade } =
            self.recent.swap_remove(scale((bits >> 32) as u32, count) as usize);
        let tick = self.instruments[symbol as usize].tick;
        let correction = if bits & 1 == 0 {
            Correction {
                trade_id: trade.trade_id,
                what: CorrectionKind::Cancel,
                price: ABSENT,
                size: ABSENT,
            }
        } else {
            Correction {
                trade_id: trade.trade_id,
                what: CorrectionKind::Correct,
                price: trade.price + tick,
                size: trade.size,
            }
        };
        Some(Tick { symbol, event_time_ns: now_ns, body: TickBody::Correction(correction) })
    }

    fn halt(&mut self, symbol: u32, now_ns: i64) -> Tick {
        if self.halted.len() >= HALTED_LIMIT {
            return self.quote(symbol, now_ns);
        }
        let longest = self.odds.halt_length_ms;
        let length_ms = self.random.between(longest / 4, longest);
        let reason = match self.random.below(4) {
            0 => Reason::News,
            1 => Reason::Regulatory,
            _ => Reason::Volatility,
        };
        let until_ns = now_ns + length_ms as i64 * 1_000_000;
        self.halted.push(Halt { symbol, until_ns });
        self.resumes_at_ns = self.resumes_at_ns.min(until_ns);
        self.instruments[symbol as usize].halted = true;
        status(symbol, now_ns, Status::Halted, reason)
    }

    fn resume(&mut self, now_ns: i64) -> Tick {
        let first = (0..self.halted.len()).min_by_key(|n| self.halted[*n].until_ns);
        let halt = self.halted.swap_remove(first.expect("a time to resume belongs to a halt"));
        self.resumes_at_ns = self.halted.iter().map(|halt| halt.until_ns).min().unwrap_or(i64::MAX);
        self.instruments[halt.symbol as usize].halted = false;
        status(halt.symbol, now_ns, Status::Trading, Reason::None)
    }
}

fn status(symbol: u32, event_time_ns: i64, status: Status, reason: Reason) -> Tick {
    Tick { symbol, event_time_ns, body: TickBody::Status(StatusChange { status, reason }) }
}
