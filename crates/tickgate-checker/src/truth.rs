//! What really happened, as the harness saw the hub apply it; shared by all connections' checkers.

use std::collections::BTreeMap;

use crate::wire::{Bar, Channel, Definition, Fields, TapeEvent, Unit};

/// One state of a state channel.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct StateTruth {
    pub(crate) at_us: u64,
    pub(crate) sequence: u64,
    pub(crate) exponents: (i32, i32),
    pub(crate) event_ns: Option<i64>,
    pub(crate) fields: Fields,
}

/// One place of a tape.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TapeTruth {
    pub(crate) at_us: u64,
    pub(crate) sequence: u64,
    pub(crate) exponents: (i32, i32),
    pub(crate) event_ns: Option<i64>,
    pub(crate) event: TapeEvent,
    pub(crate) volume: i64,
}

/// One state of a bar.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct BarTruth {
    pub(crate) at_us: u64,
    pub(crate) sequence: u64,
    pub(crate) exponents: (i32, i32),
    pub(crate) bar: Bar,
}

/// One change of status, of a symbol or of the feed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct StatusTruth {
    pub(crate) at_us: u64,
    pub(crate) sequence: u64,
    pub(crate) status: i64,
    pub(crate) reason: Option<i64>,
    pub(crate) event_ns: Option<i64>,
    pub(crate) after_trade: u64,
    /// A trading session of this date begins.
    pub(crate) session_date: Option<i64>,
}

/// Something the feed itself lost.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct FeedLoss {
    pub(crate) from: Option<u64>,
    pub(crate) to: Option<u64>,
    pub(crate) size: Option<i64>,
}

/// Everything about one symbol in one epoch.
#[derive(Debug, Clone, Default)]
pub(crate) struct SymbolTruth {
    pub(crate) definitions: Vec<(u64, Definition)>,
    pub(crate) quote: Vec<StateTruth>,
    pub(crate) last: Vec<StateTruth>,
    pub(crate) tape: Vec<TapeTruth>,
    pub(crate) statuses: Vec<StatusTruth>,
    pub(crate) losses: Vec<FeedLoss>,
    /// When trading sessions began, and the tape's head then.
    pub(crate) sessions: Vec<(u64, u64)>,
    /// By length, in the order of [`Channel::BARS`].
    bars: [Vec<BarTruth>; 3],
    /// Where the tape stood when the epoch began, if its sequences go on.
    pub(crate) tape_base: u64,
}

impl SymbolTruth {
    pub(crate) fn states(&self, channel: Channel) -> &[StateTruth] {
        match channel {
            Channel::Quote => &self.quote,
            Channel::Last => &self.last,
            Channel::Trade | Channel::Bar1s | Channel::Bar1m | Channel::Bar1d => &[],
        }
    }

    /// Changes of the bars of a channel, each of the whole bar.
    pub(crate) fn bars(&self, channel: Channel) -> &[BarTruth] {
        bars_at(channel).map_or(&[], |at| &self.bars[at])
    }

    pub(crate) fn state(&self, channel: Channel, sequence: u64) -> Option<&StateTruth> {
        let states = self.states(channel);
        states.binary_search_by_key(&sequence, |s| s.sequence).ok().map(|at| &states[at])
    }

    pub(crate) fn trade(&self, sequence: u64) -> Option<&TapeTruth> {
        self.tape.binary_search_by_key(&sequence, |t| t.sequence).ok().map(|at| &self.tape[at])
    }

    pub(crate) fn status(&self, sequence: u64) -> Option<&StatusTruth> {
        let at = self.statuses.binary_search_by_key(&sequence, |s| s.sequence).ok()?;
        Some(&self.statuses[at])
    }

    /// When a trading session began behind that record of the tape and before the next; the first of
    /// several, since from then on the session's volume is 0.
    pub(crate) fn session_behind(&self, sequence: u64) -> Option<u64> {
        self.sessions.iter().find(|(_, head)| *head == sequence).map(|(at_us, _)| *at_us)
    }

    /// Head of a channel after everything applied up to `at_us`, itself included.
    pub(crate) fn head(&self, channel: Channel, at_us: u64) -> u64 {
        match channel {
            Channel::Trade => {
                last_until(&self.tape, |t| t.at_us, at_us).map_or(self.tape_base, |t| t.sequence)
            }
            Channel::Bar1s | Channel::Bar1m | Channel::Bar1d => {
                last_until(self.bars(channel), |b| b.at_us, at_us).map_or(0, |b| b.sequence)
            }
            _ => last_until(self.states(channel), |s| s.at_us, at_us).map_or(0, |s| s.sequence),
        }
    }

    /// The status that held after everything applied up to `at_us`.
    pub(crate) fn status_head(&self, at_us: u64) -> Option<&StatusTruth> {
        last_until(&self.statuses, |s| s.at_us, at_us)
    }
}

pub(crate) fn last_until<T>(items: &[T], at: impl Fn(&T) -> u64, until_us: u64) -> Option<&T> {
    items[..items.partition_point(|item| at(item) <= until_us)].last()
}

/// One epoch.
#[derive(Debug, Clone, Default)]
pub(crate) struct EpochTruth {
    pub(crate) epoch: u64,
    pub(crate) at_us: u64,
    pub(crate) symbols: BTreeMap<String, SymbolTruth>,
}

/// All that happened, in order of virtual time. Holds everything for the length of a test.
///
/// Times are the harness's monotonic virtual microseconds; everything must be recorded before the
/// bytes that could show it are given to a checker.
#[derive(Debug, Clone)]
pub struct Truth {
    pub(crate) epochs: Vec<EpochTruth>,
    pub(crate) feed: Vec<StatusTruth>,
    /// (from this monotonic time on, Unix time less monotonic time)
    clock: Vec<(u64, i64)>,
}

impl Truth {
    /// Nothing has happened yet in `epoch`; the Unix clock shows the monotonic time until
    /// [`Self::clock`] says otherwise.
    #[must_use]
    pub fn new(epoch: u64) -> Self {
        let first = EpochTruth { epoch, ..EpochTruth::default() };
        Self { epochs: vec![first], feed: Vec::new(), clock: vec![(0, 0)] }
    }

    /// From `at_us` on the engine's Unix clock shows `unix_us` then, and runs on from there.
    pub fn clock(&mut self, at_us: u64, unix_us: i64) {
        self.clock.push((at_us, unix_us - at_us as i64));
    }

    /// A new epoch: every state before it is void. Definitions, states and statuses that hold in
    /// it are to be recorded again.
    pub fn epoch(&mut self, at_us: u64, epoch: u64) {
        self.epochs.push(EpochTruth { epoch, at_us, ..EpochTruth::default() });
    }

    /// A symbol is listed, or listed anew under another id and scale. Its status fields are not
    /// used; [`Self::status`] records those.
    pub fn define(&mut self, at_us: u64, definition: Definition) {
        let symbol = self.symbol_mut(&definition.name.clone());
        symbol.definitions.push((at_us, definition));
    }

    /// A state channel has this state at this sequence, in the scale of the symbol's latest
    /// definition; `fields` in wire order, as many as the channel has.
    pub fn state(
        &mut self,
        at_us: u64,
        symbol: &str,
        channel: Channel,
        sequence: u64,
        event_ns: Option<i64>,
        values: &[Option<i64>],
    ) {
        let truth = self.symbol_mut(symbol);
        let exponents = truth.exponents();
        let mut fields = Fields::default();
        fields[..values.len()].copy_from_slice(values);
        let states = if channel == Channel::Quote { &mut truth.quote } else { &mut truth.last };
        states.push(StateTruth { at_us, sequence, exponents, event_ns, fields });
    }

    /// A trade or correction took this sequence of the tape; `volume` is the trading session's
    /// after it.
    pub fn trade(
        &mut self,
        at_us: u64,
        symbol: &str,
        sequence: u64,
        event_ns: Option<i64>,
        event: TapeEvent,
        volume: i64,
    ) {
        let truth = self.symbol_mut(symbol);
        let exponents = truth.exponents();
        if truth.tape.is_empty() && sequence <= truth.tape_base {
            // The new epoch numbers its tape anew.
            truth.tape_base = sequence - 1;
        }
        truth.tape.push(TapeTruth { at_us, sequence, exponents, event_ns, event, volume });
    }

    /// A bar changed, and is this from now on, in the scale of the symbol's latest definition; the
    /// change took this sequence of the channel. Flag 4 is not looked at.
    pub fn bar(&mut self, at_us: u64, symbol: &str, channel: Channel, sequence: u64, bar: Bar) {
        let truth = self.symbol_mut(symbol);
        let exponents = truth.exponents();
        if let Some(at) = bars_at(channel) {
            truth.bars[at].push(BarTruth { at_us, sequence, exponents, bar });
        }
    }

    /// The feed lost trades of a symbol: a `trades lost` of origin 1 tells so.
    pub fn feed_lost(
        &mut self,
        symbol: &str,
        from: Option<u64>,
        to: Option<u64>,
        size: Option<i64>,
    ) {
        self.symbol_mut(symbol).losses.push(FeedLoss { from, to, size });
    }

    /// A symbol's status changed, after `after_trade` of its tape. Codes are the wire's integers.
    #[allow(clippy::too_many_arguments, reason = "the columns of one record")]
    pub fn status(
        &mut self,
        at_us: u64,
        symbol: &str,
        sequence: u64,
        status: i64,
        reason: Option<i64>,
        event_ns: Option<i64>,
        after_trade: u64,
    ) {
        let session_date = None;
        let record =
            StatusTruth { at_us, sequence, status, reason, event_ns, after_trade, session_date };
        self.symbol_mut(symbol).statuses.push(record);
    }

    /// A trading session of this date begins with the status recorded last: its definition has that
    /// status's sequence, and the session's volume is 0 until the next trade. Definition and figures
    /// are recorded by [`Self::define`] and [`Self::state`].
    pub fn session(&mut self, at_us: u64, symbol: &str, date: i64) {
        let truth = self.symbol_mut(symbol);
        if let Some(status) = truth.statuses.last_mut() {
            status.session_date = Some(date);
        }
        let head = truth.head(Channel::Trade, at_us);
        truth.sessions.push((at_us, head));
    }

    /// The feed's status changed (10 live, 11 stale). Its sequence goes on across epochs.
    pub fn feed_status(
        &mut self,
        at_us: u64,
        sequence: u64,
        status: i64,
        reason: Option<i64>,
        event_ns: Option<i64>,
    ) {
        let (after_trade, session_date) = (0, None);
        let record =
            StatusTruth { at_us, sequence, status, reason, event_ns, after_trade, session_date };
        self.feed.push(record);
    }

    /// Head of a symbol's channel now; 0 when it has no state.
    #[must_use]
    pub fn head(&self, symbol: &str, channel: Channel) -> u64 {
        self.now().symbols.get(symbol).map_or(0, |s| s.head(channel, u64::MAX))
    }

    /// Names listed in the current epoch.
    pub fn symbols(&self) -> impl Iterator<Item = &str> {
        self.now().symbols.keys().map(String::as_str)
    }

    pub(crate) fn now(&self) -> &EpochTruth {
        // `new` puts the first one there and nothing is ever taken out.
        self.epochs.last().expect("there is always an epoch")
    }

    pub(crate) fn find_epoch(&self, epoch: u64) -> Option<&EpochTruth> {
        self.epochs.iter().rev().find(|known| known.epoch == epoch)
    }

    /// The monotonic time at which the Unix clock showed `unix_us`, the latest one until
    /// `until_us`.
    pub(crate) fn monotonic(&self, unix_us: i64, until_us: u64) -> Option<u64> {
        let mut end = u64::MAX;
        for (from, offset) in self.clock.iter().rev() {
            if let Ok(at) = u64::try_from(unix_us - offset)
                && (*from..end).contains(&at)
                && at <= until_us
            {
                return Some(at);
            }
            end = *from;
        }
        None
    }

    /// True when the Unix clock, stepping back, showed `unix_us` more than once in the range: then
    /// nobody can tell from a frame which of these times formed it.
    pub(crate) fn is_ambiguous(&self, unix_us: i64, from_us: u64, until_us: u64) -> bool {
        let ends = self.clock.iter().skip(1).map(|(from, _)| *from).chain([u64::MAX]);
        let times = self.clock.iter().zip(ends).filter_map(|((from, offset), end)| {
            u64::try_from(unix_us - offset).ok().filter(|at| (*from..end).contains(at))
        });
        times.filter(|at| (from_us..=until_us).contains(at)).count() > 1
    }

    fn symbol_mut(&mut self, name: &str) -> &mut SymbolTruth {
        let (epoch, before) = self.epochs.split_last_mut().expect("there is always an epoch");
        epoch.symbols.entry(name.to_owned()).or_insert_with(|| {
            let known = before.last().and_then(|epoch| epoch.symbols.get(name));
            let tape_base = known.map_or(0, |symbol| symbol.head(Channel::Trade, u64::MAX));
            SymbolTruth { tape_base, ..SymbolTruth::default() }
        })
    }
}

impl SymbolTruth {
    fn exponents(&self) -> (i32, i32) {
        let latest = self.definitions.last();
        latest.map_or((0, 0), |(_, d)| (d.price_exponent, d.size_exponent))
    }
}

fn bars_at(channel: Channel) -> Option<usize> {
    Channel::BARS.iter().position(|of_bars| *of_bars == channel)
}

/// A number of one scale at another, exactly; `None` where it has no integer there.
pub(crate) fn rescale(number: i64, unit: Unit, from: (i32, i32), to: (i32, i32)) -> Option<i64> {
    let shift = match unit {
        Unit::Plain => 0,
        Unit::Price | Unit::Vwap => from.0 - to.0,
        Unit::Size => from.1 - to.1,
    };
    let power = 10i64.checked_pow(shift.unsigned_abs())?;
    if shift >= 0 {
        number.checked_mul(power)
    } else {
        (number % power == 0).then_some(number / power)
    }
}
