//! Messages that are WebSocket and no command.

use std::time::{Duration, Instant};

use tickgate_protocol::dialect::Dialect;

use crate::{
    attack::{ANSWER_LIMIT, Arena, Attack, Tally},
    frames::message,
    link::Link,
};

pub(super) const ATTACKS: &[Attack] = &[
    Attack {
        name: "deep_nesting",
        does: "arrays and maps nested 16,000 deep, in both formats",
        must: &["error bad_message"],
        may: &["open", "answered"],
        closes: None,
        run: nested,
    },
    Attack {
        name: "announced_lengths",
        does: "arrays, maps, texts, binaries and extensions announced as 2^32 - 1 long",
        must: &["error bad_message"],
        may: &["error bad_field", "open", "answered"],
        closes: None,
        run: announced,
    },
    Attack {
        name: "wrong_types",
        does: "every field of every command with a value of every wrong type",
        must: &["error bad_field"],
        may: &[
            "error bad_message",
            "error unknown_field",
            "error unknown_op",
            "error unknown_channel",
            "error not_required",
            "error too_many_commands",
            "open",
            "answered",
        ],
        closes: None,
        run: wrong_types,
    },
    Attack {
        name: "garbage",
        does: "messages of 4 KiB of random bytes, at the command rate and as fast as they are taken",
        must: &["error bad_message", "error too_many_commands"],
        // Which of the two limits is met first depends on how fast it is read.
        may: &["closed command_flood", "closed overloaded", "open", "answered"],
        closes: None,
        run: garbage,
    },
];

/// Messages of one session: below the burst, so that none is refused for the rate.
const BURST: usize = 150;

/// Messages a second over all sessions.
const PER_SECOND: u64 = 2_000;

fn nested(arena: &Arena<'_>, tally: &mut Tally) {
    const LEVELS: usize = 16_000;
    let json = |open: &str, close: &str, levels: usize| {
        (open.repeat(levels) + "1" + &close.repeat(levels)).into_bytes()
    };
    let in_field = [b"\x82\xa2op\xa4ping\xa2id".to_vec(), vec![0x91; LEVELS]].concat();
    let cases = [
        ("arrays", Dialect::MessagePack, vec![0x91; LEVELS]),
        ("maps", Dialect::MessagePack, [0x81, 0xa0].repeat(LEVELS / 2)),
        ("arrays in a field", Dialect::MessagePack, in_field),
        // Each level takes two bytes, and five.
        ("JSON arrays", Dialect::Json, json("[", "]", LEVELS / 2)),
        ("JSON maps", Dialect::Json, json("{\"\":", "}", LEVELS / 5)),
        ("JSON arrays without an end", Dialect::Json, vec![b'['; LEVELS]),
    ];
    payloads(arena, tally, &cases);
}

fn announced(arena: &Arena<'_>, tally: &mut Tally) {
    let long = |head: u8| vec![head, 0xff, 0xff, 0xff, 0xff];
    let in_symbols =
        |head: u8| [b"\x82\xa2op\xa9subscribe\xa7symbols".to_vec(), long(head)].concat();
    let cases = [
        ("an array", Dialect::MessagePack, long(0xdd)),
        ("a map", Dialect::MessagePack, long(0xdf)),
        ("a text", Dialect::MessagePack, long(0xdb)),
        ("a binary", Dialect::MessagePack, long(0xc6)),
        ("an extension", Dialect::MessagePack, long(0xc9)),
        ("arrays in arrays", Dialect::MessagePack, long(0xdd).repeat(3_000)),
        ("maps in maps", Dialect::MessagePack, long(0xdf).repeat(3_000)),
        ("an array of symbols", Dialect::MessagePack, in_symbols(0xdd)),
        ("a text for symbols", Dialect::MessagePack, in_symbols(0xdb)),
    ];
    payloads(arena, tally, &cases);
}

fn wrong_types(arena: &Arena<'_>, tally: &mut Tally) {
    let payloads_of = |op: &'static str, fields: &'static [&'static str]| {
        fields.iter().flat_map(move |field| {
            WRONG.iter().map(move |value| {
                let mut payload = vec![0x82];
                text(&mut payload, "op");
                text(&mut payload, op);
                text(&mut payload, field);
                payload.extend_from_slice(value);
                (op, Dialect::MessagePack, payload)
            })
        })
    };
    let mut cases: Vec<_> =
        FIELDS.iter().flat_map(|(op, fields)| payloads_of(op, fields)).collect();
    cases.extend(WRONG.iter().map(|value| {
        ("op itself", Dialect::MessagePack, [b"\x81\xa2op".to_vec(), value.to_vec()].concat())
    }));
    payloads(arena, tally, &cases);
}

/// Every command with the fields it has.
const FIELDS: &[(&str, &[&str])] = &[
    ("subscribe", &["symbols", "channels", "throttle_ms", "fields", "snapshot", "resume", "id"]),
    ("unsubscribe", &["symbols", "channels", "id"]),
    ("throttle", &["symbols", "throttle_ms", "max_bytes_per_second", "id"]),
    ("credit", &["frames", "id"]),
    ("ack", &["frame", "id"]),
    ("history", &["symbol", "channel", "before_s", "limit", "id"]),
    ("symbols", &["prefix", "after", "limit", "id"]),
    ("ping", &["id"]),
    ("auth", &["key", "token", "id"]),
];

/// A value of every type, most of them wrong for any field.
const WRONG: &[&[u8]] = &[
    b"\xc2",                                 // false
    b"\xff",                                 // -1
    b"\xcf\xff\xff\xff\xff\xff\xff\xff\xff", // 2^64 - 1
    b"\xd3\x80\x00\x00\x00\x00\x00\x00\x00", // -2^63
    b"\xca\x7f\xc0\x00\x00",                 // NaN
    b"\xcb\x3f\xf0\x00\x00\x00\x00\x00\x00", // 1.0
    b"\xa1x",                                // a text
    b"\xa1\xff",                             // a text that is not UTF-8
    b"\xc4\x01x",                            // a binary
    b"\x91\x01",                             // an array of a number
    b"\x91\xc0",                             // an array of nil
    b"\x91\x90",                             // an array of an array
    b"\x81\x01\x01",                         // a map with a number for its key
    b"\x81\xa1x\x80",                        // a map of a map
    b"\xd6\xff\x00\x00\x00\x01",             // a timestamp extension
    b"\xc1",                                 // what MessagePack never uses
];

fn garbage(arena: &Arena<'_>, tally: &mut Tally) {
    let mut random = Random(0x5eed_0003);
    let start = Instant::now();
    let mut count = 0;
    while !arena.is_over() {
        let Some(mut link) = arena.session(tally, Dialect::MessagePack) else { continue };
        for _ in 0..BURST {
            let payload: Vec<u8> = (0..4096).map(|_| random.byte()).collect();
            if arena.is_over() || !link.send(&message(Dialect::MessagePack, &payload), arena.until)
            {
                break;
            }
            count += 1;
            arena.pace(start, count, PER_SECOND);
        }
        tally.take("at the command rate", &link);

        let Some(mut link) = arena.session(tally, Dialect::MessagePack) else { continue };
        let payload: Vec<u8> = (0..4096).map(|_| random.byte()).collect();
        let frame = message(Dialect::MessagePack, &payload);
        let until = Instant::now() + Duration::from_secs(5);
        while link.send(&frame, until) {}
        tally.take_end("as fast as they are taken", &mut link);
    }
}

/// Sends each case in turn, a burst of them in a session, and waits until each was answered.
fn payloads(arena: &Arena<'_>, tally: &mut Tally, cases: &[(&'static str, Dialect, Vec<u8>)]) {
    let start = Instant::now();
    let mut count = 0;
    loop {
        for same in cases.chunk_by(|one, other| one.0 == other.0) {
            if arena.is_over() && count >= cases.len() as u64 {
                return;
            }
            let (case, dialect, _) = same[0];
            let Some(mut link) = arena.session(tally, dialect) else { continue };
            let messages = same.iter().cycle().take(BURST.max(same.len()).min(same.len() * 10));
            let mut sent = 0;
            for (_, dialect, payload) in messages {
                if !link.send(&message(*dialect, payload), Instant::now() + ANSWER_LIMIT) {
                    break;
                }
                sent += 1;
                count += 1;
                arena.pace(start, count, PER_SECOND);
            }
            let until = Instant::now() + ANSWER_LIMIT;
            let answers = |link: &Link| link.errors.values().sum::<u64>() + link.replies;
            while answers(&link) < sent && link.end().is_none() && Instant::now() < until {
                link.wait(until);
            }
            tally.take(case, &link);
        }
    }
}

/// Appends a MessagePack text of at most 31 bytes.
fn text(out: &mut Vec<u8>, text: &str) {
    out.push(0xa0 | text.len() as u8);
    out.extend_from_slice(text.as_bytes());
}

/// Marsaglia's xorshift (Journal of Statistical Software 8, 14): the same bytes in every run.
struct Random(u64);

impl Random {
    fn byte(&mut self) -> u8 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 32) as u8
    }
}
