//! Sound commands, far too many of them.

use std::time::{Duration, Instant};

use tickgate_protocol::{
    channel::Channels,
    command::{Op, Subscribe},
    dialect::Dialect,
};

use crate::{
    attack::{Arena, Attack, Tally},
    frames,
    link::Link,
};

pub(super) const ATTACKS: &[Attack] = &[
    Attack {
        name: "unknown_symbols",
        does: "subscribes to symbols that do not exist, 250,000 a second, and as fast as they are taken",
        must: &["closed command_flood"],
        may: &["closed overloaded", "error too_many_commands", "open", "answered"],
        closes: None,
        run: unknown_symbols,
    },
    Attack {
        name: "subscribe_floods",
        does: "subscribes and unsubscribes every symbol, 500 times a second, and as fast as they are taken",
        must: &["closed command_flood"],
        may: &["closed overloaded", "error too_many_commands", "open", "answered"],
        closes: None,
        run: subscribes,
    },
];

/// Sessions that keep to the command rate, and what it is.
const SESSIONS: usize = 20;
const COMMANDS_PER_SECOND: u64 = 50;

/// Names in one command; its answer lists each of them.
const NAMES: usize = 250;

fn unknown_symbols(arena: &Arena<'_>, tally: &mut Tally) {
    let mut next = 0_u64;
    steady_and_flood(arena, tally, SESSIONS, |_| {
        let first = next;
        next += NAMES as u64;
        let symbols = (first..next).map(|number| format!("NO{number}")).collect();
        Op::Subscribe(Subscribe { symbols, ..Subscribe::default() })
    });
}

fn subscribes(arena: &Arena<'_>, tally: &mut Tally) {
    steady_and_flood(arena, tally, SESSIONS / 2, |turn| {
        let symbols = arena.symbols.to_vec();
        if turn % 2 == 0 {
            let channels = Some(Channels::ALL);
            Op::Subscribe(Subscribe { symbols, channels, ..Subscribe::default() })
        } else {
            Op::Unsubscribe { symbols, channels: Channels::ALL }
        }
    });
}

/// `sessions` sessions send a command each in turn, at the command rate; one more sends as fast as
/// it is read, until it is closed, and comes again each second.
fn steady_and_flood(
    arena: &Arena<'_>,
    tally: &mut Tally,
    sessions: usize,
    mut command: impl FnMut(u64) -> Op,
) {
    let mut steady: Vec<Link> = Vec::new();
    let start = Instant::now();
    let mut flooded = None;
    for turn in 0.. {
        if arena.is_over() && flooded.is_some() {
            break;
        }
        while steady.len() < sessions
            && let Some(link) = arena.session(tally, Dialect::MessagePack)
        {
            steady.push(link);
        }
        for link in &mut steady {
            link.send(&frames::command(command(turn)), arena.until);
        }
        arena.pace(start, turn + 1, COMMANDS_PER_SECOND);
        if flooded.is_none_or(|at: Instant| at.elapsed() > Duration::from_secs(1)) {
            flooded = Some(Instant::now());
            let Some(mut link) = arena.session(tally, Dialect::MessagePack) else { continue };
            let until = Instant::now() + Duration::from_secs(5);
            for turn in 0.. {
                if !link.send(&frames::command(command(turn)), until) {
                    break;
                }
            }
            tally.take_end("as fast as they are taken", &mut link);
        }
    }
    steady.iter().for_each(|link| tally.take("at the command rate", link));
}
