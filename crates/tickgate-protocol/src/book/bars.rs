//! The bars of one length that a client holds of a symbol.

use std::collections::BTreeMap;

use super::Violation;
use crate::{
    bar::BarInterval,
    channel::Channel,
    definition::Definition,
    entry::{BarEntry, bar_flag},
    number::{ABSENT, LIMIT},
};

/// Bars kept of each bar channel; of more the oldest are dropped.
pub const BARS_KEPT: usize = 512;

/// Bars by when they begin. Of two that begin at the same time the one with the greater sequence
/// holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BarSeries {
    interval: BarInterval,
    /// Sequence of the newest entry; `None` before the first. Bars of a `history` do not move it.
    pub head: Option<u64>,
    /// Entries that said that closed bars before them were not sent ([`bar_flag::LOST`]): since
    /// then bars are missing until the history is asked for.
    pub losses: u64,
    bars: BTreeMap<i64, BarEntry>,
}

impl BarSeries {
    /// Without bars.
    #[must_use]
    pub fn new(interval: BarInterval) -> Self {
        Self { interval, head: None, losses: 0, bars: BTreeMap::new() }
    }

    /// The length of its bars.
    #[must_use]
    pub fn interval(&self) -> BarInterval {
        self.interval
    }

    /// The bars held, at most [`BARS_KEPT`], the oldest first. The one in progress is the last,
    /// where its flags do not say closed.
    pub fn bars(&self) -> impl DoubleEndedIterator<Item = &BarEntry> + ExactSizeIterator {
        self.bars.values()
    }

    /// The bar that begins at `start_s`.
    #[must_use]
    pub fn bar(&self, start_s: i64) -> Option<&BarEntry> {
        self.bars.get(&start_s)
    }

    /// Adds a bar of a `history`, unless a newer state of it is held. One older than all that are
    /// kept is dropped when there is no room for it.
    pub fn add(&mut self, bar: &BarEntry) {
        let mut bar = *bar;
        // What it says of the entries before it is no part of the bar.
        bar.flags &= !bar_flag::LOST;
        let held = self.bars.entry(bar.start_s).or_insert(bar);
        if held.sequence < bar.sequence {
            *held = bar;
        }
        if self.bars.len() > BARS_KEPT {
            self.bars.pop_first();
        }
    }

    /// An entry of the channel.
    pub(super) fn apply(&mut self, bar: &BarEntry) -> Result<(), Violation> {
        if let Some(known) = self.head.filter(|known| bar.sequence <= *known) {
            let channel = Channel::Bar(self.interval);
            let found = bar.sequence;
            return Err(Violation::SequenceBack { id: bar.id, channel, known, found });
        }
        self.head = Some(bar.sequence);
        self.losses += u64::from(bar.flags & bar_flag::LOST != 0);
        self.add(bar);
        Ok(())
    }

    /// The symbol is defined anew with finer numbers; bars that cannot be said in them are dropped.
    pub(super) fn rescale(&mut self, from: &Definition, to: &Definition) {
        let power = |from: i8, to: i8| {
            let places = u32::try_from(i32::from(from) - i32::from(to)).ok()?;
            10i64.checked_pow(places)
        };
        let price = power(from.price_exponent, to.price_exponent);
        let size = power(from.size_exponent, to.size_exponent);
        self.bars.retain(|_, bar| {
            let (Some(price), Some(size)) = (price, size) else { return false };
            bar.id = to.id;
            if !scale(&mut bar.vwap, price) {
                // It has two more digits than the others; as at the gateway, it alone is left out.
                bar.vwap = ABSENT;
            }
            let prices = [&mut bar.open, &mut bar.high, &mut bar.low, &mut bar.close];
            prices.into_iter().all(|field| scale(field, price)) && scale(&mut bar.volume, size)
        });
    }
}

/// False past what the wire can say.
fn scale(field: &mut i64, power: i64) -> bool {
    if *field == ABSENT {
        return true;
    }
    let scaled = field.checked_mul(power).filter(|scaled| scaled.abs() <= LIMIT);
    scaled.map(|scaled| *field = scaled).is_some()
}
