//! What waits for one consumer, bounded.
//!
//! States wait as marks, not as values: "the quote of slot 3 has something new". The value is read
//! when the consumer comes, so it is the newest, and a slow consumer costs no more memory than a
//! fast one. Trades, corrections, losses and statuses are events: they wait as themselves, up to a
//! capacity; past it the oldest are folded into a range per symbol, which is told first.

use std::{collections::VecDeque, task::Waker};

use tickgate_protocol::{command::ErrorCode, entry::StatusEntry, number::Decimal};

use crate::update::{
    Correction, Joined, LossOrigin, Lost, Scale, StatusChange, Symbol, Trade, Update,
};

/// One symbol of a subscription.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) symbol: Symbol,
    /// Sequence of the quote that was yielded last, and of the figures.
    pub(crate) seen_quote: Option<u64>,
    pub(crate) seen_last: Option<u64>,
    /// Why the symbol cannot be had, until it was told.
    pub(crate) rejected: Option<ErrorCode>,
    marked: u8,
    owed: Option<Box<Owed>>,
}

impl Slot {
    fn new(symbol: Symbol) -> Self {
        let (seen_quote, seen_last, rejected, owed) = (None, None, None, None);
        Self { symbol, seen_quote, seen_last, rejected, marked: 0, owed }
    }
}

/// What was folded for one symbol because the buffer was full, in the order in which it is told.
#[derive(Debug, Default)]
struct Owed {
    joined: Option<Joined>,
    lost: Option<Lost>,
    status: Option<StatusChange>,
}

/// What changed of a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Definition,
    Quote,
    Last,
    Rejected,
}

/// Something to be told, by its newest value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark {
    Slot(usize, State),
    Ready,
    Feed,
    Epoch,
    Connection,
}

/// Something that happened.
#[derive(Debug)]
pub(crate) enum Event {
    Joined(Joined),
    Trade(Trade),
    Correction(Correction),
    Lost(Lost),
    Status(StatusChange),
}

/// What a consumer takes.
#[derive(Debug)]
pub(crate) enum Taken {
    /// Its value is to be read now.
    Mark(Mark),
    /// As it is.
    Event(Event),
}

impl From<Event> for Update {
    fn from(event: Event) -> Self {
        match event {
            Event::Joined(joined) => Self::Joined(joined),
            Event::Trade(trade) => Self::Trade(trade),
            Event::Correction(correction) => Self::Correction(correction),
            Event::Lost(lost) => Self::Lost(lost),
            Event::Status(status) => Self::Status(status),
        }
    }
}

/// An item with its place: tickets order both queues, frames say what is not processed yet.
#[derive(Debug)]
struct Placed<T> {
    ticket: u64,
    frame: u64,
    item: T,
}

/// What waits for one consumer.
///
/// | what | capacity | when full | counter |
/// |---|---|---|---|
/// | `marks` | 4 a slot, and 4 | cannot be: what is marked stays marked | `merged` of the update |
/// | `events` | `capacity` | the oldest is folded into its slot's `owed` | `dropped` |
/// | `owed` | one a slot | ranges grow, statuses replace | as above |
#[derive(Debug)]
pub(crate) struct Mailbox {
    pub(crate) slots: Vec<Slot>,
    marks: VecDeque<Placed<Mark>>,
    events: VecDeque<Placed<(usize, Event)>>,
    owed: VecDeque<usize>,
    capacity: usize,
    next_ticket: u64,
    marked: u8,
    /// Trades and corrections that an epoch discarded and that were not told yet.
    pub(crate) discarded: u64,
    /// Trades, corrections and statuses that did not fit.
    pub(crate) dropped: u64,
    /// Woken when something came.
    pub(crate) waker: Option<Waker>,
}

impl Mailbox {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            slots: Vec::new(),
            marks: VecDeque::new(),
            events: VecDeque::new(),
            owed: VecDeque::new(),
            capacity: capacity.max(1),
            next_ticket: 0,
            marked: 0,
            discarded: 0,
            dropped: 0,
            waker: None,
        }
    }

    /// A new slot; its position.
    pub(crate) fn add_slot(&mut self, symbol: Symbol) -> usize {
        self.slots.push(Slot::new(symbol));
        self.slots.len() - 1
    }

    /// Notes that there is something new, by frame number `frame`.
    pub(crate) fn mark(&mut self, mark: Mark, frame: u64) {
        let bit = bit_of(mark);
        let marked = match mark {
            Mark::Slot(slot, _) => &mut self.slots[slot].marked,
            _ => &mut self.marked,
        };
        if *marked & bit == 0 {
            *marked |= bit;
            let ticket = self.ticket();
            self.marks.push_back(Placed { ticket, frame, item: mark });
        }
        self.wake();
    }

    /// Takes an event of a slot; the oldest of all makes room for it when the buffer is full.
    pub(crate) fn push(&mut self, slot: usize, event: Event, frame: u64) {
        if self.events.len() >= self.capacity
            && let Some(Placed { item: (slot, oldest), .. }) = self.events.pop_front()
        {
            self.fold(slot, oldest);
        }
        let ticket = self.ticket();
        self.events.push_back(Placed { ticket, frame, item: (slot, event) });
        self.wake();
    }

    /// The next thing to tell: what was folded, then whatever came first.
    pub(crate) fn take(&mut self) -> Option<Taken> {
        if let Some(event) = self.take_owed() {
            return Some(Taken::Event(event));
        }
        let ticket_of_mark = self.marks.front().map(|placed| placed.ticket);
        let ticket_of_event = self.events.front().map(|placed| placed.ticket);
        let mark_is_next = match (ticket_of_mark, ticket_of_event) {
            (Some(mark), Some(event)) => mark < event,
            (mark, _) => mark.is_some(),
        };
        if !mark_is_next {
            return self.events.pop_front().map(|placed| Taken::Event(placed.item.1));
        }
        let mark = self.marks.pop_front()?.item;
        match mark {
            Mark::Slot(slot, _) => self.slots[slot].marked &= !bit_of(mark),
            _ => self.marked &= !bit_of(mark),
        }
        Some(Taken::Mark(mark))
    }

    /// The earliest frame of which something waits; `None` when nothing does.
    pub(crate) fn earliest_frame(&self) -> Option<u64> {
        let mark = self.marks.front().map(|placed| placed.frame);
        let event = self.events.front().map(|placed| placed.frame);
        match (mark, event) {
            (Some(mark), Some(event)) => Some(mark.min(event)),
            (mark, event) => mark.or(event),
        }
    }

    /// A new connection numbers its frames anew: what waits came before all of them.
    pub(crate) fn begin_connection(&mut self) {
        self.marks.iter_mut().for_each(|placed| placed.frame = 0);
        self.events.iter_mut().for_each(|placed| placed.frame = 0);
    }

    /// Everything of symbols is void: discards it, and marks the epoch instead.
    pub(crate) fn begin_epoch(&mut self, frame: u64) {
        let connection = self.marked & bit_of(Mark::Connection) != 0;
        let trades = |placed: &&Placed<(usize, Event)>| {
            matches!(placed.item.1, Event::Trade(_) | Event::Correction(_))
        };
        self.discarded += self.events.iter().filter(trades).count() as u64;
        self.marks.clear();
        self.events.clear();
        self.owed.clear();
        self.marked = 0;
        for slot in &mut self.slots {
            *slot = Slot::new(slot.symbol.clone());
        }
        if connection {
            self.mark(Mark::Connection, frame);
        }
        self.mark(Mark::Epoch, frame);
    }

    fn ticket(&mut self) -> u64 {
        self.next_ticket += 1;
        self.next_ticket
    }

    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    fn fold(&mut self, slot: usize, event: Event) {
        if !matches!(event, Event::Joined(_) | Event::Lost(_)) {
            self.dropped += 1;
        }
        let owed = &mut self.slots[slot].owed;
        if owed.is_none() {
            self.owed.push_back(slot);
        }
        let owed = owed.get_or_insert_default();
        match event {
            // What was lost before a tape was joined anew lies behind it.
            Event::Joined(joined) => {
                if !joined.resumed {
                    owed.lost = None;
                }
                owed.joined = Some(joined);
            }
            Event::Trade(Trade { symbol, sequence, size, .. }) => {
                extend(&mut owed.lost, consumer_lost(symbol, sequence, size));
            }
            // It adds no size of its own.
            Event::Correction(Correction { symbol, sequence, size, .. }) => {
                let size = size.map(|size| Decimal { mantissa: 0, ..size });
                extend(&mut owed.lost, consumer_lost(symbol, sequence, size));
            }
            Event::Lost(lost) => {
                extend(&mut owed.lost, Lost { origin: LossOrigin::Consumer, ..lost });
            }
            Event::Status(status) => {
                let before = owed.status.take().map_or(0, |before| before.missed + 1);
                owed.status = Some(StatusChange { missed: status.missed + before, ..status });
            }
        }
    }

    fn take_owed(&mut self) -> Option<Event> {
        let slot = *self.owed.front()?;
        let owed = self.slots[slot].owed.as_mut();
        let event = owed.and_then(|owed| {
            let joined = owed.joined.take().map(Event::Joined);
            let lost = || owed.lost.take().map(Event::Lost);
            joined.or_else(lost).or_else(|| owed.status.take().map(Event::Status))
        });
        if event.is_some() {
            return event;
        }
        self.owed.pop_front();
        self.slots[slot].owed = None;
        self.take_owed()
    }
}

impl Event {
    /// A status that is told as it is.
    pub(crate) fn status(scale: &Scale, entry: &StatusEntry) -> Self {
        Self::Status(StatusChange {
            symbol: scale.symbol.clone(),
            sequence: entry.status_sequence,
            status: entry.status,
            reason: entry.reason,
            missed: 0,
        })
    }
}

const fn bit_of(mark: Mark) -> u8 {
    match mark {
        Mark::Slot(_, State::Definition) | Mark::Ready => 1,
        Mark::Slot(_, State::Quote) | Mark::Feed => 2,
        Mark::Slot(_, State::Last) | Mark::Epoch => 4,
        Mark::Slot(_, State::Rejected) | Mark::Connection => 8,
    }
}

fn consumer_lost(symbol: Symbol, sequence: u64, size: Option<Decimal>) -> Lost {
    Lost { symbol, from: Some(sequence), to: Some(sequence), size, origin: LossOrigin::Consumer }
}

/// Events of a symbol are folded in the order of its tape, so that ranges touch.
fn extend(range: &mut Option<Lost>, next: Lost) {
    let Some(range) = range else {
        *range = Some(next);
        return;
    };
    range.size = match (range.size, next.size) {
        (Some(sum), Some(size)) if sum.exponent == size.exponent => {
            sum.mantissa.checked_add(size.mantissa).map(|mantissa| Decimal { mantissa, ..sum })
        }
        _ => None,
    };
    range.from = range.from.or(next.from);
    range.to = next.to.or(range.to);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trade(symbol: &Symbol, sequence: u64) -> Event {
        Event::Trade(Trade {
            symbol: symbol.clone(),
            sequence,
            time_us: None,
            price: None,
            size: Some(Decimal { mantissa: 10, exponent: 0 }),
            flags: 0,
            trade_id: None,
        })
    }

    fn sequences(mailbox: &mut Mailbox) -> Vec<String> {
        let mut told = Vec::new();
        while let Some(taken) = mailbox.take() {
            told.push(match taken {
                Taken::Event(Event::Trade(trade)) => format!("{} {}", trade.symbol, trade.sequence),
                Taken::Event(Event::Lost(lost)) => {
                    let (from, to) = (lost.from.expect("known"), lost.to.expect("known"));
                    let size = lost.size.expect("known").mantissa;
                    format!("{} lost {from}-{to} size {size}", lost.symbol)
                }
                Taken::Event(Event::Status(status)) => {
                    format!("{} {} missed {}", status.symbol, status.sequence, status.missed)
                }
                Taken::Event(other) => format!("{other:?}"),
                Taken::Mark(mark) => format!("{mark:?}"),
            });
        }
        told
    }

    #[test]
    fn marks_and_events_are_told_in_the_order_in_which_they_came() {
        let mut mailbox = Mailbox::new(8);
        let a: Symbol = "A".into();
        let slot = mailbox.add_slot(a.clone());
        mailbox.mark(Mark::Slot(slot, State::Quote), 1);
        mailbox.push(slot, trade(&a, 1), 1);
        mailbox.mark(Mark::Ready, 2);
        mailbox.mark(Mark::Slot(slot, State::Quote), 3);
        assert_eq!(mailbox.earliest_frame(), Some(1));
        assert_eq!(sequences(&mut mailbox), ["Slot(0, Quote)", "A 1", "Ready"]);
        assert_eq!(mailbox.earliest_frame(), None);
    }

    #[test]
    fn a_full_buffer_keeps_the_newest_and_names_the_range_it_gave_up() {
        let mut mailbox = Mailbox::new(3);
        let symbols: [Symbol; 2] = ["A".into(), "B".into()];
        let slots = symbols.each_ref().map(|symbol| mailbox.add_slot(symbol.clone()));
        for sequence in 1..=5 {
            mailbox.push(slots[0], trade(&symbols[0], sequence), sequence);
        }
        mailbox.push(slots[1], trade(&symbols[1], 71), 6);
        mailbox.push(slots[0], trade(&symbols[0], 6), 7);
        let told = sequences(&mut mailbox);
        assert_eq!(told, ["A lost 1-4 size 40", "A 5", "B 71", "A 6"]);
        assert_eq!(mailbox.dropped, 4);
    }

    #[test]
    fn statuses_that_do_not_fit_leave_the_newest_and_a_count() {
        let mut mailbox = Mailbox::new(1);
        let a: Symbol = "A".into();
        let slot = mailbox.add_slot(a.clone());
        for sequence in 1..=3 {
            let status = StatusChange {
                symbol: a.clone(),
                sequence,
                status: tickgate_protocol::tick::Status::Halted,
                reason: tickgate_protocol::tick::Reason::None,
                missed: 0,
            };
            mailbox.push(slot, Event::Status(status), sequence);
        }
        mailbox.push(slot, trade(&a, 9), 4);
        assert_eq!(sequences(&mut mailbox), ["A 3 missed 2", "A 9"]);
    }

    #[test]
    fn an_epoch_discards_what_waited_and_says_how_much() {
        let mut mailbox = Mailbox::new(1);
        let a: Symbol = "A".into();
        let slot = mailbox.add_slot(a.clone());
        mailbox.push(slot, trade(&a, 1), 1);
        mailbox.push(slot, trade(&a, 2), 1);
        mailbox.mark(Mark::Connection, 2);
        mailbox.begin_epoch(3);
        assert_eq!(mailbox.discarded, 1);
        assert_eq!(sequences(&mut mailbox), ["Connection", "Epoch"]);
    }

    #[test]
    fn what_waits_across_connections_comes_before_every_new_frame() {
        let mut mailbox = Mailbox::new(4);
        let slot = mailbox.add_slot("A".into());
        mailbox.mark(Mark::Slot(slot, State::Quote), 90);
        mailbox.begin_connection();
        assert_eq!(mailbox.earliest_frame(), Some(0));
    }
}
