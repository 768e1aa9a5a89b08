//! What a client may ask.

use crate::channel::Channels;

/// One message from a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// The client's number for it, echoed in the reply.
    pub id: Option<i64>,
    /// What is asked.
    pub op: Op,
}

/// The commands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// Begin or change subscriptions.
    Subscribe(Subscribe),
    /// End subscriptions.
    Unsubscribe {
        /// Names, or `*`.
        symbols: Vec<String>,
        /// Which channels; [`Channels::EVERY`] when omitted.
        channels: Channels,
    },
    /// Change how often and how much is sent.
    Throttle {
        /// Of these symbols only; of the connection when `None`.
        symbols: Option<Vec<String>>,
        /// Milliseconds, 0 to 60,000; `Some(None)` inherits again, `None` leaves it alone.
        throttle_ms: Option<Option<u32>>,
        /// WebSocket bytes a second; `Some(None)` lifts the budget, `None` leaves it alone.
        max_bytes_per_second: Option<Option<u64>>,
    },
    /// At most this many data frames unacknowledged; `None` turns credit off.
    Credit {
        /// At least 1.
        frames: Option<u64>,
    },
    /// Frames up to this sequence have been processed.
    Ack {
        /// Frame sequence, cumulative.
        frame: u64,
    },
    /// Older bars.
    History {
        /// Which symbol.
        symbol: String,
        /// A bar channel's name.
        channel: String,
        /// Only bars that start before this, seconds since the Unix epoch.
        before_s: Option<i64>,
        /// At most this many.
        limit: Option<u64>,
    },
    /// A page of the directory.
    Symbols {
        /// Only names that begin so.
        prefix: String,
        /// Only names after this one.
        after: Option<String>,
        /// At most this many.
        limit: Option<u64>,
    },
    /// Asks for a `pong`.
    Ping,
    /// Says who the client is.
    Auth {
        /// An API key.
        key: Option<String>,
        /// Or a token.
        token: Option<String>,
    },
}

/// The fields of `subscribe`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Subscribe {
    /// Names, or `*`.
    pub symbols: Vec<String>,
    /// Channels to add; [`Channels::DEFAULT`] when omitted.
    pub channels: Option<Channels>,
    /// Throttle interval in milliseconds that binds the named symbols; `Some(None)` inherits.
    pub throttle_ms: Option<Option<u32>>,
    /// Selected fields of the quote channel, a mask over [`crate::entry::quote_field`].
    pub quote_fields: Option<u8>,
    /// Selected fields of the last channel, a mask over [`crate::entry::last_field`].
    pub last_fields: Option<u8>,
    /// Send the full state again.
    pub snapshot: bool,
    /// Go on with the tape where an earlier connection left it.
    pub resume: Option<Resume>,
}

/// Where an earlier connection left the tapes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resume {
    /// The epoch in which it was.
    pub epoch: u64,
    /// Last sequence seen of each symbol's tape.
    pub trades: Vec<(String, u64)>,
}

/// Largest throttle interval a client may ask for, milliseconds.
pub const THROTTLE_LIMIT_MS: u32 = 60_000;

/// Why a command was refused: the `error` reply, less the id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The stable code.
    pub code: ErrorCode,
    /// What was wrong and which rule it broke.
    pub message: String,
    /// The field it is about, where there is one.
    pub field: Option<String>,
    /// The command's id, where it could be read.
    pub id: Option<i64>,
}

/// Stable codes of `error` replies and of `rejected` symbols.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorCode {
    /// Not one map of the session's encoding.
    BadMessage,
    /// No such `op`.
    UnknownOp,
    /// A key that the `op` does not have.
    UnknownField,
    /// A field's type or value breaks its rule.
    BadField,
    /// No such symbol in the directory.
    UnknownSymbol,
    /// No such channel.
    UnknownChannel,
    /// Over the session's limit.
    TooManySubscriptions,
    /// Over the session's command rate.
    TooManyCommands,
    /// The gateway asks for no authentication.
    NotRequired,
    /// Authenticate first.
    NotAuthenticated,
    /// Not allowed for this client.
    NotEntitled,
    /// Cannot be had now.
    Unavailable,
}

impl ErrorCode {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::BadMessage,
        Self::UnknownOp,
        Self::UnknownField,
        Self::BadField,
        Self::UnknownSymbol,
        Self::UnknownChannel,
        Self::TooManySubscriptions,
        Self::TooManyCommands,
        Self::NotRequired,
        Self::NotAuthenticated,
        Self::NotEntitled,
        Self::Unavailable,
    ];

    /// The name on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::BadMessage => "bad_message",
            Self::UnknownOp => "unknown_op",
            Self::UnknownField => "unknown_field",
            Self::BadField => "bad_field",
            Self::UnknownSymbol => "unknown_symbol",
            Self::UnknownChannel => "unknown_channel",
            Self::TooManySubscriptions => "too_many_subscriptions",
            Self::TooManyCommands => "too_many_commands",
            Self::NotRequired => "not_required",
            Self::NotAuthenticated => "not_authenticated",
            Self::NotEntitled => "not_entitled",
            Self::Unavailable => "unavailable",
        }
    }
}
