//! Recordings of the simulated market play back as what was recorded.

mod common;

use std::{fs, path::PathBuf};

use common::{flat_out, open, play};
use tempfile::TempDir;
use tickgate_feed::{
    End, Feed, Next,
    record::{BinanceRecorder, DbnRecorder, DbnSchema},
    replay::ReplayConfig,
    simulated::{SimulatedConfig, SimulatedMarket},
};
use tickgate_protocol::{
    entry::trade_flag,
    number::{ABSENT, Decimal},
    tick::{Batch, Listing, Quote, Tick, TickBody, Trade},
};

const START_NS: i64 = 1_700_000_000_000_000_000;
const MS: i64 = 1_000_000;

/// Twenty seconds of a lively market.
fn simulated() -> Batch {
    let mut market = SimulatedMarket::open(SimulatedConfig {
        symbols: 300,
        ticks_per_second: 2_000,
        halts_per_hour: 10_000,
        start_time_ns: Some(START_NS),
        ..Default::default()
    })
    .expect("settings in range");
    let mut batch = Batch::default();
    for ms in 0..20_000 {
        while market.poll(START_NS + ms * MS, &mut batch) == Next::Again {}
    }
    batch
}

/// A tick in terms no listing is needed for: name, event time, and exact numbers.
#[derive(Debug, PartialEq, Eq)]
struct Plain {
    name: String,
    event_time_ns: i64,
    numbers: Vec<Option<Decimal>>,
    aggressor: u8,
    trade_id: i64,
}

fn plain(listings: &[Listing], tick: &Tick) -> Option<Plain> {
    let listing = &listings[tick.symbol as usize];
    let number = |mantissa: i64, exponent: i8| {
        let digits = Decimal { mantissa, exponent }.to_string();
        (mantissa != ABSENT).then(|| Decimal::parse(&digits).expect("a decimal"))
    };
    let price = |mantissa| number(mantissa, listing.price_exponent);
    let size = |mantissa| number(mantissa, listing.size_exponent);
    let (numbers, aggressor, trade_id) = match tick.body {
        TickBody::Quote(Quote { bid_price, bid_size, ask_price, ask_size, .. }) => {
            let numbers = vec![price(bid_price), size(bid_size), price(ask_price), size(ask_size)];
            (numbers, 0, ABSENT)
        }
        TickBody::Trade(Trade { price: paid, size: traded, flags, trade_id }) => {
            let aggressor = flags & (trade_flag::SELLER_INITIATED | trade_flag::BUYER_INITIATED);
            (vec![price(paid), size(traded)], aggressor, trade_id)
        }
        TickBody::Correction(_) | TickBody::Status(_) | TickBody::Session(_) => return None,
    };
    let event_time_ns = tick.event_time_ns;
    Some(Plain { name: listing.name.clone(), event_time_ns, numbers, aggressor, trade_id })
}

fn all_plain(batch: &Batch) -> Vec<Plain> {
    batch.ticks.iter().filter_map(|tick| plain(&batch.listings, tick)).collect()
}

fn record_dbn(folder: &TempDir, schema: DbnSchema, batch: &Batch) -> (PathBuf, u64) {
    let path = folder.path().join(format!("{schema:?}.dbn"));
    let out = fs::File::create(&path).expect("a writable temporary folder");
    let mut recorder = DbnRecorder::new(out, schema, &batch.listings, START_NS).expect("writable");
    recorder.record(batch).expect("writable");
    let left_out = recorder.left_out();
    recorder.finish().expect("writable");
    (path, left_out)
}

#[test]
fn a_binance_recording_plays_back_every_quote_and_trade() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let batch = simulated();
    // As slow a clock as the one of the real recordings.
    let clock_offset_ns = -1_270 * MS;
    let mut recorder = BinanceRecorder::new(Vec::new(), clock_offset_ns);
    recorder.record(&batch).expect("writes to memory");
    let left_out = recorder.left_out();
    let path = folder.path().join("simulated.gz");
    fs::write(&path, recorder.finish().expect("writes to memory")).expect("writable");

    let mut replay = open(flat_out(&[&path]));
    let (played, end) = play(&mut replay, START_NS);
    assert_eq!((end, replay.stats().malformed.total()), (End::Finished, 0));
    let expected: Vec<Plain> = all_plain(&batch)
        .into_iter()
        .map(|tick| match tick.trade_id {
            ABSENT => Plain { event_time_ns: ABSENT, ..tick },
            _ => Plain { event_time_ns: tick.event_time_ns / MS * MS, ..tick },
        })
        .collect();
    assert!(expected.len() > 30_000, "{} ticks", expected.len());
    assert_eq!(left_out as usize, batch.ticks.len() - expected.len());
    assert!(all_plain(&played) == expected, "ticks differ");

    let config = ReplayConfig { rebase: true, speed: 1.0, ..flat_out(&[&path]) };
    let mut replay = open(config);
    let mut paced = Batch::default();
    let mut now_ns = START_NS;
    let mut ages = Vec::new();
    while let Next::At(due_ns) = replay.poll(now_ns, &mut paced) {
        let on_time = paced.ticks.iter().filter(|tick| tick.event_time_ns != ABSENT);
        ages.extend(on_time.map(|tick| now_ns - tick.event_time_ns));
        paced.ticks.clear();
        now_ns = due_ns;
    }
    // The millisecond the format cuts off, and the late trades, only make ages larger.
    assert_eq!(ages.iter().min().map(|age| age.div_euclid(MS)), Some(-1_270));
    let ordinary = ages.iter().filter(|age| **age <= clock_offset_ns + MS).count();
    assert!(ordinary * 100 >= ages.len() * 99, "{ordinary} of {}", ages.len());
}

#[test]
fn an_mbp1_recording_plays_back_every_quote_and_trade() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let batch = simulated();
    let (path, left_out) = record_dbn(&folder, DbnSchema::Mbp1, &batch);
    let mut replay = open(flat_out(&[&path]));
    let (played, end) = play(&mut replay, START_NS);
    assert_eq!((end, replay.stats().malformed.total()), (End::Finished, 0));
    // DBN has neither trade ids nor fractional sizes.
    let fractional = |listing: &Listing| listing.size_exponent != 0;
    let expected: Vec<Plain> = batch
        .ticks
        .iter()
        .filter(|tick| !fractional(&batch.listings[tick.symbol as usize]))
        .filter_map(|tick| plain(&batch.listings, tick))
        .map(|tick| Plain { trade_id: ABSENT, ..tick })
        .collect();
    assert!(batch.listings.iter().any(fractional) && expected.len() > 30_000);
    // A fractional symbol's size may happen to be whole: then it is recorded.
    let whole: Vec<Plain> = {
        let names: Vec<&str> = batch
            .listings
            .iter()
            .filter(|listing| !fractional(listing))
            .map(|listing| listing.name.as_str())
            .collect();
        let played = all_plain(&played);
        played.into_iter().filter(|tick| names.contains(&tick.name.as_str())).collect()
    };
    assert_eq!(whole.len(), expected.len());
    assert!(whole == expected, "ticks differ");
    assert_eq!(left_out as usize, batch.ticks.len() - played.ticks.len());
}

#[test]
fn trades_and_tbbo_recordings_play_back_every_trade() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let batch = simulated();
    let trades = |batch: &Batch| -> Vec<(String, i64, Vec<Option<Decimal>>, u8)> {
        let is_trade = |tick: &&Tick| matches!(tick.body, TickBody::Trade(_));
        let whole = |tick: &&Tick| batch.listings[tick.symbol as usize].size_exponent == 0;
        let trades = batch.ticks.iter().filter(is_trade).filter(whole);
        trades
            .filter_map(|tick| plain(&batch.listings, tick))
            .map(|tick| (tick.name, tick.event_time_ns, tick.numbers, tick.aggressor))
            .collect()
    };
    let (path, _) = record_dbn(&folder, DbnSchema::Mbp1, &batch);
    let (mbp1, _) = play(&mut open(flat_out(&[&path])), START_NS);
    let expected = trades(&mbp1);
    assert!(expected.len() > 2_000);
    for schema in [DbnSchema::Trades, DbnSchema::Tbbo] {
        let (path, _) = record_dbn(&folder, schema, &batch);
        let mut replay = open(flat_out(&[&path]));
        let (played, end) = play(&mut replay, START_NS);
        assert_eq!(end, End::Finished);
        assert!(trades(&played) == expected, "{schema:?}: trades differ");
        assert_eq!(replay.stats().quotes > 0, schema == DbnSchema::Tbbo);
    }
}
