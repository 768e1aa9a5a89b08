//! The single writer of some of the symbols: sequences what passed the checks, applies and
//! publishes it.

use std::ops::Range;

use tickgate_protocol::{
    definition::Definition,
    entry::{last_field, quote_field},
    number::{ABSENT, LIMIT},
    tick::{
        Correction, CorrectionKind, Quote, Reason, SessionStart, Status, StatusChange, TickBody,
        Trade,
    },
};

use crate::{
    bar::Fill,
    bars::{self, BarCapacity, Bars, Changes, LEVELS},
    config::HubConfig,
    directory::Symbols,
    dirty::Touched,
    figures,
    refusal::Refusal,
    ring::Ring,
    scale::{Scale, Shift},
    series::Closing,
    session::{self, Session},
    state::StateRecord,
    stats::{Event, Tally},
    status::{self, StatusRead, StatusRecord},
    symbol::SymbolState,
    sync::Ordering,
    tape::{FoundTrade, TapeBody, TapeHead, TapeRecord, find_trade},
};

/// The right to write one shard's symbols. It lives in the shard's lock; whoever holds the lock is
/// the writer, and nobody else calls what writes a [`SymbolState`].
///
/// Between a feed and its symbols there is no queue: a publisher applies its batch itself and is
/// slowed while another holds the shard. A queue would hide that it is behind, and would need a
/// capacity, a policy and a counter to say so.
#[derive(Debug)]
pub(crate) struct Shard {
    tape_capacity: usize,
    status_capacity: usize,
    bar_capacity: BarCapacity,
    /// The feed's clock before the ticks that follow and after them; [`ABSENT`] before it was told.
    clock_ns: Range<i64>,
    /// Symbols with a bar in progress, of each length.
    in_progress: [Touched; LEVELS],
}

/// Sequences travel on the wire, so they end where its numbers do.
const SEQUENCE_LIMIT: u64 = LIMIT as u64;

impl Shard {
    pub(crate) fn new(config: &HubConfig) -> Self {
        Self {
            tape_capacity: config.tape_capacity,
            status_capacity: config.status_capacity,
            bar_capacity: config.bar_capacity(),
            clock_ns: ABSENT..ABSENT,
            in_progress: std::array::from_fn(|_| Touched::new(config.symbol_limit)),
        }
    }

    /// The feed's clock before the ticks that follow and after them.
    pub(crate) fn set_clock(&mut self, clock_ns: Range<i64>) {
        self.clock_ns = clock_ns;
    }

    /// Applies one tick that passed [`crate::refusal::check_tick`] and is at the symbol's scale;
    /// `position` is the symbol's. `None` when it said nothing new.
    ///
    /// # Errors
    /// The refusal; then nothing of the tick was applied.
    pub(crate) fn apply(
        &mut self,
        symbol: &SymbolState,
        position: usize,
        event_time_ns: i64,
        body: &TickBody,
        tally: &mut Tally,
    ) -> Result<Option<Event>, Refusal> {
        match body {
            TickBody::Quote(quote) => apply_quote(symbol, event_time_ns, quote).map(Some),
            TickBody::Trade(trade) => {
                self.apply_trade(symbol, position, event_time_ns, trade, tally).map(Some)
            }
            TickBody::Correction(correction) => {
                self.apply_correction(symbol, event_time_ns, correction, tally).map(Some)
            }
            TickBody::Status(change) => self.apply_status(symbol, event_time_ns, *change),
            TickBody::Session(start) => self.begin_session(symbol, event_time_ns, *start),
        }
    }

    /// Voids the symbol's state: cells become absent under a new sequence, the session's volume is
    /// 0 from the tape's head on, and the status is back to trading.
    ///
    /// A channel at its last sequence keeps its state: after 2^53 − 2 updates there is no number
    /// left to say so with.
    pub(crate) fn begin_epoch(&mut self, symbol: &SymbolState) {
        let id = symbol.id();
        let mut quote = symbol.quote.own(id);
        if (1..SEQUENCE_LIMIT).contains(&quote.sequence) {
            quote.advance(ABSENT, [ABSENT; quote_field::COUNT]);
            symbol.quote.write(&quote);
        }
        let mut last = symbol.last.own(id);
        if (1..SEQUENCE_LIMIT).contains(&last.sequence) {
            last.advance(ABSENT, [ABSENT; last_field::COUNT]);
            symbol.last.write(&last);
        }
        if let Some(bars) = symbol.bars.get() {
            bars.void();
        }
        let head = symbol.head.own(id);
        if head.sequence > 0 {
            symbol.head.write(TapeHead { volume: 0, ..head });
            symbol.epoch_tape.store(head.sequence, Ordering::Release);
        }
        if symbol.session.start_ns.load(Ordering::Relaxed) as i64 != ABSENT {
            // The session that began belongs to the epoch before; which one it is now is not known.
            symbol.restate(|definition| {
                (definition.session_date, definition.previous_close) = (0, ABSENT);
            });
        }
        symbol.session.begin(head.sequence, ABSENT);
        if current_status(symbol).status != Status::Trading {
            let trading = StatusChange { status: Status::Trading, reason: Reason::None };
            // Refused only at the last sequence, like the cells above.
            let _ = self.apply_status(symbol, ABSENT, trading);
        }
    }

    /// Publishes `definition`, whose scale is `shift` finer than the current one, then the state at
    /// that scale as new sequences. In this order: whoever reads a record can find its definition.
    ///
    /// # Errors
    /// [`Refusal::Range`] when a value does not fit the finer scale, [`Refusal::SequenceLimit`];
    /// then nothing changed.
    pub(crate) fn redefine(
        &mut self,
        symbol: &SymbolState,
        definition: Definition,
        shift: Shift,
    ) -> Result<(), Refusal> {
        let (old, id) = (symbol.id(), definition.id);
        let (mut quote, mut last) = (symbol.quote.own(old), symbol.last.own(old));
        let mut head = symbol.head.own(old);
        if quote.sequence.max(last.sequence) >= SEQUENCE_LIMIT {
            return Err(Refusal::SequenceLimit);
        }
        let quote_fields = figures::rescale_quote(quote.fields, shift)?;
        let last_fields = figures::rescale_last(last.fields, shift)?;
        head.volume = shift.size(head.volume)?;
        let bars = symbol.bars.get().map(|bars| Ok((bars, bars.rescaled(id, shift)?)));
        let bars = bars.transpose()?;

        symbol.define(definition);
        if quote.sequence > 0 {
            quote.id = id;
            quote.advance(quote.event_time_ns, quote_fields);
            symbol.quote.write(&quote);
        }
        if last.sequence > 0 {
            last.id = id;
            last.advance(last.event_time_ns, last_fields);
            symbol.last.write(&last);
        }
        if head.sequence > 0 {
            head.id = id;
            symbol.head.write(head);
        }
        if let Some((bars, rescaled)) = bars {
            bars.restate(rescaled);
        }
        Ok(())
    }

    fn apply_trade(
        &mut self,
        symbol: &SymbolState,
        position: usize,
        event_time_ns: i64,
        trade: &Trade,
        tally: &mut Tally,
    ) -> Result<Event, Refusal> {
        let id = symbol.id();
        let (mut head, mut last) = (symbol.head.own(id), symbol.last.own(id));
        check_sequences(&head, &last)?;
        let fields = figures::trade(last.fields, trade)?;

        head.sequence += 1;
        head.volume = fields[last_field::VOLUME];
        let Trade { price, size, .. } = *trade;
        let fill = Fill { time_ns: event_time_ns, price, size, sequence: head.sequence };
        let in_bars = match bars::is_eligible(trade.flags) {
            true => {
                let is_open = last.fields[last_field::OPEN] != fields[last_field::OPEN];
                symbol.session.trade(head.sequence, is_open);
                self.fold(symbol, position, &fill, tally)
            }
            false => 0,
        };
        let body = TapeBody::Trade(*trade);
        self.publish(symbol, &TapeRecord { id, event_time_ns, body, in_bars }, head);
        last.advance(event_time_ns, fields);
        symbol.last.write(&last);
        Ok(Event::Trade)
    }

    /// Folds an eligible trade into the bars of its time; says which, a bit for each length.
    fn fold(
        &mut self,
        symbol: &SymbolState,
        position: usize,
        fill: &Fill,
        tally: &mut Tally,
    ) -> u8 {
        let Range { start: before_ns, end: now_ns } = self.clock_ns;
        let is_ahead =
            now_ns != ABSENT && fill.time_ns > now_ns.saturating_add(bars::AHEAD_LIMIT_NS);
        if fill.time_ns == ABSENT || is_ahead {
            tally.count(Event::TradeUnplaced);
            return 0;
        }
        let bars = symbol.bars.get_or_init(|| Box::new(Bars::new(self.bar_capacity)));
        let changes = bars.fold(symbol, fill, before_ns);
        count_changes(changes, tally);
        for in_progress in &mut self.in_progress {
            in_progress.insert(position);
        }
        changes.in_bars
    }

    /// Closes the bars whose interval is over by the feed's clock; `changed` is called with the
    /// position of each symbol that had one of `level`.
    pub(crate) fn close_bars(
        &mut self,
        level: usize,
        symbols: &Symbols,
        tally: &mut Tally,
        mut changed: impl FnMut(usize),
    ) {
        let clock_ns = self.clock_ns.end;
        self.in_progress[level].retain(|position| {
            let bars = symbols.get(position).and_then(|symbol| symbol.bars.get());
            match bars.map_or(Closing::None, |bars| bars.close_at(level, clock_ns)) {
                Closing::InProgress => return true,
                Closing::None => {}
                Closing::Closed => {
                    tally.count(Event::BarClosed);
                    changed(position);
                }
            }
            false
        });
    }

    /// A correction takes a sequence of the tape, and changes figures and bars when its trade is still
    /// there and of this epoch; the figures, when it is of this session.
    fn apply_correction(
        &mut self,
        symbol: &SymbolState,
        event_time_ns: i64,
        correction: &Correction,
        tally: &mut Tally,
    ) -> Result<Event, Refusal> {
        let id = symbol.id();
        let (mut head, mut last) = (symbol.head.own(id), symbol.last.own(id));
        check_sequences(&head, &last)?;
        let oldest = symbol.tape_oldest().max(symbol.tape_epoch_start() + 1);
        let found = symbol
            .tape
            .get()
            .and_then(|tape| find_trade(tape, correction.trade_id, oldest, head.sequence));
        let holds = found.map(|found| holds_now(symbol, found)).transpose()?;
        let session_start = symbol.session.tape.load(Ordering::Relaxed);
        let is_of_session = found.is_some_and(|found| found.sequence > session_start);
        let mut fields = match holds {
            Some((_, size)) if is_of_session => figures::correct(last.fields, size, correction)?,
            // Of an earlier session, or not to be found.
            _ => last.fields,
        };
        if let (Some(found), Some((_, held))) = (found, holds)
            && held != ABSENT
            && correction.what == CorrectionKind::Correct
            && symbol.bars.get().is_some_and(|bars| {
                let more = correction.size - held;
                !bars.can_hold(symbol, found.in_bars, found.event_time_ns, more)
            })
        {
            return Err(Refusal::SessionOverflow);
        }
        let Correction { what, price, size, .. } = *correction;
        let corrects = found.map_or(ABSENT, |found| found.sequence as i64);
        let body = TapeBody::Correction { corrects, what, price, size };

        head.sequence += 1;
        head.volume = figures::session_figure(fields[last_field::VOLUME]);
        self.publish(symbol, &TapeRecord { id, event_time_ns, body, in_bars: 0 }, head);
        if let (Some(found), Some((price, size))) = (found, holds)
            && size != ABSENT
            && bars::is_eligible(found.flags)
        {
            let FoundTrade { sequence, event_time_ns: time_ns, .. } = found;
            let old = Fill { time_ns, price, size, sequence };
            let Correction { price, size, .. } = *correction;
            let new = (what == CorrectionKind::Correct).then_some(Fill { price, size, ..old });
            if let Some(bars) = symbol.bars.get() {
                count_changes(bars.correct(symbol, &old, new.as_ref(), found.in_bars), tally);
            }
            if is_of_session {
                if new.is_none() {
                    symbol.session.cancelled();
                }
                fields = session::prices(symbol, fields, sequence, new.map(|new| new.price));
            }
        }
        if fields != last.fields {
            last.advance(event_time_ns, fields);
            symbol.last.write(&last);
        }
        Ok(Event::Correction)
    }

    /// First the record, then the head that announces it.
    fn publish(&mut self, symbol: &SymbolState, record: &TapeRecord, head: TapeHead) {
        let tape = symbol.tape.get_or_init(|| Box::new(Ring::new(self.tape_capacity)));
        tape.write(head.sequence, &record.encode());
        symbol.head.write(head);
    }

    fn apply_status(
        &mut self,
        symbol: &SymbolState,
        event_time_ns: i64,
        change: StatusChange,
    ) -> Result<Option<Event>, Refusal> {
        let current = current_status(symbol);
        let StatusChange { status, reason } = change;
        if (current.status, current.reason) == (status, reason) {
            return Ok(None);
        }
        if current.sequence >= SEQUENCE_LIMIT {
            return Err(Refusal::SequenceLimit);
        }
        let record = StatusRecord { status, reason, event_time_ns, session_date: 0, ..current };
        self.publish_status(symbol, record);
        Ok(Some(Event::Status))
    }

    /// Begins a trading session, unless it has begun: first the tape's volume, then the definition,
    /// then the record that announces it, then the figures, which begin anew. The last price stays.
    fn begin_session(
        &mut self,
        symbol: &SymbolState,
        event_time_ns: i64,
        start: SessionStart,
    ) -> Result<Option<Event>, Refusal> {
        use last_field::{HIGH, LOW, OPEN, PRICE, TRADE_COUNT, VOLUME};
        let SessionStart { session_date, previous_close } = start;
        if session_date <= symbol.definition().session_date {
            return Ok(None);
        }
        let id = symbol.id();
        let (current, mut last) = (current_status(symbol), symbol.last.own(id));
        if current.sequence.max(last.sequence) >= SEQUENCE_LIMIT {
            return Err(Refusal::SequenceLimit);
        }
        // The volume first: who joins the tape from here on is told the new one, and the definition
        // with it or behind it.
        let head = symbol.head.own(id);
        if head.sequence > 0 {
            symbol.head.write(TapeHead { volume: 0, ..head });
        }
        symbol.restate(|definition| {
            let known = [previous_close, last.fields[PRICE], definition.previous_close];
            let close = known.into_iter().find(|price| *price != ABSENT);
            definition.previous_close = close.unwrap_or(ABSENT);
            definition.session_date = session_date;
        });
        self.publish_status(symbol, StatusRecord { event_time_ns, session_date, ..current });
        let start_ns = if event_time_ns == ABSENT { Session::UNKNOWN } else { event_time_ns };
        symbol.session.begin(head.sequence, start_ns);
        if last.sequence > 0 {
            let mut fields = last.fields;
            (fields[VOLUME], fields[TRADE_COUNT]) = (0, 0);
            (fields[HIGH], fields[LOW], fields[OPEN]) = (ABSENT, ABSENT, ABSENT);
            last.advance(event_time_ns, fields);
            symbol.last.write(&last);
        }
        Ok(Some(Event::Session))
    }

    /// Publishes a record as the next one: first the record, then the head that announces it.
    fn publish_status(&mut self, symbol: &SymbolState, record: StatusRecord) {
        let sequence = record.sequence + 1;
        let record = StatusRecord { sequence, after_trade: symbol.tape_sequence(), ..record };
        let tape = symbol.statuses.get_or_init(|| Box::new(Ring::new(self.status_capacity)));
        status::write(tape, &record);
        symbol.status_head.store(sequence, Ordering::Release);
        symbol.restate(|definition| {
            definition.status = record.status;
            definition.status_sequence = sequence;
        });
    }
}

fn apply_quote(symbol: &SymbolState, event_time_ns: i64, quote: &Quote) -> Result<Event, Refusal> {
    let mut record = symbol.quote.own(symbol.id());
    if record.sequence >= SEQUENCE_LIMIT {
        return Err(Refusal::SequenceLimit);
    }
    record.advance(event_time_ns, figures::quote(quote));
    symbol.quote.write(&record);
    Ok(Event::Quote)
}

/// The price and size a found trade has now, at the symbol's scale; the size is [`ABSENT`] when it
/// was cancelled.
fn holds_now(symbol: &SymbolState, found: FoundTrade) -> Result<(i64, i64), Refusal> {
    let (_, scale) = symbol.identity();
    match symbol.definition_of(found.id) {
        Some(definition) => {
            let shift = Scale::of(&definition).to(scale);
            Ok((shift.price(found.price)?, shift.size(found.size)?))
        }
        // Definitions are kept for good, so every record's is there.
        None => Ok((ABSENT, ABSENT)),
    }
}

fn count_changes(changes: Changes, tally: &mut Tally) {
    tally.count_many(Event::BarRevised, changes.revised.into());
    if changes.unplaced {
        tally.count(Event::TradeUnplaced);
    }
}

fn check_sequences<const N: usize>(head: &TapeHead, state: &StateRecord<N>) -> Result<(), Refusal> {
    let newest = head.sequence.max(state.sequence);
    if newest >= SEQUENCE_LIMIT { Err(Refusal::SequenceLimit) } else { Ok(()) }
}

fn current_status(symbol: &SymbolState) -> StatusRecord {
    match symbol.status_read(symbol.status_sequence()) {
        StatusRead::Record(record) => record,
        // Sequence 0; the writer is never lapped by itself.
        StatusRead::Lapped | StatusRead::NotYet => StatusRecord::INITIAL,
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use tickgate_protocol::{
        bar::BarInterval,
        entry::{LastFields, trade_flag},
        number::is_valid,
    };

    use super::*;
    use crate::tape::TapeRead;

    fn symbol() -> (Shard, SymbolState) {
        let symbol = SymbolState::new();
        symbol.define(Definition::new(4, "A", -2, -1));
        let sizes = HubConfig { tape_capacity: 8, status_capacity: 2, ..HubConfig::default() };
        (Shard::new(&sizes), symbol)
    }

    fn trade(price: i64, size: i64, flags: u8, trade_id: i64) -> TickBody {
        TickBody::Trade(Trade { price, size, flags, trade_id })
    }

    fn cancel(trade_id: i64) -> TickBody {
        let (what, price, size) = (CorrectionKind::Cancel, ABSENT, ABSENT);
        TickBody::Correction(Correction { trade_id, what, price, size })
    }

    fn correct(trade_id: i64, price: i64, size: i64) -> TickBody {
        let what = CorrectionKind::Correct;
        TickBody::Correction(Correction { trade_id, what, price, size })
    }

    fn apply(
        shard: &mut Shard,
        symbol: &SymbolState,
        event_time_ns: i64,
        body: &TickBody,
    ) -> Result<Option<Event>, Refusal> {
        shard.apply(symbol, 0, event_time_ns, body, &mut Tally::default())
    }

    fn apply_all(shard: &mut Shard, symbol: &SymbolState, bodies: &[TickBody]) {
        for (event_time_ns, body) in (1..).zip(bodies) {
            assert!(apply(shard, symbol, event_time_ns, body).unwrap().is_some(), "{body:?}");
        }
    }

    /// The last-trade figures, in wire order: price, size, volume, count, high, low, open, flags.
    fn session(symbol: &SymbolState) -> LastFields {
        symbol.last().unwrap().fields
    }

    #[test]
    fn each_kind_of_trade_moves_the_figures_it_may() {
        let (mut shard, symbol) = symbol();
        let (odd_lot, late) = (trade_flag::NOT_ELIGIBLE, trade_flag::LATE);
        for (body, expected) in [
            (trade(900, 1, odd_lot, 1), [ABSENT, ABSENT, 1, 1, ABSENT, ABSENT, ABSENT, ABSENT]),
            (trade(300, 2, late, 2), [ABSENT, ABSENT, 3, 2, 300, 300, ABSENT, ABSENT]),
            (trade(500, 3, 8, 3), [500, 3, 6, 3, 500, 300, 500, 8]),
            (trade(-5, 0, 0, 4), [-5, 0, 6, 4, 500, -5, 500, 0]),
            (trade(800, 4, late, 5), [-5, 0, 10, 5, 800, -5, 500, 0]),
            (trade(990, 5, late | odd_lot, 6), [-5, 0, 15, 6, 800, -5, 500, 0]),
        ] {
            apply_all(&mut shard, &symbol, &[body]);
            assert_eq!(session(&symbol), expected, "{body:?}");
        }
        assert_eq!(symbol.tape_head(), Ok(TapeHead { sequence: 6, volume: 15, id: 4 }));
    }

    #[test]
    fn corrections_find_every_figure_of_the_session_anew() {
        let (mut shard, symbol) = symbol();
        apply_all(&mut shard, &symbol, &[trade(500, 3, 0, 70), trade(600, 4, 0, 71)]);
        for (body, figures) in [
            (correct(70, 100, 5), [600, 4, 9, 2, 600, 100, 100, 0]),
            (correct(70, 550, 2), [600, 4, 6, 2, 600, 550, 550, 0]),
            (cancel(71), [550, 2, 2, 1, 550, 550, 550, 0]),
            (cancel(71), [550, 2, 2, 1, 550, 550, 550, 0]),
            (cancel(99), [550, 2, 2, 1, 550, 550, 550, 0]),
        ] {
            apply_all(&mut shard, &symbol, &[body]);
            assert_eq!(session(&symbol), figures, "{body:?}");
            assert_eq!(symbol.tape_head().map(|head| head.volume), Ok(figures[2]));
        }
        let corrects = |sequence| match symbol.tape_read(sequence) {
            TapeRead::Correction { corrects, .. } => corrects,
            other => panic!("{other:?}"),
        };
        assert_eq!([3, 4, 5, 6, 7].map(corrects), [1, 1, 2, 2, ABSENT]);
        assert_eq!(symbol.last_sequence(), 5, "what moved no figure is no update of them");
    }

    /// The tape has forgotten the low and the high, the hours have not.
    #[test]
    fn high_and_low_of_a_session_longer_than_the_tape_come_from_the_hours() {
        let (mut shard, symbol) = symbol();
        let prices = [300, 800, 500, 500, 500, 500, 500, 500, 500, 500, 900, 200];
        let mut at_second = |second: i64, body| {
            apply(&mut shard, &symbol, second * 1_000_000_000, &body).expect("sound");
        };
        for (second, price) in (1..).zip(prices) {
            at_second(second, trade(price, 1, 0, second));
        }
        assert_eq!(session(&symbol)[4..6], [900, 200]);
        at_second(20, cancel(11));
        at_second(20, cancel(12));
        assert_eq!(session(&symbol), [500, 1, 10, 10, 800, 300, 300, 0]);
    }

    #[test]
    fn a_trade_that_left_the_tape_or_the_epoch_is_corrected_in_name_only() {
        let (mut shard, symbol) = symbol();
        apply_all(&mut shard, &symbol, &[trade(1, 3, 0, 70); 1]);
        apply_all(&mut shard, &symbol, &[trade(1, 1, 0, 71); 8]);
        apply_all(&mut shard, &symbol, &[cancel(70)]);
        assert_eq!(session(&symbol)[last_field::VOLUME], 11);
        shard.begin_epoch(&symbol);
        apply_all(&mut shard, &symbol, &[cancel(71)]);
        assert_eq!(session(&symbol), [ABSENT; 8]);
        assert_eq!(symbol.tape_head(), Ok(TapeHead { sequence: 11, volume: 0, id: 4 }));
    }

    #[test]
    fn crossed_and_locked_books_pass_with_their_flag() {
        let (mut shard, symbol) = symbol();
        let quote = |bid_price, ask_price, suspect| {
            let size = |price| if price == ABSENT { ABSENT } else { 1 };
            let (bid_size, ask_size) = (size(bid_price), size(ask_price));
            TickBody::Quote(Quote { bid_price, bid_size, ask_price, ask_size, suspect })
        };
        for (body, flags) in [
            (quote(1, 2, false), 0),
            (quote(2, 2, false), 2),
            (quote(3, 2, false), 1),
            (quote(3, 2, true), 5),
            (quote(ABSENT, 2, false), 0),
            (quote(ABSENT, ABSENT, true), 4),
        ] {
            apply_all(&mut shard, &symbol, &[body]);
            assert_eq!(symbol.quote().unwrap().fields[quote_field::FLAGS], flags, "{body:?}");
        }
    }

    #[test]
    fn a_sum_past_the_limit_is_refused_and_nothing_of_its_trade_applied() {
        let (mut shard, symbol) = symbol();
        apply_all(&mut shard, &symbol, &[trade(1, LIMIT - 1, 0, 70), trade(1, 1, 0, 71)]);
        let before = (session(&symbol), symbol.tape_head());
        for body in [trade(9, 1, 0, 72), correct(71, 1, 2)] {
            assert_eq!(apply(&mut shard, &symbol, 0, &body), Err(Refusal::SessionOverflow));
            assert_eq!((session(&symbol), symbol.tape_head()), before);
        }
        assert!(session(&symbol).into_iter().all(is_valid));
    }

    /// The figures are another session's by now, so only the bars can say that it does not fit; also
    /// at a finer scale than theirs.
    #[test]
    fn a_correction_that_no_bar_could_hold_is_refused_and_nothing_of_it_applied() {
        let (mut shard, symbol) = symbol();
        apply_all(&mut shard, &symbol, &[trade(1, LIMIT / 20, 0, 70), trade(1, LIMIT / 20, 0, 71)]);
        // Closed, so that they stay at their scale.
        let later = trade(1, 1, 0, 72);
        apply(&mut shard, &symbol, 2 * 86_400_000_000_000, &later).expect("sound");
        let bars = || {
            let all = BarInterval::ALL.map(|interval| symbol.bars_before(interval, i64::MAX, 9));
            all.map(|read| read.expect("idle").0)
        };
        let start = SessionStart { session_date: 20_240_809, previous_close: ABSENT };
        apply_all(&mut shard, &symbol, &[TickBody::Session(start)]);
        for finer in [false, true] {
            if finer {
                let scale = Scale { price_exponent: -2, size_exponent: -2 };
                let shift = Scale::of(&symbol.definition()).to(scale);
                shard.redefine(&symbol, Definition::new(9, "A", -2, -2), shift).expect("it fits");
            }
            let before = (symbol.tape_head(), session(&symbol), bars());
            let refused = apply(&mut shard, &symbol, 9, &correct(70, 1, LIMIT - 1));
            assert_eq!(refused, Err(Refusal::SessionOverflow), "finer: {finer}");
            assert_eq!((symbol.tape_head(), session(&symbol), bars()), before);
        }
    }

    #[test]
    fn a_channel_at_its_last_sequence_refuses_what_comes_after() {
        let (mut shard, symbol) = symbol();
        let sequence = SEQUENCE_LIMIT;
        symbol.quote.write(&StateRecord { sequence, ..StateRecord::empty(4) });
        symbol.head.write(TapeHead { sequence, volume: 0, id: 4 });
        let statuses = symbol.statuses.get_or_init(|| Box::new(Ring::new(2)));
        status::write(statuses, &StatusRecord { sequence, ..StatusRecord::INITIAL });
        symbol.status_head.store(sequence, Ordering::Release);
        let halted = StatusChange { status: Status::Halted, reason: Reason::None };
        let (quote, halted) = (TickBody::Quote(Quote::EMPTY), TickBody::Status(halted));
        for body in [quote, trade(1, 1, 0, 1), cancel(1), halted] {
            assert_eq!(apply(&mut shard, &symbol, 0, &body), Err(Refusal::SequenceLimit));
        }
        shard.begin_epoch(&symbol);
        assert_eq!(symbol.quote_sequence(), sequence);
    }

    #[test]
    fn an_epoch_voids_the_state_and_counts_on() {
        let (mut shard, symbol) = symbol();
        shard.begin_epoch(&symbol);
        assert_eq!((symbol.quote_sequence(), symbol.last_sequence()), (0, 0), "nothing to void");
        let halted = StatusChange { status: Status::Halted, reason: Reason::News };
        let quote = Quote { bid_price: 1, bid_size: 1, ..Quote::EMPTY };
        let bodies = [trade(1, 1, 0, 1), TickBody::Quote(quote), TickBody::Status(halted)];
        apply_all(&mut shard, &symbol, &bodies);
        shard.begin_epoch(&symbol);

        let (quote, last) = (symbol.quote().unwrap(), symbol.last().unwrap());
        assert_eq!((quote.sequence, quote.fields), (2, [ABSENT; 5]));
        assert_eq!((last.sequence, last.fields), (2, [ABSENT; 8]));
        assert_eq!(quote.changed_since(1), Some(0b1_0011));
        assert_eq!((symbol.tape_head().unwrap().volume, symbol.tape_epoch_start()), (0, 1));
        let definition = symbol.definition();
        assert_eq!((definition.status, definition.status_sequence), (Status::Trading, 2));
        assert_eq!(symbol.id(), 4, "ids are kept");
    }

    #[test]
    fn repeating_a_status_changes_nothing() {
        let (mut shard, symbol) = symbol();
        let status = |status, reason| TickBody::Status(StatusChange { status, reason });
        let trading = status(Status::Trading, Reason::None);
        assert_eq!(apply(&mut shard, &symbol, 0, &trading), Ok(None));
        apply_all(&mut shard, &symbol, &[trade(1, 1, 0, 1), status(Status::Halted, Reason::None)]);
        assert_eq!(apply(&mut shard, &symbol, 9, &status(Status::Halted, Reason::None)), Ok(None));
        apply_all(&mut shard, &symbol, &[status(Status::Halted, Reason::News)]);
        assert_eq!(symbol.status_sequence(), 2);
        let StatusRead::Record(record) = symbol.status_read(1) else { panic!("still there") };
        assert_eq!((record.status, record.after_trade), (Status::Halted, 1));
    }

    #[test]
    fn what_does_not_fit_a_finer_scale_keeps_the_old_one() {
        let (mut shard, symbol) = symbol();
        apply_all(&mut shard, &symbol, &[trade(LIMIT, 5, 0, 1)]);
        let shift = |finer| Scale::of(&symbol.definition()).to(finer);
        let finer_price = Scale { price_exponent: -3, size_exponent: -1 };
        let finer_size = Scale { price_exponent: -2, size_exponent: -3 };
        let refused = shard.redefine(&symbol, Definition::new(9, "A", -3, -1), shift(finer_price));
        assert_eq!((refused, symbol.id()), (Err(Refusal::Range), 4));

        let done = shard.redefine(&symbol, Definition::new(9, "A", -2, -3), shift(finer_size));
        assert_eq!((done, symbol.id()), (Ok(()), 9));
        let last = symbol.last().unwrap();
        assert_eq!((last.id, last.sequence), (9, 2));
        assert_eq!(last.fields, [LIMIT, 500, 500, 1, LIMIT, LIMIT, LIMIT, 0]);
        assert_eq!(symbol.tape_head(), Ok(TapeHead { sequence: 1, volume: 500, id: 9 }));
        let TapeRead::Trade { id, trade, .. } = symbol.tape_read(1) else { panic!("on the tape") };
        assert_eq!((id, trade.size), (4, 5), "records keep the id they were published with");
        // The trade on the tape is at the old scale, its correction and the figures at the new one.
        for (body, volume) in [(correct(1, 1, 40), 40), (correct(1, 1, 70), 70), (cancel(1), 0)] {
            apply_all(&mut shard, &symbol, &[body]);
            assert_eq!(session(&symbol)[last_field::VOLUME], volume, "{body:?}");
        }
    }
}
