//! Recordings that vanish or shrink while they are replayed.

use std::fs;

use tickgate_feed::simulated::SimulatedConfig;
use tickgate_protocol::{channel::Channels, tick::Reason};

use crate::{client::Client, data::Recordings, process::Gateway};

/// How soon clients are promised to hear of it, microseconds.
const PROMISE_US: i64 = 1_000_000;

fn recordings(seconds: i64) -> Recordings {
    let market =
        SimulatedConfig { symbols: 5, ticks_per_second: 500, ..SimulatedConfig::default() };
    Recordings::simulated(market, seconds)
}

fn repeated(recordings: &Recordings, speed: f64) -> String {
    format!("[hub]\nsymbol_limit = 64\n{}repeat = true\n", recordings.config(speed, 1))
}

/// Watches until the feed is stale; then the gateway must still be of use.
fn ends_stale_and_useful(gateway: &Gateway, client: &mut Client, logged: &str) {
    client.read_until(|client| client.stale.is_some()).expect("it stays connected");
    let (stale_at_us, reason) = client.stale.expect("just seen");
    assert_eq!(reason, Reason::Ended);
    // Both by the gateway's clock.
    let took_us = stale_at_us - client.data_sent_at_us;
    assert!(client.data_sent_at_us > 0 && took_us <= PROMISE_US, "stale after {took_us} µs");
    let line = gateway.logged("the feed ended");
    assert!(line.contains(logged), "{line}");
    assert_eq!(gateway.admin("/readyz"), (503, "feed is stale: ended\n".to_owned()));
    assert_eq!(gateway.admin("/healthz").0, 200);
    let mut late = Client::connect(&gateway.address).expect("accepted");
    late.subscribe(&["*"], Channels::ALL, 0).expect("connected");
    late.read_until(|late| late.readies == 1).expect("connected");
    assert!(late.book.symbols().all(|symbol| symbol.quote.fields.is_some()), "the last values");
}

#[test]
fn a_recording_that_is_gone_when_it_would_repeat_makes_the_feed_stale_and_nothing_else() {
    let recordings = recordings(10);
    let gateway = Gateway::start(&repeated(&recordings, 5.0));
    let mut client = Client::connect(&gateway.address).expect("accepted");
    client.subscribe(&["*"], Channels::ALL, 0).expect("connected");
    client.read_until(|client| client.data_frames >= 5).expect("it plays");
    fs::remove_file(&recordings.files[0]).expect("it was there");
    // What is open is played to its end all the same.
    ends_stale_and_useful(&gateway, &mut client, "cannot be read");
}

#[test]
fn a_recording_that_shrinks_while_it_is_played_makes_the_feed_stale_and_nothing_else() {
    let recordings = recordings(60);
    let gateway =
        Gateway::start(&format!("[hub]\nsymbol_limit = 64\n{}", recordings.config(1.0, 1)));
    let mut client = Client::connect(&gateway.address).expect("accepted");
    client.subscribe(&["*"], Channels::ALL, 0).expect("connected");
    client.read_until(|client| client.data_frames >= 5).expect("it plays");
    let file = fs::OpenOptions::new().write(true).open(&recordings.files[0]).expect("it is there");
    file.set_len(0).expect("it can be cut");
    ends_stale_and_useful(&gateway, &mut client, "truncated");
}
