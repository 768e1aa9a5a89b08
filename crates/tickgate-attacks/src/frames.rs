//! WebSocket frames that no sound client writes, and those of sound ones.

use tickgate_benches::wire;
use tickgate_protocol::{
    command::{Command, Op},
    dialect::Dialect,
};

/// Final fragment.
pub const FIN: u8 = 0x80;
/// The reserved bits.
pub const RSV: [u8; 3] = [0x40, 0x20, 0x10];
/// Opcode of a continuation.
pub const CONTINUATION: u8 = 0;
/// The bit that says a payload is masked.
const MASKED: u8 = 0x80;

/// A masked frame whose first byte is `first`: fragments, reserved bits, any opcode.
#[must_use]
pub fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    wire::write_client_frame(&mut frame, wire::BINARY, payload);
    frame[0] = first;
    frame
}

/// A binary frame that is not masked; `payload` is at most 125 bytes.
#[must_use]
pub fn unmasked(payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![FIN | wire::BINARY, payload.len() as u8 & 0x7f];
    frame.extend_from_slice(payload);
    frame
}

/// The head of a masked frame that announces `length` bytes in the 64-bit form.
#[must_use]
pub fn announcing(first: u8, length: u64) -> Vec<u8> {
    let mut frame = vec![first, MASKED | 127];
    frame.extend_from_slice(&length.to_be_bytes());
    frame.extend_from_slice(&[1, 2, 3, 4]);
    frame
}

/// A message as a sound client sends it.
#[must_use]
pub fn message(dialect: Dialect, payload: &[u8]) -> Vec<u8> {
    masked(FIN | if dialect.is_text() { wire::TEXT } else { wire::BINARY }, payload)
}

/// A command as a sound client of MessagePack sends it.
#[must_use]
pub fn command(op: Op) -> Vec<u8> {
    let mut payload = Vec::new();
    Dialect::MessagePack.write_command(&mut payload, &Command { id: Some(1), op });
    message(Dialect::MessagePack, &payload)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_byte_is_as_asked_and_lengths_are_announced() {
        assert_eq!(masked(RSV[0] | wire::TEXT, b"ab")[..2], [0x41, 0x82]);
        assert_eq!(unmasked(b"ab"), [0x82, 2, b'a', b'b']);
        let head = announcing(FIN | wire::BINARY, 1 << 63);
        assert_eq!(head[..10], [0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0]);
    }
}
