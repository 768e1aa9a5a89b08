//! The example clients: programs on WebSocket and MessagePack libraries that nobody here wrote.

use std::{env, process::Command};

use crate::{gateway::Gateway, script::Script};

/// Entries after which a client leaves: full states, deltas and trades are among them by then.
const ENTRIES: usize = 2_000;

/// A simulated market that is busy enough to have merged, halted and one-sided states soon.
const MARKET: &str = "\
[feed.simulated]
symbols = 50
ticks_per_second = 5000
";

#[test]
#[ignore = "needs Python with websockets and msgpack: cargo xtask test"]
fn python_client_reads_messagepack_and_leaves_cleanly() {
    reads_and_leaves_cleanly(python(), "msgpack");
}

#[test]
#[ignore = "needs Python with websockets and msgpack: cargo xtask test"]
fn python_client_reads_json_and_leaves_cleanly() {
    reads_and_leaves_cleanly(python(), "json");
}

#[test]
#[ignore = "needs Python with websockets and msgpack: cargo xtask test"]
fn python_client_ends_with_an_error_when_a_promise_is_broken() {
    notices_broken_promises(python);
}

#[test]
#[ignore = "needs Node with ws and @msgpack/msgpack: cargo xtask test"]
fn node_client_reads_messagepack_and_leaves_cleanly() {
    reads_and_leaves_cleanly(node(), "msgpack");
}

#[test]
#[ignore = "needs Node with ws and @msgpack/msgpack: cargo xtask test"]
fn node_client_reads_json_and_leaves_cleanly() {
    reads_and_leaves_cleanly(node(), "json");
}

#[test]
#[ignore = "needs Node with ws and @msgpack/msgpack: cargo xtask test"]
fn node_client_ends_with_an_error_when_a_promise_is_broken() {
    notices_broken_promises(node);
}

fn python() -> Command {
    let python = env::var_os("PROOF_PYTHON").expect("PROOF_PYTHON names an interpreter");
    let mut command = Command::new(python);
    // No byte code beside the sources.
    command.args(["-B", concat!(env!("CARGO_MANIFEST_DIR"), "/../../clients/python/watch.py")]);
    command
}

fn node() -> Command {
    let program = env::var_os("PROOF_NODE_CLIENT").expect("PROOF_NODE_CLIENT names watch.mjs");
    let mut command = Command::new("node");
    command.arg(program);
    command
}

fn reads_and_leaves_cleanly(mut client: Command, format: &str) {
    let gateway = Gateway::start(MARKET);
    client.arg(&gateway.stream_url).args(["AAPL", "MSFT", "NVDA", "AMZN"]);
    client.args(["--format", format, "--throttle-ms", "20"]);
    let output = client.args(["--entries", &ENTRIES.to_string()]).output().expect("it runs");
    let printed = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    let last = printed.lines().last().unwrap_or_default();
    println!("{format}: {last}");
    assert!(output.status.success(), "{format}: {errors}\n{last}");
    assert!(last.starts_with("closed 1000: "), "{format}: {last}");
    // The client counts what it applied; so do its lines, one for each entry.
    for kind in ["definition", "quote", "last", "trades_joined", "trade", "ready"] {
        let lines = printed.lines().filter(|line| line.split_whitespace().nth(1) == Some(kind));
        assert!(lines.count() > 0, "{format}: no {kind} in\n{printed}");
    }
    let (status, log) = gateway.stop();
    assert!(status.success(), "the gateway ended with {status}:\n{log}");
}

const WELCOME: &str = r#"{"type":"welcome","epoch":1,"silence_limit_ms":7000}"#;
const QUOTE_5: &str = r#"{"type":"quote","symbol":"AAPL","sequence":5,"age_us":1,
    "bid_price":1.5,"bid_size":1,"ask_price":1.6,"ask_size":1,"flags":0}"#;
const QUOTE_4: &str = r#"{"type":"quote","symbol":"AAPL","sequence":4,"age_us":1,
    "bid_price":1.4,"bid_size":1,"ask_price":1.6,"ask_size":1,"flags":0}"#;
const QUOTE_PLUS_2: &str =
    r#"{"type":"quote_delta","symbol":"AAPL","advance":2,"age_us":1,"bid_price":1.7}"#;
const QUOTE_PLUS_0: &str =
    r#"{"type":"quote_delta","symbol":"AAPL","advance":0,"age_us":1,"bid_price":1.7}"#;
const JOINED_5: &str = r#"{"type":"trades_joined","symbol":"AAPL","sequence":5,"volume":10}"#;
const TRADE_6: &str = r#"{"type":"trade","symbol":"AAPL","sequence":6,"age_us":1,"price":1.5,
    "size":2,"flags":0,"trade_id":77}"#;
const TRADE_9: &str = r#"{"type":"trade","symbol":"AAPL","sequence":9,"age_us":1,"price":1.5,
    "size":2,"flags":0,"trade_id":80}"#;
const LOST_7_TO_8: &str =
    r#"{"type":"trades_lost","symbol":"AAPL","from":7,"to":8,"size":null,"origin":0}"#;

fn notices_broken_promises(client: impl Fn() -> Command) {
    let whole = [QUOTE_5, QUOTE_PLUS_2, JOINED_5, TRADE_6, LOST_7_TO_8, TRADE_9];
    assert_eq!(watch(client(), &[frame(1, &whole)], whole.len()), Ok(()));

    let cases: [(&str, Vec<String>); 7] = [
        ("a delta before the full state", vec![frame(1, &[QUOTE_PLUS_2])]),
        ("a delta that does not advance", vec![frame(1, &[QUOTE_5, QUOTE_PLUS_0])]),
        ("the sequence goes back", vec![frame(1, &[QUOTE_5, QUOTE_4])]),
        ("a hole in the tape after 6", vec![frame(1, &[JOINED_5, TRADE_6, TRADE_9])]),
        ("a hole in the tape after 6", vec![frame(1, &[JOINED_5, TRADE_6, TRADE_6])]),
        ("a hole in the tape after 5", vec![frame(1, &[JOINED_5, LOST_7_TO_8])]),
        ("a frame is missing", vec![frame(1, &[QUOTE_5]), frame(3, &[QUOTE_PLUS_2])]),
    ];
    for (rule, frames) in cases {
        let errors = watch(client(), &frames, usize::MAX >> 12).expect_err(rule);
        assert!(errors.contains(rule), "{rule} is not what it says: {errors}");
    }
}

fn frame(sequence: u64, entries: &[&str]) -> String {
    let entries = entries.join(",");
    format!(
        r#"{{"type":"frame","sequence":{sequence},"sent_at_us":1,"cause":0,"entries":[{entries}]}}"#
    )
}

/// Lets a client watch a scripted gateway; what it wrote to stderr when it ended badly.
fn watch(mut client: Command, frames: &[String], entries: usize) -> Result<(), String> {
    let script = Script::serve([&[WELCOME.to_owned()], frames].concat());
    client.args([&script.url(), "AAPL", "--format", "json", "--entries", &entries.to_string()]);
    let output = client.output().expect("it runs");
    script.finish();
    if output.status.success() {
        return Ok(());
    }
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    Err(String::from_utf8_lossy(&output.stderr).into_owned())
}
