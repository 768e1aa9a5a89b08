//! What the engine needs from outside: a socket and the time.

use std::io;

/// A connected, non-blocking byte stream.
///
/// Every call returns at once; `WouldBlock` says that nothing can be taken or given now.
pub trait Transport {
    /// Reads what is there into `buffer`; `Ok(0)` is the end of the stream.
    ///
    /// # Errors
    /// `WouldBlock` when nothing is there yet; anything else ends the session.
    fn try_read(&mut self, buffer: &mut [u8]) -> io::Result<usize>;

    /// Hands over as many of `bytes` as the socket takes.
    ///
    /// # Errors
    /// `WouldBlock` when it takes none now; anything else ends the session.
    fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize>;

    /// Ends the connection in both directions; later calls may fail.
    fn shutdown(&mut self);
}

/// The time, as the engine is told it with every call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Microseconds on a clock that never steps back; its zero means nothing.
    pub monotonic_us: u64,
    /// Unix time in microseconds, UTC. It may step; nothing is scheduled by it.
    pub unix_us: i64,
}
