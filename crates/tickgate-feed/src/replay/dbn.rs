//! DBN recordings: trades, tbbo and mbp-1, of versions 1 to 3, plain or zstd; and definitions, of
//! what these trade, in files of their own or among the ticks.
//!
//! Quotes are the top level of tbbo and mbp-1 records, trades the records of action `T`, whose side
//! is the aggressor's (`A`: a seller). In both schemas a trade's record shows the book as it was
//! immediately before, so the quote comes first, and only when it says something new. Prices are
//! integers of 1e-9; sizes are whole. DBN numbers no trades, so trade ids are absent.

use std::{borrow::Cow, collections::HashMap, fs::File, io::BufReader};

use dbn::{
    InstrumentDefMsg, Mbp1Msg, RType, RecordRef, Schema, SymbolMappingMsg, TradeMsg, TsSymbolMap,
    UNDEF_PRICE, UNDEF_TIMESTAMP, VersionUpgradePolicy,
    decode::{DbnMetadata, DecodeRecordRef, DynReader, dbn::Decoder},
};
use tickgate_protocol::{
    entry::trade_flag,
    instrument::{self, Instrument},
    number::{ABSENT, Decimal, is_valid},
    tick::{Quote, TickBody, Trade},
};

use super::{
    framing::Framed,
    recorded::{Fault, Recorded, Report, Step},
    symbols::{Defined, Scale, Symbols},
};

/// DBN's prices are multiples of 10^-9.
const PRICE_EXPONENT: i8 = -9;

/// How DBN files begin, and zstd frames, in which they may be wrapped.
const DBN_MAGIC: &[u8] = b"DBN";
const ZSTD_MAGIC: &[u8] = &[0x28, 0xB5, 0x2F, 0xFD];

/// Reads one recording, streaming.
pub(super) struct DbnReader {
    decoder: Decoder<Framed<DynReader<'static, BufReader<File>>>>,
    names: TsSymbolMap,
    /// Where its dataset says that it was recorded.
    venue: Option<Box<str>>,
    /// There is nothing to play in it.
    defines_only: bool,
    name: String,
    number: u64,
    /// The last quote of each instrument; as many as the recording has instruments.
    quotes: HashMap<u32, Quote>,
    /// The trade of a record whose quote was given first.
    pending: Option<Recorded>,
}

/// What a record carries.
#[derive(Debug)]
enum Found {
    Ticks(Message),
    Definition(Definition),
}

/// What a record says of an instrument.
#[derive(Debug)]
struct Definition {
    at_ns: u64,
    instrument_id: u32,
    raw_symbol: String,
    defined: Defined,
}

/// A record that carries a tick or two, its numbers not yet scaled.
#[derive(Debug, Clone, Copy)]
struct Message {
    at_ns: i64,
    event_time_ns: i64,
    instrument_id: u32,
    quote: Option<Book>,
    trade: Option<Execution>,
}

/// Price and size of bid and ask; `None` for an empty side.
#[derive(Debug, Clone, Copy)]
struct Book {
    bid: Option<(Decimal, Decimal)>,
    ask: Option<(Decimal, Decimal)>,
    suspect: bool,
}

#[derive(Debug, Clone, Copy)]
struct Execution {
    price: Decimal,
    size: Decimal,
    flags: u8,
}

/// True for the first bytes of a file that only DBN can be.
pub(super) fn is_dbn(first_bytes: &[u8]) -> bool {
    first_bytes.starts_with(DBN_MAGIC) || first_bytes.starts_with(ZSTD_MAGIC)
}

impl DbnReader {
    /// Reads from `input`; `name` stands for it in warnings.
    ///
    /// # Errors
    /// Says what is wrong with the metadata, or which schema it is and which ones are supported.
    pub(super) fn new(input: BufReader<File>, name: String) -> Result<Self, String> {
        let input = DynReader::inferred_with_buffer(input).map_err(|error| error.to_string())?;
        let policy = VersionUpgradePolicy::UpgradeToV3;
        let decoder = Decoder::with_upgrade_policy(Framed::new(input), policy)
            .map_err(|error| format!("no readable DBN metadata: {error}"))?;
        match decoder.metadata().schema {
            // No schema: several kinds of records, as live recordings have.
            None | Some(Schema::Trades | Schema::Tbbo | Schema::Mbp1 | Schema::Definition) => {}
            Some(other) => {
                return Err(format!(
                    "schema {other} carries no ticks; trades, tbbo and mbp-1 are supported, and \
                     definition beside them"
                ));
            }
        }
        let defines_only = decoder.metadata().schema == Some(Schema::Definition);
        let venue = venue(&decoder.metadata().dataset);
        // Without usable mappings symbols are called by their instrument ids.
        let names = decoder.metadata().symbol_map().unwrap_or_default();
        let (quotes, pending) = (HashMap::new(), None);
        Ok(Self { decoder, names, venue, defines_only, name, number: 0, quotes, pending })
    }

    /// The next tick, or how the recording ended. What carries none is counted in `report`.
    pub(super) fn next(&mut self, symbols: &Symbols, report: &mut Report) -> Step {
        // Definitions were scanned, and may be very many: no poll is to read them again.
        if self.defines_only {
            return Step::Finished;
        }
        loop {
            if let Some(pending) = self.pending.take() {
                return Step::Tick(pending);
            }
            let message = match self.read(report) {
                Step::Tick(Found::Ticks(message)) => message,
                Step::Tick(Found::Definition(_)) => {
                    report.stats.skipped += 1;
                    continue;
                }
                Step::Finished => return Step::Finished,
                Step::Truncated(why) => return Step::Truncated(why),
            };
            match self.ticks(message, symbols) {
                Ok((Some(first), second)) => {
                    self.pending = second;
                    return Step::Tick(first);
                }
                // A trade whose quote was known already, or neither.
                Ok((None, trade)) => self.pending = trade,
                Err(fault) => report.refuse(fault, || self.warning(&fault.to_string())),
            }
        }
    }

    /// Takes note of every symbol, its digits and its definition, to the end of the recording.
    pub(super) fn scan(mut self, symbols: &mut Symbols, report: &mut Report) -> Step<()> {
        loop {
            let message = match self.read(report) {
                Step::Tick(Found::Ticks(message)) => message,
                Step::Tick(Found::Definition(definition)) => {
                    let Definition { at_ns, instrument_id, raw_symbol, defined } = definition;
                    // Ticks go by the name that their recording maps, here or in another one.
                    symbols.define(&self.symbol_name(at_ns, instrument_id), defined.clone());
                    symbols.define(&raw_symbol, defined);
                    continue;
                }
                Step::Finished => return Step::Finished,
                Step::Truncated(why) => return Step::Truncated(why),
            };
            let sides = message.quote.iter().flat_map(|book| [book.bid, book.ask]).flatten();
            let trade = message.trade.iter().map(|trade| (trade.price, trade.size));
            let (prices, sizes): (Vec<_>, Vec<_>) = sides.chain(trade).unzip();
            let words = || Instrument { venue: self.venue.clone(), ..Instrument::default() };
            symbols.scan(&self.name_of(&message), words, prices, sizes);
        }
    }

    /// Reads on until a record carries something.
    fn read(&mut self, report: &mut Report) -> Step<Found> {
        loop {
            self.number += 1;
            let parsed = match self.decoder.decode_record_ref() {
                Ok(Some(record)) => match record.try_get::<SymbolMappingMsg>() {
                    Ok(mapping) => match self.names.on_symbol_mapping(mapping) {
                        Ok(()) => Ok(None),
                        Err(_) => Err(Fault::Symbol),
                    },
                    Err(_) => parse(record),
                },
                Ok(None) => {
                    return match self.decoder.get_ref().broken() {
                        Some(why) => Step::Truncated(self.warning(&why)),
                        None => Step::Finished,
                    };
                }
                // The decoder cannot tell where the next record begins.
                Err(error) => return Step::Truncated(self.warning(&error.to_string())),
            };
            match parsed {
                Ok(Some(found)) => return Step::Tick(found),
                Ok(None) => report.stats.skipped += 1,
                Err(fault) => report.refuse(fault, || self.warning(&fault.to_string())),
            }
        }
    }

    fn warning(&self, what: &str) -> String {
        format!("{}, record {}: {what}", self.name, self.number)
    }

    fn name_of(&self, message: &Message) -> Cow<'_, str> {
        self.symbol_name(u64::try_from(message.at_ns).unwrap_or(0), message.instrument_id)
    }

    fn symbol_name(&self, at_ns: u64, instrument_id: u32) -> Cow<'_, str> {
        match self.names.get_for_ts(at_ns, instrument_id) {
            Some(name) => Cow::Borrowed(name),
            None => Cow::Owned(instrument_id.to_string()),
        }
    }

    /// The ticks of a record: its quote, where it says something new, and its trade.
    fn ticks(
        &mut self,
        message: Message,
        symbols: &Symbols,
    ) -> Result<(Option<Recorded>, Option<Recorded>), Fault> {
        let symbol = symbols.find(&self.name_of(&message)).ok_or(Fault::Symbol)?;
        let scale = symbols.scale(symbol);
        let Message { at_ns, event_time_ns, instrument_id, quote, trade } = message;
        let recorded = |body| Recorded { at_ns, symbol, event_time_ns, body };
        let trade = trade.map(|trade| trade.scaled(scale)).transpose()?;
        let quote = quote.map(|book| book.scaled(scale)).transpose()?;
        let quote = quote.filter(|quote| {
            let before = self.quotes.insert(instrument_id, *quote);
            trade.is_none() || before != Some(*quote)
        });
        Ok((
            quote.map(|quote| recorded(TickBody::Quote(quote))),
            trade.map(|trade| recorded(TickBody::Trade(trade))),
        ))
    }
}

/// Reads one record; `None` when it is of a kind that carries nothing for us.
fn parse(record: RecordRef<'_>) -> Result<Option<Found>, Fault> {
    match record.header().rtype() {
        Ok(RType::Mbp0) => {
            let record: &TradeMsg = record.try_get().map_err(|_| Fault::Syntax)?;
            let trade = Some(execution(record.price, record.size, record.side)?);
            let TradeMsg { hd, ts_recv, .. } = record;
            ticks(hd.ts_event, *ts_recv, hd.instrument_id, None, trade).map(Some)
        }
        Ok(RType::Mbp1) => {
            let record: &Mbp1Msg = record.try_get().map_err(|_| Fault::Syntax)?;
            let [level] = &record.levels;
            let quote = Book {
                bid: side(level.bid_px, level.bid_sz)?,
                ask: side(level.ask_px, level.ask_sz)?,
                suspect: record.flags.is_maybe_bad_book(),
            };
            let trade = (record.action as u8 == b'T')
                .then(|| execution(record.price, record.size, record.side))
                .transpose()?;
            let Mbp1Msg { hd, ts_recv, .. } = record;
            ticks(hd.ts_event, *ts_recv, hd.instrument_id, Some(quote), trade).map(Some)
        }
        Ok(RType::InstrumentDef) => {
            let record: &InstrumentDefMsg = record.try_get().map_err(|_| Fault::Syntax)?;
            definition(record).map(|definition| Some(Found::Definition(definition)))
        }
        Ok(_) => Ok(None),
        Err(_) => Err(Fault::Syntax),
    }
}

fn ticks(
    ts_event: u64,
    ts_recv: u64,
    instrument_id: u32,
    quote: Option<Book>,
    trade: Option<Execution>,
) -> Result<Found, Fault> {
    let time = |ts: u64| match ts {
        UNDEF_TIMESTAMP => Ok(None),
        ts => i64::try_from(ts).map(Some).map_err(|_| Fault::Number),
    };
    let (event, received) = (time(ts_event)?, time(ts_recv)?);
    let at_ns = received.or(event).ok_or(Fault::Number)?;
    let event_time_ns = event.unwrap_or(ABSENT);
    Ok(Found::Ticks(Message { at_ns, event_time_ns, instrument_id, quote, trade }))
}

/// What the record has to say, where it says it as we may repeat it.
fn definition(record: &InstrumentDefMsg) -> Result<Definition, Fault> {
    let word = |text: dbn::Result<&str>, is_allowed: fn(&str) -> bool| {
        text.ok().filter(|text| is_allowed(text)).map(Into::into)
    };
    let tick_size = match record.min_price_increment {
        UNDEF_PRICE | ..=0 => None,
        increment => Some(price_of(increment)?),
    };
    let words = Instrument {
        description: None,
        venue: word(record.exchange(), instrument::is_venue),
        currency: word(record.currency(), instrument::is_currency),
    };
    Ok(Definition {
        at_ns: if record.ts_recv == UNDEF_TIMESTAMP { record.hd.ts_event } else { record.ts_recv },
        instrument_id: record.hd.instrument_id,
        raw_symbol: record.raw_symbol().map_err(|_| Fault::Symbol)?.to_owned(),
        defined: Defined { words, tick_size },
    })
}

/// The venue of a dataset such as `XNAS.ITCH`: what stands before the name of the feed.
fn venue(dataset: &str) -> Option<Box<str>> {
    let venue = dataset.split('.').next().filter(|venue| instrument::is_venue(venue));
    venue.map(Into::into)
}

fn side(price: i64, size: u32) -> Result<Option<(Decimal, Decimal)>, Fault> {
    if price == UNDEF_PRICE {
        return Ok(None);
    }
    Ok(Some((price_of(price)?, whole(size))))
}

fn execution(price: i64, size: u32, side: std::ffi::c_char) -> Result<Execution, Fault> {
    if price == UNDEF_PRICE {
        return Err(Fault::Number);
    }
    let flags = match side as u8 {
        b'A' => trade_flag::SELLER_INITIATED,
        b'B' => trade_flag::BUYER_INITIATED,
        _ => 0,
    };
    Ok(Execution { price: price_of(price)?, size: whole(size), flags })
}

/// A fixed-point price with the trailing zeros of its fraction dropped.
fn price_of(price: i64) -> Result<Decimal, Fault> {
    let (mut mantissa, mut exponent) = (price, PRICE_EXPONENT);
    while exponent < 0 && mantissa % 10 == 0 {
        mantissa /= 10;
        exponent += 1;
    }
    let number = Decimal { mantissa, exponent };
    if is_valid(mantissa) && mantissa != ABSENT { Ok(number) } else { Err(Fault::Number) }
}

fn whole(size: u32) -> Decimal {
    Decimal { mantissa: size.into(), exponent: 0 }
}

fn scaled((price, size): (Decimal, Decimal), scale: Scale) -> Result<(i64, i64), Fault> {
    let price = price.at_exponent(scale.price_exponent).ok_or(Fault::Number)?;
    let size = size.at_exponent(scale.size_exponent).ok_or(Fault::Number)?;
    Ok((price, size))
}

impl Book {
    fn scaled(self, scale: Scale) -> Result<Quote, Fault> {
        let side = |side: Option<_>| side.map_or(Ok((ABSENT, ABSENT)), |side| scaled(side, scale));
        let ((bid_price, bid_size), (ask_price, ask_size)) = (side(self.bid)?, side(self.ask)?);
        Ok(Quote { bid_price, bid_size, ask_price, ask_size, suspect: self.suspect })
    }
}

impl Execution {
    fn scaled(self, scale: Scale) -> Result<Trade, Fault> {
        let (price, size) = scaled((self.price, self.size), scale)?;
        Ok(Trade { price, size, flags: self.flags, trade_id: ABSENT })
    }
}
