//! A scripted client: asks for random things, stalls, trickles, acknowledges late or never.

use rand::{RngExt, rngs::StdRng};
use tickgate_checker::{
    Channel, Checker, Closing, Command, Config, Dialect, Subscribe, Truth, Verdict, control,
    websocket::Opcode,
};
use tickgate_protocol::{
    decode::{Decoder, Message as Decoded},
    dialect::Dialect as Spoken,
    entry::Frame,
    reply::Reply,
};
use tickgate_session::SessionKey;

use super::{pipe::Pipe, reader::Reader};

const MASK: [u8; 4] = [0x1f, 0xe2, 0x03, 0xd4];
const QUOTE_FIELDS: [&str; 5] = ["bid_price", "bid_size", "ask_price", "ask_size", "flags"];
const LAST_FIELDS: [&str; 8] =
    ["price", "size", "volume", "trade_count", "high", "low", "open", "flags"];

/// How a run went for one client.
pub(crate) struct Outcome {
    pub(crate) dialect: Dialect,
    pub(crate) verdict: Verdict,
    /// What the client library would have complained about.
    pub(crate) breaches: Vec<String>,
    pub(crate) transcript: Vec<(u64, Heard)>,
}

/// What a client is allowed to do in a run.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Manners {
    pub(crate) stalls: bool,
    pub(crate) credit: bool,
    pub(crate) budget: bool,
    /// It asks for bars, too.
    pub(crate) bars: bool,
}

/// One client and its judge.
pub(crate) struct Client {
    /// The engine that serves it.
    pub(crate) engine: usize,
    pub(crate) key: SessionKey,
    pub(crate) pipe: Pipe,
    pub(crate) checker: Checker,
    /// The engine waits for its socket to take replies before it reads on.
    pub(crate) paused: bool,
    pub(crate) dialect: Dialect,
    /// What the client library would make of it.
    pub(crate) reader: Reader,
    /// All it said and was told, in order, where a test wants to look at it again.
    pub(crate) transcript: Vec<(u64, Heard)>,
    manners: Manners,
    next_id: i64,
    blocked: bool,
    has_credit: bool,
    acked: u64,
}

/// A message of the gateway, read.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) at_us: u64,
    /// On the wire, WebSocket header included.
    pub(crate) bytes: usize,
    pub(crate) message: Decoded,
}

/// A line of a transcript.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Heard {
    Said(Command),
    Pinged(Vec<u8>),
    /// One whole WebSocket message of the gateway.
    Message(Opcode, Vec<u8>),
}

impl Client {
    pub(crate) fn new(
        engine: usize,
        key: SessionKey,
        pipe: Pipe,
        config: Config,
        manners: Manners,
    ) -> Self {
        let dialect = config.dialect;
        Self {
            engine,
            key,
            pipe,
            checker: Checker::new(config),
            paused: false,
            dialect,
            reader: Reader::new(dialect),
            transcript: Vec::new(),
            manners,
            next_id: 1,
            blocked: false,
            has_credit: false,
            acked: 0,
        }
    }

    pub(crate) fn say(&mut self, now_us: u64, command: &Command) {
        self.trace(now_us, command);
        self.pipe.send(&command.bytes(self.dialect, MASK));
        self.checker.sent(now_us, command);
        self.transcript.push((now_us, Heard::Said(command.clone())));
    }

    /// Says it in fragments with a ping between each two.
    fn say_in_pieces(&mut self, now_us: u64, command: &Command, pieces: usize) {
        self.trace(now_us, command);
        for (at, fragment) in command.fragments(self.dialect, pieces, MASK).iter().enumerate() {
            self.pipe.send(fragment);
            if at + 1 < pieces {
                self.ping(now_us, &[at as u8; 3]);
            }
        }
        self.checker.sent(now_us, command);
        self.transcript.push((now_us, Heard::Said(command.clone())));
    }

    /// What it says, where a failure is being replayed.
    fn trace(&self, now_us: u64, what: &impl std::fmt::Debug) {
        if std::env::var_os("TICKGATE_SEED").is_some() {
            eprintln!("{now_us} us, worker {}, {:?}: {what:?}", self.engine, self.key);
        }
    }

    pub(crate) fn ping(&mut self, now_us: u64, payload: &[u8]) {
        self.transcript.push((now_us, Heard::Pinged(payload.to_vec())));
        self.pipe.send(&control(Opcode::Ping, payload, MASK));
        self.checker.sent_ping(payload);
    }

    /// One random thing, or nothing.
    pub(crate) fn act(&mut self, now_us: u64, names: &[String], rng: &mut StdRng) {
        match rng.random_range(0..1_000) {
            0..12 => {
                let command = Command::Subscribe(self.random_subscribe(names, rng));
                if rng.random_bool(0.3) {
                    self.say_in_pieces(now_us, &command, rng.random_range(2..5));
                } else {
                    self.say(now_us, &command);
                }
            }
            12..18 => {
                let command = Command::Unsubscribe {
                    id: self.id(),
                    symbols: some_of(names, rng),
                    channels: rng.random_bool(0.3).then(|| some_channels(rng, self.manners.bars)),
                };
                self.say(now_us, &command);
            }
            18..24 => {
                let command = Command::Throttle {
                    id: self.id(),
                    symbols: rng.random_bool(0.4).then(|| some_of(names, rng)),
                    throttle_ms: Some(random_throttle(rng)),
                    max_bytes_per_second: None,
                };
                self.say(now_us, &command);
            }
            24..27 if self.manners.budget => {
                let limit = rng.random_bool(0.7).then(|| rng.random_range(300..20_000));
                let command = Command::Throttle {
                    id: self.id(),
                    symbols: None,
                    throttle_ms: None,
                    max_bytes_per_second: Some(limit),
                };
                self.say(now_us, &command);
            }
            27..30 if self.manners.credit => {
                let frames = rng.random_bool(0.7).then(|| rng.random_range(1..6));
                self.has_credit = frames.is_some();
                let command = Command::Credit { id: self.id(), frames };
                self.say(now_us, &command);
            }
            30..32 => {
                let command = Command::Ping { id: self.id() };
                self.say(now_us, &command);
            }
            32..34 => self.ping(now_us, &[7; 20]),
            34..38 if self.manners.stalls => {
                if self.blocked {
                    self.unblock(now_us);
                } else {
                    self.block_after(now_us, rng.random_range(0..400));
                }
            }
            38..40 => {
                let id = self.id();
                let message = match self.dialect {
                    // {"id": n, "op": "fly"} by hand.
                    Dialect::MessagePack => {
                        let mut out = b"\x82\xa2id\xcd".to_vec();
                        out.extend((id.unwrap_or(0) as u16).to_be_bytes());
                        out.extend(b"\xa2op\xa3fly");
                        out
                    }
                    Dialect::Json => {
                        format!("{{\"id\":{},\"op\":\"fly\"}}", id.unwrap_or(0)).into()
                    }
                };
                self.say(now_us, &Command::Refused { id: id.or(Some(0)), message });
            }
            40..80 if self.has_credit => self.acknowledge(now_us),
            _ => {}
        }
    }

    /// Says something the judge is not told of: its verdict means nothing after that.
    pub(crate) fn mutter(&mut self, message: &str) {
        let message = message.as_bytes().to_vec();
        let command = Command::Refused { id: None, message };
        self.pipe.send(&command.bytes(self.dialect, MASK));
    }

    /// What it was told so far, as the client library reads it.
    pub(crate) fn told(&self) -> Vec<Told> {
        told(self.dialect, &self.transcript)
    }

    /// The data frames it was told, heartbeats too.
    pub(crate) fn frames(&self) -> Vec<(u64, Frame)> {
        let told = self.told().into_iter();
        told.filter_map(|told| match told.message {
            Decoded::Frame(frame) => Some((told.at_us, frame)),
            _ => None,
        })
        .collect()
    }

    /// The replies it was told.
    pub(crate) fn replies(&self) -> Vec<Reply> {
        let told = self.told().into_iter();
        told.filter_map(|told| match told.message {
            Decoded::Reply(reply) => Some(reply),
            _ => None,
        })
        .collect()
    }

    pub(crate) fn acknowledge(&mut self, now_us: u64) {
        let frame = self.checker.last_frame();
        if frame > self.acked {
            self.acked = frame;
            self.say(now_us, &Command::Ack { frame });
        }
    }

    /// Its socket takes `room` more bytes, then none.
    pub(crate) fn block_after(&mut self, now_us: u64, room: usize) {
        self.trace(now_us, &format!("blocks after {room} bytes"));
        self.pipe.block_after(room);
        self.checker.blocked(now_us);
        self.blocked = true;
    }

    pub(crate) fn unblock(&mut self, now_us: u64) {
        if self.blocked {
            self.trace(now_us, &"unblocks");
            self.blocked = false;
            self.pipe.unblock();
            self.checker.unblocked(now_us);
        }
    }

    /// Reads what arrived, and answers pings.
    pub(crate) fn read(&mut self, now_us: u64, truth: &Truth) {
        let bytes = self.pipe.take();
        let mut rest = &bytes[..];
        // The judge sees each message before the reader does, which asks it what is subscribed.
        for (message, length) in self.reader.split(now_us, &bytes) {
            let (part, after) = rest.split_at(length);
            rest = after;
            self.checker.received(truth, now_us, part);
            self.reader.apply(&message, &self.checker);
            self.transcript.push((now_us, Heard::Message(message.opcode, message.payload)));
        }
        self.checker.received(truth, now_us, rest);
        for payload in self.checker.take_pings() {
            self.pipe.send(&control(Opcode::Pong, &payload, MASK));
        }
        if self.pipe.is_shut() && self.checker.ended().is_none() {
            self.checker.closed(truth, now_us, Closing::Cut);
        }
    }

    /// What the judge and the reader find at the end.
    pub(crate) fn finish(self, truth: &Truth, now_us: u64, quiet_since_us: u64) -> Outcome {
        let breaches = self.reader.finish(&self.checker);
        let verdict = self.checker.finish(truth, now_us, quiet_since_us);
        Outcome { dialect: self.dialect, verdict, breaches, transcript: self.transcript }
    }

    pub(crate) fn id(&mut self) -> Option<i64> {
        self.next_id += 1;
        (self.next_id % 5 != 0).then_some(self.next_id)
    }

    pub(crate) fn random_subscribe(&mut self, names: &[String], rng: &mut StdRng) -> Subscribe {
        let fields = |all: &[&str], rng: &mut StdRng| {
            rng.random_bool(0.15).then(|| {
                let chosen = all.iter().filter(|_| rng.random_bool(0.5));
                let mut chosen: Vec<String> = chosen.map(|name| (*name).to_owned()).collect();
                if chosen.is_empty() {
                    chosen.push(all[0].to_owned());
                }
                chosen
            })
        };
        let mut symbols = some_of(names, rng);
        if rng.random_bool(0.1) {
            symbols.push("NOSUCH".into());
        }
        if rng.random_bool(0.1) {
            symbols = vec!["*".into()];
        }
        let resume = rng.random_bool(0.1).then(|| {
            let trades = symbols.iter().map(|name| (name.clone(), rng.random_range(0..60)));
            (self.checker.epoch(), trades.collect())
        });
        Subscribe {
            id: self.id(),
            channels: rng.random_bool(0.7).then(|| some_channels(rng, self.manners.bars)),
            throttle_ms: rng.random_bool(0.5).then(|| random_throttle(rng)),
            quote_fields: fields(&QUOTE_FIELDS, rng),
            last_fields: fields(&LAST_FIELDS, rng),
            snapshot: rng.random_bool(0.1),
            resume,
            symbols,
        }
    }
}

/// What the gateway said in a transcript, as the client library reads it.
pub(crate) fn told(dialect: Dialect, transcript: &[(u64, Heard)]) -> Vec<Told> {
    let mut decoder = Decoder::new(match dialect {
        Dialect::MessagePack => Spoken::MessagePack,
        Dialect::Json => Spoken::Json,
    });
    let messages = transcript.iter().filter_map(|(at_us, heard)| match heard {
        Heard::Message(Opcode::Text | Opcode::Binary, payload) => Some((*at_us, payload)),
        _ => None,
    });
    messages
        .map(|(at_us, payload)| Told {
            at_us,
            // Headers of messages of at most 125 bytes and of at most 65,535.
            bytes: payload.len() + if payload.len() < 126 { 2 } else { 4 },
            message: decoder.decode(payload).expect("it is of the wire"),
        })
        .collect()
}

fn random_throttle(rng: &mut StdRng) -> Option<u64> {
    [None, Some(0), Some(0), Some(7), Some(25), Some(100), Some(180), Some(700)]
        [rng.random_range(0..8)]
}

fn some_of(names: &[String], rng: &mut StdRng) -> Vec<String> {
    let count = rng.random_range(1..=names.len().min(6));
    let mut chosen: Vec<String> =
        (0..count).map(|_| names[rng.random_range(0..names.len())].clone()).collect();
    if rng.random_bool(0.05) {
        chosen.push("*".into());
    }
    chosen.sort();
    chosen.dedup();
    chosen
}

fn some_channels(rng: &mut StdRng, bars: bool) -> Vec<Channel> {
    let all = if bars { &Channel::EVERY[..] } else { &Channel::ALL };
    let mut chosen: Vec<Channel> = all.iter().copied().filter(|_| rng.random_bool(0.6)).collect();
    if chosen.is_empty() {
        chosen.push(Channel::Trade);
    }
    chosen
}
