//! Bytes behind the upgrade that are no WebSocket, or too much of one.

use std::time::{Duration, Instant};

use tickgate_benches::wire::{BINARY, CLOSE, PING, PONG, TEXT};
use tickgate_protocol::dialect::Dialect;

use crate::{
    attack::{Arena, Attack, Tally},
    frames::{CONTINUATION, FIN, RSV, announcing, masked, unmasked},
    link::Link,
};

pub(super) const ATTACKS: &[Attack] = &[
    Attack {
        name: "impossible_lengths",
        does: "frames that announce 2^63 bytes, 2^64 - 1, 2^63 - 1, 2^32 and 20 MB",
        must: &["closed message_too_big"],
        may: &["closed bad_protocol"],
        closes: None,
        run: lengths,
    },
    Attack {
        name: "malformed_frames",
        does: "reserved bits and opcodes, no mask, broken control frames and fragments",
        must: &["closed bad_protocol"],
        // A close whose code RFC 6455 forbids (7.4.1) is answered with the RFC's own 1002: that
        // client has closed, if badly.
        may: &["closed 1002"],
        closes: None,
        run: malformed,
    },
    Attack {
        name: "fragments",
        does: "messages in a hundred thousand fragments of one byte",
        must: &["closed message_too_big"],
        may: &["closed overloaded"],
        closes: None,
        run: fragments,
    },
    Attack {
        name: "endless_fragments",
        does: "a message in empty fragments that never ends, 50,000 a second",
        must: &["closed message_too_big"],
        may: &["closed overloaded"],
        closes: None,
        run: endless,
    },
    Attack {
        name: "control_floods",
        does: "pings, pongs, and pings of 125 bytes, 50,000 a second",
        must: &["closed command_flood"],
        may: &["closed overloaded", "reset"],
        closes: None,
        run: controls,
    },
];

/// Connections a second for what one frame ends.
const PER_SECOND: u64 = 300;

/// Frames a second of a flood, and how many leave together.
const FLOOD_PER_SECOND: u64 = 50_000;
const FLOOD_BATCH: usize = 500;

/// How long a flood may go on before its lack of an end is its answer.
const FLOOD_LIMIT: Duration = Duration::from_secs(3);

fn lengths(arena: &Arena<'_>, tally: &mut Tally) {
    let cases = [
        ("2^63", announcing(FIN | BINARY, 1 << 63)),
        ("2^64 - 1", announcing(FIN | BINARY, u64::MAX)),
        ("2^63 - 1", announcing(FIN | BINARY, (1 << 63) - 1)),
        ("2^32", announcing(FIN | BINARY, 1 << 32)),
        ("20 MB", announcing(FIN | BINARY, 20_000_000)),
        ("2^63 in a first fragment", announcing(BINARY, 1 << 63)),
        ("2^63 in a ping", announcing(FIN | PING, 1 << 63)),
        ("one byte over the limit", masked(FIN | BINARY, &vec![0; 16 * 1024 + 1])),
    ];
    sessions(arena, tally, &cases);
}

fn malformed(arena: &Arena<'_>, tally: &mut Tally) {
    let two = |first: Vec<u8>, second: Vec<u8>| [first, second].concat();
    let cases = [
        ("reserved bit 1", masked(FIN | RSV[0] | BINARY, b"a")),
        ("reserved bit 2", masked(FIN | RSV[1] | BINARY, b"a")),
        ("reserved bit 3", masked(FIN | RSV[2] | BINARY, b"a")),
        ("reserved opcode 3", masked(FIN | 3, b"a")),
        ("reserved opcode 15", masked(FIN | 15, b"a")),
        ("no mask", unmasked(b"abc")),
        ("no mask on a close", vec![FIN | CLOSE, 0]),
        ("a ping of 126 bytes", masked(FIN | PING, &[0; 126])),
        ("a ping in fragments", masked(PING, b"a")),
        ("a close of one byte", masked(FIN | CLOSE, b"a")),
        ("a close with a code below 1000", masked(FIN | CLOSE, &999_u16.to_be_bytes())),
        ("a continuation of nothing", masked(FIN | CONTINUATION, b"a")),
        ("a message inside a message", two(masked(BINARY, b"a"), masked(FIN | BINARY, b"b"))),
        ("text that is not UTF-8", masked(FIN | TEXT, b"\xff\xfe")),
        ("HTTP", b"GET / HTTP/1.1\r\nHost: attacks\r\n\r\n".to_vec()),
    ];
    sessions(arena, tally, &cases);
}

/// Sends each case on a session of its own, in turns, and takes how it ends.
fn sessions(arena: &Arena<'_>, tally: &mut Tally, cases: &[(&'static str, Vec<u8>)]) {
    let start = Instant::now();
    for (count, (case, bytes)) in cases.iter().cycle().enumerate() {
        // Every case at least once, however slow the machine.
        if arena.is_over() && count >= cases.len() {
            return;
        }
        arena.pace(start, count as u64, PER_SECOND);
        let Some(mut link) = arena.session(tally, Dialect::MessagePack) else { continue };
        link.send(bytes, Instant::now() + Duration::from_secs(10));
        tally.take_end(case, &mut link);
    }
}

fn fragments(arena: &Arena<'_>, tally: &mut Tally) {
    let batch = masked(CONTINUATION, b"a").repeat(1_000);
    while !arena.is_over() {
        let Some(mut link) = arena.session(tally, Dialect::MessagePack) else { continue };
        let until = Instant::now() + FLOOD_LIMIT;
        link.send(&masked(BINARY, b"a"), until);
        for _ in 0..100 {
            if !link.send(&batch, until) {
                break;
            }
        }
        tally.take_end("fragments of one byte", &mut link);
    }
}

fn endless(arena: &Arena<'_>, tally: &mut Tally) {
    while !arena.is_over() {
        let Some(mut link) = arena.session(tally, Dialect::MessagePack) else { continue };
        link.send(&masked(BINARY, b""), arena.until);
        flood(arena, &mut link, &masked(CONTINUATION, b""));
        tally.take("empty fragments", &link);
    }
}

fn controls(arena: &Arena<'_>, tally: &mut Tally) {
    let cases = [
        ("pings", masked(FIN | PING, b"")),
        ("pongs", masked(FIN | PONG, b"")),
        ("pings of 125 bytes", masked(FIN | PING, &[7; 125])),
    ];
    for (count, (case, frame)) in cases.iter().cycle().enumerate() {
        if arena.is_over() && count >= cases.len() {
            return;
        }
        let Some(mut link) = arena.session(tally, Dialect::MessagePack) else { continue };
        flood(arena, &mut link, frame);
        tally.take(case, &link);
    }
}

/// Sends `frame` 50,000 times a second until the session ends or has been let alone for long
/// enough.
fn flood(arena: &Arena<'_>, link: &mut Link, frame: &[u8]) {
    let batch = frame.repeat(FLOOD_BATCH);
    let start = Instant::now();
    let until = start + FLOOD_LIMIT;
    let mut sent = 0;
    while Instant::now() < until && link.send(&batch, until) {
        sent += FLOOD_BATCH as u64;
        let due = start + Duration::from_micros(sent * 1_000_000 / FLOOD_PER_SECOND);
        while Instant::now() < due.min(until) && link.end().is_none() {
            link.wait(due);
        }
        if arena.is_over() && sent > FLOOD_PER_SECOND {
            return;
        }
    }
}
