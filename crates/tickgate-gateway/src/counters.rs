//! Figures of the gateway itself, shared by all its threads; read at scrape.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::{admission::TurnedAway, handshake::Refusal};

/// Counters since start. Relaxed throughout: they order nothing.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// Connections accepted, on any listener.
    pub(crate) accepted: AtomicU64,
    /// Accepts that failed.
    pub(crate) accept_errors: AtomicU64,
    /// Times nothing was accepted because too many connections were in HTTP.
    pub(crate) accepts_held: AtomicU64,
    /// Handshakes answered with 101.
    pub(crate) upgraded: AtomicU64,
    /// Handshakes answered with 101 whose socket never reached a worker.
    pub(crate) upgrades_lost: AtomicU64,
    /// Memory in use at the last look, bytes; 0 without a limit.
    pub(crate) memory_used_bytes: AtomicU64,
    /// What it may come to, bytes; 0 without a limit.
    pub(crate) memory_limit_bytes: AtomicU64,
    refused: [AtomicU64; Refusal::LABELS.len()],
    turned_away: [AtomicU64; TurnedAway::LABELS.len()],
}

impl Counters {
    /// Counts a refused handshake by its reason.
    pub(crate) fn refuse(&self, refusal: &Refusal) {
        self.refused[refusal.position()].fetch_add(1, Relaxed);
    }

    /// Counts a connection that was not served, by its reason.
    pub(crate) fn turn_away(&self, why: TurnedAway) {
        self.turned_away[why as usize].fetch_add(1, Relaxed);
    }

    /// Connections that were not served by reason, the whole closed list.
    pub(crate) fn turned_away(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let counts = self.turned_away.iter().map(|count| count.load(Relaxed));
        TurnedAway::LABELS.into_iter().zip(counts)
    }

    /// Refused handshakes by reason, the whole closed list.
    pub(crate) fn refused(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Refusal::LABELS.into_iter().zip(self.refused.iter().map(|count| count.load(Relaxed)))
    }
}

/// Adds one.
pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Relaxed);
}
