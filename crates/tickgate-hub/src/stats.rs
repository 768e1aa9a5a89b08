//! Counters: gathered by a publisher over a batch without atomics, then added once.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::refusal::Refusal;

/// Figures since start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HubStats {
    /// Quotes applied.
    pub quotes: u64,
    /// Trades applied.
    pub trades: u64,
    /// Cancels and corrections applied.
    pub corrections: u64,
    /// Status changes of symbols; repetitions of what holds already are not counted.
    pub statuses: u64,
    /// Trading sessions begun, of each symbol; repetitions are not counted.
    pub sessions: u64,
    /// Bars closed by the feed's clock.
    pub bars_closed: u64,
    /// Changes of closed bars by late trades, cancels and corrections.
    pub bars_revised: u64,
    /// Trades and corrections that are missing in a bar: without a time of the venue, too far ahead
    /// of the feed's clock, or for a bar that is not held any more.
    pub trades_unplaced: u64,
    /// Batches that were not empty, or whose clock passed a second.
    pub batches: u64,
    /// Listings and ticks refused, by [`Refusal::label`]; all reasons, in the order of
    /// [`Refusal::ALL`].
    pub refused: Vec<(&'static str, u64)>,
    /// Symbols listed.
    pub symbols: u64,
    /// The epoch.
    pub epoch: u64,
}

/// What a tick did, for counting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Event {
    Quote,
    Trade,
    Correction,
    Status,
    Session,
    BarClosed,
    BarRevised,
    TradeUnplaced,
    Batch,
}

const EVENTS: usize = Event::Batch as usize + 1;
const REFUSALS: usize = Refusal::ALL.len();

/// Counts of one batch.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    events: [u64; EVENTS],
    refused: [u64; REFUSALS],
}

impl Tally {
    pub(crate) fn count(&mut self, event: Event) {
        self.events[event as usize] += 1;
    }

    pub(crate) fn count_many(&mut self, event: Event, count: u64) {
        self.events[event as usize] += count;
    }

    pub(crate) fn refuse(&mut self, refusal: Refusal) {
        self.refused[refusal as usize] += 1;
    }
}

/// The totals.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    events: [AtomicU64; EVENTS],
    refused: [AtomicU64; REFUSALS],
}

impl Counters {
    /// Adds a tally and empties it.
    pub(crate) fn add(&self, tally: &mut Tally) {
        let events = self.events.iter().zip(&mut tally.events);
        let refused = self.refused.iter().zip(&mut tally.refused);
        for (total, count) in events.chain(refused) {
            if *count > 0 {
                total.fetch_add(std::mem::take(count), Relaxed);
            }
        }
    }

    pub(crate) fn stats(&self, symbols: usize, epoch: u64) -> HubStats {
        let event = |event: Event| self.events[event as usize].load(Relaxed);
        let refused =
            |refusal: Refusal| (refusal.label(), self.refused[refusal as usize].load(Relaxed));
        HubStats {
            quotes: event(Event::Quote),
            trades: event(Event::Trade),
            corrections: event(Event::Correction),
            statuses: event(Event::Status),
            sessions: event(Event::Session),
            bars_closed: event(Event::BarClosed),
            bars_revised: event(Event::BarRevised),
            trades_unplaced: event(Event::TradeUnplaced),
            batches: event(Event::Batch),
            refused: Refusal::ALL.map(refused).into(),
            symbols: symbols as u64,
            epoch,
        }
    }
}
