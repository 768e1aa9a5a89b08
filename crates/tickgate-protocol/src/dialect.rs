//! How a session's choice of encoding is written to bytes and read back.
//!
//! The engine calls these and does not know which dialect a session speaks.

use crate::{
    command::{Command, ErrorCode, Refusal},
    decode::DecodeError,
    definition::Definition,
    entry::Entry,
    json, msgpack,
    reply::Reply,
    tree::{self, Value},
};

/// An encoding of `tickgate.v1`, chosen by WebSocket subprotocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// `tickgate.v1.msgpack`, binary messages; also when no subprotocol is offered.
    MessagePack,
    /// `tickgate.v1.json`, text messages.
    Json,
}

/// Where an unfinished frame is to be completed, from [`Dialect::begin_frame`].
#[derive(Debug, Clone, Copy)]
pub struct FrameMark {
    cause_at: usize,
}

impl Dialect {
    /// All of them, in the gateway's order of preference.
    pub const ALL: [Self; 2] = [Self::MessagePack, Self::Json];

    /// The WebSocket subprotocol that chooses it.
    #[must_use]
    pub const fn subprotocol(self) -> &'static str {
        match self {
            Self::MessagePack => "tickgate.v1.msgpack",
            Self::Json => "tickgate.v1.json",
        }
    }

    /// True when its messages are WebSocket text.
    #[must_use]
    pub const fn is_text(self) -> bool {
        matches!(self, Self::Json)
    }

    /// Reads one message from a client.
    ///
    /// # Errors
    /// A [`Refusal`] ready to be sent: it names the field and the rule it broke, and carries the
    /// command's id where one could be read.
    pub fn parse_command(self, message: &[u8]) -> Result<Command, Refusal> {
        let value = self.read(message).map_err(|error| Refusal {
            code: ErrorCode::BadMessage,
            message: error.to_string(),
            field: None,
            id: None,
        })?;
        tree::read_command::read_command(value)
    }

    /// Appends one command: what a client sends.
    pub fn write_command(self, out: &mut Vec<u8>, command: &Command) {
        self.write(out, &tree::write_command::write_command(command));
    }

    /// Appends one reply.
    pub fn write_reply(self, out: &mut Vec<u8>, reply: &Reply) {
        self.write(out, &tree::write_reply::write_reply(reply, self));
    }

    /// Reads one reply: what a client receives beside data frames.
    ///
    /// Keys that are not known are ignored. Bars of a `history` come without an id: it is 0.
    ///
    /// # Errors
    /// [`DecodeError::UnknownReply`] for a `type` that is not known, which a client ignores;
    /// any other [`DecodeError`] when the message breaks the protocol.
    pub fn parse_reply(self, message: &[u8]) -> Result<Reply, DecodeError> {
        tree::read_reply::read_reply(&self.read(message)?, self)
    }

    /// Appends the head of a data frame; its entries follow, then [`Self::finish_frame`].
    #[must_use = "the frame is complete only after finish_frame"]
    pub fn begin_frame(self, out: &mut Vec<u8>, sequence: u64, sent_at_us: i64) -> FrameMark {
        let cause_at = match self {
            Self::MessagePack => msgpack::entries::begin_frame(out, sequence, sent_at_us),
            Self::Json => json::entries::begin_frame(out, sequence, sent_at_us),
        };
        FrameMark { cause_at }
    }

    /// Appends one entry. The bytes depend on nothing but the arguments, so that they may be
    /// copied into the frame of another session of the same dialect.
    ///
    /// `definition` is that of the entry's symbol; the JSON dialect needs it for the name and the
    /// scale, and every entry with an id must come with it. Without it JSON writes a null symbol
    /// and unscaled integers.
    pub fn write_entry(self, out: &mut Vec<u8>, entry: &Entry, definition: Option<&Definition>) {
        match self {
            Self::MessagePack => msgpack::entries::write_entry(out, entry),
            Self::Json => json::entries::write_entry(out, entry, definition),
        }
    }

    /// Completes the frame begun at `mark`: `count` entries, and why it is late, bits of
    /// [`crate::entry::cause`].
    ///
    /// # Panics
    /// When `out` was cut below `mark` since [`Self::begin_frame`].
    pub fn finish_frame(self, out: &mut Vec<u8>, mark: FrameMark, cause: u8, count: usize) {
        match self {
            Self::MessagePack => msgpack::entries::finish_frame(out, mark.cause_at, cause, count),
            Self::Json => json::entries::finish_frame(out, mark.cause_at, cause, count),
        }
    }

    fn read(self, message: &[u8]) -> Result<Value<'_>, DecodeError> {
        match self {
            Self::MessagePack => msgpack::tree::read(message),
            Self::Json => json::tree::read(message),
        }
    }

    fn write(self, out: &mut Vec<u8>, value: &Value<'_>) {
        match self {
            Self::MessagePack => msgpack::tree::write(out, value),
            Self::Json => json::tree::write(out, value),
        }
    }
}
