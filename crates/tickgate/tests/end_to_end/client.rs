//! A subscriber that applies every frame with the protocol's own [`Book`] and keeps every trade.

use std::{
    collections::BTreeMap,
    io::ErrorKind::Interrupted,
    net::TcpStream,
    time::{Duration, Instant},
};

use tickgate_protocol::{
    book::Book,
    channel::Channels,
    command::{Command, Op, Subscribe},
    decode::{Decoder, Message},
    dialect::Dialect,
    entry::{BarEntry, Entry, Frame, last_field, quote_field},
    number::{ABSENT, Decimal},
    reply::Reply,
    tick::Status,
};
use tungstenite::{Message as WebSocketMessage, WebSocket, client::IntoClientRequest};

use crate::{
    fold::{Bar, Figures, Trade},
    gateway::authority,
};

/// Longest silence: the gateway sends a heartbeat every second.
pub(crate) const SILENCE_LIMIT: Duration = Duration::from_secs(30);

/// Longest wait for anything: heartbeats end every silence, so a condition that never comes true
/// would be waited for without end. The longest recording at its own speed takes six minutes.
const PATIENCE: Duration = Duration::from_secs(8 * 60);

/// A connected client.
pub(crate) struct Client {
    socket: WebSocket<TcpStream>,
    dialect: Dialect,
    decoder: Decoder,
    /// What the frames so far come to.
    pub(crate) book: Book,
    /// Trades by symbol and sequence.
    pub(crate) trades: BTreeMap<String, BTreeMap<u64, Trade>>,
    /// Gateway's Unix time, microseconds, of the newest frame.
    pub(crate) sent_at_us: i64,
    /// Of the newest frame with a quote, last or trade in it.
    pub(crate) data_sent_at_us: i64,
    /// Of the frame that said the feed is stale.
    pub(crate) stale_at_us: Option<i64>,
    /// Readies so far.
    pub(crate) readies: usize,
    /// Frames so far that were no heartbeats.
    pub(crate) data_frames: usize,
    /// Causes of all frames so far.
    pub(crate) causes: u8,
}

impl Client {
    /// Connects, and reads the welcome.
    pub(crate) fn connect(stream_url: &str, dialect: Dialect) -> Self {
        let mut request = stream_url.into_client_request().expect("a URL");
        let wanted = dialect.subprotocol().parse().expect("a header");
        request.headers_mut().insert("Sec-WebSocket-Protocol", wanted);
        request.headers_mut().insert("User-Agent", "tickgate-test".parse().expect("a header"));
        let stream = TcpStream::connect(authority(stream_url)).expect("the gateway listens");
        stream.set_read_timeout(Some(SILENCE_LIMIT)).expect("a timeout can be set");
        let (socket, response) = tungstenite::client(request, stream).expect("a handshake");
        let chosen = &response.headers()["Sec-WebSocket-Protocol"];
        assert_eq!(chosen.as_bytes(), dialect.subprotocol().as_bytes());
        let mut client = Self {
            socket,
            dialect,
            decoder: Decoder::new(dialect),
            book: Book::new(),
            trades: BTreeMap::new(),
            sent_at_us: 0,
            data_sent_at_us: 0,
            stale_at_us: None,
            readies: 0,
            data_frames: 0,
            causes: 0,
        };
        match client.receive() {
            Message::Reply(Reply::Welcome(welcome)) => client.book.begin(welcome.epoch),
            other => panic!("the first message is {other:?}"),
        }
        client
    }

    /// Asks for `channels` of `symbols`.
    pub(crate) fn subscribe<'a>(
        &mut self,
        symbols: impl IntoIterator<Item = &'a str>,
        channels: Channels,
        throttle_ms: u32,
    ) {
        self.command(Op::Subscribe(Subscribe {
            symbols: symbols.into_iter().map(str::to_owned).collect(),
            channels: Some(channels),
            throttle_ms: Some(Some(throttle_ms)),
            ..Subscribe::default()
        }));
    }

    /// Sends a command.
    pub(crate) fn command(&mut self, op: Op) {
        let mut bytes = Vec::new();
        self.dialect.write_command(&mut bytes, &Command { id: Some(1), op });
        let message = match self.dialect.is_text() {
            true => WebSocketMessage::text(String::from_utf8(bytes).expect("JSON is UTF-8")),
            false => WebSocketMessage::binary(bytes),
        };
        self.socket.send(message).expect("the command leaves");
    }

    /// Reads until `done`; every frame is applied, and a violation is a failure.
    #[track_caller]
    pub(crate) fn read_until(&mut self, mut done: impl FnMut(&Self) -> bool) {
        let start = Instant::now();
        while !done(self) {
            assert!(start.elapsed() < PATIENCE, "what is waited for does not come");
            match self.receive() {
                Message::Frame(frame) => self.apply(&frame),
                Message::Reply(Reply::Subscribed(answer)) => {
                    assert!(answer.rejected.is_empty(), "rejected: {:?}", answer.rejected);
                }
                Message::Reply(Reply::Credited { .. } | Reply::Throttled { .. }) => {}
                other => panic!("unexpected: {other:?}"),
            }
        }
    }

    /// Reads until the feed is stale, and then for as long as a quiet feed may take to arrive.
    #[track_caller]
    pub(crate) fn read_to_the_end(&mut self, throttle_ms: u32) {
        self.read_until(|client| client.stale_at_us.is_some());
        // Two intervals, and a second for a machine that has other things to do.
        let rest_us = i64::from(throttle_ms) * 2_000 + 1_000_000;
        let end_us = self.stale_at_us.unwrap_or_default() + rest_us;
        self.read_until(|client| client.sent_at_us >= end_us);
    }

    /// What the client holds of a symbol, in the terms of the fold.
    pub(crate) fn figures(&self, name: &str) -> Figures {
        let symbol = self.book.symbol(name).unwrap_or_else(|| panic!("{name} is not defined"));
        let quote = symbol.quote.fields.unwrap_or([ABSENT; quote_field::COUNT]);
        let last = symbol.last.fields.unwrap_or([ABSENT; last_field::COUNT]);
        let definition = &symbol.definition;
        let price = |field| plain(field, definition.price_exponent);
        let size = |field| plain(field, definition.size_exponent);
        Figures {
            bid_price: price(quote[quote_field::BID_PRICE]),
            bid_size: size(quote[quote_field::BID_SIZE]),
            ask_price: price(quote[quote_field::ASK_PRICE]),
            ask_size: size(quote[quote_field::ASK_SIZE]),
            last_price: price(last[last_field::PRICE]),
            last_size: size(last[last_field::SIZE]),
            volume: size(last[last_field::VOLUME]),
            trade_count: last[last_field::TRADE_COUNT].unsigned_abs(),
            high: price(last[last_field::HIGH]),
            low: price(last[last_field::LOW]),
            open: price(last[last_field::OPEN]),
            quote_count: symbol.quote.head.unwrap_or(0),
        }
    }

    /// Reads and drops whatever comes until the connection ends; how it ended.
    pub(crate) fn read_to_the_close(mut self) -> tungstenite::Error {
        let start = Instant::now();
        loop {
            match self.read() {
                Err(error) => return error,
                Ok(_) => assert!(start.elapsed() < SILENCE_LIMIT, "it is not closed"),
            }
        }
    }

    /// Reads and drops whatever comes until the gateway closes: code and reason of its close frame.
    pub(crate) fn read_to_the_close_frame(mut self) -> (u16, String) {
        let start = Instant::now();
        loop {
            match self.read().expect("a close frame before the end") {
                WebSocketMessage::Close(frame) => {
                    let frame = frame.expect("a code");
                    return (frame.code.into(), frame.reason.to_string());
                }
                _ => assert!(start.elapsed() < SILENCE_LIMIT, "it is not closed"),
            }
        }
    }

    /// Reads until the answer to an unsubscribe has come.
    pub(crate) fn read_to_the_unsubscribed(&mut self) {
        let start = Instant::now();
        loop {
            assert!(start.elapsed() < PATIENCE, "the unsubscribe is not answered");
            match self.receive() {
                Message::Frame(frame) => self.apply(&frame),
                Message::Reply(Reply::Unsubscribed { .. }) => return,
                other => panic!("unexpected: {other:?}"),
            }
        }
    }

    /// All bars that the gateway has of a symbol's bar channel, asked for page by page; oldest first,
    /// in the terms of the fold.
    pub(crate) fn history(&mut self, name: &str, channel: &str, page: u64) -> Vec<(Bar, u8)> {
        let (mut pages, mut before_s) = (Vec::new(), None);
        loop {
            let (symbol, channel) = (name.to_owned(), channel.to_owned());
            self.command(Op::History { symbol, channel, before_s, limit: Some(page) });
            let answer = loop {
                match self.receive() {
                    Message::Frame(frame) => self.apply(&frame),
                    Message::Reply(answer) => break answer,
                    Message::Unknown => panic!("neither a frame nor a reply"),
                }
            };
            let Reply::History { price_exponent, size_exponent, bars, more, .. } = answer else {
                panic!("asked for history, answered {answer:?}");
            };
            let price = |field| plain(field, price_exponent);
            let bar = |bar: &BarEntry| {
                let read = Bar {
                    start_s: bar.start_s,
                    prices: [bar.open, bar.high, bar.low, bar.close].map(price),
                    volume: plain(bar.volume, size_exponent),
                    vwap: plain(bar.vwap, price_exponent - 2),
                    trade_count: bar.trade_count,
                };
                (read, bar.flags)
            };
            assert!(bars.len() as u64 <= page && !(bars.is_empty() && more));
            before_s = bars.first().map(|oldest| oldest.start_s);
            pages.push(bars.iter().map(bar).collect::<Vec<_>>());
            if !more {
                return pages.into_iter().rev().flatten().collect();
            }
        }
    }

    fn receive(&mut self) -> Message {
        loop {
            match self.read().expect("the gateway is there and not silent") {
                WebSocketMessage::Text(text) => {
                    assert!(self.dialect.is_text(), "text on a binary stream");
                    return self.decoder.decode(text.as_bytes()).expect("a sound message");
                }
                WebSocketMessage::Binary(bytes) => {
                    assert!(!self.dialect.is_text(), "binary on a text stream");
                    return self.decoder.decode(&bytes).expect("a sound message");
                }
                WebSocketMessage::Ping(_) | WebSocketMessage::Pong(_) => {}
                other => panic!("unexpected: {other:?}"),
            }
        }
    }

    /// A read with a timeout is interrupted when the machine stops and continues the process;
    /// nothing is lost by that.
    fn read(&mut self) -> Result<WebSocketMessage, tungstenite::Error> {
        loop {
            match self.socket.read() {
                Err(tungstenite::Error::Io(error)) if error.kind() == Interrupted => {}
                result => return result,
            }
        }
    }

    fn apply(&mut self, frame: &Frame) {
        let violations = self.book.apply(frame);
        assert!(violations.is_empty(), "frame {}: {violations:?}", frame.sequence);
        self.sent_at_us = frame.sent_at_us;
        self.data_frames += usize::from(!frame.entries.is_empty());
        self.causes |= frame.cause;
        for entry in &frame.entries {
            match entry {
                Entry::Ready { .. } => self.readies += 1,
                Entry::Status(status) if status.status == Status::Stale => {
                    self.stale_at_us = Some(frame.sent_at_us);
                }
                Entry::Quote(_) | Entry::Last(_) => self.data_sent_at_us = frame.sent_at_us,
                Entry::Trade(trade) => {
                    self.data_sent_at_us = frame.sent_at_us;
                    let definition = &self.book.symbol_of(trade.id).expect("defined").definition;
                    let seen = Trade {
                        trade_id: trade.trade_id,
                        price: plain(trade.price, definition.price_exponent),
                        size: plain(trade.size, definition.size_exponent),
                    };
                    let tape = self.trades.entry(definition.name.to_string()).or_default();
                    tape.insert(trade.sequence, seen);
                }
                _ => {}
            }
        }
    }
}

/// A scaled integer as plain digits without trailing zeros; `None` where absent.
pub(crate) fn plain(mantissa: i64, exponent: i8) -> Option<String> {
    if mantissa == ABSENT {
        return None;
    }
    let text = Decimal { mantissa, exponent }.to_string();
    Some(match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    })
}
