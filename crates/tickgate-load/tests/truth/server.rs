//! WebSocket: connections taken on a port of their own, commands in, messages out.

use std::{
    collections::VecDeque,
    io::{ErrorKind, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use tickgate_protocol::{
    command::{Command, Op},
    dialect::Dialect,
    entry::Entry,
    instrument::Instrument,
    number::ABSENT,
    reply::{Limits, Reply, SequenceSource, SymbolInfo, Welcome},
};
use tungstenite::{
    Error, Message, WebSocket,
    handshake::server::{ErrorResponse, Request, Response},
    protocol::{CloseFrame, frame::coding::CloseCode},
};

use crate::feed::{Feed, SYMBOL, definition};

/// Epoch of all these servers.
const EPOCH: u64 = 7;

/// Unix time that does not step, as the load's own.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    began: Instant,
    began_unix_us: i64,
}

impl Clock {
    fn start() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
        let began_unix_us = i64::try_from(since.as_micros()).expect("before the year 292277");
        Self { began: Instant::now(), began_unix_us }
    }

    /// Microseconds since it began.
    pub(crate) fn elapsed_us(self) -> i64 {
        i64::try_from(self.began.elapsed().as_micros()).expect("a test is short")
    }

    /// A moment of it as Unix microseconds.
    pub(crate) fn unix_us(self, elapsed_us: i64) -> i64 {
        self.began_unix_us + elapsed_us
    }
}

/// What all connections of a server share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) clock: Clock,
    /// Set when the window of the run begins.
    pub(crate) window: AtomicBool,
    /// Silence that `welcome` promises not to exceed, milliseconds.
    pub(crate) silence_limit_ms: u64,
}

/// A server; its threads end with the connections they serve.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) url: String,
    pub(crate) shared: Arc<Shared>,
}

impl Server {
    /// Does `serve` with each connection, each in a thread of its own.
    pub(crate) fn start(
        silence_limit_ms: u64,
        serve: impl Fn(TcpStream, &Arc<Shared>) -> Option<()> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        let window = AtomicBool::new(false);
        let shared = Arc::new(Shared { clock: Clock::start(), window, silence_limit_ms });
        let (serve, theirs) = (Arc::new(serve), Arc::clone(&shared));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (serve, shared) = (Arc::clone(&serve), Arc::clone(&theirs));
                // `None` is a client that left, which is how every connection ends.
                thread::spawn(move || serve(stream, &shared));
            }
        });
        Self { url: format!("ws://{address}/v1/stream"), shared }
    }

    /// A Tickgate that tells the clients of the group *planted* what `planted` does, and all others
    /// what is sound.
    pub(crate) fn tickgate(planted: impl Fn(Feed) -> Option<()> + Send + Sync + 'static) -> Self {
        Self::promising(60_000, planted)
    }

    /// The same with another promise about silence.
    pub(crate) fn promising(
        silence_limit_ms: u64,
        planted: impl Fn(Feed) -> Option<()> + Send + Sync + 'static,
    ) -> Self {
        Self::start(silence_limit_ms, move |stream, shared| {
            let feed = Session::open(stream, shared)?.feed()?;
            if feed.is_planted { planted(feed) } else { feed.ready()?.serve() }
        })
    }

    /// A plain one, that does `serve` with the number of symbols a client asked for.
    pub(crate) fn stamped(
        serve: impl Fn(Session, usize) -> Option<()> + Send + Sync + 'static,
    ) -> Self {
        Self::start(0, move |stream, shared| {
            let mut session = Session::accept(stream, shared)?;
            let asked = loop {
                match session.socket.read() {
                    Ok(Message::Text(text)) => break text,
                    Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => {}
                    Err(_) => return None,
                    Ok(_) => {}
                }
            };
            serve(session, asked.matches("SYM").count())
        })
    }
}

/// Answers an upgrade with a refusal, and closes.
pub(crate) fn refuse(mut stream: TcpStream, status: &str, headers: &str) {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") && stream.read_exact(&mut byte).is_ok() {
        head.push(byte[0]);
    }
    let answer = format!("HTTP/1.1 {status}\r\n{headers}content-length: 0\r\n\r\n");
    // Whoever asked may be gone.
    let _ = stream.write_all(answer.as_bytes());
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Session {
    socket: WebSocket<TcpStream>,
    dialect: Dialect,
    pub(crate) shared: Arc<Shared>,
    /// Number of the newest frame.
    pub(crate) frame_sequence: u64,
    /// How long each frame and stamped message is held back after its stamp.
    pub(crate) delay: Duration,
    held_back: VecDeque<(Instant, Message)>,
}

impl Session {
    /// Upgrades.
    #[expect(clippy::result_large_err, reason = "the form of the library's callback")]
    fn accept(stream: TcpStream, shared: &Arc<Shared>) -> Option<Self> {
        stream.set_nodelay(true).ok()?;
        let mut dialect = Dialect::MessagePack;
        let answer = |request: &Request, mut response: Response| -> Result<_, ErrorResponse> {
            if let Some(asked) = request.headers().get("sec-websocket-protocol") {
                if asked.as_bytes() == Dialect::Json.subprotocol().as_bytes() {
                    dialect = Dialect::Json;
                }
                response.headers_mut().insert("sec-websocket-protocol", asked.clone());
            }
            Ok(response)
        };
        let socket = tungstenite::accept_hdr(stream, answer).ok()?;
        socket.get_ref().set_read_timeout(Some(Duration::from_millis(1))).ok()?;
        Some(Self {
            socket,
            dialect,
            shared: Arc::clone(shared),
            frame_sequence: 0,
            delay: Duration::ZERO,
            held_back: VecDeque::new(),
        })
    }

    /// Upgrades and says welcome.
    pub(crate) fn open(stream: TcpStream, shared: &Arc<Shared>) -> Option<Self> {
        let mut session = Self::accept(stream, shared)?;
        session.say(&Reply::Welcome(Welcome {
            epoch: EPOCH,
            session: 1,
            time_us: session.now_us(),
            heartbeat_ms: 1_000,
            silence_limit_ms: shared.silence_limit_ms,
            limits: Limits {
                subscriptions: 1_000,
                message_bytes: 16_384,
                frame_bytes: 16_384,
                commands_per_second: 100,
                throttle_intervals: 8,
                throttle_ms: 0,
                history: 100,
                symbols: 100,
            },
            sequence_source: SequenceSource::Hub,
        }))?;
        Some(session)
    }

    /// Answers until it is asked for symbols; `None` when the client leaves before.
    pub(crate) fn feed(mut self) -> Option<Feed> {
        loop {
            for command in self.hear()? {
                if let Op::Subscribe(subscribe) = command.op {
                    return Some(Feed::new(self, command.id, &subscribe));
                }
            }
        }
    }

    fn now_us(&self) -> i64 {
        self.shared.clock.unix_us(self.shared.clock.elapsed_us())
    }

    /// Waits a millisecond for commands; answers what every gateway answers alike, and returns the
    /// others. Sends what was held back for long enough.
    pub(crate) fn hear(&mut self) -> Option<Vec<Command>> {
        let mut commands = Vec::new();
        match self.socket.read() {
            Ok(Message::Close(_)) => return None,
            Ok(message @ (Message::Text(_) | Message::Binary(_))) => {
                let command = self.dialect.parse_command(&message.into_data());
                commands.push(command.expect("the load says what is sound"));
            }
            Ok(_) => {}
            Err(Error::Io(error))
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => return None,
        }
        while self.held_back.front().is_some_and(|(due, _)| *due <= Instant::now()) {
            let (_, message) = self.held_back.pop_front()?;
            self.socket.send(message).ok()?;
        }
        let mut others = Vec::new();
        for Command { id, op } in commands {
            match op {
                Op::Ping => self.say(&Reply::Pong { id, time_us: self.now_us() })?,
                Op::Symbols { .. } => {
                    let (price_exponent, size_exponent) = {
                        let definition = definition();
                        (definition.price_exponent, definition.size_exponent)
                    };
                    let name = SYMBOL.to_owned();
                    let symbols = vec![SymbolInfo {
                        name,
                        price_exponent,
                        size_exponent,
                        tick_size: ABSENT,
                        instrument: Instrument::default(),
                    }];
                    self.say(&Reply::Symbols { id, symbols, more: false })?;
                }
                op => others.push(Command { id, op }),
            }
        }
        Some(others)
    }

    /// Hears nothing but the end, and says nothing.
    pub(crate) fn fall_silent(&mut self) -> Option<()> {
        loop {
            match self.socket.read() {
                Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    pub(crate) fn say(&mut self, reply: &Reply) -> Option<()> {
        let mut bytes = Vec::new();
        self.dialect.write_reply(&mut bytes, reply);
        let message = self.message(bytes);
        self.socket.send(message).ok()
    }

    /// Sends a frame, or holds it back. Its stamp is a moment of the clock.
    pub(crate) fn frame(&mut self, elapsed_us: i64, entries: &[Entry]) -> Option<()> {
        let sent_at_us = self.shared.clock.unix_us(elapsed_us);
        self.frame_sequence += 1;
        let mut bytes = Vec::new();
        let mark = self.dialect.begin_frame(&mut bytes, self.frame_sequence, sent_at_us);
        for entry in entries {
            self.dialect.write_entry(&mut bytes, entry, Some(&definition()));
        }
        self.dialect.finish_frame(&mut bytes, mark, 0, entries.len());
        let message = self.message(bytes);
        self.send(message)
    }

    /// Sends a message, or holds it back.
    pub(crate) fn send(&mut self, message: Message) -> Option<()> {
        if self.delay.is_zero() {
            return self.socket.send(message).ok();
        }
        self.held_back.push_back((Instant::now() + self.delay, message));
        Some(())
    }

    fn message(&self, bytes: Vec<u8>) -> Message {
        if self.dialect.is_text() {
            Message::text(String::from_utf8(bytes).expect("JSON"))
        } else {
            Message::binary(bytes)
        }
    }

    /// Closes with a code and its name, and waits until the client has gone.
    pub(crate) fn close(&mut self, code: u16, reason: &'static str) -> Option<()> {
        let frame = CloseFrame { code: CloseCode::from(code), reason: reason.into() };
        self.socket.close(Some(frame)).ok()?;
        self.fall_silent()
    }

    /// True from the beginning of the window on.
    pub(crate) fn is_window(&self) -> bool {
        self.shared.window.load(Ordering::SeqCst)
    }
}
