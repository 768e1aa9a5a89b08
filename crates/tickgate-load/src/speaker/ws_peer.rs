//! The speaker of plain targets against the benchmarks' peer on Node, over real sockets.

use std::{
    env,
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};

use super::{
    Stamped,
    driver::{Client, Ending},
};
use crate::{measure::Timing, preflight};

#[test]
#[ignore = "needs Node with ws: cargo xtask test"]
fn ws_peer_is_understood() {
    let program = env::var_os("PROOF_WS_PEER").expect("PROOF_WS_PEER names ws.js");
    // Ten symbols each 20 ms, messages of their natural size.
    let mut command = Command::new("node");
    command.arg(program).args(["10", "20", "0"]).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut peer = Ending(command.spawn().expect("node starts"));
    let mut line = String::new();
    let mut output = BufReader::new(peer.0.stdout.take().expect("a pipe"));
    output.read_line(&mut line).expect("it says where it listens");
    let address = line.trim().strip_prefix("listening ").expect("it says where it listens");
    let target = preflight::check(&format!("ws://{address}/"), None, 10).expect("it listens");

    let watch = |symbols: &[&str]| {
        let symbols: Vec<String> = symbols.iter().map(|&symbol| symbol.to_owned()).collect();
        Client::open(&target, Stamped::new(symbols)).until_ready()
    };
    for symbols in [&["SYM0001", "SYM0010"][..], &["SYM0003"]] {
        let mut client = watch(symbols);
        client.until_entries(20);
        let counts = &client.tally.counts;
        assert_eq!((counts.frames, counts.entries, counts.updates), (20, 20, 20));
        assert_eq!((counts.violations, counts.negative), (0, 0));
        assert_eq!(client.tally.timings.of(Timing::Latency).len(), 20);
    }
}
