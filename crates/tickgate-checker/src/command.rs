//! What a scripted client says: one value both writes the bytes and tells the checker.

use crate::{
    json, msgpack,
    value::Value,
    websocket::{self, Opcode},
    wire::{Channel, Dialect},
};

/// A command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// `subscribe`.
    Subscribe(Subscribe),
    /// `unsubscribe`.
    Unsubscribe {
        /// Echoed.
        id: Option<i64>,
        /// Names, or `*`.
        symbols: Vec<String>,
        /// Omitted (all) when `None`.
        channels: Option<Vec<Channel>>,
    },
    /// `throttle`.
    Throttle {
        /// Echoed.
        id: Option<i64>,
        /// The connection's when `None`.
        symbols: Option<Vec<String>>,
        /// Omitted when `None`; `Some(None)` is nil: inherit again.
        throttle_ms: Option<Option<u64>>,
        /// Omitted when `None`; `Some(None)` is nil: no budget.
        max_bytes_per_second: Option<Option<u64>>,
    },
    /// `credit`; nil turns it off.
    Credit {
        /// Echoed.
        id: Option<i64>,
        /// At most this many data frames unacknowledged.
        frames: Option<u64>,
    },
    /// `ack`, which is not answered.
    Ack {
        /// Frame sequence.
        frame: u64,
    },
    /// `ping`.
    Ping {
        /// Echoed.
        id: Option<i64>,
    },
    /// `symbols`, a page of the directory.
    Symbols {
        /// Echoed.
        id: Option<i64>,
        /// Names that begin so.
        prefix: String,
    },
    /// Any other map or message, which is answered with an error.
    Refused {
        /// Echoed where the gateway can read it.
        id: Option<i64>,
        /// The message, sent as it is.
        message: Vec<u8>,
    },
}

/// The fields of `subscribe`; those that are `None` or false are omitted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Subscribe {
    /// Echoed in `subscribed` and `ready`.
    pub id: Option<i64>,
    /// Names, or `*`.
    pub symbols: Vec<String>,
    /// Channels.
    pub channels: Option<Vec<Channel>>,
    /// `Some(None)` is nil: inherit again.
    pub throttle_ms: Option<Option<u64>>,
    /// Selected fields of quotes, by name.
    pub quote_fields: Option<Vec<String>>,
    /// Selected fields of last-trade figures, by name.
    pub last_fields: Option<Vec<String>>,
    /// Full state again.
    pub snapshot: bool,
    /// Epoch, and the last sequence of each symbol's tape.
    pub resume: Option<(u64, Vec<(String, u64)>)>,
}

impl Command {
    /// The message's payload.
    #[must_use]
    pub fn payload(&self, dialect: Dialect) -> Vec<u8> {
        if let Self::Refused { message, .. } = self {
            return message.clone();
        }
        let value = Value::Map(self.members());
        match dialect {
            Dialect::MessagePack => {
                let mut out = Vec::new();
                msgpack::encode(&mut out, &value);
                out
            }
            Dialect::Json => {
                let mut out = String::new();
                json::encode(&mut out, &value);
                out.into_bytes()
            }
        }
    }

    /// The whole masked WebSocket frame.
    #[must_use]
    pub fn bytes(&self, dialect: Dialect, mask: [u8; 4]) -> Vec<u8> {
        let mut out = Vec::new();
        websocket::write_client(&mut out, opcode(dialect), &self.payload(dialect), mask);
        out
    }

    /// The message in fragments, each a frame of its own; control frames may go between them.
    #[must_use]
    pub fn fragments(&self, dialect: Dialect, pieces: usize, mask: [u8; 4]) -> Vec<Vec<u8>> {
        websocket::client_fragments(opcode(dialect), &self.payload(dialect), pieces, mask)
    }

    /// The id a reply to it echoes.
    #[must_use]
    pub fn id(&self) -> Option<i64> {
        match self {
            Self::Subscribe(subscribe) => subscribe.id,
            Self::Unsubscribe { id, .. }
            | Self::Throttle { id, .. }
            | Self::Credit { id, .. }
            | Self::Ping { id }
            | Self::Symbols { id, .. }
            | Self::Refused { id, .. } => *id,
            Self::Ack { .. } => None,
        }
    }

    /// The type of the reply that grants it; `None` for what is only ever refused or not answered.
    pub(crate) fn granted(&self) -> Option<&'static str> {
        Some(match self {
            Self::Subscribe(_) => "subscribed",
            Self::Unsubscribe { .. } => "unsubscribed",
            Self::Throttle { .. } => "throttled",
            Self::Credit { .. } => "credited",
            Self::Ping { .. } => "pong",
            Self::Symbols { .. } => "symbols",
            Self::Ack { .. } | Self::Refused { .. } => return None,
        })
    }

    fn members(&self) -> Vec<(String, Value)> {
        let mut members = Vec::new();
        let mut add = |key: &str, value: Value| members.push((key.to_owned(), value));
        let op = match self {
            Self::Subscribe(_) => "subscribe",
            Self::Unsubscribe { .. } => "unsubscribe",
            Self::Throttle { .. } => "throttle",
            Self::Credit { .. } => "credit",
            Self::Ack { .. } => "ack",
            Self::Ping { .. } | Self::Refused { .. } => "ping",
            Self::Symbols { .. } => "symbols",
        };
        add("op", text(op));
        if let Some(id) = self.id() {
            add("id", Value::Int(id.into()));
        }
        match self {
            Self::Subscribe(subscribe) => subscribe.members(&mut add),
            Self::Unsubscribe { symbols, channels, .. } => {
                add("symbols", texts(symbols));
                if let Some(channels) = channels {
                    add("channels", names(channels));
                }
            }
            Self::Throttle { symbols, throttle_ms, max_bytes_per_second, .. } => {
                if let Some(symbols) = symbols {
                    add("symbols", texts(symbols));
                }
                if let Some(interval) = throttle_ms {
                    add("throttle_ms", optional(*interval));
                }
                if let Some(budget) = max_bytes_per_second {
                    add("max_bytes_per_second", optional(*budget));
                }
            }
            Self::Credit { frames, .. } => add("frames", optional(*frames)),
            Self::Ack { frame } => add("frame", optional(Some(*frame))),
            Self::Symbols { prefix, .. } => add("prefix", text(prefix)),
            Self::Ping { .. } | Self::Refused { .. } => {}
        }
        members
    }
}

impl Subscribe {
    fn members(&self, add: &mut dyn FnMut(&str, Value)) {
        add("symbols", texts(&self.symbols));
        if let Some(channels) = &self.channels {
            add("channels", names(channels));
        }
        if let Some(interval) = self.throttle_ms {
            add("throttle_ms", optional(interval));
        }
        let mut fields = Vec::new();
        if let Some(quote) = &self.quote_fields {
            fields.push(("quote".to_owned(), texts(quote)));
        }
        if let Some(last) = &self.last_fields {
            fields.push(("last".to_owned(), texts(last)));
        }
        if !fields.is_empty() {
            add("fields", Value::Map(fields));
        }
        if self.snapshot {
            add("snapshot", Value::Bool(true));
        }
        if let Some((epoch, trades)) = &self.resume {
            let trades = trades.iter().map(|(name, at)| (name.clone(), Value::Int((*at).into())));
            add(
                "resume",
                Value::Map(vec![
                    ("epoch".to_owned(), Value::Int((*epoch).into())),
                    ("trades".to_owned(), Value::Map(trades.collect())),
                ]),
            );
        }
    }
}

/// A client's WebSocket ping, pong or close, masked.
#[must_use]
pub fn control(opcode: Opcode, payload: &[u8], mask: [u8; 4]) -> Vec<u8> {
    let mut out = Vec::new();
    websocket::write_client(&mut out, opcode, payload, mask);
    out
}

const fn opcode(dialect: Dialect) -> Opcode {
    match dialect {
        Dialect::MessagePack => Opcode::Binary,
        Dialect::Json => Opcode::Text,
    }
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

fn texts(items: &[String]) -> Value {
    Value::Array(items.iter().map(|item| text(item)).collect())
}

fn names(channels: &[Channel]) -> Value {
    Value::Array(channels.iter().map(|channel| text(channel.name())).collect())
}

fn optional(number: Option<u64>) -> Value {
    number.map_or(Value::Nil, |number| Value::Int(number.into()))
}
