//! Replaying Binance recordings: real ones, and ones broken on purpose.

mod common;

use std::{
    fs,
    io::{Read, Write},
    path::{Path, PathBuf},
};

use common::{flat_out, open, play, real};
use flate2::{Compression, read::MultiGzDecoder, write::GzEncoder};
use tickgate_feed::{
    End, Feed, FeedError, Next,
    replay::{Replay, ReplayConfig},
};
use tickgate_protocol::{
    instrument::Instrument,
    number::{ABSENT, Decimal},
    tick::{Batch, TickBody},
};

const START_NS: i64 = 1_700_000_000_000_000_000;
const MS: i64 = 1_000_000;

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(content).expect("writes to memory");
    encoder.finish().expect("writes to memory")
}

fn write(folder: &Path, name: &str, content: &[u8]) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, content).expect("a writable temporary folder");
    path
}

fn quote(at_ns: i64, symbol: &str, bid: &str) -> String {
    format!(
        r#"{at_ns} {{"stream":"x@bookTicker","data":{{"u":1,"s":"{symbol}","b":"{bid}","B":"1.5","a":"99","A":"2"}}}}"#
    )
}

fn trade(at_ns: i64, symbol: &str, id: i64, time_ms: i64) -> String {
    format!(
        r#"{at_ns} {{"stream":"x@trade","data":{{"e":"trade","E":1,"s":"{symbol}","t":{id},"p":"1.25","q":"3","T":{time_ms},"m":false,"M":true}}}}"#
    )
}

fn trade_ids(batch: &Batch) -> Vec<i64> {
    let trades = batch.ticks.iter().filter_map(|tick| match tick.body {
        TickBody::Trade(trade) => Some(trade.trade_id),
        _ => None,
    });
    trades.collect()
}

#[test]
fn a_real_recording_gives_every_quote_and_every_trade() {
    let files = [
        ("btcusdt_20240808.gz", "BTCUSDT", -2, -5, 28_040, 9_757, 3_452),
        ("ethusdt_20240808.gz", "ETHUSDT", -2, -4, 24_077, 6_106, 3_435),
    ];
    for (file, symbol, price_exponent, size_exponent, quotes, trades, skipped) in files {
        let Some(path) = real(&format!("binance-spot-20240808/{file}")) else {
            eprintln!("{file}: no real recording; tests/record.rs covers recorded simulations");
            continue;
        };
        eprintln!("{file}: real recording");
        let mut replay = open(flat_out(&[&path]));
        let (batch, end) = play(&mut replay, START_NS);
        assert_eq!(end, End::Finished);
        let stats = replay.stats();
        assert_eq!((stats.quotes, stats.trades, stats.skipped), (quotes, trades, skipped));
        assert_eq!(stats.malformed.total(), 0);
        let listing = &batch.listings[0];
        assert_eq!((batch.listings.len(), listing.name.as_str()), (1, symbol));
        assert_eq!(listing.price_exponent, price_exponent);
        assert_eq!(listing.size_exponent, size_exponent);
        // The finest price that was printed is no tick size.
        assert_eq!(listing.tick_size, ABSENT);
        let Instrument { description, venue, currency } = &listing.instrument;
        let pair = format!("{}/USDT", &symbol[..3]);
        assert_eq!(description.as_deref(), Some(pair.as_str()));
        assert_eq!((venue.as_deref(), currency.as_deref()), (Some("BINANCE"), Some("USDT")));
        let ids = trade_ids(&batch);
        assert!(ids.windows(2).all(|pair| pair[1] == pair[0] + 1), "trade ids are contiguous");
        assert!(batch.ticks.iter().all(|tick| match tick.body {
            TickBody::Trade(_) => tick.event_time_ns % MS == 0 && tick.event_time_ns > START_NS,
            _ => tick.event_time_ns == ABSENT,
        }));
    }
}

/// A second reading of the file, by text search alone, to the last digit.
#[test]
fn prices_and_sizes_keep_every_printed_digit() {
    let Some(path) = real("binance-spot-20240808/btcusdt_20240808.gz") else {
        eprintln!("no real recording; tests/record.rs covers recorded simulations");
        return;
    };
    let (batch, _) = play(&mut open(flat_out(&[&path])), START_NS);
    let mut text = String::new();
    let file = fs::File::open(&path).expect("readable");
    MultiGzDecoder::new(file).read_to_string(&mut text).expect("whole");
    let field = |line: &str, key: &str| {
        let start = line.find(&format!("\"{key}\":\"")).expect("the field") + key.len() + 4;
        let printed = line[start..].split('"').next().expect("a value");
        printed.trim_end_matches('0').trim_end_matches('.').to_owned()
    };
    let shown = |mantissa, exponent| {
        let text = Decimal { mantissa, exponent }.to_string();
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    };
    let lines =
        text.lines().filter(|line| line.contains("@bookTicker\"") || line.contains("@trade\""));
    let mut compared = 0;
    for (line, tick) in lines.zip(&batch.ticks) {
        let expected: Vec<String> = match tick.body {
            TickBody::Quote(q) => vec![
                shown(q.bid_price, -2),
                shown(q.bid_size, -5),
                shown(q.ask_price, -2),
                shown(q.ask_size, -5),
            ],
            TickBody::Trade(t) => vec![shown(t.price, -2), shown(t.size, -5)],
            _ => panic!("neither quote nor trade"),
        };
        let keys: &[&str] = if expected.len() == 4 { &["b", "B", "a", "A"] } else { &["p", "q"] };
        let printed: Vec<String> = keys.iter().map(|key| field(line, key)).collect();
        assert_eq!(printed, expected, "{line}");
        compared += 1;
    }
    assert_eq!(compared, 28_040 + 9_757);
}

#[test]
fn several_recordings_are_merged_by_time_of_receipt() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let a = [quote(10, "A", "1"), quote(30, "A", "2.5"), quote(30, "A", "3")].join("\n");
    let b = [quote(20, "B", "1"), quote(30, "B", "2"), quote(40, "B", "3.125")].join("\n");
    let a = write(folder.path(), "a", a.as_bytes());
    let b = write(folder.path(), "b.gz", &gzip(b.as_bytes()));
    let (batch, end) = play(&mut open(flat_out(&[&a, &b])), START_NS);
    assert_eq!(end, End::Finished);
    let order: Vec<u32> = batch.ticks.iter().map(|tick| tick.symbol).collect();
    assert_eq!(order, [0, 1, 0, 0, 1, 1]);
    let scales: Vec<_> =
        batch.listings.iter().map(|l| (l.name.as_str(), l.price_exponent)).collect();
    assert_eq!(scales, [("A", -1), ("B", -3)]);
}

#[test]
fn malformed_lines_are_counted_by_reason_warned_of_and_skipped() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let lines = [
        quote(10, "A", "1"),
        "garbage".to_owned(),
        quote(20, "A", "one"),
        quote(30, "not allowed", "1"),
        "40 {\"stream\":".to_owned(),
        String::new(),
        quote(50, "A", "2"),
        String::new(),
    ];
    let path = write(folder.path(), "a", lines.join("\n").as_bytes());
    let mut replay = open(flat_out(&[&path]));
    let (batch, end) = play(&mut replay, START_NS);
    assert_eq!((batch.ticks.len(), end), (2, End::Finished));
    let malformed = replay.stats().malformed;
    assert_eq!((malformed.syntax, malformed.number, malformed.symbol), (3, 1, 1));
    let warnings = replay.take_warnings();
    assert_eq!(warnings.len(), 5);
    assert_eq!(warnings[0], "a, line 2: not of the recording's format: garbage");
}

#[test]
fn a_truncated_recording_ends_cleanly_wherever_it_was_cut() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let lines: Vec<String> = (0..200).map(|n| trade(n * 10, "A", n, n)).collect();
    let text = lines.join("\n") + "\n";
    let gz = gzip(text.as_bytes());
    let mut longest = 0;
    for cut in (1..gz.len()).chain([gz.len()]) {
        let path = write(folder.path(), "cut.gz", &gz[..cut]);
        let (batch, end) = play(&mut open(flat_out(&[&path])), START_NS);
        let ids = trade_ids(&batch);
        assert!(ids.iter().copied().eq(0..ids.len() as i64), "cut at {cut}");
        assert!(ids.len() >= longest, "cut at {cut}");
        longest = ids.len();
        match end {
            End::Finished => assert_eq!(cut, gz.len()),
            End::Truncated { message } => {
                assert!(message.starts_with("cut.gz, line "), "{message}")
            }
        }
    }
    assert_eq!(longest, 200);

    let line_ends: Vec<usize> = text.match_indices('\n').map(|(end, _)| end).collect();
    for cut in text.len() - 400..=text.len() {
        let path = write(folder.path(), "cut", &text.as_bytes()[..cut]);
        let mut replay = open(flat_out(&[&path]));
        let (batch, end) = play(&mut replay, START_NS);
        let whole = line_ends.iter().filter(|end| **end <= cut).count();
        assert_eq!(trade_ids(&batch).len(), whole, "cut at {cut}");
        // Between two lines nobody can tell a cut from an end.
        let between = cut == 0 || line_ends.iter().any(|end| *end == cut || *end + 1 == cut);
        assert_eq!(end == End::Finished, between, "cut at {cut}");
        assert_eq!(replay.stats().malformed.total(), 0, "cut at {cut}");
    }
}

#[test]
fn a_corrupt_gzip_ends_cleanly() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let lines: Vec<String> = (0..2_000).map(|n| trade(n * 10, "A", n * 7_919, n)).collect();
    let mut gz = gzip(lines.join("\n").as_bytes());
    let middle = gz.len() / 2;
    gz[middle..middle + 40].fill(0xFF);
    let path = write(folder.path(), "corrupt.gz", &gz);
    let (batch, end) = play(&mut open(flat_out(&[&path])), START_NS);
    assert!(matches!(end, End::Truncated { .. }), "{end}");
    assert!(batch.ticks.len() < 2_000);
}

#[test]
fn what_cannot_be_played_is_refused_by_name() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let missing = folder.path().join("missing.gz");
    let refused = |path: &Path| Replay::open(flat_out(&[path])).err().map(|e| e.to_string());
    let message = refused(&missing).expect("refused");
    assert_eq!(message, format!("{}: cannot be read", missing.display()));
    let empty = write(folder.path(), "empty", b"");
    let message = refused(&empty).expect("refused");
    assert_eq!(message, format!("{}: holds no quote and no trade", empty.display()));
    let prose = write(folder.path(), "prose", b"hello\nworld\n");
    let message = refused(&prose).expect("refused");
    assert!(message.contains("(prose, line 1: not of the recording's format: hello)"), "{message}");
    let nothing = Replay::open(ReplayConfig::default());
    assert!(matches!(nothing, Err(FeedError::Config { key: "files", .. })));
}

/// Plays by the clock the feed asks for, and notes when each tick was delivered.
fn delivered(replay: &mut Replay, count: usize) -> Vec<(i64, i64)> {
    let (mut now_ns, mut delivered) = (START_NS, Vec::new());
    let mut batch = Batch::default();
    while delivered.len() < count {
        batch.clear();
        let next = replay.poll(now_ns, &mut batch);
        delivered.extend(batch.ticks.iter().map(|tick| (now_ns - START_NS, tick.event_time_ns)));
        match next {
            Next::Again => {}
            Next::At(due_ns) => now_ns = due_ns,
            Next::Ended(_) => break,
        }
    }
    delivered
}

#[test]
fn ticks_are_paced_by_their_time_of_receipt() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    // The venue's clock runs 1.27 s ahead of the recorder's.
    let lines: Vec<String> = [0, 10, 10, 500, 1_000]
        .into_iter()
        .map(|ms| trade((5_000 + ms) * MS, "A", ms, 5_000 + ms + 1_270))
        .collect();
    let path = write(folder.path(), "a", lines.join("\n").as_bytes());
    for (speed, expected_ms) in
        [(1.0, [0, 10, 10, 500, 1_000]), (10.0, [0, 1, 1, 50, 100]), (0.0, [0; 5])]
    {
        let config = ReplayConfig { speed, rebase: true, ..flat_out(&[&path]) };
        let delivered = delivered(&mut open(config), usize::MAX);
        let at_ms: Vec<i64> = delivered.iter().map(|(at_ns, _)| at_ns / MS).collect();
        assert_eq!(at_ms, expected_ms, "speed {speed}");
        for (at_ns, event_time_ns) in delivered {
            let age_ns = START_NS + at_ns - event_time_ns;
            assert_eq!(age_ns, -1_270 * MS, "an age keeps its sign, speed {speed}");
        }
    }
    let config = ReplayConfig { speed: 1.0, ..flat_out(&[&path]) };
    let recorded: Vec<i64> =
        delivered(&mut open(config), usize::MAX).iter().map(|(_, event)| event / MS).collect();
    assert_eq!(recorded, [6_270, 6_280, 6_280, 6_770, 7_270]);
}

#[test]
fn real_recordings_are_merged_and_paced_and_keep_their_ages() {
    let names = ["btcusdt_20240808.gz", "ethusdt_20240808.gz"];
    let files: Vec<PathBuf> =
        names.iter().filter_map(|name| real(&format!("binance-spot-20240808/{name}"))).collect();
    if files.len() < names.len() {
        eprintln!("no real recordings; tests/record.rs covers recorded simulations");
        return;
    }
    eprintln!("real recordings");
    for (speed, seconds) in [(1.0, 345.0..=346.5), (10.0, 34.5..=34.65)] {
        let config = ReplayConfig { files: files.clone(), speed, ..Default::default() };
        let delivered = delivered(&mut open(config), usize::MAX);
        assert_eq!(delivered.len(), 28_040 + 9_757 + 24_077 + 6_106);
        let (last_ns, _) = delivered[delivered.len() - 1];
        assert!(seconds.contains(&(last_ns as f64 / 1e9)), "{last_ns} ns at {speed}x");
        let trades = delivered.iter().filter(|(_, event_time_ns)| *event_time_ns != ABSENT);
        for (at_ns, event_time_ns) in trades {
            let age_ms = (START_NS + at_ns - event_time_ns).div_euclid(MS);
            assert!((-1_290..=-1_000).contains(&age_ms), "{age_ms} ms at {speed}x");
        }
    }
}

#[test]
fn a_recorder_whose_clock_steps_back_is_played_in_its_order() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let lines = [trade(100 * MS, "A", 1, 1), trade(50 * MS, "A", 2, 1), trade(150 * MS, "A", 3, 1)];
    let path = write(folder.path(), "a", lines.join("\n").as_bytes());
    let config = ReplayConfig { speed: 1.0, ..flat_out(&[&path]) };
    let at_ms: Vec<i64> =
        delivered(&mut open(config), usize::MAX).iter().map(|(at, _)| at / MS).collect();
    assert_eq!(at_ms, [0, 0, 50]);
}

/// Polls once: the listings make a batch of their own, before the first tick.
fn list(replay: &mut Replay) {
    let mut batch = Batch::default();
    assert_eq!(replay.poll(START_NS, &mut batch), Next::At(START_NS));
    assert_eq!((batch.listings.len(), batch.ticks.len()), (1, 0));
}

#[test]
fn a_late_driver_gets_everything_later() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let lines: Vec<String> = (0..100).map(|n| trade(n * 10 * MS, "A", n, n)).collect();
    let path = write(folder.path(), "a", lines.join("\n").as_bytes());
    let mut replay = open(ReplayConfig { speed: 1.0, ..flat_out(&[&path]) });
    let mut batch = Batch::default();
    list(&mut replay);
    assert_eq!(replay.poll(START_NS, &mut batch), Next::At(START_NS + 10 * MS));
    let hour_later_ns = START_NS + 3_600_000 * MS;
    assert_eq!(replay.poll(hour_later_ns, &mut batch), Next::At(hour_later_ns + 10 * MS));
    assert_eq!(trade_ids(&batch), [0, 1]);
    assert_eq!(replay.stats().slipped_ns, (3_600_000 - 10) * MS as u64);
    let (rest, _) = play(&mut replay, hour_later_ns);
    assert_eq!(trade_ids(&rest), (2..100).collect::<Vec<_>>());
}

#[test]
fn a_repeated_recording_begins_each_time_in_a_new_epoch() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let lines: Vec<String> = (0..10).map(|n| trade(n * 10 * MS, "A", n, n)).collect();
    let path = write(folder.path(), "a", lines.join("\n").as_bytes());
    for speed in [1.0, 0.0] {
        let config = ReplayConfig { speed, repeat: true, ..flat_out(&[&path]) };
        let mut replay = open(config);
        let (mut now_ns, mut epochs) = (START_NS, vec![Vec::new()]);
        let mut listings = 0;
        while epochs.len() < 4 {
            let mut batch = Batch::default();
            let next = replay.poll(now_ns, &mut batch);
            listings += batch.listings.len();
            if batch.new_epoch {
                epochs.push(Vec::new());
            }
            epochs.last_mut().expect("an epoch").extend(trade_ids(&batch));
            now_ns = match next {
                Next::Again => now_ns,
                Next::At(due_ns) => due_ns,
                Next::Ended(end) => panic!("ended: {end}"),
            };
        }
        for epoch in &epochs[..3] {
            assert_eq!(*epoch, (0..10).collect::<Vec<_>>(), "speed {speed}");
        }
        assert_eq!((listings, replay.stats().loops), (1, 3));
    }
}

#[test]
fn a_poll_is_bounded() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let lines: Vec<String> = (0..100).map(|n| trade(n, "A", n, n)).collect();
    let path = write(folder.path(), "a", lines.join("\n").as_bytes());
    let mut replay = open(ReplayConfig { ticks_per_poll: 7, ..flat_out(&[&path]) });
    let mut batch = Batch::default();
    list(&mut replay);
    for _ in 0..14 {
        batch.clear();
        assert_eq!(replay.poll(START_NS, &mut batch), Next::Again);
        assert_eq!(batch.ticks.len(), 7);
    }
    batch.clear();
    assert_eq!(replay.poll(START_NS, &mut batch), Next::Ended(End::Finished));
    assert_eq!(batch.ticks.len(), 2);
    batch.clear();
    assert_eq!(replay.poll(START_NS, &mut batch), Next::Ended(End::Finished));
    assert!(batch.is_empty());
}
