//! Where the connection stands, as everybody is told.

use std::{sync::Arc, time::Duration};

use crate::error::{ConnectError, Disconnect, EndReason};

/// Where the connection stands.
#[derive(Debug, Clone)]
pub enum ConnectionState {
    /// On its way.
    Connecting,
    /// The gateway's `welcome` was read; subscriptions are being made.
    Connected {
        /// How many connections there were, this one included: two more than last seen means
        /// that one came and went between.
        connections: u64,
        /// The gateway's number of the session, as in its logs.
        session: u64,
        /// The epoch in force.
        epoch: u64,
    },
    /// Lost, or not had; another attempt follows. What is known may be old.
    Waiting {
        /// Why.
        why: Arc<Trouble>,
        /// When the next attempt begins, counted from this change.
        retry_in: Duration,
        /// Attempts since the last sound connection, from 0.
        attempt: u32,
    },
    /// Over for good: streams end after this.
    Ended(Arc<EndReason>),
}

impl ConnectionState {
    /// True while data may come.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        matches!(self, Self::Connected { .. })
    }
}

/// What stands between the client and the gateway for now.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Trouble {
    /// A connection ended.
    #[error(transparent)]
    Disconnected(#[from] Disconnect),
    /// A connection could not be had.
    #[error(transparent)]
    Connect(#[from] ConnectError),
}

impl Trouble {
    /// Whether another attempt may mend it.
    #[must_use]
    pub fn is_worth_retrying(&self) -> bool {
        match self {
            Self::Disconnected(disconnect) => disconnect.is_worth_retrying(),
            Self::Connect(error) => error.is_worth_retrying(),
        }
    }

    /// How long the gateway asked to stay away.
    #[must_use]
    pub fn told_wait(&self) -> Option<Duration> {
        match self {
            Self::Disconnected(disconnect) => disconnect.told_wait(),
            Self::Connect(error) => error.told_wait(),
        }
    }

    pub(crate) fn into_end(self) -> EndReason {
        match self {
            Self::Disconnected(disconnect) => EndReason::Disconnected(disconnect),
            Self::Connect(error) => EndReason::Connect(error),
        }
    }
}
