//! What a client counts.

/// Figures of a client since its start; all only rise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    /// Connections on which `welcome` was read.
    pub connections: u64,
    /// Attempts to connect, the successful ones included.
    pub attempts: u64,
    /// Data frames.
    pub frames: u64,
    /// Entries in them.
    pub entries: u64,
    /// Bytes of messages received, without WebSocket headers.
    pub received_bytes: u64,
    /// Times the gateway broke the protocol; each cost the connection.
    pub violations: u64,
    /// Commands that were refused, those tried again included.
    pub commands_refused: u64,
    /// Trades, corrections and statuses that consumers were too slow for.
    pub events_dropped: u64,
    /// Acknowledgements sent.
    pub acks: u64,
}
