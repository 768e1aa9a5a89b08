//! The rules a connection is held to, and what breaking one looks like.

use std::fmt;

/// The rules, one name each. The list is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// WebSocket: whole, unfragmented, unmasked messages of the dialect's kind, control frames
    /// between them, nothing cut off, nothing after a close.
    Framing,
    /// A message is one value of the wire, with the fields of its kind.
    Decode,
    /// Integers of at most 2^53 − 1, decimals at the definition's scale, never a float.
    Number,
    /// Frame sequences rise by one, from 1.
    FrameSequence,
    /// `sent_at_us` is the injected clock's time of a moment between the frame before and the
    /// first byte's arrival.
    SentAt,
    /// At most 16 KiB.
    FrameSize,
    /// A frame's cause names what held it up and nothing else.
    Cause,
    /// An empty frame comes only after a heartbeat interval without data.
    Heartbeat,
    /// A client that receives hears something within a heartbeat interval and a quarter.
    Silence,
    /// No more unacknowledged data frames than credited.
    Credit,
    /// Data frames leave while the byte budget's balance is positive.
    Budget,
    /// One reply for each command but `ack`, in order, of its kind, with its id.
    Reply,
    /// A definition precedes the first use of an id and says the truth.
    Definition,
    /// An id means one thing in an epoch.
    IdReuse,
    /// A new epoch is announced once, with the number it has.
    Epoch,
    /// The first entry of what was asked is full; a full entry repeated is one that was asked for.
    SnapshotFirst,
    /// One `ready` for each subscribe, after all it asked for.
    Ready,
    /// Sequences of a symbol's channel rise and exist.
    Order,
    /// The state held after an entry is the true one at its sequence.
    Value,
    /// Ages are the frame's time less the event's, rounded down.
    Age,
    /// Fields that were not selected are not sent.
    Selection,
    /// Crossed and locked flags agree with the prices.
    Flags,
    /// State entries of a symbol's channel keep the throttle interval's distance.
    Throttle,
    /// A change leaves within its interval.
    Staleness,
    /// A client that receives holds the last state once the feed is quiet.
    Convergence,
    /// Nothing that was never subscribed.
    NotSubscribed,
    /// Nothing after `unsubscribed`.
    AfterUnsubscribe,
    /// `trades joined` comes first and tells where the tape stood.
    Join,
    /// Trades come once and in order.
    TradeOrder,
    /// No hole in the tape without `trades lost`.
    TradeHole,
    /// A trade or correction is the true one at its sequence.
    TradeValue,
    /// `trades lost` covers what was lost, all of it and nothing else.
    LostRange,
    /// Sequences of a symbol's bar channel rise, and exist.
    BarOrder,
    /// A bar is the true one at its sequence.
    BarValue,
    /// No state of a bar that is not followed by a newer one is passed over, but for closed ones
    /// that are declared lost.
    BarHole,
    /// A bar says that others were lost only where some were, and only of closed ones that had left
    /// the ring.
    BarLost,
    /// Every status arrives, in order and true.
    Status,
    /// A status comes after the trades before it and before the trades after it.
    StatusOrder,
    /// The feed's status is true, and staleness is told within a second.
    FeedStatus,
    /// A session ends with a code of the closed list.
    Close,
}

/// A rule that was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which rule.
    pub rule: Rule,
    /// When it showed, virtual time, microseconds.
    pub at_us: u64,
    /// The symbol it concerns; empty when it concerns the connection.
    pub symbol: String,
    /// What was seen and what was expected.
    pub detail: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} at {} us", self.rule, self.at_us)?;
        if !self.symbol.is_empty() {
            write!(f, ", {}", self.symbol)?;
        }
        write!(f, ": {}", self.detail)
    }
}

/// What a decoder found wrong, before anybody knows when and about what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Which rule.
    pub rule: Rule,
    /// What was seen.
    pub detail: String,
}

impl Fault {
    pub(crate) fn new(rule: Rule, detail: impl Into<String>) -> Self {
        Self { rule, detail: detail.into() }
    }

    pub(crate) fn decode(detail: impl Into<String>) -> Self {
        Self::new(Rule::Decode, detail)
    }
}
