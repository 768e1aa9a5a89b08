//! What a symbol of Binance trades for what, where its name leaves no doubt.

use tickgate_protocol::instrument::Instrument;

/// Assets that prices on Binance are or were in, on its international and its American exchange.
///
/// A name is one asset after the other, with nothing in between. The list is long so that a doubt
/// is found: `ADAEUR` ends with `EUR` and with `AEUR`, `DOTUSD` with `USD` and with `TUSD`.
const QUOTED_IN: [&str; 46] = [
    "AEUR", "ARS", "AUD", "BIDR", "BKRW", "BNB", "BRL", "BTC", "BUSD", "BVND", "COP", "CZK", "DAI",
    "DOGE", "DOT", "ETH", "EUR", "EURI", "FDUSD", "GBP", "GYEN", "IDR", "IDRT", "JPY", "MXN",
    "NGN", "PAX", "PLN", "RON", "RUB", "SOL", "TRX", "TRY", "TUSD", "UAH", "USD", "USD1", "USDC",
    "USDP", "USDS", "USDT", "UST", "VAI", "XRP", "XUSD", "ZAR",
];

/// What a symbol's name says of it.
pub(super) fn words(symbol: &str) -> Instrument {
    let pair = pair(symbol);
    Instrument {
        description: pair.map(|(base, quote)| format!("{base}/{quote}").into()),
        venue: Some("BINANCE".into()),
        currency: pair.map(|(_, quote)| quote.into()),
    }
}

/// Base and quote asset; `None` for a name that can be read in none or several ways.
fn pair(symbol: &str) -> Option<(&str, &str)> {
    let is_asset = |text: &str| {
        !text.is_empty()
            && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
    };
    let mut readings = QUOTED_IN.into_iter().filter_map(|quote| {
        let base = symbol.strip_suffix(quote)?;
        is_asset(base).then_some((base, quote))
    });
    let reading = readings.next()?;
    readings.next().is_none().then_some(reading)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_can_be_read_in_one_way_is_a_pair() {
        for (symbol, expected) in [
            ("BTCUSDT", Some(("BTC", "USDT"))),
            ("ETHBTC", Some(("ETH", "BTC"))),
            ("1000SATSUSDT", Some(("1000SATS", "USDT"))),
            ("BTCEUR", Some(("BTC", "EUR"))),
            ("EURUSDC", Some(("EUR", "USDC"))),
            ("BTCUSD", Some(("BTC", "USD"))),
            // ADA in EUR, or AD in AEUR; DOT in USD, or DO in TUSD.
            ("ADAEUR", None),
            ("DOTUSD", None),
            ("BTCBUSD", None),
            ("USDT", None),
            ("BTCXYZ", None),
            ("btcusdt", None),
            ("BTC-USDT", None),
            ("", None),
        ] {
            assert_eq!(pair(symbol), expected, "{symbol}");
        }
    }

    #[test]
    fn no_asset_is_listed_twice_and_words_say_no_more_than_the_name() {
        let mut sorted = QUOTED_IN;
        sorted.sort_unstable();
        assert!(sorted.windows(2).all(|pair| pair[0] != pair[1]));
        let told = words("BTCUSDT");
        assert_eq!(told.description.as_deref(), Some("BTC/USDT"));
        assert_eq!(told.currency.as_deref(), Some("USDT"));
        let told = words("ADAEUR");
        assert_eq!((told.description, told.currency), (None, None));
        assert_eq!(told.venue.as_deref(), Some("BINANCE"));
    }
}
