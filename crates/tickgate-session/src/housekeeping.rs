//! What happens by the clock alone: heartbeats, pings, silence, closing.

use tickgate_protocol::close::CloseReason;
use tungstenite::{
    Utf8Bytes,
    protocol::{CloseFrame, frame::coding::CloseCode},
};

use crate::{
    engine::Engine,
    inbound::Shim,
    session::Closing,
    transport::{Now, Transport},
};

/// Every session is looked at this often, milliseconds, whatever the flush tick.
const SWEEP_MS: u16 = 250;
/// How long a client has to answer a close frame.
const CLOSE_ANSWER_US: u64 = 1_000_000;
/// From the time at which a close is due until the session is gone: it is seen within a sweep, and
/// then the client may answer.
pub(crate) const LAST_CLOSE_US: u64 = CLOSE_ANSWER_US + SWEEP_MS as u64 * 1_000;

impl<T: Transport> Engine<T> {
    /// Looks at the sessions whose turn it is in the ticks after `before` up to `tick`.
    pub(crate) fn housekeep(&mut self, now: Now, before: u64, tick: u64) {
        let sweep = self.schedule.ticks(SWEEP_MS);
        let first = (before + 1).max((tick + 1).saturating_sub(sweep));
        for turn in first..=tick {
            let mut position = (turn % sweep) as usize;
            while position < self.sessions.capacity() {
                if self.sessions.contains(position) {
                    self.look_after(now, position);
                }
                position += sweep as usize;
            }
        }
    }

    fn look_after(&mut self, now: Now, position: usize) {
        let config = self.shared.config();
        let session = &mut self.sessions[position];
        let since = |at_us: u64| now.monotonic_us.saturating_sub(at_us);
        let micros = |duration: std::time::Duration| duration.as_micros() as u64;
        if let Some(closing) = session.closing {
            if now.monotonic_us >= closing.until_us && !session.outbound.is_mid_frame() {
                self.end(now, position, closing.reason);
            }
            return;
        }
        if since(session.heard_us) > micros(config.client_silence_limit) {
            return self.begin_close(now, position, CloseReason::Silent);
        }
        if !session.has_commanded && since(session.opened_us) > micros(config.first_command_limit) {
            return self.begin_close(now, position, CloseReason::NoCommand);
        }
        if self.drains_now(now, position) {
            return self.begin_close(now, position, CloseReason::Draining);
        }
        let session = &mut self.sessions[position];
        let config = self.shared.config();
        if since(session.pinged_us) >= micros(config.ping_interval) {
            session.pinged_us = now.monotonic_us;
            let queued = session.outbound.control.len();
            let mut shim = Shim::for_writing(&mut session.outbound.control);
            let parser = self.spare.lend(&mut session.parser, session.message_limit_bytes);
            parser.ping(&mut shim);
            self.spare.take_back(&mut session.parser);
            self.stats.control_bytes += (session.outbound.control.len() - queued) as u64;
            self.make_ready(position as u32, false);
        }
        let session = &self.sessions[position];
        let is_quiet = since(session.framed_us) >= micros(self.shared.config().heartbeat_interval);
        if is_quiet && session.outbound.is_empty() {
            self.heartbeat(now, position as u32);
        }
    }

    /// An empty frame: the client knows that the connection lives. It takes no credit.
    fn heartbeat(&mut self, now: Now, position: u32) {
        let session = &self.sessions[position as usize];
        let sequence = session.frame_sequence + 1;
        self.frame.begin(session.dialect, sequence, now.unix_us, None);
        self.stats.heartbeats += 1;
        self.hand_over(now, position, 0);
        if !self.sessions[position as usize].outbound.is_empty() {
            self.make_wait(position);
        }
    }

    /// True when this session's share of the drain time has passed.
    fn drains_now(&self, now: Now, position: usize) -> bool {
        let Some(draining) = self.draining else { return false };
        // Spread by number: neighbours in time of arrival do not leave together.
        let share = self.sessions[position].number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
        let at_us = draining.began_us + ((draining.spread_us * share) >> 32);
        now.monotonic_us >= at_us
    }

    /// Writes a close frame and stops everything else for this session.
    pub(crate) fn begin_close(&mut self, now: Now, position: usize, reason: CloseReason) {
        let session = &mut self.sessions[position];
        if session.closing.is_some() {
            return;
        }
        let frame = CloseFrame {
            code: CloseCode::from(reason.code()),
            reason: Utf8Bytes::from_static(reason.name()),
        };
        let queued = session.outbound.control.len();
        let mut shim = Shim::for_writing(&mut session.outbound.control);
        let parser = self.spare.lend(&mut session.parser, session.message_limit_bytes);
        parser.close(&mut shim, frame);
        self.stats.control_bytes += (session.outbound.control.len() - queued) as u64;
        self.stop_sending(position);
        self.sessions[position].closing =
            Some(Closing { reason, until_us: now.monotonic_us + CLOSE_ANSWER_US, answered: false });
        self.make_ready(position as u32, false);
    }

    /// Ends all subscriptions: no data frame follows.
    pub(crate) fn stop_sending(&mut self, position: usize) {
        self.count_pending(position);
        let session = &mut self.sessions[position];
        self.stats.subscriptions -= session.portfolio.count() as u64;
        if session.portfolio.wildcard.is_some() {
            self.shared.give_wildcard_back();
        }
        session.portfolio.clear(&mut self.schedule);
        session.owed.clear();
        session.unread = Vec::new();
    }
}
