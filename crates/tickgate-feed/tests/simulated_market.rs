//! What the simulated market promises, seen through the feed's contract.

use std::collections::{HashMap, HashSet};

use proptest::prelude::*;
use tickgate_feed::{
    Feed, Next,
    simulated::{SimulatedConfig, SimulatedMarket},
};
use tickgate_protocol::{
    entry::trade_flag,
    number::{ABSENT, is_valid},
    tick::{Batch, Quote, Status, Tick, TickBody},
};

const START_NS: i64 = 1_700_000_000_000_000_000;
const MS: i64 = 1_000_000;
const SECOND: i64 = 1_000 * MS;

fn config() -> SimulatedConfig {
    SimulatedConfig { start_time_ns: Some(START_NS), ..Default::default() }
}

fn open(config: SimulatedConfig) -> SimulatedMarket {
    SimulatedMarket::open(config).expect("settings in range")
}

/// Polls at the given times, each until nothing more is due.
fn run(market: &mut SimulatedMarket, times: impl IntoIterator<Item = i64>) -> Batch {
    let mut batch = Batch::default();
    for now_ns in times {
        while market.poll(now_ns, &mut batch) == Next::Again {}
    }
    batch
}

fn every(step_ns: i64, until_ns: i64) -> impl Iterator<Item = i64> {
    (0..=until_ns / step_ns).map(move |n| START_NS + n * step_ns)
}

fn lively() -> SimulatedConfig {
    SimulatedConfig { halts_per_hour: 20_000, halt_length_ms: 500, ..config() }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// Polling often, rarely or irregularly only groups the ticks differently.
    #[test]
    fn the_stream_does_not_depend_on_how_it_is_polled(
        seed in any::<u64>(),
        gaps_us in prop::collection::vec(1u32..400_000, 1..40),
        ticks_per_poll in 1u32..5_000,
    ) {
        let whole = SimulatedConfig { seed, ..lively() };
        let mut now_ns = START_NS;
        let times: Vec<i64> = gaps_us
            .iter()
            .map(|gap_us| {
                now_ns += i64::from(*gap_us) * 1_000;
                now_ns
            })
            .collect();
        let steady = run(&mut open(whole.clone()), every(7 * MS, now_ns - START_NS).chain([now_ns]));
        let ragged = run(&mut open(SimulatedConfig { ticks_per_poll, ..whole }), times);
        prop_assert_eq!(steady.listings, ragged.listings);
        prop_assert_eq!(steady.ticks.len(), ragged.ticks.len());
        prop_assert!(steady.ticks == ragged.ticks, "ticks differ");
    }
}

/// The same ticks on every platform and in every later version, or a deliberate change here.
#[test]
fn the_default_stream_is_the_one_it_always_was() {
    let batch = run(&mut open(lively()), every(10 * MS, 2 * SECOND));
    // FNV-1a over the printed ticks: prints are stable, in-memory layouts are not.
    let hash = batch
        .ticks
        .iter()
        .flat_map(|tick| format!("{tick:?}").into_bytes())
        .fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
    assert_eq!((batch.ticks.len(), hash), (28_381, 8_967_349_430_182_247_778));
}

#[test]
fn seeds_give_different_markets() {
    let ticks =
        |seed| run(&mut open(SimulatedConfig { seed, ..config() }), every(10 * MS, SECOND)).ticks;
    assert_ne!(ticks(1), ticks(2));
    assert_eq!(ticks(3), ticks(3));
}

#[test]
fn ticks_come_in_order_of_schedule_and_never_early() {
    let mut market = open(config());
    let mut batch = Batch::default();
    let mut now_ns = START_NS;
    while now_ns < START_NS + 2 * SECOND {
        batch.clear();
        let next = market.poll(now_ns, &mut batch);
        assert!(batch.ticks.iter().all(|tick| tick.event_time_ns <= now_ns));
        let on_time = batch.ticks.iter().filter(|tick| !is_late(tick));
        assert!(on_time.map(|tick| tick.event_time_ns).is_sorted());
        now_ns = match next {
            Next::Again => now_ns,
            Next::At(due_ns) => {
                assert!(due_ns > now_ns);
                due_ns.max(now_ns + MS)
            }
            Next::Ended(end) => panic!("ended: {end}"),
        };
    }
}

fn is_late(tick: &Tick) -> bool {
    matches!(tick.body, TickBody::Trade(trade) if trade.flags & trade_flag::LATE != 0)
}

#[test]
fn a_halted_symbol_does_not_trade_until_it_resumes() {
    let ticks = run(&mut open(lively()), every(5 * MS, 20 * SECOND)).ticks;
    let mut halted = HashSet::new();
    let (mut halts, mut resumptions) = (0, 0);
    for tick in ticks {
        match tick.body {
            TickBody::Status(change) if change.status == Status::Halted => {
                assert!(halted.insert(tick.symbol), "halted twice");
                halts += 1;
            }
            TickBody::Status(_) => {
                assert!(halted.remove(&tick.symbol), "resumed without a halt");
                resumptions += 1;
            }
            TickBody::Trade(_) => assert!(!halted.contains(&tick.symbol)),
            TickBody::Quote(_) | TickBody::Correction(_) | TickBody::Session(_) => {}
        }
    }
    assert!(halts > 20 && resumptions > 20, "{halts} halts, {resumptions} resumptions");
}

#[test]
fn books_of_every_kind_appear_about_as_often_as_configured() {
    let ticks = run(&mut open(config()), every(20 * MS, 60 * SECOND)).ticks;
    let quotes: Vec<_> = ticks
        .iter()
        .filter_map(|tick| match tick.body {
            TickBody::Quote(quote) => Some(quote),
            _ => None,
        })
        .collect();
    let per_million = |count: usize| count * 1_000_000 / quotes.len();
    let one_sided = |q: &&Quote| q.bid_price == ABSENT || q.ask_price == ABSENT;
    let (sided, whole): (Vec<&Quote>, Vec<&Quote>) = quotes.iter().partition(one_sided);
    let locked = whole.iter().filter(|q| q.bid_price == q.ask_price).count();
    let crossed = whole.iter().filter(|q| q.bid_price > q.ask_price).count();
    assert!((900..1_100).contains(&per_million(sided.len())), "{} one-sided", sided.len());
    assert!((900..1_100).contains(&per_million(locked)), "{locked} locked");
    assert!((150..250).contains(&per_million(crossed)), "{crossed} crossed");
    let trades = ticks.iter().filter(|tick| matches!(tick.body, TickBody::Trade(_))).count();
    let ratio = quotes.len() as f64 / trades as f64;
    assert!((9.5..10.5).contains(&ratio), "{ratio} quotes for a trade");
}

#[test]
fn numbers_are_valid_trade_ids_contiguous_and_corrections_about_earlier_trades() {
    let config = SimulatedConfig { corrections_per_million: 20_000, ..config() };
    let ticks = run(&mut open(config), every(20 * MS, 30 * SECOND)).ticks;
    let mut last_id: HashMap<u32, i64> = HashMap::new();
    let mut corrected = HashSet::new();
    let (mut late, mut not_eligible) = (0, 0);
    for tick in &ticks {
        match tick.body {
            TickBody::Quote(q) => {
                for (price, size) in [(q.bid_price, q.bid_size), (q.ask_price, q.ask_size)] {
                    assert!(is_valid(price) && is_valid(size));
                    assert_eq!(price == ABSENT, size == ABSENT);
                    assert!(price == ABSENT || (price > 0 && size > 0));
                }
            }
            TickBody::Trade(trade) => {
                let id = last_id.entry(tick.symbol).or_insert(0);
                assert_eq!(trade.trade_id, *id + 1);
                *id = trade.trade_id;
                assert!(trade.price > 0 && trade.size > 0);
                late += i32::from(trade.flags & trade_flag::LATE != 0);
                not_eligible += i32::from(trade.flags & trade_flag::NOT_ELIGIBLE != 0);
            }
            TickBody::Correction(correction) => {
                assert!(correction.trade_id <= last_id[&tick.symbol]);
                assert!(corrected.insert((tick.symbol, correction.trade_id)));
            }
            TickBody::Status(_) | TickBody::Session(_) => {}
        }
    }
    assert!(corrected.len() > 500, "{} corrections", corrected.len());
    assert!(late > 5 && not_eligible > 200, "{late} late, {not_eligible} not eligible");
}

#[test]
fn every_price_is_a_whole_number_of_the_tick_sizes_told() {
    let mut market = open(SimulatedConfig { symbols: 300, zipf_exponent: 0.0, ..lively() });
    let batch = run(&mut market, every(10 * MS, 2 * SECOND));
    let mut steps = HashSet::new();
    for tick in &batch.ticks {
        let tick_size = batch.listings[tick.symbol as usize].tick_size;
        let prices = match tick.body {
            TickBody::Quote(quote) => [quote.bid_price, quote.ask_price],
            TickBody::Trade(trade) => [trade.price, ABSENT],
            TickBody::Correction(correction) => [correction.price, ABSENT],
            TickBody::Status(_) | TickBody::Session(_) => continue,
        };
        for price in prices.into_iter().filter(|price| *price != ABSENT) {
            assert_eq!(price % tick_size, 0, "{tick:?}");
        }
        steps.insert(tick_size);
    }
    assert!(steps.contains(&1) && steps.contains(&5), "{steps:?}");
}

#[test]
fn a_late_driver_catches_up_in_bounded_polls_and_past_a_second_the_schedule_slips() {
    let mut market = open(SimulatedConfig { ticks_per_poll: 1_000, ..config() });
    let mut batch = Batch::default();
    assert!(matches!(market.poll(START_NS, &mut batch), Next::At(_)));

    let late_ns = START_NS + 900 * MS;
    let mut polls = 0;
    loop {
        batch.clear();
        polls += 1;
        let next = market.poll(late_ns, &mut batch);
        assert!(batch.ticks.len() <= 1_000);
        if next != Next::Again {
            break;
        }
        assert_eq!(batch.ticks.len(), 1_000);
    }
    assert!(polls > 5, "{polls} polls for 0.9 s of ticks");
    assert_eq!(market.stats().slipped_ns, 0);
    assert!(market.stats().lateness_max_ns > 800 * MS as u64);

    let hour_later_ns = late_ns + 3_600 * SECOND;
    batch.clear();
    while market.poll(hour_later_ns, &mut batch) == Next::Again {}
    assert!(batch.ticks.len() < 100, "{} ticks", batch.ticks.len());
    let slipped = market.stats().slipped_ns;
    assert!(slipped.abs_diff(3_600 * SECOND as u64) < SECOND as u64, "{slipped}");
    assert_eq!(market.take_warnings().len(), 1);
}

#[test]
fn a_clock_that_steps_back_does_not_silence_the_market() {
    let mut market = open(config());
    run(&mut market, every(10 * MS, SECOND));
    let stepped_ns = START_NS - 3_600 * SECOND;
    let batch = run(&mut market, (0..100).map(|n| stepped_ns + n * 10 * MS));
    assert!(batch.ticks.len() > 1_000, "{} ticks", batch.ticks.len());
    assert_eq!(market.stats().clock_steps, 1);
}

#[test]
fn listings_come_before_ticks_in_bounded_polls() {
    let mut market = open(SimulatedConfig { symbols: 100_000, ..config() });
    let mut batch = Batch::default();
    let mut listed = 0;
    loop {
        batch.clear();
        let next = market.poll(START_NS + 500 * MS, &mut batch);
        listed += batch.listings.len();
        assert!(batch.listings.len() <= 8_192);
        if next != Next::Again || !batch.ticks.is_empty() {
            break;
        }
    }
    assert_eq!(listed, 100_000);
    assert_eq!(market.stats().listings, 100_000);
    assert!(batch.listings.iter().all(|l| l.session_date == 20_231_114 && l.previous_close > 0));
    assert!(batch.listings.iter().all(|l| l.tick_size > 0 && l.instrument.description.is_some()));
}
