//! The client side as the product ships it: decoder and book, fed what the scripted client received.

use std::collections::BTreeMap;

use tickgate_checker::{
    Channel, Checker, Dialect,
    websocket::{Message, Opcode, Splitter},
};
use tickgate_protocol::{
    bar::BarInterval,
    book::{Book, StateChannel},
    channel::{Channel as Spoken, Channels},
    decode::{Decoder, Message as Decoded},
    dialect,
    number::ABSENT,
    reply::Reply,
};

/// What a client library would hold.
pub(crate) struct Reader {
    splitter: Splitter,
    decoder: Decoder,
    book: Book,
    breaches: Vec<String>,
}

impl Reader {
    pub(crate) fn new(dialect: Dialect) -> Self {
        let spoken = match dialect {
            Dialect::MessagePack => dialect::Dialect::MessagePack,
            Dialect::Json => dialect::Dialect::Json,
        };
        Self {
            splitter: Splitter::default(),
            decoder: Decoder::new(spoken),
            book: Book::new(),
            breaches: Vec::new(),
        }
    }

    /// The messages that `bytes` complete, each with how many of `bytes` it took.
    pub(crate) fn split(&mut self, now_us: u64, bytes: &[u8]) -> Vec<(Message, usize)> {
        let mut carried = self.splitter.unfinished();
        self.splitter.push(now_us, bytes);
        let mut messages = Vec::new();
        while let Ok(Some(message)) = self.splitter.next(now_us) {
            let length = message.wire_bytes - carried;
            carried = 0;
            messages.push((message, length));
        }
        messages
    }

    /// Applies one message that `checker` has just judged.
    pub(crate) fn apply(&mut self, message: &Message, checker: &Checker) {
        if !matches!(message.opcode, Opcode::Text | Opcode::Binary) {
            return;
        }
        match self.decoder.decode(&message.payload) {
            Ok(Decoded::Frame(frame)) => {
                let found = self.book.apply(&frame);
                self.breaches.extend(found.iter().map(|breach| format!("{breach:?}")));
            }
            Ok(Decoded::Reply(Reply::Welcome(welcome))) => self.book.begin(welcome.epoch),
            Ok(Decoded::Reply(Reply::Unsubscribed { .. })) => self.forget(checker),
            Ok(Decoded::Reply(_)) => {}
            Ok(Decoded::Unknown) => self.breaches.push("a message of an unknown kind".into()),
            Err(error) => self.breaches.push(error.to_string()),
        }
    }

    /// What is no longer covered begins anew, should it come again.
    fn forget(&mut self, checker: &Checker) {
        let names: Vec<String> =
            self.book.symbols().map(|symbol| symbol.definition.name.to_string()).collect();
        for name in names {
            for (channel, spoken) in CHANNELS {
                if !checker.covers(&name, channel) {
                    self.book.forget(&name, Channels::only(spoken));
                }
            }
        }
    }

    /// What it found, and where it holds something else than the judge says it must.
    pub(crate) fn finish(mut self, checker: &Checker) -> Vec<String> {
        for symbol in self.book.symbols() {
            let name = symbol.definition.name.to_string();
            let held = [
                (Channel::Quote, held(&symbol.quote)),
                (Channel::Last, held(&symbol.last)),
                (Channel::Trade, symbol.tape.head.map(|head| (head, Vec::new()))),
            ];
            for (channel, held) in held {
                let Some(expected) = checker.held_state(&name, channel) else { continue };
                if held.as_ref() != Some(&expected) {
                    let what = format!("{name} {channel:?}: holds {held:?}, told {expected:?}");
                    self.breaches.push(what);
                }
            }
            for (channel, interval) in Channel::BARS.into_iter().zip(BarInterval::ALL) {
                let Some(expected) = checker.held_bars(&name, channel) else { continue };
                let series = symbol.series(interval).into_iter();
                let held: BTreeMap<i64, u64> = series
                    .flat_map(|series| series.bars())
                    .map(|bar| (bar.start_s, bar.sequence))
                    .collect();
                if held != *expected {
                    let what = format!("{name} {channel:?}: holds {held:?}, told {expected:?}");
                    self.breaches.push(what);
                }
            }
        }
        self.breaches
    }
}

const CHANNELS: [(Channel, Spoken); 6] = [
    (Channel::Quote, Spoken::Quote),
    (Channel::Last, Spoken::Last),
    (Channel::Trade, Spoken::Trade),
    (Channel::Bar1s, Spoken::Bar(BarInterval::Second)),
    (Channel::Bar1m, Spoken::Bar(BarInterval::Minute)),
    (Channel::Bar1d, Spoken::Bar(BarInterval::Day)),
];

fn held<const N: usize>(channel: &StateChannel<N>) -> Option<(u64, Vec<Option<i64>>)> {
    let fields = channel.fields?;
    let present = |field: i64| (field != ABSENT).then_some(field);
    Some((channel.head?, fields.map(present).to_vec()))
}
