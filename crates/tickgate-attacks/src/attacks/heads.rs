//! Request heads: far too long, far too slow, never finished.

use std::{
    thread,
    time::{Duration, Instant},
};

use crate::{
    attack::{Arena, Attack, Tally},
    link::{End, Link},
};

pub(super) const ATTACKS: &[Attack] = &[
    Attack {
        name: "huge_heads",
        does: "request heads of 20 MB, as fast as they are taken",
        must: &["http 431"],
        may: &["reset"],
        closes: None,
        run: huge,
    },
    Attack {
        name: "trickled_heads",
        does: "fifty request heads at a byte a second each",
        must: &[],
        may: &["ended", "http 408", "reset", "open"],
        closes: None,
        run: trickled,
    },
    Attack {
        name: "half_open_handshakes",
        does: "5,000 connections that send half a request head, or nothing",
        must: &[],
        may: &["ended", "http 408", "reset", "open", "http 429", "http 503"],
        closes: None,
        run: half_open,
    },
];

/// Enough to hold nothing back, and not all of 20 MB in our own memory.
const CHUNK_BYTES: usize = 64 * 1024;
const HEAD_BYTES: usize = 20_000_000;

/// An upgrade that goes on.
const BEGINNING: &[u8] = b"GET /v1/stream HTTP/1.1\r\nHost: attacks\r\nX-Padding: ";

fn huge(arena: &Arena<'_>, tally: &mut Tally) {
    let chunk = [b'a'; CHUNK_BYTES];
    let start = Instant::now();
    for count in 0.. {
        if arena.is_over() {
            return;
        }
        arena.pace(start, count, 100);
        let Some(mut link) = arena.connect(tally) else { continue };
        let until = Instant::now() + Duration::from_secs(10);
        let mut goes_on = link.send(BEGINNING, until);
        let mut sent = 0;
        while goes_on && sent < HEAD_BYTES {
            goes_on = link.send(&chunk, until);
            sent += CHUNK_BYTES;
        }
        tally.take_end("a head of 20 MB", &mut link);
    }
}

fn trickled(arena: &Arena<'_>, tally: &mut Tally) {
    let mut links: Vec<Link> = Vec::new();
    while !arena.is_over() {
        while links.len() < 50 {
            let Some(mut link) = arena.connect(tally) else { break };
            link.send(BEGINNING, arena.until);
            links.push(link);
        }
        for link in &mut links {
            link.send(b"a", arena.until);
        }
        let (over, open): (Vec<Link>, Vec<Link>) =
            links.into_iter().partition(|link| link.end().is_some());
        over.iter().for_each(|link| tally.take("a byte a second", link));
        links = open;
        arena.pace(Instant::now(), 1, 1);
    }
    links.iter().for_each(|link| tally.take("a byte a second", link));
}

fn half_open(arena: &Arena<'_>, tally: &mut Tally) {
    let count = arena.connection_limit.min(5_000);
    let mut links: Vec<(&'static str, Link)> = Vec::with_capacity(count);
    for number in 0..count {
        if arena.is_over() {
            break;
        }
        let Some(mut link) = arena.connect(tally) else { continue };
        let case = if number % 2 == 0 { "half a head" } else { "nothing" };
        if number % 2 == 0 {
            link.send(BEGINNING, arena.until);
        }
        links.push((case, link));
    }
    thread::sleep(arena.until.saturating_duration_since(Instant::now()));
    for (case, mut link) in links {
        // Only what has come already: the window is over.
        link.wait(Instant::now());
        if link.end().is_some_and(|end| matches!(end, End::Http(429 | 503))) {
            tally.turned_away += 1;
        }
        tally.take(case, &link);
    }
}
