//! Clients that do not read, among clients that do.

use std::{
    io::{Read, Write},
    net::TcpStream,
};

use tickgate_feed::simulated::SimulatedConfig;
use tickgate_protocol::{
    channel::Channels,
    command::Op,
    dialect::Dialect::{Json, MessagePack},
    entry::cause,
};

use crate::{
    client::{Client, SILENCE_LIMIT},
    data::Recordings,
    gateway::Gateway,
};

/// Readers beside the stalled client.
const NEIGHBOURS: usize = 3;

/// Least drain age that may be configured, so that the test is short.
const DRAIN_AGE_MS: u64 = 1_000;

#[test]
fn a_stalled_client_is_closed_at_its_drain_age_and_its_neighbours_converge() {
    // Enough for the stalled client's share of the kernel's buffers to be filled many times over.
    let market =
        SimulatedConfig { symbols: 200, ticks_per_second: 20_000, ..SimulatedConfig::default() };
    let recordings = Recordings::simulated(market, 10);
    let gateway = Gateway::start(&format!(
        "[session]\ndrain_age_ms = {DRAIN_AGE_MS}\n[hub]\ntape_capacity = 16384\n\
         symbol_limit = 256\n{}",
        recordings.config(1.0, NEIGHBOURS + 1)
    ));
    let mut stalled = Client::connect(&gateway.stream_url, Json);
    stalled.subscribe(["*"], Channels::ALL, 0);
    stalled.read_until(|client| client.readies == 1);

    let mut neighbours: Vec<Client> = (0..NEIGHBOURS)
        .map(|_| {
            let mut client = Client::connect(&gateway.stream_url, MessagePack);
            client.subscribe(["*"], Channels::ALL, 100);
            client
        })
        .collect();
    let threads: Vec<_> = neighbours
        .drain(..)
        .map(|mut client| {
            std::thread::spawn(move || {
                client.read_to_the_end(100);
                client
            })
        })
        .collect();
    let neighbours: Vec<Client> =
        threads.into_iter().map(|thread| thread.join().expect("a healthy neighbour")).collect();

    let names: Vec<String> =
        neighbours[0].book.symbols().map(|symbol| symbol.definition.name.to_string()).collect();
    assert_eq!(names.len(), 200);
    for name in &names {
        // All saw every trade and hold the same; what they hold is what the recording says is
        // proved elsewhere.
        let tape = &neighbours[0].book.symbol(name).expect("defined").tape;
        assert_eq!((tape.joined_at, tape.lost), (0, 0), "{name}: joined at, lost");
        let figures = neighbours[0].figures(name);
        assert_eq!(tape.trades, figures.trade_count, "{name}: trades");
        for other in &neighbours[1..] {
            assert_eq!(other.figures(name), figures, "{name}");
            assert_eq!(other.trades.get(name), neighbours[0].trades.get(name), "{name}");
        }
    }

    let closed = closed_for("slow_consumer", &gateway);
    assert_eq!(closed, 1.0, "sessions closed as slow consumers");
    // Half a frame may be in the socket's buffers, so no close frame could follow: 1006.
    let end = stalled.read_to_the_close();
    assert!(
        matches!(end, tungstenite::Error::Protocol(_) | tungstenite::Error::Io(_)),
        "it ended with {end:?}"
    );
}

#[test]
fn a_client_that_withholds_credit_gets_the_newest_values_and_no_backlog() {
    let market =
        SimulatedConfig { symbols: 50, ticks_per_second: 5_000, ..SimulatedConfig::default() };
    let recordings = Recordings::simulated(market, 3);
    let gateway = Gateway::start(&recordings.config(1.0, 2));
    let mut slow = Client::connect(&gateway.stream_url, MessagePack);
    slow.command(Op::Credit { frames: Some(1) });
    slow.subscribe(["*"], Channels::DEFAULT, 20);
    slow.read_until(|client| client.readies == 1);

    let mut quick = Client::connect(&gateway.stream_url, MessagePack);
    quick.subscribe(["*"], Channels::DEFAULT, 20);
    quick.read_to_the_end(20);
    // The market is over. What is on its way is one frame, of the beginning, and heartbeats.
    let before = slow.data_frames;
    let mut acknowledged = 0;
    while slow.stale_at_us.is_none() || slow.sent_at_us < quick.sent_at_us {
        if slow.book.frame_sequence() > acknowledged {
            acknowledged = slow.book.frame_sequence();
            slow.command(Op::Ack { frame: acknowledged });
        }
        slow.read_until(|client| client.book.frame_sequence() > acknowledged);
    }
    // 50 symbols with quote and last at some 60 bytes with their definitions: far below 16 KiB.
    let behind = slow.data_frames - before;
    assert!(behind <= 4, "{behind} frames, where the quick client got {}", quick.data_frames);
    assert!(quick.data_frames > 20, "only {} frames: nothing was conflated", quick.data_frames);
    assert_ne!(slow.causes & cause::CREDIT, 0, "no frame says that it was late for credit");
    for symbol in quick.book.symbols() {
        let name = &symbol.definition.name;
        assert_eq!(slow.figures(name), quick.figures(name), "{name}");
    }
}

/// The metric of sessions ended for `reason`.
fn closed_for(reason: &str, gateway: &Gateway) -> f64 {
    let page = get(gateway.metrics_address(), "/metrics");
    let line = page
        .lines()
        .find(|line| line.starts_with("tickgate_sessions_closed_total") && line.contains(reason))
        .unwrap_or_else(|| panic!("no count of sessions closed as {reason} in\n{page}"));
    line.rsplit(' ').next().and_then(|value| value.parse().ok()).expect("a number")
}

fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("the admin listener is there");
    stream.set_read_timeout(Some(SILENCE_LIMIT)).expect("a timeout can be set");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")
        .expect("a request leaves");
    let mut page = String::new();
    stream.read_to_string(&mut page).expect("an answer");
    page
}
