//! Commands and replies between text and tree.

use std::{borrow::Cow, fmt};

use serde::de::{Deserialize, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use super::text;
use crate::{
    decode::DecodeError,
    tree::{DEPTH_LIMIT, Value},
};

/// The key under which `serde_json` hands over a number as it was written.
const NUMBER_KEY: &str = "$serde_json::private::Number";

pub(crate) fn write(out: &mut Vec<u8>, value: &Value<'_>) {
    match value {
        Value::Nil | Value::Foreign(_) => out.extend_from_slice(b"null"),
        Value::Boolean(value) => out.extend_from_slice(if *value { b"true" } else { b"false" }),
        Value::Integer(value) => {
            out.extend_from_slice(itoa::Buffer::new().format(*value).as_bytes());
        }
        Value::Number(digits) => out.extend_from_slice(digits.as_bytes()),
        Value::Text(value) => text(out, value),
        Value::Array(values) => {
            out.push(b'[');
            for (index, value) in values.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write(out, value);
            }
            out.push(b']');
        }
        Value::Map(pairs) => {
            out.push(b'{');
            for (index, (key, value)) in pairs.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                text(out, key);
                out.push(b':');
                write(out, value);
            }
            out.push(b'}');
        }
    }
}

/// Reads exactly one value, keys that come twice included, numbers as they were written.
///
/// # Errors
/// [`DecodeError`] when the bytes are no JSON, nest too deeply, or go on behind the value.
pub(crate) fn read(message: &[u8]) -> Result<Value<'_>, DecodeError> {
    let mut json = serde_json::Deserializer::from_slice(message);
    let value = Depth(DEPTH_LIMIT).deserialize(&mut json).map_err(json_error)?;
    json.end().map_err(json_error)?;
    Ok(value)
}

fn json_error(error: serde_json::Error) -> DecodeError {
    DecodeError::Json { message: error.to_string() }
}

/// How many arrays and maps may still be opened.
#[derive(Clone, Copy)]
struct Depth(usize);

impl Depth {
    fn deeper<E: serde::de::Error>(self) -> Result<Self, E> {
        self.0.checked_sub(1).map(Self).ok_or_else(|| E::custom(DecodeError::TooDeep))
    }
}

impl<'de> DeserializeSeed<'de> for Depth {
    type Value = Value<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value<'de>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Depth {
    type Value = Value<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value<'de>, E> {
        Ok(Value::Nil)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value<'de>, E> {
        Ok(Value::Boolean(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value<'de>, E> {
        Ok(Value::Integer(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value<'de>, E> {
        Ok(number(value.to_string().into()))
    }

    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Value<'de>, E> {
        Ok(Value::text(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value<'de>, E> {
        Ok(Value::Text(value.to_owned().into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value<'de>, A::Error> {
        let deeper = self.deeper()?;
        let mut values = Vec::new();
        while let Some(value) = access.next_element_seed(deeper)? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value<'de>, A::Error> {
        let mut pairs = Vec::new();
        while let Some(Text(key)) = access.next_key()? {
            if key == NUMBER_KEY && pairs.is_empty() {
                // A client may write this key itself; then it has written a number, or nonsense
                // that no rule accepts.
                let Text(digits) = access.next_value()?;
                return Ok(number(digits));
            }
            let deeper = self.deeper()?;
            pairs.push((key, access.next_value_seed(deeper)?));
        }
        self.deeper()?;
        Ok(Value::Map(pairs))
    }
}

/// An integer where the text is one of 64 bits, the text as it is otherwise.
fn number(digits: Cow<'_, str>) -> Value<'_> {
    digits.parse().map_or_else(|_| Value::Number(digits), Value::Integer)
}

/// Text that is borrowed where it needs no unescaping.
struct Text<'de>(Cow<'de, str>);

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;

        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("text")
            }

            fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(value.into()))
            }

            fn visit_str<E>(self, value: &str) -> Result<Text<'de>, E> {
                Ok(Text(value.to_owned().into()))
            }
        }

        deserializer.deserialize_str(TextVisitor)
    }
}
