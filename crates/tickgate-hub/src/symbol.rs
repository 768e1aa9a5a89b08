//! Everything the hub holds about one symbol, readable without locks except for its definition.

use std::sync::{Arc, OnceLock};

use parking_lot::RwLock;
use tickgate_protocol::{
    definition::Definition,
    entry::{last_field, quote_field},
    symbol::WireId,
};

use crate::{
    bars::Bars,
    cell::Busy,
    scale::Scale,
    session::Session,
    state::{LastCell, QuoteCell, StateRecord},
    status::{self, StatusRead, StatusTape},
    sync::{AtomicU64, Ordering},
    tape::{HeadCell, Tape, TapeHead, TapeRead},
};

/// Everything about one symbol.
///
/// Written by the holder of its shard's lock alone. Laid out by what a tick touches: a quote the
/// first two cache lines, a trade also the rest; aligned, so that writing one symbol does not slow
/// readers of its neighbour.
#[derive(Debug)]
#[repr(C, align(64))]
pub struct SymbolState {
    /// `id | price_exponent << 32 | size_exponent << 40` of the current definition.
    identity: AtomicU64,
    pub(crate) quote: QuoteCell,
    pub(crate) head: HeadCell,
    pub(crate) status_head: AtomicU64,
    pub(crate) last: LastCell,
    /// The tape's head when the epoch began.
    pub(crate) epoch_tape: AtomicU64,
    /// The trading session, for the writer.
    pub(crate) session: Session,
    pub(crate) tape: OnceLock<Box<Tape>>,
    pub(crate) statuses: OnceLock<Box<StatusTape>>,
    pub(crate) bars: OnceLock<Box<Bars>>,
    /// All definitions so far, the current one last: old tape records still name the earlier ones.
    definitions: RwLock<Vec<Arc<Definition>>>,
}

/// Most definitions one symbol can have; a finer listing beyond it is refused and counted.
///
/// 37 lets both exponents go from 0 to −18 one step at a time.
pub const DEFINITION_LIMIT: usize = 37;

impl SymbolState {
    pub(crate) fn new() -> Self {
        Self {
            quote: QuoteCell::new(),
            last: LastCell::new(),
            head: HeadCell::new(),
            identity: AtomicU64::new(0),
            epoch_tape: AtomicU64::new(0),
            session: Session::new(),
            status_head: AtomicU64::new(0),
            tape: OnceLock::new(),
            statuses: OnceLock::new(),
            bars: OnceLock::new(),
            definitions: RwLock::new(Vec::new()),
        }
    }

    /// The current definition, with the status that holds. Takes a short lock: for the cold path.
    ///
    /// A record's `id` may run behind it or ahead of it for the moment in which the symbol is being
    /// redefined; [`SymbolState::definition_of`] always knows the record's own.
    #[must_use]
    pub fn definition(&self) -> Arc<Definition> {
        let definitions = self.definitions.read();
        let current = definitions.last().expect("a symbol is visible once it has a definition");
        Arc::clone(current)
    }

    /// The definition behind `id`, current or retired; `None` for an id that is not this symbol's.
    #[must_use]
    pub fn definition_of(&self, id: WireId) -> Option<Arc<Definition>> {
        self.definitions.read().iter().rev().find(|definition| definition.id == id).cloned()
    }

    /// The current definition's id: one load.
    #[must_use]
    pub fn id(&self) -> WireId {
        self.identity.load(Ordering::Acquire) as WireId
    }

    /// The newest sequence of the quote: one load, to ask "anything new?".
    #[must_use]
    pub fn quote_sequence(&self) -> u64 {
        self.quote.sequence()
    }

    /// The newest sequence of the last-trade figures: one load, to ask "anything new?".
    #[must_use]
    pub fn last_sequence(&self) -> u64 {
        self.last.sequence()
    }

    /// The quote.
    ///
    /// # Errors
    /// [`Busy`] when its shard was mid-write at each of four tries: stay due and count it.
    pub fn quote(&self) -> Result<StateRecord<{ quote_field::COUNT }>, Busy> {
        self.quote.read(self.id())
    }

    /// The last-trade figures.
    ///
    /// # Errors
    /// [`Busy`] when its shard was mid-write at each of four tries: stay due and count it.
    pub fn last(&self) -> Result<StateRecord<{ last_field::COUNT }>, Busy> {
        self.last.read(self.id())
    }

    /// The tape's head and the session's volume at it, read together.
    ///
    /// # Errors
    /// [`Busy`] when its shard was mid-write at each of four tries: stay due and count it.
    pub fn tape_head(&self) -> Result<TapeHead, Busy> {
        self.head.read(self.id())
    }

    /// The tape's head by itself: one load. Its record can be read, or was overwritten since.
    #[must_use]
    pub fn tape_sequence(&self) -> u64 {
        self.head.sequence()
    }

    /// The tape's record of exactly this sequence; sequence 0 is always lapped.
    #[must_use]
    pub fn tape_read(&self, sequence: u64) -> TapeRead {
        match self.tape.get() {
            Some(tape) => tape.read(sequence).into(),
            None if sequence == 0 => TapeRead::Lapped,
            None => TapeRead::NotYet,
        }
    }

    /// Oldest sequence that the tape holds at this head: head − capacity + 1, at least 1. Reading
    /// it may still answer [`TapeRead::Lapped`], when the next record is already on its way in.
    #[must_use]
    pub fn tape_oldest(&self) -> u64 {
        let capacity = self.tape.get().map_or(0, |tape| tape.capacity() as u64);
        (self.tape_sequence() + 1).saturating_sub(capacity).max(1)
    }

    /// Where the tape stood when the epoch began; the session's volume was 0 there. Whoever joins
    /// here instead of at the head misses nothing of the new epoch. 0 in the first epoch.
    #[must_use]
    pub fn tape_epoch_start(&self) -> u64 {
        self.epoch_tape.load(Ordering::Acquire)
    }

    /// Head of the status tape; 0 when the status never changed.
    #[must_use]
    pub fn status_sequence(&self) -> u64 {
        self.status_head.load(Ordering::Acquire)
    }

    /// The status change of exactly this sequence; sequence 0 is always lapped.
    #[must_use]
    pub fn status_read(&self, sequence: u64) -> StatusRead {
        match self.statuses.get() {
            Some(tape) => status::read(tape, sequence),
            None if sequence == 0 => StatusRead::Lapped,
            None => StatusRead::NotYet,
        }
    }

    /// The current definition's id and scale, in one load.
    pub(crate) fn identity(&self) -> (WireId, Scale) {
        let packed = self.identity.load(Ordering::Acquire);
        let scale =
            Scale { price_exponent: (packed >> 32) as i8, size_exponent: (packed >> 40) as i8 };
        (packed as WireId, scale)
    }

    /// Loads a word of each cache line that a tick looks at; what it returns means nothing.
    pub(crate) fn touch(&self) -> u64 {
        self.identity.load(Ordering::Relaxed)
            ^ self.head.sequence()
            ^ self.last.sequence()
            ^ u64::from(self.bars.get().is_some())
    }

    /// The same for the bars.
    pub(crate) fn touch_bars(&self) -> u64 {
        self.bars.get().map_or(0, |bars| bars.touch())
    }

    /// How many definitions it has had.
    pub(crate) fn definition_count(&self) -> usize {
        self.definitions.read().len()
    }

    /// Writer: adds a definition, which becomes the current one.
    pub(crate) fn define(&self, definition: Definition) {
        let packed = u64::from(definition.id)
            | u64::from(definition.price_exponent as u8) << 32
            | u64::from(definition.size_exponent as u8) << 40;
        self.definitions.write().push(Arc::new(definition));
        self.identity.store(packed, Ordering::Release);
    }

    /// Writer: restates the status in the current definition.
    pub(crate) fn restate(&self, change: impl FnOnce(&mut Definition)) {
        if let Some(current) = self.definitions.write().last_mut() {
            change(Arc::make_mut(current));
        }
    }
}
