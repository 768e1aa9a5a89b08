//! The symbols of a replay: their names, and scales fine enough for every digit recorded.

use std::collections::HashMap;

use tickgate_protocol::{
    number::Decimal,
    symbol::check_name,
    tick::{FeedSymbol, Listing},
};

/// Symbols in the order in which they first appear, over all recordings of a replay.
#[derive(Debug, Default)]
pub(super) struct Symbols {
    numbers: HashMap<String, FeedSymbol>,
    listings: Vec<Listing>,
    sightings: u64,
}

/// Exponents of a symbol's prices and sizes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Scale {
    pub(super) price_exponent: i8,
    pub(super) size_exponent: i8,
}

impl Symbols {
    /// Takes note of a number's digits: of a price if `price`, else of a size.
    fn note(&mut self, symbol: FeedSymbol, price: bool, number: Decimal) {
        let listing = &mut self.listings[symbol as usize];
        let exponent = if price { &mut listing.price_exponent } else { &mut listing.size_exponent };
        *exponent = (*exponent).min(number.exponent);
    }

    /// Takes note of a symbol and of the digits of some of its prices and sizes. A name that is
    /// not allowed is passed over; [`Symbols::find`] will not find it.
    pub(super) fn scan(
        &mut self,
        name: &str,
        prices: impl IntoIterator<Item = Decimal>,
        sizes: impl IntoIterator<Item = Decimal>,
    ) {
        let symbol = match self.numbers.get(name) {
            Some(symbol) => *symbol,
            None if check_name(name).is_err() => return,
            None => self.list(name),
        };
        self.sightings += 1;
        for price in prices {
            self.note(symbol, true, price);
        }
        for size in sizes {
            self.note(symbol, false, size);
        }
    }

    fn list(&mut self, name: &str) -> FeedSymbol {
        let symbol = self.listings.len() as FeedSymbol;
        self.numbers.insert(name.to_owned(), symbol);
        self.listings.push(Listing::new(name, 0, 0));
        symbol
    }

    /// The symbol of a name that was scanned.
    pub(super) fn find(&self, name: &str) -> Option<FeedSymbol> {
        self.numbers.get(name).copied()
    }

    /// The scale every number scanned for the symbol fits.
    pub(super) fn scale(&self, symbol: FeedSymbol) -> Scale {
        let Listing { price_exponent, size_exponent, .. } = self.listings[symbol as usize];
        Scale { price_exponent, size_exponent }
    }

    /// How many ticks were scanned.
    pub(super) fn sightings(&self) -> u64 {
        self.sightings
    }

    /// How they are announced, in the order of their numbers.
    pub(super) fn listings(&self) -> &[Listing] {
        &self.listings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_finest_digits_of_a_symbol_decide_its_scale() {
        let decimal = |text| Decimal::parse(text).expect("a decimal");
        let mut symbols = Symbols::default();
        symbols.scan("A", [decimal("1.50"), decimal("2")], [decimal("10.0")]);
        symbols.scan("B", [decimal("1.125")], [decimal("0.00010")]);
        symbols.scan("A", [decimal("2.25")], []);
        symbols.scan("not allowed", [decimal("1.1")], []);
        let scale = |name| symbols.find(name).map(|symbol| symbols.scale(symbol));
        assert_eq!(scale("A"), Some(Scale { price_exponent: -2, size_exponent: 0 }));
        assert_eq!(scale("B"), Some(Scale { price_exponent: -3, size_exponent: -4 }));
        assert_eq!(scale("not allowed"), None);
        assert_eq!(symbols.listings().len(), 2);
    }
}
