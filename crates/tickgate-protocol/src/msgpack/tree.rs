//! Commands and replies between bytes and tree.

use std::str;

use super::{
    put,
    take::{Length, Read, take, take_array, take_length},
};
use crate::{
    decode::DecodeError,
    tree::{DEPTH_LIMIT, Value},
};

pub(crate) fn write(out: &mut Vec<u8>, value: &Value<'_>) {
    match value {
        // The protocol has no MessagePack message with a foreign type or a wider number.
        Value::Nil | Value::Foreign(_) => out.push(put::NIL),
        Value::Boolean(value) => out.push(if *value { 0xc3 } else { 0xc2 }),
        Value::Integer(value) => put::signed(out, *value),
        Value::Text(text) | Value::Number(text) => put::text(out, text),
        Value::Array(values) => {
            put::array(out, values.len());
            values.iter().for_each(|value| write(out, value));
        }
        Value::Map(pairs) => {
            put::map(out, pairs.len());
            for (key, value) in pairs {
                put::text(out, key);
                write(out, value);
            }
        }
    }
}

/// Elements for which room is made before they are read. What announces more grows as its
/// elements arrive, so that memory follows the message and not what it claims, at each of 16 levels.
const RESERVE_LIMIT: usize = 64;

/// Reads exactly one value. Memory is proportional to the message, whatever it announces.
///
/// # Errors
/// [`DecodeError`] when the bytes are no MessagePack, nest too deeply, or go on behind the value.
pub(crate) fn read(message: &[u8]) -> Result<Value<'_>, DecodeError> {
    let mut rest = message;
    let value = read_value(&mut rest, DEPTH_LIMIT).map_err(|error| *error)?;
    if rest.is_empty() { Ok(value) } else { Err(DecodeError::Trailing { bytes: rest.len() }) }
}

fn read_value<'a>(rest: &mut &'a [u8], depth: usize) -> Read<Value<'a>> {
    let marker = take_array::<1>(rest)?[0];
    let value = match marker {
        0x00..=0x7f => Value::Integer(marker.into()),
        0x80..=0x8f => read_map(rest, usize::from(marker & 0x0f), depth)?,
        0x90..=0x9f => read_array(rest, usize::from(marker & 0x0f), depth)?,
        0xa0..=0xbf => read_text(rest, usize::from(marker & 0x1f))?,
        0xc0 => Value::Nil,
        0xc1 => return Err(DecodeError::Marker.into()),
        0xc2 => Value::Boolean(false),
        0xc3 => Value::Boolean(true),
        0xc4 => skip(rest, Length::One, 0, "binary")?,
        0xc5 => skip(rest, Length::Two, 0, "binary")?,
        0xc6 => skip(rest, Length::Four, 0, "binary")?,
        0xc7 => skip(rest, Length::One, 1, "an extension")?,
        0xc8 => skip(rest, Length::Two, 1, "an extension")?,
        0xc9 => skip(rest, Length::Four, 1, "an extension")?,
        0xca => float(f32::from_be_bytes(take_array(rest)?).into()),
        0xcb => float(f64::from_be_bytes(take_array(rest)?)),
        0xcc => Value::Integer(u8::from_be_bytes(take_array(rest)?).into()),
        0xcd => Value::Integer(u16::from_be_bytes(take_array(rest)?).into()),
        0xce => Value::Integer(u32::from_be_bytes(take_array(rest)?).into()),
        0xcf => {
            let number = u64::from_be_bytes(take_array(rest)?);
            i64::try_from(number)
                .map_or_else(|_| Value::Number(number.to_string().into()), Value::Integer)
        }
        0xd0 => Value::Integer(i8::from_be_bytes(take_array(rest)?).into()),
        0xd1 => Value::Integer(i16::from_be_bytes(take_array(rest)?).into()),
        0xd2 => Value::Integer(i32::from_be_bytes(take_array(rest)?).into()),
        0xd3 => Value::Integer(i64::from_be_bytes(take_array(rest)?)),
        0xd4..=0xd8 => {
            take(rest, 1 + (1 << (marker - 0xd4)))?;
            Value::Foreign("an extension")
        }
        0xd9 => take_length(rest, Length::One).and_then(|length| read_text(rest, length))?,
        0xda => take_length(rest, Length::Two).and_then(|length| read_text(rest, length))?,
        0xdb => take_length(rest, Length::Four).and_then(|length| read_text(rest, length))?,
        0xdc => take_length(rest, Length::Two).and_then(|count| read_array(rest, count, depth))?,
        0xdd => take_length(rest, Length::Four).and_then(|count| read_array(rest, count, depth))?,
        0xde => take_length(rest, Length::Two).and_then(|count| read_map(rest, count, depth))?,
        0xdf => take_length(rest, Length::Four).and_then(|count| read_map(rest, count, depth))?,
        0xe0..=0xff => Value::Integer((marker as i8).into()),
    };
    Ok(value)
}

fn read_array<'a>(rest: &mut &'a [u8], count: usize, depth: usize) -> Read<Value<'a>> {
    let depth = depth.checked_sub(1).ok_or(DecodeError::TooDeep)?;
    let mut values = Vec::with_capacity(count.min(RESERVE_LIMIT));
    for _ in 0..count {
        values.push(read_value(rest, depth)?);
    }
    Ok(Value::Array(values))
}

fn read_map<'a>(rest: &mut &'a [u8], count: usize, depth: usize) -> Read<Value<'a>> {
    let depth = depth.checked_sub(1).ok_or(DecodeError::TooDeep)?;
    let mut pairs = Vec::with_capacity(count.min(RESERVE_LIMIT));
    for _ in 0..count {
        let key = match read_value(rest, depth)? {
            Value::Text(key) => key,
            other => return Err(DecodeError::Shape { what: "key", found: other.describe() }.into()),
        };
        pairs.push((key, read_value(rest, depth)?));
    }
    Ok(Value::Map(pairs))
}

fn read_text<'a>(rest: &mut &'a [u8], length: usize) -> Read<Value<'a>> {
    str::from_utf8(take(rest, length)?).map(Value::text).map_err(|_| DecodeError::Utf8.into())
}

fn skip<'a>(
    rest: &mut &'a [u8],
    length: Length,
    extra: usize,
    name: &'static str,
) -> Read<Value<'a>> {
    let length = take_length(rest, length)?;
    take(rest, length.saturating_add(extra))?;
    Ok(Value::Foreign(name))
}

fn float<'a>(number: f64) -> Value<'a> {
    Value::Number(number.to_string().into())
}
