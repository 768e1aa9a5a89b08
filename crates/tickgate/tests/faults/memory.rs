//! A gateway whose memory runs short.

use std::{sync::mpsc, thread};

use tickgate_protocol::channel::Channels;

use crate::{
    client::{Client, End, Refused},
    process::{Gateway, replace},
};

/// Symbols of the market: what a greedy session subscribes to.
const SYMBOLS: usize = 8_192;

/// Sessions that take much, half of what the process takes.
const GREEDY: usize = 48;

/// Sessions that take little.
const MODEST: usize = 6;

fn config(memory_limit_bytes: u64) -> String {
    format!(
        "[gateway]\nworkers = 1\nmemory_limit_bytes = {memory_limit_bytes}\n\
         [hub]\nsymbol_limit = {SYMBOLS}\ntape_capacity = 16\nstatus_capacity = 16\n\
         [feed.simulated]\nsymbols = {SYMBOLS}\nticks_per_second = 500\n"
    )
}

#[test]
#[cfg(target_os = "linux")]
fn short_of_memory_it_takes_nobody_closes_the_greedy_and_recovers() {
    // Without a limit at first, to see what it takes by itself.
    let gateway = Gateway::start(&config(0));
    let address = gateway.address.clone();
    let mut modest: Vec<Client> = (0..MODEST)
        .map(|_| {
            let mut client = Client::connect(&address).expect("accepted");
            client.subscribe(&["AAPL", "MSFT"], Channels::DEFAULT, 100).expect("connected");
            client.read_until(|client| client.readies == 1).expect("connected");
            client
        })
        .collect();
    let (ended, ends) = mpsc::channel();
    for _ in 0..GREEDY {
        let mut client = Client::connect(&address).expect("accepted");
        client.subscribe(&["*"], Channels::ALL, 60_000).expect("connected");
        client.read_until(|client| client.readies == 1).expect("connected");
        let ended = ended.clone();
        // The last of them are cut off with the gateway, when nobody asks any more.
        thread::spawn(move || ended.send(client.read_to_the_end()));
    }
    let used = gateway.metric("process_resident_memory_bytes");

    // Now the limit is a little above what is in use: the first mark is passed, the second too.
    let limit = (used / 0.96) as u64;
    replace(&gateway.config_file(), config(limit).as_bytes());
    gateway.signal("HUP");
    gateway.logged("memory is short: nobody new is taken");
    assert_eq!(Client::connect(&address).err(), Some(Refused::Http(503)));
    gateway.logged("the slowest sessions are closed");
    // Those who were closed know why and may come back.
    assert_eq!(ends.recv(), Ok(End::Close(4_002)));
    gateway.metric_until("tickgate_memory_used_bytes", |used| used < 0.92 * limit as f64);
    let closed = gateway.metric("tickgate_sessions_closed_total{reason=\"overloaded\"}");
    assert!((1.0..GREEDY as f64).contains(&closed), "{closed} closed: not everybody");
    assert!(gateway.metric("tickgate_handshakes_refused_total{reason=\"memory\"}") >= 1.0);
    println!(
        "{closed} closed, {used} before, {} now",
        gateway.metric("tickgate_memory_used_bytes")
    );

    // Who holds little stays and is served.
    for client in &mut modest {
        let frames = client.data_frames;
        client.read_until(|client| client.data_frames > frames).expect("still connected");
    }
    // With a limit that suffices it takes everybody again.
    replace(&gateway.config_file(), config(4 * limit).as_bytes());
    gateway.signal("HUP");
    gateway.logged("memory suffices again");
    let mut late = Client::connect(&address).expect("accepted");
    late.subscribe(&["AAPL"], Channels::DEFAULT, 100).expect("connected");
    late.read_until(|late| late.data_frames > 3).expect("served");
}
