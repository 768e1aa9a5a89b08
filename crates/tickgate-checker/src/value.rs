//! One decoded message, whichever dialect it came in, and how numbers are taken out of it.

use crate::rule::{Fault, Rule};

/// The largest magnitude of any number on the wire: 2^53 − 1.
pub const NUMBER_LIMIT: i64 = 9_007_199_254_740_991;

/// A MessagePack or JSON value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// nil or null.
    Nil,
    /// true or false.
    Bool(bool),
    /// A MessagePack integer, already scaled by the wire.
    Int(i128),
    /// A MessagePack float: no field of the wire is one.
    Float(f64),
    /// A JSON number as printed, a decimal of natural scale.
    Number(String),
    /// A string.
    Text(String),
    /// MessagePack bytes: no field of the wire is any.
    Binary(Vec<u8>),
    /// An array.
    Array(Vec<Value>),
    /// A map with string keys, in order, none twice.
    Map(Vec<(String, Value)>),
}

impl Value {
    /// The value of a map's key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Map(entries) => entries.iter().find(|(k, _)| k == key).map(|(_, v)| v),
            _ => None,
        }
    }

    /// The text of a string.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The number that stands for this value at `10^exponent`; nil is `None`.
    ///
    /// A MessagePack integer is scaled already; a JSON decimal is scaled here, exactly.
    ///
    /// # Errors
    /// [`Rule::Number`] for a float, for a decimal that needs finer digits than the exponent has,
    /// and for a magnitude above 2^53 − 1; [`Rule::Decode`] for anything that is no number.
    pub fn number(&self, exponent: i32) -> Result<Option<i64>, Fault> {
        let number = match self {
            Self::Nil => return Ok(None),
            Self::Int(number) => *number,
            Self::Number(text) => scale(text, exponent)?,
            Self::Float(float) => {
                return Err(Fault::new(Rule::Number, format!("{float} is a float")));
            }
            other => return Err(Fault::new(Rule::Decode, format!("{other:?} is no number"))),
        };
        match i64::try_from(number) {
            Ok(number) if (-NUMBER_LIMIT..=NUMBER_LIMIT).contains(&number) => Ok(Some(number)),
            _ => Err(Fault::new(Rule::Number, format!("{number} exceeds 2^53 - 1"))),
        }
    }
}

/// `text × 10^-exponent` as an integer.
fn scale(text: &str, exponent: i32) -> Result<i128, Fault> {
    let fault = |why: &str| Fault::new(Rule::Number, format!("{text} at 10^{exponent}: {why}"));
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() || !whole.bytes().chain(fraction.bytes()).all(|b| b.is_ascii_digit()) {
        return Err(fault("no plain decimal"));
    }
    let mut number: i128 = 0;
    for digit in whole.bytes().chain(fraction.bytes()) {
        number = number
            .checked_mul(10)
            .and_then(|n| n.checked_add(i128::from(digit - b'0')))
            .ok_or_else(|| fault("too long"))?;
    }
    let shift = -(fraction.len() as i32) - exponent;
    let power =
        10i128.checked_pow(shift.unsigned_abs()).ok_or_else(|| fault("scale out of range"))?;
    let scaled = if shift >= 0 {
        number.checked_mul(power).ok_or_else(|| fault("too large"))?
    } else if number % power == 0 {
        number / power
    } else {
        return Err(fault("has finer digits than its definition"));
    };
    Ok(if negative { -scaled } else { scaled })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_decimals_scale_exactly() {
        let number = |text: &str, e| Value::Number(text.into()).number(e);
        assert_eq!(number("61714.29", -2).ok(), Some(Some(6_171_429)));
        assert_eq!(number("-0.5", -3).ok(), Some(Some(-500)));
        assert_eq!(number("12000", 3).ok(), Some(Some(12)));
        assert_eq!(number("1.250", -2).ok(), Some(Some(125)));
        assert_eq!(number("1.25", -1).unwrap_err().rule, Rule::Number);
        assert_eq!(number("1e3", 0).unwrap_err().rule, Rule::Number);
        assert_eq!(number("9007199254740992", 0).unwrap_err().rule, Rule::Number);
    }

    #[test]
    fn floats_and_large_integers_are_faults() {
        assert_eq!(Value::Float(1.0).number(0).unwrap_err().rule, Rule::Number);
        assert_eq!(Value::Int(1 << 53).number(0).unwrap_err().rule, Rule::Number);
        assert_eq!(Value::Int(-(1 << 53) + 1).number(0).ok(), Some(Some(-NUMBER_LIMIT)));
        assert_eq!(Value::Bool(true).number(0).unwrap_err().rule, Rule::Decode);
    }
}
