//! A gateway that says what a test makes it say, over a stream in memory.

use futures_util::{SinkExt, StreamExt};
use tickgate_client::{Builder, Client};
use tickgate_protocol::{
    command::{Command, Op},
    definition::Definition,
    dialect::Dialect,
    entry::Entry,
    reply::{Limits, Reply, SequenceSource, Subscribed, Welcome},
};
use tokio::{
    io::{AsyncWriteExt, DuplexStream, duplex},
    sync::mpsc,
};
use tokio_tungstenite::{
    WebSocketStream, accept_hdr_async,
    tungstenite::{
        Message,
        handshake::server::{Request, Response},
        protocol::{CloseFrame, frame::coding::CloseCode},
    },
};

use super::HANG;

/// Where a client's connections arrive.
pub(crate) struct Script {
    arrivals: mpsc::UnboundedReceiver<DuplexStream>,
}

/// The gateway's end of one connection.
pub(crate) struct Line {
    socket: WebSocketStream<DuplexStream>,
    dialect: Dialect,
    frames: u64,
}

/// A script, and a client's builder that comes to it.
pub(crate) fn script() -> (Script, Builder) {
    let (sender, arrivals) = mpsc::unbounded_channel();
    let builder = Client::builder("ws://gateway.test/v1/stream").dial(move |_| {
        let (ours, theirs) = duplex(1024 * 1024);
        let sent = sender.send(theirs);
        async move { sent.map(|()| ours).map_err(std::io::Error::other) }
    });
    (Script { arrivals }, builder)
}

impl Script {
    /// The next connection's bytes.
    pub(crate) async fn arrival(&mut self) -> DuplexStream {
        let arrival = tokio::time::timeout(HANG * 100, self.arrivals.recv()).await;
        arrival.expect("the client comes").expect("the client lives")
    }

    /// True when the client ended without coming again.
    pub(crate) async fn is_over(&mut self) -> bool {
        let arrival = tokio::time::timeout(HANG * 100, self.arrivals.recv()).await;
        arrival.expect("the client ends").is_none()
    }

    /// The next connection, upgraded and welcomed.
    pub(crate) async fn welcome(&mut self, epoch: u64) -> Line {
        let mut line = self.upgrade(Dialect::MessagePack).await;
        line.reply(&welcome(epoch)).await;
        line
    }

    /// The next connection, upgraded, welcomed and past its settings.
    pub(crate) async fn accept(&mut self, epoch: u64) -> Line {
        let mut line = self.welcome(epoch).await;
        line.pong().await;
        line
    }

    pub(crate) async fn upgrade(&mut self, dialect: Dialect) -> Line {
        let stream = self.arrival().await;
        #[expect(clippy::result_large_err, reason = "tungstenite's own signature")]
        let choose = |_: &Request, mut response: Response| {
            let protocol = dialect.subprotocol().parse().expect("a header");
            response.headers_mut().insert("Sec-WebSocket-Protocol", protocol);
            Ok(response)
        };
        let socket = accept_hdr_async(stream, choose).await.expect("an upgrade");
        Line { socket, dialect, frames: 0 }
    }

    /// Answers the next connection in HTTP.
    pub(crate) async fn refuse(&mut self, answer: &str) {
        let mut stream = self.arrival().await;
        stream.write_all(answer.as_bytes()).await.expect("sent");
        // Until the client has read it.
        let mut rest = Vec::new();
        let _ = tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut rest).await;
    }
}

impl Line {
    /// The next command; `None` when the client closed.
    pub(crate) async fn next(&mut self) -> Option<Command> {
        loop {
            let message = tokio::time::timeout(HANG * 100, self.socket.next()).await;
            match message.expect("the client says something")? {
                Ok(Message::Binary(bytes)) => {
                    return Some(self.dialect.parse_command(&bytes).expect("a command"));
                }
                Ok(Message::Text(text)) => {
                    let command = self.dialect.parse_command(text.as_bytes());
                    return Some(command.expect("a command"));
                }
                Ok(Message::Close(_)) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    pub(crate) async fn command(&mut self) -> Command {
        self.next().await.expect("a command, not the end")
    }

    /// The ping that ends a client's settings, answered.
    pub(crate) async fn pong(&mut self) {
        let ping = self.command().await;
        assert_eq!(ping.op, Op::Ping);
        self.reply(&Reply::Pong { id: ping.id, time_us: 0 }).await;
    }

    /// The next command, which must be a subscribe; answered.
    pub(crate) async fn subscribed(
        &mut self,
    ) -> (Option<i64>, tickgate_protocol::command::Subscribe) {
        let command = self.command().await;
        let Op::Subscribe(subscribe) = command.op else { panic!("{command:?}") };
        self.reply(&subscribed(command.id)).await;
        (command.id, subscribe)
    }

    pub(crate) async fn reply(&mut self, reply: &Reply) {
        let mut bytes = Vec::new();
        self.dialect.write_reply(&mut bytes, reply);
        self.send(bytes).await;
    }

    pub(crate) async fn frame(&mut self, entries: &[Entry]) {
        self.frames += 1;
        self.frame_numbered(self.frames, entries).await;
    }

    pub(crate) async fn frame_numbered(&mut self, sequence: u64, entries: &[Entry]) {
        let mut bytes = Vec::new();
        let mark = self.dialect.begin_frame(&mut bytes, sequence, 1_000_000);
        for entry in entries {
            self.dialect.write_entry(&mut bytes, entry, None);
        }
        self.dialect.finish_frame(&mut bytes, mark, 0, entries.len());
        self.send(bytes).await;
    }

    pub(crate) async fn send(&mut self, bytes: Vec<u8>) {
        let message = if self.dialect.is_text() {
            Message::text(String::from_utf8(bytes).expect("text"))
        } else {
            Message::binary(bytes)
        };
        self.socket.send(message).await.expect("sent");
    }

    pub(crate) async fn send_text(&mut self, text: &str) {
        self.socket.send(Message::text(text)).await.expect("sent");
    }

    pub(crate) async fn close(mut self, code: u16) {
        let frame = CloseFrame { code: CloseCode::from(code), reason: "over".into() };
        self.socket.close(Some(frame)).await.expect("sent");
        // Until the client has heard.
        while let Some(Ok(_)) = self.socket.next().await {}
    }
}

pub(crate) fn welcome(epoch: u64) -> Reply {
    Reply::Welcome(Welcome {
        epoch,
        session: 1,
        time_us: 1_000_000,
        heartbeat_ms: 1_000,
        silence_limit_ms: 7_000,
        limits: Limits {
            subscriptions: 4_096,
            message_bytes: 16_384,
            frame_bytes: 16_384,
            commands_per_second: 50,
            throttle_intervals: 16,
            throttle_ms: 100,
            history: 0,
            symbols: 1_000,
        },
        sequence_source: SequenceSource::Hub,
    })
}

pub(crate) fn subscribed(id: Option<i64>) -> Reply {
    Reply::Subscribed(Subscribed {
        id,
        count: 1,
        subscriptions: 1,
        channels: tickgate_protocol::channel::Channels::DEFAULT,
        throttle_ms: 100,
        quote_fields: 0x1f,
        last_fields: 0xff,
        resumed: None,
        rejected: Vec::new(),
    })
}

pub(crate) fn definition(id: u32, name: &str) -> Entry {
    Entry::Definition(Definition::new(id, name, -2, 0))
}

pub(crate) fn trade(id: u32, sequence: u64) -> Entry {
    Entry::Trade(tickgate_protocol::entry::TradeEntry {
        id,
        sequence,
        age_us: 0,
        price: 100,
        size: 1,
        flags: 0,
        trade_id: tickgate_protocol::number::ABSENT,
    })
}

/// A full quote with this bid, in cents.
pub(crate) fn quote(id: u32, sequence: u64, bid: i64) -> Entry {
    let step = tickgate_protocol::entry::Step::Full { sequence };
    let fields = [bid, 1, bid + 1, 1, 0];
    Entry::Quote(tickgate_protocol::entry::StateEntry { id, step, age_us: 0, mask: 0x1f, fields })
}
