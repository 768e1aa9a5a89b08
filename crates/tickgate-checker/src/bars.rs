//! Bars: each state true at its sequence, in rising order; every closed one, or a word that some
//! were lost; the one in progress as often as the throttle allows.

use crate::{
    checker::Checker,
    cursor::{Cursor, Sent},
    frames::Moment,
    rule::Rule,
    truth::{BarTruth, SymbolTruth, Truth, rescale},
    wire::{Bar, Channel, Unit},
};

const CLOSED: i64 = 1;
const INEXACT: i64 = 4;
const LOST: i64 = 8;

impl Checker {
    pub(crate) fn bar(
        &mut self,
        truth: &Truth,
        moment: Moment,
        name: &str,
        channel: Channel,
        (sequence, bar): (u64, Bar),
    ) {
        let now_us = moment.now_us;
        let Some(symbol) = self.truth_of(truth, name) else { return };
        let view = self.view(name);
        // Put back below.
        let mut cursor = std::mem::take(view.cursor_mut(channel));
        let id = view.id;
        let exponents = id.and_then(|id| self.ids.get(&id)).map(|known| known.exponents);
        let changes = symbol.bars(channel);
        let at = place(changes, sequence).filter(|at| changes[*at].at_us <= now_us);
        if cursor.log.last().is_some_and(|sent| sequence <= sent.sequence) {
            let detail = format!("{} {sequence} after {}", channel.name(), cursor.sequence);
            self.violate(Rule::BarOrder, now_us, name, detail);
        } else if let Some(at) = at {
            let truly = &changes[at];
            if !is_it(truly, &bar, exponents.unwrap_or_default()) {
                let detail = format!("{} {sequence} is {bar:?}, truly {truly:?}", channel.name());
                self.violate(Rule::BarValue, now_us, name, detail);
            }
            let is_lost = bar.flags & LOST != 0;
            if is_lost {
                cursor.lost_us = Some(moment.first_byte_us);
            }
            self.check_passed(symbol, moment, name, channel, &cursor, sequence, is_lost);
            if bar.flags & CLOSED == 0 && !takes_along(changes, moment, sequence) {
                self.check_open_distance(moment, name, channel, &cursor);
                cursor.open_us = Some(moment.formed_us);
            }
            self.check_bar_wait(symbol, moment, name, channel, &cursor, at);
            let asked = cursor.owed.take().is_some();
            cursor.sequence = sequence;
            cursor.bars.insert(bar.start_s, sequence);
            cursor.log.push(Sent { formed_us: moment.formed_us, sequence, selection: 0, asked });
        } else {
            let detail = format!("{} {sequence} does not exist", channel.name());
            self.violate(Rule::BarOrder, now_us, name, detail);
        }
        *self.cursor(name, channel) = cursor;
    }

    /// What the entry passes over can never come any more, since sequences rise: it is followed by a
    /// newer state of the same bar, or it is lost.
    #[allow(clippy::too_many_arguments, reason = "one look at one entry")]
    fn check_passed(
        &mut self,
        symbol: &SymbolTruth,
        moment: Moment,
        name: &str,
        channel: Channel,
        cursor: &Cursor,
        sequence: u64,
        is_lost: bool,
    ) {
        let changes = symbol.bars(channel);
        let seen = &changes[..changes.partition_point(|c| c.at_us <= moment.first_byte_us)];
        let capacity = self.capacity(channel);
        let passed = unsent(seen, cursor).take_while(|change| change.sequence < sequence);
        let holes: Vec<_> = passed.filter(|change| !is_followed(seen, change)).collect();
        if !holes.is_empty() {
            let declared =
                cursor.lost_us.map_or(Vec::new(), |at_us| gone_by(changes, at_us, capacity));
            let is_declared = |change: &&&BarTruth| {
                change.bar.flags & CLOSED != 0 && declared.contains(&change.bar.start_s)
            };
            if let Some(hole) = holes.iter().find(|change| !is_declared(change)) {
                let detail = format!("{} {sequence} passes {} over", channel.name(), hole.sequence);
                self.violate(Rule::BarHole, moment.now_us, name, detail);
            }
        }
        if !is_lost {
            return;
        }
        let gone = gone_by(changes, moment.first_byte_us, capacity);
        // Where the client joined within the time of a command, nobody knows what it was owed.
        let asked_us = if cursor.since_us == 0 { 0 } else { cursor.asked_us };
        let mut closed = seen.iter().filter(|change| {
            change.sequence > cursor.sequence
                && change.at_us >= asked_us
                && change.bar.flags & CLOSED != 0
        });
        if !closed.any(|change| gone.contains(&change.bar.start_s)) {
            let detail = format!("{} {sequence} says lost: all is in the ring", channel.name());
            self.violate(Rule::BarLost, moment.now_us, name, detail);
        }
    }

    /// Two entries of bars in progress keep the throttle interval's distance.
    fn check_open_distance(
        &mut self,
        moment: Moment,
        name: &str,
        channel: Channel,
        cursor: &Cursor,
    ) {
        let Some(open_us) = cursor.open_us else { return };
        // What a snapshot brings comes at once.
        if !self.is_joining(name, channel) {
            let previous = Sent { formed_us: open_us, sequence: 0, selection: 0, asked: false };
            self.check_distance(moment, name, channel, previous);
        }
    }

    /// True while a `ready` is due that waits for this channel.
    fn is_joining(&self, name: &str, channel: Channel) -> bool {
        let mut states = self.readies.iter().flat_map(|owed| &owed.states);
        states.any(|(symbol, of, ..)| symbol == name && *of == channel)
    }

    /// The change at `at` left in time, and so did what it stands for: earlier changes of its bar.
    fn check_bar_wait(
        &mut self,
        symbol: &SymbolTruth,
        moment: Moment,
        name: &str,
        channel: Channel,
        cursor: &Cursor,
        at: usize,
    ) {
        let (Some(first), Some(last)) = (cursor.log.first(), cursor.log.last()) else { return };
        for (from_us, is_closed) in waits(symbol.bars(channel), last.sequence, at) {
            let from_us = from_us.max(first.formed_us);
            let range = (from_us, moment.formed_us);
            let bound_us = self.bar_bound(name, range, *last, is_closed);
            self.check_wait(moment, name, from_us, bound_us, Rule::Staleness);
        }
    }

    /// A `ready`: the newest closed bar and the one in progress, as they were when the command was
    /// sent, have come, or newer ones.
    pub(crate) fn check_bars_joined(
        &mut self,
        truth: &Truth,
        moment: Moment,
        name: &str,
        channel: Channel,
        begun: u64,
    ) {
        let Some(symbol) = self.truth_of(truth, name) else { return };
        let cursor = self.cursor(name, channel);
        // One that ended meanwhile owes nothing to this command any more.
        if !cursor.subscribed || cursor.begun != begun {
            return;
        }
        let asked_us = cursor.asked_us;
        let held = cursor.bars.last_key_value().map(|(start_s, _)| *start_s);
        let gone = gone_by(symbol.bars(channel), moment.first_byte_us, self.capacity(channel));
        let mut known = latest(symbol.bars(channel), asked_us);
        // Bars that were made late may have pushed newer ones out of a small ring.
        known.retain(|start_s, _| !gone.contains(start_s));
        let newest = known.keys().next_back().copied();
        if newest > held {
            let detail = format!(
                "ready before the {} that begins at {newest:?}: {held:?} is the newest",
                channel.name()
            );
            self.violate(Rule::SnapshotFirst, moment.now_us, name, detail);
        }
        let newest_closed = known.iter().rev().find(|(_, change)| change.bar.flags & CLOSED != 0);
        let newest_closed = newest_closed.map(|(start_s, _)| *start_s);
        let closed = |(start_s, sequence): (&i64, &u64)| {
            let change = place(symbol.bars(channel), *sequence).map(|at| &symbol.bars(channel)[at]);
            change.is_some_and(|change| change.bar.flags & CLOSED != 0).then_some(*start_s)
        };
        let held_closed = self.cursor(name, channel).bars.iter().filter_map(closed).max();
        if newest_closed > held_closed {
            let detail = format!(
                "ready before the closed {} of {newest_closed:?}: {held_closed:?} is the newest",
                channel.name()
            );
            self.violate(Rule::SnapshotFirst, moment.now_us, name, detail);
        }
    }

    /// Every change of a subscription that ends at `end_us` left in time.
    pub(crate) fn end_bars(
        &mut self,
        symbol: &SymbolTruth,
        name: &str,
        channel: Channel,
        end_us: u64,
    ) {
        let Some(view) = self.symbols.get(name) else { return };
        let cursor = view.cursor(channel);
        let (Some(first), Some(last)) = (cursor.log.first(), cursor.log.last()) else { return };
        let changes = symbol.bars(channel);
        let seen = &changes[..changes.partition_point(|change| change.at_us <= end_us)];
        let mut late = None;
        for change in unsent(seen, cursor) {
            let is_closed = change.bar.flags & CLOSED != 0;
            let from_us = change.at_us.max(first.formed_us);
            // A bar that has changed again is told as it is then.
            if is_followed(seen, change) || self.holds.limited(from_us, end_us) {
                continue;
            }
            let bound_us = self.bar_bound(name, (from_us, end_us), *last, is_closed);
            let waited_us = end_us.saturating_sub(from_us.max(self.holds.open_since(end_us)));
            if waited_us > bound_us && late.is_none() {
                late = Some(format!(
                    "{} {} was not sent for {waited_us} us, at most {bound_us} us",
                    channel.name(),
                    change.sequence
                ));
            }
        }
        if let Some(detail) = late {
            self.violate(Rule::Staleness, end_us, name, detail);
        }
    }

    /// Once the feed is quiet the client holds the last state of every bar that changed since it
    /// subscribed, or knows of the hole.
    pub(crate) fn check_bars_held(&mut self, truth: &Truth, now_us: u64, name: &str) {
        let Some(symbol) = self.truth_of(truth, name) else { return };
        for channel in Channel::BARS {
            let cursor = self.cursor(name, channel);
            if !cursor.subscribed {
                continue;
            }
            let changes = symbol.bars(channel);
            let missing = unsent(changes, cursor).find(|change| !is_followed(changes, change));
            if let Some(change) = missing {
                let detail = format!(
                    "{} ends at {}, {} is missing",
                    channel.name(),
                    cursor.sequence,
                    change.sequence
                );
                self.violate(Rule::Convergence, now_us, name, detail);
            }
        }
    }

    fn capacity(&self, channel: Channel) -> usize {
        let at = Channel::BARS.iter().position(|of_bars| *of_bars == channel);
        at.map_or(0, |at| self.config.bar_capacities[at])
    }
}

/// True where a closed bar changed after `sequence`: it takes along what changed before it.
fn takes_along(changes: &[BarTruth], moment: Moment, sequence: u64) -> bool {
    let from = changes.partition_point(|change| change.sequence <= sequence);
    let seen = changes[from..].iter().take_while(|change| change.at_us <= moment.first_byte_us);
    seen.into_iter().any(|change| change.bar.flags & CLOSED != 0)
}

/// Where the change of a sequence is.
fn place(changes: &[BarTruth], sequence: u64) -> Option<usize> {
    changes.binary_search_by_key(&sequence, |change| change.sequence).ok()
}

/// What changed since the client has what it has, and must come.
fn unsent<'a>(changes: &'a [BarTruth], cursor: &Cursor) -> impl Iterator<Item = &'a BarTruth> {
    let from = changes.partition_point(|change| change.sequence <= cursor.sequence);
    let since_us = cursor.since_us;
    changes[from..].iter().filter(move |change| since_us == 0 || change.at_us > since_us)
}

/// True where the bar has changed again.
fn is_followed(changes: &[BarTruth], change: &BarTruth) -> bool {
    let from = changes.partition_point(|later| later.sequence <= change.sequence);
    changes[from..].iter().any(|later| later.bar.start_s == change.bar.start_s)
}

/// Beginnings of the closed bars that have given way to newer ones.
fn gone_by(changes: &[BarTruth], at_us: u64, capacity: usize) -> Vec<i64> {
    let seen = &changes[..changes.partition_point(|change| change.at_us <= at_us)];
    let mut closed: Vec<i64> = Vec::new();
    for change in seen.iter().filter(|change| change.bar.flags & CLOSED != 0) {
        if !closed.contains(&change.bar.start_s) {
            closed.push(change.bar.start_s);
        }
    }
    closed.truncate(closed.len().saturating_sub(capacity));
    closed
}

/// The state of every bar at a time, by its beginning.
fn latest(changes: &[BarTruth], at_us: u64) -> std::collections::BTreeMap<i64, &BarTruth> {
    let known = changes.iter().filter(|change| change.at_us < at_us);
    known.map(|change| (change.bar.start_s, change)).collect()
}

/// Since when what the change at `at` brings has waited: as any state, and as a closed bar.
fn waits(changes: &[BarTruth], held: u64, at: usize) -> impl Iterator<Item = (u64, bool)> {
    let from = changes.partition_point(|change| change.sequence <= held);
    let start_s = changes[at].bar.start_s;
    let of_this = move |change: &&BarTruth| change.bar.start_s == start_s;
    let new = changes[from.min(at)..=at].iter();
    let first = new.clone().find(of_this);
    let first_closed = new.filter(of_this).find(|change| change.bar.flags & CLOSED != 0);
    let closed = first_closed.map(|change| (change.at_us, true));
    first.map(|change| (change.at_us, false)).into_iter().chain(closed)
}

/// True for an entry that says what is true, in the scale of its definition.
fn is_it(truly: &BarTruth, told: &Bar, exponents: (i32, i32)) -> bool {
    let scale = |number: Option<i64>, unit| match number {
        Some(number) => rescale(number, unit, truly.exponents, exponents).map(Some),
        None => Some(None),
    };
    let Bar { start_s, prices, volume, vwap, trade_count, flags } = truly.bar;
    let is_inexact = told.flags & INEXACT != 0;
    let same_prices = || {
        prices.iter().zip(told.prices).all(|(price, told)| scale(*price, Unit::Price) == Some(told))
    };
    (start_s, trade_count, flags & !INEXACT)
        == (told.start_s, told.trade_count, told.flags & !(INEXACT | LOST))
        && scale(volume, Unit::Size) == Some(told.volume)
        && scale(vwap, Unit::Vwap) == Some(told.vwap)
        && (is_inexact || same_prices())
}
