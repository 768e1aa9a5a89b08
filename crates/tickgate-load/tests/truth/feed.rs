//! What one client is told of the one symbol there is: its state and its tape, both functions of
//! the clock, so that every client of a server is told the same.

use tickgate_protocol::{
    channel::{Channel, Channels},
    command::{Op, Subscribe},
    definition::Definition,
    entry::{
        Entry, LastFields, LostEntry, LostOrigin, QuoteFields, StateEntry, Step, TradeEntry,
        last_field, quote_field,
    },
    number::ABSENT,
    reply::{Reply, Resumed, Subscribed},
    symbol::WireId,
};

use crate::server::Session;

/// The one symbol.
pub(crate) const SYMBOL: &str = "AAA";

/// Its id.
pub(crate) const ID: WireId = 1;

/// A quote is due every so many microseconds, and a trade likewise.
pub(crate) const QUOTE_US: i64 = 5_000;
const TRADE_US: i64 = 20_000;

/// Time between two looks at what is due, microseconds.
const TICK_US: i64 = 10_000;

/// A subscribe with this throttle interval asks to be told what is planted. The interval granted
/// is 0 all the same.
pub(crate) const PLANTED_MS: u32 = 1;

pub(crate) fn definition() -> Definition {
    Definition::new(ID, SYMBOL, -2, 0)
}

/// A full quote.
pub(crate) fn quote(id: WireId, sequence: u64, bid_price: i64) -> StateEntry<5> {
    let step = Step::Full { sequence };
    let fields: QuoteFields = [bid_price, 100, bid_price + 1, 200, 0];
    StateEntry { id, step, age_us: 0, mask: (1 << quote_field::COUNT) - 1, fields }
}

/// A full last, as it is before the first eligible trade.
pub(crate) fn last(id: WireId, sequence: u64) -> StateEntry<8> {
    let step = Step::Full { sequence };
    let fields: LastFields = [ABSENT, ABSENT, 1, 1, ABSENT, ABSENT, ABSENT, ABSENT];
    StateEntry { id, step, age_us: 0, mask: ((1_u16 << last_field::COUNT) - 1) as u8, fields }
}

pub(crate) fn trade(sequence: u64) -> TradeEntry {
    let (price, size, trade_id) = (10_000, 10, ABSENT);
    TradeEntry { id: ID, sequence, age_us: 0, price, size, flags: 0, trade_id }
}

pub(crate) fn lost(from: i64, to: i64, origin: LostOrigin) -> Entry {
    Entry::TradesLost(LostEntry { id: ID, from, to, size: ABSENT, origin })
}

/// One client's side of the feed.
#[derive(Debug)]
pub(crate) struct Feed {
    pub(crate) session: Session,
    /// Whether it asked for what is planted.
    pub(crate) is_planted: bool,
    command_id: Option<i64>,
    channels: Channels,
    /// Where it resumes the tape.
    pub(crate) resumes_at: Option<u64>,
    /// What it was told last.
    pub(crate) quote_head: u64,
    pub(crate) tape_head: u64,
    next_us: i64,
    /// What it was asked for last, and answers.
    throttle_ms: u32,
    /// What the bid price is wrong by.
    pub(crate) wrong_by: i64,
    /// Whether it has subscribed once more: it is compared.
    pub(crate) is_asked_again: bool,
}

impl Feed {
    pub(crate) fn new(session: Session, command_id: Option<i64>, subscribe: &Subscribe) -> Self {
        let trades = subscribe.resume.as_ref().map(|resume| &resume.trades);
        Self {
            session,
            is_planted: subscribe.throttle_ms == Some(Some(PLANTED_MS)),
            command_id,
            throttle_ms: throttle_ms(subscribe),
            channels: subscribe.channels.unwrap_or(Channels::DEFAULT),
            resumes_at: trades.and_then(|trades| Some(trades.first()?.1)),
            quote_head: 0,
            tape_head: 0,
            next_us: 0,
            wrong_by: 0,
            is_asked_again: false,
        }
    }

    /// Now, microseconds of the server's clock.
    pub(crate) fn now_us(&self) -> i64 {
        self.session.shared.clock.elapsed_us()
    }

    /// Number of the newest event at a moment, of those that are due every so often. Sequences
    /// begin at 1.
    fn head(now_us: i64, every_us: i64) -> u64 {
        u64::try_from(now_us / every_us).expect("clocks go forward") + 1
    }

    /// Since when an event is there, at a moment.
    fn age_us(now_us: i64, every_us: i64, sequence: u64) -> i64 {
        now_us - (i64::try_from(sequence).expect("few events") - 1) * every_us
    }

    fn price(&self, sequence: u64) -> i64 {
        10_000 + i64::try_from(sequence).expect("few events") + self.wrong_by
    }

    /// Tells everything in full, and that this is all: the tape resumed where the client asked for
    /// it, or joined.
    pub(crate) fn ready(self) -> Option<Self> {
        let tape_head = self.resumes_at;
        self.ready_from(tape_head)
    }

    /// The same with a tape that begins after `tape_head`; `None` is joined afresh.
    pub(crate) fn ready_from(mut self, tape_head: Option<u64>) -> Option<Self> {
        let entries = self.everything(tape_head)?;
        let now_us = self.now_us();
        self.session.frame(now_us, &entries)?;
        Some(self)
    }

    /// Answers the subscribe; returns what tells everything in full.
    pub(crate) fn everything(&mut self, tape_head: Option<u64>) -> Option<Vec<Entry>> {
        self.subscribed(self.command_id)?;
        let now_us = self.now_us();
        let mut entries = vec![Entry::Definition(definition())];
        for channel in self.channels.iter() {
            entries.push(match channel {
                Channel::Quote => {
                    self.quote_head = Self::head(now_us, QUOTE_US);
                    let full = quote(ID, self.quote_head, self.price(self.quote_head));
                    let age_us = Self::age_us(now_us, QUOTE_US, self.quote_head);
                    Entry::Quote(StateEntry { age_us, ..full })
                }
                Channel::Last => Entry::Last(last(ID, 1)),
                Channel::Trade => {
                    let volume = if tape_head.is_some() { ABSENT } else { 0 };
                    self.tape_head = tape_head.unwrap_or(Self::head(now_us, TRADE_US));
                    Entry::TradesJoined { id: ID, sequence: self.tape_head, volume }
                }
                // This feed has none.
                Channel::Bar(_) => continue,
            });
        }
        entries.push(Entry::Ready { command_id: self.command_id });
        Some(entries)
    }

    fn subscribed(&mut self, id: Option<i64>) -> Option<()> {
        self.session.say(&Reply::Subscribed(Subscribed {
            id,
            count: 1,
            subscriptions: 1,
            channels: self.channels,
            throttle_ms: self.throttle_ms,
            quote_fields: 0b1_1111,
            last_fields: 0b1111_1111,
            resumed: self.resumes_at.map(|_| Resumed { count: 1, fresh: 0 }),
            rejected: Vec::new(),
        }))
    }

    /// Serves soundly until the client leaves.
    pub(crate) fn serve(mut self) -> Option<()> {
        loop {
            self.step()?;
        }
    }

    /// Serves soundly until the window begins.
    pub(crate) fn until_window(mut self) -> Option<Self> {
        while !self.session.is_window() {
            self.step()?;
        }
        Some(self)
    }

    /// A millisecond of sound service: answers, and a frame when one is due. A quote says how many
    /// were due since the one before; trades are all there.
    pub(crate) fn step(&mut self) -> Option<()> {
        for command in self.session.hear()? {
            if let Op::Subscribe(subscribe) = &command.op {
                self.is_asked_again = true;
                self.throttle_ms = throttle_ms(subscribe);
                self.subscribed(command.id)?;
                let now_us = self.now_us();
                let ready = Entry::Ready { command_id: command.id };
                self.session.frame(now_us, &[ready])?;
            }
        }
        let now_us = self.now_us();
        if now_us < self.next_us {
            return Some(());
        }
        self.next_us = now_us + TICK_US;
        let mut entries = Vec::new();
        let quote_head = Self::head(now_us, QUOTE_US);
        if self.channels.has(Channel::Quote) && quote_head > self.quote_head {
            let step = Step::Delta { advance: quote_head - self.quote_head };
            let age_us = Self::age_us(now_us, QUOTE_US, quote_head);
            let full = quote(ID, quote_head, self.price(quote_head));
            entries.push(Entry::Quote(StateEntry { step, age_us, ..full }));
            self.quote_head = quote_head;
        }
        if self.channels.has(Channel::Trade) {
            for sequence in self.tape_head + 1..=Self::head(now_us, TRADE_US) {
                let age_us = Self::age_us(now_us, TRADE_US, sequence);
                entries.push(Entry::Trade(TradeEntry { age_us, ..trade(sequence) }));
                self.tape_head = sequence;
            }
        }
        self.session.frame(now_us, &entries)
    }

    /// Sends one frame with these entries now.
    pub(crate) fn tell(&mut self, entries: &[Entry]) -> Option<()> {
        let now_us = self.now_us();
        self.session.frame(now_us, entries)
    }
}

/// The throttle interval of a subscribe; 0 where it has none.
fn throttle_ms(subscribe: &Subscribe) -> u32 {
    subscribe.throttle_ms.flatten().unwrap_or(0)
}
