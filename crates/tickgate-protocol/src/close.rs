//! Why a session ended: one closed list for the WebSocket code, the log field and the metric label.

/// Why a session ended. Leaving is not an error.
///
/// Codes 4000–4499 invite the client to reconnect, 4500–4999 do not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CloseReason {
    /// The client closed, in order.
    ClientLeft,
    /// The connection broke, or ended without a close frame.
    ConnectionLost,
    /// The gateway is shutting down.
    Draining,
    /// A frame did not leave within the drain age.
    SlowConsumer,
    /// The gateway sheds load.
    Overloaded,
    /// Nothing was heard from the client within the silence limit.
    Silent,
    /// The bytes were no WebSocket.
    BadProtocol,
    /// A message above the size limit.
    MessageTooBig,
    /// Far more commands than the rate allows.
    CommandFlood,
    /// No command came in time.
    NoCommand,
    /// Not allowed here.
    NotAllowed,
    /// An operator closed it.
    Kicked,
}

impl CloseReason {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::ClientLeft,
        Self::ConnectionLost,
        Self::Draining,
        Self::SlowConsumer,
        Self::Overloaded,
        Self::Silent,
        Self::BadProtocol,
        Self::MessageTooBig,
        Self::CommandFlood,
        Self::NoCommand,
        Self::NotAllowed,
        Self::Kicked,
    ];

    /// The WebSocket close code; 1000 and 1006 are the client's own leaving.
    #[must_use]
    pub const fn code(self) -> u16 {
        match self {
            Self::ClientLeft => 1000,
            Self::ConnectionLost => 1006,
            Self::Draining => 4000,
            Self::SlowConsumer => 4001,
            Self::Overloaded => 4002,
            Self::Silent => 4003,
            Self::BadProtocol => 4500,
            Self::MessageTooBig => 4501,
            Self::CommandFlood => 4502,
            Self::NoCommand => 4503,
            Self::NotAllowed => 4504,
            Self::Kicked => 4505,
        }
    }

    /// The one name: close text, log field, metric label.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ClientLeft => "client_left",
            Self::ConnectionLost => "connection_lost",
            Self::Draining => "draining",
            Self::SlowConsumer => "slow_consumer",
            Self::Overloaded => "overloaded",
            Self::Silent => "silent",
            Self::BadProtocol => "bad_protocol",
            Self::MessageTooBig => "message_too_big",
            Self::CommandFlood => "command_flood",
            Self::NoCommand => "no_command",
            Self::NotAllowed => "not_allowed",
            Self::Kicked => "kicked",
        }
    }
}
