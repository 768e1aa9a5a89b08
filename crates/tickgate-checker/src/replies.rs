//! Replies: one for each command, in order; what they grant takes effect at their place in the
//! stream, because they go ahead of the data frames formed after them.

use std::collections::BTreeSet;

use crate::{
    checker::{Checker, OwedReady},
    command::Command,
    frames::Bucket,
    rule::Rule,
    truth::Truth,
    value::Value,
    wire::Channel,
};

impl Checker {
    pub(crate) fn reply(&mut self, truth: &Truth, now_us: u64, kind: &str, value: &Value) {
        if (kind == "welcome") != self.welcomed_us.is_none() {
            self.violate(Rule::Reply, now_us, "", "welcome comes first, and once");
        }
        match kind {
            "welcome" => self.welcome(truth, now_us, value),
            "draining" => {}
            _ => self.answer(truth, now_us, kind, value),
        }
    }

    fn welcome(&mut self, truth: &Truth, now_us: u64, value: &Value) {
        self.welcomed_us = Some(now_us);
        let epoch = value.get("epoch").and_then(|epoch| epoch.number(0).ok().flatten());
        match epoch.and_then(|epoch| u64::try_from(epoch).ok()) {
            Some(epoch) if truth.find_epoch(epoch).is_some() => self.epoch = epoch,
            _ => self.violate(Rule::Epoch, now_us, "", format!("welcome says epoch {epoch:?}")),
        }
    }

    fn answer(&mut self, truth: &Truth, now_us: u64, kind: &str, value: &Value) {
        let id = match value.get("id").map_or(Ok(None), |id| id.number(0)) {
            Ok(id) => id,
            Err(fault) => return self.fault(now_us, "", fault),
        };
        let fits = self.pending.front().is_some_and(|(_, command)| {
            command.id() == id && (kind == "error" || command.granted() == Some(kind))
        });
        if !fits {
            if kind == "error" && id.is_none() && self.doubtful_acks > 0 {
                self.doubtful_acks -= 1;
                return;
            }
            let expected =
                self.pending.front().map(|(_, command)| (command.granted(), command.id()));
            let detail = format!("{kind} with id {id:?} where {expected:?} is due");
            self.violate(Rule::Reply, now_us, "", detail);
            return;
        }
        let Some((asked_us, command)) = self.pending.pop_front() else { return };
        if kind != "error" {
            self.granted(truth, now_us, asked_us, &command, value);
        }
    }

    fn granted(
        &mut self,
        truth: &Truth,
        now_us: u64,
        asked_us: u64,
        command: &Command,
        value: &Value,
    ) {
        if !matches!(command, Command::Ping { .. } | Command::Symbols { .. }) {
            self.unsettled_us.push(now_us);
        }
        let rejected = rejected(value);
        let before = self.interest.clone();
        self.interest.grant(command, &rejected);
        self.refresh(truth, now_us, asked_us, &before);
        match command {
            Command::Subscribe(subscribe) => {
                self.subscribed_us.get_or_insert(now_us);
                let named = subscribe.symbols.iter().filter(|symbol| !rejected.contains(symbol));
                let mut names: BTreeSet<String> = named.cloned().collect();
                // A snapshot of `*` is one of what only `*` covers; named symbols have their own.
                let own = names.clone();
                let asks = |name: &String| own.contains(name) || !before.is_named(name);
                if names.remove("*")
                    && let Some(epoch) = truth.find_epoch(self.epoch)
                {
                    let listed = epoch.symbols.iter().filter(|(_, symbol)| {
                        symbol.definitions.first().is_some_and(|(at, _)| *at < asked_us)
                    });
                    names.extend(listed.map(|(name, _)| name.clone()));
                }
                let mut states = Vec::new();
                for name in names {
                    let resume =
                        subscribe.resume.as_ref().filter(|(epoch, _)| *epoch == self.epoch);
                    let resume = resume.and_then(|(_, trades)| {
                        trades.iter().find(|(symbol, _)| *symbol == name).map(|(_, at)| *at)
                    });
                    for channel in Channel::EVERY {
                        let cursor = self.cursor(&name, channel);
                        if !cursor.subscribed {
                            continue;
                        }
                        if channel.bar_length_s().is_some() {
                            // Joined once; a snapshot asked for later repeats no bars.
                            if cursor.owed.is_some() {
                                states.push((name.clone(), channel, cursor.begun, 0));
                            }
                            continue;
                        }
                        if cursor.owed.is_some() {
                            // One given before stays: what is omitted keeps its value.
                            cursor.resume = resume.or(cursor.resume);
                        }
                        cursor.repeat |= subscribe.snapshot && asks(&name);
                        if cursor.owed.is_some() || (cursor.repeat && channel != Channel::Trade) {
                            states.push((name.clone(), channel, cursor.begun, cursor.fulls));
                        }
                    }
                }
                self.readies.push(OwedReady { id: subscribe.id, states });
            }
            Command::Throttle { max_bytes_per_second: Some(budget), .. } => {
                self.frames.bucket = budget.map(|rate| Bucket::new(now_us, rate));
                match budget {
                    Some(_) => self.holds.budget.begin(asked_us),
                    None => self.holds.budget.end(now_us),
                }
            }
            Command::Credit { frames, .. } => {
                self.frames.credit = *frames;
                self.frames.credit_from = self.frames.sequence;
                match frames {
                    Some(_) => self.holds.credit.begin(asked_us),
                    None => {
                        self.holds.credit.end(now_us);
                        self.holds.starved.end(now_us);
                    }
                }
                self.release_credit(now_us);
            }
            _ => {}
        }
    }

    /// Brings every symbol's cursors in line with an interest that changed.
    fn refresh(
        &mut self,
        truth: &Truth,
        now_us: u64,
        asked_us: u64,
        before: &crate::interest::Interest,
    ) {
        let mut names: BTreeSet<String> = self.symbols.keys().cloned().collect();
        if let Some(epoch) = truth.find_epoch(self.epoch) {
            let covered = epoch.symbols.keys().filter(|name| self.interest.covers_symbol(name));
            names.extend(covered.cloned());
        }
        for name in names {
            for channel in Channel::EVERY {
                let selection = self.interest.selection(&name, channel);
                match (before.covers(&name, channel), self.interest.covers(&name, channel)) {
                    (false, true) => {
                        let cursor = self.cursor(&name, channel);
                        cursor.begin(asked_us);
                        cursor.since_us = now_us;
                    }
                    (true, false) => {
                        self.end_span(truth, &name, channel, now_us);
                        self.cursor(&name, channel).subscribed = false;
                    }
                    (true, true) if before.selection(&name, channel) != selection => {
                        self.cursor(&name, channel).owed = Some(asked_us);
                    }
                    _ => {}
                }
            }
            let interval_us = self.interest.interval_us(&name);
            let covered = self.interest.covers_symbol(&name);
            if before.covers_symbol(&name) && !covered {
                self.end_statuses(truth, &name, now_us);
            }
            let view = self.view(&name);
            view.intervals.set(asked_us, now_us, interval_us);
            if !covered {
                view.status = None;
            }
        }
    }
}

/// Names of the symbols a reply rejected.
fn rejected(value: &Value) -> Vec<String> {
    let Some(Value::Array(items)) = value.get("rejected") else { return Vec::new() };
    let name = |item: &Value| match item {
        Value::Array(parts) => parts.first().and_then(Value::text).map(str::to_owned),
        item => item.get("symbol").and_then(Value::text).map(str::to_owned),
    };
    items.iter().filter_map(name).collect()
}
