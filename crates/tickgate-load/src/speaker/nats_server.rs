//! The NATS speaker against a real nats-server, over real sockets.

use std::{
    env,
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};

use super::{
    Fault, Nats, Progress,
    driver::{Client, Ending, now_us},
};
use crate::{measure::Timing, preflight};

const CONFIG: &str = r#"
host: "127.0.0.1"
port: -1
max_payload: 300000
ping_interval: "100ms"
websocket { host: "127.0.0.1", port: -1, no_tls: true }
"#;

/// A server that ends with the test.
struct Server {
    _process: Ending,
    url: String,
    _folder: tempfile::TempDir,
}

impl Server {
    fn start() -> Self {
        let program = env::var_os("PROOF_NATS_SERVER").expect("PROOF_NATS_SERVER names a program");
        let folder = tempfile::tempdir().expect("a folder");
        let config = folder.path().join("nats.conf");
        std::fs::write(&config, CONFIG).expect("the configuration can be written");
        let mut command = Command::new(program);
        command.arg("-c").arg(config).stdin(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("nats-server starts");
        // It says where it listens, and then that it is ready.
        let log = BufReader::new(child.stderr.take().expect("a pipe"));
        let mut url = None;
        let mut lines = log.lines().map_while(Result::ok);
        for line in lines.by_ref() {
            eprintln!("{line}");
            let said = line.split_once("Listening for websocket clients on ");
            url = url.or(said.map(|(_, url)| url.trim().to_owned()));
            if line.contains("Server is ready") {
                break;
            }
        }
        // What else it has to say must not fill the pipe.
        std::thread::spawn(move || lines.for_each(|line| eprintln!("{line}")));
        Self {
            _process: Ending(child),
            url: url.expect("it listens for WebSockets"),
            _folder: folder,
        }
    }
}

fn client(target: &preflight::Target, symbols: &[&str]) -> Client {
    let symbols: Vec<String> = symbols.iter().map(|&symbol| symbol.to_owned()).collect();
    Client::open(target, Nats::new(symbols)).until_ready()
}

fn started() -> (Server, preflight::Target) {
    let server = Server::start();
    let target = preflight::check(&server.url, None, 10).expect("it takes upgrades");
    (server, target)
}

#[test]
#[ignore = "needs nats-server: cargo xtask test"]
fn nats_server_delivers_what_is_published_to_whom_it_concerns() {
    let (_server, target) = started();
    let watched = [&["AAPL", "MSFT"][..], &["AAPL"], &["BRK.B"]];
    let clients = watched.map(|symbols| client(&target, symbols));
    let mut publisher = client(&target, &["AAPL", "MSFT", "BRK.B"]);
    // Due two seconds ago, so that each is at least as late.
    const LATE_US: i64 = 2_000_000;
    for _ in 0..300 {
        assert!(publisher.speaker.publish(now_us() - LATE_US, &mut publisher.out));
    }
    publisher.write();
    let [both, one, other] = clients;
    for (mut client, entries) in [(both, 200), (one, 100), (other, 100), (publisher, 300)] {
        client.until_entries(entries);
        let counts = &client.tally.counts;
        assert_eq!((counts.entries, counts.updates), (entries, entries));
        assert_eq!((counts.violations, counts.negative), (0, 0));
        assert!((1..=client.heard).contains(&counts.frames), "{counts:?}");
        for timing in [Timing::Transit, Timing::Latency] {
            let histogram = client.tally.timings.of(timing);
            assert_eq!(histogram.len(), entries);
            // To a hundredth, as times are kept.
            assert!(histogram.min() >= LATE_US as u64 * 98 / 100, "{timing:?}");
        }
    }
}

#[test]
#[ignore = "needs nats-server: cargo xtask test"]
fn nats_server_delivers_payloads_of_all_sizes() {
    let (_server, target) = started();
    let mut client = client(&target, &["AAPL"]);
    for payload_bytes in [8, 70_000, 300_000] {
        let mut payload = now_us().to_be_bytes().to_vec();
        payload.resize(payload_bytes, b'\n');
        let mut said = format!("PUB AAPL {payload_bytes}\r\n").into_bytes();
        said.extend_from_slice(&payload);
        said.extend_from_slice(b"\r\n");
        client.out.binary(&said);
    }
    client.write();
    client.until_entries(3);
    assert_eq!((client.tally.counts.updates, client.tally.counts.violations), (3, 0));
}

#[test]
#[ignore = "needs nats-server: cargo xtask test"]
fn nats_server_refuses_in_words_and_its_pings_are_answered() {
    let (_server, target) = started();
    let mut client = client(&target, &["AAPL"]);
    // It closes connections that leave two pings in a row unanswered; after readiness pings are
    // all that comes.
    for _ in 0..5 {
        assert_eq!(client.step(), Ok(Progress::Going));
    }
    client.out.binary(b"PUB AAPL 300001\r\n");
    client.write();
    let fault = loop {
        if let Err(fault) = client.step() {
            break fault;
        }
    };
    let Fault::Refused(what) = &fault else { panic!("{fault:?}") };
    assert!(what.contains("Maximum Payload"), "{what}");
}
