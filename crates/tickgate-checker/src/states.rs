//! Quotes and last-trade figures: the state held after an entry is the true one at its sequence.

use crate::{
    checker::Checker,
    cursor::Sent,
    frames::Moment,
    rule::Rule,
    truth::{Truth, rescale},
    wire::{Channel, Fields, Step},
};

/// A state entry's own fields.
pub(crate) struct StateParts {
    pub(crate) channel: Channel,
    pub(crate) step: Step,
    pub(crate) age_us: Option<i64>,
    pub(crate) mask: u16,
    pub(crate) fields: Fields,
}

impl Checker {
    pub(crate) fn state(
        &mut self,
        truth: &Truth,
        moment: Moment,
        name: &str,
        id: u32,
        parts: StateParts,
    ) {
        let StateParts { channel, step, age_us, mask, fields } = parts;
        let selection = self.interest.selection(name, channel);
        let now_us = moment.now_us;
        let cursor = self.cursor(name, channel);
        let previous = cursor.log.last().copied();
        let owed = cursor.owed.is_some();
        let asked = owed || cursor.repeat;
        let (held_sequence, held_fields) = (cursor.sequence, cursor.fields);
        let mut unselected = mask & !selection;
        let (sequence, mut held) = match step {
            Step::Full(sequence) => {
                unselected =
                    (0..8).filter(|bit| fields[*bit].is_some()).fold(0, |m, bit| m | 1 << bit)
                        & !selection;
                if !asked && previous.is_some_and(|previous| previous.sequence == sequence) {
                    self.violate(Rule::SnapshotFirst, now_us, name, "a full entry for nothing");
                }
                (sequence, fields)
            }
            Step::Delta(advance) => {
                if owed {
                    let detail = format!("a {} delta before its full entry", channel.name());
                    self.violate(Rule::SnapshotFirst, now_us, name, detail);
                }
                if advance == 0 {
                    self.violate(Rule::Order, now_us, name, "a delta that advances by nothing");
                }
                let mut held = held_fields;
                for (bit, field) in fields.iter().enumerate() {
                    if mask & 1 << bit != 0 {
                        held[bit] = *field;
                    }
                }
                (held_sequence + advance, held)
            }
        };
        if unselected != 0 {
            let detail = format!("fields {unselected:#b} of {} not selected", channel.name());
            self.violate(Rule::Selection, now_us, name, detail);
        }
        if previous.is_some() && sequence < held_sequence {
            let detail = format!("{} {sequence} after {held_sequence}", channel.name());
            self.violate(Rule::Order, now_us, name, detail);
        }
        let Some(symbol) = self.truth_of(truth, name) else { return };
        let exponents = self.ids.get(&id).map_or((0, 0), |known| known.exponents);
        let (expected, event_ns) = match symbol.state(channel, sequence) {
            Some(state) => {
                let fields = convert(channel, state.fields, state.exponents, exponents);
                (fields, state.event_ns)
            }
            None if sequence == 0 => (Some(Fields::default()), None),
            None => {
                let detail = format!("{} {sequence} does not exist", channel.name());
                self.violate(Rule::Order, now_us, name, detail);
                (Some(held), None)
            }
        };
        let selected = |fields: Fields| select(fields, selection);
        if expected.map(selected) != Some(selected(held)) {
            let like = symbol.states(channel).iter().rev().find(|state| {
                convert(channel, state.fields, state.exponents, exponents).map(selected)
                    == Some(selected(held))
            });
            let like = like.map(|state| state.sequence);
            let detail = format!(
                "{} {sequence} is {:?}, truly {:?}; the state of {like:?}",
                channel.name(),
                selected(held),
                expected.map(selected)
            );
            self.violate(Rule::Value, now_us, name, detail);
            held = expected.unwrap_or(held);
        }
        self.check_age(moment, name, event_ns, age_us);
        if channel == Channel::Quote {
            self.check_flags(moment, name, selection, held);
        }
        if let Some(previous) = previous {
            if !asked {
                self.check_distance(moment, name, channel, previous);
            }
            if sequence > previous.sequence {
                self.check_lateness(symbol, moment, name, (channel, sequence), previous);
            }
        }

        let cursor = self.cursor(name, channel);
        if previous.is_none() {
            cursor.books.joined = sequence;
            cursor.books.joins += 1;
        } else {
            let by = sequence.saturating_sub(cursor.sequence);
            match step {
                Step::Full(_) => cursor.books.skipped += by,
                Step::Delta(_) => cursor.books.advance(by, moment.cause),
            }
        }
        cursor.sequence = sequence;
        cursor.fields = held;
        if matches!(step, Step::Full(_)) {
            cursor.owed = None;
            cursor.repeat = false;
            cursor.fulls += 1;
        }
        cursor.log.push(Sent { formed_us: moment.formed_us, sequence, selection, asked });
    }

    /// Crossed (1) and locked (2) follow from the prices, where all three fields are held.
    fn check_flags(&mut self, moment: Moment, name: &str, selection: u16, held: Fields) {
        if selection & 0b10101 != 0b10101 {
            return;
        }
        let expected = match (held[0], held[2]) {
            (Some(bid), Some(ask)) if bid > ask => 1,
            (Some(bid), Some(ask)) if bid == ask => 2,
            _ => 0,
        };
        if held[4].unwrap_or(0) & 3 != expected {
            let detail = format!("flags {:?} with {:?} against {:?}", held[4], held[0], held[2]);
            self.violate(Rule::Flags, moment.now_us, name, detail);
        }
    }
}

/// Fields that were not selected are nothing to the client.
pub(crate) fn select(fields: Fields, selection: u16) -> Fields {
    std::array::from_fn(|bit| fields[bit].filter(|_| selection & 1 << bit != 0))
}

/// A state in the scale of another definition; `None` where that has no integers for it.
fn convert(channel: Channel, fields: Fields, from: (i32, i32), to: (i32, i32)) -> Option<Fields> {
    let mut converted = fields;
    for (position, (_, unit)) in channel.fields().iter().enumerate() {
        if let Some(field) = fields[position] {
            converted[position] = Some(rescale(field, *unit, from, to)?);
        }
    }
    Some(converted)
}
