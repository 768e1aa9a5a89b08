//! One client: connecting, then handshaking, then open. It reads, counts and answers pings.

use std::{
    io::{ErrorKind, Read, Write},
    net::SocketAddr,
};

use anyhow::{Context, Result, bail, ensure};
use mio::{Interest, Token, event::Event, net::TcpStream};

use super::{Epoll, Tally};
use crate::wire;

/// How far a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// The kernel is at it; becomes `Handshaking` at the first writable event.
    Connecting,
    /// The request is sent; a 101 response ends it.
    Handshaking,
    /// The server greets its clients, and has not yet; becomes `Open` at the first message. Until
    /// then a worker may not even have taken the connection over.
    Upgraded,
    /// Messages flow.
    Open,
}

/// One client.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    pub(super) state: State,
    /// Position of its group in the plan.
    pub(super) group: usize,
    /// The part of a message that has arrived; at most one message, so the server's limit on a
    /// message bounds it.
    carry: Vec<u8>,
    /// What the socket has not taken: the subscription and pongs. A server that pings without
    /// reading makes it grow by 6 bytes a ping.
    pub(super) outbox: Vec<u8>,
    /// Of the last data frame; `None` before the first.
    pub(super) frame_sequence: Option<u64>,
}

impl Connection {
    pub(super) fn open(
        address: SocketAddr,
        group: usize,
        epoll: &Epoll,
        token: Token,
    ) -> Result<Self> {
        let mut stream = TcpStream::connect(address).context("cannot connect")?;
        stream.set_nodelay(true)?;
        epoll.register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
        Ok(Self {
            stream,
            state: State::Connecting,
            group,
            carry: Vec::new(),
            outbox: Vec::new(),
            frame_sequence: None,
        })
    }

    /// Stops reading for good; the kernel's receive buffer fills up.
    pub(super) fn stall(&mut self, epoll: &Epoll) -> Result<()> {
        epoll.deregister(&mut self.stream).context("cannot stall a session")
    }

    pub(super) fn on_event(
        &mut self,
        event: &Event,
        handshake: &[u8],
        buffer: &mut [u8],
        tally: &mut Tally,
    ) -> Result<()> {
        if self.state == State::Connecting && event.is_writable() {
            if let Some(error) = self.stream.take_error()? {
                return Err(error).context("refused");
            }
            self.outbox.extend_from_slice(handshake);
            self.state = State::Handshaking;
        }
        if event.is_writable() || event.is_error() {
            self.flush()?;
        }
        if event.is_readable() {
            self.read(event.is_read_closed(), buffer, tally)?;
        }
        Ok(())
    }

    /// Writes what the socket takes of the outbox.
    pub(super) fn flush(&mut self) -> Result<()> {
        while !self.outbox.is_empty() {
            match self.stream.write(&self.outbox) {
                Ok(bytes) => drop(self.outbox.drain(..bytes)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error).context("write"),
            }
        }
        Ok(())
    }

    fn read(&mut self, read_closed: bool, buffer: &mut [u8], tally: &mut Tally) -> Result<()> {
        loop {
            let carried = self.carry.len();
            ensure!(carried < buffer.len(), "a message exceeds {} bytes", buffer.len());
            buffer[..carried].copy_from_slice(&self.carry);
            let bytes = match self.stream.read(&mut buffer[carried..]) {
                Ok(0) => bail!("closed by the server"),
                Ok(bytes) => bytes,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error).context("read"),
            };
            let filled = carried + bytes;
            let used = self.consume(&buffer[..filled], tally)?;
            self.carry.clear();
            self.carry.extend_from_slice(&buffer[used..filled]);
            // epoll(7): a read that returns less than it was asked for has emptied the socket, and
            // what comes later raises a new event. That saves every second system call here; only
            // an end that came along with data would raise none.
            if filled < buffer.len() && !read_closed {
                return Ok(());
            }
        }
    }

    /// Handles the complete messages in `bytes`; returns how far it came.
    fn consume(&mut self, bytes: &[u8], tally: &mut Tally) -> Result<usize> {
        let mut at = 0;
        if self.state == State::Handshaking {
            let Some(end) = wire::http_head_bytes(bytes) else { return Ok(0) };
            let status = String::from_utf8_lossy(&bytes[..end]);
            let status = status.lines().next().unwrap_or_default();
            ensure!(status.starts_with("HTTP/1.1 101"), "refused: {status}");
            self.state = if tally.expects_greeting() { State::Upgraded } else { State::Open };
            at = end;
        }
        tally.begin_read();
        while let Some(header) = wire::parse_header(&bytes[at..]) {
            let start = at + header.header_bytes;
            let Some(payload) = bytes.get(start..start + header.payload_bytes) else { break };
            at = start + header.payload_bytes;
            match header.opcode {
                wire::PING => {
                    wire::write_client_frame(&mut self.outbox, wire::PONG, payload);
                    self.flush()?;
                }
                wire::PONG => {}
                wire::CLOSE => bail!("{}", describe_close(payload)),
                wire::TEXT | wire::BINARY => {
                    self.state = State::Open;
                    let whole = header.header_bytes + header.payload_bytes;
                    tally.message(payload, whole, &mut self.frame_sequence);
                }
                other => bail!("a frame of opcode {other}"),
            }
        }
        Ok(at)
    }
}

fn describe_close(payload: &[u8]) -> String {
    match payload {
        [high, low, reason @ ..] => format!(
            "closed by the server: {} {}",
            u16::from_be_bytes([*high, *low]),
            String::from_utf8_lossy(reason)
        ),
        _ => "closed by the server without a code".into(),
    }
}
