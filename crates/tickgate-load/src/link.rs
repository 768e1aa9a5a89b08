//! One socket: the upgrade, WebSocket messages in, whatever waits out.

use std::{
    io::{ErrorKind, Read, Write},
    net::{IpAddr, SocketAddr},
};

use mio::{Interest, Registry, Token, net::TcpStream};
use socket2::{Domain, Protocol, Socket, Type};

use crate::{outbox::Outbox, wire};

/// Largest message in pieces that is put together, bytes.
const MESSAGE_LIMIT_BYTES: usize = 4 * 1024 * 1024;

/// Most reads in a row; then the others have their turn.
const READS_IN_A_ROW: usize = 8;

/// What a socket has for the client.
#[derive(Debug)]
pub(crate) enum Incoming<'a> {
    /// The target agreed to speak WebSocket.
    Upgraded,
    /// A whole message; `bytes` is what it took on the wire.
    Message {
        /// Text, or binary.
        is_text: bool,
        /// Without headers.
        payload: &'a [u8],
        /// With headers.
        bytes: usize,
    },
}

/// Why a socket is of no more use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Loss {
    /// It could not be connected, or broke without a close frame.
    Broken(String),
    /// The upgrade was answered with something else; how long to stay away, seconds, where it says.
    Refused {
        /// Status line.
        status: String,
        /// `Retry-After`.
        retry_after_s: Option<u32>,
    },
    /// The target closed in order.
    Closed {
        /// Close code; 1005 when it gave none.
        code: u16,
        /// Its text.
        reason: String,
    },
    /// What came breaks WebSocket or the protocol above it.
    Violation(String),
    /// The target refused what is sound.
    Objection(String),
}

/// How a turn of reading ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// The socket is empty: the next event tells when there is more.
    Empty,
    /// There may be more, and no event will tell.
    More,
}

/// How far a socket is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The kernel is at it; over at the first writable event.
    Connecting,
    /// The request is out.
    Upgrading,
    /// Messages flow.
    Open,
}

/// Where a socket is to go, and from where.
#[derive(Debug, Clone)]
pub(crate) struct Route {
    /// The target.
    pub(crate) target: SocketAddr,
    /// The source address; the kernel's choice when `None`.
    pub(crate) source: Option<IpAddr>,
    /// `SO_RCVBUF`, bytes; the kernel's choice when 0.
    pub(crate) receive_buffer_bytes: u32,
}

/// One socket of a client.
#[derive(Debug)]
pub(crate) struct Link {
    stream: TcpStream,
    stage: Stage,
    /// The beginning of a frame whose rest has not arrived; at most one frame that fits the buffer.
    carry: Vec<u8>,
    /// A message in pieces: text or not, and what of it has come; at most [`MESSAGE_LIMIT_BYTES`].
    pieces: Option<(bool, Vec<u8>)>,
    pub(crate) outbox: Outbox,
}

impl Link {
    /// Begins to connect; `request` is the upgrade that leaves once it is.
    pub(crate) fn open(
        route: &Route,
        request: &[u8],
        registry: &Registry,
        token: Token,
    ) -> Result<Self, Loss> {
        let mut stream = connect(route).map_err(|error| Loss::Broken(error.to_string()))?;
        registry
            .register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)
            .map_err(|error| Loss::Broken(error.to_string()))?;
        let mut outbox = Outbox::default();
        outbox.raw(request);
        Ok(Self { stream, stage: Stage::Connecting, carry: Vec::new(), pieces: None, outbox })
    }

    /// The socket became writable: connected, or able to take more.
    pub(crate) fn on_writable(&mut self) -> Result<(), Loss> {
        if self.stage == Stage::Connecting {
            if let Some(error) = self.stream.take_error().unwrap_or_else(Some) {
                return Err(Loss::Broken(error.to_string()));
            }
            self.stage = Stage::Upgrading;
        }
        self.flush()
    }

    /// Writes what the socket takes of the outbox.
    pub(crate) fn flush(&mut self) -> Result<(), Loss> {
        if self.stage == Stage::Connecting {
            return Ok(());
        }
        while !self.outbox.waiting().is_empty() {
            match self.stream.write(self.outbox.waiting()) {
                Ok(bytes) => self.outbox.took(bytes),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(Loss::Broken(error.to_string())),
            }
        }
        if self.outbox.is_overfull() {
            return Err(Loss::Broken("the target does not read what is sent".to_owned()));
        }
        Ok(())
    }

    /// Reads at most `most` bytes through `buffer` and hands on whole messages. Pings are answered,
    /// a close is answered and ends it.
    ///
    /// `handle` is called with the outbox, so that answers leave with the next flush.
    pub(crate) fn read(
        &mut self,
        buffer: &mut [u8],
        most: usize,
        mut handle: impl FnMut(Incoming<'_>, &mut Outbox) -> Result<(), Loss>,
    ) -> Result<Turn, Loss> {
        let mut left = most;
        for _ in 0..READS_IN_A_ROW {
            let carried = self.carry.len();
            let room = (buffer.len() - carried).min(left);
            if room == 0 {
                return if left == 0 {
                    Ok(Turn::More)
                } else {
                    Err(Loss::Violation(format!("a frame exceeds {} bytes", buffer.len())))
                };
            }
            buffer[..carried].copy_from_slice(&self.carry);
            let bytes = match self.stream.read(&mut buffer[carried..carried + room]) {
                Ok(0) => return Err(Loss::Broken("closed without a close frame".to_owned())),
                Ok(bytes) => bytes,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Turn::Empty),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(Loss::Broken(error.to_string())),
            };
            left -= bytes;
            let filled = carried + bytes;
            let used = self.consume(&buffer[..filled], &mut handle)?;
            self.carry.clear();
            self.carry.extend_from_slice(&buffer[used..filled]);
        }
        Ok(Turn::More)
    }

    /// Handles what is complete in `bytes`; returns how far it came.
    fn consume(
        &mut self,
        bytes: &[u8],
        handle: &mut impl FnMut(Incoming<'_>, &mut Outbox) -> Result<(), Loss>,
    ) -> Result<usize, Loss> {
        let mut at = 0;
        if self.stage != Stage::Open {
            let Some(end) = wire::http_head_bytes(bytes) else { return Ok(0) };
            upgraded(&String::from_utf8_lossy(&bytes[..end]))?;
            self.stage = Stage::Open;
            handle(Incoming::Upgraded, &mut self.outbox)?;
            at = end;
        }
        while let Some(header) = wire::parse_header(&bytes[at..]) {
            check(header)?;
            let start = at + header.header_bytes;
            let Some(payload) = bytes.get(start..start + header.payload_bytes) else { break };
            self.frame(header, payload, handle)?;
            at = start + header.payload_bytes;
        }
        Ok(at)
    }

    fn frame(
        &mut self,
        header: wire::Header,
        payload: &[u8],
        handle: &mut impl FnMut(Incoming<'_>, &mut Outbox) -> Result<(), Loss>,
    ) -> Result<(), Loss> {
        let bytes = header.header_bytes + header.payload_bytes;
        match header.opcode {
            wire::PING => self.outbox.control(wire::PONG, payload),
            wire::PONG => {}
            wire::CLOSE => {
                self.outbox.control(wire::CLOSE, payload);
                // It leaves with the flush before the socket is dropped.
                return Err(closed(payload));
            }
            wire::TEXT | wire::BINARY if header.is_final && self.pieces.is_none() => {
                let is_text = header.opcode == wire::TEXT;
                handle(Incoming::Message { is_text, payload, bytes }, &mut self.outbox)?;
            }
            wire::TEXT | wire::BINARY if self.pieces.is_none() => {
                self.pieces = Some((header.opcode == wire::TEXT, payload.to_vec()));
            }
            wire::CONTINUATION => {
                let (is_text, mut whole) = self.pieces.take().ok_or_else(|| {
                    Loss::Violation("a piece of a message that never began".to_owned())
                })?;
                whole.extend_from_slice(payload);
                if whole.len() > MESSAGE_LIMIT_BYTES {
                    return Err(Loss::Violation("a message of more than 4 MiB".to_owned()));
                }
                if !header.is_final {
                    self.pieces = Some((is_text, whole));
                    return Ok(());
                }
                let message = Incoming::Message { is_text, payload: &whole, bytes };
                handle(message, &mut self.outbox)?;
            }
            other => return Err(Loss::Violation(format!("a frame of opcode {other} came"))),
        }
        Ok(())
    }
}

/// Refuses what no server may send, before its payload is waited for.
fn check(header: wire::Header) -> Result<(), Loss> {
    let is_control = header.opcode >= wire::CLOSE;
    if header.is_odd || (is_control && (!header.is_final || header.payload_bytes > 125)) {
        return Err(Loss::Violation("a WebSocket frame that no server may send".to_owned()));
    }
    if header.payload_bytes > MESSAGE_LIMIT_BYTES {
        let what = format!("a frame announced {} bytes", header.payload_bytes);
        return Err(Loss::Violation(what));
    }
    Ok(())
}

fn connect(route: &Route) -> std::io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(route.target), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    if route.receive_buffer_bytes > 0 {
        socket.set_recv_buffer_size(route.receive_buffer_bytes as usize)?;
    }
    if let Some(source) = route.source {
        socket.bind(&SocketAddr::new(source, 0).into())?;
    }
    match socket.connect(&route.target.into()) {
        Ok(()) => {}
        // On its way: the standard library has no stable name for it.
        Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => {}
        Err(error) if error.kind() == ErrorKind::WouldBlock => {}
        Err(error) => return Err(error),
    }
    Ok(TcpStream::from_std(socket.into()))
}

fn upgraded(head: &str) -> Result<(), Loss> {
    let status = head.lines().next().unwrap_or_default();
    if status.starts_with("HTTP/1.1 101") {
        return Ok(());
    }
    let retry_after_s = wire::http_header(head, "retry-after").and_then(|s| s.parse().ok());
    Err(Loss::Refused { status: status.chars().take(80).collect(), retry_after_s })
}

fn closed(payload: &[u8]) -> Loss {
    let code = payload.first_chunk().map_or(1005, |code| u16::from_be_bytes(*code));
    let reason = String::from_utf8_lossy(payload.get(2..).unwrap_or_default());
    Loss::Closed { code, reason: reason.chars().take(80).collect() }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use mio::Poll;

    use super::*;

    /// Feeds bytes to a link, cut as given; what was handed on, and how it ended.
    fn heard(pieces: &[&[u8]]) -> (Vec<String>, Option<Loss>, Link) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let target = listener.local_addr().expect("bound");
        let poll = Poll::new().expect("a poll");
        let route = Route { target, source: None, receive_buffer_bytes: 0 };
        let mut link = Link::open(&route, b"", poll.registry(), Token(0)).expect("a socket");
        let mut heard = Vec::new();
        let mut carry = Vec::new();
        for piece in pieces {
            carry.extend_from_slice(piece);
            let consumed = link.consume(&carry, &mut |incoming, _| {
                heard.push(match incoming {
                    Incoming::Upgraded => "upgraded".to_owned(),
                    Incoming::Message { is_text, payload, bytes } => {
                        format!("{is_text} {} {bytes}", String::from_utf8_lossy(payload))
                    }
                });
                Ok(())
            });
            match consumed {
                Ok(used) => drop(carry.drain(..used)),
                Err(loss) => return (heard, Some(loss), link),
            }
        }
        (heard, None, link)
    }

    const HEAD: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\n\r\n";

    #[test]
    fn messages_come_whole_wherever_the_bytes_are_cut() {
        let frames = [HEAD, b"\x82\x02ab", b"\x01\x01c", b"\x89\x01!", b"\x80\x02de", b"\x82\x00"];
        let whole = frames.concat();
        let expected = ["upgraded", "false ab 4", "true cde 4", "false  2"];
        for cut in 0..whole.len() {
            let (heard, loss, link) = heard(&[&whole[..cut], &whole[cut..]]);
            assert_eq!(
                (&heard[..], loss),
                (&expected.map(str::to_owned)[..], None),
                "cut at {cut}"
            );
            assert_eq!(link.outbox.waiting()[..2], [0x8a, 0x81], "the ping is answered");
        }
    }

    #[test]
    fn what_ends_a_connection_is_told_apart() {
        let refused = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 7\r\n\r\n";
        let status = "HTTP/1.1 503 Service Unavailable".to_owned();
        assert_eq!(heard(&[refused]).1, Some(Loss::Refused { status, retry_after_s: Some(7) }));
        let closed = [HEAD, b"\x88\x06\x0f\xa1slow"].concat();
        let loss = Loss::Closed { code: 4001, reason: "slow".to_owned() };
        assert_eq!(heard(&[&closed]).1, Some(loss));
        for broken in [
            &b"\x80\x01a"[..],
            b"\x83\x00",
            b"\xc2\x00",
            b"\x82\x80\x00\x00\x00\x00",
            b"\x09\x00",
            b"\x89\x7e\x00\x80",
            b"\x82\x7f\xff\xff\xff\xff\xff\xff\xff\xff",
        ] {
            let (_, loss, _) = heard(&[HEAD, broken]);
            assert!(matches!(loss, Some(Loss::Violation(_))), "{loss:?}");
        }
    }
}
