//! A gateway on ports of its own, and just enough of HTTP and WebSocket to talk to it.

#![allow(dead_code, reason = "each test program uses its part")]

use std::{future::pending, sync::Arc};

use tickgate_gateway::{AdminConfig, Asset, GatewayConfig, GatewayError, Listeners, Parts, run};
use tickgate_hub::{Hub, HubConfig};
use tickgate_protocol::{dialect::Dialect, reply::Reply};
use tickgate_session::{EngineConfig, Shared};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{mpsc, oneshot},
    task::JoinHandle,
};

const ASSETS: &[Asset] = &[Asset { path: "/", content_type: "text/html", body: b"<p>page" }];

/// A valid upgrade, less the blank line that ends it.
pub(crate) const UPGRADE: &str = "GET /v1/stream HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\n\
                       Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// A gateway on ports of its own.
pub(crate) struct Gateway {
    pub(crate) public: String,
    pub(crate) admin: String,
    pub(crate) hub: Arc<Hub>,
    stop: oneshot::Sender<()>,
    running: JoinHandle<Result<(), GatewayError>>,
}

impl Gateway {
    pub(crate) async fn start(config: GatewayConfig, workers: usize) -> Self {
        Self::start_with(config, workers, EngineConfig::default()).await
    }

    pub(crate) async fn start_with(
        config: GatewayConfig,
        workers: usize,
        engine: EngineConfig,
    ) -> Self {
        let sizes = HubConfig { workers, symbol_limit: 16, ..HubConfig::default() };
        let hub = Hub::new(sizes, 1).expect("sizes are valid");
        let shared = Shared::new(Arc::clone(&hub), engine).expect("valid");
        let public = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let admin = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = |listener: &TcpListener| listener.local_addr().expect("bound").to_string();
        let (public_address, admin_address) = (address(&public), address(&admin));
        let (stop, stopped) = oneshot::channel();
        let running = tokio::spawn(async move {
            let shutdown = async {
                if stopped.await.is_err() {
                    pending::<()>().await;
                }
            };
            let parts = Parts {
                config,
                shared,
                listeners: Listeners { public, admin },
                assets: ASSETS,
                admin: AdminConfig::default(),
                figures: Box::new(Vec::new),
                seed: 7,
                reloads: mpsc::channel(1).1,
            };
            run(parts, shutdown).await
        });
        Self { public: public_address, admin: admin_address, hub, stop, running }
    }

    pub(crate) async fn stop(self) -> Result<(), GatewayError> {
        self.stop.send(()).expect("it runs");
        self.running.await.expect("no panic")
    }

    /// Sends a request on a connection of its own; the answer up to where the gateway closes.
    pub(crate) async fn ask(&self, request: &str) -> String {
        ask(&self.public, request).await
    }

    pub(crate) async fn upgrade(&self) -> Client {
        let (client, head) = self.try_upgrade("").await;
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        client
    }

    pub(crate) async fn try_upgrade(&self, extra: &str) -> (Client, String) {
        let mut stream = TcpStream::connect(&self.public).await.expect("connects");
        stream.write_all(format!("{UPGRADE}{extra}\r\n").as_bytes()).await.expect("sent");
        let mut client = Client { stream, read: Vec::new() };
        let head = client.head().await;
        (client, head)
    }
}

pub(crate) async fn ask(address: &str, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.expect("connects");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = Vec::new();
    // A reset after the answer is as good as an end.
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8(answer).expect("text")
}

/// The client's end of a session: just enough WebSocket to read whole, short frames.
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    pub(crate) read: Vec<u8>,
}

impl Client {
    pub(crate) async fn more(&mut self) -> bool {
        self.stream.read_buf(&mut self.read).await.is_ok_and(|bytes| bytes > 0)
    }

    pub(crate) async fn head(&mut self) -> String {
        loop {
            if let Some(end) = self.read.windows(4).position(|window| window == b"\r\n\r\n") {
                let rest = self.read.split_off(end + 4);
                let head = std::mem::replace(&mut self.read, rest);
                return String::from_utf8(head).expect("text");
            }
            assert!(self.more().await, "the head is cut short");
        }
    }

    /// The next message: opcode and payload; `None` at the end of the stream.
    pub(crate) async fn message(&mut self) -> Option<(u8, Vec<u8>)> {
        loop {
            if let [first, second, rest @ ..] = &self.read[..] {
                let (opcode, short) = (first & 0x0f, usize::from(second & 0x7f));
                let (skip, length): (usize, usize) = match (short, rest) {
                    (126, [high, low, ..]) => (4, usize::from(u16::from_be_bytes([*high, *low]))),
                    (126, _) => (4, usize::MAX),
                    (127, _) => panic!("no reply is that long"),
                    (length, _) => (2, length),
                };
                if self.read.len() >= skip.saturating_add(length) {
                    let rest = self.read.split_off(skip + length);
                    let frame = std::mem::replace(&mut self.read, rest);
                    return Some((opcode, frame[skip..].to_vec()));
                }
            }
            if !self.more().await {
                return None;
            }
        }
    }

    pub(crate) async fn reply(&mut self, dialect: Dialect) -> Reply {
        let (_, payload) = self.message().await.expect("a message");
        dialect.parse_reply(&payload).expect("a reply")
    }

    /// The code of the close frame, past whatever comes before it.
    pub(crate) async fn close_code(&mut self) -> Option<u16> {
        while let Some((opcode, payload)) = self.message().await {
            if opcode == 8 {
                return Some(u16::from_be_bytes([payload[0], payload[1]]));
            }
        }
        None
    }
}

/// A client's frame: final, masked with zeros, which leaves the payload readable.
pub(crate) fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).expect("short");
    assert!(length < 126);
    let mut frame = vec![0x80 | opcode, 0x80 | length, 0, 0, 0, 0];
    frame.extend_from_slice(payload);
    frame
}

/// The value of a metric, with its labels as printed.
pub(crate) async fn metric(gateway: &Gateway, name: &str) -> f64 {
    let page = ask(&gateway.admin, "GET /metrics HTTP/1.0\r\n\r\n").await;
    let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    let value = line.and_then(|value| value.trim().parse().ok());
    value.unwrap_or_else(|| panic!("no {name} in\n{page}"))
}
