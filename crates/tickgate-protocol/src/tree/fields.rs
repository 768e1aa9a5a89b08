//! The keys of a command's map, taken one by one; what is wrong with one becomes a refusal.

use std::borrow::Cow;

use super::{Value, shorten};
use crate::{
    channel::{Channel, Channels},
    command::{ErrorCode, Refusal, THROTTLE_LIMIT_MS},
    number::LIMIT,
};

/// The keys of one map that nobody has asked for yet.
pub(super) struct Fields<'a> {
    /// What comes before a key in a refusal: empty, or `resume.` and the like.
    prefix: String,
    pairs: Vec<(Cow<'a, str>, Value<'a>)>,
}

impl<'a> Fields<'a> {
    /// Refuses a key that comes twice: which of the two was meant, nobody knows.
    pub(super) fn new(
        prefix: String,
        pairs: Vec<(Cow<'a, str>, Value<'a>)>,
    ) -> Result<Self, Refusal> {
        let mut keys: Vec<&str> = pairs.iter().map(|(key, _)| key.as_ref()).collect();
        keys.sort_unstable();
        let twice = keys.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0].to_owned());
        let fields = Self { prefix, pairs };
        match twice {
            Some(key) => Err(fields.bad(&key, "a key may come once, found a duplicate")),
            None => Ok(fields),
        }
    }

    fn take(&mut self, key: &str) -> Option<Value<'a>> {
        let at = self.pairs.iter().position(|(name, _)| name == key)?;
        Some(self.pairs.swap_remove(at).1)
    }

    /// A field whose nil has a meaning of its own: `None` when left out, `Some(None)` for nil.
    pub(super) fn nullable<T>(
        &mut self,
        key: &str,
        rule: &str,
        read: impl FnOnce(Value<'a>) -> Result<T, String>,
    ) -> Result<Option<Option<T>>, Refusal> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::Nil) => Ok(Some(None)),
            Some(value) => match read(value) {
                Ok(read) => Ok(Some(Some(read))),
                Err(found) => Err(self.bad(key, &format!("must be {rule}, found {found}"))),
            },
        }
    }

    /// A field whose nil is the same as leaving it out.
    pub(super) fn optional<T>(
        &mut self,
        key: &str,
        rule: &str,
        read: impl FnOnce(Value<'a>) -> Result<T, String>,
    ) -> Result<Option<T>, Refusal> {
        Ok(self.nullable(key, rule, read)?.flatten())
    }

    pub(super) fn required<T>(
        &mut self,
        key: &str,
        rule: &str,
        read: impl FnOnce(Value<'a>) -> Result<T, String>,
    ) -> Result<T, Refusal> {
        match self.optional(key, rule, read)? {
            Some(value) => Ok(value),
            None => Err(self.bad(key, &format!("{rule} is required"))),
        }
    }

    pub(super) fn throttle_ms(&mut self) -> Result<Option<Option<u32>>, Refusal> {
        let rule = "an integer from 0 to 60000, or nil";
        self.nullable("throttle_ms", rule, |value| {
            // The range fits u32, so the cast is exact.
            integer(value, 0, i64::from(THROTTLE_LIMIT_MS)).map(|number| number as u32)
        })
    }

    pub(super) fn channels(&mut self) -> Result<Option<Channels>, Refusal> {
        let rule = "an array of channels, at least one";
        let Some(listed) = self.optional("channels", rule, names)? else {
            return Ok(None);
        };
        if listed.is_empty() {
            return Err(self.bad("channels", &format!("must be {rule}, found an array of 0")));
        }
        let mut channels = Channels::NONE;
        for name in &listed {
            let Some(channel) = Channel::from_name(name) else {
                let message = format!("there is no channel {:?}", shorten(name));
                let field = Some("channels".to_owned());
                return Err(refusal(ErrorCode::UnknownChannel, message, field));
            };
            channels = channels.with(Channels::only(channel));
        }
        Ok(Some(channels))
    }

    /// A list of field names as a mask over `known`.
    pub(super) fn selection(&mut self, key: &str, known: &[&str]) -> Result<Option<u8>, Refusal> {
        let rule = "an array of field names, at least one";
        let Some(listed) = self.optional(key, rule, names)? else {
            return Ok(None);
        };
        if listed.is_empty() {
            return Err(self.bad(key, &format!("must be {rule}, found an array of 0")));
        }
        let mut mask = 0;
        for name in &listed {
            let Some(bit) = known.iter().position(|field| field == name) else {
                return Err(self.bad(key, &format!("has no field {:?}", shorten(name))));
            };
            mask |= 1 << bit;
        }
        Ok(Some(mask))
    }

    /// A map inside this one.
    pub(super) fn map(&mut self, key: &str) -> Result<Option<Fields<'a>>, Refusal> {
        let pairs = self.optional(key, "a map", |value| match value {
            Value::Map(pairs) => Ok(pairs),
            other => Err(other.describe()),
        })?;
        pairs.map(|pairs| Fields::new(format!("{}{key}.", self.prefix), pairs)).transpose()
    }

    /// The whole map as names and sequences.
    pub(super) fn into_sequences(self, rule: &str) -> Result<Vec<(String, u64)>, Refusal> {
        let mut sequences = Vec::with_capacity(self.pairs.len());
        for (name, value) in self.pairs {
            match count(value) {
                Ok(sequence) => sequences.push((name.into_owned(), sequence)),
                Err(found) => {
                    let field = self.prefix.trim_end_matches('.').to_owned();
                    let name = shorten(&name);
                    let message = format!("{field} must be {rule}, found {found} at {name:?}");
                    return Err(refusal(ErrorCode::BadField, message, Some(field)));
                }
            }
        }
        Ok(sequences)
    }

    /// Refuses what is left over.
    pub(super) fn finish(&self, op: &str) -> Result<(), Refusal> {
        match self.pairs.first() {
            None => Ok(()),
            Some((key, _)) => {
                let field = format!("{}{}", self.prefix, shorten(key));
                let message = format!("{op} has no field {field:?}");
                Err(refusal(ErrorCode::UnknownField, message, Some(field)))
            }
        }
    }

    pub(super) fn bad(&self, key: &str, rule: &str) -> Refusal {
        let field = format!("{}{}", self.prefix, shorten(key));
        refusal(ErrorCode::BadField, format!("{field}: {rule}"), Some(field))
    }
}

pub(super) fn refusal(code: ErrorCode, message: String, field: Option<String>) -> Refusal {
    Refusal { code, message, field, id: None }
}

/// Reads an integer between `least` and `most`, both included, or says what was found.
pub(super) fn integer(value: Value<'_>, least: i64, most: i64) -> Result<i64, String> {
    match value {
        Value::Integer(number) if (least..=most).contains(&number) => Ok(number),
        other => Err(other.describe()),
    }
}

pub(super) fn count(value: Value<'_>) -> Result<u64, String> {
    integer(value, 0, LIMIT).map(i64::unsigned_abs)
}

pub(super) fn at_least_1(value: Value<'_>) -> Result<u64, String> {
    integer(value, 1, LIMIT).map(i64::unsigned_abs)
}

pub(super) fn boolean(value: Value<'_>) -> Result<bool, String> {
    match value {
        Value::Boolean(value) => Ok(value),
        other => Err(other.describe()),
    }
}

pub(super) fn text(value: Value<'_>) -> Result<String, String> {
    match value {
        Value::Text(text) => Ok(text.into_owned()),
        other => Err(other.describe()),
    }
}

pub(super) fn names(value: Value<'_>) -> Result<Vec<String>, String> {
    match value {
        Value::Array(values) => values
            .into_iter()
            .map(|value| text(value).map_err(|found| format!("{found} in the array")))
            .collect(),
        other => Err(other.describe()),
    }
}
