//! Data frames and their entries: the hot path. No allocation but the growth of `out`, which is
//! reserved once per entry.

use super::put;
use crate::{
    definition::Definition,
    entry::{BarEntry, CorrectionEntry, Entry, LostEntry, StateEntry, Step, TradeEntry, kind},
    number::ABSENT,
    tick::Reason,
};

/// First element of every data frame.
pub(crate) const DATA_FRAME: u8 = 1;

/// Room for the largest entry without a name: a head of three bytes and 13 integers.
const ENTRY_LIMIT_BYTES: usize = 3 + 13 * put::INTEGER_LIMIT_BYTES;

/// Appends the head of a frame and returns where its cause stands; the head of the array of
/// entries comes right after it, both to be patched by [`finish_frame`].
pub(crate) fn begin_frame(out: &mut Vec<u8>, sequence: u64, sent_at_us: i64) -> usize {
    put::array(out, 5);
    out.push(DATA_FRAME);
    put::unsigned(out, sequence);
    put::signed(out, sent_at_us);
    let cause_at = out.len();
    out.extend_from_slice(&[0, 0xdc, 0, 0]);
    cause_at
}

/// Patches cause and number of entries.
pub(crate) fn finish_frame(out: &mut Vec<u8>, cause_at: usize, cause: u8, count: usize) {
    out[cause_at] = cause;
    if let Ok(count) = u16::try_from(count) {
        out[cause_at + 2..cause_at + 4].copy_from_slice(&count.to_be_bytes());
    } else {
        // Far above any frame limit, but still a correct frame: the long form of the head.
        let mut head = Vec::with_capacity(5);
        put::array(&mut head, count);
        out.splice(cause_at + 1..cause_at + 4, head);
    }
}

pub(crate) fn write_entry(out: &mut Vec<u8>, entry: &Entry) {
    out.reserve(ENTRY_LIMIT_BYTES);
    match entry {
        Entry::Quote(state) => write_state(out, kind::QUOTE, kind::QUOTE_DELTA, state),
        Entry::Last(state) => write_state(out, kind::LAST, kind::LAST_DELTA, state),
        Entry::Trade(trade) => write_trade(out, trade),
        Entry::TradeCorrection(correction) => write_correction(out, correction),
        Entry::TradesJoined { id, sequence, volume } => {
            head(out, 4, kind::TRADES_JOINED, *id);
            put::unsigned(out, *sequence);
            put::field(out, *volume);
        }
        Entry::TradesLost(lost) => write_lost(out, lost),
        Entry::Bar(bar) => write_bar(out, bar),
        Entry::Status(status) => {
            put::array(out, 6);
            out.push(kind::STATUS);
            match status.id {
                Some(id) => put::unsigned(out, id.into()),
                None => out.push(put::NIL),
            }
            put::unsigned(out, status.status_sequence);
            out.push(status.status as u8);
            match status.reason {
                Reason::None => out.push(put::NIL),
                reason => out.push(reason as u8),
            }
            put::field(out, status.age_us);
        }
        Entry::Definition(definition) => write_definition(out, definition),
        Entry::Epoch { epoch } => {
            put::array(out, 2);
            out.push(kind::EPOCH);
            put::unsigned(out, *epoch);
        }
        Entry::Ready { command_id } => {
            put::array(out, 2);
            out.push(kind::READY);
            put::field(out, command_id.unwrap_or(ABSENT));
        }
    }
}

/// Array of `length`, kind, id: how every entry of a symbol but status begins.
fn head(out: &mut Vec<u8>, length: usize, kind: u8, id: u32) {
    put::array(out, length);
    out.push(kind);
    put::unsigned(out, id.into());
}

fn write_state<const N: usize>(out: &mut Vec<u8>, full: u8, delta: u8, state: &StateEntry<N>) {
    match state.step {
        Step::Full { sequence } => {
            head(out, 4 + N, full, state.id);
            put::unsigned(out, sequence);
            put::field(out, state.age_us);
            for (bit, field) in state.fields.iter().enumerate() {
                put::field(out, if state.mask & (1 << bit) != 0 { *field } else { ABSENT });
            }
        }
        Step::Delta { advance } => {
            let mask = state.mask & mask_of(N);
            head(out, 5 + mask.count_ones() as usize, delta, state.id);
            put::unsigned(out, advance);
            put::field(out, state.age_us);
            put::unsigned(out, mask.into());
            let mut rest = mask;
            while rest != 0 {
                put::field(out, state.fields[rest.trailing_zeros() as usize]);
                rest &= rest - 1;
            }
        }
    }
}

/// The lowest `count` bits, at most eight.
const fn mask_of(count: usize) -> u8 {
    ((1u16 << count) - 1) as u8
}

fn write_trade(out: &mut Vec<u8>, trade: &TradeEntry) {
    head(out, 8, kind::TRADE, trade.id);
    put::unsigned(out, trade.sequence);
    put::field(out, trade.age_us);
    put::field(out, trade.price);
    put::field(out, trade.size);
    put::unsigned(out, trade.flags.into());
    put::field(out, trade.trade_id);
}

fn write_correction(out: &mut Vec<u8>, correction: &CorrectionEntry) {
    head(out, 8, kind::TRADE_CORRECTION, correction.id);
    put::unsigned(out, correction.sequence);
    put::field(out, correction.age_us);
    put::field(out, correction.corrects);
    out.push(correction.what as u8);
    put::field(out, correction.price);
    put::field(out, correction.size);
}

fn write_lost(out: &mut Vec<u8>, lost: &LostEntry) {
    head(out, 6, kind::TRADES_LOST, lost.id);
    put::field(out, lost.from);
    put::field(out, lost.to);
    put::field(out, lost.size);
    out.push(lost.origin as u8);
}

fn write_bar(out: &mut Vec<u8>, bar: &BarEntry) {
    head(out, 13, kind::BAR, bar.id);
    put::unsigned(out, bar.sequence);
    put::unsigned(out, bar.interval_s.into());
    put::signed(out, bar.start_s);
    for field in [bar.open, bar.high, bar.low, bar.close, bar.volume, bar.vwap, bar.trade_count] {
        put::field(out, field);
    }
    put::unsigned(out, bar.flags.into());
}

fn write_definition(out: &mut Vec<u8>, definition: &Definition) {
    out.reserve(ENTRY_LIMIT_BYTES + definition.name.len());
    head(out, 10, kind::DEFINITION, definition.id);
    put::text(out, &definition.name);
    put::signed(out, definition.price_exponent.into());
    put::signed(out, definition.size_exponent.into());
    match definition.session_date {
        0 => out.push(put::NIL),
        date => put::unsigned(out, date.into()),
    }
    put::field(out, definition.previous_close);
    out.push(definition.status as u8);
    put::unsigned(out, definition.status_sequence);
    put::field(out, definition.tick_size);
}
