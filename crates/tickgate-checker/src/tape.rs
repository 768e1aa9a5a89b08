//! The tape: joined where it stood, each trade once and in order, holes declared and only then.

use crate::{
    checker::Checker,
    cursor::Sent,
    frames::Moment,
    rule::Rule,
    truth::{Truth, rescale},
    wire::{Channel, TapeEvent, Unit},
};

impl Checker {
    pub(crate) fn joined(
        &mut self,
        truth: &Truth,
        moment: Moment,
        name: &str,
        id: u32,
        sequence: u64,
        volume: Option<i64>,
    ) {
        let Some(symbol) = self.truth_of(truth, name) else { return };
        let exponents = self.ids.get(&id).map_or((0, 0), |known| known.exponents);
        let head = symbol.head(Channel::Trade, moment.first_byte_us);
        let cursor = self.cursor(name, Channel::Trade);
        let Some(asked_us) = cursor.owed.take() else {
            let detail = format!("trades joined at {sequence}, which nobody asked for");
            return self.violate(Rule::Join, moment.now_us, name, detail);
        };
        // A sequence before the epoch's first is another epoch's.
        let resumed = cursor.resume.take().filter(|at| (symbol.tape_base..=head).contains(at));
        cursor.repeat = false;
        cursor.fulls += 1;
        cursor.sequence = sequence;
        cursor.books.joined = sequence;
        cursor.books.joins += 1;
        cursor.log.push(Sent { formed_us: moment.formed_us, sequence, selection: 0, asked: true });
        let earliest = symbol.head(Channel::Trade, asked_us.saturating_sub(1));
        let before = resumed.filter(|at| *at <= earliest);
        let fresh = |resumed: Option<u64>| resumed.is_none_or(|at| at > earliest);
        let true_volume = match sequence {
            0 => Some(0),
            // Nothing traded in this epoch yet.
            base if base == symbol.tape_base => Some(0),
            _ => symbol
                .trade(sequence)
                .and_then(|trade| rescale(trade.volume, Unit::Size, trade.exponents, exponents)),
        };
        // One that began while the joining was on its way may be in it or not.
        let session_us = symbol.session_behind(sequence);
        let is_new = |by_us| session_us.is_some_and(|at_us| at_us <= by_us);
        let is_true_volume = (volume == true_volume && !is_new(asked_us))
            || (volume == Some(0) && is_new(moment.first_byte_us));
        let as_resumed = resumed == Some(sequence) && volume.is_none();
        let as_fresh = (earliest..=head).contains(&sequence) && is_true_volume;
        if !(as_resumed || (fresh(resumed) && as_fresh)) {
            let detail = format!(
                "joined at {sequence} with volume {volume:?}; resume {before:?}, head {earliest} \
                 to {head}, volume {true_volume:?}"
            );
            self.violate(Rule::Join, moment.now_us, name, detail);
        }
    }

    pub(crate) fn trade(
        &mut self,
        truth: &Truth,
        moment: Moment,
        name: &str,
        id: u32,
        (sequence, age_us, event): (u64, Option<i64>, TapeEvent),
    ) {
        let now_us = moment.now_us;
        let Some(symbol) = self.truth_of(truth, name) else { return };
        let exponents = self.ids.get(&id).map_or((0, 0), |known| known.exponents);
        let view = self.view(name);
        let status = view.status;
        let cursor = view.cursor(Channel::Trade);
        let (held, owed) = (cursor.sequence, cursor.owed.is_some());
        let joined_us = cursor.log.first().map_or(0, |first| first.formed_us);
        let previous = cursor.log.last().copied();
        if owed {
            let detail = format!("trade {sequence} before trades joined");
            self.violate(Rule::Join, now_us, name, detail);
        } else if sequence <= held {
            let detail = format!("trade {sequence} after {held}");
            self.violate(Rule::TradeOrder, now_us, name, detail);
        } else if sequence > held + 1 {
            let detail = format!("trade {sequence} after {held}, nothing declared lost");
            self.violate(Rule::TradeHole, now_us, name, detail);
        }
        match symbol.trade(sequence) {
            None => {
                let detail = format!("trade {sequence} does not exist");
                self.violate(Rule::TradeOrder, now_us, name, detail);
            }
            Some(record) => {
                let expected = convert_event(record.event, record.exponents, exponents);
                if expected != Some(event) {
                    let detail = format!("trade {sequence} is {event:?}, truly {expected:?}");
                    self.violate(Rule::TradeValue, now_us, name, detail);
                }
                self.check_age(moment, name, record.event_ns, age_us);
                let changed_us = record.at_us.max(joined_us);
                if let Some(previous) = previous {
                    let until_us = moment.formed_us;
                    let bound_us = self.bound(name, Channel::Trade, changed_us, until_us, previous);
                    self.check_wait(moment, name, changed_us, bound_us, Rule::Staleness);
                }
            }
        }
        if let Some(status) = status {
            let status_head = symbol.status_head(moment.first_byte_us).map_or(0, |s| s.sequence);
            let overtaken = symbol.statuses.iter().find(|record| {
                record.sequence > status
                    && record.after_trade < sequence
                    && record.sequence + self.config.status_capacity > status_head
            });
            if let Some(record) = overtaken {
                let detail = format!(
                    "trade {sequence} before status {}, which came after trade {}",
                    record.sequence, record.after_trade
                );
                self.violate(Rule::StatusOrder, now_us, name, detail);
            }
        }
        let cursor = self.cursor(name, Channel::Trade);
        cursor.sequence = sequence;
        cursor.books.sent += 1;
        cursor.log.push(Sent { formed_us: moment.formed_us, sequence, selection: 0, asked: false });
    }

    pub(crate) fn lost(
        &mut self,
        truth: &Truth,
        moment: Moment,
        name: &str,
        (from, to, size, origin): (Option<u64>, Option<u64>, Option<i64>, i64),
    ) {
        let Some(symbol) = self.truth_of(truth, name) else { return };
        let capacity = self.config.tape_capacity;
        let head = symbol.head(Channel::Trade, moment.first_byte_us);
        let cursor = self.cursor(name, Channel::Trade);
        let held = cursor.sequence;
        let fault = match (origin, from, to) {
            (0, Some(from), Some(to)) => {
                let sizes = (from..=to.min(head)).map(|at| match symbol.trade(at)?.event {
                    TapeEvent::Trade { size, .. } => size,
                    TapeEvent::Correction { .. } => None,
                });
                // With a correction among them, what the sizes add up to is not fixed.
                let sum: Option<i64> = sizes.sum();
                if cursor.owed.is_some() {
                    Some("before trades joined".to_owned())
                } else if from != held + 1 || to < from {
                    Some(format!("the client holds {held}"))
                } else if to + capacity > head {
                    Some(format!(
                        "the tape reaches from {} to {head}",
                        head + 1 - capacity.min(head)
                    ))
                } else if sum.is_some() && size.is_some() && size != sum {
                    Some(format!("size {size:?}, truly {sum:?}"))
                } else {
                    None
                }
            }
            (1, ..) => {
                let known =
                    symbol.losses.iter().any(|l| (l.from, l.to, l.size) == (from, to, size));
                (!known).then(|| "the feed lost no such thing".to_owned())
            }
            _ => Some("without bounds".to_owned()),
        };
        if let Some(to) = to
            && to > held
        {
            cursor.books.lost += to - held;
            cursor.sequence = to;
            cursor.log.push(Sent {
                formed_us: moment.formed_us,
                sequence: to,
                selection: 0,
                asked: false,
            });
        }
        if let Some(fault) = fault {
            let detail = format!("lost {from:?} to {to:?}: {fault}");
            self.violate(Rule::LostRange, moment.now_us, name, detail);
        }
    }
}

fn convert_event(event: TapeEvent, from: (i32, i32), to: (i32, i32)) -> Option<TapeEvent> {
    let scale = |number: Option<i64>, unit| match number {
        Some(number) => rescale(number, unit, from, to).map(Some),
        None => Some(None),
    };
    Some(match event {
        TapeEvent::Trade { price, size, flags, trade_id } => TapeEvent::Trade {
            price: scale(price, Unit::Price)?,
            size: scale(size, Unit::Size)?,
            flags,
            trade_id,
        },
        TapeEvent::Correction { corrects, what, price, size } => TapeEvent::Correction {
            corrects,
            what,
            price: scale(price, Unit::Price)?,
            size: scale(size, Unit::Size)?,
        },
    })
}
