//! Entries, one by one: whom they concern and whether the client asked for them; definitions,
//! epochs and `ready`. States, statuses and the tape have files of their own.

use crate::{
    checker::{Checker, Known},
    frames::Moment,
    rule::Rule,
    states::StateParts,
    truth::{SymbolTruth, Truth},
    wire::{Channel, Definition, Entry},
};

impl Checker {
    pub(crate) fn entry(&mut self, truth: &Truth, moment: Moment, entry: Entry) {
        match entry {
            Entry::Definition(definition) => self.definition(truth, moment, definition),
            Entry::Epoch { epoch } => self.new_epoch(truth, moment, epoch),
            Entry::Ready { command_id } => self.ready(truth, moment, command_id),
            Entry::Status { id: None, sequence, status, reason, age_us } => {
                self.feed_status(truth, moment, sequence, (status, reason), age_us);
            }
            Entry::Status { id: Some(id), sequence, status, reason, age_us } => {
                let Some(name) = self.name(moment, id) else { return };
                if !self.interest.covers_symbol(&name) {
                    return self.uninvited(moment, &name, None, "a status");
                }
                self.status(truth, moment, &name, sequence, (status, reason), age_us);
            }
            Entry::State { channel, id, step, age_us, mask, fields } => {
                let Some(name) = self.invited(moment, id, channel) else { return };
                if self.symbols.get(&name).and_then(|view| view.id) != Some(id) {
                    let detail = format!("id {id} was retired");
                    self.violate(Rule::Definition, moment.now_us, &name, detail);
                }
                let parts = StateParts { channel, step, age_us, mask, fields };
                self.state(truth, moment, &name, id, parts);
            }
            Entry::Trade { id, sequence, age_us, trade } => {
                let Some(name) = self.invited(moment, id, Channel::Trade) else { return };
                self.trade(truth, moment, &name, id, (sequence, age_us, trade));
            }
            Entry::Joined { id, sequence, volume } => {
                let Some(name) = self.invited(moment, id, Channel::Trade) else { return };
                self.joined(truth, moment, &name, id, sequence, volume);
            }
            Entry::Lost { id, from, to, size, origin } => {
                let Some(name) = self.invited(moment, id, Channel::Trade) else { return };
                self.lost(truth, moment, &name, (from, to, size, origin));
            }
            Entry::Bar { id, sequence, channel, bar } => {
                let Some(name) = self.invited(moment, id, channel) else { return };
                if self.symbols.get(&name).and_then(|view| view.id) != Some(id) {
                    let detail = format!("id {id} was retired");
                    self.violate(Rule::Definition, moment.now_us, &name, detail);
                }
                self.bar(truth, moment, &name, channel, (sequence, bar));
            }
        }
    }

    /// What an id was defined to mean.
    fn name(&mut self, moment: Moment, id: u32) -> Option<String> {
        let name = self.ids.get(&id).map(|known| known.name.clone());
        if name.is_none() {
            self.violate(Rule::Definition, moment.now_us, "", format!("id {id} was not defined"));
        }
        name
    }

    fn invited(&mut self, moment: Moment, id: u32, channel: Channel) -> Option<String> {
        let name = self.name(moment, id)?;
        if !self.interest.covers(&name, channel) {
            self.uninvited(moment, &name, Some(channel), channel.name());
            return None;
        }
        Some(name)
    }

    fn uninvited(&mut self, moment: Moment, name: &str, channel: Option<Channel>, what: &str) {
        let was = self.symbols.get(name).is_some_and(|view| {
            let mut of = Channel::EVERY.into_iter().filter(|of| channel.is_none_or(|c| c == *of));
            of.any(|channel| !view.cursor(channel).log.is_empty())
        });
        let rule = if was { Rule::AfterUnsubscribe } else { Rule::NotSubscribed };
        self.violate(rule, moment.now_us, name, format!("{what} that is not subscribed"));
    }

    fn definition(&mut self, truth: &Truth, moment: Moment, told: Definition) {
        let name = told.name.clone();
        if !self.interest.covers_symbol(&name) {
            return self.uninvited(moment, &name, None, "a definition");
        }
        let exponents = (told.price_exponent, told.size_exponent);
        if let Some(known) = self.ids.get(&told.id)
            && (known.name != name || known.exponents != exponents)
        {
            let detail = format!("id {} was {} before", told.id, known.name);
            self.violate(Rule::IdReuse, moment.now_us, &name, detail);
        }
        let known = truth.find_epoch(self.epoch).and_then(|epoch| epoch.symbols.get(&name));
        let is_true = known.is_some_and(|symbol| {
            symbol.definitions.iter().any(|(_, d)| {
                d.id == told.id
                    && (d.price_exponent, d.size_exponent) == exponents
                    && d.session_date == told.session_date
                    && d.previous_close == told.previous_close
                    && d.tick_size == told.tick_size
            })
        });
        if !is_true {
            self.violate(Rule::Definition, moment.now_us, &name, format!("{told:?} is not true"));
        }
        let status = known.and_then(|symbol| symbol.status(told.status_sequence));
        // Before any change a symbol trades.
        let expected = status.map_or((told.status_sequence == 0).then_some(1), |s| Some(s.status));
        if expected != Some(told.status) {
            let detail = format!(
                "defined with status {} at {}, truly {expected:?}",
                told.status, told.status_sequence
            );
            self.violate(Rule::Status, moment.now_us, &name, detail);
        }
        let begins = status.and_then(|status| status.session_date);
        // One that has begun since may be told in its place.
        if begins.is_some_and(|date| told.session_date < Some(date)) {
            let detail = format!("{told:?} begins the session of {begins:?}");
            self.violate(Rule::Definition, moment.now_us, &name, detail);
        }
        self.ids.insert(told.id, Known { name: name.clone(), exponents });
        let view = self.view(&name);
        let renewed = view.id.replace(told.id).is_some_and(|id| id != told.id);
        let back = view.status.is_some_and(|status| told.status_sequence < status);
        if view.status.replace(told.status_sequence).is_none() {
            view.status_since_us = moment.formed_us;
        }
        if renewed {
            for channel in [Channel::Quote, Channel::Last] {
                let cursor = view.cursor_mut(channel);
                if cursor.subscribed {
                    cursor.owed.get_or_insert(moment.formed_us);
                }
            }
        }
        if renewed {
            self.unsettled_us.push(moment.formed_us);
        }
        if back {
            self.violate(Rule::Status, moment.now_us, &name, "a definition's status goes back");
        }
    }

    fn new_epoch(&mut self, truth: &Truth, moment: Moment, epoch: u64) {
        let known = truth.find_epoch(epoch).is_some();
        if !known || epoch <= self.epoch {
            let detail = format!("epoch {epoch} after {}", self.epoch);
            self.violate(Rule::Epoch, moment.now_us, "", detail);
            return;
        }
        let changed_us = truth.find_epoch(epoch).map_or(0, |epoch| epoch.at_us);
        self.end_all(truth, changed_us);
        self.epoch = epoch;
        self.feed = None;
        self.unsettled_us.push(moment.formed_us);
        self.ids.clear();
        for view in self.symbols.values_mut() {
            view.id = None;
            view.status = None;
            for channel in Channel::EVERY {
                let cursor = view.cursor_mut(channel);
                if cursor.subscribed {
                    cursor.begin(changed_us);
                }
            }
        }
    }

    fn ready(&mut self, truth: &Truth, moment: Moment, id: Option<i64>) {
        let Some(at) = self.readies.iter().position(|owed| owed.id == id) else {
            let detail = format!("ready {id:?} that no command asked for");
            return self.violate(Rule::Ready, moment.now_us, "", detail);
        };
        for (name, channel, begun, fulls) in self.readies.remove(at).states {
            if channel.bar_length_s().is_some() {
                self.check_bars_joined(truth, moment, &name, channel, begun);
                continue;
            }
            let cursor = self.cursor(&name, channel);
            // One that ended meanwhile owes nothing to this command any more.
            if cursor.subscribed && cursor.begun == begun && cursor.fulls == fulls {
                let detail = format!("ready {id:?} before {} was sent in full", channel.name());
                self.violate(Rule::Ready, moment.now_us, &name, detail);
            }
        }
    }

    pub(crate) fn truth_of<'a>(&self, truth: &'a Truth, name: &str) -> Option<&'a SymbolTruth> {
        truth.find_epoch(self.epoch)?.symbols.get(name)
    }

    pub(crate) fn check_age(
        &mut self,
        moment: Moment,
        name: &str,
        event_ns: Option<i64>,
        age_us: Option<i64>,
    ) {
        let sent_ns = i128::from(moment.sent_at_us) * 1_000;
        let expected = event_ns.map(|event| (sent_ns - i128::from(event)).div_euclid(1_000));
        if expected != age_us.map(i128::from) {
            let detail = format!("age {age_us:?}, truly {expected:?}");
            self.violate(Rule::Age, moment.now_us, name, detail);
        }
    }
}
