//! One symbol of the simulated market: its scale, its habits, and where its price stands.

use tickgate_protocol::{
    instrument::Instrument as Words,
    number::ABSENT,
    tick::{Listing, Quote},
};

use super::{names::WELL_KNOWN, random::Random};

/// Prices return to where they began with this rate, per second: half-way in about 20 minutes.
const REVERSION_PER_S: f64 = 1.0 / 1_800.0;

/// The farthest a price's exponent may wander: 1 ± d + d²/2 is then 0.625 to 1.625.
const WANDER_LIMIT: f64 = 0.5;

/// A step covers at most this much time, so that a quiet symbol does not leap.
const STEP_LIMIT_S: f64 = 60.0;

/// A symbol's constants and its state.
#[derive(Debug, Clone)]
pub(crate) struct Instrument {
    /// Scaled price of one tick.
    pub(crate) tick: i64,
    /// Scaled size of one lot.
    pub(crate) lot: i64,
    /// Sizes are lots plus up to this mask of a fraction; 0 for whole lots.
    pub(crate) dust: u32,
    price_exponent: i8,
    size_exponent: i8,
    /// Where the price began and returns to, in ticks.
    anchor: i64,
    usual_spread: i64,
    /// How strongly the market moves this symbol.
    beta: f64,
    walk: Walk,
    /// Price in the middle of the book, in ticks, and the spread there, in ticks.
    middle: i64,
    spread: i64,
    quoted_at_ns: i64,
    /// The last quote given out; [`Quote::EMPTY`] before the first.
    pub(crate) quote: Quote,
    pub(crate) next_trade_id: i64,
    pub(crate) halted: bool,
}

/// A random walk that returns to 0, within ±[`WANDER_LIMIT`].
#[derive(Debug, Clone)]
pub(crate) struct Walk {
    position: f64,
    /// Standard deviation of a second's step.
    volatility: f64,
}

impl Walk {
    pub(crate) fn new(volatility: f64) -> Self {
        Self { position: 0.0, volatility }
    }

    pub(crate) fn position(&self) -> f64 {
        self.position
    }

    /// Moves on by a span of time.
    pub(crate) fn step(&mut self, elapsed_ns: i64, noise: f64) {
        let seconds = (elapsed_ns.max(0) as f64 / 1e9).min(STEP_LIMIT_S);
        let drift = self.position * REVERSION_PER_S * seconds;
        self.position += self.volatility * seconds.sqrt() * noise - drift;
        self.position = self.position.clamp(-WANDER_LIMIT, WANDER_LIMIT);
    }
}

impl Instrument {
    /// The symbol of the given rank, with habits drawn from `random`.
    pub(crate) fn new(rank: usize, volatility: f64, random: &mut Random) -> Self {
        let scale = random.below(100);
        let cents = match WELL_KNOWN.get(rank) {
            Some((.., price)) => u64::from(*price) * 100,
            // Made-up symbols begin anywhere from 1 to 257, low prices as often as high ones.
            None => (100 << random.below(9)) + random.between(0, 99),
        };
        // Most symbols trade in cents, some in hundredths of a cent or in whole units (as yen do).
        let (price_exponent, tick, anchor) = match (rank < WELL_KNOWN.len(), scale) {
            (false, 0..10) => (-4, 1, cents * 100),
            (false, 10..15) => (0, 1, cents * 100),
            (false, 15..20) => (-2, 5, (cents / 5).max(20)),
            _ => (-2, 1, cents),
        };
        let whole_lots = rank < WELL_KNOWN.len() || scale < 95;
        let (size_exponent, lot, dust) = if whole_lots { (0, 100, 0) } else { (-3, 1_000, 0x3FF) };
        let anchor = anchor as i64;
        Self {
            tick,
            lot,
            dust,
            price_exponent,
            size_exponent,
            anchor,
            // One to a few hundredths of a percent of the price.
            usual_spread: 1 + anchor / 10_000 * i64::from(1 + random.below(3)),
            beta: 0.5 + f64::from(random.below(1_000)) / 1_000.0,
            walk: Walk::new(volatility * (0.5 + f64::from(random.below(1_500)) / 1_000.0)),
            middle: anchor,
            spread: 1,
            quoted_at_ns: 0,
            quote: Quote::EMPTY,
            next_trade_id: 1,
            halted: false,
        }
    }

    /// How the symbol is announced.
    pub(crate) fn listing(&self, name: String, words: Words, session_date: u32) -> Listing {
        Listing {
            name,
            price_exponent: self.price_exponent,
            size_exponent: self.size_exponent,
            session_date,
            previous_close: self.anchor * self.tick,
            tick_size: self.tick,
            instrument: words,
        }
    }

    /// Moves the price on to `now_ns` and puts an ordinary book around it.
    ///
    /// A book whose middle did not move keeps its prices and only changes its sizes, as most quotes
    /// of real books do.
    pub(crate) fn requote(&mut self, now_ns: i64, market: f64, random: &mut Random) -> Quote {
        self.walk.step(now_ns - self.quoted_at_ns, random.noise());
        self.quoted_at_ns = now_ns;
        let wander = (self.walk.position() + self.beta * market).clamp(-WANDER_LIMIT, WANDER_LIMIT);
        let middle = (self.anchor as f64 * (1.0 + wander + wander * wander / 2.0)) as i64;
        let bits = random.bits();
        if middle != self.middle || self.quote == Quote::EMPTY {
            self.middle = middle;
            self.spread = self.usual_spread + i64::from(bits as u32 & 1) * self.usual_spread;
        }
        let bid = (self.middle - self.spread / 2).max(1);
        Quote {
            bid_price: bid * self.tick,
            bid_size: self.size((bits >> 8) as u32),
            ask_price: (bid + self.spread) * self.tick,
            ask_size: self.size((bits >> 32) as u32),
            suspect: false,
        }
    }

    /// A size, small ones more often than large ones.
    pub(crate) fn size(&self, bits: u32) -> i64 {
        let lots = 1 + (bits & 0xF) * ((bits >> 4) & 0xF);
        i64::from(lots) * self.lot + i64::from((bits >> 8) & self.dust)
    }

    /// The price a trade takes from the book, on the chosen side or on the only one there is.
    pub(crate) fn touch(&self, sells: bool) -> Option<(i64, i64, bool)> {
        let (bid, ask) = (
            (self.quote.bid_price, self.quote.bid_size, true),
            (self.quote.ask_price, self.quote.ask_size, false),
        );
        let (wanted, other) = if sells { (bid, ask) } else { (ask, bid) };
        [wanted, other].into_iter().find(|(price, ..)| *price != ABSENT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_stay_near_their_beginning_at_the_wildest_volatility() {
        let mut random = Random::new(9, 0);
        for rank in 0..300 {
            let mut instrument = Instrument::new(rank, 0.01, &mut random);
            let began = instrument.anchor * instrument.tick;
            for step in 1..2_000 {
                let market = if step % 2 == 0 { 0.5 } else { -0.5 };
                let quote = instrument.requote(step * 1_000_000_000, market, &mut random);
                instrument.quote = quote;
                assert!(quote.bid_price > 0 && quote.ask_price > quote.bid_price, "{quote:?}");
                assert!(quote.ask_price < began * 2 + 10 * instrument.tick, "{began} {quote:?}");
                assert!(quote.bid_size > 0 && quote.ask_size > 0);
                assert_eq!(quote.bid_price % instrument.tick, 0);
                assert_eq!(quote.ask_price % instrument.tick, 0);
            }
        }
    }

    #[test]
    fn a_walk_returns_to_its_beginning() {
        let mut walk = Walk { position: 0.4, volatility: 0.0 };
        for _ in 0..3_600 {
            walk.step(1_000_000_000, 0.0);
        }
        assert!(walk.position() < 0.06, "{}", walk.position());
    }
}
