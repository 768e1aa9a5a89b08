//! WebSocket framing, from RFC 6455: splits what a server sends, writes what a client sends.

use crate::rule::{Fault, Rule};

/// Why a message is on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opcode {
    /// A JSON message.
    Text,
    /// A MessagePack message.
    Binary,
    /// The server says goodbye.
    Close,
    /// The server asks for a sign of life.
    Ping,
    /// The server gives one.
    Pong,
}

impl Opcode {
    const fn code(self) -> u8 {
        match self {
            Self::Text => 1,
            Self::Binary => 2,
            Self::Close => 8,
            Self::Ping => 9,
            Self::Pong => 10,
        }
    }
}

/// One whole WebSocket frame of a server; data frames are whole messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// What kind.
    pub opcode: Opcode,
    /// What it carries.
    pub payload: Vec<u8>,
    /// Bytes it took, header included.
    pub wire_bytes: usize,
    /// Virtual time at which its first byte arrived, microseconds.
    pub first_byte_us: u64,
}

/// Splits a server's byte stream. Holds at most one unfinished message.
#[derive(Debug, Clone, Default)]
pub struct Splitter {
    buffer: Vec<u8>,
    first_byte_us: u64,
}

impl Splitter {
    /// Adds bytes that arrived; [`Self::next`] then gives the messages they completed.
    pub fn push(&mut self, now_us: u64, bytes: &[u8]) {
        if self.buffer.is_empty() {
            self.first_byte_us = now_us;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// Bytes of a message that has not ended.
    #[must_use]
    pub fn unfinished(&self) -> usize {
        self.buffer.len()
    }

    /// The next whole message, if there is one; `now_us` is when the last bytes arrived.
    ///
    /// # Errors
    /// [`Rule::Framing`] for a fragment, reserved bits, a mask, an unknown opcode, a length not in
    /// its shortest form, and a control frame above 125 bytes. The stream cannot go on then.
    pub fn next(&mut self, now_us: u64) -> Result<Option<Message>, Fault> {
        let [first, second, ..] = self.buffer[..] else { return Ok(None) };
        let fault = |detail: &str| Err(Fault::new(Rule::Framing, detail));
        if first & 0x80 == 0 {
            return fault("a fragment");
        }
        if first & 0x70 != 0 {
            return fault("reserved bits are set");
        }
        let opcode = match first & 0x0f {
            1 => Opcode::Text,
            2 => Opcode::Binary,
            8 => Opcode::Close,
            9 => Opcode::Ping,
            10 => Opcode::Pong,
            other => return fault(&format!("opcode {other}")),
        };
        if second & 0x80 != 0 {
            return fault("a server masked its frame");
        }
        let (header, shortest) = match second {
            126 => (4, 126),
            127 => (10, 65_536),
            _ => (2, 0),
        };
        if header > 2 && first & 0x08 != 0 {
            return fault("a control frame above 125 bytes");
        }
        let Some(head) = self.buffer.get(..header) else { return Ok(None) };
        let length = match header {
            2 => u64::from(second),
            _ => head[2..].iter().fold(0, |number, byte| number << 8 | u64::from(*byte)),
        };
        if length < shortest {
            return fault("a length is not in its shortest form");
        }
        let Some(end) = usize::try_from(length).ok().and_then(|l| l.checked_add(header)) else {
            return fault("a length beyond reason");
        };
        if self.buffer.len() < end {
            return Ok(None);
        }
        let payload = self.buffer[header..end].to_vec();
        self.buffer.drain(..end);
        let first_byte_us = std::mem::replace(&mut self.first_byte_us, now_us);
        Ok(Some(Message { opcode, payload, wire_bytes: end, first_byte_us }))
    }
}

/// Appends a client's frame: masked with `key`, whole.
pub fn write_client(out: &mut Vec<u8>, opcode: Opcode, payload: &[u8], key: [u8; 4]) {
    write_masked(out, 0x80 | opcode.code(), payload, key);
}

/// A client's message cut into `pieces` fragments (at least one), each a frame of its own, so that
/// control frames can go between them.
#[must_use]
pub fn client_fragments(
    opcode: Opcode,
    payload: &[u8],
    pieces: usize,
    key: [u8; 4],
) -> Vec<Vec<u8>> {
    let size = payload.len().div_ceil(pieces.max(1)).max(1);
    let parts: Vec<&[u8]> =
        if payload.is_empty() { vec![payload] } else { payload.chunks(size).collect() };
    let last = parts.len() - 1;
    (parts.iter().enumerate())
        .map(|(position, part)| {
            let code = if position == 0 { opcode.code() } else { 0 };
            let fin = if position == last { 0x80 } else { 0 };
            let mut frame = Vec::new();
            write_masked(&mut frame, fin | code, part, key);
            frame
        })
        .collect()
}

/// Appends a server's frame, as a transcript for tests needs it.
pub fn write_server(out: &mut Vec<u8>, opcode: Opcode, payload: &[u8]) {
    out.push(0x80 | opcode.code());
    write_length(out, payload.len(), 0);
    out.extend_from_slice(payload);
}

fn write_masked(out: &mut Vec<u8>, first: u8, payload: &[u8], key: [u8; 4]) {
    out.push(first);
    write_length(out, payload.len(), 0x80);
    out.extend(key);
    out.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
}

fn write_length(out: &mut Vec<u8>, length: usize, mask: u8) {
    if length < 126 {
        out.push(mask | length as u8);
    } else if length < 65_536 {
        out.push(mask | 126);
        out.extend((length as u16).to_be_bytes());
    } else {
        out.push(mask | 127);
        out.extend((length as u64).to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_found_at_every_cut() {
        let mut stream = Vec::new();
        write_server(&mut stream, Opcode::Binary, &[7; 200]);
        write_server(&mut stream, Opcode::Ping, b"x");
        for cut in 0..stream.len() {
            let mut splitter = Splitter::default();
            let mut found = Vec::new();
            for (at, part) in [(1, &stream[..cut]), (2, &stream[cut..])] {
                splitter.push(at, part);
                while let Some(message) = splitter.next(at).unwrap() {
                    found.push((message.opcode, message.payload.len(), message.first_byte_us));
                }
            }
            let first = if cut == 0 { 2 } else { 1 };
            let second = if cut > 204 { 1 } else { 2 };
            assert_eq!(found, [(Opcode::Binary, 200, first), (Opcode::Ping, 1, second)], "{cut}");
            assert_eq!(splitter.unfinished(), 0);
        }
    }

    #[test]
    fn what_a_server_must_not_send_is_refused() {
        for bytes in [
            &[0x02, 0x00][..],
            &[0xc2, 0x00],
            &[0x80, 0x00],
            &[0x83, 0x00],
            &[0x82, 0x80],
            &[0x89, 126, 0, 126],
            &[0x82, 126, 0, 125],
        ] {
            let mut splitter = Splitter::default();
            splitter.push(0, bytes);
            assert!(splitter.next(0).is_err(), "{bytes:02x?}");
        }
    }

    #[test]
    fn client_frames_are_masked_and_fragments_end_once() {
        let mut out = Vec::new();
        write_client(&mut out, Opcode::Text, b"ab", [1, 2, 3, 4]);
        assert_eq!(out, [0x81, 0x82, 1, 2, 3, 4, b'a' ^ 1, b'b' ^ 2]);
        let parts = client_fragments(Opcode::Binary, b"abc", 2, [0; 4]);
        assert_eq!(
            parts,
            [vec![0x02, 0x82, 0, 0, 0, 0, b'a', b'b'], vec![0x80, 0x81, 0, 0, 0, 0, b'c']]
        );
    }
}
