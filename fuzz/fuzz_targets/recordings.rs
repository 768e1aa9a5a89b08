//! A recording: opened, and played flat out to its end when it can be. Whether it is Binance lines
//! or DBN, plain or compressed, its first bytes say.

#![no_main]

use std::{fs, path::PathBuf, sync::LazyLock};

use libfuzzer_sys::fuzz_target;
use tempfile::TempDir;
use tickgate_feed::{
    Feed, Next,
    replay::{Replay, ReplayConfig},
};
use tickgate_protocol::{
    number::is_valid,
    tick::{Batch, TickBody},
};

/// Where the recording lies: a replay reads files.
static FOLDER: LazyLock<TempDir> =
    LazyLock::new(|| TempDir::new().expect("a temporary folder can be made"));

/// More polls than any input of libFuzzer's size has ticks.
const POLL_LIMIT: usize = 100_000;

fuzz_target!(|recording: &[u8]| {
    let file: PathBuf = FOLDER.path().join("recording");
    fs::write(&file, recording).expect("the temporary folder can be written");
    let config = ReplayConfig { files: vec![file], speed: 0.0, ..ReplayConfig::default() };
    let Ok(mut replay) = Replay::open(config) else { return };
    let mut batch = Batch::default();
    let mut now_ns = 1_700_000_000_000_000_000;
    let mut listed = 0;
    for _ in 0..POLL_LIMIT {
        batch.clear();
        let next = replay.poll(now_ns, &mut batch);
        listed += batch.listings.len();
        for tick in &batch.ticks {
            assert!((tick.symbol as usize) < listed, "{tick:?} of a symbol that is not listed");
            if let TickBody::Quote(quote) = tick.body {
                for number in [quote.bid_price, quote.bid_size, quote.ask_price, quote.ask_size] {
                    assert!(is_valid(number), "{tick:?}");
                }
            }
        }
        match next {
            Next::Again => now_ns += 1_000_000,
            Next::At(due_ns) => now_ns = now_ns.max(due_ns),
            Next::Ended(_) => return,
        }
    }
    panic!("a recording of {} bytes does not end", recording.len());
});
