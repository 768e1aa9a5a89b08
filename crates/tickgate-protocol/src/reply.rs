//! What the gateway answers, outside data frames.

use crate::{
    channel::Channels,
    command::{ErrorCode, Refusal},
    instrument::Instrument,
};

/// A reply: a map with `type` and, where the command had one, its `id`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// The first message of every connection.
    Welcome(Welcome),
    /// Answers `subscribe`.
    Subscribed(Subscribed),
    /// Answers `unsubscribe`.
    Unsubscribed {
        /// Echo.
        id: Option<i64>,
        /// Subscriptions that ended or lost a channel.
        count: u64,
        /// Names of these that `*` still covers.
        still_covered: Vec<String>,
        /// Subscriptions the session holds now.
        subscriptions: u64,
    },
    /// Answers `throttle`.
    Throttled {
        /// Echo.
        id: Option<i64>,
        /// The connection's throttle interval in force, milliseconds.
        throttle_ms: u32,
        /// The connection's byte budget in force.
        max_bytes_per_second: Option<u64>,
        /// Symbols whose own interval was changed.
        count: u64,
        /// Symbols named that are not subscribed.
        rejected: Vec<Rejected>,
    },
    /// Answers `credit`.
    Credited {
        /// Echo.
        id: Option<i64>,
        /// The credit in force.
        frames: Option<u64>,
        /// The sequence of the last frame sent; counting begins after it.
        from: u64,
    },
    /// Answers `history`.
    History {
        /// Echo.
        id: Option<i64>,
        /// The symbol.
        symbol: String,
        /// The bar channel.
        channel: String,
        /// Scale of prices.
        price_exponent: i8,
        /// Scale of sizes.
        size_exponent: i8,
        /// Oldest first.
        bars: Vec<crate::entry::BarEntry>,
        /// False when there is nothing older.
        more: bool,
    },
    /// Answers `symbols`.
    Symbols {
        /// Echo.
        id: Option<i64>,
        /// The page, by name.
        symbols: Vec<SymbolInfo>,
        /// True when the directory goes on; ask again with `after` the last name.
        more: bool,
    },
    /// Answers `ping`.
    Pong {
        /// Echo.
        id: Option<i64>,
        /// The gateway's Unix time, microseconds.
        time_us: i64,
    },
    /// A command that was refused; the connection goes on.
    Error(Refusal),
    /// The gateway is about to close.
    Draining {
        /// Wait this long before reconnecting; spread over clients.
        reconnect_after_ms: u64,
    },
}

/// The first message of every connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Welcome {
    /// The epoch of the hub's state.
    pub epoch: u64,
    /// The session's number, as in logs and admin.
    pub session: u64,
    /// The gateway's Unix time, microseconds.
    pub time_us: i64,
    /// A frame comes at least this often.
    pub heartbeat_ms: u64,
    /// Silence beyond this means the connection is dead: drain age and two heartbeats.
    pub silence_limit_ms: u64,
    /// What the session may ask for.
    pub limits: Limits,
    /// Who numbers the channels.
    pub sequence_source: SequenceSource,
}

/// The limits of a session, as told in `welcome`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Subscriptions.
    pub subscriptions: u64,
    /// Bytes of one message from the client.
    pub message_bytes: u64,
    /// Bytes of one data frame.
    pub frame_bytes: u64,
    /// Commands a second, sustained.
    pub commands_per_second: u64,
    /// Distinct throttle intervals of one connection.
    pub throttle_intervals: u64,
    /// The default throttle interval, milliseconds.
    pub throttle_ms: u64,
    /// Bars in one `history` page.
    pub history: u64,
    /// Names in one `symbols` page.
    pub symbols: u64,
}

/// Who numbers the channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SequenceSource {
    /// This hub: sequences mean nothing elsewhere.
    Hub,
    /// The feed: they compare across gateways of the same epoch.
    Feed,
}

/// Answers `subscribe`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscribed {
    /// Echo.
    pub id: Option<i64>,
    /// Symbols of this command now subscribed.
    pub count: u64,
    /// Subscriptions the session holds now.
    pub subscriptions: u64,
    /// Channels in force of the last symbol of the command.
    pub channels: Channels,
    /// Throttle interval in force of the last symbol of the command, milliseconds.
    pub throttle_ms: u32,
    /// Selected quote fields in force, a mask.
    pub quote_fields: u8,
    /// Selected last fields in force, a mask.
    pub last_fields: u8,
    /// How `resume` was taken; `None` when it was not asked for.
    pub resumed: Option<Resumed>,
    /// What was refused, each with why.
    pub rejected: Vec<Rejected>,
}

/// How a `resume` was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resumed {
    /// Tapes that go on from the sequence given.
    pub count: u64,
    /// Tapes that were joined afresh (another epoch, a sequence above the head).
    pub fresh: u64,
}

/// A symbol that a command named and did not get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// As the client wrote it, cut to [`crate::symbol::NAME_LIMIT_BYTES`] characters.
    pub symbol: String,
    /// Why.
    pub code: ErrorCode,
}

/// A line of the directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SymbolInfo {
    /// Name.
    pub name: String,
    /// Scale of prices.
    pub price_exponent: i8,
    /// Scale of sizes.
    pub size_exponent: i8,
    /// Least step between two prices; [`crate::number::ABSENT`] where unknown.
    pub tick_size: i64,
    /// What it stands for, in words.
    pub instrument: Instrument,
}
