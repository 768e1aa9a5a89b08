//! A gateway that is told to stop while it is busy.

use std::{
    io::ErrorKind,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use tickgate_protocol::channel::Channels;

use crate::{
    client::{Client, End, Refused},
    process::{Gateway, get},
};

/// Sessions that are there when it is told.
const SESSIONS: usize = 40;

/// Threads that connect and leave all the while.
const VISITORS: usize = 4;

/// What it has for leaving.
const DRAIN_WITHIN: Duration = Duration::from_millis(3_500);

/// Added to what is promised in wall-clock time, for a machine that does other things as well.
const SLACK: Duration = Duration::from_secs(10);

/// `draining` adds up to a second to the drain time.
const SPREAD_HINT_MS: u64 = 1_000;

#[test]
fn sigterm_under_load_tells_everybody_spreads_the_closes_and_ends_in_order() {
    stops_in_order("TERM");
}

#[test]
fn sigint_does_the_same() {
    stops_in_order("INT");
}

fn stops_in_order(signal: &str) {
    let mut gateway = Gateway::start(&format!(
        "[gateway]\ndrain_within_ms = {}\nworkers = 2\n[feed.simulated]\nsymbols = 50\n",
        DRAIN_WITHIN.as_millis()
    ));
    let (subscribed, subscribers) = mpsc::channel();
    let sessions: Vec<_> = (0..SESSIONS)
        .map(|number| {
            let (address, subscribed) = (gateway.address.clone(), subscribed.clone());
            thread::spawn(move || {
                let mut client = Client::connect(&address).expect("accepted");
                let throttle_ms = [0, 20, 100][number % 3];
                client.subscribe(&["*"], Channels::ALL, throttle_ms).expect("connected");
                client.read_until(|client| client.readies == 1).expect("connected");
                subscribed.send(()).expect("the test waits");
                let end = client.read_to_the_end();
                (end, client.reconnect_after_ms, client.sent_at_us)
            })
        })
        .collect();
    // A session that fails hangs up, so that nobody waits for it.
    drop(subscribed);
    for _ in 0..SESSIONS {
        subscribers.recv().expect("everybody subscribes");
    }
    assert_eq!(gateway.admin("/readyz").0, 200);
    let visited = Arc::new(AtomicUsize::new(0));
    let visitors: Vec<_> = (0..VISITORS)
        .map(|_| {
            let (address, visited) = (gateway.address.clone(), Arc::clone(&visited));
            thread::spawn(move || visit_until_closed(&address, &visited))
        })
        .collect();
    while visited.load(Relaxed) < 20 {
        let are_running = visitors.iter().any(|visitor| !visitor.is_finished());
        assert!(are_running, "every visitor has failed");
        thread::yield_now();
    }

    gateway.signal(signal);
    let told = Instant::now();
    let not_ready = loop {
        let (status, text) = gateway.admin("/readyz");
        if status != 200 {
            break (status, text);
        }
    };
    assert_eq!(not_ready, (503, "draining\n".to_owned()));
    let ends: Vec<_> = sessions.into_iter().map(|each| each.join().expect("sound")).collect();
    for visitor in visitors {
        visitor.join().expect("answered each time");
    }
    let (status, log) = gateway.wait();
    assert!(status.success(), "it ended with {status}:\n{log}");
    assert!(told.elapsed() < DRAIN_WITHIN + SLACK, "it took {:?}", told.elapsed());
    assert!(!log.contains("sessions dropped"), "everybody had left in time:\n{log}");

    let least = DRAIN_WITHIN.as_millis() as u64;
    for (end, reconnect_after_ms, _) in &ends {
        assert_eq!(*end, End::Close(4_000));
        let wait = reconnect_after_ms.expect("told before it is closed");
        assert!((least..=least + SPREAD_HINT_MS).contains(&wait), "come back after {wait} ms");
    }
    let mut hints: Vec<_> = ends.iter().map(|(_, hint, _)| hint).collect();
    hints.sort();
    hints.dedup();
    assert!(hints.len() > SESSIONS / 2, "hints are spread: {hints:?}");
    // By the gateway's clock; a session of this market has a frame every few milliseconds.
    let last_frames = || ends.iter().map(|(_, _, sent_at_us)| *sent_at_us);
    let first = last_frames().min().expect("there are sessions");
    let last = last_frames().max().expect("there are sessions");
    // Of 2.25 s; forty numbers cover most of it.
    assert!(last - first > 1_000_000, "all closed within {} µs", last - first);
}

/// Connects and leaves until nobody listens. Whoever is let in is welcomed; whoever is not is
/// refused in words or by the closed port.
fn visit_until_closed(address: &str, visited: &AtomicUsize) {
    let start = Instant::now();
    loop {
        match Client::connect(address) {
            Ok(_) | Err(Refused::Http(503)) => {}
            // It stood in the queue when the port closed.
            Err(Refused::Connection(ErrorKind::ConnectionReset | ErrorKind::BrokenPipe)) => {}
            Err(Refused::Connection(ErrorKind::ConnectionRefused)) => return,
            Err(other) => panic!("refused with {other:?}"),
        }
        visited.fetch_add(1, Relaxed);
        assert!(start.elapsed() < DRAIN_WITHIN + 3 * SLACK, "the port is never closed");
    }
}

#[test]
fn a_second_signal_ends_it_at_once_with_a_code_of_its_own() {
    for (signal, code) in [("TERM", 143), ("INT", 130)] {
        // It would drain for ten minutes.
        let mut gateway = Gateway::start("[gateway]\ndrain_within_ms = 600000\n");
        // Both number and share come from the order of arrival: one of these is closed late.
        let mut clients: Vec<Client> =
            (0..8).map(|_| Client::connect(&gateway.address).expect("accepted")).collect();
        for client in &mut clients {
            client.subscribe(&["AAPL"], Channels::DEFAULT, 100).expect("connected");
        }
        gateway.signal("TERM");
        for client in &mut clients {
            client.read_until(|client| client.reconnect_after_ms.is_some()).expect("connected");
        }
        gateway.signal(signal);
        let (status, log) = gateway.wait();
        assert_eq!(status.code(), Some(code), "{log}");
        assert!(log.contains(&format!("stopped at once by a second signal, SIG{signal}")), "{log}");
    }
}

#[test]
fn the_service_unit_gives_it_longer_than_it_drains() {
    let unit = include_str!("../../../../config/tickgate.service");
    let config: toml::Table =
        include_str!("../../../../config/tickgate.toml").parse().expect("valid");
    let stop_s = unit.lines().find_map(|line| line.strip_prefix("TimeoutStopSec="));
    let stop_s: i64 = stop_s.and_then(|text| text.parse().ok()).expect("whole seconds");
    let drain_ms = config["gateway"]["drain_within_ms"].as_integer().expect("a number");
    assert!(stop_s * 1_000 >= 2 * drain_ms, "{stop_s} s for {drain_ms} ms");
}

#[test]
fn the_port_is_free_for_another_gateway_while_this_one_drains() {
    let first = Gateway::start("[gateway]\ndrain_within_ms = 60000\n");
    let mut client = Client::connect(&first.address).expect("accepted");
    client.subscribe(&["AAPL"], Channels::DEFAULT, 100).expect("connected");
    first.signal("TERM");
    client.read_until(|client| client.reconnect_after_ms.is_some()).expect("connected");
    let start = Instant::now();
    while get(&first.address, "/").is_ok() {
        assert!(start.elapsed() < SLACK, "the port stays open");
    }
    let second = crate::process::Setup::new("").listen(&first.address).start();
    assert_eq!(second.address, first.address);
    assert!(Client::connect(&second.address).is_ok());
    // Its session is still served meanwhile.
    let frames = client.data_frames;
    client.read_until(|client| client.data_frames > frames).expect("connected");
}
