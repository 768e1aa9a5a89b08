//! What symbols are called: well-known names first, made-up ones after.

use tickgate_protocol::instrument::Instrument;

/// Names people recognise, what they stand for, and a round made-up price in dollars to begin near.
#[rustfmt::skip]
pub(crate) const WELL_KNOWN: [(&str, &str, u32); 104] = [
    ("AAPL", "Apple", 190), ("MSFT", "Microsoft", 410), ("NVDA", "NVIDIA", 120),
    ("AMZN", "Amazon.com", 180), ("TSLA", "Tesla", 240), ("META", "Meta Platforms", 500),
    ("GOOGL", "Alphabet, class A", 165), ("GOOG", "Alphabet, class C", 167),
    ("SPY", "SPDR S&P 500 ETF", 550), ("QQQ", "Invesco QQQ", 470),
    ("AMD", "Advanced Micro Devices", 150), ("AVGO", "Broadcom", 160), ("NFLX", "Netflix", 660),
    ("JPM", "JPMorgan Chase", 205), ("LLY", "Eli Lilly", 880), ("V", "Visa", 270),
    ("MA", "Mastercard", 460), ("UNH", "UnitedHealth", 560), ("XOM", "Exxon Mobil", 115),
    ("WMT", "Walmart", 70), ("COST", "Costco", 860), ("HD", "Home Depot", 360),
    ("PG", "Procter & Gamble", 168), ("JNJ", "Johnson & Johnson", 160), ("ORCL", "Oracle", 138),
    ("BAC", "Bank of America", 40), ("ABBV", "AbbVie", 190), ("CRM", "Salesforce", 260),
    ("KO", "Coca-Cola", 68), ("CVX", "Chevron", 150), ("MRK", "Merck", 117),
    ("PEP", "PepsiCo", 173), ("ADBE", "Adobe", 560), ("INTC", "Intel", 22), ("CSCO", "Cisco", 48),
    ("QCOM", "Qualcomm", 170), ("TMO", "Thermo Fisher Scientific", 610), ("ACN", "Accenture", 340),
    ("MCD", "McDonald's", 270), ("ABT", "Abbott Laboratories", 110), ("WFC", "Wells Fargo", 55),
    ("GE", "General Electric", 170), ("TXN", "Texas Instruments", 200), ("DIS", "Walt Disney", 92),
    ("IBM", "IBM", 195), ("AMAT", "Applied Materials", 200), ("CAT", "Caterpillar", 345),
    ("VZ", "Verizon", 41), ("NOW", "ServiceNow", 820), ("PFE", "Pfizer", 28),
    ("GS", "Goldman Sachs", 490), ("UBER", "Uber", 72), ("ISRG", "Intuitive Surgical", 470),
    ("PM", "Philip Morris", 118), ("CMCSA", "Comcast", 40), ("AMGN", "Amgen", 330),
    ("INTU", "Intuit", 640), ("AXP", "American Express", 250), ("BKNG", "Booking Holdings", 3800),
    ("T", "AT&T", 20), ("LOW", "Lowe's", 240), ("SPGI", "S&P Global", 490), ("NKE", "Nike", 80),
    ("MS", "Morgan Stanley", 100), ("HON", "Honeywell", 205), ("RTX", "RTX", 118),
    ("UNP", "Union Pacific", 245), ("SYK", "Stryker", 340), ("PLTR", "Palantir", 30),
    ("BLK", "BlackRock", 870), ("PGR", "Progressive", 240), ("ELV", "Elevance Health", 540),
    ("TJX", "TJX", 115), ("SCHW", "Charles Schwab", 65), ("LRCX", "Lam Research", 85),
    ("C", "Citigroup", 61), ("BA", "Boeing", 170), ("MU", "Micron", 100), ("MDT", "Medtronic", 82),
    ("ADP", "Automatic Data Processing", 265), ("PANW", "Palo Alto Networks", 340),
    ("CB", "Chubb", 280), ("DE", "Deere", 375), ("ADI", "Analog Devices", 220),
    ("SBUX", "Starbucks", 93), ("GILD", "Gilead Sciences", 75), ("MMM", "3M", 128),
    ("F", "Ford", 11), ("GM", "General Motors", 46), ("COIN", "Coinbase", 200),
    ("SNOW", "Snowflake", 115), ("SHOP", "Shopify", 70), ("PYPL", "PayPal", 70),
    ("ABNB", "Airbnb", 118), ("SQ", "Block", 66), ("ROKU", "Roku", 62), ("RIVN", "Rivian", 14),
    ("SOFI", "SoFi", 7), ("NIO", "NIO", 4), ("AAL", "American Airlines", 10),
    ("DAL", "Delta Air Lines", 42), ("BRK.B", "Berkshire Hathaway, class B", 450),
    ("TSM", "TSMC", 165), ("BABA", "Alibaba", 82),
];

/// All four-letter words: 26^4.
const WORDS: u32 = 456_976;

/// Names of as many symbols as asked for, no two alike.
pub(crate) fn names(count: u32) -> impl Iterator<Item = String> {
    let known = WELL_KNOWN.iter().map(|(name, ..)| (*name).to_owned());
    // A stride that shares no factor with 26^4 visits every word once, in no obvious order.
    let made_up = (1..WORDS)
        .map(|n| word((u64::from(n) * 170_141 % u64::from(WORDS)) as u32))
        .filter(|name| !WELL_KNOWN.iter().any(|(known, ..)| known == name));
    known.chain(made_up).take(count as usize)
}

/// What the symbol of a rank is. Nobody is to take the prices for those of the market.
pub(crate) fn words(rank: usize) -> Instrument {
    let known = WELL_KNOWN.get(rank);
    let description = match known {
        Some((_, what, _)) => format!("{what} (simulated)"),
        None => "Made up for the simulation".to_owned(),
    };
    Instrument {
        description: Some(description.into()),
        venue: Some("SIMULATED".into()),
        // What nobody knows is quoted in units of its own.
        currency: known.map(|_| "USD".into()),
    }
}

fn word(mut number: u32) -> String {
    let mut letters = [0u8; 4];
    for letter in &mut letters {
        *letter = b'A' + (number % 26) as u8;
        number /= 26;
    }
    letters.iter().rev().map(|letter| char::from(*letter)).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use tickgate_protocol::{
        instrument::{is_currency, is_description, is_venue},
        symbol::check_name,
    };

    use super::*;

    #[test]
    fn a_hundred_thousand_names_are_allowed_and_all_different() {
        let names: Vec<String> = names(100_000).collect();
        assert_eq!(names.len(), 100_000);
        assert_eq!(names[0], "AAPL");
        assert!(names.iter().all(|name| check_name(name).is_ok()));
        assert_eq!(names.iter().collect::<HashSet<_>>().len(), names.len());
    }

    #[test]
    fn every_symbol_says_that_it_is_simulated() {
        for rank in 0..WELL_KNOWN.len() + 2 {
            let Instrument { description, venue, currency } = words(rank);
            let description = description.expect("described");
            assert!(is_description(&description), "{description}");
            assert!(description.contains("simulat"), "{description}");
            assert!(venue.as_deref().is_some_and(is_venue));
            assert!(currency.as_deref().is_none_or(is_currency));
            assert_eq!(currency.is_some(), rank < WELL_KNOWN.len());
        }
        assert_eq!(words(0).description.as_deref(), Some("Apple (simulated)"));
    }
}
