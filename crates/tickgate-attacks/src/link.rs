//! One connection of an offender: it writes whatever it likes, and tallies what comes back.

use std::{
    collections::BTreeMap,
    fmt,
    io::{self, ErrorKind, Read, Write},
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use mio::{Events, Interest, Poll, Token, net::TcpStream};
use socket2::{Domain, Socket, Type};
use tickgate_benches::wire;
use tickgate_protocol::{close::CloseReason, dialect::Dialect, reply::Reply};

/// How long a connection may take to be made.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// Most that one read takes.
const READ_BYTES: usize = 16 * 1024;

/// How the gateway ended a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum End {
    /// An HTTP answer that is no upgrade.
    Http(u16),
    /// A close frame with this code.
    Closed(u16),
    /// The stream ended without a word.
    Silently,
    /// The connection was reset.
    Reset,
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http(status) => write!(f, "http {status}"),
            Self::Closed(code) => {
                let reason = CloseReason::ALL.into_iter().find(|reason| reason.code() == *code);
                match reason {
                    Some(reason) => write!(f, "closed {}", reason.name()),
                    None => write!(f, "closed {code}"),
                }
            }
            Self::Silently => f.write_str("ended"),
            Self::Reset => f.write_str("reset"),
        }
    }
}

/// A connection.
#[derive(Debug)]
pub struct Link {
    stream: TcpStream,
    poll: Poll,
    events: Events,
    dialect: Dialect,
    /// The part of a message that has arrived; a message of the gateway bounds it.
    inbox: Vec<u8>,
    upgraded: bool,
    end: Option<End>,
    /// `error` replies by code.
    pub errors: BTreeMap<&'static str, u64>,
    /// Other replies but the welcome.
    pub replies: u64,
    /// Bytes the socket has taken.
    pub sent_bytes: u64,
}

impl Link {
    /// Connects from `source`. `receive_buffer_bytes` bounds what the kernel reads ahead.
    ///
    /// # Errors
    /// When the connection cannot be made.
    pub fn open(
        address: SocketAddr,
        source: IpAddr,
        receive_buffer_bytes: Option<usize>,
    ) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        if let Some(bytes) = receive_buffer_bytes {
            socket.set_recv_buffer_size(bytes)?;
        }
        socket.bind(&SocketAddr::new(source, 0).into())?;
        socket.connect_timeout(&address.into(), CONNECT_LIMIT)?;
        socket.set_tcp_nodelay(true)?;
        socket.set_nonblocking(true)?;
        let mut stream = TcpStream::from_std(socket.into());
        let poll = Poll::new()?;
        poll.registry().register(&mut stream, Token(0), Interest::READABLE | Interest::WRITABLE)?;
        Ok(Self {
            stream,
            poll,
            events: Events::with_capacity(4),
            dialect: Dialect::MessagePack,
            inbox: Vec::new(),
            upgraded: false,
            end: None,
            errors: BTreeMap::new(),
            replies: 0,
            sent_bytes: 0,
        })
    }

    /// Upgrades as a sound client does; false when the gateway did not let it, by `until`.
    pub fn upgrade(&mut self, dialect: Dialect, until: Instant) -> bool {
        self.dialect = dialect;
        let subprotocol = Some(dialect.subprotocol());
        let request = wire::handshake_request("attacks", "/v1/stream", subprotocol);
        self.send(&request, until);
        while !self.upgraded && self.end.is_none() && Instant::now() < until {
            self.wait(until);
        }
        self.upgraded
    }

    /// Writes all of `bytes` unless the connection ends or `until` comes; reads meanwhile. True
    /// when everything was written.
    pub fn send(&mut self, mut bytes: &[u8], until: Instant) -> bool {
        loop {
            self.read();
            if bytes.is_empty() {
                return true;
            }
            if self.end.is_some() || Instant::now() >= until {
                return false;
            }
            match self.stream.write(bytes) {
                Ok(count) => {
                    bytes = &bytes[count..];
                    self.sent_bytes += count as u64;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.wait(until),
                Err(error) => {
                    // What the gateway said before may still be read.
                    self.read();
                    self.end.get_or_insert(end_of(&error));
                }
            }
        }
    }

    /// Waits until something comes or can be written, at most to `until`, and reads.
    pub fn wait(&mut self, until: Instant) {
        let timeout = until.saturating_duration_since(Instant::now());
        // An interrupted wait is a short one.
        let _ = self.poll.poll(&mut self.events, Some(timeout));
        self.read();
    }

    /// Reads until the connection ends or `until` comes; how it ended.
    pub fn wait_end(&mut self, until: Instant) -> Option<End> {
        while self.end.is_none() && Instant::now() < until {
            self.wait(until);
        }
        self.end
    }

    /// How the connection ended, when it has.
    #[must_use]
    pub fn end(&self) -> Option<End> {
        self.end
    }

    /// True once the gateway answered the upgrade with 101.
    #[must_use]
    pub fn is_upgraded(&self) -> bool {
        self.upgraded
    }

    /// Reads one byte and looks at nothing; true while the connection has not ended.
    pub fn sip(&mut self) -> bool {
        let mut byte = [0];
        match self.stream.read(&mut byte) {
            Ok(0) => self.end = Some(End::Silently),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => self.end = Some(end_of(&error)),
        }
        self.end.is_none()
    }

    fn read(&mut self) {
        let mut buffer = [0; READ_BYTES];
        while !matches!(self.end, Some(End::Silently | End::Reset)) {
            match self.stream.read(&mut buffer) {
                Ok(0) => {
                    self.end.get_or_insert(End::Silently);
                    return;
                }
                Ok(count) => {
                    self.inbox.extend_from_slice(&buffer[..count]);
                    self.take_inbox();
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) => {
                    self.end.get_or_insert(end_of(&error));
                    return;
                }
            }
        }
    }

    fn take_inbox(&mut self) {
        if self.end.is_some() {
            // An answer's body, or what follows a close.
            self.inbox.clear();
            return;
        }
        if !self.upgraded {
            let Some(head) = wire::http_head_bytes(&self.inbox) else { return };
            match status(&self.inbox[..head]) {
                101 => self.upgraded = true,
                other => self.end = Some(End::Http(other)),
            }
            self.inbox.drain(..head);
        }
        let inbox = std::mem::take(&mut self.inbox);
        let mut rest = &inbox[..];
        while let Some(header) = wire::parse_header(rest)
            && rest.len() >= header.header_bytes + header.payload_bytes
        {
            let (frame, behind) = rest.split_at(header.header_bytes + header.payload_bytes);
            self.take_frame(header.opcode, &frame[header.header_bytes..]);
            rest = behind;
        }
        self.inbox = rest.to_vec();
    }

    fn take_frame(&mut self, opcode: u8, payload: &[u8]) {
        if opcode == wire::CLOSE {
            let code = payload.first_chunk().map_or(1005, |code| u16::from_be_bytes(*code));
            self.end.get_or_insert(End::Closed(code));
            return;
        }
        let data = opcode == wire::BINARY || opcode == wire::TEXT;
        match data.then(|| self.dialect.parse_reply(payload)) {
            Some(Ok(Reply::Error(refusal))) => {
                *self.errors.entry(refusal.code.name()).or_default() += 1;
            }
            Some(Ok(Reply::Welcome(_))) | Some(Err(_)) | None => {}
            Some(Ok(_)) => self.replies += 1,
        }
    }
}

fn end_of(error: &io::Error) -> End {
    match error.kind() {
        ErrorKind::UnexpectedEof => End::Silently,
        _ => End::Reset,
    }
}

/// The status of an HTTP answer; 0 when there is none in it.
fn status(head: &[u8]) -> u16 {
    let head = String::from_utf8_lossy(head);
    head.split_whitespace().nth(1).and_then(|word| word.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};

    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(10)
    }

    /// A link, and the other end of it.
    fn pair() -> (Link, std::net::TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        let link = Link::open(address, Ipv4Addr::LOCALHOST.into(), None).expect("connects");
        (link, listener.accept().expect("a connection").0)
    }

    #[test]
    fn an_answer_that_is_no_upgrade_is_told_by_its_status() {
        let (mut link, mut server) = pair();
        server.write_all(b"HTTP/1.1 431 too large\r\n\r\nbody").expect("written");
        assert_eq!(link.wait_end(soon()), Some(End::Http(431)));
        assert_eq!(End::Http(431).to_string(), "http 431");
    }

    #[test]
    fn a_close_is_told_by_its_reason_and_errors_by_their_code() {
        let (mut link, mut server) = pair();
        let mut bytes = b"HTTP/1.1 101 ok\r\n\r\n".to_vec();
        let error = b"\x83\xa4type\xa5error\xa4code\xa9bad_field\xa7message\xa0";
        bytes.extend([0x82, error.len() as u8]);
        bytes.extend(error);
        bytes.extend([0x88, 2]);
        bytes.extend(CloseReason::BadProtocol.code().to_be_bytes());
        // Byte by byte: the link puts messages together.
        for byte in bytes {
            server.write_all(&[byte]).expect("written");
        }
        assert_eq!(link.wait_end(soon()).expect("closed").to_string(), "closed bad_protocol");
        assert_eq!(link.errors, BTreeMap::from([("bad_field", 1)]));
    }

    #[test]
    fn a_stream_that_just_ends_is_told_so() {
        let (mut link, server) = pair();
        drop(server);
        assert_eq!(link.wait_end(soon()), Some(End::Silently));
        assert!(!link.send(b"more", soon()));
    }
}
