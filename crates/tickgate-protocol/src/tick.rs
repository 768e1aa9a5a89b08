//! What leaves a source: ticks, listings, and batches of them.
//!
//! A feed fills a [`Batch`] and hands it to the hub, which validates, sequences and applies it.

use crate::{instrument::Instrument, number::ABSENT};

/// A feed's own number for a symbol: dense from 0, in the order of its listings.
pub type FeedSymbol = u32;

/// A symbol as its feed announces it, before its first tick.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// Name, as [`crate::symbol::check_name`] allows.
    pub name: String,
    /// Prices of its ticks are `price × 10^price_exponent`.
    pub price_exponent: i8,
    /// Sizes and volumes of its ticks are `size × 10^size_exponent`.
    pub size_exponent: i8,
    /// Trading session, YYYYMMDD; 0 where the feed knows none.
    pub session_date: u32,
    /// Previous session's closing price at `price_exponent`; [`ABSENT`] where unknown.
    pub previous_close: i64,
    /// Least step between two prices at `price_exponent`, above 0; [`ABSENT`] where unknown. It is
    /// told to clients; no tick is held to it.
    pub tick_size: i64,
    /// What it stands for, in words.
    pub instrument: Instrument,
}

/// One event of one symbol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tick {
    /// Which symbol, in the feed's numbering.
    pub symbol: FeedSymbol,
    /// When the venue says it happened: nanoseconds since the Unix epoch, UTC, on the venue's
    /// clock; [`ABSENT`] where the venue gives none.
    pub event_time_ns: i64,
    /// What happened.
    pub body: TickBody,
}

/// The kinds of event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TickBody {
    /// A new best bid and offer.
    Quote(Quote),
    /// An execution.
    Trade(Trade),
    /// A trade that was cancelled or corrected afterwards.
    Correction(Correction),
    /// A halt, resumption, close or delisting.
    Status(StatusChange),
    /// A new trading session begins.
    Session(SessionStart),
}

/// Best bid and offer. A missing side has [`ABSENT`] as price and size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quote {
    /// Price buyers offer, scaled.
    pub bid_price: i64,
    /// Size at the bid, scaled.
    pub bid_size: i64,
    /// Price sellers ask, scaled.
    pub ask_price: i64,
    /// Size at the ask, scaled.
    pub ask_size: i64,
    /// The feed vouches for it no more (flag [`crate::entry::quote_flag::SUSPECT`]).
    pub suspect: bool,
}

/// An execution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trade {
    /// Scaled price.
    pub price: i64,
    /// Scaled size; never negative.
    pub size: i64,
    /// Bits of [`crate::entry::trade_flag`].
    pub flags: u8,
    /// The venue's number of the trade; [`ABSENT`] where it gives none.
    pub trade_id: i64,
}

/// A trade cancelled or corrected afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Correction {
    /// The venue's number of the trade that is corrected.
    pub trade_id: i64,
    /// What happened to it.
    pub what: CorrectionKind,
    /// The price that holds now; [`ABSENT`] for a cancel.
    pub price: i64,
    /// The size that holds now; [`ABSENT`] for a cancel.
    pub size: i64,
}

/// What a correction does. The discriminant is the wire's `what`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum CorrectionKind {
    /// The trade never was.
    Cancel = 1,
    /// Price and size were others.
    Correct = 2,
}

/// A symbol's trading status changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatusChange {
    /// What it is now.
    pub status: Status,
    /// Why, where the feed says.
    pub reason: Reason,
}

/// A new trading session of a symbol: its figures begin anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionStart {
    /// Its date, YYYYMMDD. One that is not after the symbol's current one changes nothing, so that
    /// a feed may say so more than once.
    pub session_date: u32,
    /// Closing price of the session before, scaled; [`ABSENT`]: the last price is taken for it.
    pub previous_close: i64,
}

/// Trading status of a symbol, or liveness of a feed. The discriminant is the wire's integer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Status {
    /// Open for trading.
    Trading = 1,
    /// Trading stopped for now.
    Halted = 2,
    /// The trading session is over.
    Closed = 3,
    /// Will not trade again.
    Delisted = 4,
    /// The feed delivers; only in a status entry without a symbol.
    Live = 10,
    /// The feed has a gap or is down; only in a status entry without a symbol.
    Stale = 11,
}

/// Why a status changed. The discriminant is the wire's integer; [`Reason::None`] is nil.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Reason {
    /// The feed gives no reason.
    None = 0,
    /// A regulator ordered it.
    Regulatory = 1,
    /// Price moved out of its band.
    Volatility = 2,
    /// News is pending or out.
    News = 3,
    /// Technical trouble at the venue.
    Technical = 4,
    /// The feed lost messages.
    Gap = 10,
    /// The feed gave no sign of life in time.
    Silent = 11,
    /// The feed's connection is down.
    Disconnected = 12,
    /// The feed came to its end (a recording that does not loop).
    Ended = 13,
}

impl Status {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Trading, Self::Halted, Self::Closed, Self::Delisted, Self::Live, Self::Stale];

    /// The name in JSON, logs and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Trading => "trading",
            Self::Halted => "halted",
            Self::Closed => "closed",
            Self::Delisted => "delisted",
            Self::Live => "live",
            Self::Stale => "stale",
        }
    }

    /// The status of a name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.name() == name)
    }

    /// The status of a wire integer.
    #[must_use]
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|status| *status as u8 == code)
    }
}

impl Reason {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::None,
        Self::Regulatory,
        Self::Volatility,
        Self::News,
        Self::Technical,
        Self::Gap,
        Self::Silent,
        Self::Disconnected,
        Self::Ended,
    ];

    /// The name in JSON, logs and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Regulatory => "regulatory",
            Self::Volatility => "volatility",
            Self::News => "news",
            Self::Technical => "technical",
            Self::Gap => "gap",
            Self::Silent => "silent",
            Self::Disconnected => "disconnected",
            Self::Ended => "ended",
        }
    }

    /// The reason of a name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.name() == name)
    }

    /// The reason of a wire integer.
    #[must_use]
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| *reason as u8 == code)
    }
}

/// What a feed hands over at once, in order: `epoch` first, then `listings`, then `ticks`.
///
/// Reused from call to call; a feed that fills it appends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// The feed began anew (a recording looped, a resync renumbered): every state before it is
    /// void. Listings made earlier stay.
    pub new_epoch: bool,
    /// Symbols announced; the n-th ever announced is [`FeedSymbol`] n.
    pub listings: Vec<Listing>,
    /// Events, oldest first.
    pub ticks: Vec<Tick>,
    /// The feed's clock after these: nanoseconds since the Unix epoch, UTC, on the scale of the
    /// events' times. Whatever comes later with an earlier time is late. Bars close by it;
    /// [`ABSENT`] where the feed has none, and then only by the trades that follow them.
    pub clock_ns: i64,
}

impl Default for Batch {
    fn default() -> Self {
        Self { new_epoch: false, listings: Vec::new(), ticks: Vec::new(), clock_ns: ABSENT }
    }
}

impl Listing {
    /// A listing that knows nothing but its scale.
    #[must_use]
    pub fn new(name: impl Into<String>, price_exponent: i8, size_exponent: i8) -> Self {
        Self {
            name: name.into(),
            price_exponent,
            size_exponent,
            session_date: 0,
            previous_close: ABSENT,
            tick_size: ABSENT,
            instrument: Instrument::default(),
        }
    }
}

impl Batch {
    /// Empties it, keeping its memory.
    pub fn clear(&mut self) {
        self.new_epoch = false;
        self.listings.clear();
        self.ticks.clear();
        self.clock_ns = ABSENT;
    }

    /// True when there is nothing in it, but perhaps a clock.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.new_epoch && self.listings.is_empty() && self.ticks.is_empty()
    }
}

impl Quote {
    /// A book with neither side.
    pub const EMPTY: Self = Self {
        bid_price: ABSENT,
        bid_size: ABSENT,
        ask_price: ABSENT,
        ask_size: ABSENT,
        suspect: false,
    };
}
