//! What symbols are called: well-known names first, made-up ones after.

/// Names people recognise, with a round made-up price in whole units to begin near.
#[rustfmt::skip]
pub(crate) const WELL_KNOWN: [(&str, u32); 104] = [
    ("AAPL", 190), ("MSFT", 410), ("NVDA", 120), ("AMZN", 180), ("TSLA", 240), ("META", 500),
    ("GOOGL", 165), ("GOOG", 167), ("SPY", 550), ("QQQ", 470), ("AMD", 150), ("AVGO", 160),
    ("NFLX", 660), ("JPM", 205), ("LLY", 880), ("V", 270), ("MA", 460), ("UNH", 560),
    ("XOM", 115), ("WMT", 70), ("COST", 860), ("HD", 360), ("PG", 168), ("JNJ", 160),
    ("ORCL", 138), ("BAC", 40), ("ABBV", 190), ("CRM", 260), ("KO", 68), ("CVX", 150),
    ("MRK", 117), ("PEP", 173), ("ADBE", 560), ("INTC", 22), ("CSCO", 48), ("QCOM", 170),
    ("TMO", 610), ("ACN", 340), ("MCD", 270), ("ABT", 110), ("WFC", 55), ("GE", 170),
    ("TXN", 200), ("DIS", 92), ("IBM", 195), ("AMAT", 200), ("CAT", 345), ("VZ", 41),
    ("NOW", 820), ("PFE", 28), ("GS", 490), ("UBER", 72), ("ISRG", 470), ("PM", 118),
    ("CMCSA", 40), ("AMGN", 330), ("INTU", 640), ("AXP", 250), ("BKNG", 3800), ("T", 20),
    ("LOW", 240), ("SPGI", 490), ("NKE", 80), ("MS", 100), ("HON", 205), ("RTX", 118),
    ("UNP", 245), ("SYK", 340), ("PLTR", 30), ("BLK", 870), ("PGR", 240), ("ELV", 540),
    ("TJX", 115), ("SCHW", 65), ("LRCX", 85), ("C", 61), ("BA", 170), ("MU", 100),
    ("MDT", 82), ("ADP", 265), ("PANW", 340), ("CB", 280), ("DE", 375), ("ADI", 220),
    ("SBUX", 93), ("GILD", 75), ("MMM", 128), ("F", 11), ("GM", 46), ("COIN", 200),
    ("SNOW", 115), ("SHOP", 70), ("PYPL", 70), ("ABNB", 118), ("SQ", 66), ("ROKU", 62),
    ("RIVN", 14), ("SOFI", 7), ("NIO", 4), ("AAL", 10), ("DAL", 42), ("BRK.B", 450),
    ("TSM", 165), ("BABA", 82),
];

/// All four-letter words: 26^4.
const WORDS: u32 = 456_976;

/// Names of as many symbols as asked for, no two alike.
pub(crate) fn names(count: u32) -> impl Iterator<Item = String> {
    let known = WELL_KNOWN.iter().map(|(name, _)| (*name).to_owned());
    // A stride that shares no factor with 26^4 visits every word once, in no obvious order.
    let made_up = (1..WORDS)
        .map(|n| word((u64::from(n) * 170_141 % u64::from(WORDS)) as u32))
        .filter(|name| !WELL_KNOWN.iter().any(|(known, _)| known == name));
    known.chain(made_up).take(count as usize)
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

    use tickgate_protocol::symbol::check_name;

    use super::*;

    #[test]
    fn a_hundred_thousand_names_are_allowed_and_all_different() {
        let names: Vec<String> = names(100_000).collect();
        assert_eq!(names.len(), 100_000);
        assert_eq!(names[0], "AAPL");
        assert!(names.iter().all(|name| check_name(name).is_ok()));
        assert_eq!(names.iter().collect::<HashSet<_>>().len(), names.len());
    }
}
