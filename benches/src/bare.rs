//! The reference: an epoll loop on one thread that does one `send` of the same ready frame to each
//! connection, once an interval. Whatever a gateway does besides is measured against this.
//!
//! It spreads connections over the interval as the gateway does, in ticks of 5 ms, with the same
//! socket options, so that both pay the kernel alike.

use std::{
    io::{self, ErrorKind, Read, Write},
    net,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use mio::{
    Events, Interest, Poll, Registry, Token,
    net::{TcpListener, TcpStream},
};
use slab::Slab;
use socket2::{Domain, SockRef, Socket, Type};

use crate::wire;

/// Bytes the kernel may queue for one connection; the gateway's setting.
const SEND_BUFFER_BYTES: usize = 16 * 1024;
/// Connections the kernel completes ahead of `accept`.
const BACKLOG: i32 = 4096;
/// Longest request head; the gateway's limit.
const HEAD_LIMIT_BYTES: usize = 8 * 1024;

const LISTENER: Token = Token(usize::MAX);

/// What the loop sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BareConfig {
    /// Bytes of each frame, WebSocket header included.
    pub frame_bytes: usize,
    /// Time between two frames of a connection.
    pub interval: Duration,
    /// Grid on which connections are spread over the interval.
    pub tick: Duration,
}

/// A listening socket on a free port of the loopback interface.
///
/// # Errors
/// When the system has none.
pub fn listen() -> io::Result<net::TcpListener> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&net::SocketAddr::from(([127, 0, 0, 1], 0)).into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// Serves until `stop` is set, which is looked at once a tick.
///
/// # Errors
/// When polling fails, or the interval is not a multiple of the tick. A failing connection is
/// dropped.
pub fn run(listener: net::TcpListener, config: BareConfig, stop: &AtomicBool) -> Result<()> {
    ensure!(!config.tick.is_zero(), "the tick must be longer than zero");
    let ticks = config.interval.as_nanos() / config.tick.as_nanos();
    ensure!(
        ticks > 0 && config.interval.as_nanos().is_multiple_of(config.tick.as_nanos()),
        "the interval {:?} must be a multiple of the tick {:?}",
        config.interval,
        config.tick
    );
    let mut poll = Poll::new()?;
    let mut listener = TcpListener::from_std(listener);
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut server = Server {
        frame: wire::server_frame(config.frame_bytes),
        clients: Slab::new(),
        phases: vec![Vec::new(); usize::try_from(ticks).context("too many ticks an interval")?],
        opened: 0,
    };

    let mut events = Events::with_capacity(1024);
    let mut phase = 0;
    let mut due = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        poll.poll(&mut events, Some(due.saturating_duration_since(Instant::now())))
            .or_else(
                |error| if error.kind() == ErrorKind::Interrupted { Ok(()) } else { Err(error) },
            )
            .context("epoll")?;
        for event in &events {
            match event.token() {
                LISTENER => server.accept(&listener, poll.registry())?,
                Token(key) => server.read(key),
            }
        }
        // A late tick is made up for, one at a time, on the schedule it had.
        if Instant::now() >= due {
            server.send(phase);
            phase = (phase + 1) % server.phases.len();
            due += config.tick;
        }
    }
    Ok(())
}

struct Server {
    frame: Vec<u8>,
    clients: Slab<Client>,
    /// Keys of the connections to serve at each tick of the interval.
    phases: Vec<Vec<usize>>,
    /// Connections that were ever upgraded; the next one's phase.
    opened: usize,
}

struct Client {
    stream: TcpStream,
    /// The request head so far; empty once upgraded.
    head: Vec<u8>,
    upgraded: bool,
    /// Bytes of the current frame that have left; no new frame begins before it is complete.
    sent: usize,
}

impl Server {
    fn accept(&mut self, listener: &TcpListener, registry: &Registry) -> io::Result<()> {
        loop {
            let mut stream = match listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            stream.set_nodelay(true)?;
            SockRef::from(&stream).set_send_buffer_size(SEND_BUFFER_BYTES)?;
            let entry = self.clients.vacant_entry();
            registry.register(&mut stream, Token(entry.key()), Interest::READABLE)?;
            entry.insert(Client { stream, head: Vec::new(), upgraded: false, sent: 0 });
        }
    }

    fn read(&mut self, key: usize) {
        let Some(client) = self.clients.get_mut(key) else { return };
        let outcome = client.read();
        let upgraded = std::mem::take(&mut client.head);
        match outcome {
            Ok(Inbound::Waiting) => client.head = upgraded,
            Ok(Inbound::Upgraded) => {
                let phase = self.opened % self.phases.len();
                self.opened += 1;
                self.phases[phase].push(key);
            }
            Ok(Inbound::Ignored) => {}
            Err(_) => self.drop_client(key),
        }
    }

    fn send(&mut self, phase: usize) {
        let mut failed = Vec::new();
        for key in &self.phases[phase] {
            let Some(client) = self.clients.get_mut(*key) else { continue };
            match client.stream.write(&self.frame[client.sent..]) {
                Ok(bytes) => {
                    client.sent += bytes;
                    if client.sent == self.frame.len() {
                        client.sent = 0;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => failed.push(*key),
            }
        }
        for key in failed {
            self.drop_client(key);
        }
    }

    fn drop_client(&mut self, key: usize) {
        // Closing the descriptor takes it out of epoll. Its key may be given out again, so it has
        // to leave its phase at once.
        self.clients.remove(key);
        for phase in &mut self.phases {
            phase.retain(|other| *other != key);
        }
    }
}

enum Inbound {
    /// The request is not complete.
    Waiting,
    /// The request was complete and is answered.
    Upgraded,
    /// Bytes after the upgrade: commands, which this server has no use for.
    Ignored,
}

impl Client {
    fn read(&mut self) -> io::Result<Inbound> {
        let mut buffer = [0; 4096];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(_) if self.upgraded => {}
                Ok(bytes) => {
                    self.head.extend_from_slice(&buffer[..bytes]);
                    if self.head.len() > HEAD_LIMIT_BYTES {
                        return Err(ErrorKind::InvalidData.into());
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        if self.upgraded {
            return Ok(Inbound::Ignored);
        }
        let Some(end) = wire::http_head_bytes(&self.head) else { return Ok(Inbound::Waiting) };
        let head = std::str::from_utf8(&self.head[..end]).map_err(|_| ErrorKind::InvalidData)?;
        let key = wire::http_header(head, "sec-websocket-key").ok_or(ErrorKind::InvalidData)?;
        let accept = tungstenite::handshake::derive_accept_key(key.as_bytes());
        let response = format!(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Accept: {accept}\r\n\r\n"
        );
        // The send buffer is empty, so a response of 130 bytes cannot block.
        self.stream.write_all(response.as_bytes())?;
        self.upgraded = true;
        Ok(Inbound::Upgraded)
    }
}
