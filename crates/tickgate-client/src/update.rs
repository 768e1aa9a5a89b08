//! What a subscription yields: typed, exact, each complete in itself.

use std::sync::Arc;

use tickgate_protocol::{
    book::StateChannel,
    command::ErrorCode,
    definition::Definition,
    entry::{
        CorrectionEntry, LastFields, LostEntry, QuoteFields, TradeEntry, last_field, quote_field,
    },
    number::{ABSENT, Decimal},
    reply::SymbolInfo,
    tick::{CorrectionKind, Reason, Status},
};

use crate::connection::ConnectionState;

/// A symbol's name; cheap to clone.
pub type Symbol = Arc<str>;

/// One thing that a [`Subscription`](crate::Subscription) has to say.
#[derive(Debug, Clone)]
pub enum Update {
    /// A symbol was defined, or redefined at a finer scale.
    Definition(Listing),
    /// The newest best bid and offer.
    Quote(Quote),
    /// The newest last-trade figures.
    Last(Last),
    /// Where a tape begins: trades follow from the next sequence.
    Joined(Joined),
    /// A trade; each once and in order.
    Trade(Trade),
    /// An earlier trade was cancelled or corrected.
    Correction(Correction),
    /// Trades that will not come.
    Lost(Lost),
    /// A symbol's trading status changed.
    Status(StatusChange),
    /// The feed's liveness changed: when it is stale, prices may be old.
    Feed(FeedStatus),
    /// All symbols have been told in full: after subscribing, and again after each reconnect.
    Ready,
    /// A symbol that can no longer be had, found when subscribing again. It stays wanted and is
    /// asked for at the next connection.
    Rejected {
        /// The symbol.
        symbol: Symbol,
        /// Why.
        code: ErrorCode,
    },
    /// A new epoch: everything that was told of symbols before is void, and what waited in the
    /// buffer was discarded. Definitions, states and tapes follow anew.
    Epoch {
        /// Its number.
        epoch: u64,
        /// Trades and corrections that waited in the buffer and were discarded.
        discarded: u64,
    },
    /// The connection changed. Only the newest state is told.
    Connection(ConnectionState),
}

/// What a symbol is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// Its name.
    pub symbol: Symbol,
    /// Power of ten of its prices: each is a [`Decimal`] of this exponent.
    pub price_exponent: i8,
    /// Power of ten of its sizes and volumes.
    pub size_exponent: i8,
    /// The trading session, YYYYMMDD, where the feed knows one.
    pub session_date: Option<u32>,
    /// Closing price of the session before, where known.
    pub previous_close: Option<Decimal>,
    /// Least step between two prices, where known; none of them is held to it.
    pub tick_size: Option<Decimal>,
    /// Trading status when it was defined.
    pub status: Status,
}

/// What a symbol stands for, as [`Client::instrument`](crate::Client::instrument) is told; `None`
/// for what the gateway's feed does not know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instrument {
    /// Its name.
    pub symbol: Symbol,
    /// What it is, for people.
    pub description: Option<Box<str>>,
    /// Where it is traded.
    pub venue: Option<Box<str>>,
    /// What its prices are in: of ISO 4217, or a crypto ticker.
    pub currency: Option<Box<str>>,
    /// Least step between two prices; none of them is held to it.
    pub tick_size: Option<Decimal>,
}

/// Best bid and offer. A side that is missing has neither price nor size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quote {
    /// The symbol.
    pub symbol: Symbol,
    /// Sequence of the channel; 0 for a symbol without a quote yet.
    pub sequence: u64,
    /// Updates since the quote this subscription yielded last that it never saw: merged by the
    /// gateway's throttle, or replaced here while the consumer was busy.
    pub merged: u64,
    /// The venue's time, Unix microseconds; `None` where the venue gives none.
    pub time_us: Option<i64>,
    /// Price buyers offer.
    pub bid_price: Option<Decimal>,
    /// Size at the bid.
    pub bid_size: Option<Decimal>,
    /// Price sellers ask.
    pub ask_price: Option<Decimal>,
    /// Size at the ask.
    pub ask_size: Option<Decimal>,
    /// Bits of [`tickgate_protocol::entry::quote_flag`].
    pub flags: u8,
}

/// Figures of the trading session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Last {
    /// The symbol.
    pub symbol: Symbol,
    /// Sequence of the channel; 0 before the first trade.
    pub sequence: u64,
    /// Updates since the figures this subscription yielded last that it never saw.
    pub merged: u64,
    /// The venue's time, Unix microseconds; `None` where the venue gives none.
    pub time_us: Option<i64>,
    /// Price of the last eligible trade.
    pub price: Option<Decimal>,
    /// Size of the last eligible trade.
    pub size: Option<Decimal>,
    /// Volume of all trades.
    pub volume: Option<Decimal>,
    /// Number of all trades.
    pub trade_count: Option<u64>,
    /// Highest eligible price.
    pub high: Option<Decimal>,
    /// Lowest eligible price.
    pub low: Option<Decimal>,
    /// First eligible price.
    pub open: Option<Decimal>,
    /// Bits of [`tickgate_protocol::entry::trade_flag`], of the last eligible trade.
    pub flags: u8,
}

/// Where a tape begins or goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Joined {
    /// The symbol.
    pub symbol: Symbol,
    /// The next trade's sequence is one more.
    pub sequence: u64,
    /// The session's volume up to there; `None` when the tape was resumed, and for a subscription
    /// that joined a tape which this client was receiving already.
    pub volume: Option<Decimal>,
    /// True when it goes on where the connection before it was lost: nothing is missing.
    pub resumed: bool,
}

/// An execution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trade {
    /// The symbol.
    pub symbol: Symbol,
    /// Place on the tape.
    pub sequence: u64,
    /// The venue's time, Unix microseconds; `None` where the venue gives none.
    pub time_us: Option<i64>,
    /// Its price.
    pub price: Option<Decimal>,
    /// Its size.
    pub size: Option<Decimal>,
    /// Bits of [`tickgate_protocol::entry::trade_flag`].
    pub flags: u8,
    /// The venue's number of it, where it gives one.
    pub trade_id: Option<i64>,
}

/// An earlier trade was cancelled or corrected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Correction {
    /// The symbol.
    pub symbol: Symbol,
    /// Its own place on the tape.
    pub sequence: u64,
    /// The venue's time, Unix microseconds; `None` where the venue gives none.
    pub time_us: Option<i64>,
    /// Sequence of the trade it is about; `None` when that has left the gateway's tape.
    pub corrects: Option<u64>,
    /// Cancelled or corrected.
    pub what: CorrectionKind,
    /// The price that holds now; `None` for a cancel.
    pub price: Option<Decimal>,
    /// The size that holds now; `None` for a cancel.
    pub size: Option<Decimal>,
}

/// Sequences of a tape that this subscription will not yield, both ends included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lost {
    /// The symbol.
    pub symbol: Symbol,
    /// First lost sequence; `None` where the feed cannot tell.
    pub from: Option<u64>,
    /// Last lost sequence; `None` where the feed cannot tell.
    pub to: Option<u64>,
    /// Sum of the lost sizes, where known.
    pub size: Option<Decimal>,
    /// Who lost them.
    pub origin: LossOrigin,
}

/// Who lost trades.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LossOrigin {
    /// The connection fell further behind than the gateway keeps.
    Connection,
    /// The feed has a hole.
    Feed,
    /// The subscription's own buffer was full: the consumer was too slow. Where losses of other
    /// origins are part of the range, it is still this.
    Consumer,
    /// After a reconnect the gateway could not go on where the tape was left.
    Resume,
}

/// A symbol's trading status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusChange {
    /// The symbol.
    pub symbol: Symbol,
    /// How many changes it is the result of.
    pub sequence: u64,
    /// What it is now.
    pub status: Status,
    /// Why.
    pub reason: Reason,
    /// Changes before it that were dropped because the buffer was full. It comes before whatever
    /// is left in the buffer.
    pub missed: u64,
}

/// Liveness of the feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FeedStatus {
    /// How many changes it is the result of.
    pub sequence: u64,
    /// [`Status::Live`] or [`Status::Stale`].
    pub status: Status,
    /// Why.
    pub reason: Reason,
}

impl From<SymbolInfo> for Instrument {
    fn from(info: SymbolInfo) -> Self {
        let exponent = info.price_exponent;
        Self {
            symbol: info.name.into(),
            description: info.instrument.description,
            venue: info.instrument.venue,
            currency: info.instrument.currency,
            tick_size: present(info.tick_size).map(|mantissa| Decimal { mantissa, exponent }),
        }
    }
}

/// The scale and name under which an entry is told.
#[derive(Debug, Clone)]
pub(crate) struct Scale {
    pub(crate) symbol: Symbol,
    pub(crate) price: i8,
    pub(crate) size: i8,
}

impl Scale {
    pub(crate) fn of(symbol: Symbol, definition: &Definition) -> Self {
        Self { symbol, price: definition.price_exponent, size: definition.size_exponent }
    }

    fn at_price(&self, field: i64) -> Option<Decimal> {
        present(field).map(|mantissa| Decimal { mantissa, exponent: self.price })
    }

    pub(crate) fn at_size(&self, field: i64) -> Option<Decimal> {
        present(field).map(|mantissa| Decimal { mantissa, exponent: self.size })
    }

    pub(crate) fn listing(&self, definition: &Definition) -> Listing {
        Listing {
            symbol: Arc::clone(&self.symbol),
            price_exponent: self.price,
            size_exponent: self.size,
            session_date: (definition.session_date != 0).then_some(definition.session_date),
            previous_close: self.at_price(definition.previous_close),
            tick_size: self.at_price(definition.tick_size),
            status: definition.status,
        }
    }

    /// `None` while no full quote has come.
    pub(crate) fn quote(
        &self,
        state: &StateChannel<{ quote_field::COUNT }>,
        merged: u64,
    ) -> Option<Quote> {
        let fields: QuoteFields = state.fields?;
        Some(Quote {
            symbol: Arc::clone(&self.symbol),
            sequence: state.head?,
            merged,
            time_us: venue_time_us(state.sent_at_us, state.age_us),
            bid_price: self.at_price(fields[quote_field::BID_PRICE]),
            bid_size: self.at_size(fields[quote_field::BID_SIZE]),
            ask_price: self.at_price(fields[quote_field::ASK_PRICE]),
            ask_size: self.at_size(fields[quote_field::ASK_SIZE]),
            flags: flags(fields[quote_field::FLAGS]),
        })
    }

    /// `None` while no full figures have come.
    pub(crate) fn last(
        &self,
        state: &StateChannel<{ last_field::COUNT }>,
        merged: u64,
    ) -> Option<Last> {
        let fields: LastFields = state.fields?;
        Some(Last {
            symbol: Arc::clone(&self.symbol),
            sequence: state.head?,
            merged,
            time_us: venue_time_us(state.sent_at_us, state.age_us),
            price: self.at_price(fields[last_field::PRICE]),
            size: self.at_size(fields[last_field::SIZE]),
            volume: self.at_size(fields[last_field::VOLUME]),
            trade_count: unsigned(fields[last_field::TRADE_COUNT]),
            high: self.at_price(fields[last_field::HIGH]),
            low: self.at_price(fields[last_field::LOW]),
            open: self.at_price(fields[last_field::OPEN]),
            flags: flags(fields[last_field::FLAGS]),
        })
    }

    pub(crate) fn trade(&self, entry: &TradeEntry, sent_at_us: i64) -> Trade {
        Trade {
            symbol: Arc::clone(&self.symbol),
            sequence: entry.sequence,
            time_us: venue_time_us(sent_at_us, entry.age_us),
            price: self.at_price(entry.price),
            size: self.at_size(entry.size),
            flags: entry.flags,
            trade_id: present(entry.trade_id),
        }
    }

    pub(crate) fn correction(&self, entry: &CorrectionEntry, sent_at_us: i64) -> Correction {
        Correction {
            symbol: Arc::clone(&self.symbol),
            sequence: entry.sequence,
            time_us: venue_time_us(sent_at_us, entry.age_us),
            corrects: unsigned(entry.corrects),
            what: entry.what,
            price: self.at_price(entry.price),
            size: self.at_size(entry.size),
        }
    }

    pub(crate) fn lost(&self, entry: &LostEntry) -> Lost {
        use tickgate_protocol::entry::LostOrigin;
        Lost {
            symbol: Arc::clone(&self.symbol),
            from: unsigned(entry.from),
            to: unsigned(entry.to),
            size: self.at_size(entry.size),
            origin: match entry.origin {
                LostOrigin::Connection => LossOrigin::Connection,
                LostOrigin::Feed => LossOrigin::Feed,
            },
        }
    }
}

fn present(field: i64) -> Option<i64> {
    (field != ABSENT).then_some(field)
}

fn unsigned(field: i64) -> Option<u64> {
    u64::try_from(field).ok()
}

/// Flags that are absent, or that no gateway sends, are none.
fn flags(field: i64) -> u8 {
    u8::try_from(field).unwrap_or(0)
}

fn venue_time_us(sent_at_us: i64, age_us: i64) -> Option<i64> {
    present(age_us).map(|age_us| sent_at_us.saturating_sub(age_us))
}
