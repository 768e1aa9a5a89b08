//! Data frames and their entries as JSON objects.

use super::{decimal, text};
use crate::{
    definition::Definition,
    entry::{Entry, StateEntry, Step, last_field, quote_field},
    number::ABSENT,
    tick::Reason,
};

/// Appends the head of a frame and returns where the two characters of its cause stand.
pub(crate) fn begin_frame(out: &mut Vec<u8>, sequence: u64, sent_at_us: i64) -> usize {
    let mut digits = itoa::Buffer::new();
    out.extend_from_slice(b"{\"type\":\"frame\",\"sequence\":");
    out.extend_from_slice(digits.format(sequence).as_bytes());
    out.extend_from_slice(b",\"sent_at_us\":");
    out.extend_from_slice(digits.format(sent_at_us).as_bytes());
    out.extend_from_slice(b",\"cause\":");
    let cause_at = out.len();
    // JSON allows a space before a number, so one digit and two take the same room.
    out.extend_from_slice(b" 0,\"entries\":[");
    cause_at
}

/// Patches the cause and closes the frame in place of the last entry's comma.
pub(crate) fn finish_frame(out: &mut Vec<u8>, cause_at: usize, cause: u8, count: usize) {
    let tens = cause / 10 % 10;
    out[cause_at] = if tens == 0 { b' ' } else { b'0' + tens };
    out[cause_at + 1] = b'0' + cause % 10;
    if count > 0 {
        out.pop();
    }
    out.extend_from_slice(b"]}");
}

/// Appends one entry and a comma.
pub(crate) fn write_entry(out: &mut Vec<u8>, entry: &Entry, definition: Option<&Definition>) {
    let mut object = Object { out, definition };
    match entry {
        Entry::Definition(definition) => {
            object.definition = Some(definition);
            object.begin("definition");
            object.symbol();
            object.integer("id", definition.id.into());
            object.integer("price_exponent", definition.price_exponent.into());
            object.integer("size_exponent", definition.size_exponent.into());
            let date = definition.session_date;
            object.integer("session_date", if date == 0 { ABSENT } else { date.into() });
            object.price("previous_close", definition.previous_close);
            object.name("status", definition.status.name());
            object.count("status_sequence", definition.status_sequence);
            object.price("tick_size", definition.tick_size);
        }
        Entry::Epoch { epoch } => {
            object.begin("epoch");
            object.count("epoch", *epoch);
        }
        Entry::Ready { command_id } => {
            object.begin("ready");
            object.integer("command_id", command_id.unwrap_or(ABSENT));
        }
        Entry::Status(status) => {
            object.begin("status");
            if status.id.is_none() {
                object.definition = None;
            }
            object.symbol();
            object.count("status_sequence", status.status_sequence);
            object.name("status", status.status.name());
            match status.reason {
                Reason::None => object.integer("reason", ABSENT),
                reason => object.name("reason", reason.name()),
            }
            object.integer("age_us", status.age_us);
        }
        Entry::Quote(quote) => {
            object.state(["quote", "quote_delta"], quote, &quote_field::NAMES, &QUOTE_SCALES);
        }
        Entry::Last(last) => {
            object.state(["last", "last_delta"], last, &last_field::NAMES, &LAST_SCALES);
        }
        Entry::Trade(trade) => {
            object.begin("trade");
            object.symbol();
            object.count("sequence", trade.sequence);
            object.integer("age_us", trade.age_us);
            object.price("price", trade.price);
            object.size("size", trade.size);
            object.integer("flags", trade.flags.into());
            object.integer("trade_id", trade.trade_id);
        }
        Entry::TradeCorrection(correction) => {
            object.begin("trade_correction");
            object.symbol();
            object.count("sequence", correction.sequence);
            object.integer("age_us", correction.age_us);
            object.integer("corrects", correction.corrects);
            object.integer("what", correction.what as i64);
            object.price("price", correction.price);
            object.size("size", correction.size);
        }
        Entry::TradesJoined { sequence, volume, .. } => {
            object.begin("trades_joined");
            object.symbol();
            object.count("sequence", *sequence);
            object.size("volume", *volume);
        }
        Entry::TradesLost(lost) => {
            object.begin("trades_lost");
            object.symbol();
            object.integer("from", lost.from);
            object.integer("to", lost.to);
            object.size("size", lost.size);
            object.integer("origin", lost.origin as i64);
        }
        Entry::Bar(bar) => {
            object.begin("bar");
            object.symbol();
            object.count("sequence", bar.sequence);
            object.integer("interval_s", bar.interval_s.into());
            object.integer("start_s", bar.start_s);
            object.price("open", bar.open);
            object.price("high", bar.high);
            object.price("low", bar.low);
            object.price("close", bar.close);
            object.size("volume", bar.volume);
            object.scaled("vwap", bar.vwap, Scale::Average);
            object.integer("trade_count", bar.trade_count);
            object.integer("flags", bar.flags.into());
        }
    }
    object.out.extend_from_slice(b"},");
}

/// What a field counts in.
#[derive(Debug, Clone, Copy)]
pub(super) enum Scale {
    /// Plain integers: counts and flags.
    One,
    Price,
    Size,
    /// Prices with two more decimals.
    Average,
}

/// Of the fields of a quote.
pub(super) const QUOTE_SCALES: [Scale; quote_field::COUNT] =
    [Scale::Price, Scale::Size, Scale::Price, Scale::Size, Scale::One];

/// Of the last-trade figures.
pub(super) const LAST_SCALES: [Scale; last_field::COUNT] = [
    Scale::Price,
    Scale::Size,
    Scale::Size,
    Scale::One,
    Scale::Price,
    Scale::Price,
    Scale::Price,
    Scale::One,
];

impl Scale {
    /// The power of ten; 0 where no definition is known.
    pub(super) fn exponent(self, definition: Option<&Definition>) -> i8 {
        let Some(definition) = definition else { return 0 };
        match self {
            Self::One => 0,
            Self::Price => definition.price_exponent,
            Self::Size => definition.size_exponent,
            Self::Average => definition.price_exponent.saturating_sub(2),
        }
    }
}

/// An entry under construction.
struct Object<'a> {
    out: &'a mut Vec<u8>,
    definition: Option<&'a Definition>,
}

impl Object<'_> {
    fn begin(&mut self, name: &str) {
        self.out.extend_from_slice(b"{\"type\":\"");
        self.out.extend_from_slice(name.as_bytes());
        self.out.push(b'"');
    }

    fn key(&mut self, key: &str) {
        self.out.extend_from_slice(b",\"");
        self.out.extend_from_slice(key.as_bytes());
        self.out.extend_from_slice(b"\":");
    }

    fn symbol(&mut self) {
        self.key("symbol");
        match self.definition {
            Some(definition) => text(self.out, &definition.name),
            None => self.out.extend_from_slice(b"null"),
        }
    }

    fn name(&mut self, key: &str, name: &str) {
        self.key(key);
        text(self.out, name);
    }

    fn count(&mut self, key: &str, count: u64) {
        self.key(key);
        self.out.extend_from_slice(itoa::Buffer::new().format(count).as_bytes());
    }

    fn integer(&mut self, key: &str, field: i64) {
        self.scaled(key, field, Scale::One);
    }

    fn price(&mut self, key: &str, field: i64) {
        self.scaled(key, field, Scale::Price);
    }

    fn size(&mut self, key: &str, field: i64) {
        self.scaled(key, field, Scale::Size);
    }

    fn scaled(&mut self, key: &str, field: i64, scale: Scale) {
        self.key(key);
        match field {
            ABSENT => self.out.extend_from_slice(b"null"),
            _ => decimal::write(self.out, field, scale.exponent(self.definition)),
        }
    }

    fn state<const N: usize>(
        &mut self,
        [full, delta]: [&str; 2],
        state: &StateEntry<N>,
        names: &[&str; N],
        scales: &[Scale; N],
    ) {
        let chosen = |bit: usize| state.mask & (1 << bit) != 0;
        match state.step {
            Step::Full { sequence } => {
                self.begin(full);
                self.symbol();
                self.count("sequence", sequence);
            }
            Step::Delta { advance } => {
                self.begin(delta);
                self.symbol();
                self.count("advance", advance);
            }
        }
        self.integer("age_us", state.age_us);
        for bit in 0..N {
            if chosen(bit) {
                self.scaled(names[bit], state.fields[bit], scales[bit]);
            } else if matches!(state.step, Step::Full { .. }) {
                self.scaled(names[bit], ABSENT, scales[bit]);
            }
        }
    }
}
