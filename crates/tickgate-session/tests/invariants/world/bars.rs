//! The bars of one symbol, folded from its trades with no thought of cost: each bar knows its trades
//! and is summed up anew at every change.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

use tickgate_checker::{Bar, Channel};
use tickgate_protocol::number::ABSENT;

const NS: i64 = 1_000_000_000;
const CLOSED: i64 = 1;
const REVISED: i64 = 2;

/// A change of a bar: its channel, the sequence it took, and what the bar is now.
pub(crate) type Change = (Channel, u64, Bar);

/// All of a symbol.
pub(crate) struct Bars {
    levels: [Level; 3],
    /// Eligible trades of this epoch that have a time, by their place on the tape.
    fills: Fills,
}

type Fills = BTreeMap<u64, Fill>;

/// A trade as it stands after corrections.
struct Fill {
    time_ns: i64,
    price: i64,
    size: i64,
}

/// Bars of one length.
struct Level {
    channel: Channel,
    length_s: i64,
    /// Closed bars that are kept.
    capacity: usize,
    sequence: u64,
    open: Option<Held>,
    /// Those of this epoch, in the order in which they were closed.
    closed: Vec<Held>,
}

/// One bar.
#[derive(Clone)]
struct Held {
    start_s: i64,
    trades: BTreeSet<u64>,
    flags: i64,
}

impl Bars {
    pub(crate) fn new(capacities: [usize; 3]) -> Self {
        let level = |at: usize| Level {
            channel: Channel::BARS[at],
            length_s: Channel::BARS[at].bar_length_s().expect("it is one of bars"),
            capacity: capacities[at],
            sequence: 0,
            open: None,
            closed: Vec::new(),
        };
        Self { levels: std::array::from_fn(level), fills: BTreeMap::new() }
    }

    /// An eligible trade at a place of the tape, when the feed's clock was at `clock_ns`.
    pub(crate) fn trade(
        &mut self,
        sequence: u64,
        (time_ns, price, size): (i64, i64, i64),
        clock_ns: i64,
    ) -> Vec<Change> {
        self.fills.insert(sequence, Fill { time_ns, price, size });
        let Self { levels, fills } = self;
        levels
            .iter_mut()
            .flat_map(|level| level.trade(sequence, time_ns, clock_ns, fills))
            .collect()
    }

    /// A trade was cancelled, or has another price and size now.
    pub(crate) fn correct(&mut self, sequence: u64, now: Option<(i64, i64)>) -> Vec<Change> {
        let Self { levels, fills } = self;
        let Some(fill) = fills.get_mut(&sequence) else { return Vec::new() };
        let time_ns = fill.time_ns;
        match now {
            Some((price, size)) => (fill.price, fill.size) = (price, size),
            None => {
                fills.remove(&sequence);
            }
        }
        levels.iter_mut().filter_map(|level| level.correct(sequence, time_ns, fills)).collect()
    }

    /// The feed's clock went on.
    pub(crate) fn pass(&mut self, clock_ns: &Range<i64>) -> Vec<Change> {
        let Self { levels, fills } = self;
        levels.iter_mut().filter_map(|level| level.pass(clock_ns, fills)).collect()
    }

    /// All numbers have more digits from now on.
    pub(crate) fn refine(&mut self, price: i64, size: i64) -> Vec<Change> {
        let Self { levels, fills } = self;
        for fill in fills.values_mut() {
            (fill.price, fill.size) = (fill.price * price, fill.size * size);
        }
        let restated = levels.iter_mut().filter_map(|level| {
            let open = level.open.clone()?;
            Some(level.changed(&open, fills))
        });
        restated.collect()
    }

    /// A new epoch.
    pub(crate) fn void(&mut self) {
        self.fills.clear();
        for level in &mut self.levels {
            level.open = None;
            level.closed.clear();
            // Voiding takes a sequence, too, but that of nothing is nothing.
            level.sequence += u64::from(level.sequence > 0);
        }
    }
}

impl Level {
    fn trade(&mut self, sequence: u64, time_ns: i64, clock_ns: i64, fills: &Fills) -> Vec<Change> {
        let start_s = self.start(time_ns);
        let is_over = start_s + self.length_s <= clock_ns.div_euclid(NS);
        let last_start_s = self.closed.iter().map(|bar| bar.start_s).max();
        let fresh = |flags| Held { start_s, trades: BTreeSet::from([sequence]), flags };
        match self.open.take() {
            Some(mut open) if open.start_s == start_s => {
                open.trades.insert(sequence);
                let change = self.changed(&open, fills);
                self.open = Some(open);
                vec![change]
            }
            None if !is_over && Some(start_s) > last_start_s => {
                self.open = Some(fresh(0));
                vec![self.changed(&fresh(0), fills)]
            }
            Some(open) if !is_over && start_s > open.start_s => {
                let closed = self.close(open, fills);
                self.open = Some(fresh(0));
                vec![closed, self.changed(&fresh(0), fills)]
            }
            open => {
                self.open = open;
                self.late(start_s, fresh(REVISED), fills)
            }
        }
    }

    fn late(&mut self, start_s: i64, fresh: Held, fills: &Fills) -> Vec<Change> {
        let gone = self.closed.len().saturating_sub(self.capacity);
        if let Some(bar) = self.closed[gone..].iter_mut().find(|bar| bar.start_s == start_s) {
            bar.trades.extend(fresh.trades);
            bar.flags |= REVISED;
            let bar = bar.clone();
            return vec![self.changed(&bar, fills)];
        }
        let is_older = self.closed[..gone].iter().any(|bar| bar.start_s >= start_s);
        if is_older { Vec::new() } else { vec![self.close(fresh, fills)] }
    }

    fn correct(&mut self, sequence: u64, time_ns: i64, fills: &Fills) -> Option<Change> {
        let start_s = self.start(time_ns);
        let is_in = |bar: &Held| bar.start_s == start_s && bar.trades.contains(&sequence);
        if let Some(open) = self.open.clone().filter(is_in) {
            return Some(self.changed(&open, fills));
        }
        let gone = self.closed.len().saturating_sub(self.capacity);
        let bar = self.closed[gone..].iter_mut().find(|bar| is_in(bar))?;
        bar.flags |= REVISED;
        let bar = bar.clone();
        Some(self.changed(&bar, fills))
    }

    fn pass(&mut self, clock_ns: &Range<i64>, fills: &Fills) -> Option<Change> {
        let interval = |clock_ns: i64| clock_ns.div_euclid(NS).div_euclid(self.length_s);
        if interval(clock_ns.start) >= interval(clock_ns.end) {
            return None;
        }
        let end_s = clock_ns.end.div_euclid(NS);
        let open = self.open.take_if(|open| open.start_s + self.length_s <= end_s)?;
        Some(self.close(open, fills))
    }

    fn close(&mut self, bar: Held, fills: &Fills) -> Change {
        let bar = Held { flags: bar.flags | CLOSED, ..bar };
        let change = self.changed(&bar, fills);
        self.closed.push(bar);
        change
    }

    fn changed(&mut self, bar: &Held, fills: &Fills) -> Change {
        self.sequence += 1;
        (self.channel, self.sequence, sum(bar, fills))
    }

    fn start(&self, time_ns: i64) -> i64 {
        time_ns.div_euclid(self.length_s * NS) * self.length_s
    }
}

/// What its trades make of a bar.
fn sum(bar: &Held, fills: &Fills) -> Bar {
    // Those that were cancelled are gone.
    let trades: Vec<(u64, &Fill)> =
        bar.trades.iter().filter_map(|at| Some((*at, fills.get(at)?))).collect();
    let price = |found: Option<&(u64, &Fill)>| found.map(|(_, fill)| fill.price);
    let in_time = |(at, fill): &&(u64, &Fill)| (fill.time_ns, *at);
    let prices = trades.iter().map(|(_, fill)| fill.price);
    let volume: i64 = trades.iter().map(|(_, fill)| fill.size).sum();
    let notional: i128 =
        trades.iter().map(|(_, fill)| i128::from(fill.price) * i128::from(fill.size)).sum();
    Bar {
        start_s: bar.start_s,
        prices: [
            price(trades.iter().min_by_key(in_time)),
            prices.clone().max(),
            prices.min(),
            price(trades.iter().max_by_key(in_time)),
        ],
        volume: Some(volume),
        vwap: (volume > 0).then(|| half_to_even(notional * 100, volume.into())),
        trade_count: trades.len() as i64,
        flags: bar.flags,
    }
}

fn half_to_even(numerator: i128, denominator: i128) -> i64 {
    let below = numerator.div_euclid(denominator);
    let twice_the_rest = 2 * numerator.rem_euclid(denominator);
    let is_up = twice_the_rest > denominator || (twice_the_rest == denominator && below % 2 != 0);
    i64::try_from(below + i128::from(is_up)).unwrap_or(ABSENT)
}
