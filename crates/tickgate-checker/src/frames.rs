//! Data frames as wholes: numbering, time, cause, size, heartbeat, credit and budget.

use crate::{
    checker::{Checker, Meaning},
    holds::cause,
    rule::Rule,
    truth::Truth,
    websocket::Message,
    wire::{self, Entry, RawFrame},
};

/// What is known from the frames before.
#[derive(Debug, Clone, Default)]
pub(crate) struct FrameState {
    /// Of the last frame.
    pub(crate) sequence: u64,
    pub(crate) formed_us: Option<u64>,
    /// Of the last frame that was no heartbeat: what waits passes heartbeats by.
    pub(crate) data_formed_us: u64,
    pub(crate) cause: u64,
    pub(crate) acked: u64,
    pub(crate) credit: Option<u64>,
    pub(crate) credit_from: u64,
    /// Sequences of data frames that are not acknowledged.
    pub(crate) unacknowledged: Vec<u64>,
    pub(crate) bucket: Option<Bucket>,
}

/// An upper bound of a byte budget's balance.
#[derive(Debug, Clone)]
pub(crate) struct Bucket {
    rate: u64,
    /// Bytes times a million.
    balance: i128,
    at_us: u64,
}

impl Bucket {
    pub(crate) fn new(now_us: u64, rate: u64) -> Self {
        Self { rate, balance: i128::from(rate) * 1_000_000, at_us: now_us }
    }

    /// Takes a frame out; false when the balance was used up before it.
    fn take(&mut self, now_us: u64, slack_us: u64, bytes: usize) -> bool {
        let rate = i128::from(self.rate);
        let passed = i128::from(now_us.saturating_sub(self.at_us));
        self.at_us = self.at_us.max(now_us);
        self.balance = (self.balance + rate * passed).min(rate * 1_000_000);
        let allowed = self.balance + rate * i128::from(slack_us) > 0;
        self.balance -= bytes as i128 * 1_000_000;
        allowed
    }
}

/// When and how the frame being read came about.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    /// Engine tick that formed it, monotonic.
    pub(crate) formed_us: u64,
    /// When its first byte arrived: nothing applied later can be in it.
    pub(crate) first_byte_us: u64,
    /// When it was complete.
    pub(crate) now_us: u64,
    pub(crate) sent_at_us: i64,
    pub(crate) cause: u64,
    /// `formed_us` is the latest of several times that it may have been.
    pub(crate) ambiguous: bool,
}

impl Checker {
    pub(crate) fn frame(&mut self, truth: &Truth, now_us: u64, message: &Message, frame: RawFrame) {
        if self.welcomed_us.is_none() {
            self.violate(Rule::Reply, now_us, "", "a data frame before welcome");
        }
        if frame.sequence != self.frames.sequence + 1 {
            let detail = format!("frame {} after {}", frame.sequence, self.frames.sequence);
            self.violate(Rule::FrameSequence, now_us, "", detail);
        }
        self.frames.sequence = frame.sequence;
        let before_us = self.frames.formed_us;
        let formed_us = truth.monotonic(frame.sent_at_us, message.first_byte_us);
        let formed_us = match formed_us {
            Some(formed_us) if formed_us >= before_us.unwrap_or(0) => formed_us,
            _ => {
                let detail = format!(
                    "sent_at_us {} between the frame before at {before_us:?} and arrival at {}",
                    frame.sent_at_us, message.first_byte_us
                );
                self.violate(Rule::SentAt, now_us, "", detail);
                message.first_byte_us
            }
        };
        let moment = Moment {
            formed_us,
            first_byte_us: message.first_byte_us,
            now_us,
            sent_at_us: frame.sent_at_us,
            cause: frame.cause,
            ambiguous: truth.is_ambiguous(
                frame.sent_at_us,
                before_us.unwrap_or(0),
                message.first_byte_us,
            ),
        };
        self.check_cause(moment);
        self.check_pace(moment, before_us, frame.entries.is_empty());
        if message.payload.len() > self.config.frame_limit_bytes {
            let detail = format!("a frame of {} bytes", message.payload.len());
            self.violate(Rule::FrameSize, now_us, "", detail);
        }
        if !frame.entries.is_empty() {
            self.check_credit(moment, frame.sequence);
        }
        self.frames.formed_us = Some(formed_us);
        if !frame.entries.is_empty() {
            self.frames.data_formed_us = formed_us;
            self.frames.cause = frame.cause;
        }

        let mut budgeted = false;
        for value in &frame.entries {
            let meaning = Meaning { checker: self, truth };
            match wire::entry(self.config.dialect, value, &meaning) {
                Ok(entry) => {
                    budgeted |= matches!(
                        entry,
                        Entry::State { .. } | Entry::Trade { .. } | Entry::Bar { .. }
                    );
                    self.entry(truth, moment, entry);
                }
                Err(fault) => self.fault(now_us, "", fault),
            }
        }
        self.check_budget(moment, budgeted, message.wire_bytes);
    }

    /// An acknowledgement was sent, or the credit changed.
    pub(crate) fn release_credit(&mut self, now_us: u64) {
        let FrameState { acked, credit, credit_from, .. } = self.frames;
        self.frames.unacknowledged.retain(|frame| *frame > acked && *frame > credit_from);
        if credit.is_none_or(|credit| (self.frames.unacknowledged.len() as u64) < credit) {
            self.holds.starved.end(now_us);
        }
    }

    fn check_cause(&mut self, moment: Moment) {
        let from_us = self.frames.data_formed_us;
        let possible = self.holds.possible(from_us, moment.first_byte_us)
            // What did not fit into the frame before leaves in this one, as late.
            | self.frames.cause
            | if self.config.load_possible { cause::LOAD } else { 0 };
        if moment.cause & !possible != 0 {
            let detail = format!("cause {} where only {possible} is possible", moment.cause);
            self.violate(Rule::Cause, moment.now_us, "", detail);
        }
    }

    fn check_pace(&mut self, moment: Moment, before_us: Option<u64>, empty: bool) {
        let Some(since_us) = before_us.or(self.welcomed_us) else { return };
        let slack_us = self.config.tick_slack_us;
        let passed_us = moment.formed_us.saturating_sub(since_us);
        // Welcome may have waited for the socket; only frames tell when they were formed.
        let known = before_us.is_some();
        if empty && known && passed_us + slack_us < self.config.heartbeat_us {
            let detail = format!("a heartbeat {passed_us} us after the frame before");
            self.violate(Rule::Heartbeat, moment.now_us, "", detail);
        }
        self.check_silence(since_us, moment.formed_us);
    }

    /// Nothing was formed between the two times.
    pub(crate) fn check_silence(&mut self, before_us: u64, until_us: u64) {
        let held_us = self.holds.socket.last_end(until_us).max(self.holds.load.last_end(until_us));
        let since_us = before_us.max(held_us);
        let silent_us = until_us.saturating_sub(since_us);
        if silent_us > self.config.silence_us + self.config.tick_slack_us {
            self.violate(Rule::Silence, until_us, "", format!("no frame for {silent_us} us"));
        }
    }

    fn check_credit(&mut self, moment: Moment, sequence: u64) {
        self.frames.unacknowledged.push(sequence);
        let Some(credit) = self.frames.credit else { return };
        let out = self.frames.unacknowledged.len() as u64;
        if out > credit {
            let detail = format!("{out} frames unacknowledged with a credit of {credit}");
            self.violate(Rule::Credit, moment.now_us, "", detail);
        }
        if out >= credit {
            self.holds.starved.begin(moment.formed_us);
        }
    }

    fn check_budget(&mut self, moment: Moment, budgeted: bool, bytes: usize) {
        let slack_us = self.config.tick_slack_us;
        let Some(bucket) = self.frames.bucket.as_mut().filter(|_| budgeted) else { return };
        if !bucket.take(moment.formed_us, slack_us, bytes) {
            let rate = bucket.rate;
            let detail = format!("{bytes} bytes beyond a budget of {rate} bytes a second");
            self.violate(Rule::Budget, moment.now_us, "", detail);
        }
    }
}
