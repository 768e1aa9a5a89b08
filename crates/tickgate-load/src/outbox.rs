//! What a client has to say and its socket has not taken.

use crate::wire;

/// Most bytes that may wait; a target that lets more pile up does not read.
const LIMIT_BYTES: usize = 1024 * 1024;

/// WebSocket frames that wait for a client's socket, masked as the protocol asks.
///
/// At most 1 MiB; past it [`Self::is_overfull`] and the client gives the connection up.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    bytes: Vec<u8>,
}

impl Outbox {
    /// Adds bytes that are no WebSocket frame: the upgrade request, or what an attacker sends.
    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Adds a text message.
    pub(crate) fn text(&mut self, payload: &[u8]) {
        wire::write_client_frame(&mut self.bytes, wire::TEXT, payload);
    }

    /// Adds a binary message.
    pub(crate) fn binary(&mut self, payload: &[u8]) {
        wire::write_client_frame(&mut self.bytes, wire::BINARY, payload);
    }

    /// Adds a control frame.
    pub(crate) fn control(&mut self, opcode: u8, payload: &[u8]) {
        wire::write_client_frame(&mut self.bytes, opcode, payload);
    }

    /// What waits.
    pub(crate) fn waiting(&self) -> &[u8] {
        &self.bytes
    }

    /// The socket took this many bytes.
    pub(crate) fn took(&mut self, bytes: usize) {
        self.bytes.drain(..bytes);
    }

    /// Forgets everything.
    #[cfg(test)]
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
    }

    /// True when the target has not read for too long.
    pub(crate) fn is_overfull(&self) -> bool {
        self.bytes.len() > LIMIT_BYTES
    }
}
