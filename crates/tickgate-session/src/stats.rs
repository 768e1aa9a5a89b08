//! What one engine counts, and how a session's end is told.

use tickgate_protocol::{close::CloseReason, command::ErrorCode};

use crate::{age::Pace, engine::SessionKey, spread::Spread};

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
    /// WebSocket bytes of replies and of control frames: pings, pongs, closes.
    pub control_bytes: u64,
    /// Quote entries sent, snapshots included.
    pub quotes: u64,
    /// Last entries sent, snapshots included.
    pub lasts: u64,
    /// Bars sent, those of snapshots included.
    pub bars: u64,
    /// Full entries among quotes and lasts, and bars that there were when their channel was joined.
    /// Each is a join, or of one: what it passes over counts nowhere.
    pub snapshots: u64,
    /// Trades and corrections sent.
    pub trades: u64,
    /// Status entries sent.
    pub statuses: u64,
    /// Ready entries sent: subscribes answered in full.
    pub readies: u64,
    /// State updates merged into a later entry, by the cause bits of the frame that merged them; and
    /// changes of bars that came with a later one.
    pub merged: [u64; 16],
    /// Data frames by their cause bits.
    pub frames_by_cause: [u64; 16],
    /// Trades and corrections declared lost to a client that lagged.
    pub trades_lost: u64,
    /// Changes of bars passed over by a bar that told its client that some before it were lost: most
    /// of them of closed bars that had left the ring.
    pub bars_lost: u64,
    /// Updates and trades of subscribed channels that had not been sent when their session closed.
    ///
    /// What the sessions that are open have not been sent yet is in [`crate::Held::pending`].
    pub pending: u64,
    /// Sum of the sequences at which subscribed channels were joined: those of the full entries,
    /// where tapes were joined, and where bar channels stood when they were asked for. Wraps around; only its difference to others means anything.
    pub joined_at: u64,
    /// Sum of the sequences at which they were left: the head at the session's close; what had been
    /// sent when the client unsubscribed or was owed a new full entry. Wraps around likewise.
    ///
    /// With it the books balance at any time: `left_at + Held::heads - joined_at` is
    /// [`Self::booked`] and both `pending`.
    pub left_at: u64,
    /// Status changes a client missed because their small tape lapped it.
    pub statuses_lost: u64,
    /// Cell reads given up because the shard was mid-write; the symbol stayed due.
    pub busy_reads: u64,
    /// Entries copied from one encoded for another session.
    pub shared_entries: u64,
    /// Messages from clients.
    pub commands: u64,
    /// Commands answered with `error`, by position in [`ErrorCode::ALL`].
    pub refused: [u64; ErrorCode::ALL.len()],
    /// Flushes begun two flush ticks or more after they were due, through the gateway's own load.
    pub late_flushes: u64,
    /// How late the timers of flushes fired, flush ticks: through the gateway's own load.
    pub lateness: Spread,
    /// How long sessions with work waited for their turn, flush ticks: likewise.
    pub turn_waits: Spread,
    /// How long frames that the socket did not take at once took to leave, milliseconds.
    pub leaving: Spread,
    /// How old frames were when they had left, by [`Pace`], in units of 100 µs; of one frame in
    /// some five hundred.
    pub frame_age: [Spread<20>; Pace::ALL.len()],
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
        self.quotes + self.lasts + self.trades + self.bars + self.statuses
    }

    /// Updates that are accounted for: sent after a join, merged into a later one, or declared
    /// lost.
    #[must_use]
    pub fn booked(&self) -> u64 {
        let sent = self.quotes + self.lasts + self.trades + self.bars - self.snapshots;
        sent + self.merged.iter().sum::<u64>() + self.trades_lost + self.bars_lost
    }

    /// Commands answered with `error`.
    #[must_use]
    pub fn refusals(&self) -> u64 {
        self.refused.iter().sum()
    }

    /// Channels were left: sums of what had been sent, before and after.
    pub(crate) fn left(&mut self, before: u64, after: u64) {
        self.left_at = self.left_at.wrapping_add(before.wrapping_sub(after));
    }

    pub(crate) fn count_refusal(&mut self, code: ErrorCode) {
        if let Some(at) = ErrorCode::ALL.iter().position(|each| *each == code) {
            self.refused[at] += 1;
        }
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
    /// Updates that were merged into later entries it was sent.
    pub merged: u64,
    /// Trades and corrections it was told it lost.
    pub lost: u64,
    /// How long it lived, microseconds.
    pub age_us: u64,
}
