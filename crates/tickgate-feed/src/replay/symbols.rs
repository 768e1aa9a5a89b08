//! The symbols of a replay: their names, what is known of them, and scales fine enough for every
//! digit recorded.

use std::collections::HashMap;

use tickgate_protocol::{
    instrument::Instrument,
    number::{ABSENT, Decimal},
    symbol::check_name,
    tick::{FeedSymbol, Listing},
};

/// Symbols in the order in which they first appear, over all recordings of a replay.
#[derive(Debug, Default)]
pub(super) struct Symbols {
    numbers: HashMap<String, FeedSymbol>,
    listings: Vec<Listing>,
    /// What recordings define by name, whether or not it has a tick; empty after
    /// [`Symbols::settle`].
    defined: HashMap<String, Defined>,
    sightings: u64,
}

/// What a recording says of an instrument beside its ticks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Defined {
    pub(super) words: Instrument,
    pub(super) tick_size: Option<Decimal>,
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

    /// Takes note of a symbol and of the digits of some of its prices and sizes, and of `words` for
    /// it when it is new. A name that is not allowed is passed over; [`Symbols::find`] will not find
    /// it.
    pub(super) fn scan(
        &mut self,
        name: &str,
        words: impl FnOnce() -> Instrument,
        prices: impl IntoIterator<Item = Decimal>,
        sizes: impl IntoIterator<Item = Decimal>,
    ) {
        let symbol = match self.numbers.get(name) {
            Some(symbol) => *symbol,
            None if check_name(name).is_err() => return,
            None => self.list(name, words()),
        };
        self.sightings += 1;
        for price in prices {
            self.note(symbol, true, price);
        }
        for size in sizes {
            self.note(symbol, false, size);
        }
    }

    /// Takes note of what a recording says of a name; the newest holds.
    pub(super) fn define(&mut self, name: &str, defined: Defined) {
        self.defined.insert(name.to_owned(), defined);
    }

    /// How many names were defined.
    pub(super) fn definitions(&self) -> usize {
        self.defined.len()
    }

    /// Gives the symbols what was defined for them and forgets the rest: all was scanned.
    ///
    /// A tick size that the digits of a symbol's prices cannot hold stays unknown: it is not what
    /// decides their scale, which must leave room for the prices.
    pub(super) fn settle(&mut self) {
        for (name, Defined { words, tick_size }) in self.defined.drain() {
            let Some(symbol) = self.numbers.get(&name) else { continue };
            let listing = &mut self.listings[*symbol as usize];
            listing.instrument = words.or(std::mem::take(&mut listing.instrument));
            let tick_size = tick_size.and_then(|size| size.at_exponent(listing.price_exponent));
            listing.tick_size = tick_size.unwrap_or(ABSENT);
        }
        self.defined.shrink_to_fit();
    }

    fn list(&mut self, name: &str, instrument: Instrument) -> FeedSymbol {
        let symbol = self.listings.len() as FeedSymbol;
        self.numbers.insert(name.to_owned(), symbol);
        self.listings.push(Listing { instrument, ..Listing::new(name, 0, 0) });
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

    fn decimal(text: &str) -> Decimal {
        Decimal::parse(text).expect("a decimal")
    }

    #[test]
    fn what_is_defined_is_told_of_symbols_that_have_ticks() {
        let words = |venue: Option<&str>, currency: Option<&str>| Instrument {
            description: None,
            venue: venue.map(Into::into),
            currency: currency.map(Into::into),
        };
        let mut symbols = Symbols::default();
        for (name, tick_size) in [("A", "0.25"), ("B", "0.125"), ("C", "1")] {
            let words = words(None, Some("USD"));
            symbols.define(name, Defined { words, tick_size: Some(decimal(tick_size)) });
        }
        for name in ["A", "B", "D"] {
            symbols.scan(name, || words(Some("V"), None), [decimal("3720.75")], []);
        }
        symbols.settle();
        let told = |name| {
            let listing = &symbols.listings()[symbols.find(name).expect("listed") as usize];
            (listing.price_exponent, listing.tick_size, listing.instrument.clone())
        };
        assert_eq!(told("A"), (-2, 25, words(Some("V"), Some("USD"))));
        // Its prices have two places: no integer stands for 0.125.
        assert_eq!(told("B"), (-2, ABSENT, words(Some("V"), Some("USD"))));
        assert_eq!(told("D"), (-2, ABSENT, words(Some("V"), None)));
        assert_eq!((symbols.listings().len(), symbols.definitions()), (3, 0));
    }

    #[test]
    fn the_finest_digits_of_a_symbol_decide_its_scale() {
        let mut symbols = Symbols::default();
        let mut scan = |name, prices: &[&str], size: &str| {
            let prices = prices.iter().map(|price| decimal(price));
            symbols.scan(name, Instrument::default, prices, [decimal(size)]);
        };
        scan("A", &["1.50", "2"], "10.0");
        scan("B", &["1.125"], "0.00010");
        scan("A", &["2.25"], "1");
        scan("not allowed", &["1.1"], "1");
        let scale = |name| symbols.find(name).map(|symbol| symbols.scale(symbol));
        assert_eq!(scale("A"), Some(Scale { price_exponent: -2, size_exponent: 0 }));
        assert_eq!(scale("B"), Some(Scale { price_exponent: -3, size_exponent: -4 }));
        assert_eq!(scale("not allowed"), None);
        assert_eq!(symbols.listings().len(), 2);
    }
}
