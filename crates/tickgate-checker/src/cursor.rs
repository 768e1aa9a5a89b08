//! What the client holds of a symbol, and how it came to it.

use std::collections::BTreeMap;

use crate::{
    interest::Intervals,
    wire::{Channel, Fields},
};

/// Where the updates of one symbol's channel went, over a connection.
///
/// `head at the end − head at the join = sent + merged + skipped + lost + pending` for each stretch
/// between a join and its end; repeated joins add up.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Books {
    /// Sequences that arrived as an entry of their own: one for each delta and each trade.
    pub sent: u64,
    /// Sequences merged into the entry after them, by the cause bits of its frame (0 to 15).
    pub merged: [u64; 16],
    /// Sequences passed by full entries that were sent again (a snapshot asked for, a selection
    /// changed, an id renewed): those count as a join of their own at the gateway.
    pub skipped: u64,
    /// Sequences declared lost, by this connection or by the feed.
    pub lost: u64,
    /// Sequences between what the client holds and the head, at the end; 0 where a full entry is
    /// due then.
    pub pending: u64,
    /// Head at the last join.
    pub joined: u64,
    /// Joins: first entries of a subscription or of an epoch.
    pub joins: u64,
    /// The subscription lasted to the end, and no full entry was due then.
    pub open: bool,
}

impl Books {
    /// All merged, whatever the cause.
    #[must_use]
    pub fn merged_total(&self) -> u64 {
        self.merged.iter().sum()
    }

    pub(crate) fn advance(&mut self, by: u64, cause: u64) {
        if by > 0 {
            self.sent += 1;
            self.merged[(cause & 15) as usize] += by - 1;
        }
    }
}

/// One entry that arrived.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sent {
    pub(crate) formed_us: u64,
    pub(crate) sequence: u64,
    pub(crate) selection: u16,
    /// Full because it was owed.
    pub(crate) asked: bool,
}

/// One symbol's channel on the client's side.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cursor {
    pub(crate) subscribed: bool,
    /// When it was asked for.
    pub(crate) asked_us: u64,
    /// A full entry must come before anything else; when it was asked for.
    pub(crate) owed: Option<u64>,
    /// A full entry was asked for again.
    pub(crate) repeat: bool,
    /// Subscriptions to it so far.
    pub(crate) begun: u64,
    /// Full entries so far.
    pub(crate) fulls: u64,
    /// The tape goes on after this sequence, if it can.
    pub(crate) resume: Option<u64>,
    pub(crate) sequence: u64,
    pub(crate) fields: Fields,
    pub(crate) log: Vec<Sent>,
    pub(crate) books: Books,
    /// Of bars: what changed later than this must come; 0 where all of the epoch must.
    pub(crate) since_us: u64,
    /// Of bars: the sequence of the newest entry of each, by its beginning.
    pub(crate) bars: BTreeMap<i64, u64>,
    /// Of bars: when an entry last said that some were lost, which holds for all that had gone by
    /// then.
    pub(crate) lost_us: Option<u64>,
    /// Of bars: when the last one in progress was formed.
    pub(crate) open_us: Option<u64>,
}

impl Cursor {
    /// A subscription begins: asked for at `asked_us`.
    pub(crate) fn begin(&mut self, asked_us: u64) {
        let books = std::mem::take(&mut self.books);
        let (begun, fulls) = (self.begun + 1, self.fulls);
        *self = Self {
            subscribed: true,
            asked_us,
            owed: Some(asked_us),
            books,
            begun,
            fulls,
            ..Self::default()
        };
    }
}

/// One symbol on the client's side.
#[derive(Debug, Clone, Default)]
pub(crate) struct SymbolView {
    /// The id defined last.
    pub(crate) id: Option<u32>,
    /// Sequence of the status told last, by a definition or a status entry.
    pub(crate) status: Option<u64>,
    /// When the first of these was formed: nothing had to be told before.
    pub(crate) status_since_us: u64,
    pub(crate) intervals: Intervals,
    quote: Cursor,
    last: Cursor,
    trade: Cursor,
    bars: [Cursor; 3],
}

impl SymbolView {
    pub(crate) fn cursor(&self, channel: Channel) -> &Cursor {
        match channel {
            Channel::Quote => &self.quote,
            Channel::Last => &self.last,
            Channel::Trade => &self.trade,
            Channel::Bar1s => &self.bars[0],
            Channel::Bar1m => &self.bars[1],
            Channel::Bar1d => &self.bars[2],
        }
    }

    pub(crate) fn cursor_mut(&mut self, channel: Channel) -> &mut Cursor {
        match channel {
            Channel::Quote => &mut self.quote,
            Channel::Last => &mut self.last,
            Channel::Trade => &mut self.trade,
            Channel::Bar1s => &mut self.bars[0],
            Channel::Bar1m => &mut self.bars[1],
            Channel::Bar1d => &mut self.bars[2],
        }
    }
}
