//! A frame cut at every byte: whatever the socket takes of it, replies and pongs stay outside.

use std::time::Duration;

use tickgate_checker::{Channel, Command, Dialect, Subscribe, websocket::Opcode};
use tickgate_session::EngineConfig;

use crate::world::{Heard, Manners, World};

/// One session whose socket takes `room` bytes of a data frame and then none for a while; the
/// frame's length.
fn cut(dialect: Dialect, room: Option<usize>) -> usize {
    let config = EngineConfig { drain_age: Duration::from_secs(60), ..EngineConfig::default() };
    let mut world = World::new(7, 1, 4, 1_024, config);
    let client = world.open(dialect, 4_096, false, Manners::default());
    let names = world.market.names();
    let all = Some(Channel::ALL.to_vec());
    world.subscribe(client, Subscribe { symbols: names, channels: all, ..Subscribe::default() });
    world.run_on(300_000, 5_000, 0);

    world.trade(30);
    let quiet_since_us = world.now.monotonic_us;
    if let Some(room) = room {
        world.clients[client].block_after(quiet_since_us, room);
    }
    let before = world.engines[0].stats().clone();
    while world.engines[0].stats().frames == before.frames {
        world.run_on(5_000, 5_000, 0);
    }
    let length = (world.engines[0].stats().frame_bytes - before.frame_bytes) as usize;
    let at_us = world.now.monotonic_us;
    world.clients[client].ping(at_us, b"between");
    world.clients[client].say(at_us, &Command::Ping { id: Some(9) });
    world.run_on(20_000, 5_000, 0);
    let at_us = world.now.monotonic_us;
    world.clients[client].unblock(at_us);
    world.run_on(400_000, 5_000, 0);

    let outcome = world.finish(quiet_since_us).remove(client);
    assert_eq!(outcome.verdict.violations, [], "{dialect:?}, {room:?} of {length} bytes");
    assert_eq!(outcome.breaches, [] as [String; 0], "{dialect:?}, {room:?} of {length} bytes");
    let pong = Heard::Message(Opcode::Pong, b"between".to_vec());
    assert!(outcome.transcript.iter().any(|(_, heard)| *heard == pong), "{room:?}: a pong");
    length
}

#[test]
fn a_frame_cut_at_any_byte_stays_whole_and_replies_come_behind_it() {
    for dialect in [Dialect::MessagePack, Dialect::Json] {
        let length = cut(dialect, None);
        assert!(length > 100, "{length} bytes are too few to cut");
        for room in 0..=length {
            assert_eq!(cut(dialect, Some(room)), length);
        }
    }
}
