//! From a reply to a tree: what the gateway answers.
//!
//! Every key of a reply is always there, nil where it has no value; only `id` is left out when
//! the command had none.

use super::{
    Value,
    write_command::{Map, channel_names, field_names, names},
};
use crate::{
    command::Refusal,
    dialect::Dialect,
    entry::{BarEntry, last_field, quote_field},
    instrument::Instrument,
    json::decimal,
    number::ABSENT,
    reply::{Limits, Rejected, Reply, SequenceSource, Subscribed, SymbolInfo, Welcome},
};

/// The map of a reply. The dialect matters only for numbers with a scale, the bars of `history` and
/// the tick sizes of `symbols`: scaled integers in MessagePack, plain decimals in JSON.
pub(crate) fn write_reply(reply: &Reply, dialect: Dialect) -> Value<'_> {
    match reply {
        Reply::Welcome(welcome) => write_welcome(welcome),
        Reply::Subscribed(subscribed) => write_subscribed(subscribed),
        Reply::Unsubscribed { id, count, still_covered, subscriptions } => {
            let mut map = answer("unsubscribed", *id);
            map.put("count", Value::count(*count));
            map.put("still_covered", names(still_covered));
            map.put("subscriptions", Value::count(*subscriptions));
            map.finish()
        }
        Reply::Throttled { id, throttle_ms, max_bytes_per_second, count, rejected } => {
            let mut map = answer("throttled", *id);
            map.put("throttle_ms", Value::Integer((*throttle_ms).into()));
            let budget = Value::optional(*max_bytes_per_second, Value::count);
            map.put("max_bytes_per_second", budget);
            map.put("count", Value::count(*count));
            map.put("rejected", write_rejected(rejected));
            map.finish()
        }
        Reply::Credited { id, frames, from } => {
            let mut map = answer("credited", *id);
            map.put("frames", Value::optional(*frames, Value::count));
            map.put("from", Value::count(*from));
            map.finish()
        }
        Reply::History { id, symbol, channel, price_exponent, size_exponent, bars, more } => {
            let mut map = answer("history", *id);
            map.put("symbol", Value::text(symbol));
            map.put("channel", Value::text(channel));
            map.put("price_exponent", Value::Integer((*price_exponent).into()));
            map.put("size_exponent", Value::Integer((*size_exponent).into()));
            let exponents = (*price_exponent, *size_exponent);
            let bars = bars.iter().map(|bar| write_bar(bar, dialect, exponents)).collect();
            map.put("bars", Value::Array(bars));
            map.put("more", Value::Boolean(*more));
            map.finish()
        }
        Reply::Symbols { id, symbols, more } => {
            let mut map = answer("symbols", *id);
            map.put(
                "symbols",
                Value::Array(symbols.iter().map(|symbol| write_symbol(symbol, dialect)).collect()),
            );
            map.put("more", Value::Boolean(*more));
            map.finish()
        }
        Reply::Pong { id, time_us } => {
            let mut map = answer("pong", *id);
            map.put("time_us", Value::Integer(*time_us));
            map.finish()
        }
        Reply::Error(refusal) => write_error(refusal),
        Reply::Draining { reconnect_after_ms } => {
            let mut map = answer("draining", None);
            map.put("reconnect_after_ms", Value::count(*reconnect_after_ms));
            map.finish()
        }
    }
}

fn answer(name: &'static str, id: Option<i64>) -> Map<'static> {
    let mut map = Map::new("type", name);
    map.put_some("id", id.map(Value::Integer));
    map
}

fn write_welcome(welcome: &Welcome) -> Value<'_> {
    let mut map = answer("welcome", None);
    map.put("epoch", Value::count(welcome.epoch));
    map.put("session", Value::count(welcome.session));
    map.put("time_us", Value::Integer(welcome.time_us));
    map.put("heartbeat_ms", Value::count(welcome.heartbeat_ms));
    map.put("silence_limit_ms", Value::count(welcome.silence_limit_ms));
    map.put("limits", write_limits(&welcome.limits));
    map.put("sequence_source", Value::text(welcome.sequence_source.name()));
    map.finish()
}

fn write_limits(limits: &Limits) -> Value<'static> {
    let mut map = Map::default();
    map.put("subscriptions", Value::count(limits.subscriptions));
    map.put("message_bytes", Value::count(limits.message_bytes));
    map.put("frame_bytes", Value::count(limits.frame_bytes));
    map.put("commands_per_second", Value::count(limits.commands_per_second));
    map.put("throttle_intervals", Value::count(limits.throttle_intervals));
    map.put("throttle_ms", Value::count(limits.throttle_ms));
    map.put("history", Value::count(limits.history));
    map.put("symbols", Value::count(limits.symbols));
    map.finish()
}

fn write_subscribed(subscribed: &Subscribed) -> Value<'_> {
    let mut map = answer("subscribed", subscribed.id);
    map.put("count", Value::count(subscribed.count));
    map.put("subscriptions", Value::count(subscribed.subscriptions));
    map.put("channels", channel_names(subscribed.channels));
    map.put("throttle_ms", Value::Integer(subscribed.throttle_ms.into()));
    let mut fields = Map::default();
    fields.put("quote", field_names(subscribed.quote_fields, &quote_field::NAMES));
    fields.put("last", field_names(subscribed.last_fields, &last_field::NAMES));
    map.put("fields", fields.finish());
    let resumed = Value::optional(subscribed.resumed, |resumed| {
        let mut map = Map::default();
        map.put("count", Value::count(resumed.count));
        map.put("fresh", Value::count(resumed.fresh));
        map.finish()
    });
    map.put("resumed", resumed);
    map.put("rejected", write_rejected(&subscribed.rejected));
    map.finish()
}

fn write_rejected(rejected: &[Rejected]) -> Value<'_> {
    Value::Array(rejected.iter().map(write_rejection).collect())
}

fn write_rejection(rejected: &Rejected) -> Value<'_> {
    let symbol = ("symbol".into(), Value::text(&rejected.symbol));
    Value::Map(vec![symbol, ("code".into(), Value::text(rejected.code.name()))])
}

fn write_symbol(symbol: &SymbolInfo, dialect: Dialect) -> Value<'_> {
    let Instrument { description, venue, currency } = &symbol.instrument;
    let mut map = Map::default();
    map.put("name", Value::text(&symbol.name));
    map.put("price_exponent", Value::Integer(symbol.price_exponent.into()));
    map.put("size_exponent", Value::Integer(symbol.size_exponent.into()));
    map.put("tick_size", scaled(symbol.tick_size, symbol.price_exponent, dialect));
    map.put("description", Value::optional(description.as_deref(), Value::text));
    map.put("venue", Value::optional(venue.as_deref(), Value::text));
    map.put("currency", Value::optional(currency.as_deref(), Value::text));
    map.finish()
}

fn write_error(refusal: &Refusal) -> Value<'_> {
    let mut map = answer("error", refusal.id);
    map.put("code", Value::text(refusal.code.name()));
    map.put("message", Value::text(&refusal.message));
    map.put("field", Value::optional(refusal.field.as_deref(), Value::text));
    map.finish()
}

/// Keys of a bar in `history`, in the order of the positions of the MessagePack array.
pub(crate) const BAR_KEYS: [&str; 11] = [
    "sequence",
    "interval_s",
    "start_s",
    "open",
    "high",
    "low",
    "close",
    "volume",
    "vwap",
    "trade_count",
    "flags",
];

fn write_bar(bar: &BarEntry, dialect: Dialect, (price, size): (i8, i8)) -> Value<'static> {
    let fields = [
        (i64::try_from(bar.sequence).unwrap_or(i64::MAX), 0),
        (bar.interval_s.into(), 0),
        (bar.start_s, 0),
        (bar.open, price),
        (bar.high, price),
        (bar.low, price),
        (bar.close, price),
        (bar.volume, size),
        (bar.vwap, price.saturating_sub(2)),
        (bar.trade_count, 0),
        (bar.flags.into(), 0),
    ];
    let number = |(field, exponent): (i64, i8)| scaled(field, exponent, dialect);
    match dialect {
        Dialect::MessagePack => Value::Array(fields.into_iter().map(number).collect()),
        Dialect::Json => {
            let keys = BAR_KEYS.into_iter().map(Into::into);
            Value::Map(keys.zip(fields.into_iter().map(number)).collect())
        }
    }
}

/// A number of a scale, or nil.
fn scaled(field: i64, exponent: i8, dialect: Dialect) -> Value<'static> {
    match field {
        ABSENT => Value::Nil,
        _ if dialect == Dialect::Json && exponent != 0 => {
            Value::Number(decimal::to_text(field, exponent).into())
        }
        _ => Value::Integer(field),
    }
}

impl SequenceSource {
    /// The name on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hub => "hub",
            Self::Feed => "feed",
        }
    }
}
