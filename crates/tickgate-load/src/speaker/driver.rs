//! One client on a blocking socket, to try a speaker on a real server.

use std::{
    io::{Read, Write},
    net::TcpStream,
    process::Child,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use super::{Fault, Heard, Progress, Speaker};
use crate::{measure::Tally, outbox::Outbox, preflight, wire};

/// Longest time that anything is waited for before a test fails.
const PATIENCE: Duration = Duration::from_secs(30);

/// A server that ends with the test.
pub(super) struct Ending(pub(super) Child);

impl Drop for Ending {
    fn drop(&mut self) {
        // It may have ended already, which is as good.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// One client with its socket.
pub(super) struct Client {
    pub(super) speaker: Box<dyn Speaker>,
    stream: TcpStream,
    unread: Vec<u8>,
    pub(super) out: Outbox,
    pub(super) tally: Tally,
    /// Messages heard.
    pub(super) heard: u64,
    /// Whether everything asked for was there.
    is_ready: bool,
}

impl Client {
    /// Upgrades and opens a conversation.
    pub(super) fn open(target: &preflight::Target, speaker: impl Speaker + 'static) -> Self {
        let mut stream = TcpStream::connect(target.address).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let request = wire::handshake_request(&target.host, &target.path, None);
        stream.write_all(&request).expect("it reads");
        let mut client = Self {
            speaker: Box::new(speaker),
            stream,
            unread: Vec::new(),
            out: Outbox::default(),
            tally: Tally::default(),
            heard: 0,
            is_ready: false,
        };
        let head_bytes = loop {
            match wire::http_head_bytes(&client.unread) {
                Some(head_bytes) => break head_bytes,
                None => client.read(),
            }
        };
        assert!(client.unread.starts_with(b"HTTP/1.1 101 "), "{:?}", client.unread);
        client.unread.drain(..head_bytes);
        client.is_ready = client.speaker.open(&mut client.out) == Progress::Ready;
        client.write();
        client
    }

    fn read(&mut self) {
        let mut piece = [0; 4096];
        let bytes = self.stream.read(&mut piece).expect("something comes in time");
        assert!(bytes > 0, "the server closed");
        self.unread.extend_from_slice(&piece[..bytes]);
    }

    /// Says what there is to say.
    pub(super) fn write(&mut self) {
        self.stream.write_all(self.out.waiting()).expect("it reads");
        self.out.clear();
    }

    /// Hears one message, and answers it.
    pub(super) fn step(&mut self) -> Result<Progress, Fault> {
        let (header, whole) = loop {
            if let Some(header) = wire::parse_header(&self.unread) {
                let whole = header.header_bytes + header.payload_bytes;
                if self.unread.len() >= whole {
                    break (header, whole);
                }
            }
            self.read();
        };
        let received_us = now_us();
        let payload = &self.unread[header.header_bytes..whole];
        assert!(matches!(header.opcode, wire::TEXT | wire::BINARY), "{header:?} {payload:?}");
        let heard = Heard { is_text: header.opcode == wire::TEXT, payload, received_us };
        let progress = self.speaker.hear(heard, &mut self.out, &mut self.tally);
        self.heard += 1;
        self.unread.drain(..whole);
        self.write();
        progress
    }

    /// Hears until everything asked for is there.
    pub(super) fn until_ready(mut self) -> Self {
        while !self.is_ready {
            self.is_ready = self.step().expect("sound") == Progress::Ready;
        }
        self
    }

    /// Hears until so many entries have come.
    pub(super) fn until_entries(&mut self, entries: u64) {
        while self.tally.counts.entries < entries {
            self.step().expect("sound");
        }
    }
}

/// Now, Unix microseconds.
pub(super) fn now_us() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    i64::try_from(since.as_micros()).expect("before the year 292277")
}
