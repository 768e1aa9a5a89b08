//! From a command to a tree: what a client sends.

use std::borrow::Cow;

use super::Value;
use crate::{
    channel::Channels,
    command::{Command, Op, Subscribe},
    entry::{last_field, quote_field},
};

/// The map of a command; what is left out of it holds its default.
pub(crate) fn write_command(command: &Command) -> Value<'_> {
    let mut map = Map::new("op", op_name(&command.op));
    if let Some(id) = command.id {
        map.put("id", Value::Integer(id));
    }
    match &command.op {
        Op::Subscribe(subscribe) => write_subscribe(&mut map, subscribe),
        Op::Unsubscribe { symbols, channels } => {
            map.put("symbols", names(symbols));
            if *channels != Channels::EVERY {
                map.put("channels", channel_names(*channels));
            }
        }
        Op::Throttle { symbols, throttle_ms, max_bytes_per_second } => {
            map.put_some("symbols", symbols.as_deref().map(names));
            map.put_some("throttle_ms", throttle_ms.map(interval));
            let budget = max_bytes_per_second.map(|budget| Value::optional(budget, Value::count));
            map.put_some("max_bytes_per_second", budget);
        }
        Op::Credit { frames } => map.put("frames", Value::optional(*frames, Value::count)),
        Op::Ack { frame } => map.put("frame", Value::count(*frame)),
        Op::History { symbol, channel, before_s, limit } => {
            map.put("symbol", Value::text(symbol));
            map.put("channel", Value::text(channel));
            map.put_some("before_s", before_s.map(Value::Integer));
            map.put_some("limit", limit.map(Value::count));
        }
        Op::Symbols { prefix, after, limit } => {
            if !prefix.is_empty() {
                map.put("prefix", Value::text(prefix));
            }
            map.put_some("after", after.as_deref().map(Value::text));
            map.put_some("limit", limit.map(Value::count));
        }
        Op::Ping => {}
        Op::Auth { key, token } => {
            map.put_some("key", key.as_deref().map(Value::text));
            map.put_some("token", token.as_deref().map(Value::text));
        }
    }
    map.finish()
}

fn write_subscribe<'a>(map: &mut Map<'a>, subscribe: &'a Subscribe) {
    map.put("symbols", names(&subscribe.symbols));
    map.put_some("channels", subscribe.channels.map(channel_names));
    map.put_some("throttle_ms", subscribe.throttle_ms.map(interval));
    let quote = subscribe.quote_fields.map(|mask| field_names(mask, &quote_field::NAMES));
    let last = subscribe.last_fields.map(|mask| field_names(mask, &last_field::NAMES));
    if quote.is_some() || last.is_some() {
        let mut fields = Map::default();
        fields.put_some("quote", quote);
        fields.put_some("last", last);
        map.put("fields", fields.finish());
    }
    if subscribe.snapshot {
        map.put("snapshot", Value::Boolean(true));
    }
    if let Some(resume) = &subscribe.resume {
        let tapes = resume.trades.iter();
        let tapes = tapes.map(|(name, sequence)| (name.as_str().into(), Value::count(*sequence)));
        let mut fields = Map::default();
        fields.put("epoch", Value::count(resume.epoch));
        fields.put("trades", Value::Map(tapes.collect()));
        map.put("resume", fields.finish());
    }
}

fn op_name(op: &Op) -> &'static str {
    match op {
        Op::Subscribe(_) => "subscribe",
        Op::Unsubscribe { .. } => "unsubscribe",
        Op::Throttle { .. } => "throttle",
        Op::Credit { .. } => "credit",
        Op::Ack { .. } => "ack",
        Op::History { .. } => "history",
        Op::Symbols { .. } => "symbols",
        Op::Ping => "ping",
        Op::Auth { .. } => "auth",
    }
}

/// A map under construction, in the order of its keys on the wire.
#[derive(Default)]
pub(crate) struct Map<'a>(Vec<(Cow<'a, str>, Value<'a>)>);

impl<'a> Map<'a> {
    /// Begins with the key that says what the map is.
    pub(crate) fn new(key: &'static str, name: &'static str) -> Self {
        Self(vec![(key.into(), Value::text(name))])
    }

    pub(crate) fn put(&mut self, key: &'static str, value: Value<'a>) {
        self.0.push((key.into(), value));
    }

    /// Leaves the key out for `None`.
    pub(crate) fn put_some(&mut self, key: &'static str, value: Option<Value<'a>>) {
        if let Some(value) = value {
            self.put(key, value);
        }
    }

    pub(crate) fn finish(self) -> Value<'a> {
        Value::Map(self.0)
    }
}

pub(crate) fn names(names: &[String]) -> Value<'_> {
    Value::Array(names.iter().map(|name| Value::text(name)).collect())
}

pub(crate) fn channel_names(channels: Channels) -> Value<'static> {
    Value::Array(channels.iter().map(|channel| Value::text(channel.name())).collect())
}

pub(crate) fn field_names(mask: u8, known: &[&'static str]) -> Value<'static> {
    let chosen = known.iter().enumerate().filter(|(bit, _)| mask & (1 << bit) != 0);
    Value::Array(chosen.map(|(_, name)| Value::text(name)).collect())
}

fn interval(throttle_ms: Option<u32>) -> Value<'static> {
    Value::optional(throttle_ms, |throttle_ms| Value::Integer(throttle_ms.into()))
}
