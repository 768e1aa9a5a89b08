//! No number on the wire exceeds 2^53 − 1 in magnitude.

use super::Violation;
use crate::{
    entry::{CorrectionEntry, Entry, StateEntry, Step},
    number::{LIMIT, is_valid},
};

/// # Errors
/// [`Violation::NumberTooLarge`] for an entry with a number beyond the limit.
pub(super) fn check(entry: &Entry) -> Result<(), Violation> {
    let sound = match entry {
        Entry::Definition(definition) => {
            all([definition.previous_close, definition.tick_size])
                && count(definition.status_sequence)
        }
        Entry::Epoch { epoch } => count(*epoch),
        Entry::Ready { command_id } => command_id.is_none_or(is_valid),
        Entry::Status(status) => count(status.status_sequence) && is_valid(status.age_us),
        Entry::Quote(quote) => state_is_sound(quote),
        Entry::Last(last) => state_is_sound(last),
        Entry::Trade(trade) => {
            count(trade.sequence) && all([trade.age_us, trade.price, trade.size, trade.trade_id])
        }
        Entry::TradeCorrection(correction) => {
            let CorrectionEntry { age_us, corrects, price, size, .. } = *correction;
            count(correction.sequence) && all([age_us, corrects, price, size])
        }
        Entry::TradesJoined { sequence, volume, .. } => count(*sequence) && is_valid(*volume),
        Entry::TradesLost(lost) => all([lost.from, lost.to, lost.size]),
        Entry::Bar(bar) => {
            count(bar.sequence)
                && all([bar.open, bar.high, bar.low, bar.close, bar.vwap])
                && all([bar.start_s, bar.volume, bar.trade_count])
        }
    };
    if sound { Ok(()) } else { Err(Violation::NumberTooLarge { id: entry.id() }) }
}

fn count(count: u64) -> bool {
    count <= LIMIT.unsigned_abs()
}

fn all<const N: usize>(fields: [i64; N]) -> bool {
    fields.into_iter().all(is_valid)
}

fn state_is_sound<const N: usize>(entry: &StateEntry<N>) -> bool {
    let (Step::Full { sequence: step } | Step::Delta { advance: step }) = entry.step;
    count(step) && is_valid(entry.age_us) && all(entry.fields)
}
