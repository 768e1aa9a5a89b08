//! Reading data frames, without a tree: a client that follows many symbols spends its time here.

use super::{
    entries::DATA_FRAME,
    take::{Read, skip, take_array_head, take_integer, take_text},
};
use crate::{
    decode::{DecodeError, field_error},
    definition::Definition,
    entry::{
        BarEntry, CorrectionEntry, Entry, Frame, LostEntry, LostOrigin, StateEntry, StatusEntry,
        Step, TradeEntry, kind,
    },
    number::ABSENT,
    tick::{CorrectionKind, Reason, Status},
};

/// Reads a data frame; `None` for an array that begins with another number than data frames do.
///
/// # Errors
/// [`DecodeError`] when the bytes are no MessagePack, a value breaks the protocol, or bytes
/// follow the frame.
pub(crate) fn read_frame(message: &[u8]) -> Result<Option<Frame>, DecodeError> {
    read(message).map_err(|error| *error)
}

fn read(message: &[u8]) -> Read<Option<Frame>> {
    let mut rest = message;
    let mut frame = Elements::begin(&mut rest, "frame")?;
    if frame.count("kind")? != u64::from(DATA_FRAME) {
        return Ok(None);
    }
    let sequence = frame.count("sequence")?;
    let sent_at_us = frame.integer("sent_at_us")?;
    let cause = frame.low_byte("cause")?;
    frame.step("entries")?;
    let count = take_array_head(frame.rest)?;
    // Few entries are shorter than eight bytes; a lying head reserves no more than that allows.
    let mut entries = Vec::with_capacity(count.min(frame.rest.len() / 8));
    for _ in 0..count {
        entries.extend(read_entry(frame.rest)?);
    }
    frame.finish()?;
    if !rest.is_empty() {
        return Err(DecodeError::Trailing { bytes: rest.len() }.into());
    }
    Ok(Some(Frame { sequence, sent_at_us, cause, entries }))
}

/// One entry; `None` for a kind that is not known.
fn read_entry(rest: &mut &[u8]) -> Read<Option<Entry>> {
    let mut entry = Elements::begin(rest, "entry")?;
    let kind = entry.count("kind")?;
    let read = match u8::try_from(kind).unwrap_or(u8::MAX) {
        kind::DEFINITION => Entry::Definition(Definition {
            id: entry.id()?,
            name: entry.text("name")?.into(),
            price_exponent: entry.small("price_exponent")?,
            size_exponent: entry.small("size_exponent")?,
            session_date: match entry.nullable("session_date")? {
                ABSENT => 0,
                date => date.try_into().map_err(|_| field_error("entry", "session_date", date))?,
            },
            previous_close: entry.nullable("previous_close")?,
            status: entry.status()?,
            status_sequence: entry.count("status_sequence")?,
            tick_size: entry.trailing("tick_size")?,
        }),
        kind::EPOCH => Entry::Epoch { epoch: entry.count("epoch")? },
        kind::READY => {
            let command_id = entry.nullable("command_id")?;
            Entry::Ready { command_id: (command_id != ABSENT).then_some(command_id) }
        }
        kind::STATUS => Entry::Status(StatusEntry {
            id: match entry.nullable("id")? {
                ABSENT => None,
                id => Some(id.try_into().map_err(|_| field_error("entry", "id", id))?),
            },
            status_sequence: entry.count("status_sequence")?,
            status: entry.status()?,
            // Reasons may be added; one that is not known is none.
            reason: u8::try_from(entry.nullable("reason")?)
                .ok()
                .and_then(Reason::from_code)
                .unwrap_or(Reason::None),
            age_us: entry.nullable("age_us")?,
        }),
        kind::QUOTE => Entry::Quote(entry.full()?),
        kind::QUOTE_DELTA => Entry::Quote(entry.delta()?),
        kind::LAST => Entry::Last(entry.full()?),
        kind::LAST_DELTA => Entry::Last(entry.delta()?),
        kind::TRADE => Entry::Trade(TradeEntry {
            id: entry.id()?,
            sequence: entry.count("sequence")?,
            age_us: entry.nullable("age_us")?,
            price: entry.nullable("price")?,
            size: entry.nullable("size")?,
            flags: entry.low_byte("flags")?,
            trade_id: entry.nullable("trade_id")?,
        }),
        kind::TRADE_CORRECTION => Entry::TradeCorrection(CorrectionEntry {
            id: entry.id()?,
            sequence: entry.count("sequence")?,
            age_us: entry.nullable("age_us")?,
            corrects: entry.nullable("corrects")?,
            what: correction_kind(entry.integer("what")?)?,
            price: entry.nullable("price")?,
            size: entry.nullable("size")?,
        }),
        kind::TRADES_JOINED => Entry::TradesJoined {
            id: entry.id()?,
            sequence: entry.count("sequence")?,
            volume: entry.nullable("volume")?,
        },
        kind::TRADES_LOST => Entry::TradesLost(LostEntry {
            id: entry.id()?,
            from: entry.nullable("from")?,
            to: entry.nullable("to")?,
            size: entry.nullable("size")?,
            origin: lost_origin(entry.integer("origin")?)?,
        }),
        kind::BAR => Entry::Bar(BarEntry {
            id: entry.id()?,
            sequence: entry.count("sequence")?,
            interval_s: entry.small("interval_s")?,
            start_s: entry.integer("start_s")?,
            open: entry.nullable("open")?,
            high: entry.nullable("high")?,
            low: entry.nullable("low")?,
            close: entry.nullable("close")?,
            volume: entry.nullable("volume")?,
            vwap: entry.nullable("vwap")?,
            trade_count: entry.nullable("trade_count")?,
            flags: entry.low_byte("flags")?,
        }),
        _ => {
            entry.finish()?;
            return Ok(None);
        }
    };
    entry.finish()?;
    Ok(Some(read))
}

/// What a correction's `what` means.
pub(crate) fn correction_kind(what: i64) -> Result<CorrectionKind, DecodeError> {
    match what {
        1 => Ok(CorrectionKind::Cancel),
        2 => Ok(CorrectionKind::Correct),
        other => Err(field_error("entry", "what", other)),
    }
}

/// What a lost range's `origin` means.
pub(crate) fn lost_origin(origin: i64) -> Result<LostOrigin, DecodeError> {
    match origin {
        0 => Ok(LostOrigin::Connection),
        1 => Ok(LostOrigin::Feed),
        other => Err(field_error("entry", "origin", other)),
    }
}

/// The elements of one array, in order; those nobody asks for are skipped at the end.
struct Elements<'a, 'm> {
    what: &'static str,
    left: usize,
    rest: &'a mut &'m [u8],
}

impl<'a, 'm> Elements<'a, 'm> {
    fn begin(rest: &'a mut &'m [u8], what: &'static str) -> Read<Self> {
        let left = take_array_head(rest)?;
        Ok(Self { what, left, rest })
    }

    fn finish(self) -> Read<()> {
        for _ in 0..self.left {
            skip(self.rest)?;
        }
        Ok(())
    }

    /// Moves to the next element, which is that field.
    fn step(&mut self, field: &'static str) -> Read<()> {
        self.left = self.left.checked_sub(1).ok_or_else(|| DecodeError::Field {
            what: self.what,
            field,
            found: "missing".to_owned(),
        })?;
        Ok(())
    }

    /// An integer, or [`ABSENT`] for nil.
    fn nullable(&mut self, field: &'static str) -> Read<i64> {
        self.step(field)?;
        match take_integer(self.rest)? {
            None => Ok(ABSENT),
            Some(ABSENT) => Err(field_error(self.what, field, ABSENT).into()),
            Some(number) => Ok(number),
        }
    }

    /// As [`Self::nullable`], of an element that an earlier gateway does not send: absent then.
    fn trailing(&mut self, field: &'static str) -> Read<i64> {
        if self.left == 0 { Ok(ABSENT) } else { self.nullable(field) }
    }

    fn integer(&mut self, field: &'static str) -> Read<i64> {
        match self.nullable(field)? {
            ABSENT => {
                let found = "nil".to_owned();
                Err(DecodeError::Field { what: self.what, field, found }.into())
            }
            number => Ok(number),
        }
    }

    fn small<T: TryFrom<i64>>(&mut self, field: &'static str) -> Read<T> {
        let number = self.integer(field)?;
        T::try_from(number).map_err(|_| field_error(self.what, field, number).into())
    }

    fn count(&mut self, field: &'static str) -> Read<u64> {
        self.small(field)
    }

    fn id(&mut self) -> Read<u32> {
        self.small("id")
    }

    /// Flags: bits above the eighth are none that is known.
    fn low_byte(&mut self, field: &'static str) -> Read<u8> {
        Ok((self.count(field)? & 0xff) as u8)
    }

    fn text(&mut self, field: &'static str) -> Read<&'m str> {
        self.step(field)?;
        take_text(self.rest)
    }

    fn status(&mut self) -> Read<Status> {
        let code = self.small("status")?;
        Status::from_code(code).ok_or_else(|| field_error(self.what, "status", code.into()).into())
    }

    fn full<const N: usize>(&mut self) -> Read<StateEntry<N>> {
        let id = self.id()?;
        let step = Step::Full { sequence: self.count("sequence")? };
        let age_us = self.nullable("age_us")?;
        let mut fields = [ABSENT; N];
        for field in &mut fields {
            *field = self.nullable("state")?;
        }
        Ok(StateEntry { id, step, age_us, mask: whole_mask::<N>(), fields })
    }

    /// Fields of bits that are not known come after those that are, and are skipped as trailing
    /// elements are.
    fn delta<const N: usize>(&mut self) -> Read<StateEntry<N>> {
        let id = self.id()?;
        let step = Step::Delta { advance: self.count("advance")? };
        let age_us = self.nullable("age_us")?;
        let mask = (self.count("mask")? & u64::from(whole_mask::<N>())) as u8;
        let mut fields = [ABSENT; N];
        for (bit, field) in fields.iter_mut().enumerate() {
            if mask & (1 << bit) != 0 {
                *field = self.nullable("state")?;
            }
        }
        Ok(StateEntry { id, step, age_us, mask, fields })
    }
}

/// The mask of a state of `N` fields, at most eight, with all of them.
pub(crate) const fn whole_mask<const N: usize>() -> u8 {
    ((1u16 << N) - 1) as u8
}
