//! The client's side: from frames to current state.
//!
//! [`Book::apply`] is the reference for what a client does with a frame. The client library, the
//! load generator and the tests use it.

mod bars;
mod numbers;
mod symbol;
mod violation;

use std::collections::{HashMap, HashSet};

pub use self::{
    bars::{BARS_KEPT, BarSeries},
    symbol::{StateChannel, StatusState, SymbolState, Tape},
    violation::Violation,
};
use crate::{
    channel::{Channel, Channels},
    definition::Definition,
    entry::{Entry, Frame, StatusEntry},
    symbol::WireId,
    tick::Status,
};

/// Everything one connection has told its client.
///
/// Its memory is the symbols and ids defined since the last epoch, and [`BARS_KEPT`] bars of each
/// bar channel; nothing else of what flowed is kept.
#[derive(Debug, Clone, Default)]
pub struct Book {
    frame_sequence: u64,
    epoch: Option<u64>,
    feed: Option<StatusState>,
    symbols: HashMap<WireId, SymbolState>,
    ids: HashMap<Box<str>, WireId>,
    retired: HashSet<WireId>,
}

impl Book {
    /// For a new connection, before its first frame.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Notes the epoch that `welcome` told.
    pub fn begin(&mut self, epoch: u64) {
        self.epoch = Some(epoch);
    }

    /// Applies a frame and returns what in it breaks the protocol: nothing, from a sound gateway.
    ///
    /// An entry that breaks it is left out; the others are applied.
    pub fn apply(&mut self, frame: &Frame) -> Vec<Violation> {
        self.apply_expecting(frame, |_, _| true)
    }

    /// As [`Self::apply`]; an entry of a symbol's channel (or, with `None`, its status) for which
    /// `expected` says no is a [`Violation::NotExpected`] and left out.
    pub fn apply_expecting(
        &mut self,
        frame: &Frame,
        mut expected: impl FnMut(&str, Option<Channel>) -> bool,
    ) -> Vec<Violation> {
        let mut violations = Vec::new();
        let due = self.frame_sequence.saturating_add(1);
        if frame.sequence != due {
            violations.push(Violation::FrameSequence { expected: due, found: frame.sequence });
        }
        self.frame_sequence = frame.sequence;
        for entry in &frame.entries {
            let applied = self.apply_entry(entry, frame.sent_at_us, &mut expected);
            violations.extend(applied.err());
        }
        violations
    }

    /// Forgets what is known of some channels of a symbol: the client has unsubscribed them, and
    /// a later subscription begins anew.
    pub fn forget(&mut self, name: &str, channels: Channels) {
        let Some(symbol) = self.ids.get(name).and_then(|id| self.symbols.get_mut(id)) else {
            return;
        };
        for channel in channels.iter() {
            match channel {
                Channel::Quote => symbol.quote = StateChannel::default(),
                Channel::Last => symbol.last = StateChannel::default(),
                Channel::Trade => symbol.tape = Tape::default(),
                Channel::Bar(interval) => symbol.bars.retain(|each| each.interval() != interval),
            }
        }
    }

    /// Sequence of the newest frame; 0 before the first.
    #[must_use]
    pub fn frame_sequence(&self) -> u64 {
        self.frame_sequence
    }

    /// The epoch in force, once it was told.
    #[must_use]
    pub fn epoch(&self) -> Option<u64> {
        self.epoch
    }

    /// Liveness of the feed, once it was told.
    #[must_use]
    pub fn feed(&self) -> Option<&StatusState> {
        self.feed.as_ref()
    }

    /// A symbol by name.
    #[must_use]
    pub fn symbol(&self, name: &str) -> Option<&SymbolState> {
        self.symbols.get(self.ids.get(name)?)
    }

    /// A symbol by the id in force.
    #[must_use]
    pub fn symbol_of(&self, id: WireId) -> Option<&SymbolState> {
        self.symbols.get(&id)
    }

    /// All symbols defined in this epoch, in no order.
    pub fn symbols(&self) -> impl Iterator<Item = &SymbolState> {
        self.symbols.values()
    }

    fn apply_entry(
        &mut self,
        entry: &Entry,
        sent_at_us: i64,
        expected: &mut impl FnMut(&str, Option<Channel>) -> bool,
    ) -> Result<(), Violation> {
        numbers::check(entry)?;
        if let (Some(id), false) = (entry.id(), matches!(entry, Entry::Definition(_))) {
            let name = &self.defined(id)?.definition.name;
            let of_no_channel = matches!(entry, Entry::Bar(_)) && entry.channel().is_none();
            if !of_no_channel && !expected(name, entry.channel()) {
                return Err(Violation::NotExpected { id, channel: entry.channel() });
            }
        }
        match entry {
            Entry::Definition(definition) => self.define(definition),
            Entry::Epoch { epoch } => self.start_over(*epoch),
            Entry::Ready { .. } => Ok(()),
            Entry::Status(status) => self.apply_status(status),
            Entry::Quote(quote) => {
                self.defined(quote.id)?.quote.apply(Channel::Quote, quote, sent_at_us)
            }
            Entry::Last(last) => self.defined(last.id)?.last.apply(Channel::Last, last, sent_at_us),
            Entry::Trade(trade) => self.defined(trade.id)?.tape.trade(trade.id, trade.sequence),
            Entry::TradeCorrection(correction) => {
                let tape = &mut self.defined(correction.id)?.tape;
                tape.correction(correction.id, correction.sequence)
            }
            Entry::TradesJoined { id, sequence, volume } => {
                self.defined(*id)?.tape.join(*id, *sequence, *volume)
            }
            Entry::TradesLost(lost) => self.defined(lost.id)?.tape.lose(lost),
            Entry::Bar(bar) => self.defined(bar.id)?.apply_bar(bar),
        }
    }

    fn defined(&mut self, id: WireId) -> Result<&mut SymbolState, Violation> {
        self.symbols.get_mut(&id).ok_or(Violation::Undefined { id })
    }

    fn define(&mut self, definition: &Definition) -> Result<(), Violation> {
        let id = definition.id;
        if self.retired.contains(&id) {
            return Err(Violation::Redefined { id });
        }
        if !is_trading_status(definition.status) {
            return Err(Violation::StatusKind { id: Some(id) });
        }
        let status = (definition.status, None);
        if let Some(symbol) = self.symbols.get_mut(&id) {
            let known = &symbol.definition;
            let same = known.name == definition.name
                && known.price_exponent == definition.price_exponent
                && known.size_exponent == definition.size_exponent;
            if !same {
                return Err(Violation::Redefined { id });
            }
            symbol.status.apply(Some(id), definition.status_sequence, status)?;
            symbol.definition = definition.clone();
            return Ok(());
        }
        let retired = self.ids.insert(definition.name.clone(), id);
        let Some(mut symbol) = retired.and_then(|retired| self.symbols.remove(&retired)) else {
            self.symbols.insert(id, SymbolState::new(definition.clone()));
            return Ok(());
        };
        self.retired.extend(retired);
        let applied = symbol.status.apply(Some(id), definition.status_sequence, status);
        symbol.redefine(definition.clone());
        self.symbols.insert(id, symbol);
        applied
    }

    /// Everything is forgotten; only the numbering of the connection's frames goes on.
    fn start_over(&mut self, epoch: u64) -> Result<(), Violation> {
        let known = self.epoch.replace(epoch);
        self.feed = None;
        self.symbols.clear();
        self.ids.clear();
        self.retired.clear();
        match known {
            Some(known) if epoch <= known => Err(Violation::EpochNotRising { known, found: epoch }),
            _ => Ok(()),
        }
    }

    fn apply_status(&mut self, entry: &StatusEntry) -> Result<(), Violation> {
        let trading = is_trading_status(entry.status);
        if trading != entry.id.is_some() {
            return Err(Violation::StatusKind { id: entry.id });
        }
        let state = match entry.id {
            Some(id) => &mut self.defined(id)?.status,
            None => self.feed.get_or_insert(StatusState {
                sequence: entry.status_sequence,
                status: entry.status,
                reason: entry.reason,
                missed: 0,
            }),
        };
        state.apply(entry.id, entry.status_sequence, (entry.status, Some(entry.reason)))
    }
}

/// True for what a symbol can be, false for what a feed can be.
fn is_trading_status(status: Status) -> bool {
    !matches!(status, Status::Live | Status::Stale)
}
