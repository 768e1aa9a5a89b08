//! Recordings, replayed to connected clients: what arrives is what was recorded.

use std::{collections::BTreeMap, env, thread};

use tickgate_feed::simulated::SimulatedConfig;
use tickgate_protocol::{
    channel::Channels,
    dialect::Dialect::{self, Json, MessagePack},
    entry::bar_flag,
};

use crate::{
    client::Client,
    data::Recordings,
    fold::{Folded, fold},
    gateway::Gateway,
};

/// A format and a throttle interval in milliseconds for each client.
const CLIENTS: [(Dialect, u32); 4] =
    [(MessagePack, 0), (MessagePack, 100), (Json, 1_000), (MessagePack, 5_000)];

/// Symbols of any recording here; small, so that long tapes fit the hub's memory limit.
const SYMBOL_LIMIT: usize = 64;

#[test]
#[ignore = "needs Python: cargo xtask test"]
fn at_any_throttle_every_trade_arrives_and_the_last_values() {
    let recordings = Recordings::real_or_simulated();
    let speed = env::var("PROOF_SPEED").map_or(10.0, |speed| speed.parse().expect("a number"));
    println!("replayed at {speed} times the recorded speed");
    let expected = fold(&recordings.files);
    for (client, throttle_ms) in replay(&recordings, speed, 65_536, &expected) {
        for (name, folded) in &expected {
            let context = format!("{name} at {throttle_ms} ms");
            assert_eq!(client.figures(name), folded.figures, "{context}");
            let tape = &client.book.symbol(name).expect("defined").tape;
            assert_eq!((tape.joined_at, tape.lost), (0, 0), "{context}: joined at, lost");
            let trades: Vec<_> =
                client.trades.get(name).into_iter().flat_map(BTreeMap::values).collect();
            // Compared one by one: a whole tape is no readable message.
            assert_eq!(trades.len(), folded.trades.len(), "{context}: trades");
            for (place, (got, wanted)) in trades.into_iter().zip(&folded.trades).enumerate() {
                assert_eq!(got, wanted, "{context}: trade {}", place + 1);
            }
        }
        let count: usize = client.trades.values().map(BTreeMap::len).sum();
        println!("{throttle_ms} ms: {count} trades, none lost, last values equal");
    }
}

#[test]
#[ignore = "needs Python: cargo xtask test"]
fn flat_out_with_a_small_tape_what_came_and_what_was_declared_lost_are_the_file() {
    let recordings = Recordings::real_or_simulated();
    let expected = fold(&recordings.files);
    let mut lost_in_all = 0;
    for (client, throttle_ms) in replay(&recordings, 0.0, 64, &expected) {
        let (mut delivered, mut lost) = (0, 0);
        for (name, folded) in &expected {
            let context = format!("{name} at {throttle_ms} ms");
            assert_eq!(client.figures(name), folded.figures, "{context}");
            let tape = &client.book.symbol(name).expect("defined").tape;
            let count = folded.trades.len() as u64;
            assert_eq!((tape.joined_at, tape.head), (0, Some(count)), "{context}: joined at, head");
            assert_eq!(tape.trades + tape.lost, count, "{context}: delivered + lost");
            for (sequence, trade) in client.trades.get(name).into_iter().flatten() {
                let place = usize::try_from(*sequence).expect("small") - 1;
                assert_eq!(*trade, folded.trades[place], "{context}: trade {sequence}");
            }
            delivered += tape.trades;
            lost += tape.lost;
        }
        println!("{throttle_ms} ms: {delivered} trades delivered, {lost} declared lost");
        lost_in_all += lost;
    }
    assert!(lost_in_all > 0, "no client was lapped: this has shown nothing");
}

/// Late trades (there are some in the real recordings) are in the bars of their time.
#[test]
#[ignore = "needs Python: cargo xtask test"]
fn history_is_what_an_independent_fold_of_the_recording_says() {
    let recordings = Recordings::real_or_simulated();
    let expected = fold(&recordings.files);
    let config = config(&recordings, 0.0, 64, 1);
    let bars = "tape_capacity = 64\nbar_1s_capacity = 1024\n";
    let config = format!("{}rebase = false\n", config.replace("tape_capacity = 64\n", bars));
    let gateway = Gateway::start(&config);
    let mut client = Client::connect(&gateway.stream_url, MessagePack);
    client.subscribe(["*"], Channels::DEFAULT, 0);
    client.read_to_the_end(0);
    let mut in_json = Client::connect(&gateway.stream_url, Json);
    for (name, folded) in &expected {
        for (interval_s, channel) in [(1, "bar.1s"), (60, "bar.1m"), (86_400, "bar.1d")] {
            let got = client.history(name, channel, 100);
            let wanted = &folded.bars[&interval_s];
            assert_eq!(got.len(), wanted.len(), "{name} {channel}");
            for ((bar, _), wanted) in got.iter().zip(wanted) {
                assert_eq!(bar, wanted, "{name} {channel}");
            }
            // Only the last can still be in progress.
            let closed = got.iter().filter(|(_, flags)| flags & bar_flag::CLOSED != 0).count();
            assert!(closed + 1 >= got.len(), "{name} {channel}: {closed} closed");
            assert_eq!(in_json.history(name, channel, 7), got, "{name} {channel}");
            println!("{name}: {} bars of {interval_s} s, all equal", got.len());
        }
    }
}

#[test]
fn when_a_recording_ends_clients_hear_that_the_feed_is_stale_within_a_second() {
    let market =
        SimulatedConfig { symbols: 5, ticks_per_second: 500, ..SimulatedConfig::default() };
    let recordings = Recordings::simulated(market, 5);
    let gateway = Gateway::start(&config(&recordings, 10.0, 64, 1));
    let mut client = Client::connect(&gateway.stream_url, MessagePack);
    client.subscribe(["*"], Channels::ALL, 0);
    client.read_until(|client| client.stale_at_us.is_some());
    // Both by the gateway's clock: when the last tick left, and when the news did.
    let took_us = client.stale_at_us.unwrap_or_default() - client.data_sent_at_us;
    assert!(client.data_sent_at_us > 0, "no tick came at all");
    assert!(took_us <= 1_000_000, "stale was sent {took_us} µs after the last tick");
}

/// Replays to one client of each kind, which subscribe before the first tick and read to the end.
fn replay(
    recordings: &Recordings,
    speed: f64,
    tape_capacity: usize,
    expected: &BTreeMap<String, Folded>,
) -> Vec<(Client, u32)> {
    let gateway = Gateway::start(&config(recordings, speed, tape_capacity, CLIENTS.len()));
    thread::scope(|scope| {
        let clients = CLIENTS.map(|(dialect, throttle_ms)| {
            let stream_url = &gateway.stream_url;
            scope.spawn(move || {
                let mut client = Client::connect(stream_url, dialect);
                client.subscribe(expected.keys().map(String::as_str), Channels::ALL, throttle_ms);
                client.read_to_the_end(throttle_ms);
                (client, throttle_ms)
            })
        });
        let finished = clients.map(|client| client.join().expect("the client's checks passed"));
        finished.into_iter().collect()
    })
}

fn config(
    recordings: &Recordings,
    speed: f64,
    tape_capacity: usize,
    start_after_subscribes: usize,
) -> String {
    format!(
        "[hub]\nsymbol_limit = {SYMBOL_LIMIT}\ntape_capacity = {tape_capacity}\n{}",
        recordings.config(speed, start_after_subscribes)
    )
}
