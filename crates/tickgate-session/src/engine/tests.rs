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
fn urgent_sessions_have_half_of_a_slice_and_then_turns() {
    let mut engine = engine(20, 8);
    for position in 0..10 {
        engine.make_ready(position, true);
    }
    for position in 10..20 {
        engine.make_ready(position, false);
    }
    let slice: Vec<bool> =
        (0..8).map(|served| engine.next_ready(served).expect("all wait").1).collect();
    assert_eq!(slice, [true, true, true, true, false, true, false, true]);
    // Where one queue is empty the other has the whole slice.
    engine.ready.clear();
    assert!((0..4).all(|served| engine.next_ready(served + 4).is_some_and(|next| next.1)));
    assert_eq!(engine.next_ready(0), None);
}
