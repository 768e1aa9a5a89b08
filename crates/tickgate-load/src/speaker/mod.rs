//! What clients say and hear, by what the target speaks.
//!
//! A speaker is one client's side of one conversation after another; it knows messages, not
//! sockets. The client calls [`Speaker::open`] after each upgrade and [`Speaker::hear`] with each
//! whole message; what it has to say goes into the outbox, what it learns into the tally.

mod centrifugo;
#[cfg(test)]
mod driver;
mod hostile;
mod nats;
#[cfg(test)]
mod nats_server;
mod recent;
mod seen;
mod stamp;
mod stamped;
#[cfg(test)]
mod testing;
mod tickgate;
#[cfg(test)]
mod ws_peer;

use std::{sync::Arc, time::Duration};

pub(crate) use self::{
    centrifugo::Centrifugo,
    hostile::Hostile,
    nats::Nats,
    seen::Seen,
    stamped::Stamped,
    tickgate::{Conduct, Tickgate},
};
use crate::{measure::Tally, outbox::Outbox};

/// A message from the target, whole.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Heard<'a> {
    /// Text, or binary.
    pub(crate) is_text: bool,
    /// Without headers.
    pub(crate) payload: &'a [u8],
    /// When it was read, Unix microseconds.
    pub(crate) received_us: i64,
}

/// How far a conversation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// Not everything asked for is there yet, or nothing is new.
    Going,
    /// Everything asked for is there, for the first time in this conversation.
    Ready,
}

/// Why a conversation cannot go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The target broke its protocol.
    Violation(String),
    /// The target refused what is sound.
    Refused(String),
}

/// One client's side of a conversation.
pub(crate) trait Speaker: Send + std::fmt::Debug {
    /// The upgrade is done; a new conversation begins, and nothing of an earlier one holds.
    fn open(&mut self, out: &mut Outbox) -> Progress;

    /// Hears a message. It counts [`Tally::frame`]s or entries, and records times.
    ///
    /// # Errors
    /// [`Fault`] when the connection is of no more use.
    fn hear(
        &mut self,
        heard: Heard<'_>,
        out: &mut Outbox,
        tally: &mut Tally,
    ) -> Result<Progress, Fault>;

    /// Publishes one message, stamped with `scheduled_us`, the Unix time at which it was due. False
    /// when this target takes none from clients.
    fn publish(&mut self, scheduled_us: i64, out: &mut Outbox) -> bool {
        let _ = (scheduled_us, out);
        false
    }

    /// Does what it does by the clock: acknowledges one frame, attacks once more.
    fn act(&mut self, out: &mut Outbox) {
        let _ = out;
    }

    /// Silence that the target promised not to exceed, microseconds.
    fn silence_limit_us(&self) -> Option<i64> {
        None
    }

    /// How long the target asked to be left alone once this conversation is over.
    fn stays_away(&self) -> Duration {
        Duration::ZERO
    }

    /// Its last messages as text, the oldest first.
    fn recent(&self) -> Vec<String> {
        Vec::new()
    }

    /// From now on it asks for every change as it happens and notes what it holds; returns its
    /// symbols.
    fn begin_comparison(&mut self, out: &mut Outbox) -> Vec<Arc<str>> {
        let _ = out;
        Vec::new()
    }

    /// What it noted.
    fn end_comparison(&mut self) -> Vec<Seen> {
        Vec::new()
    }
}
