//! What the process is told by signals.
//!
//! SIGTERM and SIGINT stop it in order, a second one of either at once. SIGHUP reads the
//! configuration again, also where it would mean that a terminal closed: a gateway outlives those.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::failure::Failure;

/// The signals that are heard. From the moment it exists none of them ends the process by itself.
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Told {
    /// Stop.
    Stop(Stop),
    /// Read the configuration again. Several that come close together are one.
    Reload,
}

/// By which signal it is to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// SIGINT.
    Interrupt,
    /// SIGTERM.
    Terminate,
}

impl Signals {
    /// Begins to listen; needs a runtime with I/O.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// The next signal. Cancelled, it loses none.
    pub(crate) async fn next(&mut self) -> Told {
        tokio::select! {
            _ = self.interrupt.recv() => Told::Stop(Stop::Interrupt),
            _ = self.terminate.recv() => Told::Stop(Stop::Terminate),
            _ = self.hangup.recv() => Told::Reload,
        }
    }

    /// The next signal to stop; others are not obeyed any more.
    pub(crate) async fn next_stop(&mut self) -> Stop {
        loop {
            match self.next().await {
                Told::Stop(stop) => return stop,
                Told::Reload => tracing::warn!("stopping: the configuration is not read again"),
            }
        }
    }
}

impl Stop {
    /// As what a second one ends the process.
    pub(crate) const fn failure(self) -> Failure {
        // The numbers are POSIX's.
        match self {
            Self::Interrupt => Failure::Signal { name: "SIGINT", number: 2 },
            Self::Terminate => Failure::Signal { name: "SIGTERM", number: 15 },
        }
    }
}
