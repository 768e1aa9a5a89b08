//! What one engine counts, and how a session's end is told.

use tickgate_protocol::close::CloseReason;

use crate::engine::SessionKey;

/// Counters of one engine since its start; a scrape sums them over workers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EngineStats {
    /// Sessions open now.
    pub sessions: u64,
    /// Subscriptions held now; a wildcard counts as one.
    pub subscriptions: u64,
    /// Data frames handed to sockets, heartbeats included.
    pub frames: u64,
    /// Empty data frames among them.
    pub heartbeats: u64,
    /// WebSocket bytes of data frames, headers included.
    pub frame_bytes: u64,
    /// WebSocket bytes of replies and control frames.
    pub control_bytes: u64,
    /// Quote entries sent, snapshots included.
    pub quotes: u64,
    /// Last entries sent, snapshots included.
    pub lasts: u64,
    /// Full entries among quotes and lasts. Each is a join: what it passes over counts nowhere.
    pub snapshots: u64,
    /// Trades and corrections sent.
    pub trades: u64,
    /// Status entries sent.
    pub statuses: u64,
    /// Ready entries sent: subscribes answered in full.
    pub readies: u64,
    /// State updates merged into a later entry, by the cause bits of the frame that merged them.
    pub merged: [u64; 16],
    /// Data frames by their cause bits.
    pub frames_by_cause: [u64; 16],
    /// Trades and corrections declared lost to a client that lagged.
    pub trades_lost: u64,
    /// Updates and trades of subscribed channels that had not been sent when their session closed.
    ///
    /// With it the books balance, over the sessions that stayed subscribed: heads at the close less
    /// heads at the joins are `quotes + lasts - snapshots + trades`, `merged`, `trades_lost` and
    /// this.
    pub pending: u64,
    /// Status changes a client missed because their small tape lapped it.
    pub statuses_lost: u64,
    /// Cell reads given up because the shard was mid-write; the symbol stayed due.
    pub busy_reads: u64,
    /// Entries copied from one encoded for another session.
    pub shared_entries: u64,
    /// Messages from clients.
    pub commands: u64,
    /// Commands answered with `error`.
    pub refusals: u64,
    /// Flushes begun two flush ticks or more after they were due, through the gateway's own load.
    pub late_flushes: u64,
    /// Times a client was not read because its replies did not leave.
    pub reads_paused: u64,
    /// Bytes read from clients, WebSocket headers included.
    pub received_bytes: u64,
    /// Times a client was not read because the worker had read what it may from all of them.
    pub reads_held: u64,
    /// WebSocket pings and pongs of clients beyond the command rate.
    pub controls_refused: u64,
    /// Sessions ended, by position in [`CloseReason::ALL`].
    pub closed: [u64; CloseReason::ALL.len()],
}

impl EngineStats {
    /// Entries sent, of all channels.
    #[must_use]
    pub const fn entries(&self) -> u64 {
        self.quotes + self.lasts + self.trades + self.statuses
    }

    pub(crate) fn count_close(&mut self, reason: CloseReason) {
        if let Some(at) = CloseReason::ALL.iter().position(|each| *each == reason) {
            self.closed[at] += 1;
        }
    }
}

/// How one session ended, for a log line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// The session.
    pub key: SessionKey,
    /// Its gateway-wide number, as told in `welcome`.
    pub session: u64,
    /// Why.
    pub reason: CloseReason,
    /// Data frames it was sent.
    pub frames: u64,
    /// WebSocket bytes it was sent.
    pub bytes: u64,
    /// How long it lived, microseconds.
    pub age_us: u64,
}
