//! A gateway that is killed, started again, and found by its clients.

use std::{collections::BTreeMap, fs, path::PathBuf, sync::mpsc, thread, time::Duration};

use tickgate_feed::{
    Feed, Next,
    replay::{Replay, ReplayConfig},
    simulated::SimulatedConfig,
};
use tickgate_protocol::{
    channel::Channels,
    entry::quote_field,
    tick::{Batch, TickBody},
};

use crate::{
    client::Client,
    data::Recordings,
    process::{Gateway, Setup, replace},
};

const CLIENTS: usize = 8;

/// Pause of a client that could not connect.
const RETRY: Duration = Duration::from_millis(50);

/// What a symbol comes to: the last quote's four numbers, quotes and trades.
type Totals = BTreeMap<String, ([i64; 4], u64, u64)>;

#[test]
fn after_a_kill_clients_come_back_by_themselves_and_end_with_the_right_values() {
    let market =
        SimulatedConfig { symbols: 20, ticks_per_second: 2_000, ..SimulatedConfig::default() };
    let recordings = Recordings::simulated(market, 30);
    let expected = totals(&recordings.files);
    let mut first = Gateway::start(&config(&recordings, 1.0));
    let address = first.address.clone();
    let (told, telling) = mpsc::channel();
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let (address, told) = (address.clone(), told.clone());
            thread::spawn(move || watch_to_the_end(&address, &told))
        })
        .collect();
    // A client that fails hangs up, so that nobody waits for it.
    drop(told);
    for _ in 0..CLIENTS {
        telling.recv().expect("every client hears of the market");
    }
    first.signal("KILL");
    let (status, _) = first.wait();
    assert!(!status.success());
    assert_eq!(first.files(), ["tickgate.toml"], "it leaves nothing behind");

    let second = Setup::new(&config(&recordings, 20.0)).listen(&address).start();
    for client in clients {
        let (epochs, seen) = client.join().expect("every frame was sound");
        assert!(epochs.is_sorted_by(|a, b| a < b) && epochs.len() == 2, "epochs {epochs:?}");
        assert_eq!(seen, expected);
    }
    assert_eq!(second.address, address);
}

#[test]
fn a_kill_while_the_configuration_is_replaced_leaves_one_that_starts() {
    let mut gateway = Gateway::start("[gateway]\nsession_limit = 10\n");
    let file = gateway.config_file();
    replace(&file, b"[gateway]\nsession_limit = 20\n");
    gateway.signal("HUP");
    gateway.signal("KILL");
    gateway.wait();
    let left = fs::read_to_string(file).expect("it is there");
    let again = Setup::new(&left).listen(&gateway.address).start();
    assert!(Client::connect(&again.address).is_ok());
}

/// Subscribes, comes back whenever it is cut off, and ends with the feed: the epochs it lived
/// through and what it holds.
fn watch_to_the_end(address: &str, told: &mpsc::Sender<()>) -> (Vec<u64>, Totals) {
    let mut epochs = Vec::new();
    loop {
        let Ok(mut client) = Client::connect(address) else {
            thread::sleep(RETRY);
            continue;
        };
        let watched = client
            .subscribe(&["*"], Channels::ALL, 50)
            .and_then(|()| client.read_until(|client| client.data_frames >= 5))
            .and_then(|()| {
                epochs.extend(client.book.epoch());
                // Only the first telling is waited for.
                let _ = told.send(());
                client.read_until(|client| client.stale.is_some())
            })
            .and_then(|()| {
                // Two throttle intervals, and a second for a machine with other things to do.
                let end_us = client.sent_at_us + 1_100_000;
                client.read_until(|client| client.sent_at_us >= end_us)
            });
        if watched.is_ok() {
            let totals = client.book.symbols().map(|symbol| {
                let quote = symbol.quote.fields.expect("every symbol was quoted");
                let numbers = [
                    quote[quote_field::BID_PRICE],
                    quote[quote_field::BID_SIZE],
                    quote[quote_field::ASK_PRICE],
                    quote[quote_field::ASK_SIZE],
                ];
                let quotes = symbol.quote.head.unwrap_or(0);
                let trades = symbol.tape.head.unwrap_or(0);
                (symbol.definition.name.to_string(), (numbers, quotes, trades))
            });
            return (epochs, totals.collect());
        }
    }
}

/// What the recordings come to, by polling them flat out.
fn totals(files: &[PathBuf]) -> Totals {
    let config = ReplayConfig { files: files.to_vec(), speed: 0.0, ..ReplayConfig::default() };
    let mut replay = Replay::open(config).expect("sound recordings");
    let (mut names, mut totals) = (Vec::new(), Vec::new());
    let mut batch = Batch::default();
    loop {
        batch.clear();
        let next = replay.poll(0, &mut batch);
        for listing in &batch.listings {
            names.push(listing.name.clone());
            totals.push(([0; 4], 0, 0));
        }
        for tick in &batch.ticks {
            let (numbers, quotes, trades) = &mut totals[tick.symbol as usize];
            match tick.body {
                TickBody::Quote(quote) => {
                    *numbers = [quote.bid_price, quote.bid_size, quote.ask_price, quote.ask_size];
                    *quotes += 1;
                }
                TickBody::Trade(_) => *trades += 1,
                other => panic!("not in this format: {other:?}"),
            }
        }
        if matches!(next, Next::Ended(_)) {
            return names.into_iter().zip(totals).collect();
        }
    }
}

fn config(recordings: &Recordings, speed: f64) -> String {
    format!(
        "[hub]\nsymbol_limit = 64\ntape_capacity = 16384\n{}",
        recordings.config(speed, CLIENTS)
    )
}
