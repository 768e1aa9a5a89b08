//! Bars against a model that remembers every trade and folds them all anew.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use tickgate_hub::{BarRecord, Hub, HubConfig, Publisher, SymbolState};
use tickgate_protocol::{
    bar::BarInterval,
    entry::{bar_flag, trade_flag},
    number::ABSENT,
    symbol::SymbolIndex,
    tick::{Batch, Correction, CorrectionKind, Listing, Tick, TickBody, Trade},
};

const NS: i64 = 1_000_000_000;
const DAY: i64 = 86_400;

/// A trade as it stands now, at the scale 10^-4 whatever it was published at.
#[derive(Debug, Clone, Copy)]
struct Held {
    trade_id: i64,
    /// Its place on the tape.
    sequence: u64,
    time_ns: i64,
    price: i64,
    size: i64,
    is_eligible: bool,
}

/// What all trades of an interval come to, at 10^-4.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Sums {
    prices: [i64; 4],
    volume: i64,
    notional: i128,
    trade_count: u32,
}

fn fold(trades: &[&Held]) -> Sums {
    let mut by_time = trades.to_vec();
    // Stable: of two at the same time the one that came first stays first.
    by_time.sort_by_key(|trade| trade.time_ns);
    let prices = || by_time.iter().map(|trade| trade.price);
    let volume: i64 = trades.iter().map(|trade| trade.size).sum();
    let notional =
        trades.iter().map(|trade| i128::from(trade.price) * i128::from(trade.size)).sum();
    Sums {
        prices: [prices().next(), prices().max(), prices().min(), prices().next_back()]
            .map(|price| price.unwrap_or(ABSENT)),
        volume,
        notional,
        trade_count: trades.len() as u32,
    }
}

fn half_even(number: i128, by: i128) -> i64 {
    let below = number.div_euclid(by);
    let distance = |whole: i128| (number - whole * by).abs();
    let nearest = [below, below + 1].into_iter().min_by_key(|whole| (distance(*whole), whole & 1));
    i64::try_from(nearest.expect("two")).expect("small")
}

/// One symbol, whose trades come late, out of order, corrected and cancelled.
struct Run {
    rng: StdRng,
    hub: Arc<Hub>,
    publisher: Publisher,
    trades: Vec<Held>,
    /// The feed's clock.
    now_ns: i64,
    next_id: i64,
    /// Trades and corrections so far: the tape's head.
    head: u64,
    /// Eligible trades too far ahead of the clock.
    ahead: u64,
    /// How many decimals prices have now.
    places: i8,
    sizes: Sizes,
}

/// How much the hub keeps, and how far trades may be out of order.
#[derive(Debug, Clone, Copy)]
struct Sizes {
    tape: usize,
    bars: usize,
    late_s: i64,
    step_ms: i64,
}

/// Nothing is forgotten.
const ROOMY: Sizes = Sizes { tape: 4_096, bars: 4_096, late_s: 200, step_ms: 20_000 };

/// Most is.
const SMALL: Sizes = Sizes { tape: 16, bars: 8, late_s: 30, step_ms: 1_500 };

impl Run {
    fn new(seed: u64, sizes: Sizes) -> Self {
        let Sizes { tape, bars, .. } = sizes;
        let config = HubConfig {
            workers: 1,
            symbol_limit: 8,
            tape_capacity: tape,
            bar_1s_capacity: bars,
            bar_1m_capacity: bars,
            bar_1d_capacity: bars,
            ..HubConfig::default()
        };
        let hub = Hub::new(config, 1).expect("valid");
        let mut run = Self {
            rng: StdRng::seed_from_u64(seed),
            publisher: hub.publisher(),
            hub,
            trades: Vec::new(),
            // Two minutes before midnight.
            now_ns: (20_000 * DAY - 120) * NS,
            next_id: 1,
            head: 0,
            ahead: 0,
            places: 0,
            sizes,
        };
        run.list(0);
        run
    }

    fn list(&mut self, places: i8) {
        self.places = places;
        let listing = Listing::new("A", -places, 0);
        self.publisher.publish(&Batch { listings: vec![listing], ..Batch::default() });
    }

    fn symbol(&self) -> &SymbolState {
        self.hub.symbol(SymbolIndex(0)).expect("listed")
    }

    fn step(&mut self) {
        let mut batch = Batch::default();
        if self.rng.random_ratio(1, 150) {
            batch.new_epoch = true;
            self.trades.clear();
        }
        if self.rng.random_ratio(1, 80) && self.places < 4 {
            self.list(self.places + 1);
        }
        for _ in 0..self.rng.random_range(0..6) {
            batch.ticks.push(self.tick());
        }
        self.now_ns += self.rng.random_range(0..self.sizes.step_ms) * (NS / 1_000);
        batch.clock_ns = self.now_ns;
        self.publisher.publish(&batch);
    }

    fn tick(&mut self) -> Tick {
        // The newest listing's scale is the one in force; each has a number of its own.
        let scale = 10i64.pow(4 - self.places.unsigned_abs() as u32);
        let symbol = self.places as u32;
        let tick = |event_time_ns, body| Tick { symbol, event_time_ns, body };
        if self.rng.random_ratio(1, 5) && self.next_id > 1 {
            let trade_id = self.rng.random_range(1..self.next_id);
            // What has left the tape is corrected in name only.
            let oldest = (self.head + 1).saturating_sub(self.sizes.tape as u64);
            let mut trades = self.trades.iter();
            let held = trades.position(|t| t.trade_id == trade_id && t.sequence >= oldest);
            self.head += 1;
            let correction = if self.rng.random_ratio(1, 2) {
                if let Some(at) = held {
                    self.trades.remove(at);
                }
                let (what, price, size) = (CorrectionKind::Cancel, ABSENT, ABSENT);
                Correction { trade_id, what, price, size }
            } else {
                let (price, size) = (self.rng.random_range(-9..=30), self.rng.random_range(0..9));
                if let Some(at) = held {
                    (self.trades[at].price, self.trades[at].size) = (price * scale, size);
                }
                Correction { trade_id, what: CorrectionKind::Correct, price, size }
            };
            return tick(self.now_ns, TickBody::Correction(correction));
        }
        let late_ns = match self.rng.random_ratio(1, 4) {
            true => self.rng.random_range(0..self.sizes.late_s * NS),
            // Several at the very same time.
            false => self.rng.random_range(0..3) * NS / 4,
        };
        // Far ahead of the clock: in no bar, also when the clock has come there.
        let is_ahead = self.rng.random_ratio(1, 25);
        let ahead_ns = self.rng.random_range(10..40) * NS + self.sizes.step_ms * (NS / 1_000);
        let time_ns = if is_ahead { self.now_ns + ahead_ns } else { self.now_ns - late_ns };
        let (price, size) = (self.rng.random_range(-9..=30), self.rng.random_range(0..9));
        let is_eligible = self.rng.random_ratio(9, 10);
        self.ahead += u64::from(is_ahead && is_eligible);
        let flags = if is_eligible { 0 } else { trade_flag::NOT_ELIGIBLE };
        let trade_id = self.next_id;
        self.next_id += 1;
        self.head += 1;
        let (sequence, price_now) = (self.head, price * scale);
        let is_eligible = is_eligible && !is_ahead;
        self.trades.push(Held { trade_id, sequence, time_ns, price: price_now, size, is_eligible });
        tick(time_ns, TickBody::Trade(Trade { price, size, flags, trade_id }))
    }

    /// All bars of an interval, by their beginning.
    fn expected(&self, interval: BarInterval) -> BTreeMap<i64, Sums> {
        let mut trades: BTreeMap<i64, Vec<&Held>> = BTreeMap::new();
        for trade in self.trades.iter().filter(|trade| trade.is_eligible) {
            let length_s = i64::from(interval.seconds());
            let start_s = trade.time_ns.div_euclid(NS).div_euclid(length_s) * length_s;
            trades.entry(start_s).or_default().push(trade);
        }
        trades.into_iter().map(|(start_s, trades)| (start_s, fold(&trades))).collect()
    }

    /// What the hub has, at 10^-4.
    /// Averages are checked here, since they are rounded at the scale a bar has.
    fn held(&self, interval: BarInterval) -> BTreeMap<i64, (Sums, u8)> {
        let expected = self.expected(interval);
        let (bars, more) = self.symbol().bars_before(interval, i64::MAX, usize::MAX).expect("idle");
        assert!(!more);
        let by_start: BTreeMap<_, _> = bars
            .iter()
            .map(|bar| {
                let known = expected.get(&bar.start_s).copied().unwrap_or(fold(&[]));
                assert_eq!(bar.vwap, self.average(bar, &known), "{interval:?} {bar:?}");
                let mut sums = self.sums(bar);
                sums.notional = known.notional;
                (bar.start_s, (sums, bar.flags))
            })
            .collect();
        assert_eq!(by_start.len(), bars.len(), "two bars begin at the same time");
        by_start
    }

    fn places(&self, bar: &BarRecord) -> u32 {
        let definition = self.symbol().definition_of(bar.id).expect("its own");
        u32::from(definition.price_exponent.unsigned_abs())
    }

    /// The average at the scale of a bar, with two more decimals.
    fn average(&self, bar: &BarRecord, sums: &Sums) -> i64 {
        match sums.volume {
            0 => ABSENT,
            volume => half_even(
                sums.notional * 100,
                i128::from(volume) * i128::from(10i64.pow(4 - self.places(bar))),
            ),
        }
    }

    fn sums(&self, bar: &BarRecord) -> Sums {
        let scale = 10i64.pow(4 - self.places(bar));
        let price = |price| if price == ABSENT { ABSENT } else { price * scale };
        Sums {
            prices: [bar.open, bar.high, bar.low, bar.close].map(price),
            volume: bar.volume,
            notional: 0,
            trade_count: bar.trade_count,
        }
    }
}

#[test]
fn bars_are_a_fold_of_all_eligible_trades_by_the_times_at_which_they_happened() {
    for seed in 0..60 {
        println!("seed {seed}");
        let mut run = Run::new(seed, ROOMY);
        for _ in 0..120 {
            run.step();
        }
        let stats = run.hub.stats();
        assert_eq!(stats.refused.iter().map(|(_, count)| count).sum::<u64>(), 0);
        assert!(stats.trades_unplaced >= run.ahead, "{} of {}", stats.trades_unplaced, run.ahead);
        for interval in BarInterval::ALL {
            let (mut held, expected) = (run.held(interval), run.expected(interval));
            // A bar whose trades were all cancelled stays, and says so.
            held.retain(|_, (sums, _)| *sums != fold(&[]));
            let inexact = held.values().filter(|(_, flags)| flags & bar_flag::INEXACT != 0).count();
            assert_eq!(inexact, 0, "{interval:?}: nothing was forgotten");
            let sums: BTreeMap<_, _> =
                held.iter().map(|(start, (sums, _))| (*start, *sums)).collect();
            assert_eq!(sums, expected, "{interval:?}");
            // All are closed whose interval is over by the clock.
            let over = |start_s| start_s + i64::from(interval.seconds()) <= run.now_ns / NS;
            for (start_s, (_, flags)) in held {
                let is_closed = flags & bar_flag::CLOSED != 0;
                assert_eq!(is_closed, over(start_s), "{interval:?} {start_s} at {}", run.now_ns);
            }
        }
    }
}

/// With a tape and rings that forget: the sums of what is there are exact, and so are its prices, or
/// the bar says that they may not be.
#[test]
fn what_a_small_hub_still_has_is_exact_or_says_that_it_may_not_be() {
    let (mut exact, mut inexact) = (0, 0);
    for seed in 0..120 {
        println!("seed {seed}");
        let mut run = Run::new(seed, SMALL);
        for _ in 0..150 {
            run.step();
        }
        for interval in BarInterval::ALL {
            let expected = run.expected(interval);
            for (start_s, (sums, flags)) in run.held(interval) {
                let mut known = expected.get(&start_s).copied().unwrap_or(fold(&[]));
                if flags & bar_flag::INEXACT != 0 {
                    inexact += 1;
                    known.prices = sums.prices;
                } else {
                    exact += 1;
                }
                assert_eq!(sums, known, "{interval:?} {start_s}");
            }
        }
    }
    println!("{exact} exact, {inexact} not");
    assert!(exact > 1_000 && inexact > 10, "{exact} exact, {inexact} not");
}

/// Whoever takes a cursor and then asks for the history, page by page and while the market goes on,
/// holds one series without hole or duplicate at the end; or has been told of the hole.
#[test]
fn a_cursor_and_the_history_make_one_series() {
    let mut lost = [0, 0];
    for seed in 0..120 {
        println!("seed {seed}");
        let mut run = Run::new(seed, if seed % 2 == 0 { ROOMY } else { SMALL });
        let steps = run.rng.random_range(0..60);
        (0..steps).for_each(|_| run.step());
        for interval in BarInterval::ALL {
            let mut reader = Reader::new(run.symbol(), run.hub.epoch(), interval);
            for _ in 0..30 {
                run.step();
                match run.rng.random_range(0..3) {
                    0 => reader.look(run.symbol(), run.hub.epoch()),
                    1 => reader.ask(run.symbol(), run.hub.epoch()),
                    _ => {}
                }
            }
            reader.look(run.symbol(), run.hub.epoch());
            while !reader.is_whole() {
                reader.ask(run.symbol(), run.hub.epoch());
            }
            lost[seed as usize % 2] += reader.lost;
            let held: BTreeMap<_, _> =
                reader.bars.iter().map(|(start, bar)| (*start, bar)).collect();
            let (all, _) = run.symbol().bars_before(interval, i64::MAX, usize::MAX).expect("idle");
            // The reader may know of bars that have given way since.
            for bar in &all {
                assert_eq!(held.get(&bar.start_s), Some(&bar), "{interval:?}");
            }
            let oldest = all.last().map_or(i64::MAX, |bar| bar.start_s);
            let newer = held.range(oldest..).count();
            assert!(newer >= all.len(), "{interval:?}");
        }
    }
    assert_eq!(lost[0], 0, "a roomy hub loses nothing");
    assert!(lost[1] > 0, "a small one does");
}

/// What a client does with its channel and the answers to `history`.
struct Reader {
    interval: BarInterval,
    epoch: u64,
    cursor: u64,
    bars: BTreeMap<i64, BarRecord>,
    /// The next page is that before this; `None` when there is no older one.
    before_s: Option<i64>,
    lost: u32,
}

impl Reader {
    fn new(symbol: &SymbolState, epoch: u64, interval: BarInterval) -> Self {
        let cursor = symbol.bar_sequence(interval);
        Self { interval, epoch, cursor, bars: BTreeMap::new(), before_s: Some(i64::MAX), lost: 0 }
    }

    fn take(&mut self, bars: &[BarRecord]) {
        for bar in bars {
            let held = self.bars.entry(bar.start_s).or_insert(*bar);
            if held.sequence < bar.sequence {
                *held = *bar;
            }
        }
    }

    fn follow(&mut self, epoch: u64) {
        if epoch != self.epoch {
            (self.epoch, self.before_s) = (epoch, Some(i64::MAX));
            self.bars.clear();
        }
    }

    fn look(&mut self, symbol: &SymbolState, epoch: u64) {
        self.follow(epoch);
        let since = symbol.bars_since(self.interval, self.cursor).expect("idle");
        assert!(since.bars.is_sorted_by(|one, other| one.sequence < other.sequence));
        assert!(since.bars.iter().all(|bar| bar.sequence > self.cursor));
        self.cursor = since.sequence;
        self.take(&since.bars);
        if since.lost {
            self.lost += 1;
            self.before_s = Some(i64::MAX);
        }
    }

    fn ask(&mut self, symbol: &SymbolState, epoch: u64) {
        self.follow(epoch);
        let Some(before_s) = self.before_s else { return };
        let (page, more) = symbol.bars_before(self.interval, before_s, 3).expect("idle");
        self.before_s = page.last().filter(|_| more).map(|bar| bar.start_s);
        self.take(&page);
    }

    fn is_whole(&self) -> bool {
        self.before_s.is_none()
    }
}

/// A reader beside the publisher: no bar is torn, sequences rise, and at the end it holds all.
#[test]
fn a_concurrent_reader_of_bars_sees_whole_ones_in_order_and_misses_none() {
    const ROUNDS: i64 = 20_000;
    let config = HubConfig { symbol_limit: 8, bar_1s_capacity: 64, ..HubConfig::default() };
    let hub = Hub::new(config, 1).expect("valid");
    let mut publisher = hub.publisher();
    let listing = Listing::new("A", 0, 0);
    publisher.publish(&Batch { listings: vec![listing], ..Batch::default() });
    let symbol = hub.symbol(SymbolIndex(0)).expect("listed");
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut batch = Batch::default();
            for n in 1..=ROUNDS {
                batch.clear();
                // Three a second, and now and then one for a second that is over.
                for time_ns in [n * NS / 3, n * NS / 3 - if n % 7 == 0 { 5 * NS } else { 0 }] {
                    let start_s = time_ns.div_euclid(NS);
                    let trade = Trade { price: start_s, size: 1, flags: 0, trade_id: ABSENT };
                    let body = TickBody::Trade(trade);
                    batch.ticks.push(Tick { symbol: 0, event_time_ns: time_ns, body });
                }
                publisher.publish(&batch);
            }
            done.store(true, Ordering::Release);
        });
        let (mut cursor, mut last) = (0, false);
        let mut bars: BTreeMap<i64, BarRecord> = BTreeMap::new();
        while !last {
            last = done.load(Ordering::Acquire);
            let Ok(since) = symbol.bars_since(BarInterval::Second, cursor) else {
                last = false;
                continue;
            };
            for bar in &since.bars {
                assert!(bar.sequence > cursor && bar.sequence <= since.sequence);
                cursor = bar.sequence;
                // All trades of a second have its number as their price.
                let price = bar.start_s;
                assert_eq!([bar.open, bar.high, bar.low, bar.close], [price; 4]);
                assert_eq!((bar.vwap, i64::from(bar.trade_count)), (price * 100, bar.volume));
                let held = bars.insert(bar.start_s, *bar);
                assert!(held.is_none_or(|held| held.trade_count <= bar.trade_count));
            }
            cursor = since.sequence;
            if since.lost {
                let page = symbol.bars_before(BarInterval::Second, i64::MAX, 64);
                for bar in page.map_or(Vec::new(), |(page, _)| page) {
                    let held = bars.entry(bar.start_s).or_insert(bar);
                    if held.sequence < bar.sequence {
                        *held = bar;
                    }
                }
            }
        }
        let (held, _) = symbol.bars_before(BarInterval::Second, i64::MAX, 64).expect("idle");
        assert!(held.len() > 60, "{}", held.len());
        for bar in held {
            assert_eq!(bars.get(&bar.start_s), Some(&bar));
        }
    });
}

/// Who reads an epoch from its beginning is told of a loss where one of its own bars has given way.
#[test]
fn a_loss_of_the_epoch_before_is_nobodys_in_the_next() {
    let config =
        HubConfig { workers: 1, symbol_limit: 8, bar_1s_capacity: 4, ..HubConfig::default() };
    let hub = Hub::new(config, 1).expect("the sizes are good");
    let mut publisher = hub.publisher();
    let listing = Listing::new("S", -2, 0);
    publisher.publish(&Batch { listings: vec![listing], ..Batch::default() });
    let seconds = |publisher: &mut Publisher, count: i64, new_epoch| {
        for second in 0..count {
            let trade = Trade { price: 5, size: 1, flags: 0, trade_id: ABSENT };
            let event_time_ns = second * NS;
            let ticks = vec![Tick { symbol: 0, event_time_ns, body: TickBody::Trade(trade) }];
            let new_epoch = new_epoch && second == 0;
            let clock_ns = event_time_ns + NS;
            publisher.publish(&Batch { new_epoch, ticks, clock_ns, ..Batch::default() });
        }
        let symbol = hub.symbol(SymbolIndex(0)).expect("it is listed");
        let since = symbol.bars_since(BarInterval::Second, 0).expect("idle");
        (since.bars.len(), since.lost)
    };
    assert_eq!(seconds(&mut publisher, 9, false), (4, true));
    assert_eq!(seconds(&mut publisher, 3, true), (3, false));
    assert_eq!(seconds(&mut publisher, 5, true), (4, true), "one of five is gone");
}
