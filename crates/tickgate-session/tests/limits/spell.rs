//! Clients that send at once take turns with those who wait for frames.

use tickgate_session::{EngineConfig, Inbound};

use crate::desk::{Client, Desk, list, text};

const PING: &str = r#"{"op":"ping"}"#;

/// What reading one of them takes here, microseconds.
const TURN_US: u64 = 60;

/// Reads each of them in turn as a worker's tasks do between two polls, in time that passes; says
/// who was read.
fn read_all(desk: &mut Desk, crowd: &[Client]) -> Vec<usize> {
    let mut read = Vec::new();
    for (at, client) in crowd.iter().enumerate() {
        let unread = client.pipe.unread();
        if unread == 0 {
            continue;
        }
        let next = desk.engine.on_readable(desk.now, client.key);
        if client.pipe.unread() < unread {
            desk.now.monotonic_us += TURN_US;
            read.push(at);
        } else {
            assert_eq!(next, Inbound::Again, "it is to try again");
        }
    }
    read
}

#[test]
fn a_crowd_of_commands_holds_no_frame_up_for_longer_than_a_spell_and_a_turn() {
    let mut desk = Desk::new(EngineConfig::default());
    list(&mut desk, 1);
    let mut healthy = desk.connect();
    desk.ask(&mut healthy, r#"{"op":"subscribe","symbols":["S0"],"throttle_ms":0}"#);
    desk.pass_ms(200);
    let mut crowd: Vec<Client> = (0..50).map(|_| desk.connect()).collect();
    for client in &crowd {
        client.pipe.send(&text(PING));
    }
    let mut turns = Vec::new();
    let mut price = 100;
    while crowd.iter().any(|client| client.pipe.has_input()) {
        // While they are read the market moves.
        price += 1;
        desk.quote(price, 0);
        let changed_us = desk.now.monotonic_us;
        turns.extend(read_all(&mut desk, &crowd));
        let frames = desk.engine.stats().frames;
        desk.poll();
        assert_eq!(desk.engine.stats().frames, frames + 1, "the real-time session has its frame");
        let waited_us = desk.now.monotonic_us - changed_us;
        assert!(waited_us <= 200 + TURN_US, "it waited for {waited_us} µs");
    }
    // Everybody has had a turn, in the order in which they came.
    assert_eq!(turns, (0..50).collect::<Vec<_>>());
    assert!(crowd.iter_mut().all(|client| client.said().len() == 1));
}

#[test]
fn however_long_a_poll_takes_somebody_is_read_after_it() {
    let mut desk = Desk::new(EngineConfig::default());
    let mut crowd = vec![desk.connect(), desk.connect()];
    for client in &crowd {
        client.pipe.send(&text(PING));
    }
    for expected in [[0], [1]] {
        desk.now.monotonic_us += 100_000;
        desk.poll();
        let first = crowd.iter().position(|client| client.pipe.has_input());
        let first = first.expect("one is left");
        assert_ne!(read_all(&mut desk, &crowd[first..=first]), [] as [usize; 0]);
        assert_eq!([first], expected);
    }
    assert!(crowd.iter_mut().all(|client| client.said().len() == 1));
}
