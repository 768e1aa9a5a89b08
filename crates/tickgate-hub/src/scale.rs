//! Exponents, and bringing numbers from a coarser scale to a finer one, exactly.

use tickgate_protocol::{
    definition::Definition,
    number::{ABSENT, LIMIT},
    tick::{Correction, Quote, SessionStart, TickBody, Trade},
};

use crate::refusal::Refusal;

/// Powers of ten by which a symbol's numbers are scaled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Scale {
    pub(crate) price_exponent: i8,
    pub(crate) size_exponent: i8,
}

impl Scale {
    pub(crate) fn of(definition: &Definition) -> Self {
        let Definition { price_exponent, size_exponent, .. } = *definition;
        Self { price_exponent, size_exponent }
    }

    /// The scale that represents what either does: the finer exponent of each.
    pub(crate) fn finest(self, other: Self) -> Self {
        Self {
            price_exponent: self.price_exponent.min(other.price_exponent),
            size_exponent: self.size_exponent.min(other.size_exponent),
        }
    }

    /// What turns numbers of this scale into numbers of `finer`, which is nowhere coarser.
    pub(crate) fn to(self, finer: Self) -> Shift {
        Shift {
            price: self.price_exponent.abs_diff(finer.price_exponent),
            size: self.size_exponent.abs_diff(finer.size_exponent),
        }
    }
}

/// Decimal places to add to prices and sizes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shift {
    price: u8,
    size: u8,
}

impl Shift {
    /// A price at the finer scale.
    ///
    /// # Errors
    /// [`Refusal::Range`] past 2^53 − 1; also the three below.
    pub(crate) fn price(self, price: i64) -> Result<i64, Refusal> {
        add_places(price, self.price)
    }

    /// A size or volume at the finer scale.
    pub(crate) fn size(self, size: i64) -> Result<i64, Refusal> {
        add_places(size, self.size)
    }

    /// A sum of price × size at the finer scale; `None` past 128 bits.
    pub(crate) fn notional(self, notional: i128) -> Option<i128> {
        let places = u32::from(self.price) + u32::from(self.size);
        notional.checked_mul(10i128.checked_pow(places)?)
    }

    /// A tick at the finer scale.
    pub(crate) fn tick(self, body: TickBody) -> Result<TickBody, Refusal> {
        Ok(match body {
            TickBody::Quote(quote) => TickBody::Quote(Quote {
                bid_price: self.price(quote.bid_price)?,
                bid_size: self.size(quote.bid_size)?,
                ask_price: self.price(quote.ask_price)?,
                ask_size: self.size(quote.ask_size)?,
                ..quote
            }),
            TickBody::Trade(trade) => TickBody::Trade(Trade {
                price: self.price(trade.price)?,
                size: self.size(trade.size)?,
                ..trade
            }),
            TickBody::Correction(correction) => TickBody::Correction(Correction {
                price: self.price(correction.price)?,
                size: self.size(correction.size)?,
                ..correction
            }),
            TickBody::Status(change) => TickBody::Status(change),
            TickBody::Session(start) => TickBody::Session(SessionStart {
                previous_close: self.price(start.previous_close)?,
                ..start
            }),
        })
    }
}

fn add_places(value: i64, places: u8) -> Result<i64, Refusal> {
    // Zero and absent have no digits that could overflow.
    if places == 0 || value == ABSENT || value == 0 {
        return Ok(value);
    }
    10i64
        .checked_pow(places.into())
        .and_then(|power| value.checked_mul(power))
        .filter(|scaled| (-LIMIT..=LIMIT).contains(scaled))
        .ok_or(Refusal::Range)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn places_are_added_exactly_or_refused() {
        for (value, places, scaled) in [
            (15, 2, Ok(1_500)),
            (-15, 1, Ok(-150)),
            (ABSENT, 3, Ok(ABSENT)),
            (0, 36, Ok(0)),
            (1, 36, Err(Refusal::Range)),
            (LIMIT, 0, Ok(LIMIT)),
            (LIMIT, 1, Err(Refusal::Range)),
            (-LIMIT / 10, 1, Ok(-LIMIT / 10 * 10)),
        ] {
            assert_eq!(add_places(value, places), scaled, "{value} by {places}");
        }
    }

    #[test]
    fn the_finest_of_two_scales_loses_nothing_of_either() {
        let a = Scale { price_exponent: -2, size_exponent: 0 };
        let b = Scale { price_exponent: 1, size_exponent: -3 };
        let finest = a.finest(b);
        assert_eq!(finest, Scale { price_exponent: -2, size_exponent: -3 });
        assert_eq!(a.to(finest), Shift { price: 0, size: 3 });
        assert_eq!(b.to(finest), Shift { price: 3, size: 0 });
    }
}
