//! The judge of one connection: its state, and what the harness tells it.

use std::collections::{BTreeMap, VecDeque};

use crate::{
    command::Command,
    cursor::{Cursor, SymbolView},
    holds::Holds,
    interest::Interest,
    rule::{Fault, Rule, Violation},
    truth::Truth,
    websocket::{Message, Opcode, Splitter},
    wire::{self, Channel, Dialect, Incoming, Scales},
};

/// What the checker needs to know of the gateway's configuration. Times in microseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The connection's encoding.
    pub dialect: Dialect,
    /// The gateway's default throttle interval; 100 ms.
    pub throttle_us: u64,
    /// Longest wait of a trade at any throttle; 100 ms.
    pub tape_interval_us: u64,
    /// How coarse the engine's ticks, as the harness drives them, are; 10 ms. What is due may
    /// leave that much later, and that much earlier after a late one.
    pub tick_slack_us: u64,
    /// Heartbeat interval; 1 s.
    pub heartbeat_us: u64,
    /// Longest silence while the client receives; 1.25 s.
    pub silence_us: u64,
    /// Most bytes of a data frame's payload; 16 KiB.
    pub frame_limit_bytes: usize,
    /// Trades the hub keeps of a symbol; 1,024. No trade within it may be declared lost.
    pub tape_capacity: u64,
    /// Closed bars the hub keeps of a symbol, of a second, a minute and a day; 128, 256 and 16.
    pub bar_capacities: [usize; 3],
    /// Status changes the hub keeps of a symbol; 16.
    pub status_capacity: u64,
    /// True where the harness can make the engine late, so that cause bit 8 is possible.
    pub load_possible: bool,
}

impl Config {
    /// The gateway's defaults.
    #[must_use]
    pub const fn new(dialect: Dialect) -> Self {
        Self {
            dialect,
            throttle_us: 100_000,
            tape_interval_us: 100_000,
            tick_slack_us: 10_000,
            heartbeat_us: 1_000_000,
            silence_us: 1_250_000,
            frame_limit_bytes: 16_384,
            tape_capacity: 1_024,
            bar_capacities: [128, 256, 16],
            status_capacity: 16,
            load_possible: false,
        }
    }
}

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closing {
    /// With a WebSocket close of this code.
    Code(u16),
    /// Without: the transport just ended, perhaps inside a frame.
    Cut,
}

/// An id that was defined.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    pub(crate) name: String,
    pub(crate) exponents: (i32, i32),
}

/// A `ready` that is still to come.
#[derive(Debug, Clone)]
pub(crate) struct OwedReady {
    pub(crate) id: Option<i64>,
    /// What was owed in full when its command was answered: symbol, channel, and the channel's
    /// [`Cursor::begun`] and [`Cursor::fulls`] then.
    pub(crate) states: Vec<(String, Channel, u64, u64)>,
}

/// Judges what one connection received. See the crate's documentation for an example.
#[derive(Debug, Clone)]
pub struct Checker {
    pub(crate) config: Config,
    pub(crate) splitter: Splitter,
    pub(crate) violations: Vec<Violation>,
    pub(crate) broken: bool,
    pub(crate) closed: Option<(u64, Closing)>,
    /// Commands that wait for their reply: as many as the harness sent.
    pub(crate) pending: VecDeque<(u64, Command)>,
    /// Acknowledgements of frames not yet seen, which may be refused.
    pub(crate) doubtful_acks: usize,
    pub(crate) pings_sent: Vec<Vec<u8>>,
    pub(crate) pings: Vec<Vec<u8>>,
    pub(crate) welcomed_us: Option<u64>,
    pub(crate) epoch: u64,
    pub(crate) interest: Interest,
    pub(crate) subscribed_us: Option<u64>,
    pub(crate) symbols: BTreeMap<String, SymbolView>,
    pub(crate) ids: BTreeMap<u32, Known>,
    pub(crate) readies: Vec<OwedReady>,
    /// When something may have moved the phases of flushes: a command, an epoch, a new id.
    pub(crate) unsettled_us: Vec<u64>,
    pub(crate) holds: Holds,
    pub(crate) frames: crate::frames::FrameState,
    /// Status sequence of the feed last told in this epoch.
    pub(crate) feed: Option<u64>,
    /// The same in any: told again, it is no news.
    pub(crate) feed_known: Option<u64>,
}

impl Checker {
    /// A connection that has just been upgraded, at `now_us`.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self {
            interest: Interest::new(config.throttle_us),
            config,
            splitter: Splitter::default(),
            violations: Vec::new(),
            broken: false,
            closed: None,
            pending: VecDeque::new(),
            doubtful_acks: 0,
            pings_sent: Vec::new(),
            pings: Vec::new(),
            welcomed_us: None,
            epoch: 0,
            subscribed_us: None,
            symbols: BTreeMap::new(),
            ids: BTreeMap::new(),
            readies: Vec::new(),
            unsettled_us: Vec::new(),
            holds: Holds::default(),
            frames: crate::frames::FrameState::default(),
            feed: None,
            feed_known: None,
        }
    }

    /// The client wrote this command, whole, to its transport.
    pub fn sent(&mut self, now_us: u64, command: &Command) {
        match command {
            Command::Ack { frame } => {
                if *frame > self.frames.sequence {
                    self.doubtful_acks += 1;
                }
                self.frames.acked = self.frames.acked.max(*frame);
                self.release_credit(now_us);
            }
            _ => self.pending.push_back((now_us, command.clone())),
        }
    }

    /// The client wrote a WebSocket ping; only these may be answered.
    pub fn sent_ping(&mut self, payload: &[u8]) {
        self.pings_sent.push(payload.to_vec());
    }

    /// From now on the client's transport takes nothing, or not all it is offered.
    pub fn blocked(&mut self, now_us: u64) {
        self.holds.socket.begin(now_us);
    }

    /// The client's transport takes everything again.
    pub fn unblocked(&mut self, now_us: u64) {
        self.holds.socket.end(now_us);
    }

    /// The harness did not call the engine between the two times.
    pub fn neglected(&mut self, from_us: u64, to_us: u64) {
        self.holds.load.begin(from_us);
        self.holds.load.end(to_us);
    }

    /// Bytes of the server's stream arrived. What they show must be in `truth` already.
    pub fn received(&mut self, truth: &Truth, now_us: u64, bytes: &[u8]) {
        if self.broken || bytes.is_empty() {
            return;
        }
        if self.closed.is_some() {
            self.violate(Rule::Framing, now_us, "", "bytes after the end");
            self.broken = true;
            return;
        }
        self.splitter.push(now_us, bytes);
        while !self.broken {
            match self.splitter.next(now_us) {
                Ok(Some(message)) => self.message(truth, now_us, message),
                Ok(None) => break,
                Err(fault) => {
                    self.fault(now_us, "", fault);
                    self.broken = true;
                }
            }
        }
    }

    /// The transport ended.
    pub fn closed(&mut self, truth: &Truth, now_us: u64, closing: Closing) {
        if let Some((_, Closing::Code(_))) = self.closed {
            return;
        }
        let unfinished = self.splitter.unfinished();
        if unfinished > 0 && closing != Closing::Cut {
            let detail = format!("closed {unfinished} bytes into a frame");
            self.violate(Rule::Framing, now_us, "", detail);
        }
        if let Closing::Code(code) = closing {
            self.check_code(now_us, code);
        }
        self.closed = Some((now_us, closing));
        self.end_all(truth, now_us);
    }

    /// Pings of the server since the last call, to be answered.
    pub fn take_pings(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.pings)
    }

    /// What was broken so far.
    #[must_use]
    pub fn violations(&self) -> &[Violation] {
        &self.violations
    }

    /// Sequence of the last frame that arrived whole; 0 before the first.
    #[must_use]
    pub fn last_frame(&self) -> u64 {
        self.frames.sequence
    }

    /// The sequence the client holds of a symbol's channel, for books and for `resume`; `None`
    /// before its first full entry.
    #[must_use]
    pub fn held(&self, symbol: &str, channel: Channel) -> Option<u64> {
        let cursor = self.symbols.get(symbol)?.cursor(channel);
        (cursor.subscribed && !cursor.log.is_empty()).then_some(cursor.sequence)
    }

    /// The same with the state's fields in wire order, none for the tape: what a correct client
    /// holds. `None` also where a full entry must come first, since an id was retired.
    #[must_use]
    pub fn held_state(&self, symbol: &str, channel: Channel) -> Option<(u64, Vec<Option<i64>>)> {
        let sequence = self.held(symbol, channel)?;
        let cursor = self.symbols.get(symbol)?.cursor(channel);
        let fields = cursor.fields;
        if cursor.owed.is_some() {
            return None;
        }
        let count = if channel == Channel::Trade { 0 } else { channel.fields().len() };
        Some((sequence, fields[..count].to_vec()))
    }

    /// The bars that a correct client holds of a channel: the sequence of each, by its beginning.
    #[must_use]
    pub fn held_bars(&self, symbol: &str, channel: Channel) -> Option<&BTreeMap<i64, u64>> {
        let cursor = self.symbols.get(symbol)?.cursor(channel);
        cursor.subscribed.then_some(&cursor.bars)
    }

    /// True when the client is subscribed to a symbol's channel, as of the last reply.
    #[must_use]
    pub fn covers(&self, symbol: &str, channel: Channel) -> bool {
        self.interest.covers(symbol, channel)
    }

    /// The epoch the client was told last.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// How the connection ended, if it did.
    #[must_use]
    pub fn ended(&self) -> Option<Closing> {
        self.closed.map(|(_, closing)| closing)
    }

    pub(crate) fn violate(
        &mut self,
        rule: Rule,
        at_us: u64,
        symbol: &str,
        detail: impl Into<String>,
    ) {
        let symbol = symbol.to_owned();
        self.violations.push(Violation { rule, at_us, symbol, detail: detail.into() });
    }

    pub(crate) fn fault(&mut self, at_us: u64, symbol: &str, fault: Fault) {
        self.violate(fault.rule, at_us, symbol, fault.detail);
    }

    /// The view of a symbol, made when it is first needed: subscribed where the interest covers it.
    pub(crate) fn view(&mut self, name: &str) -> &mut SymbolView {
        let interest = &self.interest;
        self.symbols.entry(name.to_owned()).or_insert_with(|| {
            let mut view = SymbolView::default();
            for channel in Channel::EVERY {
                if interest.covers(name, channel) {
                    // Joined at some time since the listing.
                    view.cursor_mut(channel).begin(0);
                }
            }
            view.intervals.set(0, 0, interest.interval_us(name));
            view
        })
    }

    pub(crate) fn cursor(&mut self, name: &str, channel: Channel) -> &mut Cursor {
        self.view(name).cursor_mut(channel)
    }

    fn message(&mut self, truth: &Truth, now_us: u64, message: Message) {
        let data = match self.config.dialect {
            Dialect::MessagePack => Opcode::Binary,
            Dialect::Json => Opcode::Text,
        };
        match message.opcode {
            Opcode::Ping => self.pings.push(message.payload),
            Opcode::Pong => {
                if !self.pings_sent.contains(&message.payload) {
                    self.violate(Rule::Framing, now_us, "", "a pong to no ping");
                }
            }
            Opcode::Close => {
                let code = match message.payload[..] {
                    [high, low, ..] => u16::from_be_bytes([high, low]),
                    _ => 1005,
                };
                if self.splitter.unfinished() > 0 {
                    self.violate(Rule::Framing, now_us, "", "bytes after a close");
                }
                self.check_code(now_us, code);
                self.closed = Some((now_us, Closing::Code(code)));
                self.end_all(truth, now_us);
            }
            opcode if opcode != data => {
                let detail = format!("{opcode:?} is not this dialect's kind of message");
                self.violate(Rule::Framing, now_us, "", detail);
            }
            _ => match wire::decode(self.config.dialect, &message.payload) {
                Ok(Incoming::Frame(frame)) => self.frame(truth, now_us, &message, frame),
                Ok(Incoming::Reply(kind, value)) => self.reply(truth, now_us, &kind, &value),
                Err(fault) => self.fault(now_us, "", fault),
            },
        }
    }

    fn check_code(&mut self, now_us: u64, code: u16) {
        if !matches!(code, 1000 | 1001 | 4000..=4999) {
            self.violate(Rule::Close, now_us, "", format!("closed with {code}"));
        }
    }
}

/// What names and ids mean at this place of the stream.
pub(crate) struct Meaning<'a> {
    pub(crate) checker: &'a Checker,
    pub(crate) truth: &'a Truth,
}

impl Scales for Meaning<'_> {
    fn exponents(&self, id: u32) -> Option<(i32, i32)> {
        self.checker.ids.get(&id).map(|known| known.exponents)
    }

    fn id(&self, name: &str) -> Option<u32> {
        self.checker.symbols.get(name)?.id
    }

    fn introduce(&self, name: &str, price: i32, size: i32) -> Option<u32> {
        let symbol = self.truth.find_epoch(self.checker.epoch)?.symbols.get(name)?;
        let fits =
            |d: &&(u64, wire::Definition)| d.1.price_exponent == price && d.1.size_exponent == size;
        let found = symbol.definitions.iter().rev().find(fits).or(symbol.definitions.last());
        found.map(|(_, definition)| definition.id)
    }
}
