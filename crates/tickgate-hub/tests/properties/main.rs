//! Random feeds against a slow model that remembers everything.

#![allow(clippy::print_stdout, reason = "a failing run shows its seed")]

mod bars;
mod model;

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use model::{Model, Past, finer};
use rand::{Rng, RngExt, SeedableRng, rngs::StdRng};
use tickgate_hub::{
    Hub, HubConfig, Publisher, StateRecord, StatusRead, StatusRecord, SymbolState, TapeHead,
    TapeRead,
};
use tickgate_protocol::{
    number::{ABSENT, LIMIT},
    symbol::SymbolIndex,
    tick::{
        Batch, Correction, CorrectionKind, Listing, Quote, Reason, SessionStart, Status,
        StatusChange, Tick, TickBody, Trade,
    },
};

const TAPE: usize = 16;
const STATUSES: usize = 4;

fn hub(shards: usize) -> Arc<Hub> {
    let config = HubConfig {
        shards,
        workers: 2,
        symbol_limit: 200,
        tape_capacity: TAPE,
        status_capacity: STATUSES,
        ..HubConfig::default()
    };
    Hub::new(config, 7).unwrap()
}

fn listing(symbol: usize, price_exponent: i8, size_exponent: i8) -> Listing {
    Listing::new(format!("S{symbol}"), price_exponent, size_exponent)
}

/// A feed, the hub it publishes to, and what should be there.
struct Run {
    rng: StdRng,
    hub: Arc<Hub>,
    publisher: Publisher,
    models: Vec<Model>,
    /// By feed symbol: the symbol, and the scale of that listing.
    feed: Vec<(usize, i8, i8)>,
    next_id: u32,
    epoch: u64,
    refused: u64,
}

impl Run {
    fn new(seed: u64, shards: usize) -> Self {
        let hub = hub(shards);
        let mut run = Self {
            rng: StdRng::seed_from_u64(seed),
            publisher: hub.publisher(),
            hub,
            models: Vec::new(),
            feed: Vec::new(),
            next_id: 0,
            epoch: 7,
            refused: 0,
        };
        let mut batch = Batch::default();
        for symbol in 0..130 {
            run.list(&mut batch, symbol, -1, 0);
        }
        run.publisher.publish(&batch);
        run
    }

    /// True when the symbol is new or redefined by it.
    fn list(
        &mut self,
        batch: &mut Batch,
        symbol: usize,
        price_exponent: i8,
        size_exponent: i8,
    ) -> bool {
        batch.listings.push(listing(symbol, price_exponent, size_exponent));
        self.feed.push((symbol, price_exponent, size_exponent));
        let Some(model) = self.models.get_mut(symbol) else {
            self.models.push(Model::new(self.next_id, price_exponent, size_exponent));
            self.next_id += 1;
            return true;
        };
        let price = model.price_exponent.min(price_exponent);
        let size = model.size_exponent.min(size_exponent);
        let finer = (price, size) != (model.price_exponent, model.size_exponent);
        if finer {
            model.redefine(self.next_id, price, size);
            self.next_id += 1;
        }
        finer
    }

    /// Publishes one random batch; returns the symbols that it touched.
    fn step(&mut self) -> BTreeSet<usize> {
        let (mut batch, mut touched) = (Batch::default(), BTreeSet::new());
        if self.rng.random_ratio(1, 40) {
            batch.new_epoch = true;
            self.epoch += 1;
            self.models.iter_mut().for_each(Model::begin_epoch);
            touched.extend(0..self.models.len());
        }
        if self.rng.random_ratio(1, 10) {
            // New, the same again, finer or coarser.
            let symbol = self.rng.random_range(0..=self.models.len().min(8));
            let symbol = if symbol == 8 { self.models.len().min(190) } else { symbol };
            let (price, size) = (self.rng.random_range(-4..=0), self.rng.random_range(-3..=1));
            if self.list(&mut batch, symbol, price, size) {
                touched.insert(symbol);
            }
        }
        for _ in 0..self.rng.random_range(0..30) {
            let tick = self.tick();
            let (symbol, _, _) = self.feed[tick.symbol as usize];
            batch.ticks.push(tick);
            if self.expect(tick) {
                touched.insert(symbol);
            }
        }
        if self.rng.random_ratio(1, 3) {
            batch.ticks.push(self.invalid());
            self.refused += 1;
        }
        self.publisher.publish(&batch);
        touched
    }

    /// Few symbols are busy, and values repeat, so that fields often stay as they were.
    fn tick(&mut self) -> Tick {
        let rng = &mut self.rng;
        let busy = rng.random_ratio(4, 5);
        let symbol = rng.random_range(0..if busy { 3 } else { self.feed.len() }) as u32;
        let event_time_ns = if rng.random_ratio(1, 8) { ABSENT } else { rng.next_u32().into() };
        let small = |rng: &mut StdRng| rng.random_range(-2..=3);
        let side = |rng: &mut StdRng| match rng.random_ratio(1, 6) {
            true => (ABSENT, ABSENT),
            false => (small(rng), rng.random_range(0..=2)),
        };
        let body = match rng.random_range(0..21) {
            0..=8 => {
                let ((bid_price, bid_size), (ask_price, ask_size)) = (side(rng), side(rng));
                let suspect = rng.random_ratio(1, 9);
                TickBody::Quote(Quote { bid_price, bid_size, ask_price, ask_size, suspect })
            }
            9..=15 => {
                let (price, size) = (small(rng), rng.random_range(0..=5));
                let flags = if rng.random_ratio(1, 2) { 0 } else { rng.random_range(0..16) };
                let unnamed = rng.random_ratio(1, 9);
                let trade_id = if unnamed { ABSENT } else { rng.random_range(0..40) };
                TickBody::Trade(Trade { price, size, flags, trade_id })
            }
            16..=17 => {
                let trade_id = rng.random_range(0..40);
                TickBody::Correction(match rng.random_ratio(1, 2) {
                    true => {
                        let (price, size) = (small(rng), rng.random_range(0..=9));
                        Correction { trade_id, what: CorrectionKind::Correct, price, size }
                    }
                    false => {
                        let (price, size) = (ABSENT, ABSENT);
                        Correction { trade_id, what: CorrectionKind::Cancel, price, size }
                    }
                })
            }
            18 => {
                let session_date = rng.random_range(0..5);
                let unknown = rng.random_ratio(1, 2);
                let previous_close = if unknown { ABSENT } else { small(rng) };
                TickBody::Session(SessionStart { session_date, previous_close })
            }
            _ => {
                let status = Status::ALL[rng.random_range(0..4)];
                let reason = Reason::ALL[rng.random_range(0..2)];
                TickBody::Status(StatusChange { status, reason })
            }
        };
        Tick { symbol, event_time_ns, body }
    }

    /// Tells the model; true when the hub should have something new.
    fn expect(&mut self, tick: Tick) -> bool {
        let (symbol, price_exponent, size_exponent) = self.feed[tick.symbol as usize];
        let model = &mut self.models[symbol];
        let price = |value| finer(value, price_exponent - model.price_exponent);
        let size = |value| finer(value, size_exponent - model.size_exponent);
        let time = tick.event_time_ns;
        match tick.body {
            TickBody::Quote(q) => {
                let (bid_price, bid_size) = (price(q.bid_price), size(q.bid_size));
                let (ask_price, ask_size) = (price(q.ask_price), size(q.ask_size));
                model.quote(time, Quote { bid_price, bid_size, ask_price, ask_size, ..q });
            }
            TickBody::Trade(t) => {
                let (price, size) = (price(t.price), size(t.size));
                model.trade(time, Trade { price, size, ..t });
            }
            TickBody::Correction(c) => {
                let (price, size) = (price(c.price), size(c.size));
                model.correction(time, Correction { price, size, ..c }, TAPE);
            }
            TickBody::Status(change) => return model.status(time, change),
            TickBody::Session(start) => {
                let previous_close = price(start.previous_close);
                return model.begin_session(time, SessionStart { previous_close, ..start });
            }
        }
        true
    }

    fn invalid(&mut self) -> Tick {
        let trade = Trade { price: 1, size: 1, flags: 0, trade_id: ABSENT };
        let (symbol, body) = match self.rng.random_range(0..5) {
            0 => (u32::MAX, TickBody::Trade(trade)),
            1 => (0, TickBody::Trade(Trade { size: -1, ..trade })),
            2 => (0, TickBody::Trade(Trade { price: LIMIT + 1, ..trade })),
            3 => (0, TickBody::Quote(Quote { bid_price: 1, ..Quote::EMPTY })),
            _ => (0, TickBody::Trade(Trade { flags: 64, ..trade })),
        };
        Tick { symbol, event_time_ns: 0, body }
    }

    fn check(&mut self) {
        assert_eq!(self.hub.epoch(), self.epoch);
        assert_eq!(self.hub.symbol_count() as usize, self.models.len());
        for (position, model) in self.models.iter().enumerate() {
            let index = SymbolIndex(position as u32);
            assert_eq!(self.hub.lookup(&format!("S{position}")), Some(index));
            let symbol = self.hub.symbol(index).unwrap();
            let definition = symbol.definition();
            assert_eq!((definition.id, symbol.id()), (model.id, model.id));
            assert_eq!(definition.price_exponent, model.price_exponent);
            assert_eq!(definition.size_exponent, model.size_exponent);
            assert_eq!(definition.session_date, model.session_date);
            assert_eq!(definition.previous_close, model.previous_close);
            check_state(&mut self.rng, symbol.quote().unwrap(), &model.quotes, model.id);
            check_state(&mut self.rng, symbol.last().unwrap(), &model.lasts, model.id);
            assert_eq!(symbol.quote_sequence(), model.quotes.len() as u64);
            assert_eq!(symbol.last_sequence(), model.lasts.len() as u64);
            check_tape(symbol, model);
            check_statuses(symbol, model);
        }
        let stats = self.hub.stats();
        assert_eq!(stats.refused.iter().map(|(_, count)| count).sum::<u64>(), self.refused);
    }
}

/// Fields as folded, and the changed mask of some cursors as found by comparing the whole past.
fn check_state<const N: usize>(
    rng: &mut StdRng,
    record: StateRecord<N>,
    past: &[Past<N>],
    id: u32,
) {
    let empty = Past { id, event_time_ns: ABSENT, fields: [ABSENT; N] };
    let newest = past.last().copied().unwrap_or(empty);
    let StateRecord { id, sequence, event_time_ns, fields, .. } = record;
    assert_eq!((Past { id, event_time_ns, fields }, sequence), (newest, past.len() as u64));
    for _ in 0..3 {
        let cursor = rng.random_range(0..=past.len());
        let mut expected = 0;
        for sequence in cursor..past.len() {
            let before = if sequence == 0 { [ABSENT; N] } else { past[sequence - 1].fields };
            for (field, (before, after)) in before.iter().zip(past[sequence].fields).enumerate() {
                expected |= u8::from(*before != after) << field;
            }
        }
        assert_eq!(record.changed_since(cursor as u64), Some(expected), "since {cursor}");
    }
}

fn check_tape(symbol: &SymbolState, model: &Model) {
    let sequence = model.tape.len() as u64;
    let volume = model.session_volume();
    assert_eq!(symbol.tape_head(), Ok(TapeHead { sequence, volume, id: model.id }));
    assert_eq!(symbol.tape_sequence(), sequence);
    assert_eq!(symbol.tape_epoch_start(), model.epoch_start as u64);
    let oldest = (sequence + 1).saturating_sub(TAPE as u64).max(1);
    assert_eq!(symbol.tape_oldest(), oldest);
    for asked in 0..sequence + 3 {
        let expected = match asked {
            lapped if lapped < oldest => TapeRead::Lapped,
            known if known <= sequence => model.tape[known as usize - 1],
            _ => TapeRead::NotYet,
        };
        assert_eq!(symbol.tape_read(asked), expected, "tape {asked} of {sequence}");
        if let TapeRead::Trade { id, .. } | TapeRead::Correction { id, .. } = expected {
            assert_eq!(symbol.definition_of(id).unwrap().id, id);
        }
    }
}

fn check_statuses(symbol: &SymbolState, model: &Model) {
    let head = model.statuses.len() as u64;
    assert_eq!(symbol.status_sequence(), head);
    let definition = symbol.definition();
    let current = (model.current_status().0, head);
    assert_eq!((definition.status, definition.status_sequence), current);
    for asked in 0..head + 2 {
        let expected = if asked == 0 || asked + (STATUSES as u64) <= head {
            StatusRead::Lapped
        } else if asked > head {
            StatusRead::NotYet
        } else {
            let (status, reason, event_time_ns, after_trade, session_date) =
                model.statuses[asked as usize - 1];
            let sequence = asked;
            StatusRead::Record(StatusRecord {
                sequence,
                status,
                reason,
                event_time_ns,
                after_trade,
                session_date,
            })
        };
        assert_eq!(symbol.status_read(asked), expected);
    }
}

fn drained(hub: &Hub, worker: usize) -> BTreeSet<usize> {
    let mut symbols = BTreeSet::new();
    hub.worker(worker).drain_dirty(|word, bits| {
        symbols.extend((0..64).filter(|bit| bits >> bit & 1 == 1).map(|bit| word * 64 + bit));
    });
    symbols
}

#[test]
fn every_state_sequence_mask_and_record_is_what_a_full_history_says() {
    for seed in 0..60 {
        println!("seed {seed}");
        let mut run = Run::new(seed, 1 + seed as usize % 3);
        for _ in 0..40 {
            run.step();
        }
        run.check();
    }
}

#[test]
fn dirty_bits_name_exactly_what_a_batch_touched() {
    for seed in 100..120 {
        println!("seed {seed}");
        let mut run = Run::new(seed, 1 + seed as usize % 3);
        assert_eq!(drained(&run.hub, 0), (0..130).collect());
        let mut unread: BTreeSet<usize> = (0..130).collect();
        for _ in 0..60 {
            let touched = run.step();
            unread.extend(&touched);
            assert_eq!(drained(&run.hub, 0), touched);
        }
        // The other worker never looked: deduplicated, nothing lapped.
        assert_eq!(drained(&run.hub, 1), unread);
    }
}

/// A reader beside the publisher: no record is torn, no sequence goes back, and whatever is dirty is
/// found by draining. Each symbol's n-th quote has n in all its fields, and so has its n-th trade.
#[test]
fn a_concurrent_reader_sees_whole_values_in_order_and_misses_no_symbol() {
    const SYMBOLS: usize = 70;
    const ROUNDS: i64 = 3_000;
    let hub = hub(2);
    let mut publisher = hub.publisher();
    let listings = (0..SYMBOLS).map(|symbol| listing(symbol, 0, 0)).collect();
    publisher.publish(&Batch { listings, ..Batch::default() });
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut batch = Batch::default();
            for n in 1..=ROUNDS {
                for symbol in (0..SYMBOLS as u32).filter(|s| (n + i64::from(*s)) % 3 != 0) {
                    let (bid_price, bid_size, ask_price, ask_size) = (n, n, n, n);
                    let quote = Quote { bid_price, bid_size, ask_price, ask_size, suspect: false };
                    let trade = Trade { price: n, size: n, flags: 0, trade_id: n };
                    for body in [TickBody::Quote(quote), TickBody::Trade(trade)] {
                        batch.ticks.push(Tick { symbol, event_time_ns: n, body });
                    }
                }
                publisher.publish(&batch);
                batch.clear();
            }
            done.store(true, Ordering::Release);
        });
        let mut quotes = [0; SYMBOLS];
        let mut tapes = [0; SYMBOLS];
        let mut due = BTreeSet::new();
        loop {
            let last = done.load(Ordering::Acquire);
            due.extend(drained(&hub, 0));
            due.retain(|&position| {
                let symbol = hub.symbol(SymbolIndex(position as u32)).unwrap();
                let Ok(quote) = symbol.quote() else { return true };
                assert!(quote.sequence >= quotes[position]);
                quotes[position] = quote.sequence;
                if quote.sequence > 0 {
                    let n = quote.event_time_ns;
                    assert_eq!(quote.fields, [n, n, n, n, 2]);
                }
                let head = symbol.tape_sequence();
                assert!(head >= tapes[position]);
                for sequence in tapes[position] + 1..=head {
                    match symbol.tape_read(sequence) {
                        TapeRead::Trade { event_time_ns: n, trade, .. } => {
                            assert_eq!((trade.price, trade.size, trade.trade_id), (n, n, n));
                            // Two rounds in three, so that the sequence tells the round.
                            assert_eq!(
                                sequence as i64,
                                n - (n + position as i64) / 3 + position as i64 / 3
                            );
                        }
                        TapeRead::Lapped => {
                            // The next record may be on its way in, before its head.
                            assert!(sequence + TAPE as u64 <= symbol.tape_sequence() + 1);
                        }
                        other => panic!("{other:?} at {sequence}, announced by {head}"),
                    }
                }
                tapes[position] = head;
                false
            });
            if last && due.is_empty() {
                break;
            }
        }
        for position in 0..SYMBOLS {
            let symbol = hub.symbol(SymbolIndex(position as u32)).unwrap();
            assert_eq!(quotes[position], symbol.quote_sequence(), "symbol {position}");
            assert_eq!(tapes[position], symbol.tape_sequence(), "symbol {position}");
        }
    });
}
