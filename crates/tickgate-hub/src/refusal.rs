//! What a feed may not say: each listing or tick is checked before anything of it is applied.

use tickgate_protocol::{
    entry::trade_flag,
    instrument::{self, Instrument},
    number::{self, ABSENT, EXPONENT_LIMIT, LIMIT},
    symbol::check_name,
    tick::{Correction, CorrectionKind, Listing, Quote, Status, TickBody, Trade},
};

use crate::stats::Tally;

/// Why a listing, a field of one, or a tick was refused. A closed list; the counters and metrics use its labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Refusal {
    /// A listing whose name cannot name a symbol.
    Name,
    /// A listing whose exponents are outside ±18.
    Exponent,
    /// A listing whose previous close is no valid number.
    PreviousClose,
    /// A tick size that is no valid number above 0, also when brought to the symbol's finer scale.
    /// The listing stands without it, as it does without the three below: no tick depends on them.
    TickSize,
    /// A description that [`instrument::is_description`] does not allow.
    Description,
    /// A venue that [`instrument::is_venue`] does not allow.
    Venue,
    /// A currency that [`instrument::is_currency`] does not allow.
    Currency,
    /// A listing of a new symbol above the hub's limit.
    SymbolLimit,
    /// A listing above what one feed may announce.
    ListingLimit,
    /// A listing with finer exponents of a symbol that was redefined too often.
    DefinitionLimit,
    /// A tick of a symbol that was not listed, or whose listing was refused.
    UnknownSymbol,
    /// A number beyond 2^53 − 1, also when brought to the symbol's finer scale.
    Range,
    /// A size below zero.
    NegativeSize,
    /// A side of a quote with a price and no size, or the other way round.
    HalfSide,
    /// A trade without price or size.
    IncompleteTrade,
    /// A trade with flags nobody defined.
    Flags,
    /// A correction that names no trade, or whose price and size do not fit its kind.
    Correction,
    /// A symbol's status given as the feed's liveness, or the other way round.
    Status,
    /// The session's volume or trade count would exceed 2^53 − 1.
    SessionOverflow,
    /// The channel's sequence would exceed 2^53 − 1.
    SequenceLimit,
}

impl Refusal {
    /// All of them, in the order of their discriminants.
    pub const ALL: [Self; 20] = [
        Self::Name,
        Self::Exponent,
        Self::PreviousClose,
        Self::TickSize,
        Self::Description,
        Self::Venue,
        Self::Currency,
        Self::SymbolLimit,
        Self::ListingLimit,
        Self::DefinitionLimit,
        Self::UnknownSymbol,
        Self::Range,
        Self::NegativeSize,
        Self::HalfSide,
        Self::IncompleteTrade,
        Self::Flags,
        Self::Correction,
        Self::Status,
        Self::SessionOverflow,
        Self::SequenceLimit,
    ];

    /// The name in logs and metrics.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Exponent => "exponent",
            Self::PreviousClose => "previous_close",
            Self::TickSize => "tick_size",
            Self::Description => "description",
            Self::Venue => "venue",
            Self::Currency => "currency",
            Self::SymbolLimit => "symbol_limit",
            Self::ListingLimit => "listing_limit",
            Self::DefinitionLimit => "definition_limit",
            Self::UnknownSymbol => "unknown_symbol",
            Self::Range => "range",
            Self::NegativeSize => "negative_size",
            Self::HalfSide => "half_side",
            Self::IncompleteTrade => "incomplete_trade",
            Self::Flags => "flags",
            Self::Correction => "correction",
            Self::Status => "status",
            Self::SessionOverflow => "session_overflow",
            Self::SequenceLimit => "sequence_limit",
        }
    }
}

/// The flags a trade may carry.
const TRADE_FLAGS: u8 = trade_flag::NOT_ELIGIBLE
    | trade_flag::LATE
    | trade_flag::SELLER_INITIATED
    | trade_flag::BUYER_INITIATED;

/// Checks what a listing says of itself.
pub(crate) fn check_listing(listing: &Listing) -> Result<(), Refusal> {
    check_name(&listing.name).map_err(|_| Refusal::Name)?;
    let exponents = -EXPONENT_LIMIT..=EXPONENT_LIMIT;
    if !exponents.contains(&listing.price_exponent) || !exponents.contains(&listing.size_exponent) {
        return Err(Refusal::Exponent);
    }
    if number::is_valid(listing.previous_close) { Ok(()) } else { Err(Refusal::PreviousClose) }
}

/// A listing's tick size and words, without those that break their rule, which are counted.
pub(crate) fn sound_fields(listing: &Listing, tally: &mut Tally) -> (i64, Instrument) {
    let tick_size = match listing.tick_size {
        size @ (ABSENT | 1..=LIMIT) => size,
        _ => {
            tally.refuse(Refusal::TickSize);
            ABSENT
        }
    };
    let mut word = |word: &Option<Box<str>>, is_allowed: fn(&str) -> bool, refusal| {
        let is_sound = word.as_deref().is_none_or(is_allowed);
        if !is_sound {
            tally.refuse(refusal);
        }
        word.clone().filter(|_| is_sound)
    };
    let Instrument { description, venue, currency } = &listing.instrument;
    let instrument = Instrument {
        description: word(description, instrument::is_description, Refusal::Description),
        venue: word(venue, instrument::is_venue, Refusal::Venue),
        currency: word(currency, instrument::is_currency, Refusal::Currency),
    };
    (tick_size, instrument)
}

/// Checks what a tick says of itself.
pub(crate) fn check_tick(body: &TickBody) -> Result<(), Refusal> {
    match body {
        TickBody::Quote(quote) => check_quote(quote),
        TickBody::Trade(trade) => check_trade(trade),
        TickBody::Correction(correction) => check_correction(correction),
        TickBody::Status(change) => match change.status {
            Status::Trading | Status::Halted | Status::Closed | Status::Delisted => Ok(()),
            Status::Live | Status::Stale => Err(Refusal::Status),
        },
        TickBody::Session(start) => match number::is_valid(start.previous_close) {
            true => Ok(()),
            false => Err(Refusal::PreviousClose),
        },
    }
}

/// Crossed and locked books are facts of a market and pass.
fn check_quote(quote: &Quote) -> Result<(), Refusal> {
    check_price_and_size(quote.bid_price, quote.bid_size)?;
    check_price_and_size(quote.ask_price, quote.ask_size)?;
    let half = |price, size| (price == ABSENT) != (size == ABSENT);
    if half(quote.bid_price, quote.bid_size) || half(quote.ask_price, quote.ask_size) {
        return Err(Refusal::HalfSide);
    }
    Ok(())
}

fn check_trade(trade: &Trade) -> Result<(), Refusal> {
    check_price_and_size(trade.price, trade.size)?;
    if trade.price == ABSENT || trade.size == ABSENT {
        return Err(Refusal::IncompleteTrade);
    }
    if !number::is_valid(trade.trade_id) {
        return Err(Refusal::Range);
    }
    if trade.flags & !TRADE_FLAGS != 0 { Err(Refusal::Flags) } else { Ok(()) }
}

fn check_correction(correction: &Correction) -> Result<(), Refusal> {
    check_price_and_size(correction.price, correction.size)?;
    if !number::is_valid(correction.trade_id) {
        return Err(Refusal::Range);
    }
    let present = |field| field != ABSENT;
    let fits = match correction.what {
        CorrectionKind::Cancel => !present(correction.price) && !present(correction.size),
        CorrectionKind::Correct => present(correction.price) && present(correction.size),
    };
    if fits && present(correction.trade_id) { Ok(()) } else { Err(Refusal::Correction) }
}

fn check_price_and_size(price: i64, size: i64) -> Result<(), Refusal> {
    if !number::is_valid(price) || !number::is_valid(size) {
        return Err(Refusal::Range);
    }
    if size < 0 && size != ABSENT { Err(Refusal::NegativeSize) } else { Ok(()) }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use tickgate_protocol::tick::{Reason, StatusChange};

    use super::*;

    const QUOTE: Quote =
        Quote { bid_price: 1, bid_size: 2, ask_price: 3, ask_size: 4, suspect: false };
    const TRADE: Trade = Trade { price: 1, size: 2, flags: 0, trade_id: ABSENT };
    const CORRECTION: Correction =
        Correction { trade_id: 1, what: CorrectionKind::Correct, price: 1, size: 2 };

    #[test]
    fn labels_follow_the_discriminants_and_differ() {
        for (position, refusal) in Refusal::ALL.into_iter().enumerate() {
            assert_eq!(refusal as usize, position);
        }
        let labels: std::collections::BTreeSet<_> = Refusal::ALL.map(Refusal::label).into();
        assert_eq!(labels.len(), Refusal::ALL.len());
    }

    #[test]
    fn what_markets_do_passes() {
        let status = StatusChange { status: Status::Delisted, reason: Reason::None };
        for body in [
            TickBody::Quote(QUOTE),
            TickBody::Quote(Quote::EMPTY),
            TickBody::Quote(Quote { ask_price: ABSENT, ask_size: ABSENT, ..QUOTE }),
            TickBody::Quote(Quote { bid_price: 9, ..QUOTE }),
            TickBody::Quote(Quote { bid_price: -LIMIT, bid_size: 0, ..QUOTE }),
            TickBody::Trade(Trade { price: -1, flags: TRADE_FLAGS, trade_id: LIMIT, ..TRADE }),
            TickBody::Correction(CORRECTION),
            TickBody::Status(status),
            TickBody::Session(tickgate_protocol::tick::SessionStart {
                session_date: 0,
                previous_close: ABSENT,
            }),
        ] {
            assert_eq!(check_tick(&body), Ok(()), "{body:?}");
        }
    }

    #[test]
    fn what_no_market_means_is_refused_by_reason() {
        let quote = TickBody::Quote;
        let trade = TickBody::Trade;
        let correction = TickBody::Correction;
        let cancel = Correction { what: CorrectionKind::Cancel, ..CORRECTION };
        let live = StatusChange { status: Status::Live, reason: Reason::None };
        for (body, refusal) in [
            (quote(Quote { bid_price: LIMIT + 1, ..QUOTE }), Refusal::Range),
            (quote(Quote { ask_size: -LIMIT - 1, ..QUOTE }), Refusal::Range),
            (quote(Quote { ask_size: i64::MAX, ..QUOTE }), Refusal::Range),
            (quote(Quote { ask_size: -1, ..QUOTE }), Refusal::NegativeSize),
            (quote(Quote { ask_size: ABSENT, ..QUOTE }), Refusal::HalfSide),
            (quote(Quote { bid_price: ABSENT, ..QUOTE }), Refusal::HalfSide),
            (trade(Trade { price: ABSENT, ..TRADE }), Refusal::IncompleteTrade),
            (trade(Trade { size: ABSENT, ..TRADE }), Refusal::IncompleteTrade),
            (trade(Trade { size: -1, ..TRADE }), Refusal::NegativeSize),
            (trade(Trade { trade_id: LIMIT + 1, ..TRADE }), Refusal::Range),
            (trade(Trade { flags: 16, ..TRADE }), Refusal::Flags),
            (correction(cancel), Refusal::Correction),
            (correction(Correction { price: ABSENT, ..cancel }), Refusal::Correction),
            (correction(Correction { size: ABSENT, ..cancel }), Refusal::Correction),
            (correction(Correction { trade_id: ABSENT, ..CORRECTION }), Refusal::Correction),
            (correction(Correction { price: ABSENT, ..CORRECTION }), Refusal::Correction),
            (correction(Correction { size: -1, ..CORRECTION }), Refusal::NegativeSize),
            (correction(Correction { trade_id: i64::MAX, ..CORRECTION }), Refusal::Range),
            (TickBody::Status(live), Refusal::Status),
        ] {
            assert_eq!(check_tick(&body), Err(refusal), "{body:?}");
        }
    }

    #[test]
    fn a_listing_is_checked_whole() {
        let good = Listing::new("A", -18, 18);
        assert_eq!(check_listing(&good), Ok(()));
        for (listing, refusal) in [
            (Listing { name: "*".into(), ..good.clone() }, Refusal::Name),
            (Listing { price_exponent: 19, ..good.clone() }, Refusal::Exponent),
            (Listing { size_exponent: -19, ..good.clone() }, Refusal::Exponent),
            (Listing { previous_close: LIMIT + 1, ..good }, Refusal::PreviousClose),
        ] {
            assert_eq!(check_listing(&listing), Err(refusal), "{listing:?}");
        }
    }
}
