//! Commands and replies as a small tree, the same for both encodings.
//!
//! Each encoding knows how to turn bytes into a [`Value`] and back; which keys a message has and
//! which rules they obey is written once, here. Data frames never pass through a tree when they
//! are written.

mod fields;
pub(crate) mod map;
pub(crate) mod read_command;
pub(crate) mod read_reply;
pub(crate) mod write_command;
pub(crate) mod write_reply;

use std::borrow::Cow;

/// Deepest nesting of arrays and maps that is read; the deepest message of the protocol needs 4.
pub(crate) const DEPTH_LIMIT: usize = 16;

/// One decoded value. Text is borrowed from the message where the encoding allows it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value<'a> {
    Nil,
    Boolean(bool),
    Integer(i64),
    /// A number that is no integer of 64 bits, as written (JSON) or as read (MessagePack floats
    /// and integers above `i64::MAX`).
    Number(Cow<'a, str>),
    Text(Cow<'a, str>),
    Array(Vec<Self>),
    Map(Vec<(Cow<'a, str>, Self)>),
    /// A MessagePack type that the protocol does not use: binary, extension.
    Foreign(&'static str),
}

impl<'a> Value<'a> {
    pub(crate) fn text(text: &'a str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }

    pub(crate) fn count(count: u64) -> Self {
        Self::Integer(i64::try_from(count).unwrap_or(i64::MAX))
    }

    /// `Nil` for `None`.
    pub(crate) fn optional<T>(value: Option<T>, convert: impl FnOnce(T) -> Self) -> Self {
        value.map_or(Self::Nil, convert)
    }

    /// The value of a key, where this is a map that has it.
    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Map(pairs) => pairs.iter().find(|(name, _)| name == key).map(|(_, value)| value),
            _ => None,
        }
    }

    pub(crate) fn as_array(&self) -> Option<&[Self]> {
        match self {
            Self::Array(values) => Some(values),
            _ => None,
        }
    }

    pub(crate) fn as_integer(&self) -> Option<i64> {
        match self {
            Self::Integer(number) => Some(*number),
            _ => None,
        }
    }

    pub(crate) fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// What a refusal says was found: the type, and the value where it is short.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Nil => "nil".to_owned(),
            Self::Boolean(value) => value.to_string(),
            Self::Integer(value) => value.to_string(),
            Self::Number(value) => format!("number {}", shorten(value)),
            Self::Text(value) => format!("text {:?}", shorten(value)),
            Self::Array(values) => format!("an array of {}", values.len()),
            Self::Map(pairs) => format!("a map of {}", pairs.len()),
            Self::Foreign(name) => (*name).to_owned(),
        }
    }
}

/// At most 32 characters, so that a refusal is never larger than what it refuses by much.
pub(crate) fn shorten(text: &str) -> &str {
    text.char_indices().nth(32).map_or(text, |(end, _)| &text[..end])
}
