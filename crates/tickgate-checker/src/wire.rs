//! What the wire carries: channels, frames and entries as values, and messages of either dialect.

use crate::{json, msgpack, record::Record, rule::Fault, value::Value};

/// Which encoding a connection speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// `tickgate.v1.msgpack`, binary messages.
    MessagePack,
    /// `tickgate.v1.json`, text messages.
    Json,
}

/// A channel with sequences of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Channel {
    /// Best bid and offer.
    Quote,
    /// Last-trade figures.
    Last,
    /// The tape.
    Trade,
    /// Bars of a second.
    Bar1s,
    /// Bars of a minute.
    Bar1m,
    /// Bars of a day.
    Bar1d,
}

impl Channel {
    /// Quote, last and trade.
    pub const ALL: [Self; 3] = [Self::Quote, Self::Last, Self::Trade];
    /// The channels of bars.
    pub const BARS: [Self; 3] = [Self::Bar1s, Self::Bar1m, Self::Bar1d];
    /// All of them: what `unsubscribe` ends where it names none.
    pub const EVERY: [Self; 6] =
        [Self::Quote, Self::Last, Self::Trade, Self::Bar1s, Self::Bar1m, Self::Bar1d];

    /// The name on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Quote => "quote",
            Self::Last => "last",
            Self::Trade => "trade",
            Self::Bar1s => "bar.1s",
            Self::Bar1m => "bar.1m",
            Self::Bar1d => "bar.1d",
        }
    }

    /// Seconds of its bars; `None` for what is no channel of bars.
    #[must_use]
    pub const fn bar_length_s(self) -> Option<i64> {
        match self {
            Self::Quote | Self::Last | Self::Trade => None,
            Self::Bar1s => Some(1),
            Self::Bar1m => Some(60),
            Self::Bar1d => Some(86_400),
        }
    }

    /// Its fields in wire order, with their units; empty for the tape and for bars.
    #[must_use]
    pub const fn fields(self) -> &'static [(&'static str, Unit)] {
        match self {
            Self::Quote => &QUOTE,
            Self::Last => &LAST,
            Self::Trade | Self::Bar1s | Self::Bar1m | Self::Bar1d => &[],
        }
    }
}

/// How a number is scaled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Not at all.
    Plain,
    /// By the price exponent.
    Price,
    /// By the size exponent.
    Size,
    /// By two digits more than the price exponent.
    Vwap,
}

const QUOTE: [(&str, Unit); 5] = [
    ("bid_price", Unit::Price),
    ("bid_size", Unit::Size),
    ("ask_price", Unit::Price),
    ("ask_size", Unit::Size),
    ("flags", Unit::Plain),
];

const LAST: [(&str, Unit); 8] = [
    ("price", Unit::Price),
    ("size", Unit::Size),
    ("volume", Unit::Size),
    ("trade_count", Unit::Plain),
    ("high", Unit::Price),
    ("low", Unit::Price),
    ("open", Unit::Price),
    ("flags", Unit::Plain),
];
/// A definition as told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Definition {
    /// The id; in JSON, where symbols go by name, whatever [`Scales`] says.
    pub id: u32,
    /// The symbol's name.
    pub name: String,
    /// Prices are `field × 10^price_exponent`.
    pub price_exponent: i32,
    /// Sizes and volumes are `field × 10^size_exponent`.
    pub size_exponent: i32,
    /// YYYYMMDD.
    pub session_date: Option<i64>,
    /// Scaled price.
    pub previous_close: Option<i64>,
    /// Status integer.
    pub status: i64,
    /// How many changes led to it.
    pub status_sequence: u64,
    /// Least step between two prices, scaled.
    pub tick_size: Option<i64>,
}

/// Absolute or relative sequence of a state entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The whole state at this sequence.
    Full(u64),
    /// This many sequences after the entry before.
    Delta(u64),
}

/// The fields of a state channel; positions it does not have are `None`.
pub type Fields = [Option<i64>; 8];

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are those of the wire's table, by the same names")]
pub enum Entry {
    Definition(Definition),
    Epoch { epoch: u64 },
    Ready { command_id: Option<i64> },
    Status { id: Option<u32>, sequence: u64, status: i64, reason: Option<i64>, age_us: Option<i64> },
    State { channel: Channel, id: u32, step: Step, age_us: Option<i64>, mask: u16, fields: Fields },
    Trade { id: u32, sequence: u64, age_us: Option<i64>, trade: TapeEvent },
    Joined { id: u32, sequence: u64, volume: Option<i64> },
    Lost { id: u32, from: Option<u64>, to: Option<u64>, size: Option<i64>, origin: i64 },
    Bar { id: u32, sequence: u64, channel: Channel, bar: Bar },
}

/// A bar, less what places it: prices and sums scaled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bar {
    /// Where its interval begins, Unix seconds.
    pub start_s: i64,
    /// Open, high, low and close.
    pub prices: [Option<i64>; 4],
    /// Sum of sizes.
    pub volume: Option<i64>,
    /// Volume-weighted average price, with two more decimals than prices.
    pub vwap: Option<i64>,
    /// Trades in it.
    pub trade_count: i64,
    /// Flag bits: 1 closed, 2 revised, 4 inexact; in an entry also 8, lost.
    pub flags: i64,
}

/// What stands at one sequence of the tape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TapeEvent {
    /// An execution.
    Trade {
        /// Scaled price.
        price: Option<i64>,
        /// Scaled size.
        size: Option<i64>,
        /// Flag bits.
        flags: i64,
        /// The venue's number.
        trade_id: Option<i64>,
    },
    /// A cancel or correction.
    Correction {
        /// Sequence of the trade it concerns; `None` when that has left the tape.
        corrects: Option<i64>,
        /// 1 cancel, 2 correct.
        what: i64,
        /// Scaled price that holds now.
        price: Option<i64>,
        /// Scaled size that holds now.
        size: Option<i64>,
    },
}

/// What a symbol's name or id stands for at this place in the stream.
pub trait Scales {
    /// Price and size exponent of an id.
    fn exponents(&self, id: u32) -> Option<(i32, i32)>;
    /// The id a JSON client's symbol has now.
    fn id(&self, name: &str) -> Option<u32>;
    /// The id that a JSON definition without an id introduces.
    fn introduce(&self, name: &str, price_exponent: i32, size_exponent: i32) -> Option<u32>;
}

/// A frame whose entries have not been read yet: each needs the definitions before it.
#[derive(Debug, Clone, PartialEq)]
pub struct RawFrame {
    /// Frame sequence.
    pub sequence: u64,
    /// Unix time of the tick that formed it, microseconds.
    pub sent_at_us: i64,
    /// Cause bits.
    pub cause: u64,
    /// Undecoded entries.
    pub entries: Vec<Value>,
}

/// A message from the gateway.
#[derive(Debug, Clone, PartialEq)]
pub enum Incoming {
    /// A data frame.
    Frame(RawFrame),
    /// A reply: a map with its kind.
    Reply(String, Value),
}

/// Reads one message.
///
/// # Errors
/// The rule it breaks, [`crate::Rule::Decode`] or [`crate::Rule::Number`].
pub fn decode(dialect: Dialect, payload: &[u8]) -> Result<Incoming, Fault> {
    let value = match dialect {
        Dialect::MessagePack => msgpack::decode(payload)?,
        Dialect::Json => json::decode(payload)?,
    };
    if let Value::Array(parts) = &value {
        let [kind, sequence, sent_at_us, cause, Value::Array(entries)] = &parts[..] else {
            return Err(Fault::decode("a frame is [1, sequence, sent_at_us, cause, entries]"));
        };
        if *kind != Value::Int(1) {
            return Err(Fault::decode(format!("an array of kind {kind:?} is no data frame")));
        }
        return frame(sequence, sent_at_us, cause, entries);
    }
    let kind = value.get("type").and_then(Value::text);
    let kind = kind.ok_or_else(|| Fault::decode("a map without a type"))?.to_owned();
    if dialect == Dialect::Json && kind == "frame" {
        let field = |name: &str| {
            value.get(name).ok_or_else(|| Fault::decode(format!("a frame without {name}")))
        };
        let Value::Array(entries) = field("entries")? else {
            return Err(Fault::decode("entries is no array"));
        };
        return frame(field("sequence")?, field("sent_at_us")?, field("cause")?, entries);
    }
    Ok(Incoming::Reply(kind, value))
}

fn frame(
    sequence: &Value,
    sent_at_us: &Value,
    cause: &Value,
    entries: &[Value],
) -> Result<Incoming, Fault> {
    Ok(Incoming::Frame(RawFrame {
        sequence: unsigned(sequence.number(0)?, "sequence")?,
        sent_at_us: present(sent_at_us.number(0)?, "sent_at_us")?,
        cause: unsigned(cause.number(0)?, "cause")?,
        entries: entries.to_vec(),
    }))
}

/// Reads one entry, with the definitions before it.
///
/// # Errors
/// [`crate::Rule::Decode`] for a kind or a field the wire does not have or one it misses,
/// [`crate::Rule::Number`] for a number out of range, [`crate::Rule::Definition`] for a JSON symbol that was
/// not defined.
pub fn entry(dialect: Dialect, value: &Value, scales: &dyn Scales) -> Result<Entry, Fault> {
    let record = match dialect {
        Dialect::MessagePack => Record::from_array(value)?,
        Dialect::Json => Record::from_object(value, scales)?,
    };
    record.entry(scales)
}

pub(crate) fn present(number: Option<i64>, name: &str) -> Result<i64, Fault> {
    number.ok_or_else(|| Fault::decode(format!("{name} is nil")))
}

pub(crate) fn unsigned(number: Option<i64>, name: &str) -> Result<u64, Fault> {
    u64::try_from(present(number, name)?).map_err(|_| Fault::decode(format!("{name} is negative")))
}
