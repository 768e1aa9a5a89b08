//! Clients that ask for much and read next to nothing.

use std::time::{Duration, Instant};

use tickgate_protocol::{
    channel::Channels,
    close::CloseReason,
    command::{Op, Subscribe},
    dialect::Dialect,
};

use crate::{
    attack::{ANSWER_LIMIT, Arena, Attack, Tally},
    frames,
    link::Link,
};

pub(super) const ATTACKS: &[Attack] = &[Attack {
    name: "slow_readers",
    does: "fifty clients of every symbol as it happens, who read a byte a second",
    must: &[],
    // No close frame can follow half a data frame, and at a byte a second they would not come to it.
    may: &["open", "ended", "reset", "answered", "closed slow_consumer"],
    closes: Some(CloseReason::SlowConsumer),
    run: slow,
}];

const READERS: usize = 50;

/// What the kernel may read ahead; it makes at least 2 KiB of it.
const RECEIVE_BUFFER_BYTES: usize = 2_048;

fn slow(arena: &Arena<'_>, tally: &mut Tally) {
    let mut readers: Vec<Link> = Vec::new();
    for _ in 0..READERS {
        tally.connections += 1;
        let opened = Link::open(arena.address, arena.source(), Some(RECEIVE_BUFFER_BYTES));
        let Ok(mut link) = opened else {
            tally.turned_away += 1;
            continue;
        };
        let until = Instant::now() + ANSWER_LIMIT;
        if !link.upgrade(Dialect::MessagePack, until) {
            tally.turned_away += 1;
            continue;
        }
        let everything = Subscribe {
            symbols: arena.symbols.to_vec(),
            channels: Some(Channels::ALL),
            throttle_ms: Some(Some(0)),
            ..Subscribe::default()
        };
        link.send(&frames::command(Op::Subscribe(everything)), until);
        readers.push(link);
    }
    while !arena.is_over() {
        for reader in &mut readers {
            reader.sip();
        }
        std::thread::sleep(
            Duration::from_secs(1).min(arena.until.saturating_duration_since(Instant::now())),
        );
    }
    readers.iter().for_each(|reader| tally.take("a byte a second", reader));
}
