//! What a quote, a trade or a correction makes of a symbol's fields: pure functions.

use tickgate_protocol::{
    entry::{LastFields, QuoteFields, last_field, quote_field, quote_flag, trade_flag},
    number::{ABSENT, LIMIT},
    tick::{Correction, CorrectionKind, Quote, Trade},
};

use crate::{refusal::Refusal, scale::Shift};

/// A quote's fields; what is crossed or locked passes, flagged.
pub(crate) fn quote(quote: &Quote) -> QuoteFields {
    let mut flags = if quote.suspect { quote_flag::SUSPECT } else { 0 };
    if quote.bid_price != ABSENT && quote.ask_price != ABSENT {
        flags |= match quote.bid_price.cmp(&quote.ask_price) {
            std::cmp::Ordering::Less => 0,
            std::cmp::Ordering::Equal => quote_flag::LOCKED,
            std::cmp::Ordering::Greater => quote_flag::CROSSED,
        };
    }
    [quote.bid_price, quote.bid_size, quote.ask_price, quote.ask_size, flags.into()]
}

/// The session's figures after one more trade. Every trade counts in volume and count; an eligible
/// one in high and low; one that is also not late is the last, and the open if it is the first.
pub(crate) fn trade(mut fields: LastFields, trade: &Trade) -> Result<LastFields, Refusal> {
    use last_field::{FLAGS, HIGH, LOW, OPEN, PRICE, SIZE, TRADE_COUNT, VOLUME};
    fields[VOLUME] = add(fields[VOLUME], trade.size)?;
    fields[TRADE_COUNT] = add(fields[TRADE_COUNT], 1)?;
    if trade.flags & trade_flag::NOT_ELIGIBLE != 0 {
        return Ok(fields);
    }
    // ABSENT is the least integer, so it loses to any price here, but must be told apart below.
    fields[HIGH] = fields[HIGH].max(trade.price);
    fields[LOW] = if fields[LOW] == ABSENT { trade.price } else { fields[LOW].min(trade.price) };
    if trade.flags & trade_flag::LATE == 0 {
        fields[PRICE] = trade.price;
        fields[SIZE] = trade.size;
        fields[FLAGS] = trade.flags.into();
        if fields[OPEN] == ABSENT {
            fields[OPEN] = trade.price;
        }
    }
    Ok(fields)
}

/// The session's figures after a correction of a trade whose size was `size`; [`ABSENT`] when it was
/// cancelled before, and is in no figure any more.
pub(crate) fn correct(
    mut fields: LastFields,
    size: i64,
    correction: &Correction,
) -> Result<LastFields, Refusal> {
    use last_field::{TRADE_COUNT, VOLUME};
    if size == ABSENT {
        return Ok(fields);
    }
    let (size_change, count_change) = match correction.what {
        CorrectionKind::Cancel => (-size, -1),
        CorrectionKind::Correct => (correction.size - size, 0),
    };
    fields[VOLUME] = add(fields[VOLUME], size_change)?;
    fields[TRADE_COUNT] = add(fields[TRADE_COUNT], count_change)?;
    Ok(fields)
}

/// A figure that adds up over the session: none yet is 0.
pub(crate) fn session_figure(figure: i64) -> i64 {
    if figure == ABSENT { 0 } else { figure }
}

/// A quote's fields at a finer scale.
pub(crate) fn rescale_quote(mut fields: QuoteFields, shift: Shift) -> Result<QuoteFields, Refusal> {
    use quote_field::{ASK_PRICE, ASK_SIZE, BID_PRICE, BID_SIZE};
    for field in [BID_PRICE, ASK_PRICE] {
        fields[field] = shift.price(fields[field])?;
    }
    for field in [BID_SIZE, ASK_SIZE] {
        fields[field] = shift.size(fields[field])?;
    }
    Ok(fields)
}

/// The last-trade figures at a finer scale.
pub(crate) fn rescale_last(mut fields: LastFields, shift: Shift) -> Result<LastFields, Refusal> {
    use last_field::{HIGH, LOW, OPEN, PRICE, SIZE, VOLUME};
    for field in [PRICE, HIGH, LOW, OPEN] {
        fields[field] = shift.price(fields[field])?;
    }
    for field in [SIZE, VOLUME] {
        fields[field] = shift.size(fields[field])?;
    }
    Ok(fields)
}

/// Both terms are within the limit, so the sum cannot wrap.
fn add(figure: i64, change: i64) -> Result<i64, Refusal> {
    let sum = session_figure(figure) + change;
    if sum > LIMIT { Err(Refusal::SessionOverflow) } else { Ok(sum) }
}
