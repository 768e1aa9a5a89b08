//! What a recording must come out as, worked out by a program that shares no code with this
//! project: `tests/fold/binance_fold.py`, standard library only.

use std::{collections::BTreeMap, env, path::PathBuf, process::Command};

use serde_json::Value;

/// A symbol's state at the end of a recording; numbers are plain digits, absent ones `None`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Figures {
    pub(crate) bid_price: Option<String>,
    pub(crate) bid_size: Option<String>,
    pub(crate) ask_price: Option<String>,
    pub(crate) ask_size: Option<String>,
    pub(crate) last_price: Option<String>,
    pub(crate) last_size: Option<String>,
    pub(crate) volume: Option<String>,
    pub(crate) trade_count: u64,
    pub(crate) high: Option<String>,
    pub(crate) low: Option<String>,
    pub(crate) open: Option<String>,
    /// Quotes in the recording: the sequence of the quote channel at its end.
    pub(crate) quote_count: u64,
}

/// A trade, in the terms of the recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trade {
    pub(crate) trade_id: i64,
    pub(crate) price: Option<String>,
    pub(crate) size: Option<String>,
}

/// A bar, in the terms of the recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bar {
    pub(crate) start_s: i64,
    /// Open, high, low, close.
    pub(crate) prices: [Option<String>; 4],
    pub(crate) volume: Option<String>,
    pub(crate) vwap: Option<String>,
    pub(crate) trade_count: i64,
}

/// A symbol's figures, its trades in the order of the recording, and its bars by the length of their
/// interval in seconds, oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Folded {
    pub(crate) figures: Figures,
    pub(crate) trades: Vec<Trade>,
    pub(crate) bars: BTreeMap<u64, Vec<Bar>>,
}

/// Folds recordings, in Python.
pub(crate) fn fold(files: &[PathBuf]) -> BTreeMap<String, Folded> {
    let python = env::var_os("PROOF_PYTHON").expect("PROOF_PYTHON names an interpreter");
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fold/binance_fold.py");
    let output = Command::new(python).args(["-B", program]).args(files).output().expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut symbols: BTreeMap<String, Folded> = BTreeMap::new();
    for line in String::from_utf8(output.stdout).expect("the fold prints ASCII").lines() {
        let line: Value = serde_json::from_str(line).expect("the fold prints JSON lines");
        if let Some(malformed) = line.get("malformed") {
            assert_eq!(malformed, 0, "the recording is sound");
            continue;
        }
        let text = |key: &str| line[key].as_str().map(str::to_owned);
        let folded = symbols.entry(text("symbol").expect("a symbol")).or_default();
        if let Some(trade_id) = line.get("trade_id") {
            let trade_id = trade_id.as_i64().expect("an integer");
            folded.trades.push(Trade { trade_id, price: text("price"), size: text("size") });
            continue;
        }
        if let Some(interval_s) = line.get("interval_s") {
            let bar = Bar {
                start_s: line["start_s"].as_i64().expect("a time"),
                prices: ["open", "high", "low", "close"].map(text),
                volume: text("volume"),
                vwap: text("vwap"),
                trade_count: line["trade_count"].as_i64().expect("a count"),
            };
            let interval_s = interval_s.as_u64().expect("seconds");
            folded.bars.entry(interval_s).or_default().push(bar);
            continue;
        }
        let count = |key: &str| line[key].as_u64().expect("a count");
        folded.figures = Figures {
            bid_price: text("bid_price"),
            bid_size: text("bid_size"),
            ask_price: text("ask_price"),
            ask_size: text("ask_size"),
            last_price: text("last_price"),
            last_size: text("last_size"),
            volume: text("volume"),
            trade_count: count("trade_count"),
            high: text("high"),
            low: text("low"),
            open: text("open"),
            quote_count: count("quote_count"),
        };
    }
    symbols
}
