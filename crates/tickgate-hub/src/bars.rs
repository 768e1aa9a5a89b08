//! All bars of one symbol, and how trades, corrections and the clock change them.
//!
//! Four lengths are folded side by side: a second, a minute, an hour and a day. Hours are on no
//! channel; with them a day's prices can be found anew from at most twenty-four bars, an hour's and
//! a minute's from sixty, and a second's from the tape.

use tickgate_protocol::{bar::BarInterval, entry::trade_flag, number::ABSENT, symbol::WireId};

use crate::{
    bar::{Bar, Fill, Prices},
    cell::Busy,
    held::HeldTrades,
    scale::Scale,
    series::{Closing, Folded, Series, Since},
    symbol::SymbolState,
};

/// How many closed bars are kept of each symbol; each a power of two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BarCapacity {
    pub(crate) seconds: usize,
    pub(crate) minutes: usize,
    pub(crate) days: usize,
}

/// Closed hours kept of each symbol: a day's, and the one before it for what comes late.
const HOURS: usize = 32;

/// Lengths folded, in seconds.
pub(crate) const LENGTHS_S: [u32; LEVELS] = [1, 60, 3_600, 86_400];
/// How many.
pub(crate) const LEVELS: usize = 4;
/// The place of hours among them.
const HOUR: usize = 2;

const NS: i64 = 1_000_000_000;

/// A trade further ahead of the feed's clock than this is in no bar: it would close the bar in
/// progress long before its time.
pub(crate) const AHEAD_LIMIT_NS: i64 = 10_000_000_000;

/// The bars of one symbol, allocated at its first trade.
#[derive(Debug)]
pub(crate) struct Bars {
    levels: [Series; LEVELS],
}

/// A bar, as it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BarRecord {
    /// The definition its numbers are scaled by.
    pub id: WireId,
    /// Sequence of its last change, in its symbol's channel of this interval.
    pub sequence: u64,
    /// Beginning of the interval, seconds since the Unix epoch, UTC.
    pub start_s: i64,
    /// Price of the first trade, scaled; as the three below, [`ABSENT`] when all trades were
    /// cancelled.
    pub open: i64,
    /// Highest price.
    pub high: i64,
    /// Lowest price.
    pub low: i64,
    /// Price of the last trade.
    pub close: i64,
    /// Sum of sizes, scaled.
    pub volume: i64,
    /// Volume-weighted average price with two more decimals than prices, half to even; [`ABSENT`]
    /// without volume, or past 2^53 − 1.
    pub vwap: i64,
    /// Trades.
    pub trade_count: u32,
    /// Bits of [`tickgate_protocol::entry::bar_flag`].
    pub flags: u8,
}

/// What changed behind a cursor: [`SymbolState::bars_since`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BarsSince {
    /// The bars, in the order of their sequences.
    pub bars: Vec<BarRecord>,
    /// The cursor from now on.
    pub sequence: u64,
    /// Bars that changed behind the cursor had left the ring: ask for the history.
    pub lost: bool,
}

/// What a trade or correction did to the bars, for counting.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    /// Bars changed after they were closed.
    pub(crate) revised: u32,
    /// The lengths ([`LENGTHS_S`]) whose bar has the trade, a bit each.
    pub(crate) in_bars: u8,
    /// True when one of them has not.
    pub(crate) unplaced: bool,
}

impl Bars {
    pub(crate) fn new(capacity: BarCapacity) -> Self {
        let capacities = capacity.of_levels();
        Self { levels: std::array::from_fn(|at| Series::new(LENGTHS_S[at], capacities[at])) }
    }

    /// The series of an interval.
    pub(crate) fn of(&self, interval: BarInterval) -> &Series {
        let place = match interval {
            BarInterval::Second => 0,
            BarInterval::Minute => 1,
            BarInterval::Day => 3,
        };
        &self.levels[place]
    }

    /// Loads a word of each cache line that a trade looks at.
    pub(crate) fn touch(&self) -> u64 {
        self.levels.iter().fold(0, |seen, series| seen ^ series.touch())
    }

    /// Writer: an eligible trade; all bars that end up to `clock_ns` are closed.
    pub(crate) fn fold(&self, symbol: &SymbolState, fill: &Fill, clock_ns: i64) -> Changes {
        let (id, scale) = symbol.identity();
        let mut changes = Changes::default();
        for (level, series) in self.levels.iter().enumerate() {
            let place = |bar: &Bar| at_scale(symbol, bar, id, scale);
            match series.fold(fill, clock_ns, place, id) {
                Folded::Open => changes.in_bars |= 1 << level,
                Folded::Revised => {
                    changes.in_bars |= 1 << level;
                    changes.revised += 1;
                }
                Folded::Unplaced => changes.unplaced = true,
            }
        }
        changes
    }

    /// Writer: a trade that is in the bars of the lengths `in_bars` was cancelled (`new` is `None`) or
    /// corrected. The tape holds the correction
    /// already, so whoever looks at all of its records finds what holds now.
    pub(crate) fn correct(
        &self,
        symbol: &SymbolState,
        old: &Fill,
        new: Option<&Fill>,
        in_bars: u8,
    ) -> Changes {
        let (id, scale) = symbol.identity();
        let place = |bar: &Bar| at_scale(symbol, bar, id, scale);
        let mut changes = Changes::default();
        for (level, series) in self.levels.iter().enumerate() {
            let length_s = i64::from(LENGTHS_S[level]);
            let refold = |bar: &Bar| {
                let (from_s, to_s) = (bar.start_s, bar.start_s + length_s);
                let shorter = || {
                    let shorter = self.levels[..level].last()?;
                    shorter.prices_between(from_s, to_s, place).map(|(prices, _)| prices)
                };
                prices_on_tape(symbol, bar, to_s, level).or_else(shorter)
            };
            if in_bars & (1 << level) != 0 && series.correct(old, new, place, refold) {
                changes.revised += 1;
            } else {
                changes.unplaced = true;
            }
        }
        changes
    }

    /// True when the bars of the lengths `in_bars` at that time could hold `more` of size.
    pub(crate) fn can_hold(
        &self,
        symbol: &SymbolState,
        in_bars: u8,
        time_ns: i64,
        more: i64,
    ) -> bool {
        let (id, scale) = symbol.identity();
        let place = |bar: &Bar| at_scale(symbol, bar, id, scale);
        let mut of_it =
            self.levels.iter().enumerate().filter(|(level, _)| in_bars & (1 << level) != 0);
        of_it.all(|(_, series)| series.can_hold(time_ns, more, place))
    }

    /// Writer: the prices of all hours that begin at `from_s` or later, and how many trades they have;
    /// `None` when one of these hours is not there any more, or not exact.
    pub(crate) fn hours_since(&self, symbol: &SymbolState, from_s: i64) -> Option<(Prices, u64)> {
        let (id, scale) = symbol.identity();
        let place = |bar: &Bar| at_scale(symbol, bar, id, scale);
        self.levels[HOUR].prices_between(from_s, i64::MAX, place)
    }

    /// Writer: the bars in progress at the scale `shift` finer, of the definition `id`; what
    /// [`Bars::restate`] takes once the definition is there.
    ///
    /// # Errors
    /// [`crate::Refusal::Range`] when a number does not fit.
    pub(crate) fn rescaled(
        &self,
        id: WireId,
        shift: crate::scale::Shift,
    ) -> Result<[Option<Bar>; LEVELS], crate::Refusal> {
        let mut rescaled = [None; LEVELS];
        for (series, rescaled) in self.levels.iter().zip(&mut rescaled) {
            *rescaled = series.open_bar().map(|bar| bar.rescale(id, shift)).transpose()?;
        }
        Ok(rescaled)
    }

    /// Writer: publishes what [`Bars::rescaled`] made.
    pub(crate) fn restate(&self, rescaled: [Option<Bar>; LEVELS]) {
        for (series, bar) in self.levels.iter().zip(rescaled) {
            if let Some(bar) = bar {
                series.restate_open(bar);
            }
        }
    }

    /// Writer: closes the bar of one length if its interval is over.
    pub(crate) fn close_at(&self, level: usize, clock_ns: i64) -> Closing {
        self.levels[level].close_at(clock_ns)
    }

    /// Writer: a new epoch, without bars.
    pub(crate) fn void(&self) {
        for series in &self.levels {
            series.void();
        }
    }
}

impl BarCapacity {
    /// Of each length folded.
    pub(crate) fn of_levels(self) -> [usize; LEVELS] {
        [self.seconds, self.minutes, HOURS, self.days]
    }
}

impl BarRecord {
    fn new((sequence, bar): (u64, Bar)) -> Self {
        let Prices { open, high, low, close, .. } = bar.prices;
        Self {
            id: bar.id,
            sequence,
            start_s: bar.start_s,
            open,
            high,
            low,
            close,
            volume: bar.volume,
            vwap: bar.vwap(),
            trade_count: bar.trade_count,
            flags: bar.flags,
        }
    }
}

/// Reading.
impl SymbolState {
    /// The newest sequence of a bar channel: one load, to ask "anything new?".
    #[must_use]
    pub fn bar_sequence(&self, interval: BarInterval) -> u64 {
        self.bars.get().map_or(0, |bars| bars.of(interval).sequence())
    }

    /// The bars that changed behind `cursor`, a sequence of this channel.
    ///
    /// # Errors
    /// [`Busy`] when its shard was mid-write at each of four tries: stay due and count it.
    pub fn bars_since(&self, interval: BarInterval, cursor: u64) -> Result<BarsSince, Busy> {
        let Some(bars) = self.bars.get() else {
            return Ok(BarsSince { bars: Vec::new(), sequence: cursor, lost: false });
        };
        let mut changed = Vec::new();
        let Since { sequence, lost } = bars.of(interval).since(cursor, &mut changed)?;
        Ok(BarsSince { bars: changed.into_iter().map(BarRecord::new).collect(), sequence, lost })
    }

    /// The newest bars that begin before `before_s` (seconds since the Unix epoch), newest first,
    /// at most `limit`, among them the one in progress; and whether there are more. Each is scaled
    /// by the definition that was in force when it last changed, or as it was when it closed.
    ///
    /// # Errors
    /// [`Busy`] when its shard was mid-write at each of four tries: ask again.
    pub fn bars_before(
        &self,
        interval: BarInterval,
        before_s: i64,
        limit: usize,
    ) -> Result<(Vec<BarRecord>, bool), Busy> {
        let Some(bars) = self.bars.get() else { return Ok((Vec::new(), false)) };
        let (bars, more) = bars.of(interval).before(before_s, limit)?;
        Ok((bars.into_iter().map(BarRecord::new).collect(), more))
    }
}

/// True for a trade that bars are made of.
pub(crate) fn is_eligible(flags: u8) -> bool {
    flags & trade_flag::NOT_ELIGIBLE == 0
}

/// The bar at the scale in force; `None` when it does not fit.
fn at_scale(symbol: &SymbolState, bar: &Bar, id: WireId, scale: Scale) -> Option<Bar> {
    if bar.id == id {
        return Some(*bar);
    }
    let definition = symbol.definition_of(bar.id)?;
    bar.rescale(id, Scale::of(&definition).to(scale)).ok()
}

/// The prices of a bar of the length `level` that ends at `to_s`, from the trades on the tape as they stand after all
/// corrections; `None` when one of them has left the tape, or does not fit the scale in force.
fn prices_on_tape(symbol: &SymbolState, bar: &Bar, to_s: i64, level: usize) -> Option<Prices> {
    if bar.first_sequence < symbol.tape_oldest() {
        return None;
    }
    let (from_ns, to_ns) = (bar.start_s.saturating_mul(NS), to_s.saturating_mul(NS));
    let mut prices = Prices::NONE;
    for trade in HeldTrades::since(symbol, bar.first_sequence).iter() {
        let is_in = trade.in_bars & (1 << level) != 0;
        if is_in && (from_ns..to_ns).contains(&trade.event_time_ns) {
            prices.add((trade.event_time_ns - from_ns).unsigned_abs(), trade.price);
        }
    }
    debug_assert!(prices.open != ABSENT, "called for bars with trades");
    Some(prices)
}
