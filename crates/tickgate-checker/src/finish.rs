//! The end of a run: what should have arrived by then, and the books.

use std::collections::BTreeMap;

use crate::{
    checker::Checker,
    cursor::Books,
    rule::{Rule, Violation},
    states::select,
    truth::Truth,
    wire::Channel,
};

/// What a run left behind.
#[derive(Debug, Clone)]
pub struct Verdict {
    /// What was broken; empty is good.
    pub violations: Vec<Violation>,
    /// Books of every symbol's channel that ever had an entry.
    pub books: BTreeMap<(String, Channel), Books>,
}

impl Checker {
    /// Ends the run at `now_us`. Nothing changed in the feed after `quiet_since_us`.
    ///
    /// Convergence is judged where the client could receive, without credit or budget, for two
    /// intervals (at least 100 ms) and a tick since then; leave that much time, or it is not.
    #[must_use]
    pub fn finish(mut self, truth: &Truth, now_us: u64, quiet_since_us: u64) -> Verdict {
        let open = self.closed.is_none() && !self.broken;
        if open {
            self.end_all(truth, now_us);
            let free_us = self.holds.free_since(now_us).max(quiet_since_us);
            self.check_feed(truth, now_us);
            if free_us < now_us {
                self.check_loose_ends(now_us, free_us);
                self.check_convergence(truth, now_us, free_us);
            }
        }
        let mut books = BTreeMap::new();
        for (name, view) in &self.symbols {
            for channel in Channel::ALL {
                let cursor = view.cursor(channel);
                let mut account = cursor.books.clone();
                // A full entry that is due joins anew: what it will pass over is not pending.
                let due = cursor.owed.is_some() || (cursor.repeat && channel != Channel::Trade);
                if cursor.subscribed && !cursor.log.is_empty() && !due {
                    let head = self.truth_of(truth, name).map_or(0, |s| s.head(channel, now_us));
                    account.pending = head.saturating_sub(cursor.sequence);
                    account.open = true;
                }
                if account != Books::default() {
                    books.insert((name.clone(), channel), account);
                }
            }
        }
        Verdict { violations: self.violations, books }
    }

    /// Replies and half-received frames of a client that can receive since `free_us`.
    fn check_loose_ends(&mut self, now_us: u64, free_us: u64) {
        let settled_us = 100_000 + self.config.tick_slack_us;
        if let Some(since_us) = self.frames.formed_us.or(self.welcomed_us) {
            self.check_silence(since_us, now_us);
        }
        if now_us - free_us < settled_us {
            return;
        }
        if self.splitter.unfinished() > 0 {
            let detail =
                format!("{} bytes of a frame that never ended", self.splitter.unfinished());
            self.violate(Rule::Framing, now_us, "", detail);
        }
        if self.welcomed_us.is_none() {
            self.violate(Rule::Reply, now_us, "", "no welcome");
        }
        let unanswered = self.pending.iter().find(|(asked, _)| asked + settled_us < now_us);
        if let Some((asked_us, command)) = unanswered.cloned() {
            let detail = format!("no reply to {command:?} of {asked_us} us");
            self.violate(Rule::Reply, now_us, "", detail);
        }
    }

    fn check_convergence(&mut self, truth: &Truth, now_us: u64, free_us: u64) {
        let mut all_settled = true;
        let mut names: Vec<String> =
            self.symbols.keys().filter(|n| self.interest.covers_symbol(n)).cloned().collect();
        if self.interest.has_wildcard()
            && let Some(epoch) = truth.find_epoch(self.epoch)
        {
            names.extend(epoch.symbols.keys().filter(|n| !self.symbols.contains_key(*n)).cloned());
        }
        for name in names {
            let view = self.view(&name);
            let longest_us = view.intervals.longest(free_us, now_us);
            let settled_us = (2 * longest_us).max(100_000) + self.config.tick_slack_us;
            if now_us - free_us < settled_us {
                all_settled = false;
                continue;
            }
            self.check_held(truth, now_us, &name);
        }
        let quiet_us = now_us - free_us;
        if all_settled && quiet_us >= 100_000 + self.config.tick_slack_us {
            if truth.now().epoch != self.epoch && self.welcomed_us.is_some() {
                let detail = format!("epoch {} was never told", truth.now().epoch);
                self.violate(Rule::Epoch, now_us, "", detail);
            }
            if let Some(owed) = self.readies.first() {
                let detail = format!("ready {:?} never came", owed.id);
                self.violate(Rule::Ready, now_us, "", detail);
            }
        }
    }

    /// The client holds the last truth of one symbol.
    fn check_held(&mut self, truth: &Truth, now_us: u64, name: &str) {
        let Some(symbol) = self.truth_of(truth, name) else { return };
        for channel in Channel::ALL {
            let selection = self.interest.selection(name, channel);
            let cursor = self.cursor(name, channel);
            if !cursor.subscribed {
                continue;
            }
            let (held, owed) = (cursor.sequence, cursor.owed.is_some() || cursor.log.is_empty());
            let head = symbol.head(channel, now_us);
            if owed {
                let detail = format!("{} was never sent in full", channel.name());
                self.violate(Rule::Convergence, now_us, name, detail);
            } else if held != head {
                let fields = |sequence| {
                    let state = symbol.state(channel, sequence);
                    state.map(|state| select(state.fields, selection)).unwrap_or_default()
                };
                if channel == Channel::Trade || fields(held) != fields(head) {
                    let detail = format!("{} ends at {held}, truly {head}", channel.name());
                    self.violate(Rule::Convergence, now_us, name, detail);
                }
            }
        }
        self.check_bars_held(truth, now_us, name);
        let head = symbol.status_head(now_us).map(|head| head.sequence);
        let told = self.view(name).status;
        if head.unwrap_or(0) != told.unwrap_or(0) {
            let detail = format!("status ends at {told:?}, truly {head:?}");
            self.violate(Rule::Status, now_us, name, detail);
        }
    }
}
