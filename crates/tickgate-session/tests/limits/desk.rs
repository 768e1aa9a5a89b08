//! One engine, scripted sockets and a clock that moves when it is told to.

use std::sync::Arc;

use tickgate_hub::{Hub, HubConfig, Publisher};
use tickgate_protocol::{
    close::CloseReason,
    dialect::Dialect::Json,
    reply::Reply,
    tick::{Batch, Listing, Quote, Tick, TickBody},
};
use tickgate_session::{Engine, EngineConfig, Inbound, Now, SessionKey, Shared};

use crate::pipe::Pipe;

/// The engine and what it is driven by.
pub(crate) struct Desk {
    pub(crate) engine: Engine<Pipe>,
    pub(crate) now: Now,
    pub(crate) publisher: Publisher,
    pub(crate) hub: Arc<Hub>,
}

/// A JSON client.
pub(crate) struct Client {
    pub(crate) pipe: Pipe,
    pub(crate) key: SessionKey,
    heard: Vec<u8>,
}

/// What a client is told, less data frames.
#[derive(Debug, PartialEq)]
pub(crate) enum Said {
    Reply(Reply),
    Ping,
    Pong,
    Close(u16),
}

impl Desk {
    pub(crate) fn new(config: EngineConfig) -> Self {
        Self::with(HubConfig::default(), config)
    }

    /// The same over a hub of these sizes, but for its one worker and 1,024 symbols.
    pub(crate) fn with(sizes: HubConfig, config: EngineConfig) -> Self {
        let sizes = HubConfig { workers: 1, symbol_limit: 1_024, ..sizes };
        let hub = Hub::new(sizes, 1).expect("the sizes keep the rules");
        let publisher = hub.publisher();
        let shared = Shared::new(Arc::clone(&hub), config).expect("the settings keep the rules");
        let now = Now { monotonic_us: 1_000_000, unix_us: 1_700_000_000_000_000 };
        Self { engine: Engine::new(shared, 0, 1, now), now, publisher, hub }
    }

    /// Connects; the welcome has been read.
    pub(crate) fn connect(&mut self) -> Client {
        let pipe = Pipe::new(usize::MAX);
        let key = self.engine.open(self.now, pipe.clone(), Json, 1, Vec::new());
        let mut client = Client { pipe, key, heard: Vec::new() };
        self.serve(&client);
        assert!(matches!(client.said()[..], [Said::Reply(Reply::Welcome(_))]));
        client
    }

    /// Reads what the client sent, as far as it may be read, and writes what is due.
    pub(crate) fn serve(&mut self, client: &Client) -> Inbound {
        let mut next = Inbound::Again;
        while next == Inbound::Again || (next == Inbound::Readable && client.pipe.has_input()) {
            next = self.engine.on_readable(self.now, client.key);
        }
        self.poll();
        next
    }

    /// Lets time pass in flush ticks, with the engine served at each.
    pub(crate) fn pass_ms(&mut self, ms: u64) {
        for _ in 0..ms.div_ceil(5) {
            self.now.monotonic_us += 5_000;
            self.now.unix_us += 5_000;
            self.poll();
        }
    }

    /// A new quote of `S0`, with the venue's time `age_us` ago.
    pub(crate) fn quote(&mut self, price: i64, age_us: i64) {
        let quote = Quote {
            bid_price: price,
            bid_size: 1,
            ask_price: price + 1,
            ask_size: 1,
            suspect: false,
        };
        let event_time_ns = (self.now.unix_us - age_us) * 1_000;
        let tick = Tick { symbol: 0, event_time_ns, body: TickBody::Quote(quote) };
        self.publisher.publish(&Batch { ticks: vec![tick], ..Batch::default() });
    }

    pub(crate) fn poll(&mut self) {
        while self.engine.poll(self.now).more {}
    }

    /// What the client is told for this.
    pub(crate) fn ask(&mut self, client: &mut Client, command: &str) -> Vec<Said> {
        client.pipe.send(&text(command));
        self.serve(client);
        client.said()
    }
}

impl Client {
    /// What it was told since the last call.
    pub(crate) fn said(&mut self) -> Vec<Said> {
        self.heard.extend(self.pipe.take());
        let mut said = Vec::new();
        while let Some((opcode, payload)) = self.message() {
            match opcode {
                1 if payload.starts_with(br#"{"type":"frame""#) => {}
                1 => said.push(Said::Reply(Json.parse_reply(&payload).expect("a reply"))),
                8 => said.push(Said::Close(u16::from_be_bytes([payload[0], payload[1]]))),
                9 => said.push(Said::Ping),
                10 => said.push(Said::Pong),
                other => panic!("opcode {other}"),
            }
        }
        said
    }

    /// Texts it was told since the last call, data frames among them.
    pub(crate) fn texts(&mut self) -> Vec<Vec<u8>> {
        self.heard.extend(self.pipe.take());
        let mut texts = Vec::new();
        while let Some((opcode, payload)) = self.message() {
            texts.extend((opcode == 1).then_some(payload));
        }
        texts
    }

    fn message(&mut self) -> Option<(u8, Vec<u8>)> {
        let [first, second, rest @ ..] = &self.heard[..] else { return None };
        let (skip, length) = match (second & 0x7f, rest) {
            (126, [high, low, ..]) => (4, usize::from(u16::from_be_bytes([*high, *low]))),
            (126, _) => return None,
            (short, _) => (2, usize::from(short)),
        };
        let opcode = first & 0x0f;
        if self.heard.len() < skip + length {
            return None;
        }
        let rest = self.heard.split_off(skip + length);
        let frame = std::mem::replace(&mut self.heard, rest);
        Some((opcode, frame[skip..].to_vec()))
    }
}

/// Lists `count` symbols, `S0` and on.
pub(crate) fn list(desk: &mut Desk, count: usize) -> Vec<String> {
    let names: Vec<String> = (0..count).map(|n| format!("S{n}")).collect();
    let listing =
        |name: &String| Listing { session_date: 20_240_808, ..Listing::new(name.clone(), -2, 0) };
    let listings = names.iter().map(listing).collect();
    desk.publisher.publish(&Batch { listings, ..Batch::default() });
    names
}

pub(crate) fn closed(reason: CloseReason) -> [Said; 1] {
    [Said::Close(reason.code())]
}

/// A whole text message.
pub(crate) fn text(payload: &str) -> Vec<u8> {
    frame(0x81, payload.as_bytes())
}

/// A client's frame with this first byte, masked with zeros.
pub(crate) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        length @ 0..126 => frame.push(0x80 | length as u8),
        length => {
            frame.push(0x80 | 126);
            frame.extend((length as u16).to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(payload);
    frame
}
