//! When entries may and must leave: throttle distance, staleness and lateness with a cause.

use crate::{
    checker::Checker,
    cursor::Sent,
    frames::Moment,
    holds::cause,
    rule::Rule,
    states::select,
    truth::{StateTruth, SymbolTruth, Truth},
    wire::Channel,
};

impl Checker {
    fn capped(&self, channel: Channel, interval_us: u64) -> u64 {
        match channel {
            Channel::Quote | Channel::Last => interval_us,
            _ => interval_us.min(self.config.tape_interval_us),
        }
    }

    /// Two state entries keep the throttle interval's distance.
    pub(crate) fn check_distance(
        &mut self,
        moment: Moment,
        name: &str,
        channel: Channel,
        previous: Sent,
    ) {
        let Some(view) = self.symbols.get(name) else { return };
        // A frame may be formed a little after the time it bears, with what a command asked for
        // in between.
        let until_us = moment.first_byte_us.min(moment.formed_us + self.config.tick_slack_us);
        let interval_us = view.intervals.shortest(previous.formed_us, until_us);
        let passed_us = moment.formed_us.saturating_sub(previous.formed_us);
        if passed_us + self.config.tick_slack_us < interval_us {
            let detail = format!(
                "{} {passed_us} us after the one before, throttle {interval_us} us",
                channel.name()
            );
            self.violate(Rule::Throttle, moment.now_us, name, detail);
        }
    }

    /// Something that changed at `changed_us` left with this frame: within `bound_us` of that or
    /// of the last hold's end, unless a limit was in force.
    pub(crate) fn check_wait(
        &mut self,
        moment: Moment,
        name: &str,
        changed_us: u64,
        bound_us: u64,
        rule: Rule,
    ) {
        if self.holds.limited(changed_us, moment.formed_us) {
            return;
        }
        let since_us = changed_us.max(self.holds.open_since(moment.formed_us));
        let waited_us = moment.formed_us.saturating_sub(since_us);
        if waited_us > bound_us {
            let detail = format!("left {waited_us} us after it could, at most {bound_us} us");
            self.violate(rule, moment.now_us, name, detail);
        }
    }

    /// A frame that carries what a hold certainly made late says so.
    pub(crate) fn check_lateness(
        &mut self,
        symbol: &SymbolTruth,
        moment: Moment,
        name: &str,
        (channel, sequence): (Channel, u64),
        previous: Sent,
    ) {
        if moment.ambiguous {
            return;
        }
        let waits = waits(symbol.states(channel), previous, sequence, moment.formed_us);
        let Some((changed_us, _)) = waits.last().copied().filter(|w| w.1 == moment.formed_us)
        else {
            return;
        };
        let bound_us = self.bound(name, channel, changed_us, moment.formed_us, previous);
        let due_us = changed_us + bound_us;
        if moment.formed_us <= due_us || !self.holds.certain(due_us, moment.formed_us) {
            return;
        }
        let mut possible = self.holds.possible(changed_us, moment.formed_us);
        if self.config.load_possible {
            possible |= cause::LOAD;
        }
        if moment.cause & possible == 0 {
            let detail = format!(
                "{} changed at {changed_us} us and was held up, cause {} and not of {possible}",
                channel.name(),
                moment.cause
            );
            self.violate(Rule::Cause, moment.now_us, name, detail);
        }
    }

    /// [`Self::bound`] of something that is capped as the tape is, or as long as a state may wait.
    pub(crate) fn bar_bound(
        &self,
        name: &str,
        (from_us, until_us): (u64, u64),
        previous: Sent,
        is_closed: bool,
    ) -> u64 {
        let as_if = if is_closed { Channel::Trade } else { Channel::Quote };
        self.bound(name, as_if, from_us, until_us, previous)
    }

    /// How long a change may wait without a hold: one interval, two where the phase was not
    /// settled (after a full entry, commands, however many, an epoch, a new id, or a hold), and a
    /// tick.
    pub(crate) fn bound(
        &self,
        name: &str,
        channel: Channel,
        changed_us: u64,
        until_us: u64,
        previous: Sent,
    ) -> u64 {
        let Some(view) = self.symbols.get(name) else { return 0 };
        let longest = self.capped(channel, view.intervals.longest(changed_us, until_us));
        let around_us = changed_us.saturating_sub(2 * longest);
        let unsettled = previous.asked
            || view.intervals.changed(around_us, until_us)
            || self.holds.free_since(until_us) >= around_us.max(1)
            || self.unsettled_us.iter().any(|at| (around_us..=until_us).contains(at));
        longest * if unsettled { 2 } else { 1 } + self.config.tick_slack_us
    }

    /// Every change of a subscription that ends at `end_us` left in time.
    pub(crate) fn end_span(&mut self, truth: &Truth, name: &str, channel: Channel, end_us: u64) {
        let Some(symbol) = self.truth_of(truth, name) else { return };
        let Some(view) = self.symbols.get(name) else { return };
        let cursor = view.cursor(channel);
        if !cursor.subscribed {
            return;
        }
        if channel.bar_length_s().is_some() {
            return self.end_bars(symbol, name, channel, end_us);
        }
        let joined_us = cursor.log.first().map_or(0, |first| first.formed_us);
        let mut late = None;
        for (at, sent) in cursor.log.iter().enumerate() {
            let next = cursor.log.get(at + 1);
            let (until_us, last) = next.map_or((end_us, u64::MAX), |n| (n.formed_us, n.sequence));
            let waits = match channel {
                // Those that arrived were looked at then.
                Channel::Trade if next.is_some() => continue,
                Channel::Trade => {
                    let waiting = symbol.tape.iter().find(|trade| trade.sequence > sent.sequence);
                    waiting.map(|t| (t.at_us.max(joined_us), until_us)).into_iter().collect()
                }
                _ => waits(symbol.states(channel), *sent, last, until_us),
            };
            for (from_us, to_us) in waits {
                if from_us > end_us || self.holds.limited(from_us, to_us) {
                    continue;
                }
                let bound_us = self.bound(name, channel, from_us, to_us, *sent);
                let since_us = from_us.max(self.holds.open_since(to_us));
                let waited_us = to_us.saturating_sub(since_us);
                if waited_us > bound_us && late.is_none() {
                    let detail = format!(
                        "{} differed from {} on for {waited_us} us from {from_us} us on, at most \
                         {bound_us} us",
                        channel.name(),
                        sent.sequence
                    );
                    late = Some((to_us, detail));
                }
            }
        }
        if let Some((at_us, detail)) = late {
            self.violate(Rule::Staleness, at_us, name, detail);
        }
    }

    /// The connection or its epoch ends: so do all subscriptions.
    pub(crate) fn end_all(&mut self, truth: &Truth, end_us: u64) {
        let names: Vec<String> = self.symbols.keys().cloned().collect();
        for name in names {
            for channel in Channel::EVERY {
                self.end_span(truth, &name, channel, end_us);
            }
        }
    }
}

/// Stretches of time in which the truth differed, in a selected field, from what `held` says the
/// client has, up to the state `last` or the time `until_us`. A value that comes back to what the
/// client holds waits for nothing.
fn waits(states: &[StateTruth], held: Sent, last: u64, until_us: u64) -> Vec<(u64, u64)> {
    let next = states.partition_point(|state| state.sequence <= held.sequence);
    let fields = |state: &StateTruth| select(state.fields, held.selection);
    let before = next.checked_sub(1).map(|at| &states[at]);
    let before = before.filter(|state| state.sequence == held.sequence);
    let client = before.map(fields).unwrap_or_default();
    let mut waits = Vec::new();
    let mut since = None;
    let reached = states[next..].iter();
    for state in reached.take_while(|state| state.sequence <= last && state.at_us <= until_us) {
        if fields(state) != client {
            since.get_or_insert(state.at_us);
        } else if let Some(since_us) = since.take() {
            waits.push((since_us, state.at_us));
        }
    }
    waits.extend(since.map(|since_us| (since_us, until_us)));
    waits
}
