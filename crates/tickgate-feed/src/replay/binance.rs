//! Binance recordings: `<local ns> <raw combined-stream JSON>`, one message a line.
//!
//! `@bookTicker` is a quote (the venue gives it no time), `@trade` a trade (time `T`, milliseconds;
//! `m`: the buyer was the maker, so the seller took liquidity). Every other stream, and a REST depth
//! snapshot, carries no tick.

use std::{
    fs::File,
    io::{self, BufReader},
};

use serde::{Deserialize, de::IgnoredAny};
use serde_json::value::RawValue;
use tickgate_protocol::{
    entry::trade_flag,
    number::{ABSENT, Decimal},
    tick::{Quote, TickBody, Trade},
};

use super::{
    assets::words,
    lines::{Line, Lines},
    recorded::{Fault, Recorded, Report, Step},
    symbols::{Scale, Symbols},
};

/// What is longer of a refused line is not shown in its warning.
const SHOWN_BYTES: usize = 120;

/// Reads one recording, streaming.
pub(super) struct BinanceReader {
    lines: Lines,
    name: String,
    number: u64,
}

/// A line that carries a tick, its numbers not yet scaled.
#[derive(Debug, PartialEq, Eq)]
struct Message<'a> {
    local_ns: i64,
    symbol: &'a str,
    body: Body,
}

#[derive(Debug, PartialEq, Eq)]
enum Body {
    /// Price and size of bid and ask; `None` for an empty side.
    Quote([Option<(Decimal, Decimal)>; 2]),
    Trade {
        price: Decimal,
        size: Decimal,
        event_time_ns: i64,
        flags: u8,
        trade_id: i64,
    },
}

#[derive(Deserialize)]
struct Combined<'a> {
    #[serde(borrow)]
    stream: Option<&'a str>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    #[serde(rename = "lastUpdateId")]
    last_update_id: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct BookTicker<'a> {
    #[serde(rename = "s")]
    symbol: &'a str,
    #[serde(rename = "b")]
    bid_price: &'a str,
    #[serde(rename = "B")]
    bid_size: &'a str,
    #[serde(rename = "a")]
    ask_price: &'a str,
    #[serde(rename = "A")]
    ask_size: &'a str,
}

#[derive(Deserialize)]
struct TradeMessage<'a> {
    #[serde(rename = "s")]
    symbol: &'a str,
    #[serde(rename = "t")]
    trade_id: i64,
    #[serde(rename = "p")]
    price: &'a str,
    #[serde(rename = "q")]
    size: &'a str,
    #[serde(rename = "T")]
    trade_time_ms: i64,
    #[serde(rename = "m")]
    buyer_is_maker: bool,
}

impl BinanceReader {
    /// Reads from `input`; `name` stands for it in warnings.
    ///
    /// # Errors
    /// As [`Lines::new`].
    pub(super) fn new(input: BufReader<File>, name: String) -> io::Result<Self> {
        Ok(Self { lines: Lines::new(input)?, name, number: 0 })
    }

    /// The next tick, or how the recording ended. What carries none is counted in `report`.
    pub(super) fn next(&mut self, symbols: &Symbols, report: &mut Report) -> Step {
        self.read(report, |message| {
            let symbol = symbols.find(message.symbol).ok_or(Fault::Symbol)?;
            let (body, event_time_ns) = message.body.scaled(symbols.scale(symbol))?;
            Ok(Recorded { at_ns: message.local_ns, symbol, event_time_ns, body })
        })
    }

    /// Takes note of every symbol and its digits, to the end of the recording.
    pub(super) fn scan(mut self, symbols: &mut Symbols, report: &mut Report) -> Step<()> {
        loop {
            let step = self.read(report, |message| {
                let (prices, sizes) = message.body.numbers();
                symbols.scan(message.symbol, || words(message.symbol), prices, sizes);
                Ok(())
            });
            if step != Step::Tick(()) {
                return step;
            }
        }
    }

    /// Reads on until a line carries something, and gives what `take` makes of it.
    fn read<T>(
        &mut self,
        report: &mut Report,
        mut take: impl FnMut(Message<'_>) -> Result<T, Fault>,
    ) -> Step<T> {
        loop {
            self.number += 1;
            let place = || format!("{}, line {}", self.name, self.number);
            let (bytes, last) = match self.lines.next() {
                Line::Whole(bytes) => (bytes, None),
                Line::Last(bytes) => (bytes, Some("cut off".to_owned())),
                Line::Broken(bytes, why) => {
                    return Step::Truncated(format!(
                        "{}: {why} after {} bytes",
                        place(),
                        bytes.len()
                    ));
                }
                Line::TooLong => {
                    report.refuse(Fault::Syntax, || format!("{}: too long", place()));
                    continue;
                }
                Line::End => return Step::Finished,
            };
            match parse(bytes).and_then(|message| message.map(&mut take).transpose()) {
                Ok(Some(taken)) => return Step::Tick(taken),
                Ok(None) => report.stats.skipped += 1,
                Err(fault) => match last {
                    Some(why) => return Step::Truncated(format!("{}: {why}", place())),
                    None => report.refuse(fault, || {
                        let shown = &bytes[..bytes.len().min(SHOWN_BYTES)];
                        format!("{}: {fault}: {}", place(), String::from_utf8_lossy(shown))
                    }),
                },
            }
        }
    }
}

/// Reads one line; `None` when it is of a kind that carries no tick.
fn parse(line: &[u8]) -> Result<Option<Message<'_>>, Fault> {
    let line = std::str::from_utf8(line).map_err(|_| Fault::Syntax)?;
    let (local, json) = line.split_once(' ').ok_or(Fault::Syntax)?;
    if local.is_empty() || !local.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Fault::Syntax);
    }
    let local_ns: i64 = local.parse().map_err(|_| Fault::Number)?;
    let combined: Combined<'_> = serde_json::from_str(json).map_err(|_| Fault::Syntax)?;
    let (stream, data) = match combined {
        Combined { stream: Some(stream), data: Some(data), .. } => (stream, data),
        Combined { stream: None, last_update_id: Some(_), .. } => return Ok(None),
        _ => return Err(Fault::Syntax),
    };
    let (symbol, body) = match stream.split_once('@').map(|(_, kind)| kind) {
        Some("bookTicker") => {
            let quote: BookTicker<'_> =
                serde_json::from_str(data.get()).map_err(|_| Fault::Syntax)?;
            let bid = side(quote.bid_price, quote.bid_size)?;
            let ask = side(quote.ask_price, quote.ask_size)?;
            (quote.symbol, Body::Quote([bid, ask]))
        }
        Some("trade") => {
            let trade: TradeMessage<'_> =
                serde_json::from_str(data.get()).map_err(|_| Fault::Syntax)?;
            (trade.symbol, trade.body()?)
        }
        Some(_) => return Ok(None),
        None => return Err(Fault::Syntax),
    };
    Ok(Some(Message { local_ns, symbol, body }))
}

/// One side of a book; Binance prints an empty one as price and size zero.
fn side(price: &str, size: &str) -> Result<Option<(Decimal, Decimal)>, Fault> {
    let (price, size) = (decimal(price)?, decimal(size)?);
    if size.mantissa < 0 {
        return Err(Fault::Number);
    }
    Ok((price.mantissa != 0 || size.mantissa != 0).then_some((price, size)))
}

fn decimal(text: &str) -> Result<Decimal, Fault> {
    Decimal::parse(text).map_err(|_| Fault::Number)
}

impl TradeMessage<'_> {
    fn body(&self) -> Result<Body, Fault> {
        let size = decimal(self.size)?;
        if size.mantissa < 0 {
            return Err(Fault::Number);
        }
        Ok(Body::Trade {
            price: decimal(self.price)?,
            size,
            event_time_ns: self.trade_time_ms.checked_mul(1_000_000).ok_or(Fault::Number)?,
            flags: if self.buyer_is_maker {
                trade_flag::SELLER_INITIATED
            } else {
                trade_flag::BUYER_INITIATED
            },
            trade_id: self.trade_id,
        })
    }
}

impl Body {
    /// Its prices and its sizes.
    fn numbers(&self) -> (Vec<Decimal>, Vec<Decimal>) {
        match self {
            Self::Quote(sides) => sides.iter().flatten().copied().unzip(),
            Self::Trade { price, size, .. } => (vec![*price], vec![*size]),
        }
    }

    /// The tick's body and event time, at the symbol's scale.
    fn scaled(&self, scale: Scale) -> Result<(TickBody, i64), Fault> {
        let price_of =
            |price: Decimal| price.at_exponent(scale.price_exponent).ok_or(Fault::Number);
        let size_of = |size: Decimal| size.at_exponent(scale.size_exponent).ok_or(Fault::Number);
        match *self {
            Self::Quote([bid, ask]) => {
                let side = |side: Option<(Decimal, Decimal)>| match side {
                    Some((price, size)) => Ok((price_of(price)?, size_of(size)?)),
                    None => Ok((ABSENT, ABSENT)),
                };
                let ((bid_price, bid_size), (ask_price, ask_size)) = (side(bid)?, side(ask)?);
                let quote = Quote { bid_price, bid_size, ask_price, ask_size, suspect: false };
                Ok((TickBody::Quote(quote), ABSENT))
            }
            Self::Trade { price, size, event_time_ns, flags, trade_id } => {
                let trade =
                    Trade { price: price_of(price)?, size: size_of(size)?, flags, trade_id };
                Ok((TickBody::Trade(trade), event_time_ns))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUOTE: &str = r#"{"stream":"btcusdt@bookTicker","data":{"u":50093239212,"s":"BTCUSDT","b":"61837.63000000","B":"3.78826000","a":"61837.64000000","A":"1.54698000"}}"#;
    const TRADE: &str = r#"{"stream":"btcusdt@trade","data":{"e":"trade","E":1723161255343,"s":"BTCUSDT","t":3735683259,"p":"61837.63000000","q":"0.02000000","T":1723161255342,"m":true,"M":true}}"#;

    fn parsed(line: &str) -> Result<Option<(TickBody, i64)>, Fault> {
        let scale = Scale { price_exponent: -2, size_exponent: -5 };
        parse(line.as_bytes())?.map(|message| message.body.scaled(scale)).transpose()
    }

    #[test]
    fn a_book_ticker_is_a_quote_without_a_time() {
        let quote = Quote {
            bid_price: 6_183_763,
            bid_size: 378_826,
            ask_price: 6_183_764,
            ask_size: 154_698,
            suspect: false,
        };
        assert_eq!(parsed(&format!("5 {QUOTE}")), Ok(Some((TickBody::Quote(quote), ABSENT))));
    }

    #[test]
    fn a_trade_has_the_venues_time_and_an_aggressor() {
        let expected = |flags| {
            let trade = Trade { price: 6_183_763, size: 2_000, flags, trade_id: 3_735_683_259 };
            Ok(Some((TickBody::Trade(trade), 1_723_161_255_342_000_000)))
        };
        let seller = format!("5 {TRADE}");
        assert_eq!(parsed(&seller), expected(trade_flag::SELLER_INITIATED));
        let buyer = seller.replace("\"m\":true", "\"m\":false");
        assert_eq!(parsed(&buyer), expected(trade_flag::BUYER_INITIATED));
    }

    #[test]
    fn an_empty_side_is_absent() {
        let line = format!("5 {QUOTE}")
            .replace("61837.64000000", "0.00000000")
            .replace("1.54698000", "0.00000000");
        let Ok(Some((TickBody::Quote(quote), _))) = parsed(&line) else { panic!("no quote") };
        assert_eq!((quote.ask_price, quote.ask_size), (ABSENT, ABSENT));
        assert_eq!(quote.bid_price, 6_183_763);
    }

    #[test]
    fn depth_snapshots_and_other_streams_carry_no_tick() {
        for json in [
            r#"{"stream":"btcusdt@depth@100ms","data":{"e":"depthUpdate","b":[["1","2"]]}}"#,
            r#"{"lastUpdateId":5,"bids":[["1","2"]],"asks":[]}"#,
            r#"{"stream":"btcusdt@aggTrade","data":{}}"#,
        ] {
            assert_eq!(parsed(&format!("5 {json}")), Ok(None), "{json}");
        }
    }

    #[test]
    fn what_is_malformed_is_refused_for_its_reason() {
        let cases = [
            ("".to_owned(), Fault::Syntax),
            (QUOTE.to_owned(), Fault::Syntax),
            (format!("x5 {QUOTE}"), Fault::Syntax),
            (format!("99999999999999999999 {QUOTE}"), Fault::Number),
            (format!("5 {}", &QUOTE[..QUOTE.len() - 1]), Fault::Syntax),
            (format!("5 {QUOTE}x"), Fault::Syntax),
            ("5 {}".to_owned(), Fault::Syntax),
            ("5 []".to_owned(), Fault::Syntax),
            (r#"5 {"stream":"btcusdt","data":{}}"#.to_owned(), Fault::Syntax),
            (r#"5 {"stream":"btcusdt@trade","data":{}}"#.to_owned(), Fault::Syntax),
            (format!("5 {}", TRADE.replace("61837.63000000", "6e4")), Fault::Number),
            (format!("5 {}", TRADE.replace("61837.63000000", "NaN")), Fault::Number),
            (format!("5 {}", TRADE.replace("0.02000000", "-0.02")), Fault::Number),
            (format!("5 {}", TRADE.replace("1723161255342", "9223372036854775807")), Fault::Number),
        ];
        for (line, fault) in cases {
            assert_eq!(parsed(&line), Err(fault), "{line}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_refused() {
        assert_eq!(parse(b"5 \xFF"), Err(Fault::Syntax));
    }
}
