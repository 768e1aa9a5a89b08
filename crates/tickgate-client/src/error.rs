//! What can go wrong, by who can do something about it.

use std::{io, sync::Arc, time::Duration};

use tickgate_protocol::{
    book::Violation,
    command::{ErrorCode, Refusal},
    decode::DecodeError,
    reply::Rejected,
};

/// A command that the gateway refused. It had no effect; the connection goes on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("refused, {}: {message}", code.name())]
pub struct Refused {
    /// The stable code.
    pub code: ErrorCode,
    /// What was found and which rule it broke; for people, may change.
    pub message: String,
    /// The key it is about, where it is about one.
    pub field: Option<String>,
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self { code: refusal.code, message: refusal.message, field: refusal.field }
    }
}

/// A value that breaks a rule which is known here: nothing was sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {rule}, found {found}")]
pub struct Invalid {
    /// What it is about.
    pub field: &'static str,
    /// The rule.
    pub rule: &'static str,
    /// What was found.
    pub found: String,
}

/// Why a command came to nothing.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CommandError {
    /// The gateway refused it.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// A subscribe of which no symbol can be had.
    #[error("none of {} symbols can be had, {}: {}", rejected.len(), first_symbol(rejected), first_code(rejected))]
    Rejected {
        /// Each symbol with why.
        rejected: Vec<Rejected>,
    },
    /// What was asked breaks a rule that is known here, and was not sent.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// The client was closed, or gave up; why is the last
    /// [`ConnectionState`](crate::ConnectionState).
    #[error("the client is closed")]
    Closed,
}

/// Why there is no connection.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ConnectError {
    /// The URL or a setting breaks a rule; nothing was tried.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// No byte stream to the gateway, or it broke before the handshake was over.
    #[error("cannot reach the gateway")]
    Io(#[source] Arc<io::Error>),
    /// The handshake, up to and with `welcome`, took longer than it may.
    #[error("no welcome within {limit:?}")]
    TimedOut {
        /// The limit.
        limit: Duration,
    },
    /// The gateway answered the upgrade with something else than 101.
    #[error("handshake refused with {status}: {message}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// `Retry-After`, where the answer had one.
        retry_after: Option<Duration>,
        /// The line of text in the answer; empty where there was none.
        message: String,
    },
    /// What answered speaks no WebSocket, or not this protocol.
    #[error("handshake failed: {message}")]
    Handshake {
        /// What was wrong.
        message: String,
    },
    /// The connection ended before `welcome` had been read.
    #[error("the connection ended during the handshake")]
    Ended(#[source] Box<Disconnect>),
    /// The gateway refused one of the client's settings: throttle, byte budget or credit.
    #[error("a setting was refused")]
    Setting(#[source] Refused),
}

impl ConnectError {
    /// True where coming again may help: not for a URL, an upgrade or a setting that was refused
    /// for good.
    ///
    /// Of HTTP statuses 408, 429 and 500 to 599 but 501 and 505 are worth another attempt.
    #[must_use]
    pub fn is_worth_retrying(&self) -> bool {
        match self {
            Self::Io(_) | Self::TimedOut { .. } | Self::Handshake { .. } => true,
            Self::Refused { status, .. } => {
                matches!(status, 408 | 429 | 500..=599) && !matches!(status, 501 | 505)
            }
            Self::Ended(disconnect) => disconnect.is_worth_retrying(),
            Self::Invalid(_) | Self::Setting(_) => false,
        }
    }

    /// How long the gateway asked to stay away.
    #[must_use]
    pub fn told_wait(&self) -> Option<Duration> {
        match self {
            Self::Refused { retry_after, .. } => *retry_after,
            Self::Ended(disconnect) => disconnect.told_wait(),
            _ => None,
        }
    }
}

/// Why a connection ended.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Disconnect {
    /// The gateway closed it with a close frame. [`tickgate_protocol::close::CloseReason`] lists
    /// the codes.
    #[error("closed by the gateway with {code} {reason}")]
    Closed {
        /// The WebSocket close code; 1005 where the frame had none.
        code: u16,
        /// The reason's name.
        reason: String,
        /// What `draining` asked for, where it came before.
        reconnect_after: Option<Duration>,
    },
    /// The connection broke, or ended without a close frame (1006).
    #[error("connection lost: {message}")]
    Lost {
        /// What the transport says.
        message: String,
        /// What `draining` asked for, where it came before.
        reconnect_after: Option<Duration>,
    },
    /// Nothing at all arrived for longer than the gateway's limit.
    #[error("nothing was heard for {limit:?}")]
    Silent {
        /// The limit, from `welcome`.
        limit: Duration,
    },
    /// What came is not the protocol. The connection was dropped, because nothing that follows on
    /// it can be trusted; counted in [`Stats::violations`](crate::Stats::violations).
    #[error("the gateway broke the protocol")]
    Violation(#[source] ProtocolViolation),
}

impl Disconnect {
    /// True for everything but close codes 4500 to 4999.
    #[must_use]
    pub fn is_worth_retrying(&self) -> bool {
        !matches!(self, Self::Closed { code: 4500..=4999, .. })
    }

    /// How long the gateway asked to stay away.
    #[must_use]
    pub fn told_wait(&self) -> Option<Duration> {
        match self {
            Self::Closed { reconnect_after, .. } | Self::Lost { reconnect_after, .. } => {
                *reconnect_after
            }
            Self::Silent { .. } | Self::Violation(_) => None,
        }
    }
}

/// How the gateway broke the protocol.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolViolation {
    /// A message that cannot be read.
    #[error("a message cannot be read")]
    Message(#[from] DecodeError),
    /// A frame that contradicts what came before it.
    #[error("a frame contradicts what came before it")]
    Frame(#[from] Violation),
    /// A message where another has to be.
    #[error("{expected} was due, {found} came")]
    Unexpected {
        /// What was due.
        expected: &'static str,
        /// What came.
        found: String,
    },
}

/// Why the client gave up for good.
#[derive(Debug, Clone, thiserror::Error)]
pub enum EndReason {
    /// It was closed by its owner: [`Client::close`](crate::Client::close), or the last handle and
    /// [`Subscription`](crate::Subscription) were dropped.
    #[error("closed by its owner")]
    Closed,
    /// The gateway closed the connection in a way that asks not to come again.
    #[error("the gateway wants this client no more")]
    Disconnected(#[source] Disconnect),
    /// The handshake failed in a way that another attempt does not mend; or the first one failed,
    /// of a client that was to be connected at once.
    #[error("cannot connect")]
    Connect(#[source] ConnectError),
}

fn first_symbol(rejected: &[Rejected]) -> &str {
    rejected.first().map_or("", |rejected| &rejected.symbol)
}

fn first_code(rejected: &[Rejected]) -> &'static str {
    rejected.first().map_or("", |rejected| rejected.code.name())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn closed(code: u16) -> Disconnect {
        Disconnect::Closed { code, reason: String::new(), reconnect_after: None }
    }

    fn refused(status: u16) -> ConnectError {
        ConnectError::Refused { status, retry_after: None, message: String::new() }
    }

    #[test]
    fn codes_from_4500_to_4999_are_final_and_no_others() {
        for code in [1000, 1001, 1005, 1011, 4000, 4003, 4499, 5000] {
            assert!(closed(code).is_worth_retrying(), "{code}");
        }
        for code in [4500, 4502, 4505, 4999] {
            assert!(!closed(code).is_worth_retrying(), "{code}");
        }
        let lost = Disconnect::Lost { message: String::new(), reconnect_after: None };
        assert!(lost.is_worth_retrying());
    }

    #[test]
    fn statuses_that_pass_are_worth_another_attempt() {
        for status in [408, 429, 500, 502, 503, 504] {
            assert!(refused(status).is_worth_retrying(), "{status}");
        }
        for status in [301, 400, 401, 403, 404, 405, 426, 501, 505] {
            assert!(!refused(status).is_worth_retrying(), "{status}");
        }
    }
}
