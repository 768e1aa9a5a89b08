//! From a tree to a reply. Keys that are not known are ignored: that is how the protocol grows.

use super::{
    Value,
    map::{Map, count, integer, text},
    shorten,
    write_reply::BAR_KEYS,
};
use crate::{
    channel::{Channel, Channels},
    command::{ErrorCode, Refusal},
    decode::DecodeError,
    dialect::Dialect,
    entry::{BarEntry, last_field, quote_field},
    instrument::Instrument,
    json::decimal,
    number::{ABSENT, LIMIT, is_valid},
    reply::{Limits, Rejected, Reply, Resumed, SequenceSource, Subscribed, SymbolInfo, Welcome},
};

type Read<T> = Result<T, DecodeError>;

/// Reads a reply.
///
/// # Errors
/// [`DecodeError::UnknownReply`] for a `type` that is not known, otherwise what is wrong with it.
pub(crate) fn read_reply(value: &Value<'_>, dialect: Dialect) -> Read<Reply> {
    let map = Map::of("reply", value)?;
    let id = map.optional("id", |value| integer(value, -LIMIT, LIMIT))?;
    let reply = match map.text("type")?.as_str() {
        "welcome" => Reply::Welcome(read_welcome(&map)?),
        "subscribed" => Reply::Subscribed(read_subscribed(&map, id)?),
        "unsubscribed" => Reply::Unsubscribed {
            id,
            count: map.count("count")?,
            still_covered: map.list("still_covered", text)?,
            subscriptions: map.count("subscriptions")?,
        },
        "throttled" => Reply::Throttled {
            id,
            throttle_ms: map.small("throttle_ms")?,
            max_bytes_per_second: map.optional("max_bytes_per_second", count)?,
            count: map.count("count")?,
            rejected: map.list("rejected", read_rejected)?,
        },
        "credited" => {
            Reply::Credited { id, frames: map.optional("frames", count)?, from: map.count("from")? }
        }
        "history" => {
            let price_exponent = map.exponent("price_exponent")?;
            let size_exponent = map.exponent("size_exponent")?;
            Reply::History {
                id,
                symbol: map.text("symbol")?,
                channel: map.text("channel")?,
                price_exponent,
                size_exponent,
                bars: map.list("bars", |bar| read_bar(bar, price_exponent, size_exponent))?,
                more: map.boolean("more")?,
            }
        }
        "symbols" => Reply::Symbols {
            id,
            symbols: map.list("symbols", |symbol| read_symbol(symbol, dialect))?,
            more: map.boolean("more")?,
        },
        "pong" => Reply::Pong { id, time_us: map.time("time_us")? },
        "error" => Reply::Error(Refusal {
            code: map.required("code", code)?,
            message: map.text("message")?,
            field: map.optional("field", text)?,
            id,
        }),
        "draining" => Reply::Draining { reconnect_after_ms: map.count("reconnect_after_ms")? },
        unknown => return Err(DecodeError::UnknownReply { name: shorten(unknown).to_owned() }),
    };
    Ok(reply)
}

fn read_welcome(map: &Map<'_>) -> Read<Welcome> {
    let limits = map.map("limits")?;
    let sequence_source = match map.text("sequence_source")?.as_str() {
        "hub" => SequenceSource::Hub,
        "feed" => SequenceSource::Feed,
        _ => return Err(map.bad("sequence_source")),
    };
    Ok(Welcome {
        epoch: map.count("epoch")?,
        session: map.count("session")?,
        time_us: map.time("time_us")?,
        heartbeat_ms: map.count("heartbeat_ms")?,
        silence_limit_ms: map.count("silence_limit_ms")?,
        limits: Limits {
            subscriptions: limits.count("subscriptions")?,
            message_bytes: limits.count("message_bytes")?,
            frame_bytes: limits.count("frame_bytes")?,
            commands_per_second: limits.count("commands_per_second")?,
            throttle_intervals: limits.count("throttle_intervals")?,
            throttle_ms: limits.count("throttle_ms")?,
            history: limits.count("history")?,
            symbols: limits.count("symbols")?,
        },
        sequence_source,
    })
}

fn read_subscribed(map: &Map<'_>, id: Option<i64>) -> Read<Subscribed> {
    let fields = map.map("fields")?;
    let resumed = match map.get("resumed") {
        None | Some(Value::Nil) => None,
        Some(value) => {
            let resumed = Map::of("resumed", value)?;
            Some(Resumed { count: resumed.count("count")?, fresh: resumed.count("fresh")? })
        }
    };
    Ok(Subscribed {
        id,
        count: map.count("count")?,
        subscriptions: map.count("subscriptions")?,
        channels: known(&map.list("channels", text)?, &Channel::ALL, Channel::name)
            .collect::<Channels>(),
        throttle_ms: map.small("throttle_ms")?,
        quote_fields: selection(&fields.list("quote", text)?, &quote_field::NAMES),
        last_fields: selection(&fields.list("last", text)?, &last_field::NAMES),
        resumed,
        rejected: map.list("rejected", read_rejected)?,
    })
}

/// Those of `all` whose name is listed; names that are not known are ignored.
fn known<'a, T: Copy>(
    listed: &'a [String],
    all: &'a [T],
    name: impl Fn(T) -> &'static str + 'a,
) -> impl Iterator<Item = T> + 'a {
    all.iter().copied().filter(move |item| listed.iter().any(|listed| listed == name(*item)))
}

fn selection(listed: &[String], names: &[&'static str]) -> u8 {
    let bits = names.iter().enumerate().filter(|(_, name)| listed.iter().any(|l| l == *name));
    bits.fold(0, |mask, (bit, _)| mask | 1 << bit)
}

fn read_rejected(value: &Value<'_>) -> Option<Rejected> {
    let map = Map::of("rejected", value).ok()?;
    Some(Rejected { symbol: map.text("symbol").ok()?, code: map.required("code", code).ok()? })
}

/// An earlier gateway tells the name and the scale only.
fn read_symbol(value: &Value<'_>, dialect: Dialect) -> Option<SymbolInfo> {
    let map = Map::of("symbols", value).ok()?;
    let price_exponent = map.exponent("price_exponent").ok()?;
    let tick_size = map.optional("tick_size", |value| {
        let read = match dialect {
            Dialect::MessagePack => value.as_integer(),
            Dialect::Json => read_decimal(value, price_exponent),
        };
        read.filter(|field| is_valid(*field))
    });
    let word = |key| Some(map.optional(key, text).ok()?.map(String::into_boxed_str));
    Some(SymbolInfo {
        name: map.text("name").ok()?,
        price_exponent,
        size_exponent: map.exponent("size_exponent").ok()?,
        tick_size: tick_size.ok()?.unwrap_or(ABSENT),
        instrument: Instrument {
            description: word("description")?,
            venue: word("venue")?,
            currency: word("currency")?,
        },
    })
}

/// Scales are needed only where numbers are decimals: an array holds scaled integers.
fn read_bar(value: &Value<'_>, price: i8, size: i8) -> Option<BarEntry> {
    let positional = matches!(value, Value::Array(_));
    let number = |at: usize, exponent: i8| {
        let field = match value {
            Value::Array(fields) => fields.get(at),
            Value::Map(pairs) => {
                pairs.iter().find(|(key, _)| key == BAR_KEYS[at]).map(|(_, value)| value)
            }
            _ => None,
        };
        match field? {
            Value::Nil => Some(ABSENT),
            value if positional => integer(value, -LIMIT, LIMIT),
            value => read_decimal(value, exponent).filter(|field| is_valid(*field)),
        }
    };
    Some(BarEntry {
        id: 0,
        sequence: number(0, 0)?.try_into().ok()?,
        interval_s: number(1, 0)?.try_into().ok()?,
        start_s: number(2, 0)?,
        open: number(3, price)?,
        high: number(4, price)?,
        low: number(5, price)?,
        close: number(6, price)?,
        volume: number(7, size)?,
        vwap: number(8, price.saturating_sub(2))?,
        trade_count: number(9, 0)?,
        flags: number(10, 0)?.try_into().ok()?,
    })
}

/// A decimal number of JSON as the integer that stands for it at `exponent`.
pub(crate) fn read_decimal(value: &Value<'_>, exponent: i8) -> Option<i64> {
    match value {
        Value::Integer(number) => decimal::parse(itoa::Buffer::new().format(*number), exponent),
        Value::Number(digits) => decimal::parse(digits, exponent),
        _ => None,
    }
}

fn code(value: &Value<'_>) -> Option<ErrorCode> {
    let Value::Text(name) = value else { return None };
    ErrorCode::ALL.into_iter().find(|code| code.name() == name)
}
