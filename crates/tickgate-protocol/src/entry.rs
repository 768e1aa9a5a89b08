//! The entries of a data frame, as values.
//!
//! Positions, kinds and masks are those of `docs/PROTOCOL.md`. A field that may be absent holds
//! [`crate::number::ABSENT`]. Entries borrow nothing but the names in a definition, so that the
//! hot path builds and copies them freely.

use crate::{
    bar::BarInterval,
    channel::Channel,
    definition::Definition,
    symbol::WireId,
    tick::{CorrectionKind, Reason, Status},
};

/// The kinds: first element of every entry in MessagePack.
pub mod kind {
    /// A symbol's definition.
    pub const DEFINITION: u8 = 1;
    /// Discard everything.
    pub const EPOCH: u8 = 2;
    /// A subscribe has been served in full.
    pub const READY: u8 = 3;
    /// Trading status, or the feed's liveness.
    pub const STATUS: u8 = 4;
    /// A full quote.
    pub const QUOTE: u8 = 10;
    /// What changed in a quote.
    pub const QUOTE_DELTA: u8 = 11;
    /// Full last-trade figures.
    pub const LAST: u8 = 12;
    /// What changed in the last-trade figures.
    pub const LAST_DELTA: u8 = 13;
    /// A trade.
    pub const TRADE: u8 = 20;
    /// A cancel or correction.
    pub const TRADE_CORRECTION: u8 = 21;
    /// Where the tape was joined.
    pub const TRADES_JOINED: u8 = 22;
    /// A lost range of the tape.
    pub const TRADES_LOST: u8 = 23;
    /// A bar.
    pub const BAR: u8 = 30;
}

/// Fields of a quote, in wire order; the index is the bit in a delta's mask.
pub mod quote_field {
    /// Price buyers offer.
    pub const BID_PRICE: usize = 0;
    /// Size at the bid.
    pub const BID_SIZE: usize = 1;
    /// Price sellers ask.
    pub const ASK_PRICE: usize = 2;
    /// Size at the ask.
    pub const ASK_SIZE: usize = 3;
    /// Bits of [`super::quote_flag`].
    pub const FLAGS: usize = 4;
    /// How many there are.
    pub const COUNT: usize = 5;
    /// Their names in JSON and in `fields`.
    pub const NAMES: [&str; COUNT] = ["bid_price", "bid_size", "ask_price", "ask_size", "flags"];
}

/// Fields of the last-trade figures, in wire order; the index is the bit in a delta's mask.
pub mod last_field {
    /// Price of the last eligible trade.
    pub const PRICE: usize = 0;
    /// Size of the last eligible trade.
    pub const SIZE: usize = 1;
    /// Volume of the trading session.
    pub const VOLUME: usize = 2;
    /// Trades of the trading session.
    pub const TRADE_COUNT: usize = 3;
    /// Highest eligible price of the trading session.
    pub const HIGH: usize = 4;
    /// Lowest eligible price of the trading session.
    pub const LOW: usize = 5;
    /// First eligible price of the trading session.
    pub const OPEN: usize = 6;
    /// Bits of [`super::trade_flag`], of the last eligible trade.
    pub const FLAGS: usize = 7;
    /// How many there are.
    pub const COUNT: usize = 8;
    /// Their names in JSON and in `fields`.
    pub const NAMES: [&str; COUNT] =
        ["price", "size", "volume", "trade_count", "high", "low", "open", "flags"];
}

/// Flags of a quote.
pub mod quote_flag {
    /// The bid is above the ask.
    pub const CROSSED: u8 = 1;
    /// The bid equals the ask.
    pub const LOCKED: u8 = 2;
    /// The feed does not vouch for it (a gap, a feed gone stale).
    pub const SUSPECT: u8 = 4;
}

/// Flags of a trade and of the last-trade figures.
pub mod trade_flag {
    /// Counts in volume, not in open, high, low or last.
    pub const NOT_ELIGIBLE: u8 = 1;
    /// Reported out of order: counts in volume, high and low, is not the last trade.
    pub const LATE: u8 = 2;
    /// The seller took liquidity.
    pub const SELLER_INITIATED: u8 = 4;
    /// The buyer took liquidity.
    pub const BUYER_INITIATED: u8 = 8;
}

/// Flags of a bar.
pub mod bar_flag {
    /// Its interval is over.
    pub const CLOSED: u8 = 1;
    /// A late trade or a correction changed it after it was closed.
    pub const REVISED: u8 = 2;
    /// A trade of it was cancelled or corrected when not all of its trades could be looked at any
    /// more: open, high, low or close may still be that trade's. Volume, vwap and count are exact.
    pub const INEXACT: u8 = 4;
    /// Closed bars or revisions before this one were not sent to this client, and the gateway no
    /// longer has them: ask for the history.
    pub const LOST: u8 = 8;
}

/// Why a frame, or some of what is in it, left later than was asked; a bit mask, 0 is on time.
pub mod cause {
    /// The client's socket was full.
    pub const SOCKET: u8 = 1;
    /// Its byte budget was used up.
    pub const BUDGET: u8 = 2;
    /// Its credit was used up.
    pub const CREDIT: u8 = 4;
    /// The gateway was late.
    pub const LOAD: u8 = 8;
}

/// The five fields of a quote.
pub type QuoteFields = [i64; quote_field::COUNT];
/// The eight last-trade figures.
pub type LastFields = [i64; last_field::COUNT];

/// One entry of a data frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// Kind 1.
    Definition(Definition),
    /// Kind 2: discard everything; definitions and full states follow.
    Epoch {
        /// An integer that rises.
        epoch: u64,
    },
    /// Kind 3: all that existed at a subscribe has been sent in full.
    Ready {
        /// The command's `id`, where it had one.
        command_id: Option<i64>,
    },
    /// Kind 4: a symbol's trading status, or the feed's liveness.
    Status(StatusEntry),
    /// Kinds 10 and 11.
    Quote(StateEntry<{ quote_field::COUNT }>),
    /// Kinds 12 and 13.
    Last(StateEntry<{ last_field::COUNT }>),
    /// Kind 20.
    Trade(TradeEntry),
    /// Kind 21.
    TradeCorrection(CorrectionEntry),
    /// Kind 22: where the tape stood when the subscription began or resumed.
    TradesJoined {
        /// The symbol.
        id: WireId,
        /// The tape's head then; trades follow from the next one.
        sequence: u64,
        /// The session's volume at that head; absent when resumed.
        volume: i64,
    },
    /// Kind 23: sequences of the tape that this client will never get.
    TradesLost(LostEntry),
    /// Kind 30.
    Bar(BarEntry),
}

impl Entry {
    /// The symbol it is about, where it is about one; a definition is about the id it defines.
    #[must_use]
    pub fn id(&self) -> Option<WireId> {
        match self {
            Self::Definition(definition) => Some(definition.id),
            Self::Epoch { .. } | Self::Ready { .. } => None,
            Self::Status(status) => status.id,
            Self::Quote(quote) => Some(quote.id),
            Self::Last(last) => Some(last.id),
            Self::Trade(trade) => Some(trade.id),
            Self::TradeCorrection(correction) => Some(correction.id),
            Self::TradesJoined { id, .. } => Some(*id),
            Self::TradesLost(lost) => Some(lost.id),
            Self::Bar(bar) => Some(bar.id),
        }
    }

    /// The channel it belongs to; `None` for definitions, statuses, bars of a length that has no
    /// channel, and what is about no symbol.
    #[must_use]
    pub fn channel(&self) -> Option<Channel> {
        match self {
            Self::Quote(_) => Some(Channel::Quote),
            Self::Last(_) => Some(Channel::Last),
            Self::Trade(_)
            | Self::TradeCorrection(_)
            | Self::TradesJoined { .. }
            | Self::TradesLost(_) => Some(Channel::Trade),
            Self::Bar(bar) => BarInterval::from_seconds(bar.interval_s).map(Channel::Bar),
            Self::Definition(_) | Self::Epoch { .. } | Self::Ready { .. } | Self::Status(_) => None,
        }
    }
}

/// A symbol's trading status, or the feed's liveness.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatusEntry {
    /// The symbol, or `None` for the feed.
    pub id: Option<WireId>,
    /// Rises by one for each change.
    pub status_sequence: u64,
    /// What it is now.
    pub status: Status,
    /// Why.
    pub reason: Reason,
    /// Age in microseconds, signed; absent where the venue gives no time.
    pub age_us: i64,
}

/// Full state of a channel, or what changed in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StateEntry<const N: usize> {
    /// The symbol.
    pub id: WireId,
    /// Full with the sequence it has, or a delta with the sequences it advances.
    pub step: Step,
    /// Age in microseconds, signed; absent where the venue gives no time.
    pub age_us: i64,
    /// Which fields are meaningful, first field in bit 0. A full entry carries all positions;
    /// those outside the mask (not selected) are nil on the wire and [`crate::number::ABSENT`] here.
    pub mask: u8,
    /// The values; positions outside the mask hold [`crate::number::ABSENT`].
    pub fields: [i64; N],
}

/// How a state entry relates to the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The whole state, at this sequence (0: no state yet).
    Full {
        /// Absolute sequence.
        sequence: u64,
    },
    /// What changed, `advance` sequences after the entry before it.
    Delta {
        /// At least 1; `advance − 1` updates were merged.
        advance: u64,
    },
}

/// A trade on the tape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TradeEntry {
    /// The symbol.
    pub id: WireId,
    /// Place on the tape.
    pub sequence: u64,
    /// Age in microseconds, signed; absent where the venue gives no time.
    pub age_us: i64,
    /// Scaled price.
    pub price: i64,
    /// Scaled size.
    pub size: i64,
    /// Bits of [`trade_flag`].
    pub flags: u8,
    /// The venue's number of it, where it gives one.
    pub trade_id: i64,
}

/// A cancel or correction on the tape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CorrectionEntry {
    /// The symbol.
    pub id: WireId,
    /// Place on the tape.
    pub sequence: u64,
    /// Age in microseconds, signed; absent where the venue gives no time.
    pub age_us: i64,
    /// Sequence of the trade that is corrected; absent when it has left the tape.
    pub corrects: i64,
    /// What happened to it.
    pub what: CorrectionKind,
    /// The price that holds now.
    pub price: i64,
    /// The size that holds now.
    pub size: i64,
}

/// A range of the tape that was lost, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LostEntry {
    /// The symbol.
    pub id: WireId,
    /// First lost sequence; absent where the feed cannot tell.
    pub from: i64,
    /// Last lost sequence; absent where the feed cannot tell.
    pub to: i64,
    /// Sum of the lost sizes, where known.
    pub size: i64,
    /// Who lost it.
    pub origin: LostOrigin,
}

/// Who lost trades. The discriminant is the wire's `origin`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum LostOrigin {
    /// This connection lagged behind the tape.
    Connection = 0,
    /// The feed has a hole.
    Feed = 1,
}

/// A bar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BarEntry {
    /// The symbol.
    pub id: WireId,
    /// Sequence of the symbol's bar channel.
    pub sequence: u64,
    /// Length of the interval in seconds.
    pub interval_s: u32,
    /// Start of the interval, seconds since the Unix epoch, UTC.
    pub start_s: i64,
    /// First eligible price.
    pub open: i64,
    /// Highest eligible price.
    pub high: i64,
    /// Lowest eligible price.
    pub low: i64,
    /// Last eligible price.
    pub close: i64,
    /// Sum of sizes.
    pub volume: i64,
    /// Volume-weighted average price with two more decimals than prices, half to even.
    pub vwap: i64,
    /// Trades.
    pub trade_count: i64,
    /// Bits of [`bar_flag`].
    pub flags: u8,
}

/// A whole data frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Rises by one for each frame of a connection, from 1.
    pub sequence: u64,
    /// Unix time, microseconds, UTC, of the engine tick that formed it.
    pub sent_at_us: i64,
    /// Bits of [`cause`].
    pub cause: u8,
    /// What it carries; empty in a heartbeat.
    pub entries: Vec<Entry>,
}
