//! One entry, read by one table of kinds and fields from either dialect.

use crate::{
    rule::{Fault, Rule},
    value::Value,
    wire::{
        Bar, Channel, Definition, Entry, Fields, Scales, Step, TapeEvent, Unit, present, unsigned,
    },
};

/// Kind, name and the fields of each entry; state fields follow those listed.
const KINDS: [(i128, &str, &[&str]); 13] = [
    (
        1,
        "definition",
        &[
            "id",
            "name",
            "price_exponent",
            "size_exponent",
            "session_date",
            "previous_close",
            "status",
            "status_sequence",
            "tick_size",
        ],
    ),
    (2, "epoch", &["epoch"]),
    (3, "ready", &["command_id"]),
    (4, "status", &["id", "status_sequence", "status", "reason", "age_us"]),
    (10, "quote", &["id", "sequence", "age_us"]),
    (11, "quote_delta", &["id", "advance", "age_us", "mask"]),
    (12, "last", &["id", "sequence", "age_us"]),
    (13, "last_delta", &["id", "advance", "age_us", "mask"]),
    (20, "trade", &["id", "sequence", "age_us", "price", "size", "flags", "trade_id"]),
    (21, "trade_correction", &["id", "sequence", "age_us", "corrects", "what", "price", "size"]),
    (22, "trades_joined", &["id", "sequence", "volume"]),
    (23, "trades_lost", &["id", "from", "to", "size", "origin"]),
    (
        30,
        "bar",
        &[
            "id",
            "sequence",
            "interval_s",
            "start_s",
            "open",
            "high",
            "low",
            "close",
            "volume",
            "vwap",
            "trade_count",
            "flags",
        ],
    ),
];

/// Integers of `status` and their words.
const STATUSES: [(i64, &str); 6] =
    [(1, "trading"), (2, "halted"), (3, "closed"), (4, "delisted"), (10, "live"), (11, "stale")];
const REASONS: [(i64, &str); 8] = [
    (1, "regulatory"),
    (2, "volatility"),
    (3, "news"),
    (4, "technical"),
    (10, "gap"),
    (11, "silent"),
    (12, "disconnected"),
    (13, "ended"),
];
const WHATS: [(i64, &str); 2] = [(1, "cancel"), (2, "correct")];
const ORIGINS: [(i64, &str); 2] = [(0, "connection"), (1, "feed")];

/// An entry's kind and its fields by name.
pub(crate) struct Record<'a> {
    kind: i128,
    fields: Vec<(&'static str, &'a Value)>,
    /// State fields that are there, by bit.
    mask: u16,
    id: Option<u32>,
    json: bool,
}

static NIL: Value = Value::Nil;

impl<'a> Record<'a> {
    pub(crate) fn from_array(value: &'a Value) -> Result<Self, Fault> {
        let Value::Array(parts) = value else {
            return Err(Fault::decode("an entry is no array"));
        };
        let Some((Value::Int(kind), rest)) = parts.split_first() else {
            return Err(Fault::decode("an entry begins with its kind"));
        };
        let (kind, name, head) = (KINDS.iter().find(|known| known.0 == *kind))
            .ok_or_else(|| Fault::decode(format!("unknown kind {kind}")))?;
        let mut names: Vec<&'static str> = head.to_vec();
        let mut mask = 0;
        if let Some(channel) = state_channel(*kind) {
            let known = channel.fields();
            mask = (1 << known.len()) - 1;
            if is_delta(*kind) {
                let sent = rest.get(3).unwrap_or(&NIL).number(0)?;
                let sent = unsigned(sent, "mask")?;
                if sent & !u64::from(mask) != 0 {
                    return Err(Fault::decode(format!("mask {sent} has bits {name} has not")));
                }
                mask = sent as u16;
            }
            names.extend(
                (known.iter().enumerate())
                    .filter(|(bit, _)| mask & 1 << bit != 0)
                    .map(|(_, f)| f.0),
            );
        }
        if rest.len() != names.len() {
            let (has, needs) = (rest.len(), names.len());
            return Err(Fault::decode(format!("{name} has {has} fields where it needs {needs}")));
        }
        let mut record = Self {
            kind: *kind,
            fields: names.into_iter().zip(rest).collect(),
            mask,
            id: None,
            json: false,
        };
        if !matches!(kind, 2 | 3) {
            record.id = match record.get("id").number(0)? {
                Some(id) => Some(
                    u32::try_from(id)
                        .map_err(|_| Fault::decode(format!("id {id} is not small")))?,
                ),
                None if *kind == 4 => None,
                None => return Err(Fault::decode(format!("{name} without an id"))),
            };
        }
        Ok(record)
    }

    pub(crate) fn from_object(value: &'a Value, scales: &dyn Scales) -> Result<Self, Fault> {
        let Value::Map(members) = value else {
            return Err(Fault::decode("an entry is no object"));
        };
        let name = value.get("type").and_then(Value::text);
        let name = name.ok_or_else(|| Fault::decode("an entry without a type"))?;
        let (kind, name, head) = (KINDS.iter().find(|known| known.1 == name))
            .ok_or_else(|| Fault::decode(format!("unknown type {name}")))?;
        let states = state_channel(*kind).map_or(&[][..], Channel::fields);
        let mut record = Self { kind: *kind, fields: Vec::new(), mask: 0, id: None, json: true };
        for (key, member) in members {
            if key == "type" {
                continue;
            }
            if key == "symbol" {
                // A definition's symbol is its name; elsewhere it stands for the id.
                if *kind == 1 {
                    record.fields.push(("name", member));
                }
                continue;
            }
            if let Some(bit) = states.iter().position(|field| field.0 == key) {
                record.mask |= 1 << bit;
                record.fields.push((states[bit].0, member));
            } else if let Some(field) = head.iter().find(|field| *field == key) {
                record.fields.push((field, member));
            } else {
                return Err(Fault::decode(format!("{name} has no field {key}")));
            }
        }
        if states.is_empty() {
            let missing = (head.iter())
                .filter(|field| !matches!(**field, "id" | "name" | "command_id" | "reason"))
                .find(|field| !record.fields.iter().any(|known| known.0 == **field));
            if let Some(missing) = missing {
                return Err(Fault::decode(format!("{name} without {missing}")));
            }
        }
        let symbol = value.get("symbol").and_then(Value::text);
        record.id = match (kind, symbol) {
            (1..=3, _) | (4, None) => None,
            (_, Some(symbol)) => Some(scales.id(symbol).ok_or_else(|| {
                Fault::new(Rule::Definition, format!("{symbol} was not defined"))
            })?),
            (_, None) => return Err(Fault::decode(format!("{name} without a symbol"))),
        };
        if *kind == 1 {
            let symbol = symbol.or_else(|| value.get("name").and_then(Value::text));
            let symbol = symbol.ok_or_else(|| Fault::decode("a definition without a symbol"))?;
            let price = record.exponent("price_exponent")?;
            let size = record.exponent("size_exponent")?;
            record.id = match record.get("id").number(0)? {
                Some(id) => u32::try_from(id).ok(),
                None => scales.introduce(symbol, price, size),
            };
            if record.id.is_none() {
                return Err(Fault::new(Rule::Definition, format!("{symbol} is no such symbol")));
            }
        }
        Ok(record)
    }

    fn get(&self, name: &str) -> &'a Value {
        self.fields.iter().find(|field| field.0 == name).map_or(&NIL, |field| field.1)
    }

    fn number(&self, name: &str, unit: Unit, exponents: (i32, i32)) -> Result<Option<i64>, Fault> {
        let exponent = match unit {
            Unit::Plain => 0,
            Unit::Price => exponents.0,
            Unit::Size => exponents.1,
            Unit::Vwap => exponents.0 - 2,
        };
        self.get(name)
            .number(exponent)
            .map_err(|fault| Fault { detail: format!("{name}: {}", fault.detail), ..fault })
    }

    fn plain(&self, name: &str) -> Result<Option<i64>, Fault> {
        self.number(name, Unit::Plain, (0, 0))
    }

    fn count(&self, name: &str) -> Result<u64, Fault> {
        unsigned(self.plain(name)?, name)
    }

    fn exponent(&self, name: &str) -> Result<i32, Fault> {
        let exponent = present(self.plain(name)?, name)?;
        i32::try_from(exponent)
            .ok()
            .filter(|exponent| (-18..=18).contains(exponent))
            .ok_or_else(|| Fault::decode(format!("{name} {exponent} is out of range")))
    }

    /// An integer in MessagePack, a word or the integer in JSON.
    fn word(&self, name: &str, words: &[(i64, &str)]) -> Result<Option<i64>, Fault> {
        let code = match self.get(name) {
            Value::Text(text) if self.json && text == "none" && name == "reason" => {
                return Ok(None);
            }
            Value::Text(text) if self.json => words.iter().find(|known| known.1 == text),
            Value::Nil => return Ok(None),
            value => {
                let code = value.number(0)?;
                words.iter().find(|known| Some(known.0) == code)
            }
        };
        let code = code.map(|known| known.0);
        code.map(Some).ok_or_else(|| Fault::decode(format!("{name} {:?}", self.get(name))))
    }

    pub(crate) fn entry(&self, scales: &dyn Scales) -> Result<Entry, Fault> {
        let id = self.id.unwrap_or_default();
        let defined = scales.exponents(id);
        let needs_definition = self.json && !matches!(self.kind, 1..=4);
        if needs_definition && defined.is_none() {
            return Err(Fault::new(Rule::Definition, format!("id {id} was not defined")));
        }
        let scale = defined.unwrap_or_default();
        let price = |name| self.number(name, Unit::Price, scale);
        let size = |name| self.number(name, Unit::Size, scale);
        Ok(match self.kind {
            1 => self.definition()?,
            2 => Entry::Epoch { epoch: self.count("epoch")? },
            3 => Entry::Ready { command_id: self.plain("command_id")? },
            4 => Entry::Status {
                id: self.id,
                sequence: self.count("status_sequence")?,
                status: present(self.word("status", &STATUSES)?, "status")?,
                reason: self.word("reason", &REASONS)?,
                age_us: self.plain("age_us")?,
            },
            10..=13 => self.state(id, scale)?,
            20 => Entry::Trade {
                id,
                sequence: self.count("sequence")?,
                age_us: self.plain("age_us")?,
                trade: TapeEvent::Trade {
                    price: price("price")?,
                    size: size("size")?,
                    flags: self.plain("flags")?.unwrap_or_default(),
                    trade_id: self.plain("trade_id")?,
                },
            },
            21 => Entry::Trade {
                id,
                sequence: self.count("sequence")?,
                age_us: self.plain("age_us")?,
                trade: TapeEvent::Correction {
                    corrects: self.plain("corrects")?,
                    what: present(self.word("what", &WHATS)?, "what")?,
                    price: price("price")?,
                    size: size("size")?,
                },
            },
            22 => Entry::Joined { id, sequence: self.count("sequence")?, volume: size("volume")? },
            23 => Entry::Lost {
                id,
                from: self.plain("from")?.map(|n| unsigned(Some(n), "from")).transpose()?,
                to: self.plain("to")?.map(|n| unsigned(Some(n), "to")).transpose()?,
                size: size("size")?,
                origin: present(self.word("origin", &ORIGINS)?, "origin")?,
            },
            _ => {
                let length_s = self.plain("interval_s")?;
                let mut channels = Channel::BARS.into_iter();
                let channel = channels.find(|channel| channel.bar_length_s() == length_s);
                let channel =
                    channel.ok_or_else(|| Fault::decode(format!("interval_s {length_s:?}")))?;
                let bar = Bar {
                    start_s: present(self.plain("start_s")?, "start_s")?,
                    prices: [price("open")?, price("high")?, price("low")?, price("close")?],
                    volume: size("volume")?,
                    vwap: self.number("vwap", Unit::Vwap, scale)?,
                    trade_count: present(self.plain("trade_count")?, "trade_count")?,
                    flags: present(self.plain("flags")?, "flags")?,
                };
                Entry::Bar { id, sequence: self.count("sequence")?, channel, bar }
            }
        })
    }

    fn definition(&self) -> Result<Entry, Fault> {
        let price_exponent = self.exponent("price_exponent")?;
        let name = self.get("name").text().map(str::to_owned);
        Ok(Entry::Definition(Definition {
            id: self.id.unwrap_or_default(),
            name: name.unwrap_or_default(),
            price_exponent,
            size_exponent: self.exponent("size_exponent")?,
            session_date: self.plain("session_date")?,
            previous_close: self.number("previous_close", Unit::Price, (price_exponent, 0))?,
            status: present(self.word("status", &STATUSES)?, "status")?,
            status_sequence: self.count("status_sequence")?,
            tick_size: self.number("tick_size", Unit::Price, (price_exponent, 0))?,
        }))
    }

    fn state(&self, id: u32, scale: (i32, i32)) -> Result<Entry, Fault> {
        let channel = state_channel(self.kind).unwrap_or(Channel::Quote);
        let mut fields = Fields::default();
        for (position, (name, unit)) in channel.fields().iter().enumerate() {
            fields[position] = self.number(name, *unit, scale)?;
        }
        let step = if is_delta(self.kind) {
            Step::Delta(self.count("advance")?)
        } else {
            Step::Full(self.count("sequence")?)
        };
        let age_us = self.plain("age_us")?;
        Ok(Entry::State { channel, id, step, age_us, mask: self.mask, fields })
    }
}

const fn state_channel(kind: i128) -> Option<Channel> {
    match kind {
        10 | 11 => Some(Channel::Quote),
        12 | 13 => Some(Channel::Last),
        _ => None,
    }
}

const fn is_delta(kind: i128) -> bool {
    matches!(kind, 11 | 13)
}
