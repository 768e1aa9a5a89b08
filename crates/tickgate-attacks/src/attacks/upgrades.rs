//! Upgrade requests that break a rule, or bring more than a head.

use std::time::{Duration, Instant};

use tickgate_benches::wire;

use crate::{
    attack::{Arena, Attack, Tally},
    gateway::ALLOWED_ORIGIN,
};

pub(super) const ATTACKS: &[Attack] = &[
    Attack {
        name: "bad_keys",
        does: "upgrades with a missing, empty, short, long, malformed or repeated Sec-WebSocket-Key",
        must: &["http 400"],
        may: &["reset"],
        closes: None,
        run: keys,
    },
    Attack {
        name: "bodies_and_pipelining",
        does: "upgrades with a body, or with another request on their heels",
        must: &["closed bad_protocol"],
        may: &["http 400", "http 413", "reset"],
        closes: None,
        run: bodies,
    },
    Attack {
        name: "origins",
        does: "upgrades from origins that look like the allowed one",
        must: &["http 403"],
        may: &["http 400", "reset"],
        closes: None,
        run: origins,
    },
];

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// Malformed upgrades a second: each is a connection.
const PER_SECOND: u64 = 500;

/// An upgrade without a key, less the blank line that ends it.
const UPGRADE: &str = "GET /v1/stream HTTP/1.1\r\nHost: attacks\r\nConnection: Upgrade\r\n\
                       Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n";

fn keys(arena: &Arena<'_>, tally: &mut Tally) {
    let line = |value: &str| format!("Sec-WebSocket-Key: {value}\r\n");
    let cases = [
        ("no key", String::new()),
        ("an empty key", line("")),
        ("a short key", line("dGhlIHNhbXBsZQ==")),
        ("a long key", line("dGhlIHNhbXBsZSBub25jZSBhbmQgbW9yZQ==")),
        ("a key without padding", line("dGhlIHNhbXBsZSBub25jZQ")),
        ("a key that is no base64", line("!!!!!!!!!!!!!!!!!!!!!!==")),
        ("the same key twice", line(KEY) + &line(KEY)),
        ("two keys", line(KEY) + &line("AAAAAAAAAAAAAAAAAAAAAA==")),
        ("two keys in a line", line(&format!("{KEY}, {KEY}"))),
    ];
    requests(arena, tally, &cases.map(|(case, lines)| (case, format!("{UPGRADE}{lines}\r\n"))));
}

fn bodies(arena: &Arena<'_>, tally: &mut Tally) {
    let upgrade = format!("{UPGRADE}Sec-WebSocket-Key: {KEY}\r\n");
    let body = "b".repeat(100_000);
    let cases = [
        ("a body of 100 kB", format!("{upgrade}Content-Length: 100000\r\n\r\n{body}")),
        (
            "a chunked body",
            format!("{upgrade}Transfer-Encoding: chunked\r\n\r\n186a0\r\n{body}\r\n0\r\n\r\n"),
        ),
        ("a body without a length", format!("{upgrade}\r\n{body}")),
        ("a second request", format!("{upgrade}\r\nGET / HTTP/1.1\r\nHost: attacks\r\n\r\n")),
        ("a second upgrade", format!("{upgrade}\r\n{upgrade}\r\n")),
    ];
    requests(arena, tally, &cases);
}

fn origins(arena: &Arena<'_>, tally: &mut Tally) {
    let upgrade = format!("{UPGRADE}Sec-WebSocket-Key: {KEY}\r\n");
    let from = |origin: &str| format!("{upgrade}Origin: {origin}\r\n\r\n");
    let cases = [
        ("null", from("null")),
        ("another site", from("https://evil.example")),
        ("plain http", from("http://dashboard.example")),
        ("another port", from(&format!("{ALLOWED_ORIGIN}:8443"))),
        ("a longer name", from(&format!("{ALLOWED_ORIGIN}.evil.example"))),
        ("a subdomain", from("https://evil.dashboard.example")),
        ("before an @", from(&format!("{ALLOWED_ORIGIN}@evil.example"))),
        ("with a path", from(&format!("{ALLOWED_ORIGIN}/"))),
        ("a trailing dot", from(&format!("{ALLOWED_ORIGIN}."))),
        ("an empty one", from("")),
        ("a wildcard", from("*")),
        ("two in a line", from(&format!("{ALLOWED_ORIGIN}, https://evil.example"))),
        (
            "two lines",
            format!("{upgrade}Origin: {ALLOWED_ORIGIN}\r\nOrigin: https://evil.example\r\n\r\n"),
        ),
        ("4 kB of it", from(&format!("https://{}", "x".repeat(4_000)))),
        ("no ASCII", from("https://d\u{430}shboard.example")),
    ];
    requests(arena, tally, &cases);
}

/// Sends each case on a connection of its own, in turns, and takes how it ends. A session that was
/// let in is told goodbye, so that it ends as whatever it is.
fn requests(arena: &Arena<'_>, tally: &mut Tally, cases: &[(&'static str, String)]) {
    let start = Instant::now();
    for (count, (case, request)) in cases.iter().cycle().enumerate() {
        // Every case at least once, however slow the machine.
        if arena.is_over() && count >= cases.len() {
            return;
        }
        arena.pace(start, count as u64, PER_SECOND);
        let Some(mut link) = arena.connect(tally) else { continue };
        let until = Instant::now() + Duration::from_secs(10);
        link.send(request.as_bytes(), until);
        while !link.is_upgraded() && link.end().is_none() && Instant::now() < until {
            link.wait(until);
        }
        if link.is_upgraded() {
            let mut goodbye = Vec::new();
            wire::write_client_frame(&mut goodbye, wire::CLOSE, &1000_u16.to_be_bytes());
            link.send(&goodbye, until);
        }
        tally.take_end(case, &mut link);
    }
}
