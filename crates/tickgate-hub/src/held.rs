//! The trades on a tape as they hold now, after the corrections that followed them.

use std::collections::BTreeMap;

use tickgate_protocol::{symbol::WireId, tick::CorrectionKind};

use crate::{
    scale::Scale,
    symbol::SymbolState,
    tape::{self, Tape, TapeBody, TapeRecord},
};

/// A trade that was not cancelled, at the scale in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HeldTrade {
    pub(crate) sequence: u64,
    pub(crate) event_time_ns: i64,
    pub(crate) price: i64,
    pub(crate) size: i64,
    /// Bits of [`tickgate_protocol::entry::trade_flag`].
    pub(crate) flags: u8,
    /// The lengths of bars that it is in, a bit each.
    pub(crate) in_bars: u8,
}

/// A stretch of a tape, up to its head. For the writer, for whom nothing is lapped on the way; it
/// looks at each record twice, for an event that is rare.
pub(crate) struct HeldTrades<'a> {
    symbol: &'a SymbolState,
    tape: Option<&'a Tape>,
    first: u64,
    /// What holds of the trades that were corrected: price and size at the scale of a definition, or
    /// nothing.
    corrected: BTreeMap<i64, Option<(WireId, i64, i64)>>,
}

impl<'a> HeldTrades<'a> {
    /// From the record `first` on, or from the oldest there is.
    pub(crate) fn since(symbol: &'a SymbolState, first: u64) -> Self {
        let tape = symbol.tape.get().map(|tape| &**tape);
        let first = first.max(symbol.tape_oldest());
        let mut corrected = BTreeMap::new();
        for sequence in first..=symbol.tape_sequence() {
            let record = tape.and_then(|tape| tape::record(tape, sequence));
            if let Some(TapeRecord { id, body, .. }) = record
                && let TapeBody::Correction { corrects, what, price, size } = body
            {
                let now = (what == CorrectionKind::Correct).then_some((id, price, size));
                // What was cancelled stays so.
                let held = corrected.entry(corrects).or_insert(now);
                *held = held.and(now);
            }
        }
        Self { symbol, tape, first, corrected }
    }

    /// In the order of the tape. One whose numbers do not fit the scale in force is left out.
    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = HeldTrade> {
        (self.first..=self.symbol.tape_sequence()).filter_map(|sequence| self.held(sequence))
    }

    fn held(&self, sequence: u64) -> Option<HeldTrade> {
        let TapeRecord { id, event_time_ns, body, in_bars } = tape::record(self.tape?, sequence)?;
        let TapeBody::Trade(trade) = body else { return None };
        let holds = self.corrected.get(&(sequence as i64)).copied();
        let (id, price, size) = holds.unwrap_or(Some((id, trade.price, trade.size)))?;
        let shift = Scale::of(&*self.symbol.definition_of(id)?).to(self.symbol.identity().1);
        let (price, size) = (shift.price(price).ok()?, shift.size(size).ok()?);
        let flags = trade.flags;
        Some(HeldTrade { sequence, event_time_ns, price, size, flags, in_bars })
    }
}
