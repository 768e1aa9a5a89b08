//! What a gateway must never send, as a closed list.

use crate::{channel::Channel, symbol::WireId};

/// A breach of the protocol that a client can see in the frames it receives.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// Frames are numbered from 1 without holes.
    #[error("frame {found} came where {expected} was due")]
    FrameSequence {
        /// The number due.
        expected: u64,
        /// The number that came.
        found: u64,
    },
    /// An epoch rises.
    #[error("epoch {found} after epoch {known}")]
    EpochNotRising {
        /// The epoch in force.
        known: u64,
        /// The epoch that came.
        found: u64,
    },
    /// A definition comes before the first use of an id; also: the id was retired, or an epoch
    /// came since.
    #[error("id {id} is used but not defined")]
    Undefined {
        /// The id.
        id: WireId,
    },
    /// An id means one name and one scale for the length of an epoch, and a retired one never
    /// comes back.
    #[error("id {id} was defined otherwise before")]
    Redefined {
        /// The id.
        id: WireId,
    },
    /// An entry of a channel that nobody asked for, by the caller's own account.
    #[error("id {id}: an entry of a channel that is not subscribed")]
    NotExpected {
        /// The symbol.
        id: WireId,
        /// The channel; `None` for a status.
        channel: Option<Channel>,
    },
    /// A channel begins with a full entry, also after a redefinition and after an epoch.
    #[error("id {id}: {} delta before a full entry", channel.name())]
    DeltaBeforeFull {
        /// The symbol.
        id: WireId,
        /// The channel.
        channel: Channel,
    },
    /// A delta advances by at least 1.
    #[error("id {id}: {} delta that does not advance", channel.name())]
    ZeroAdvance {
        /// The symbol.
        id: WireId,
        /// The channel.
        channel: Channel,
    },
    /// Sequences never go back.
    #[error("id {id}: {} sequence {found} after {known}", channel.name())]
    SequenceBack {
        /// The symbol.
        id: WireId,
        /// The channel.
        channel: Channel,
        /// The sequence reached.
        known: u64,
        /// The sequence that came.
        found: u64,
    },
    /// A tape begins where it was joined.
    #[error("id {id}: an entry of a tape that was not joined")]
    TapeNotJoined {
        /// The symbol.
        id: WireId,
    },
    /// Sequences of the tape are missing and no lost range accounts for them.
    #[error("id {id}: tape went from {known} to {found} without a lost range")]
    TapeHole {
        /// The symbol.
        id: WireId,
        /// The sequence reached.
        known: u64,
        /// The sequence that came.
        found: u64,
    },
    /// A trade, correction or lost range at or below the sequence reached.
    #[error("id {id}: tape sequence {found} again, {known} was reached")]
    TapeRepeated {
        /// The symbol.
        id: WireId,
        /// The sequence reached.
        known: u64,
        /// The sequence that came.
        found: u64,
    },
    /// A lost range that ends before it begins, or has one bound, or none where this connection
    /// lost it.
    #[error("id {id}: a lost range without proper bounds")]
    LostBounds {
        /// The symbol.
        id: WireId,
    },
    /// Statuses come in the order of their sequence; the same one may be repeated as it was.
    #[error("status {found} of {id:?} after {known}")]
    StatusOrder {
        /// The symbol; `None` for the feed.
        id: Option<WireId>,
        /// The status sequence reached.
        known: u64,
        /// The status sequence that came.
        found: u64,
    },
    /// A symbol has a trading status, the feed a liveness.
    #[error("a status of {id:?} that is none of its kind")]
    StatusKind {
        /// The symbol; `None` for the feed.
        id: Option<WireId>,
    },
    /// No number exceeds 2^53 − 1 in magnitude.
    #[error("id {id:?}: a number beyond 2^53 - 1")]
    NumberTooLarge {
        /// The symbol; `None` for what belongs to no symbol.
        id: Option<WireId>,
    },
}
