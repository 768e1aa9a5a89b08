//! From a tree to a command, with every rule a command's fields obey.

use super::{
    Value,
    fields::{Fields, at_least_1, boolean, count, integer, names, refusal, text},
    shorten,
};
use crate::{
    channel::Channels,
    command::{Command, ErrorCode, Op, Refusal, Resume, Subscribe},
    entry::{last_field, quote_field},
    number::LIMIT,
};

/// Reads a command.
///
/// # Errors
/// The refusal to be sent. It carries the command's id wherever in the map that stood.
pub(crate) fn read_command(value: Value<'_>) -> Result<Command, Refusal> {
    let Value::Map(pairs) = value else {
        let message = format!("a command is one map, found {}", value.describe());
        return Err(refusal(ErrorCode::BadMessage, message, None));
    };
    let mut id = None;
    for (key, value) in &pairs {
        if let ("id", Value::Integer(number)) = (key.as_ref(), value)
            && (-LIMIT..=LIMIT).contains(number)
        {
            id = Some(*number);
        }
    }
    let read = || {
        let mut fields = Fields::new(String::new(), pairs)?;
        let _ = fields.optional("id", "an integer of magnitude at most 2^53 - 1", |value| {
            integer(value, -LIMIT, LIMIT)
        })?;
        read_op(fields)
    };
    match read() {
        Ok(op) => Ok(Command { id, op }),
        Err(refusal) => Err(Refusal { id, ..refusal }),
    }
}

fn read_op(mut fields: Fields<'_>) -> Result<Op, Refusal> {
    let name = fields.required("op", "the name of a command", text)?;
    let op = match name.as_str() {
        "subscribe" => Op::Subscribe(read_subscribe(&mut fields)?),
        "unsubscribe" => Op::Unsubscribe {
            symbols: fields.required("symbols", NAMES_RULE, names)?,
            channels: fields.channels()?.unwrap_or(Channels::EVERY),
        },
        "throttle" => read_throttle(&mut fields)?,
        "credit" => Op::Credit {
            frames: fields.optional("frames", "an integer of at least 1, or nil", at_least_1)?,
        },
        "ack" => Op::Ack {
            frame: fields.required("frame", "a frame sequence, an integer of at least 0", count)?,
        },
        "history" => Op::History {
            symbol: fields.required("symbol", "a symbol's name", text)?,
            channel: fields.required("channel", "a bar channel's name", text)?,
            before_s: fields.optional("before_s", "an integer, Unix seconds", |value| {
                integer(value, -LIMIT, LIMIT)
            })?,
            limit: fields.optional("limit", "an integer of at least 1", at_least_1)?,
        },
        "symbols" => Op::Symbols {
            prefix: fields.optional("prefix", "text", text)?.unwrap_or_default(),
            after: fields.optional("after", "text", text)?,
            limit: fields.optional("limit", "an integer of at least 1", at_least_1)?,
        },
        "ping" => Op::Ping,
        "auth" => {
            let key = fields.optional("key", "text", text)?;
            let token = fields.optional("token", "text", text)?;
            if key.is_some() == token.is_some() {
                return Err(fields.bad("key", "exactly one of key and token is required"));
            }
            Op::Auth { key, token }
        }
        unknown => {
            let message = format!("there is no op {:?}", shorten(unknown));
            return Err(refusal(ErrorCode::UnknownOp, message, Some("op".to_owned())));
        }
    };
    fields.finish(&name)?;
    Ok(op)
}

fn read_subscribe(fields: &mut Fields<'_>) -> Result<Subscribe, Refusal> {
    let mut subscribe = Subscribe {
        symbols: fields.required("symbols", NAMES_RULE, names)?,
        channels: fields.channels()?,
        throttle_ms: fields.throttle_ms()?,
        snapshot: fields.optional("snapshot", "true or false", boolean)?.unwrap_or(false),
        ..Subscribe::default()
    };
    if let Some(mut selection) = fields.map("fields")? {
        subscribe.quote_fields = selection.selection("quote", &quote_field::NAMES)?;
        subscribe.last_fields = selection.selection("last", &last_field::NAMES)?;
        selection.finish("subscribe")?;
    }
    if let Some(mut resume) = fields.map("resume")? {
        let epoch = resume.required("epoch", "an integer of at least 0", count)?;
        let rule = "a map of symbols to sequences of at least 0";
        let Some(tapes) = resume.map("trades")? else {
            return Err(resume.bad("trades", &format!("{rule} is required")));
        };
        let trades = tapes.into_sequences(rule)?;
        resume.finish("subscribe")?;
        subscribe.resume = Some(Resume { epoch, trades });
    }
    Ok(subscribe)
}

fn read_throttle(fields: &mut Fields<'_>) -> Result<Op, Refusal> {
    let rule = "an integer of at least 1, or nil";
    let op = Op::Throttle {
        symbols: fields.optional("symbols", NAMES_RULE, names)?,
        throttle_ms: fields.throttle_ms()?,
        max_bytes_per_second: fields.nullable("max_bytes_per_second", rule, at_least_1)?,
    };
    if matches!(op, Op::Throttle { throttle_ms: None, max_bytes_per_second: None, .. }) {
        let rule = "at least one of throttle_ms and max_bytes_per_second is required";
        return Err(fields.bad("throttle_ms", rule));
    }
    Ok(op)
}

const NAMES_RULE: &str = "an array of names";
