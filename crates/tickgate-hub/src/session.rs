//! A symbol's trading session: what its writer remembers of it, and its prices after a trade of it was
//! cancelled or corrected.

use tickgate_protocol::{
    entry::{LastFields, last_field, trade_flag},
    number::ABSENT,
};

use crate::{
    bars,
    held::{HeldTrade, HeldTrades},
    symbol::SymbolState,
    sync::{AtomicU64, Ordering},
};

/// An hour, nanoseconds.
const HOUR_NS: i64 = 3_600_000_000_000;

/// What the writer keeps of a symbol's trading session, to find its prices anew after a correction.
/// A session that began with the epoch has no beginning of its own.
#[derive(Debug)]
pub(crate) struct Session {
    /// The tape's head when it began.
    pub(crate) tape: AtomicU64,
    /// The venue's time when it began, nanoseconds, as an `i64`; [`ABSENT`] with the epoch, and
    /// [`Session::UNKNOWN`] where the venue gave none.
    pub(crate) start_ns: AtomicU64,
    /// Eligible trades of it that were not cancelled.
    pub(crate) eligible: AtomicU64,
    /// Place on the tape of the trade that opened it; 0 when none did.
    pub(crate) open: AtomicU64,
}

impl Session {
    /// No hour begins then.
    pub(crate) const UNKNOWN: i64 = 1;

    pub(crate) fn new() -> Self {
        let zero = || AtomicU64::new(0);
        let start_ns = AtomicU64::new(ABSENT as u64);
        Self { tape: zero(), start_ns, eligible: zero(), open: zero() }
    }

    /// A new one begins behind the tape's head.
    pub(crate) fn begin(&self, head: u64, start_ns: i64) {
        self.tape.store(head, Ordering::Relaxed);
        self.start_ns.store(start_ns as u64, Ordering::Relaxed);
        self.eligible.store(0, Ordering::Relaxed);
        self.open.store(0, Ordering::Relaxed);
    }

    /// One eligible trade more, which opened it if `is_open`.
    pub(crate) fn trade(&self, sequence: u64, is_open: bool) {
        let eligible = self.eligible.load(Ordering::Relaxed);
        self.eligible.store(eligible + 1, Ordering::Relaxed);
        if is_open {
            self.open.store(sequence, Ordering::Relaxed);
        }
    }

    /// One of its eligible trades was cancelled.
    pub(crate) fn cancelled(&self) {
        let eligible = self.eligible.load(Ordering::Relaxed);
        self.eligible.store(eligible.saturating_sub(1), Ordering::Relaxed);
    }
}

/// The figures with last price, open, high and low found anew, after the correction of the eligible
/// trade `corrected` of this session, whose price is `price` now unless it was cancelled. The tape and
/// the bars know of it already; the tape may just have forgotten the trade itself.
///
/// - Last price: the newest trade on the tape that may be it. When there is none, and the tape has
///   forgotten some of the epoch, it stays as it was.
/// - Open: when it was the corrected trade's, its new price, or the first that may be it behind it.
/// - High and low: from the tape, when that has the whole session, else from the hours, when these
///   have every eligible trade of it; else they stay, but for a corrected price beyond them.
pub(crate) fn prices(
    symbol: &SymbolState,
    mut fields: LastFields,
    corrected: u64,
    price: Option<i64>,
) -> LastFields {
    use last_field::{FLAGS, HIGH, LOW, OPEN, PRICE, SIZE};
    let (oldest, epoch_start) = (symbol.tape_oldest(), symbol.tape_epoch_start());
    let session_start = symbol.session.tape.load(Ordering::Relaxed);
    let held = HeldTrades::since(symbol, epoch_start + 1);
    let may_be_last =
        |trade: &HeldTrade| trade.flags & (trade_flag::NOT_ELIGIBLE | trade_flag::LATE) == 0;
    match held.iter().rfind(may_be_last) {
        Some(HeldTrade { price, size, flags, .. }) => {
            (fields[PRICE], fields[SIZE], fields[FLAGS]) = (price, size, flags.into());
        }
        None if oldest <= epoch_start + 1 => {
            (fields[PRICE], fields[SIZE], fields[FLAGS]) = (ABSENT, ABSENT, ABSENT);
        }
        None => {}
    }
    if symbol.session.open.load(Ordering::Relaxed) == corrected {
        let next = || held.iter().filter(|trade| trade.sequence > corrected).find(may_be_last);
        let (sequence, open) = match (price, next()) {
            (Some(price), _) => (corrected, price),
            (None, Some(next)) => (next.sequence, next.price),
            (None, None) => (0, ABSENT),
        };
        fields[OPEN] = open;
        symbol.session.open.store(sequence, Ordering::Relaxed);
    }
    let eligible = held
        .iter()
        .filter(|trade| trade.sequence > session_start && bars::is_eligible(trade.flags));
    if oldest <= session_start + 1 {
        let (mut high, mut low) = (ABSENT, i64::MAX);
        for trade in eligible {
            (high, low) = (high.max(trade.price), low.min(trade.price));
        }
        (fields[HIGH], fields[LOW]) = (high, if high == ABSENT { ABSENT } else { low });
    } else if let Some((high, low)) = of_hours(symbol) {
        (fields[HIGH], fields[LOW]) = (high, low);
    } else if let Some(price) = price {
        fields[HIGH] = fields[HIGH].max(price);
        fields[LOW] = fields[LOW].min(price);
    }
    fields
}

/// High and low of the hours since the session began; `None` when they do not have exactly its
/// eligible trades.
fn of_hours(symbol: &SymbolState) -> Option<(i64, i64)> {
    let start_ns = symbol.session.start_ns.load(Ordering::Relaxed) as i64;
    // Since the epoch began there are no bars of trades before; else an hour must begin with it.
    let from_s = match start_ns {
        ABSENT => i64::MIN,
        _ if start_ns % HOUR_NS == 0 => start_ns / 1_000_000_000,
        _ => return None,
    };
    let (prices, count) = symbol.bars.get()?.hours_since(symbol, from_s)?;
    let eligible = symbol.session.eligible.load(Ordering::Relaxed);
    (count == eligible && count > 0).then_some((prices.high, prices.low))
}
