//! A client that breaks the rules: something else each time, as fast as it is answered.

use tickgate_protocol::{
    channel::Channels,
    command::{Command, Op, Subscribe},
    dialect::Dialect,
};

use super::{Fault, Heard, Progress, Speaker};
use crate::{measure::Tally, outbox::Outbox, wire};

/// Bytes of a message that is garbage.
const GARBAGE_BYTES: usize = 4 * 1024;

/// Names in a subscribe for what does not exist.
const UNKNOWN_NAMES: usize = 200;

/// A client that breaks the rules. It is not measured; what it is told is not looked at.
#[derive(Debug)]
pub(crate) struct Hostile {
    /// What was sent so far, to do something else each time.
    attacks: u64,
}

impl Hostile {
    /// Begins with another attack than its neighbours.
    pub(crate) fn new(number: u32) -> Self {
        Self { attacks: number.into() }
    }

    fn attack(&mut self, out: &mut Outbox) {
        let number = self.attacks;
        self.attacks += 1;
        match number % 8 {
            0 => out.binary(&garbage(number)),
            1 => say(out, unknown(number)),
            2 => say(out, everything()),
            3 => {
                say(out, Op::Unsubscribe { symbols: vec!["*".to_owned()], channels: Channels::ALL })
            }
            4 => out.control(wire::PING, &[0x55; 125]),
            5 => out.binary(b"\x81\xa2op\xa4subs"),
            6 => out.text(b"{\"op\":\"subscribe\",\"symbols\":17}"),
            // Reserved bits: no WebSocket, which costs it the connection.
            _ if number.is_multiple_of(64) => out.raw(&[0xf2, 0x80, 1, 2, 3, 4]),
            _ => out.binary(&[0xdd, 0xff, 0xff, 0xff, 0xff]),
        }
    }
}

impl Speaker for Hostile {
    fn open(&mut self, out: &mut Outbox) -> Progress {
        self.attack(out);
        Progress::Ready
    }

    fn hear(&mut self, _: Heard<'_>, out: &mut Outbox, _: &mut Tally) -> Result<Progress, Fault> {
        // What piles up unread would only slow it down.
        if out.waiting().is_empty() {
            self.attack(out);
        }
        Ok(Progress::Going)
    }

    fn act(&mut self, out: &mut Outbox) {
        if out.waiting().is_empty() {
            self.attack(out);
        }
    }
}

fn say(out: &mut Outbox, op: Op) {
    let mut payload = Vec::new();
    Dialect::MessagePack.write_command(&mut payload, &Command { id: None, op });
    out.binary(&payload);
}

fn unknown(number: u64) -> Op {
    let names = (0..UNKNOWN_NAMES).map(|name| format!("NONE{number}.{name}"));
    Op::Subscribe(Subscribe { symbols: names.collect(), ..Subscribe::default() })
}

fn everything() -> Op {
    Op::Subscribe(Subscribe { symbols: vec!["*".to_owned()], ..Subscribe::default() })
}

fn garbage(number: u64) -> Vec<u8> {
    // Any bytes do; these differ from message to message.
    let seed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (0..GARBAGE_BYTES as u64).map(|at| (seed.rotate_left((at % 64) as u32) >> 56) as u8).collect()
}
