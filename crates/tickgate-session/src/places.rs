//! Brings what was recorded at a coarser scale to the one in force, exactly.

use tickgate_hub::SymbolState;
use tickgate_protocol::{
    number::{ABSENT, LIMIT},
    symbol::WireId,
};

/// Decimal places between the scale of a record and a finer one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Places {
    price: u32,
    size: u32,
}

impl Places {
    /// `None` while the symbol is being redefined.
    pub(crate) fn between(symbol: &SymbolState, recorded: WireId, told: WireId) -> Option<Self> {
        if recorded == told {
            return Some(Self { price: 0, size: 0 });
        }
        let (from, to) = (symbol.definition_of(recorded)?, symbol.definition_of(told)?);
        let places = |from: i8, to: i8| u32::try_from(i32::from(from) - i32::from(to)).ok();
        Some(Self {
            price: places(from.price_exponent, to.price_exponent)?,
            size: places(from.size_exponent, to.size_exponent)?,
        })
    }

    /// A price at the finer scale; `None` past what the wire can say.
    pub(crate) fn price(self, price: i64) -> Option<i64> {
        add_places(price, self.price)
    }

    /// The same for a size.
    pub(crate) fn size(self, size: i64) -> Option<i64> {
        add_places(size, self.size)
    }
}

/// `None` past what the wire can say.
fn add_places(number: i64, places: u32) -> Option<i64> {
    if number == ABSENT || places == 0 {
        return Some(number);
    }
    let scaled = number.checked_mul(10i64.checked_pow(places)?)?;
    (-LIMIT..=LIMIT).contains(&scaled).then_some(scaled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_added_exactly_or_the_number_cannot_be_said() {
        assert_eq!(add_places(-12, 3), Some(-12_000));
        assert_eq!(add_places(12, 0), Some(12));
        assert_eq!(add_places(ABSENT, 3), Some(ABSENT), "what is absent stays so");
        assert_eq!(add_places(LIMIT / 10, 1), Some(LIMIT / 10 * 10));
        assert_eq!(add_places(LIMIT / 10 + 1, 1), None);
        assert_eq!(add_places(-LIMIT / 10 - 1, 1), None);
        assert_eq!(add_places(1, 40), None, "past 64 bits");
    }
}
