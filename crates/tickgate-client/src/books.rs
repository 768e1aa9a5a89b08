//! What the connection has told, and what the one before had, until it has come again.

use tickgate_protocol::{
    book::{Book, StatusState, SymbolState, Violation},
    channel::Channels,
    entry::Frame,
    tick::Status,
};
use tokio::time::Instant;

use crate::{
    latest::{Age, Doubts, Latest},
    update::Scale,
};

/// The book of the connection, over that of the connection before in the same epoch.
#[derive(Debug)]
pub(crate) struct Books {
    current: Book,
    previous: Option<Book>,
    /// The newest frame's time, and when it came.
    clock: Option<(i64, Instant)>,
}

impl Books {
    pub(crate) fn new() -> Self {
        Self { current: Book::new(), previous: None, clock: None }
    }

    /// A connection begins, in an epoch and at a time that `welcome` told.
    pub(crate) fn begin(&mut self, epoch: u64, time_us: i64, now: Instant) {
        let mut fresh = Book::new();
        fresh.begin(epoch);
        let before = std::mem::replace(&mut self.current, fresh);
        // A connection that told nothing hides nothing of the one before it.
        if before.symbols().next().is_some() {
            self.previous = Some(before);
        }
        self.clock = Some((time_us, now));
    }

    /// Takes a frame.
    ///
    /// # Errors
    /// The first [`Violation`]; the frame is not to be delivered then.
    pub(crate) fn apply(&mut self, frame: &Frame, now: Instant) -> Result<(), Violation> {
        self.clock = Some((frame.sent_at_us, now));
        self.current.apply(frame).into_iter().next().map_or(Ok(()), Err)
    }

    /// Everything has come again, or nothing of before means anything any more.
    pub(crate) fn drop_previous(&mut self) {
        self.previous = None;
    }

    pub(crate) fn frame_sequence(&self) -> u64 {
        self.current.frame_sequence()
    }

    /// Liveness of the feed, as far as this connection told it.
    pub(crate) fn feed(&self) -> Option<&StatusState> {
        self.current.feed()
    }

    /// A symbol of this connection.
    pub(crate) fn current(&self, name: &str) -> Option<&SymbolState> {
        self.current.symbol(name)
    }

    /// A symbol of this connection, or else of the one before.
    pub(crate) fn newest(&self, name: &str) -> Option<&SymbolState> {
        self.current(name).or_else(|| self.before(name))
    }

    /// The gateway says what of a symbol follows no more.
    pub(crate) fn forget(&mut self, name: &str, channels: Channels) {
        self.current.forget(name, channels);
        if let Some(previous) = &mut self.previous {
            previous.forget(name, channels);
        }
    }

    /// What is known of a symbol now.
    pub(crate) fn latest(&self, name: &str, is_connected: bool, now: Instant) -> Option<Latest> {
        let known = self.newest(name)?;
        // A channel comes after its definition: until then that of before is shown.
        let has_come = |state: Option<&SymbolState>, has: fn(&SymbolState) -> bool| {
            state.filter(|state| has(state)).is_some()
        };
        let source = |has: fn(&SymbolState) -> bool| {
            let is_old = !has_come(self.current(name), has) && has_come(self.before(name), has);
            (if is_old { self.before(name) } else { Some(known) }, is_old)
        };
        let (of_quote, quote_is_old) = source(|state| state.quote.fields.is_some());
        let (of_last, last_is_old) = source(|state| state.last.fields.is_some());
        let now_us = self.gateway_now_us(now);
        let scale = |state: &SymbolState| Scale::of(name.into(), &state.definition);
        let (quote, quote_age) = of_quote
            .and_then(|state| {
                let age = Age::at(now_us, state.quote.sent_at_us, state.quote.age_us);
                Some((scale(state).quote(&state.quote, 0)?, age))
            })
            .unzip();
        let (last, last_age) = of_last
            .and_then(|state| {
                let age = Age::at(now_us, state.last.sent_at_us, state.last.age_us);
                Some((scale(state).last(&state.last, 0)?, age))
            })
            .unzip();
        let is_old = self.current(name).is_none() || quote_is_old || last_is_old;
        let feed = self.feed().or_else(|| self.previous.as_ref()?.feed());
        Some(Latest {
            listing: scale(known).listing(&known.definition),
            quote,
            quote_age,
            last,
            last_age,
            status: known.status.status,
            status_reason: known.status.reason,
            doubts: Doubts {
                connection_lost: !is_connected || is_old,
                feed_stale: feed.is_some_and(|feed| feed.status == Status::Stale),
                not_trading: known.status.status != Status::Trading,
            },
        })
    }

    fn before(&self, name: &str) -> Option<&SymbolState> {
        self.previous.as_ref()?.symbol(name)
    }

    /// The gateway's Unix time now, as far as it can be told from here.
    fn gateway_now_us(&self, now: Instant) -> i64 {
        let Some((sent_at_us, received)) = self.clock else { return 0 };
        let since = now.saturating_duration_since(received).as_micros();
        sent_at_us.saturating_add(i64::try_from(since).unwrap_or(i64::MAX))
    }
}
