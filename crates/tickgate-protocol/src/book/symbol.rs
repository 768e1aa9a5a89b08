//! What a client knows of one symbol, and how entries change it.

use super::{BarSeries, Violation};
use crate::{
    bar::BarInterval,
    channel::Channel,
    definition::Definition,
    entry::{BarEntry, LostEntry, LostOrigin, StateEntry, Step, last_field, quote_field},
    number::ABSENT,
    symbol::WireId,
    tick::{Reason, Status},
};

/// A symbol as a client knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SymbolState {
    /// As last defined; its status is that of the definition, not the current one.
    pub definition: Definition,
    /// Trading status now.
    pub status: StatusState,
    /// The quote channel.
    pub quote: StateChannel<{ quote_field::COUNT }>,
    /// The last channel.
    pub last: StateChannel<{ last_field::COUNT }>,
    /// The trade channel.
    pub tape: Tape,
    /// The bar channels, in the order in which their first bars came.
    pub bars: Vec<BarSeries>,
}

/// A status with its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatusState {
    /// How many changes it is the result of.
    pub sequence: u64,
    /// What it is.
    pub status: Status,
    /// Why.
    pub reason: Reason,
    /// Changes that never came one by one: the gateway's small tape was lapped.
    pub missed: u64,
}

/// A sampled channel: its state, and what became of every update since it was joined.
///
/// `head − joined_at = advanced + merged`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateChannel<const N: usize> {
    /// The fields, in wire order; `None` until a full entry came, and again after a redefinition.
    pub fields: Option<[i64; N]>,
    /// Age of the newest entry when it was sent, microseconds; [`ABSENT`] where unknown.
    pub age_us: i64,
    /// When the newest entry was sent: Unix time, microseconds.
    pub sent_at_us: i64,
    /// Sequence of the newest entry; `None` until the first.
    pub head: Option<u64>,
    /// Sequence of the first full entry.
    pub joined_at: u64,
    /// Entries that carried a new sequence.
    pub advanced: u64,
    /// Full entries that repeated the sequence.
    pub repeated: u64,
    /// Updates merged into others.
    pub merged: u64,
}

/// Where a client stands on a tape, and what became of every sequence since it was joined.
///
/// `head − joined_at = trades + corrections + lost`, unless a violation was reported.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tape {
    /// Sequence reached; `None` until joined.
    pub head: Option<u64>,
    /// Sequence at the newest joining.
    pub joined_at: u64,
    /// The session's volume at the newest joining; [`ABSENT`] when it was resumed.
    pub joined_volume: i64,
    /// Trades received.
    pub trades: u64,
    /// Corrections received.
    pub corrections: u64,
    /// Sequences declared lost.
    pub lost: u64,
    /// Holes of the feed that have no bounds: how many is unknown.
    pub unbounded_losses: u64,
}

impl SymbolState {
    /// A symbol that was just defined.
    pub(super) fn new(definition: Definition) -> Self {
        let status = StatusState {
            sequence: definition.status_sequence,
            status: definition.status,
            reason: Reason::None,
            missed: 0,
        };
        Self {
            definition,
            status,
            quote: StateChannel::default(),
            last: StateChannel::default(),
            tape: Tape::default(),
            bars: Vec::new(),
        }
    }

    /// Its bars of one length; `None` before the first came.
    #[must_use]
    pub fn series(&self, interval: BarInterval) -> Option<&BarSeries> {
        self.bars.iter().find(|series| series.interval() == interval)
    }

    /// The same symbol under a new id: sequences go on, states must come in full again. Bars stay,
    /// at the new scale.
    pub(super) fn redefine(&mut self, definition: Definition) {
        self.quote.fields = None;
        self.last.fields = None;
        for series in &mut self.bars {
            series.rescale(&self.definition, &definition);
        }
        self.definition = definition;
    }

    /// A bar of a length that has no channel yet is none of ours.
    pub(super) fn apply_bar(&mut self, bar: &BarEntry) -> Result<(), Violation> {
        let Some(interval) = BarInterval::from_seconds(bar.interval_s) else { return Ok(()) };
        let at = match self.bars.iter().position(|series| series.interval() == interval) {
            Some(at) => at,
            None => {
                self.bars.push(BarSeries::new(interval));
                self.bars.len() - 1
            }
        };
        self.bars[at].apply(bar)
    }
}

impl StatusState {
    /// Takes a status with its place; the same may be repeated as it was.
    pub(super) fn apply(
        &mut self,
        id: Option<WireId>,
        sequence: u64,
        (status, reason): (Status, Option<Reason>),
    ) -> Result<(), Violation> {
        let known = self.sequence;
        let order = Violation::StatusOrder { id, known, found: sequence };
        if sequence < known || (sequence == known && status != self.status) {
            return Err(order);
        }
        self.missed += (sequence - known).saturating_sub(1);
        // A definition repeats a status without its reason, also at the beginning of a session.
        let reason =
            reason.unwrap_or(if status == self.status { self.reason } else { Reason::None });
        *self = Self { sequence, status, reason, missed: self.missed };
        Ok(())
    }
}

impl<const N: usize> Default for StateChannel<N> {
    fn default() -> Self {
        Self {
            fields: None,
            age_us: ABSENT,
            sent_at_us: 0,
            head: None,
            joined_at: 0,
            advanced: 0,
            repeated: 0,
            merged: 0,
        }
    }
}

impl<const N: usize> StateChannel<N> {
    pub(super) fn apply(
        &mut self,
        channel: Channel,
        entry: &StateEntry<N>,
        sent_at_us: i64,
    ) -> Result<(), Violation> {
        let id = entry.id;
        match entry.step {
            Step::Full { sequence } => {
                self.step_to(id, channel, sequence)?;
                self.fields = Some(entry.fields);
            }
            Step::Delta { advance } => {
                let (Some(fields), Some(head)) = (&mut self.fields, self.head) else {
                    return Err(Violation::DeltaBeforeFull { id, channel });
                };
                if advance == 0 {
                    return Err(Violation::ZeroAdvance { id, channel });
                }
                for (bit, field) in fields.iter_mut().enumerate() {
                    if entry.mask & (1 << bit) != 0 {
                        *field = entry.fields[bit];
                    }
                }
                self.step_to(id, channel, head.saturating_add(advance))?;
            }
        }
        self.age_us = entry.age_us;
        self.sent_at_us = sent_at_us;
        Ok(())
    }

    fn step_to(&mut self, id: WireId, channel: Channel, found: u64) -> Result<(), Violation> {
        match self.head {
            None => self.joined_at = found,
            Some(known) if found < known => {
                return Err(Violation::SequenceBack { id, channel, known, found });
            }
            Some(known) if found == known => self.repeated += 1,
            Some(known) => {
                self.advanced += 1;
                self.merged += found - known - 1;
            }
        }
        self.head = Some(found);
        Ok(())
    }
}

impl Tape {
    /// Begins, or begins again: a joining with a volume is fresh and never lies behind what was
    /// already received; one without is where the client asked to resume.
    pub(super) fn join(&mut self, id: WireId, sequence: u64, volume: i64) -> Result<(), Violation> {
        if let Some(known) = self.head.filter(|known| volume != ABSENT && sequence < *known) {
            let channel = Channel::Trade;
            return Err(Violation::SequenceBack { id, channel, known, found: sequence });
        }
        *self = Self {
            head: Some(sequence),
            joined_at: sequence,
            joined_volume: volume,
            ..Self::default()
        };
        Ok(())
    }

    pub(super) fn trade(&mut self, id: WireId, sequence: u64) -> Result<(), Violation> {
        self.step(id, sequence, sequence)?;
        self.trades += 1;
        Ok(())
    }

    pub(super) fn correction(&mut self, id: WireId, sequence: u64) -> Result<(), Violation> {
        self.step(id, sequence, sequence)?;
        self.corrections += 1;
        Ok(())
    }

    pub(super) fn lose(&mut self, lost: &LostEntry) -> Result<(), Violation> {
        let id = lost.id;
        match (u64::try_from(lost.from), u64::try_from(lost.to)) {
            (Ok(from), Ok(to)) if from <= to => {
                self.step(id, from, to)?;
                self.lost += to - from + 1;
                Ok(())
            }
            _ if lost.origin == LostOrigin::Feed && (lost.from == ABSENT || lost.to == ABSENT) => {
                if self.head.is_none() {
                    return Err(Violation::TapeNotJoined { id });
                }
                self.unbounded_losses += 1;
                Ok(())
            }
            _ => Err(Violation::LostBounds { id }),
        }
    }

    /// Moves on to `to`, from `from`, which must be the next. A hole moves on all the same, so
    /// that it is reported once.
    fn step(&mut self, id: WireId, from: u64, to: u64) -> Result<(), Violation> {
        let Some(known) = self.head else { return Err(Violation::TapeNotJoined { id }) };
        if from <= known {
            return Err(Violation::TapeRepeated { id, known, found: from });
        }
        self.head = Some(to);
        if from == known + 1 {
            return Ok(());
        }
        Err(Violation::TapeHole { id, known, found: from })
    }
}
