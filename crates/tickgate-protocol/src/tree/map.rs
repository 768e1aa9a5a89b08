//! A map that is read by key, for what a client receives.

use std::borrow::Cow;

use super::Value;
use crate::{decode::DecodeError, number::LIMIT};

type Read<T> = Result<T, DecodeError>;

/// A map that is read by key.
pub(crate) struct Map<'a> {
    name: &'static str,
    pairs: &'a [(Cow<'a, str>, Value<'a>)],
}

impl<'a> Map<'a> {
    pub(crate) fn of(name: &'static str, value: &'a Value<'a>) -> Read<Self> {
        match value {
            Value::Map(pairs) => Ok(Self { name, pairs }),
            other => Err(DecodeError::Shape { what: name, found: other.describe() }),
        }
    }

    pub(crate) fn get(&self, key: &str) -> Option<&'a Value<'a>> {
        self.pairs.iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    pub(crate) fn bad(&self, key: &'static str) -> DecodeError {
        let found = self.get(key).map_or_else(|| "nothing".to_owned(), Value::describe);
        DecodeError::Field { what: self.name, field: key, found }
    }

    pub(crate) fn required<T>(
        &self,
        key: &'static str,
        read: impl Fn(&'a Value<'a>) -> Option<T>,
    ) -> Read<T> {
        self.get(key).and_then(read).ok_or_else(|| self.bad(key))
    }

    pub(crate) fn optional<T>(
        &self,
        key: &'static str,
        read: impl Fn(&'a Value<'a>) -> Option<T>,
    ) -> Read<Option<T>> {
        match self.get(key) {
            None | Some(Value::Nil) => Ok(None),
            Some(_) => self.required(key, read).map(Some),
        }
    }

    pub(crate) fn list<T>(
        &self,
        key: &'static str,
        read: impl Fn(&'a Value<'a>) -> Option<T>,
    ) -> Read<Vec<T>> {
        self.required(key, |value| match value {
            Value::Array(values) => values.iter().map(&read).collect(),
            _ => None,
        })
    }

    pub(crate) fn map(&self, key: &'static str) -> Read<Map<'a>> {
        Map::of(key, self.get(key).ok_or_else(|| self.bad(key))?)
    }

    pub(crate) fn text(&self, key: &'static str) -> Read<String> {
        self.required(key, text)
    }

    pub(crate) fn count(&self, key: &'static str) -> Read<u64> {
        self.required(key, count)
    }

    pub(crate) fn small(&self, key: &'static str) -> Read<u32> {
        self.required(key, |value| count(value)?.try_into().ok())
    }

    pub(crate) fn time(&self, key: &'static str) -> Read<i64> {
        self.required(key, |value| integer(value, -LIMIT, LIMIT))
    }

    pub(crate) fn exponent(&self, key: &'static str) -> Read<i8> {
        self.required(key, |value| integer(value, -128, 127)?.try_into().ok())
    }

    pub(crate) fn boolean(&self, key: &'static str) -> Read<bool> {
        self.required(key, |value| match value {
            Value::Boolean(value) => Some(*value),
            _ => None,
        })
    }
}

pub(crate) fn integer(value: &Value<'_>, least: i64, most: i64) -> Option<i64> {
    match value {
        Value::Integer(number) if (least..=most).contains(number) => Some(*number),
        _ => None,
    }
}

pub(crate) fn count(value: &Value<'_>) -> Option<u64> {
    integer(value, 0, LIMIT).map(i64::unsigned_abs)
}

pub(crate) fn text(value: &Value<'_>) -> Option<String> {
    match value {
        Value::Text(text) => Some(text.as_ref().to_owned()),
        _ => None,
    }
}
