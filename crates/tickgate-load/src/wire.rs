//! Just enough WebSocket: the opening handshake and frame headers, both directions.
//!
//! Who measures must cost less than the servers that are measured: a header is four comparisons
//! and a payload is looked at where it was read.

/// Opcode of a further piece of a message.
pub const CONTINUATION: u8 = 0;
/// Opcode of a text message.
pub const TEXT: u8 = 1;
/// Opcode of a binary message.
pub const BINARY: u8 = 2;
/// Opcode of a close.
pub const CLOSE: u8 = 8;
/// Opcode of a ping.
pub const PING: u8 = 9;
/// Opcode of a pong.
pub const PONG: u8 = 10;

/// A key any server accepts; the answer to it is not checked: who answers 101 is spoken to, and what
/// is no WebSocket shows at the first frame.
const HANDSHAKE_KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// Masks every client frame: masking is obligatory, secrecy is not what is measured.
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// One frame from the server, as its header describes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// What kind of frame.
    pub opcode: u8,
    /// True for a whole message, or the last piece of one.
    pub is_final: bool,
    /// True when it has what no server may send without an extension: reserved bits, a mask.
    pub is_odd: bool,
    /// Bytes of the header itself.
    pub header_bytes: usize,
    /// Bytes that follow.
    pub payload_bytes: usize,
}

/// The header at the start of `bytes`, or `None` when it is not complete yet.
#[must_use]
pub fn parse_header(bytes: &[u8]) -> Option<Header> {
    let first = *bytes.first()?;
    let second = *bytes.get(1)?;
    let (opcode, is_final) = (first & 0x0f, first & 0x80 != 0);
    let is_odd = first & 0x70 != 0 || second & 0x80 != 0;
    let (header_bytes, payload_bytes) = match second & 0x7f {
        126 => (4, u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?).into()),
        127 => {
            let length = u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?);
            (10, usize::try_from(length).ok()?)
        }
        short => (2, short.into()),
    };
    Some(Header { opcode, is_final, is_odd, header_bytes, payload_bytes })
}

/// Appends a masked client frame.
pub fn write_client_frame(out: &mut Vec<u8>, opcode: u8, payload: &[u8]) {
    out.push(0x80 | opcode);
    write_length(out, 0x80, payload.len());
    out.extend_from_slice(&MASK);
    out.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
}

/// A binary server frame of exactly `total_bytes`, header included, its payload all zeros.
///
/// At least 2 bytes; a total that no header length can meet exactly (between two length
/// encodings) comes out as the nearest one above.
#[must_use]
pub fn server_frame(total_bytes: usize) -> Vec<u8> {
    let payload_bytes = match total_bytes {
        0..=127 => total_bytes.saturating_sub(2),
        128..=65_539 => (total_bytes - 4).max(126),
        _ => (total_bytes - 10).max(65_536),
    };
    let mut frame = vec![0x80 | BINARY];
    write_length(&mut frame, 0, payload_bytes);
    frame.resize(frame.len() + payload_bytes, 0);
    frame
}

/// The request that opens a WebSocket at `path`.
#[must_use]
pub fn handshake_request(host: &str, path: &str, subprotocol: Option<&str>) -> Vec<u8> {
    let protocol = match subprotocol {
        Some(name) => format!("Sec-WebSocket-Protocol: {name}\r\n"),
        None => String::new(),
    };
    format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {HANDSHAKE_KEY}\r\n{protocol}\r\n"
    )
    .into_bytes()
}

/// Length of the HTTP head at the start of `bytes`, blank line included; `None` when it goes on.
#[must_use]
pub fn http_head_bytes(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|window| window == b"\r\n\r\n").map(|at| at + 4)
}

/// The value of a header in an HTTP head, its name compared without case.
#[must_use]
pub fn http_header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().skip(1).find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

fn write_length(out: &mut Vec<u8>, mask_bit: u8, length: usize) {
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(short), _) if short < 126 => out.push(mask_bit | short),
        (_, Ok(medium)) => {
            out.push(mask_bit | 126);
            out.extend_from_slice(&medium.to_be_bytes());
        }
        _ => {
            out.push(mask_bit | 127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn server_frames_have_the_size_asked_for() {
        for total in [2, 3, 100, 127, 130, 200, 620, 65_539, 65_546, 100_000] {
            let frame = server_frame(total);
            let header = parse_header(&frame).expect("complete");
            assert_eq!(frame.len(), total);
            assert_eq!(header.header_bytes + header.payload_bytes, total);
            assert_eq!(header.opcode, BINARY);
        }
        assert_eq!(server_frame(128).len(), 130, "no header length gives 128");
    }

    #[test]
    fn a_header_cut_anywhere_is_incomplete() {
        for total in [100, 1_000, 70_000] {
            let frame = server_frame(total);
            let whole = parse_header(&frame).expect("complete").header_bytes;
            for cut in 0..whole {
                assert_eq!(parse_header(&frame[..cut]), None, "{total} bytes cut at {cut}");
            }
        }
    }

    #[test]
    fn client_frames_are_masked() {
        let mut out = Vec::new();
        write_client_frame(&mut out, PONG, b"abc");
        assert_eq!(out[..2], [0x8a, 0x83]);
        let unmasked: Vec<u8> =
            out[6..].iter().zip(out[2..6].iter().cycle()).map(|(b, m)| b ^ m).collect();
        assert_eq!(unmasked, b"abc");
    }

    #[test]
    fn http_heads_end_at_the_blank_line() {
        let head = "GET / HTTP/1.1\r\nSec-WebSocket-Key: x\r\n\r\n";
        assert_eq!(http_head_bytes(head.as_bytes()), Some(head.len()));
        assert_eq!(http_head_bytes(b"GET / HTTP/1.1\r\n"), None);
        assert_eq!(http_header(head, "sec-websocket-key"), Some("x"));
    }
}
