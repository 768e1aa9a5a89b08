//! Who is served when: each session once in a queue, and both queues in turns.

use std::io;

use tickgate_hub::HubConfig;

use super::*;

struct Nowhere;

impl Transport for Nowhere {
    fn try_read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::WouldBlock.into())
    }

    fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn shutdown(&mut self) {}
}

/// An engine with so many sessions, nobody queued.
fn engine(sessions: usize, slice_sessions: usize) -> Engine<Nowhere> {
    let hub = Hub::new(HubConfig::default(), 1).expect("the sizes are good");
    let config = EngineConfig { slice_sessions, ..EngineConfig::default() };
    let shared = Shared::new(hub, config).expect("the settings are good");
    let now = Now { monotonic_us: 1_000_000, unix_us: 0 };
    let mut engine = Engine::new(shared, 0, 1, now);
    for number in 0..sessions {
        engine.open(now, Nowhere, Dialect::Json, number as u64, Vec::new());
    }
    while engine.poll(now).more {}
    engine
}

#[test]
fn a_session_is_in_each_queue_once_however_often_it_becomes_ready() {
    for urgent_first in [false, true] {
        let mut engine = engine(1, 8);
        for round in 0..6 {
            engine.make_ready(0, urgent_first == (round % 2 == 0));
        }
        engine.make_ready(0, false);
        engine.make_ready(0, true);
        // Where it is urgent already it waits nowhere else.
        assert_eq!(engine.urgent, [0], "urgent first: {urgent_first}");
        assert_eq!(engine.ready.len(), usize::from(!urgent_first));
    }
}

#[test]
fn where_one_queue_is_empty_the_other_has_every_turn() {
    let mut engine = engine(3, 8);
    engine.make_ready(0, true);
    engine.make_ready(1, false);
    assert_eq!(engine.next_ready(false), Some((1, false)));
    assert_eq!(engine.next_ready(false), Some((0, true)));
    assert_eq!(engine.next_ready(true), None);
    engine.make_ready(2, false);
    assert_eq!(engine.next_ready(true), Some((2, false)));
}
