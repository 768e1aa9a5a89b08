//! A client's bytes into a real engine over a real hub, cut into reads of any size, with time
//! passing and the market moving in between; the socket takes as much as the input says.
//!
//! What comes out must be a sound stream whatever goes in: whole WebSocket frames, messages that
//! decode, data frames numbered without a hole, and nothing behind a close.

#![no_main]

use std::{cell::RefCell, collections::VecDeque, io, rc::Rc};

use libfuzzer_sys::fuzz_target;
use tickgate_benches::wire;
use tickgate_hub::{Hub, HubConfig, Publisher};
use tickgate_protocol::{
    decode::{Decoder, Message},
    dialect::Dialect,
    tick::{Batch, Listing, Quote, Tick, TickBody, Trade},
};
use tickgate_session::{Engine, EngineConfig, Inbound, Now, Shared, Transport};

/// Symbols of the market.
const SYMBOLS: [&str; 4] = ["AAPL", "MSFT", "NVDA", "TSLA"];

/// Times a connection that has more to read is asked again before it counts as one that spins.
const TURNS: usize = 10_000;

/// A scripted socket.
#[derive(Debug, Default)]
struct Both {
    to_server: VecDeque<u8>,
    to_client: Vec<u8>,
    /// Bytes it still takes.
    room: usize,
    ended: bool,
}

#[derive(Debug, Clone, Default)]
struct Pipe(Rc<RefCell<Both>>);

impl Transport for Pipe {
    fn try_read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut both = self.0.borrow_mut();
        let count = both.to_server.len().min(buffer.len());
        if count == 0 {
            return if both.ended { Ok(0) } else { Err(io::ErrorKind::WouldBlock.into()) };
        }
        for (slot, byte) in buffer.iter_mut().zip(both.to_server.drain(..count)) {
            *slot = byte;
        }
        Ok(count)
    }

    fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut both = self.0.borrow_mut();
        let count = both.room.min(bytes.len());
        if count == 0 && !bytes.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        both.room -= count;
        both.to_client.extend_from_slice(&bytes[..count]);
        Ok(count)
    }

    fn shutdown(&mut self) {
        self.0.borrow_mut().ended = true;
    }
}

/// Symbols, prices that follow from a step's number, nothing random.
struct Market {
    publisher: Publisher,
    batch: Batch,
    step: i64,
}

impl Market {
    fn list(&mut self) {
        let listing = |name: &str| Listing {
            session_date: 20_261_120,
            previous_close: 10_000,
            ..Listing::new(name, -2, 0)
        };
        self.batch.listings.extend(SYMBOLS.map(listing));
        self.publish();
    }

    fn advance(&mut self) {
        self.step += 1;
        let price = 10_000 + self.step % 100;
        let quote = Quote {
            bid_price: price,
            bid_size: 100,
            ask_price: price + 1,
            ask_size: 200,
            suspect: false,
        };
        let trade = Trade { price, size: 5, flags: 0, trade_id: self.step };
        let symbol = (self.step % SYMBOLS.len() as i64) as u32;
        for body in [TickBody::Quote(quote), TickBody::Trade(trade)] {
            let event_time_ns = 1_700_000_000_000_000_000 + self.step;
            self.batch.ticks.push(Tick { symbol, event_time_ns, body });
        }
        self.publish();
    }

    fn publish(&mut self) {
        self.publisher.publish(&self.batch);
        self.batch.clear();
    }
}

/// Judges the gateway's side of the connection.
struct Judge {
    decoder: Decoder,
    is_text: bool,
    frames: u64,
    closed: bool,
}

impl Judge {
    /// Looks at every whole frame of `bytes`; gives what is left.
    fn take(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut rest = bytes;
        while let Some(header) = wire::parse_header(rest) {
            let length = header.header_bytes + header.payload_bytes;
            if rest.len() < length {
                break;
            }
            assert!(!self.closed, "a frame behind the close");
            assert_eq!(rest[0] & 0xf0, 0x80, "final, no reserved bit");
            assert_eq!(rest[1] & 0x80, 0, "not masked");
            let payload = &rest[header.header_bytes..length];
            match header.opcode {
                wire::CLOSE => self.closed = true,
                wire::PING | wire::PONG => assert!(payload.len() <= 125),
                opcode => {
                    assert_eq!(opcode, if self.is_text { wire::TEXT } else { wire::BINARY });
                    match self.decoder.decode(payload).expect("a sound message") {
                        Message::Frame(frame) => {
                            self.frames += 1;
                            assert_eq!(frame.sequence, self.frames);
                        }
                        Message::Reply(_) => {}
                        Message::Unknown => panic!("a message of no known kind"),
                    }
                }
            }
            rest = &rest[length..];
        }
        rest.to_vec()
    }
}

fuzz_target!(|data: &[u8]| {
    let [choice, steps @ ..] = data else { return };
    let dialect = Dialect::ALL[usize::from(choice & 1)];
    let hub = HubConfig {
        symbol_limit: 8,
        tape_capacity: 4,
        status_capacity: 2,
        workers: 1,
        ..HubConfig::default()
    };
    let hub = Hub::new(hub, 1).expect("the sizes keep the rules");
    let mut market = Market { publisher: hub.publisher(), batch: Batch::default(), step: 0 };
    market.list();
    let shared = Shared::new(hub, EngineConfig::default()).expect("the defaults keep the rules");
    let mut now = Now { monotonic_us: 1_000_000, unix_us: 1_700_000_000_000_000 };
    let mut engine = Engine::new(shared, 0, 1, now);
    let pipe = Pipe::default();
    let key = engine.open(now, pipe.clone(), dialect, 1, Vec::new());
    let mut judge = Judge {
        decoder: Decoder::new(dialect),
        is_text: dialect.is_text(),
        frames: 0,
        closed: false,
    };
    // A step is a byte of time and room, a byte of length, and so many bytes of the client.
    let mut rest = steps;
    while let [pace, length, behind @ ..] = rest {
        let (bytes, next) = behind.split_at(usize::from(*length).min(behind.len()));
        rest = next;
        pipe.0.borrow_mut().to_server.extend(bytes);
        pipe.0.borrow_mut().room = match pace & 3 {
            0 => 0,
            1 => 7,
            _ => usize::MAX,
        };
        for _ in 0..pace >> 6 {
            market.advance();
        }
        let passed_us = [0, 1_000, 100_000, 3_000_000][usize::from(pace >> 2 & 3)];
        now.monotonic_us += passed_us;
        now.unix_us += passed_us as i64;
        let mut turns = 0;
        while engine.contains(key) && engine.on_readable(now, key) == Inbound::Again {
            turns += 1;
            assert!(turns < TURNS, "it reads for ever");
        }
        while engine.poll(now).more {
            turns += 1;
            assert!(turns < TURNS, "it writes for ever");
        }
        let sent = std::mem::take(&mut pipe.0.borrow_mut().to_client);
        let left = judge.take(&sent);
        // What is incomplete is looked at again when more has come.
        pipe.0.borrow_mut().to_client = left;
        if !engine.contains(key) {
            break;
        }
    }
    assert_eq!(engine.len(), usize::from(engine.contains(key)));
});
