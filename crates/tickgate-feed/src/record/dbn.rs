//! Recordings in DBN, version 3, uncompressed.

use std::io::{self, Write};

use dbn::{
    Action, BidAskPair, FlagSet, MappingInterval, Mbp1Msg, Metadata, RecordHeader, SType, Schema,
    Side, SymbolMapping, TradeMsg, UNDEF_PRICE,
    encode::{EncodeRecord, dbn::Encoder},
    rtype,
};
use tickgate_protocol::{
    entry::trade_flag,
    number::{ABSENT, Decimal},
    tick::{Batch, Listing, Quote, Tick, TickBody, Trade},
};

/// DBN's prices are multiples of 10^-9.
const PRICE_EXPONENT: i8 = -9;

/// How many days from its first one a recording's symbols are mapped for.
const MAPPED_DAYS: usize = 7;

/// Which records a DBN recording consists of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DbnSchema {
    /// Trades alone.
    Trades,
    /// Trades, each with the quote before it.
    Tbbo,
    /// Every quote and every trade.
    Mbp1,
}

/// Writes quotes and trades as one of the schemas.
///
/// The format has no corrections and no trade ids, sizes are whole, and of the flags only the
/// aggressor and the suspect quote are kept; a tick with a size or price it cannot hold is left
/// out, as are status changes. The time of receipt is the event time, without steps back.
pub struct DbnRecorder<W: Write> {
    encoder: Encoder<W>,
    schema: DbnSchema,
    symbols: Vec<Symbol>,
    received_ns: u64,
    left_out: u64,
}

struct Symbol {
    price_exponent: i8,
    size_exponent: i8,
    book: BidAskPair,
    flags: FlagSet,
}

impl<W: Write> DbnRecorder<W> {
    /// Begins a recording of `listings` that starts at `start_ns` (Unix time, nanoseconds). DBN
    /// names its symbols at the beginning: all of them must be known, and later ones are left out.
    ///
    /// # Errors
    /// What the writer says.
    pub fn new(out: W, schema: DbnSchema, listings: &[Listing], start_ns: i64) -> io::Result<Self> {
        let metadata = metadata(schema, listings, u64::try_from(start_ns).unwrap_or(0));
        let symbols = listings.iter().map(|listing| Symbol {
            price_exponent: listing.price_exponent,
            size_exponent: listing.size_exponent,
            book: book(None, None),
            flags: FlagSet::empty(),
        });
        Ok(Self {
            encoder: Encoder::new(out, &metadata).map_err(io::Error::other)?,
            schema,
            symbols: symbols.collect(),
            received_ns: 0,
            left_out: 0,
        })
    }

    /// Writes a batch's ticks; every batch of the feed, in order.
    ///
    /// # Errors
    /// What the writer says.
    pub fn record(&mut self, batch: &Batch) -> io::Result<()> {
        batch.ticks.iter().try_for_each(|tick| self.tick(tick))
    }

    /// Ticks that the format cannot express and that were left out.
    pub fn left_out(&self) -> u64 {
        self.left_out
    }

    /// Ends the recording.
    ///
    /// # Errors
    /// What the writer says.
    pub fn finish(mut self) -> io::Result<()> {
        self.encoder.flush().map_err(io::Error::other)
    }

    fn tick(&mut self, tick: &Tick) -> io::Result<()> {
        let event_ns = u64::try_from(tick.event_time_ns).unwrap_or(self.received_ns);
        self.received_ns = self.received_ns.max(event_ns);
        let Some(symbol) = self.symbols.get_mut(tick.symbol as usize) else {
            self.left_out += 1;
            return Ok(());
        };
        match tick.body {
            TickBody::Quote(quote) => match symbol.requote(&quote) {
                Some(()) if self.schema == DbnSchema::Mbp1 => {
                    let record = symbol.mbp1(tick.symbol, event_ns, self.received_ns);
                    self.encoder.encode_record(&record).map_err(io::Error::other)
                }
                Some(()) => Ok(()),
                None => {
                    self.left_out += 1;
                    Ok(())
                }
            },
            TickBody::Trade(trade) => {
                let Some((price, size)) = symbol.scaled(trade.price, trade.size) else {
                    self.left_out += 1;
                    return Ok(());
                };
                let (action, side) = (Action::Trade as u8 as _, side(&trade));
                let encoded = match self.schema {
                    DbnSchema::Trades => self.encoder.encode_record(&TradeMsg {
                        hd: header::<TradeMsg>(rtype::MBP_0, tick.symbol, event_ns),
                        price,
                        size,
                        action,
                        side,
                        ts_recv: self.received_ns,
                        ..Default::default()
                    }),
                    DbnSchema::Tbbo | DbnSchema::Mbp1 => self.encoder.encode_record(&Mbp1Msg {
                        price,
                        size,
                        action,
                        side,
                        ..symbol.mbp1(tick.symbol, event_ns, self.received_ns)
                    }),
                };
                encoded.map_err(io::Error::other)
            }
            TickBody::Correction(_) | TickBody::Status(_) | TickBody::Session(_) => {
                self.left_out += 1;
                Ok(())
            }
        }
    }
}

impl Symbol {
    /// Takes a quote; `None`, and the old one stays, when the format cannot hold it.
    fn requote(&mut self, quote: &Quote) -> Option<()> {
        let side = |price, size| match price {
            ABSENT => Some(None),
            price => self.scaled(price, size).map(Some),
        };
        let bid = side(quote.bid_price, quote.bid_size)?;
        let ask = side(quote.ask_price, quote.ask_size)?;
        self.book = book(bid, ask);
        self.flags = FlagSet::empty();
        if quote.suspect {
            self.flags.set_maybe_bad_book();
        }
        Some(())
    }

    /// A price in 10^-9 and a whole size; `None` when they do not fit.
    fn scaled(&self, price: i64, size: i64) -> Option<(i64, u32)> {
        let places = u32::from(self.price_exponent.abs_diff(PRICE_EXPONENT));
        let power = 10i64.checked_pow(places)?;
        let price = match self.price_exponent >= PRICE_EXPONENT {
            true => price.checked_mul(power)?,
            false => (price % power == 0).then_some(price / power)?,
        };
        let size = Decimal { mantissa: size, exponent: self.size_exponent }.at_exponent(0)?;
        (price != UNDEF_PRICE).then_some((price, u32::try_from(size).ok()?))
    }

    fn mbp1(&self, symbol: u32, event_ns: u64, received_ns: u64) -> Mbp1Msg {
        Mbp1Msg {
            hd: header::<Mbp1Msg>(rtype::MBP_1, symbol, event_ns),
            price: UNDEF_PRICE,
            size: 0,
            action: Action::Modify as u8 as _,
            side: Side::None as u8 as _,
            flags: self.flags,
            ts_recv: received_ns,
            levels: [self.book.clone()],
            ..Default::default()
        }
    }
}

/// The instrument id of a symbol; ids begin at 1.
fn instrument_id(symbol: u32) -> u32 {
    symbol + 1
}

fn header<R: dbn::HasRType>(rtype: u8, symbol: u32, event_ns: u64) -> RecordHeader {
    RecordHeader::new::<R>(rtype, 0, instrument_id(symbol), event_ns)
}

fn side(trade: &Trade) -> std::ffi::c_char {
    let side = if trade.flags & trade_flag::SELLER_INITIATED != 0 {
        Side::Ask
    } else if trade.flags & trade_flag::BUYER_INITIATED != 0 {
        Side::Bid
    } else {
        Side::None
    };
    side as u8 as _
}

fn book(bid: Option<(i64, u32)>, ask: Option<(i64, u32)>) -> BidAskPair {
    let (bid_px, bid_sz) = bid.unwrap_or((UNDEF_PRICE, 0));
    let (ask_px, ask_sz) = ask.unwrap_or((UNDEF_PRICE, 0));
    BidAskPair { bid_px, ask_px, bid_sz, ask_sz, bid_ct: 0, ask_ct: 0 }
}

fn metadata(schema: DbnSchema, listings: &[Listing], start_ns: u64) -> Metadata {
    let schema = match schema {
        DbnSchema::Trades => Schema::Trades,
        DbnSchema::Tbbo => Schema::Tbbo,
        DbnSchema::Mbp1 => Schema::Mbp1,
    };
    let mut metadata = Metadata::builder()
        .version(3)
        .dataset("SIMULATED")
        .schema(Some(schema))
        .start(start_ns)
        .stype_in(Some(SType::RawSymbol))
        .stype_out(SType::InstrumentId)
        .symbols(listings.iter().map(|listing| listing.name.clone()).collect())
        .build();
    let start_date = metadata.start().date();
    let end_date = (0..MAPPED_DAYS).fold(start_date, |date, _| date.next_day().unwrap_or(date));
    let mapping = |(symbol, listing): (u32, &Listing)| SymbolMapping {
        raw_symbol: listing.name.clone(),
        intervals: vec![MappingInterval {
            start_date,
            end_date,
            symbol: instrument_id(symbol).to_string(),
        }],
    };
    metadata.mappings = (0..).zip(listings).map(mapping).collect();
    metadata
}
