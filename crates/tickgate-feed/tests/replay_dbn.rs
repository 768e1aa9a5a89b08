//! Replaying DBN: the vendor's samples where they are present, recorded simulations everywhere.

mod common;

use std::{
    fs,
    path::{Path, PathBuf},
};

use common::{flat_out, open, play, real};
use dbn::{
    Compression, InstrumentDefMsg, Metadata, RecordHeader, SType, Schema, UNDEF_PRICE,
    encode::{DynWriter, EncodeRecord, dbn::Encoder},
    record::str_to_c_chars,
    rtype,
};
use proptest::prelude::*;
use tickgate_feed::{
    End, Feed, Next,
    record::{DbnRecorder, DbnSchema},
    replay::Replay,
    simulated::{SimulatedConfig, SimulatedMarket},
};
use tickgate_protocol::{
    entry::trade_flag,
    instrument::Instrument,
    number::ABSENT,
    tick::{Batch, Quote, TickBody, Trade},
};

const START_NS: i64 = 1_700_000_000_000_000_000;

fn sample(name: &str) -> Option<PathBuf> {
    let path = real(&format!("dbn-samples/test_data.{name}.dbn.zst"));
    match path {
        Some(_) => eprintln!("{name}: real sample"),
        None => eprintln!("{name}: no real sample; recorded simulations stand in"),
    }
    path
}

fn recorded(folder: &Path, compression: Compression) -> (PathBuf, Batch) {
    let mut market = SimulatedMarket::open(SimulatedConfig {
        symbols: 20,
        ticks_per_second: 1_000,
        start_time_ns: Some(START_NS),
        ..Default::default()
    })
    .expect("settings in range");
    let mut batch = Batch::default();
    for ms in 0..300 {
        while market.poll(START_NS + ms * 1_000_000, &mut batch) == Next::Again {}
    }
    let path = folder.join(format!("{compression:?}.dbn"));
    let file = fs::File::create(&path).expect("a writable temporary folder");
    let out = DynWriter::new(file, compression).expect("a writer");
    let mut recorder =
        DbnRecorder::new(out, DbnSchema::Mbp1, &batch.listings, START_NS).expect("writable");
    recorder.record(&batch).expect("writable");
    recorder.finish().expect("writable");
    (path, batch)
}

#[test]
fn samples_of_every_supported_schema_and_version_play() {
    let cases = [
        ("trades.v1", 0, 2),
        ("trades.v2", 0, 2),
        ("trades.v3", 0, 2),
        ("tbbo.v3", 2, 2),
        ("mbp-1.v1", 2, 0),
        ("mbp-1.v2", 2, 0),
        ("mbp-1.v3", 2, 0),
    ];
    for (name, quotes, trades) in cases {
        let Some(path) = sample(name) else { continue };
        let mut replay = open(flat_out(&[&path]));
        let (batch, end) = play(&mut replay, START_NS);
        let stats = replay.stats();
        assert_eq!(end, End::Finished, "{name}");
        assert_eq!((stats.quotes, stats.trades), (quotes, trades), "{name}");
        assert_eq!((stats.malformed.total(), stats.skipped), (0, 0), "{name}");
        let [listing] = batch.listings.as_slice() else { panic!("{name}: one symbol") };
        assert_eq!(listing.name, "ESH1", "{name}");
        assert_eq!((listing.price_exponent, listing.size_exponent), (-2, 0), "{name}");
        // Of the dataset, GLBX.MDP3; nothing in the recording says more.
        let venue = Some("GLBX".into());
        assert_eq!(listing.instrument, Instrument { venue, ..Instrument::default() }, "{name}");
        assert_eq!(listing.tick_size, ABSENT, "{name}");
    }
}

/// Definitions of these instruments in steps of these billionths, as a recording of their own.
fn definitions(folder: &Path, instruments: &[(&str, i64, [&str; 2])]) -> PathBuf {
    let path = folder.join("definitions.dbn");
    let metadata = Metadata::builder()
        .dataset("XNAS.ITCH")
        .schema(Some(Schema::Definition))
        .start(START_NS as u64)
        .stype_in(Some(SType::RawSymbol))
        .stype_out(SType::InstrumentId)
        .build();
    let file = fs::File::create(&path).expect("a writable temporary folder");
    let mut encoder = Encoder::new(file, &metadata).expect("writable");
    for (number, (name, min_price_increment, [exchange, currency])) in (1..).zip(instruments) {
        let mut record = InstrumentDefMsg {
            hd: RecordHeader::new::<InstrumentDefMsg>(
                rtype::INSTRUMENT_DEF,
                0,
                number,
                START_NS as u64,
            ),
            ts_recv: START_NS as u64,
            min_price_increment: *min_price_increment,
            ..InstrumentDefMsg::default()
        };
        record.raw_symbol = str_to_c_chars(name).expect("short enough");
        record.exchange = str_to_c_chars(exchange).expect("short enough");
        record.currency = str_to_c_chars(currency).expect("short enough");
        encoder.encode_record(&record).expect("writable");
    }
    encoder.flush().expect("writable");
    path
}

#[test]
fn definitions_say_what_the_symbols_of_other_recordings_are() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (ticks, simulated) = recorded(folder.path(), Compression::None);
    let known = [
        ("AAPL", 10_000_000, ["XNAS", "USD"]),
        ("MSFT", UNDEF_PRICE, ["", "usd"]),
        ("NOSUCH", 1, ["XNAS", "USD"]),
    ];
    let defined = definitions(folder.path(), &known);
    for files in [[&ticks, &defined], [&defined, &ticks]] {
        let mut replay = open(flat_out(&[files[0], files[1]]));
        let (batch, end) = play(&mut replay, START_NS);
        assert_eq!(end, End::Finished);
        assert_eq!(batch.ticks.len(), simulated.ticks.len());
        assert_eq!(replay.stats().malformed.total(), 0);
        let told = |name| {
            let listing = batch.listings.iter().find(|listing| listing.name == name);
            let listing = listing.expect("it has ticks");
            let Instrument { description, venue, currency } = listing.instrument.clone();
            assert_eq!(description, None, "nobody describes it");
            (listing.tick_size, venue, currency)
        };
        assert_eq!(told("AAPL"), (1, Some("XNAS".into()), Some("USD".into())));
        // What is no currency is left out, as is what is not there: the dataset's venue stands.
        assert_eq!(told("MSFT"), (ABSENT, Some("SIMULATED".into()), None));
        assert_eq!(told("NVDA"), (ABSENT, Some("SIMULATED".into()), None));
        assert!(batch.listings.iter().all(|listing| listing.name != "NOSUCH"));
    }
    let message = Replay::open(flat_out(&[&defined])).err().map(|error| error.to_string());
    let rule = "holds definitions alone, of nothing that is traded";
    assert_eq!(message, Some(format!("{}: {rule}", defined.display())));
}

/// The sample is of Microsoft at Nasdaq.
#[test]
fn a_sample_of_definitions_tells_the_venue() {
    let Some(defined) = sample("definition.v3") else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (ticks, _) = recorded(folder.path(), Compression::None);
    let (batch, _) = play(&mut open(flat_out(&[&ticks, &defined])), START_NS);
    let listing = batch.listings.iter().find(|listing| listing.name == "MSFT").expect("listed");
    assert_eq!(listing.instrument.venue.as_deref(), Some("XNAS"));
    // The sample tells neither a currency nor an increment.
    assert_eq!((&listing.instrument.currency, listing.tick_size), (&None, ABSENT));
}

/// Values as the vendor's Python package `databento-dbn` prints them.
#[test]
fn a_sample_of_tbbo_gives_each_quote_before_its_trade() {
    let Some(path) = sample("tbbo.v3") else { return };
    let (batch, _) = play(&mut open(flat_out(&[&path])), START_NS);
    let quote = |bid_size, ask_size| {
        TickBody::Quote(Quote {
            bid_price: 372_025,
            bid_size,
            ask_price: 372_050,
            ask_size,
            suspect: false,
        })
    };
    let trade = |size| {
        let flags = trade_flag::SELLER_INITIATED;
        TickBody::Trade(Trade { price: 372_025, size, flags, trade_id: ABSENT })
    };
    let expected = [
        (1_609_160_400_098_821_953, quote(26, 7)),
        (1_609_160_400_098_821_953, trade(5)),
        (1_609_160_400_107_665_963, quote(21, 22)),
        (1_609_160_400_107_665_963, trade(21)),
    ];
    let ticks: Vec<_> = batch.ticks.iter().map(|tick| (tick.event_time_ns, tick.body)).collect();
    assert_eq!(ticks, expected);
}

#[test]
fn other_schemas_are_refused_by_name() {
    let unsupported = [
        ("mbo", "mbo"),
        ("mbp-10", "mbp-10"),
        ("bbo-1s", "bbo-1s"),
        ("cmbp-1", "cmbp-1"),
        ("status", "status"),
        ("statistics", "statistics"),
        ("ohlcv-1s", "ohlcv-1s"),
    ];
    for (name, schema) in unsupported {
        let Some(path) = sample(&format!("{name}.v3")) else { continue };
        let message = Replay::open(flat_out(&[&path])).err().map(|error| error.to_string());
        let rule = format!(
            "{}: schema {schema} carries no ticks; trades, tbbo and mbp-1 are supported, and \
             definition beside them",
            path.display()
        );
        assert_eq!(message, Some(rule));
    }
}

#[test]
fn a_truncated_recording_ends_cleanly_wherever_it_was_cut() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for compression in [Compression::None, Compression::Zstd] {
        let (path, _) = recorded(folder.path(), compression);
        let content = fs::read(&path).expect("readable");
        let (whole, end) = play(&mut open(flat_out(&[&path])), START_NS);
        assert_eq!(end, End::Finished);
        assert!(whole.ticks.len() > 30);
        let cut_path = folder.path().join("cut.dbn");
        let step = if compression == Compression::None { 7 } else { 3 };
        let (mut refused, mut played) = (0, 0);
        // Less than the three letters it begins with is no DBN.
        for cut in (4..content.len()).step_by(step) {
            fs::write(&cut_path, &content[..cut]).expect("writable");
            let mut replay = match Replay::open(flat_out(&[&cut_path])) {
                Ok(replay) => replay,
                // Without whole metadata, or without any record, there is nothing to play.
                Err(error) => {
                    assert!(error.to_string().starts_with(&cut_path.display().to_string()));
                    assert_eq!(played, 0, "cut at {cut}: {error}");
                    refused += 1;
                    continue;
                }
            };
            let (batch, end) = play(&mut replay, START_NS);
            assert!(whole.ticks.starts_with(&batch.ticks), "cut at {cut}");
            match end {
                // Between two records nobody can tell a cut from an end.
                End::Finished => assert_eq!(compression, Compression::None, "cut at {cut}"),
                End::Truncated { message } => {
                    assert!(message.starts_with("cut.dbn, record "), "{message}");
                }
            }
            played = played.max(batch.ticks.len());
        }
        assert!(refused > 0 && played + 5 > whole.ticks.len() / 2, "{refused} {played}");
    }
}

#[test]
fn damaged_metadata_never_panics() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (path, _) = recorded(folder.path(), Compression::None);
    let content = fs::read(&path).expect("readable");
    let length = u32::from_le_bytes(content[4..8].try_into().expect("four bytes")) as usize;
    let end = 8 + length;
    // A few records are enough to play.
    let content = &content[..end + 400];
    let damaged_path = folder.path().join("damaged.dbn");
    for position in (0..120).chain((120..end).step_by(37)) {
        for byte in [0, 1, 0x7F, 0xFF, content[position] ^ 1] {
            let mut damaged = content.to_vec();
            damaged[position] = byte;
            fs::write(&damaged_path, &damaged).expect("writable");
            if let Ok(mut replay) = Replay::open(flat_out(&[&damaged_path])) {
                let (batch, _) = play(&mut replay, START_NS);
                assert!(batch.ticks.len() <= 10, "byte {byte} at {position}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    /// Whatever a file's bytes, opening and playing it ends, within what the file can hold.
    #[test]
    fn damaged_bytes_never_do_more_than_end_a_recording(
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
    ) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (path, _) = recorded(folder.path(), Compression::None);
        let mut content = fs::read(&path).expect("readable");
        for (index, byte) in damage {
            let position = index.index(content.len());
            content[position] = byte;
        }
        fs::write(&path, &content).expect("writable");
        if let Ok(mut replay) = Replay::open(flat_out(&[&path])) {
            let (batch, _) = play(&mut replay, START_NS);
            prop_assert!(batch.ticks.len() <= content.len() / 8);
            for tick in &batch.ticks {
                prop_assert!((tick.symbol as usize) < batch.listings.len());
            }
        }
    }
}
