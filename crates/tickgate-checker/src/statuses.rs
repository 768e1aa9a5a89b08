//! Statuses of symbols and of the feed: each told, true, in its place among the trades.

use crate::{checker::Checker, frames::Moment, rule::Rule, truth::Truth, wire::Channel};

/// How long a status of the feed may last before clients must have heard of it: 1 s.
const FEED_STATUS_LIMIT_US: u64 = 1_000_000;
const LIVE: i64 = 10;
const STALE: i64 = 11;

impl Checker {
    pub(crate) fn feed_status(
        &mut self,
        truth: &Truth,
        moment: Moment,
        sequence: u64,
        told: (i64, Option<i64>),
        age_us: Option<i64>,
    ) {
        if self.feed.is_some_and(|held| sequence <= held) {
            let detail = format!("feed status {sequence} after {:?}", self.feed);
            self.violate(Rule::FeedStatus, moment.now_us, "", detail);
        }
        self.check_feed_told(truth, moment, sequence);
        match truth.feed.iter().find(|status| status.sequence == sequence) {
            Some(status) if (status.status, status.reason) == told => {
                self.check_age(moment, "", status.event_ns, age_us);
            }
            other => {
                let detail = format!("feed status {told:?} at {sequence}, truly {other:?}");
                self.violate(Rule::FeedStatus, moment.now_us, "", detail);
            }
        }
        self.feed = Some(sequence);
        self.feed_known = self.feed_known.max(self.feed);
    }

    pub(crate) fn status(
        &mut self,
        truth: &Truth,
        moment: Moment,
        name: &str,
        sequence: u64,
        told: (i64, Option<i64>),
        age_us: Option<i64>,
    ) {
        let Some(symbol) = self.truth_of(truth, name) else { return };
        let view = self.view(name);
        let held = view.status.replace(sequence);
        if held.is_none() {
            view.status_since_us = moment.formed_us;
        }
        let since_us = view.status_since_us;
        let Some(record) = symbol.status(sequence) else {
            let detail = format!("status {sequence} does not exist");
            return self.violate(Rule::Status, moment.now_us, name, detail);
        };
        if (record.status, record.reason) != told {
            let detail = format!("status {told:?} at {sequence}, truly {record:?}");
            self.violate(Rule::Status, moment.now_us, name, detail);
        }
        // The old id of a symbol that has a finer scale cannot be defined any more: the new one will.
        let newest = symbol.definitions.iter().rev().find(|(at_us, _)| *at_us <= moment.formed_us);
        let is_newest = newest.map(|(_, definition)| definition.id) == self.view(name).id;
        if record.session_date.is_some() && is_newest {
            let detail = format!("a session begins at {sequence}, and its definition is not told");
            self.violate(Rule::Definition, moment.now_us, name, detail);
        }
        self.check_age(moment, name, record.event_ns, age_us);
        let Some(held) = held else { return };
        if sequence <= held {
            let detail = format!("status {sequence} after {held}");
            return self.violate(Rule::Status, moment.now_us, name, detail);
        }
        if sequence > held + 1 {
            let head = symbol.status_head(moment.first_byte_us).map_or(0, |head| head.sequence);
            if held + 1 + self.config.status_capacity > head {
                let detail = format!("status {sequence} after {held}: conflated, none was lapped");
                self.violate(Rule::Status, moment.now_us, name, detail);
            }
        }
        let tape = self.cursor(name, Channel::Trade);
        if tape.subscribed && tape.owed.is_none() && tape.sequence < record.after_trade {
            let detail = format!(
                "status {sequence} at trade {}, before trade {}",
                tape.sequence, record.after_trade
            );
            self.violate(Rule::StatusOrder, moment.now_us, name, detail);
        }
        let bound_us = self.config.tape_interval_us + self.config.tick_slack_us;
        self.check_wait(moment, name, record.at_us.max(since_us), bound_us, Rule::Status);
    }

    /// Interest in a symbol ends at `end_us`: every status until then was told in time.
    pub(crate) fn end_statuses(&mut self, truth: &Truth, name: &str, end_us: u64) {
        let (Some(symbol), Some(view)) = (self.truth_of(truth, name), self.symbols.get(name))
        else {
            return;
        };
        let Some(told) = view.status else { return };
        let bound_us = self.config.tape_interval_us + self.config.tick_slack_us;
        let untold = symbol.statuses.iter().find(|record| record.sequence > told);
        let Some(record) = untold.filter(|record| record.at_us <= end_us) else { return };
        let from_us = record.at_us.max(view.status_since_us);
        if self.holds.limited(from_us, end_us) {
            return;
        }
        let waited_us = end_us.saturating_sub(from_us.max(self.holds.open_since(end_us)));
        if waited_us > bound_us {
            let detail = format!("status {} was not told for {waited_us} us", record.sequence);
            self.violate(Rule::Status, end_us, name, detail);
        }
    }

    /// No stale status that lasted a second was told later than that, or passed over.
    pub(crate) fn check_feed_told(&mut self, truth: &Truth, moment: Moment, sequence: u64) {
        let Some(subscribed_us) = self.subscribed_us else { return };
        let held = self.feed_known;
        let pairs = truth.feed.iter().enumerate();
        let news = pairs.filter(|(_, record)| {
            record.status == STALE
                && record.sequence <= sequence
                && held.is_none_or(|held| record.sequence > held)
        });
        let mut late = None;
        for (at, record) in news {
            let next_us = truth.feed.get(at + 1).map_or(u64::MAX, |next| next.at_us);
            let until_us = moment.formed_us.min(next_us);
            let free_us =
                self.holds.socket.last_end(until_us).max(self.holds.load.last_end(until_us));
            let waited_us = until_us.saturating_sub(record.at_us.max(subscribed_us).max(free_us));
            if waited_us > FEED_STATUS_LIMIT_US + self.config.tick_slack_us {
                late = Some(format!("stale {} told {waited_us} us late", record.sequence));
            }
        }
        if let Some(detail) = late {
            self.violate(Rule::FeedStatus, moment.now_us, "", detail);
        }
    }

    /// What the feed's status has been for a second, a client that receives knows.
    pub(crate) fn check_feed(&mut self, truth: &Truth, now_us: u64) {
        let Some(subscribed_us) = self.subscribed_us.filter(|_| !self.interest.is_empty()) else {
            return;
        };
        let Some(record) = truth.feed.last() else { return };
        let since_us = record.at_us.max(subscribed_us).max(self.holds.free_since(now_us));
        let told = self.feed.and_then(|at| truth.feed.iter().find(|s| s.sequence == at));
        // A client that was told nothing takes the feed to be live.
        let told = told.map_or(LIVE, |told| told.status);
        let limit_us = FEED_STATUS_LIMIT_US + self.config.tick_slack_us;
        if told != record.status && now_us.saturating_sub(since_us) > limit_us {
            let detail = format!("told {told}, truly {} since {}", record.status, record.at_us);
            self.violate(Rule::FeedStatus, now_us, "", detail);
        }
    }
}
