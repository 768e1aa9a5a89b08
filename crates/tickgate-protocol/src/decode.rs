//! Reading what the gateway sends.

use crate::{
    dialect::Dialect,
    entry::Frame,
    json::{self, frames::Definitions},
    msgpack,
    reply::Reply,
    tree::{Value, read_reply::read_reply},
};

/// One message of the gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// A data frame.
    Frame(Frame),
    /// Anything else that is known.
    Reply(Reply),
    /// A frame or a reply of a kind that is not known, sent by a newer gateway: to be ignored.
    Unknown,
}

/// Reads the messages of one connection, in order.
///
/// JSON speaks of symbols by name and of prices as decimals; to give back the ids and the exact
/// integers, the decoder keeps the definitions it has seen, one per symbol. In MessagePack it keeps
/// nothing. Kinds of entries, trailing elements, keys and mask bits that are not known are
/// ignored. A full state entry comes back with every bit of its mask set: the wire does not tell
/// a field that was not chosen from one that is absent.
#[derive(Debug, Clone)]
pub struct Decoder {
    dialect: Dialect,
    definitions: Definitions,
}

impl Decoder {
    /// For a new connection.
    #[must_use]
    pub fn new(dialect: Dialect) -> Self {
        Self { dialect, definitions: Definitions::new() }
    }

    /// Reads one message.
    ///
    /// # Errors
    /// [`DecodeError`] when the message breaks the protocol. It is not to be applied in part.
    pub fn decode(&mut self, message: &[u8]) -> Result<Message, DecodeError> {
        match self.dialect {
            Dialect::MessagePack => {
                match message.first() {
                    Some(0x90..=0x9f | 0xdc | 0xdd) => Ok(msgpack::frames::read_frame(message)?
                        .map_or(Message::Unknown, Message::Frame)),
                    _ => reply(&msgpack::tree::read(message)?, self.dialect),
                }
            }
            Dialect::Json => {
                let value = json::tree::read(message)?;
                if value.get("type").and_then(Value::as_text) == Some("frame") {
                    json::frames::read_frame(&value, &mut self.definitions).map(Message::Frame)
                } else {
                    reply(&value, self.dialect)
                }
            }
        }
    }
}

fn reply(value: &Value<'_>, dialect: Dialect) -> Result<Message, DecodeError> {
    match read_reply(value, dialect) {
        Ok(reply) => Ok(Message::Reply(reply)),
        Err(DecodeError::UnknownReply { .. }) => Ok(Message::Unknown),
        Err(error) => Err(error),
    }
}

/// A number that its field cannot hold.
#[cold]
pub(crate) fn field_error(what: &'static str, field: &'static str, number: i64) -> DecodeError {
    DecodeError::Field { what, field, found: number.to_string() }
}

/// Why bytes are no message of the protocol.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes end inside a value.
    #[error("the message ends inside a value")]
    Truncated,
    /// More bytes than one value.
    #[error("{bytes} bytes follow the message")]
    Trailing {
        /// How many.
        bytes: usize,
    },
    /// The byte 0xc1, which MessagePack never uses.
    #[error("0xc1 is no MessagePack value")]
    Marker,
    /// Text that is not UTF-8.
    #[error("text is not UTF-8")]
    Utf8,
    /// More than 16 arrays and maps inside each other.
    #[error("more than 16 levels of arrays and maps")]
    TooDeep,
    /// Not JSON.
    #[error("not JSON: {message}")]
    Json {
        /// What the reader of JSON says.
        message: String,
    },
    /// A value of another kind than the protocol has in that place.
    #[error("{what}: unexpected {found}")]
    Shape {
        /// Which part of the message.
        what: &'static str,
        /// What was found there.
        found: String,
    },
    /// A field that is missing or breaks its rule.
    #[error("{what}: field {field} cannot be {found}")]
    Field {
        /// Which part of the message.
        what: &'static str,
        /// Its key.
        field: &'static str,
        /// What was found there.
        found: String,
    },
    /// A reply whose `type` is not known: a newer gateway may send it, and a client ignores it.
    #[error("unknown reply {name:?}")]
    UnknownReply {
        /// Its `type`.
        name: String,
    },
    /// A JSON entry of a symbol without a definition: its numbers have no scale.
    #[error("symbol {symbol:?} is used before its definition")]
    Undefined {
        /// Its name.
        symbol: String,
    },
}
