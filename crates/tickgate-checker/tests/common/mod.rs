//! A small, slow and correct gateway, written from the protocol's document, whose transcript the
//! tests check as it is and then spoil.

#![allow(dead_code, unreachable_pub, missing_docs, reason = "each test binary uses a part")]

use tickgate_checker::{
    Channel, Checker, Command, Config, Definition, Dialect, Subscribe, TapeEvent, Truth, Verdict,
    json, msgpack,
    value::Value,
    websocket::{self, Opcode},
};

/// Unix time less monotonic time.
pub const UNIX_US: i64 = 1_700_000_000_000_000;
/// The engine's tick.
pub const TICK_US: u64 = 5_000;
/// What the gateway is told of a frame: prices have two decimals, sizes one.
pub const EXPONENTS: (i32, i32) = (-2, -1);
/// Of every symbol's prices, scaled.
pub const TICK_SIZE: Option<i64> = Some(5);
/// Nothing happens in the feed from here on.
pub const QUIET_US: u64 = 3_000_000;
pub const END_US: u64 = 3_600_000;

/// An entry with its fields in wire order.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    pub kind: i128,
    pub fields: Vec<(&'static str, Value)>,
}

#[derive(Debug, Clone)]
pub struct Frame {
    pub sequence: u64,
    pub sent_at_us: i64,
    pub cause: u64,
    pub entries: Vec<Entry>,
}

#[derive(Debug, Clone)]
pub enum Event {
    Sent(Command),
    Reply(Value),
    Frame(Frame),
    Raw(Vec<u8>),
    Blocked,
    Unblocked,
}

#[derive(Debug, Clone)]
pub struct Transcript {
    pub truth: Truth,
    pub events: Vec<(u64, Event)>,
    pub config: Config,
}

impl Transcript {
    pub fn judge(&self) -> Verdict {
        let mut checker = Checker::new(self.config.clone());
        for (now_us, event) in &self.events {
            match event {
                Event::Sent(command) => checker.sent(*now_us, command),
                Event::Blocked => checker.blocked(*now_us),
                Event::Unblocked => checker.unblocked(*now_us),
                received => {
                    let bytes = bytes(self.config.dialect, received);
                    checker.received(&self.truth, *now_us, &bytes);
                }
            }
        }
        checker.finish(&self.truth, END_US, QUIET_US)
    }

    pub fn frames(&mut self) -> impl Iterator<Item = &mut Frame> {
        self.events.iter_mut().filter_map(|(_, event)| match event {
            Event::Frame(frame) => Some(frame),
            _ => None,
        })
    }

    /// The `skip`-th entry of a kind about a symbol, and the frame it is in.
    pub fn entry(&mut self, kind: i128, id: i128, skip: usize) -> &mut Entry {
        self.frames()
            .flat_map(|frame| frame.entries.iter_mut())
            .filter(|entry| entry.kind == kind && entry.get("id") == &Value::Int(id))
            .nth(skip)
            .expect("the transcript has such an entry")
    }

    /// Takes out entries, and frames that have none left; the others close ranks.
    pub fn retain(&mut self, keep: impl Fn(u64, &Entry) -> bool) {
        let mut gone = 0;
        self.events.retain_mut(|(now_us, event)| {
            let Event::Frame(frame) = event else { return true };
            frame.entries.retain(|entry| keep(*now_us, entry));
            frame.sequence -= gone;
            gone += u64::from(frame.entries.is_empty());
            !frame.entries.is_empty()
        });
    }
}

impl Entry {
    pub fn new(kind: i128, fields: Vec<(&'static str, Value)>) -> Self {
        Self { kind, fields }
    }

    pub fn get(&self, name: &str) -> &Value {
        self.fields.iter().find(|field| field.0 == name).map_or(&Value::Nil, |field| &field.1)
    }

    pub fn int(&self, name: &str) -> i128 {
        match self.get(name) {
            Value::Int(int) => *int,
            other => panic!("{name} is {other:?}"),
        }
    }

    pub fn set(&mut self, name: &str, value: Value) {
        let field = self.fields.iter_mut().find(|field| field.0 == name);
        field.expect("the entry has such a field").1 = value;
    }

    pub fn add(&mut self, name: &str, by: i128) {
        self.set(name, Value::Int(self.int(name) + by));
    }
}

pub fn int(number: impl Into<i128>) -> Value {
    Value::Int(number.into())
}

pub fn optional(number: Option<i64>) -> Value {
    number.map_or(Value::Nil, int)
}

pub fn bytes(dialect: Dialect, event: &Event) -> Vec<u8> {
    let value = match event {
        Event::Raw(bytes) => return bytes.clone(),
        Event::Reply(value) => value.clone(),
        Event::Frame(frame) if dialect == Dialect::MessagePack => Value::Array(vec![
            int(1),
            int(frame.sequence),
            int(frame.sent_at_us),
            int(frame.cause),
            Value::Array(frame.entries.iter().map(entry_array).collect()),
        ]),
        Event::Frame(frame) => Value::Map(vec![
            ("type".into(), Value::Text("frame".into())),
            ("sequence".into(), int(frame.sequence)),
            ("sent_at_us".into(), int(frame.sent_at_us)),
            ("cause".into(), int(frame.cause)),
            ("entries".into(), Value::Array(frame.entries.iter().map(entry_object).collect())),
        ]),
        other => panic!("{other:?} has no bytes"),
    };
    let mut out = Vec::new();
    match dialect {
        Dialect::MessagePack => {
            let mut payload = Vec::new();
            msgpack::encode(&mut payload, &value);
            websocket::write_server(&mut out, Opcode::Binary, &payload);
        }
        Dialect::Json => {
            let mut payload = String::new();
            json::encode(&mut payload, &value);
            websocket::write_server(&mut out, Opcode::Text, payload.as_bytes());
        }
    }
    out
}

fn entry_array(entry: &Entry) -> Value {
    let fields = entry.fields.iter().map(|(_, value)| value.clone());
    Value::Array(std::iter::once(int(entry.kind)).chain(fields).collect())
}

fn entry_object(entry: &Entry) -> Value {
    let name = match entry.kind {
        1 => "definition",
        2 => "epoch",
        3 => "ready",
        4 => "status",
        10 => "quote",
        11 => "quote_delta",
        12 => "last",
        13 => "last_delta",
        20 => "trade",
        21 => "trade_correction",
        22 => "trades_joined",
        23 => "trades_lost",
        other => panic!("kind {other}"),
    };
    let mut members = vec![("type".to_owned(), Value::Text(name.into()))];
    for (key, value) in &entry.fields {
        let member = match (*key, value) {
            ("mask", _) => continue,
            ("id", Value::Int(_)) if entry.kind == 1 => continue,
            ("id", Value::Int(id)) => ("symbol", Value::Text(NAMES[*id as usize - 1].into())),
            ("id", _) => ("symbol", Value::Nil),
            ("name", value) => ("symbol", value.clone()),
            ("status", Value::Int(code)) => ("status", word(*code)),
            ("reason", Value::Int(code)) => ("reason", word(100 + *code)),
            (
                "bid_price" | "ask_price" | "price" | "high" | "low" | "open" | "tick_size",
                Value::Int(n),
            ) => (*key, decimal(*n, 2)),
            ("bid_size" | "ask_size" | "size" | "volume", Value::Int(n)) => (*key, decimal(*n, 1)),
            (key, value) => (key, value.clone()),
        };
        members.push((member.0.to_owned(), member.1));
    }
    Value::Map(members)
}

fn word(code: i128) -> Value {
    let word = match code {
        1 => "trading",
        2 => "halted",
        10 => "live",
        11 => "stale",
        103 => "news",
        111 => "silent",
        other => panic!("code {other}"),
    };
    Value::Text(word.into())
}

fn decimal(number: i128, places: u32) -> Value {
    let power = 10i128.pow(places);
    let sign = if number < 0 { "-" } else { "" };
    let (whole, fraction) = (number.abs() / power, number.abs() % power);
    Value::Number(format!("{sign}{whole}.{fraction:0width$}", width = places as usize))
}

/// The symbols, with ids 1 and 2.
pub const NAMES: [&str; 2] = ["AAA", "BBB"];

/// xorshift64*: enough to vary a transcript.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % bound
    }
}

/// What the little gateway keeps of one state channel of one symbol.
#[derive(Default)]
struct State {
    channel: Option<Channel>,
    sequence: u64,
    event_ns: Option<i64>,
    fields: Vec<Option<i64>>,
    cursor: u64,
    sent: Vec<Option<i64>>,
    full: bool,
    on: bool,
    selection: u16,
    next_us: u64,
}

struct Symbol {
    id: u64,
    states: [State; 2],
    tape: Vec<Entry>,
    volume: i64,
    trades_on: bool,
    trades_sent: usize,
    joined: bool,
    statuses: Vec<(Entry, i64, usize)>,
    statuses_sent: usize,
    interval_us: u64,
    defined: bool,
}

struct Gateway {
    transcript: Transcript,
    random: Random,
    symbols: Vec<Symbol>,
    now_us: u64,
    frame: u64,
    blocked: bool,
    late: bool,
    outbox: Vec<Entry>,
    readies: Vec<i64>,
    live_us: u64,
}

/// The correct transcript: two symbols at 100 and 50 ms, a selection, a halt and its end, a feed
/// that goes stale and comes back, a repeated snapshot, a slower throttle, a blocked socket, an
/// unsubscribe, and a quiet end.
pub fn transcript(dialect: Dialect, seed: u64) -> Transcript {
    transcript_with_stale_until(dialect, seed, 1_900_000)
}

/// The same with a feed that is stale from 1.5 s until then.
pub fn transcript_with_stale_until(dialect: Dialect, seed: u64, live_us: u64) -> Transcript {
    let mut truth = Truth::new(7);
    truth.clock(0, UNIX_US);
    truth.feed_status(0, 0, 10, None, None);
    let config = Config::new(dialect);
    let symbol = |id: u64| Symbol {
        id,
        states: [state(Channel::Quote), state(Channel::Last)],
        tape: Vec::new(),
        volume: 0,
        trades_on: false,
        trades_sent: 0,
        joined: false,
        statuses: Vec::new(),
        statuses_sent: 0,
        interval_us: 100_000,
        defined: false,
    };
    let mut gateway = Gateway {
        transcript: Transcript { truth, events: Vec::new(), config },
        random: Random(seed.wrapping_mul(2) + 1),
        symbols: vec![symbol(1), symbol(2)],
        now_us: 0,
        frame: 0,
        blocked: false,
        late: false,
        outbox: Vec::new(),
        readies: Vec::new(),
        live_us,
    };
    gateway.run();
    gateway.transcript
}

fn state(channel: Channel) -> State {
    let fields = vec![None; channel.fields().len()];
    State { channel: Some(channel), sent: fields.clone(), fields, ..State::default() }
}

impl Gateway {
    fn run(&mut self) {
        for (at, name) in NAMES.iter().enumerate() {
            let definition = Definition {
                id: at as u32 + 1,
                name: (*name).into(),
                price_exponent: EXPONENTS.0,
                size_exponent: EXPONENTS.1,
                session_date: Some(20_240_808),
                previous_close: None,
                status: 1,
                status_sequence: 0,
                tick_size: TICK_SIZE,
            };
            self.transcript.truth.define(0, definition);
        }
        self.log(Event::Reply(map(vec![
            ("type", Value::Text("welcome".into())),
            ("epoch", int(7)),
        ])));
        while self.now_us < END_US {
            self.now_us += TICK_US;
            if self.now_us < QUIET_US {
                self.feed();
            }
            self.client();
            if !self.blocked {
                self.flush();
            }
        }
    }

    fn log(&mut self, event: Event) {
        self.transcript.events.push((self.now_us, event));
    }

    fn feed(&mut self) {
        for at in 0..NAMES.len() {
            if self.random.below(3) == 0 {
                self.quote(at);
            }
            if self.random.below(6) == 0 {
                self.trade(at);
            }
        }
        match self.now_us {
            1_200_000 => self.status(0, 2, Some(3)),
            1_230_000 => self.status(0, 1, None),
            1_500_000 => self.feed_status(1, 11, Some(11)),
            now_us if now_us == self.live_us => self.feed_status(2, 10, None),
            _ => {}
        }
    }

    fn event_ns(&mut self) -> Option<i64> {
        let ns = (UNIX_US + self.now_us as i64) * 1_000 - 1_500_000;
        (self.random.below(8) > 0).then_some(ns + self.random.below(3_000_000) as i64)
    }

    fn quote(&mut self, at: usize) {
        let event_ns = self.event_ns();
        let bid = 10_000 + self.random.below(50) as i64;
        let ask = 10_040 + self.random.below(50) as i64;
        let one_sided = self.random.below(10) == 0;
        let flags = match bid.cmp(&ask) {
            _ if one_sided => 0,
            std::cmp::Ordering::Greater => 1,
            std::cmp::Ordering::Equal => 2,
            std::cmp::Ordering::Less => 0,
        };
        let size = 1 + self.random.below(9) as i64;
        let ask = (!one_sided).then_some(ask);
        let fields = vec![Some(bid), Some(size), ask, ask.map(|_| 5), Some(flags)];
        self.apply(at, 0, event_ns, fields);
    }

    fn trade(&mut self, at: usize) {
        let event_ns = self.event_ns();
        let price = 10_000 + self.random.below(90) as i64;
        let size = 1 + self.random.below(9) as i64;
        let symbol = &mut self.symbols[at];
        symbol.volume += size;
        let (sequence, volume) = (symbol.tape.len() as u64 + 1, symbol.volume);
        symbol.tape.push(Entry::new(
            20,
            vec![
                ("id", int(symbol.id)),
                ("sequence", int(sequence)),
                ("age_us", optional(event_ns)),
                ("price", int(price)),
                ("size", int(size)),
                ("flags", int(8)),
                ("trade_id", int(sequence + 500)),
            ],
        ));
        let trade_id = Some(sequence as i64 + 500);
        let trade = TapeEvent::Trade { price: Some(price), size: Some(size), flags: 8, trade_id };
        self.transcript.truth.trade(self.now_us, NAMES[at], sequence, event_ns, trade, volume);
        let before = symbol.states[1].fields.clone();
        let high = before[4].map_or(price, |high| high.max(price));
        let low = before[5].map_or(price, |low| low.min(price));
        let open = before[6].unwrap_or(price);
        let numbers = [price, size, volume, sequence as i64, high, low, open, 8];
        self.apply(at, 1, event_ns, numbers.map(Some).to_vec());
    }

    fn apply(&mut self, at: usize, state: usize, event: Option<i64>, fields: Vec<Option<i64>>) {
        let state = &mut self.symbols[at].states[state];
        let Some(channel) = state.channel else { return };
        state.sequence += 1;
        state.event_ns = event;
        let truth = &mut self.transcript.truth;
        truth.state(self.now_us, NAMES[at], channel, state.sequence, event, &fields);
        state.fields = fields;
    }

    fn status(&mut self, at: usize, status: i64, reason: Option<i64>) {
        // Trades around it, so that its place among them matters.
        self.trade(at);
        let symbol = &mut self.symbols[at];
        let (sequence, after) = (symbol.statuses.len() as u64 + 1, symbol.tape.len());
        let fields = vec![
            ("id", int(symbol.id)),
            ("status_sequence", int(sequence)),
            ("status", int(status)),
            ("reason", optional(reason)),
            ("age_us", Value::Nil),
        ];
        symbol.statuses.push((Entry::new(4, fields), status, after));
        let truth = &mut self.transcript.truth;
        truth.status(self.now_us, NAMES[at], sequence, status, reason, None, after as u64);
        self.trade(at);
    }

    fn feed_status(&mut self, sequence: u64, status: i64, reason: Option<i64>) {
        self.transcript.truth.feed_status(self.now_us, sequence, status, reason, None);
        self.outbox.push(Entry::new(
            4,
            vec![
                ("id", Value::Nil),
                ("status_sequence", int(sequence)),
                ("status", int(status)),
                ("reason", optional(reason)),
                ("age_us", Value::Nil),
            ],
        ));
    }

    fn client(&mut self) {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        match self.now_us {
            300_000 => {
                self.command(
                    "subscribed",
                    Command::Subscribe(Subscribe {
                        id: Some(1),
                        symbols: names(&["AAA"]),
                        channels: Some(Channel::ALL.to_vec()),
                        ..Subscribe::default()
                    }),
                );
                let symbol = &mut self.symbols[0];
                symbol.trades_on = true;
                begin(&mut symbol.states[0], 0b1_1111);
                begin(&mut symbol.states[1], 0b1111_1111);
                self.readies.push(1);
            }
            400_000 => {
                self.command(
                    "subscribed",
                    Command::Subscribe(Subscribe {
                        id: Some(2),
                        symbols: names(&["BBB"]),
                        channels: Some(vec![Channel::Quote]),
                        throttle_ms: Some(Some(50)),
                        quote_fields: Some(names(&["bid_price", "ask_price", "flags"])),
                        ..Subscribe::default()
                    }),
                );
                self.symbols[1].interval_us = 50_000;
                begin(&mut self.symbols[1].states[0], 0b1_0101);
                self.readies.push(2);
            }
            1_000_000 => {
                self.command(
                    "subscribed",
                    Command::Subscribe(Subscribe {
                        id: Some(3),
                        symbols: names(&["AAA"]),
                        channels: Some(vec![Channel::Quote]),
                        snapshot: true,
                        ..Subscribe::default()
                    }),
                );
                self.symbols[0].states.iter_mut().for_each(|state| state.full = true);
                self.readies.push(3);
            }
            1_700_000 => {
                self.command(
                    "throttled",
                    Command::Throttle {
                        id: Some(4),
                        symbols: Some(names(&["AAA"])),
                        throttle_ms: Some(Some(150)),
                        max_bytes_per_second: None,
                    },
                );
                self.symbols[0].interval_us = 150_000;
            }
            2_000_000 => {
                self.blocked = true;
                self.log(Event::Blocked);
            }
            2_400_000 => {
                self.blocked = false;
                self.late = true;
                self.log(Event::Unblocked);
            }
            2_600_000 => {
                self.command(
                    "unsubscribed",
                    Command::Unsubscribe { id: Some(5), symbols: names(&["BBB"]), channels: None },
                );
                self.symbols[1].states[0].on = false;
            }
            2_700_000 => self.command("pong", Command::Ping { id: None }),
            _ => {}
        }
    }

    fn command(&mut self, reply: &str, command: Command) {
        let mut members = vec![("type", Value::Text(reply.into()))];
        if let Some(id) = command.id() {
            members.push(("id", int(id)));
        }
        self.log(Event::Sent(command));
        self.log(Event::Reply(map(members)));
    }

    fn flush(&mut self) {
        let now_us = self.now_us;
        let sent_at_us = UNIX_US + now_us as i64;
        let mut entries = std::mem::take(&mut self.outbox);
        for symbol in &mut self.symbols {
            let on = symbol.trades_on || symbol.states.iter().any(|state| state.on);
            if !on {
                continue;
            }
            if !symbol.defined {
                symbol.defined = true;
                entries.push(definition(symbol));
            }
            symbol.tape(&mut entries, sent_at_us);
            for state in &mut symbol.states {
                state.flush(symbol.id, symbol.interval_us, now_us, sent_at_us, &mut entries);
            }
        }
        for id in self.readies.drain(..) {
            entries.push(Entry::new(3, vec![("command_id", int(id))]));
        }
        if entries.is_empty() {
            return;
        }
        self.frame += 1;
        let cause = u64::from(std::mem::take(&mut self.late));
        let frame = Frame { sequence: self.frame, sent_at_us, cause, entries };
        self.log(Event::Frame(frame));
    }
}

fn begin(state: &mut State, selection: u16) {
    state.on = true;
    state.full = true;
    state.selection = selection;
}

fn definition(symbol: &mut Symbol) -> Entry {
    let status = symbol.statuses.last().map_or(1, |status| status.1);
    symbol.statuses_sent = symbol.statuses.len();
    Entry::new(
        1,
        vec![
            ("id", int(symbol.id)),
            ("name", Value::Text(NAMES[symbol.id as usize - 1].into())),
            ("price_exponent", int(EXPONENTS.0)),
            ("size_exponent", int(EXPONENTS.1)),
            ("session_date", int(20_240_808)),
            ("previous_close", Value::Nil),
            ("status", int(status)),
            ("status_sequence", int(symbol.statuses.len() as u64)),
            ("tick_size", optional(TICK_SIZE)),
        ],
    )
}

fn age(sent_at_us: i64, event_ns: Option<i64>) -> Value {
    optional(event_ns.map(|event_ns| (sent_at_us * 1_000 - event_ns).div_euclid(1_000)))
}

impl Symbol {
    /// Trades and statuses, each status after the trades before it.
    fn tape(&mut self, entries: &mut Vec<Entry>, sent_at_us: i64) {
        if self.trades_on && !self.joined {
            self.joined = true;
            self.trades_sent = self.tape.len();
            entries.push(Entry::new(
                22,
                vec![
                    ("id", int(self.id)),
                    ("sequence", int(self.trades_sent as u64)),
                    ("volume", int(self.volume)),
                ],
            ));
        }
        loop {
            let status = self.statuses.get(self.statuses_sent);
            if let Some((entry, _, after)) = status
                && (!self.trades_on || self.trades_sent >= *after)
            {
                entries.push(entry.clone());
                self.statuses_sent += 1;
            } else if self.trades_on && self.trades_sent < self.tape.len() {
                let mut entry = self.tape[self.trades_sent].clone();
                let event_ns = match entry.get("age_us") {
                    Value::Int(event_ns) => Some(*event_ns as i64),
                    _ => None,
                };
                entry.set("age_us", age(sent_at_us, event_ns));
                entries.push(entry);
                self.trades_sent += 1;
            } else {
                return;
            }
        }
    }
}

impl State {
    fn flush(
        &mut self,
        id: u64,
        interval_us: u64,
        now_us: u64,
        sent_at_us: i64,
        entries: &mut Vec<Entry>,
    ) {
        let Some(channel) = self.channel else { return };
        let chosen = |bit: usize| self.selection & 1 << bit != 0;
        let changed: Vec<usize> = (0..self.fields.len())
            .filter(|bit| chosen(*bit) && self.fields[*bit] != self.sent[*bit])
            .collect();
        if !self.on || !(self.full || now_us >= self.next_us && !changed.is_empty()) {
            return;
        }
        let names = channel.fields();
        let kind = if channel == Channel::Quote { 10 } else { 12 };
        let mut fields = vec![("id", int(id))];
        if self.full {
            fields.push(("sequence", int(self.sequence)));
            fields.push(("age_us", age(sent_at_us, self.event_ns)));
            for (bit, field) in self.fields.iter().enumerate() {
                fields.push((names[bit].0, optional(field.filter(|_| chosen(bit)))));
            }
            entries.push(Entry::new(kind, fields));
        } else {
            let mask = changed.iter().fold(0, |mask, bit| mask | 1i128 << bit);
            fields.push(("advance", int(self.sequence - self.cursor)));
            fields.push(("age_us", age(sent_at_us, self.event_ns)));
            fields.push(("mask", int(mask)));
            for bit in changed {
                fields.push((names[bit].0, optional(self.fields[bit])));
            }
            entries.push(Entry::new(kind + 1, fields));
        }
        self.full = false;
        self.cursor = self.sequence;
        self.sent = self.fields.clone();
        self.next_us = now_us + interval_us;
    }
}

pub fn map(members: Vec<(&str, Value)>) -> Value {
    Value::Map(members.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}
