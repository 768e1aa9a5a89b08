//! Reading data frames of JSON: names become ids and decimals become integers again, by the
//! definitions seen so far.

use std::collections::HashMap;

use super::entries::Scale;
use crate::{
    decode::{DecodeError, field_error},
    definition::Definition,
    entry::{
        BarEntry, CorrectionEntry, Entry, Frame, LostEntry, StateEntry, StatusEntry, Step,
        TradeEntry, last_field, quote_field,
    },
    json::entries::{LAST_SCALES, QUOTE_SCALES},
    msgpack::frames::{correction_kind, lost_origin, whole_mask},
    number::ABSENT,
    tick::{Reason, Status},
    tree::{Value, map::Map, read_reply::read_decimal},
};

type Read<T> = Result<T, DecodeError>;

/// The definitions of a connection, by name. Emptied by an epoch.
pub(crate) type Definitions = HashMap<Box<str>, Definition>;

/// Reads a data frame from its tree and keeps the definitions it brings.
///
/// # Errors
/// [`DecodeError`] when a value breaks the protocol or a symbol is not defined.
pub(crate) fn read_frame(value: &Value<'_>, definitions: &mut Definitions) -> Read<Frame> {
    let frame = Map::of("frame", value)?;
    let mut entries = Vec::new();
    for entry in frame.required("entries", Value::as_array)? {
        entries.extend(read_entry(&Map::of("entry", entry)?, definitions)?);
    }
    Ok(Frame {
        sequence: frame.count("sequence")?,
        sent_at_us: frame.required("sent_at_us", Value::as_integer)?,
        cause: (frame.count("cause")? & 0xff) as u8,
        entries,
    })
}

/// One entry; `None` for a type that is not known.
fn read_entry(map: &Map<'_>, definitions: &mut Definitions) -> Read<Option<Entry>> {
    let kind = map.text("type")?;
    let read = match kind.as_str() {
        "definition" => {
            let definition = read_definition(map)?;
            definitions.insert(definition.name.clone(), definition.clone());
            Entry::Definition(definition)
        }
        "epoch" => {
            definitions.clear();
            Entry::Epoch { epoch: map.count("epoch")? }
        }
        "ready" => Entry::Ready { command_id: map.optional("command_id", Value::as_integer)? },
        "status" => {
            let feed = matches!(map.get("symbol"), Some(Value::Nil));
            let id = if feed { None } else { Some(Symbol::of(map, definitions)?.definition.id) };
            Entry::Status(StatusEntry {
                id,
                status_sequence: map.count("status_sequence")?,
                status: read_status(map)?,
                // Reasons may be added; one that is not known is none.
                reason: map
                    .optional("reason", Value::as_text)?
                    .and_then(Reason::from_name)
                    .unwrap_or(Reason::None),
                age_us: scaled(map, "age_us", 0)?,
            })
        }
        "quote" | "quote_delta" => {
            let symbol = Symbol::of(map, definitions)?;
            let full = kind == "quote";
            Entry::Quote(symbol.state(full, &quote_field::NAMES, &QUOTE_SCALES)?)
        }
        "last" | "last_delta" => {
            let symbol = Symbol::of(map, definitions)?;
            let full = kind == "last";
            Entry::Last(symbol.state(full, &last_field::NAMES, &LAST_SCALES)?)
        }
        "trade" | "trade_correction" | "trades_joined" | "trades_lost" | "bar" => {
            Symbol::of(map, definitions)?.read_tape(&kind)?
        }
        _ => return Ok(None),
    };
    Ok(Some(read))
}

fn read_definition(map: &Map<'_>) -> Read<Definition> {
    let price_exponent = map.exponent("price_exponent")?;
    let date = map.optional("session_date", Value::as_integer)?.unwrap_or(0);
    Ok(Definition {
        id: map.small("id")?,
        name: map.text("symbol")?.into(),
        price_exponent,
        size_exponent: map.exponent("size_exponent")?,
        session_date: date.try_into().map_err(|_| field_error("entry", "session_date", date))?,
        previous_close: scaled(map, "previous_close", price_exponent)?,
        status: read_status(map)?,
        status_sequence: map.count("status_sequence")?,
        // An earlier gateway does not send it.
        tick_size: map
            .optional("tick_size", |value| read_decimal(value, price_exponent))?
            .unwrap_or(ABSENT),
    })
}

fn read_status(map: &Map<'_>) -> Read<Status> {
    map.required("status", |value| Status::from_name(value.as_text()?))
}

/// A decimal at `exponent`; [`ABSENT`] for null.
fn scaled(map: &Map<'_>, key: &'static str, exponent: i8) -> Read<i64> {
    map.required(key, |value| match value {
        Value::Nil => Some(ABSENT),
        value => read_decimal(value, exponent),
    })
}

/// An entry with the definition of its symbol.
struct Symbol<'a> {
    map: &'a Map<'a>,
    definition: &'a Definition,
}

impl<'a> Symbol<'a> {
    fn of(map: &'a Map<'a>, definitions: &'a Definitions) -> Read<Self> {
        let name = map.text("symbol")?;
        match definitions.get(name.as_str()) {
            Some(definition) => Ok(Self { map, definition }),
            None => Err(DecodeError::Undefined { symbol: name }),
        }
    }

    fn scaled(&self, key: &'static str, scale: Scale) -> Read<i64> {
        scaled(self.map, key, scale.exponent(Some(self.definition)))
    }

    fn integer(&self, key: &'static str) -> Read<i64> {
        self.scaled(key, Scale::One)
    }

    fn price(&self, key: &'static str) -> Read<i64> {
        self.scaled(key, Scale::Price)
    }

    fn size(&self, key: &'static str) -> Read<i64> {
        self.scaled(key, Scale::Size)
    }

    fn flags(&self) -> Read<u8> {
        Ok((self.map.count("flags")? & 0xff) as u8)
    }

    fn state<const N: usize>(
        &self,
        full: bool,
        names: &[&'static str; N],
        scales: &[Scale; N],
    ) -> Read<StateEntry<N>> {
        let step = if full {
            Step::Full { sequence: self.map.count("sequence")? }
        } else {
            Step::Delta { advance: self.map.count("advance")? }
        };
        let mut mask = 0;
        let mut fields = [ABSENT; N];
        for bit in 0..N {
            if full || self.map.get(names[bit]).is_some() {
                mask |= 1 << bit;
                fields[bit] = self.scaled(names[bit], scales[bit])?;
            }
        }
        debug_assert!(!full || mask == whole_mask::<N>());
        Ok(StateEntry {
            id: self.definition.id,
            step,
            age_us: self.integer("age_us")?,
            mask,
            fields,
        })
    }

    fn read_tape(&self, kind: &str) -> Read<Entry> {
        let id = self.definition.id;
        Ok(match kind {
            "trade" => Entry::Trade(TradeEntry {
                id,
                sequence: self.map.count("sequence")?,
                age_us: self.integer("age_us")?,
                price: self.price("price")?,
                size: self.size("size")?,
                flags: self.flags()?,
                trade_id: self.integer("trade_id")?,
            }),
            "trade_correction" => Entry::TradeCorrection(CorrectionEntry {
                id,
                sequence: self.map.count("sequence")?,
                age_us: self.integer("age_us")?,
                corrects: self.integer("corrects")?,
                what: correction_kind(self.integer("what")?)?,
                price: self.price("price")?,
                size: self.size("size")?,
            }),
            "trades_joined" => Entry::TradesJoined {
                id,
                sequence: self.map.count("sequence")?,
                volume: self.size("volume")?,
            },
            "trades_lost" => Entry::TradesLost(LostEntry {
                id,
                from: self.integer("from")?,
                to: self.integer("to")?,
                size: self.size("size")?,
                origin: lost_origin(self.integer("origin")?)?,
            }),
            _ => Entry::Bar(BarEntry {
                id,
                sequence: self.map.count("sequence")?,
                interval_s: self.map.small("interval_s")?,
                start_s: self.map.required("start_s", Value::as_integer)?,
                open: self.price("open")?,
                high: self.price("high")?,
                low: self.price("low")?,
                close: self.price("close")?,
                volume: self.size("volume")?,
                vwap: self.scaled("vwap", Scale::Average)?,
                trade_count: self.integer("trade_count")?,
                flags: self.flags()?,
            }),
        })
    }
}
