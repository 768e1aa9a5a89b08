//! The words that a scenario chooses between.

use serde::{Deserialize, Serialize};
use tickgate_protocol::dialect::Dialect;

/// What a target speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Speaks {
    /// `tickgate.v1`: everything is timed and checked.
    #[default]
    Tickgate,
    /// Messages that begin with a time: 8 bytes big-endian, or as text `{"sent_at_us":`; Unix
    /// microseconds. Once open, a client names its symbols in `{"subscribe":[…]}`.
    Stamped,
    /// NATS over WebSocket; payloads are stamped.
    Nats,
    /// Centrifugo's JSON protocol; `data` has `sent_at_us`.
    Centrifugo,
}

impl Speaks {
    /// The name in scenarios and reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tickgate => "tickgate",
            Self::Stamped => "stamped",
            Self::Nats => "nats",
            Self::Centrifugo => "centrifugo",
        }
    }
}

/// An encoding of Tickgate's protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, clap::ValueEnum)]
pub enum Format {
    /// Binary.
    #[default]
    #[serde(rename = "msgpack")]
    #[value(name = "msgpack")]
    MessagePack,
    /// Text.
    #[serde(rename = "json")]
    Json,
}

impl Format {
    pub(crate) const fn dialect(self) -> Dialect {
        match self {
            Self::MessagePack => Dialect::MessagePack,
            Self::Json => Dialect::Json,
        }
    }
}

/// How a client reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reads {
    /// Whatever comes, at once.
    #[default]
    Everything,
    /// Nothing, from the moment it is ready.
    Nothing,
    /// At most so many bytes a second, from the moment it is ready.
    BytesPerSecond(u32),
}

/// When a client with credit acknowledges a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Acknowledge {
    /// As soon as it came.
    #[default]
    AtOnce,
    /// Each so many milliseconds after the one before: a consumer that takes so long for a frame.
    EveryMs(u32),
    /// Not at all.
    Never,
}
