//! A subscriber that expects to be cut off: it applies every frame to the protocol's own book and
//! says how its connection ended.

use std::{
    io::{self, ErrorKind},
    net::TcpStream,
    time::{Duration, Instant},
};

use tickgate_protocol::{
    book::Book,
    channel::Channels,
    command::{Command, Op, Subscribe},
    decode::{Decoder, Message},
    dialect::Dialect::MessagePack,
    entry::Entry,
    reply::Reply,
    tick::{Reason, Status},
};
use tungstenite::{
    Error, HandshakeError, Message as WebSocketMessage, WebSocket, client::IntoClientRequest,
};

use crate::process::PATIENCE;

/// Longest wait for anything: heartbeats end every silence, so a condition that never comes true
/// would be waited for without end.
pub(crate) const WAIT_LIMIT: Duration = Duration::from_secs(5 * 60);

/// A connected client.
pub(crate) struct Client {
    socket: WebSocket<TcpStream>,
    decoder: Decoder,
    /// What the frames so far come to.
    pub(crate) book: Book,
    /// Readies so far.
    pub(crate) readies: usize,
    /// Frames so far that were no heartbeats.
    pub(crate) data_frames: usize,
    /// Gateway's Unix time, microseconds, of the newest frame.
    pub(crate) sent_at_us: i64,
    /// Of the newest frame with a quote, last or trade in it.
    pub(crate) data_sent_at_us: i64,
    /// When the feed was said to be stale, and why.
    pub(crate) stale: Option<(i64, Reason)>,
    /// What `draining` told to wait for before coming back, milliseconds.
    pub(crate) reconnect_after_ms: Option<u64>,
}

/// Why there is no connection.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// An HTTP answer other than 101.
    Http(u16),
    /// Nobody listens, or listens no more.
    Connection(ErrorKind),
}

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// With a close frame of this code.
    Close(u16),
    /// Without one.
    Cut,
}

impl Client {
    /// Connects and reads the welcome.
    ///
    /// # Errors
    /// Without a handshake that was accepted; an accepted one without a welcome is a failure.
    pub(crate) fn connect(address: &str) -> Result<Self, Refused> {
        Self::connect_from(address, None)
    }

    /// The same as a page of `origin` would.
    pub(crate) fn connect_from(address: &str, origin: Option<&str>) -> Result<Self, Refused> {
        let mut request = format!("ws://{address}/v1/stream").into_client_request().expect("a URL");
        if let Some(origin) = origin {
            request.headers_mut().insert("Origin", origin.parse().expect("a header"));
        }
        let refused = |error: io::Error| Refused::Connection(error.kind());
        let stream = TcpStream::connect(address).map_err(refused)?;
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
        let socket = match tungstenite::client(request, stream) {
            Ok((socket, _)) => socket,
            Err(HandshakeError::Failure(Error::Http(answer))) => {
                return Err(Refused::Http(answer.status().as_u16()));
            }
            Err(HandshakeError::Failure(Error::Io(error))) => return Err(refused(error)),
            Err(other) => panic!("neither accepted nor refused: {other}"),
        };
        let mut client = Self {
            socket,
            decoder: Decoder::new(MessagePack),
            book: Book::new(),
            readies: 0,
            data_frames: 0,
            sent_at_us: 0,
            data_sent_at_us: 0,
            stale: None,
            reconnect_after_ms: None,
        };
        let ended = client.step();
        assert_eq!(ended, None, "a handshake was accepted and no welcome came");
        assert!(client.book.epoch().is_some(), "the first message is no welcome");
        Ok(client)
    }

    /// Asks for channels of symbols.
    ///
    /// # Errors
    /// When the connection is gone.
    pub(crate) fn subscribe(
        &mut self,
        symbols: &[&str],
        channels: Channels,
        throttle_ms: u32,
    ) -> Result<(), End> {
        let mut bytes = Vec::new();
        let op = Op::Subscribe(Subscribe {
            symbols: symbols.iter().map(|name| (*name).to_owned()).collect(),
            channels: Some(channels),
            throttle_ms: Some(Some(throttle_ms)),
            ..Subscribe::default()
        });
        MessagePack.write_command(&mut bytes, &Command { id: Some(1), op });
        self.socket.send(WebSocketMessage::binary(bytes)).map_err(|_| End::Cut)
    }

    /// Reads until `done`; every frame is applied, and a violation is a failure.
    ///
    /// # Errors
    /// When the connection ends first.
    pub(crate) fn read_until(&mut self, mut done: impl FnMut(&Self) -> bool) -> Result<(), End> {
        let start = Instant::now();
        while !done(self) {
            assert!(start.elapsed() < WAIT_LIMIT, "what is waited for does not come");
            if let Some(end) = self.step() {
                return Err(end);
            }
        }
        Ok(())
    }

    /// Reads until the connection ends, and answers its close.
    pub(crate) fn read_to_the_end(&mut self) -> End {
        let (start, mut end) = (Instant::now(), None);
        loop {
            assert!(start.elapsed() < WAIT_LIMIT, "the connection does not end");
            match self.step() {
                // After the close frame comes the end of the stream.
                Some(End::Close(code)) => end = Some(End::Close(code)),
                Some(End::Cut) => return end.unwrap_or(End::Cut),
                None => {}
            }
        }
    }

    /// Reads one message.
    fn step(&mut self) -> Option<End> {
        match self.socket.read() {
            Ok(WebSocketMessage::Binary(bytes)) => {
                match self.decoder.decode(&bytes).expect("a sound message") {
                    Message::Frame(frame) => self.apply(&frame),
                    Message::Reply(Reply::Welcome(welcome)) => self.book.begin(welcome.epoch),
                    Message::Reply(Reply::Draining { reconnect_after_ms }) => {
                        self.reconnect_after_ms = Some(reconnect_after_ms);
                    }
                    Message::Reply(Reply::Subscribed(_)) => {}
                    other => panic!("unexpected: {other:?}"),
                }
                None
            }
            Ok(WebSocketMessage::Close(frame)) => {
                Some(frame.map_or(End::Cut, |frame| End::Close(frame.code.into())))
            }
            Ok(_) => None,
            // A read with a timeout is interrupted when the machine stops and continues us.
            Err(Error::Io(error)) if error.kind() == ErrorKind::Interrupted => None,
            Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => {
                panic!("silent for {PATIENCE:?}")
            }
            Err(_) => Some(End::Cut),
        }
    }

    fn apply(&mut self, frame: &tickgate_protocol::entry::Frame) {
        let violations = self.book.apply(frame);
        assert!(violations.is_empty(), "frame {}: {violations:?}", frame.sequence);
        self.sent_at_us = frame.sent_at_us;
        self.data_frames += usize::from(!frame.entries.is_empty());
        for entry in &frame.entries {
            match entry {
                Entry::Ready { .. } => self.readies += 1,
                Entry::Status(status) if status.status == Status::Stale => {
                    self.stale = Some((frame.sent_at_us, status.reason));
                }
                Entry::Quote(_) | Entry::Last(_) | Entry::Trade(_) => {
                    self.data_sent_at_us = frame.sent_at_us;
                }
                _ => {}
            }
        }
    }
}
