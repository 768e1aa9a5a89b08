//! Exact numbers: integers scaled by a power of ten, and a name for "absent".

use std::fmt;

/// Stands for "no value" wherever an `i64` field may be absent; it is nil on the wire.
///
/// Zero and negative prices are values, so absence needs a sentinel of its own. It lies far
/// outside [`LIMIT`], so no valid field can collide with it.
pub const ABSENT: i64 = i64::MIN;

/// The largest magnitude of any number on the wire: 2^53 − 1, so that a JavaScript client reads
/// every integer exactly.
pub const LIMIT: i64 = (1 << 53) - 1;

/// True for a value that may leave on the wire: [`ABSENT`], or a magnitude of at most [`LIMIT`].
#[must_use]
pub const fn is_valid(field: i64) -> bool {
    field == ABSENT || (field >= -LIMIT && field <= LIMIT)
}

/// Exponents a definition may carry: `field × 10^exponent` with the exponent in −18..=18.
pub const EXPONENT_LIMIT: i8 = 18;

/// An exact decimal: `mantissa × 10^exponent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Decimal {
    /// The digits, with sign.
    pub mantissa: i64,
    /// The power of ten that scales them.
    pub exponent: i8,
}

/// Why a text is no exact decimal of at most [`LIMIT`] digits' worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecimalError {
    /// Not an optional minus sign, digits, and optionally a point and digits.
    #[error("not a plain decimal number")]
    Syntax,
    /// More digits than 2^53 − 1 can hold.
    #[error("number exceeds 2^53 - 1 at its own scale")]
    Overflow,
}

impl Decimal {
    /// Reads `[-]digits[.digits]`, keeps the printed digits and drops trailing zeros of the
    /// fraction: `"60.00"` is `60 × 10^0`, `"0.0100"` is `1 × 10^-2`, `"100"` is `100 × 10^0`.
    ///
    /// # Errors
    /// [`DecimalError::Syntax`] for anything else (exponent notation, spaces, `+`, no digit on
    /// either side of the point), [`DecimalError::Overflow`] past [`LIMIT`] or past an exponent of
    /// −[`EXPONENT_LIMIT`].
    pub fn parse(text: &str) -> Result<Self, DecimalError> {
        let (negative, digits) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (whole, fraction) = match digits.split_once('.') {
            Some((whole, fraction)) if !fraction.is_empty() => (whole, fraction),
            Some(_) => return Err(DecimalError::Syntax),
            None => (digits, ""),
        };
        if whole.is_empty() || !(whole.bytes().chain(fraction.bytes())).all(|b| b.is_ascii_digit())
        {
            return Err(DecimalError::Syntax);
        }
        let fraction = fraction.trim_end_matches('0');
        let exponent = i8::try_from(fraction.len())
            .ok()
            .filter(|places| *places <= EXPONENT_LIMIT)
            .ok_or(DecimalError::Overflow)?;
        let mut mantissa: i64 = 0;
        for digit in whole.bytes().chain(fraction.bytes()) {
            mantissa = mantissa
                .checked_mul(10)
                .and_then(|m| m.checked_add(i64::from(digit - b'0')))
                .filter(|m| *m <= LIMIT)
                .ok_or(DecimalError::Overflow)?;
        }
        Ok(Self { mantissa: if negative { -mantissa } else { mantissa }, exponent: -exponent })
    }

    /// The integer that stands for this number at `exponent`, or `None` when it needs finer
    /// digits than that or exceeds [`LIMIT`].
    #[must_use]
    pub fn at_exponent(self, exponent: i8) -> Option<i64> {
        let shift = i32::from(self.exponent) - i32::from(exponent);
        let power = 10i64.checked_pow(shift.unsigned_abs())?;
        let scaled = if shift >= 0 {
            self.mantissa.checked_mul(power)?
        } else if self.mantissa % power == 0 {
            self.mantissa / power
        } else {
            return None;
        };
        (scaled.abs() <= LIMIT).then_some(scaled)
    }
}

impl fmt::Display for Decimal {
    /// Plain digits, exactly: never an exponent, never through a float.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.exponent >= 0 {
            write!(f, "{}", self.mantissa)?;
            if self.mantissa != 0 {
                for _ in 0..self.exponent {
                    f.write_str("0")?;
                }
            }
            return Ok(());
        }
        let places = usize::from(self.exponent.unsigned_abs());
        let sign = if self.mantissa < 0 { "-" } else { "" };
        let digits = self.mantissa.unsigned_abs().to_string();
        let padded = format!("{digits:0>width$}", width = places + 1);
        let (whole, fraction) = padded.split_at(padded.len() - places);
        write!(f, "{sign}{whole}.{fraction}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printed_digits_are_kept_and_trailing_zeros_dropped() {
        let cases = [
            ("60.00", 60, 0),
            ("0.0100", 1, -2),
            ("100", 100, 0),
            ("-0.5", -5, -1),
            ("61714.29000000", 6_171_429, -2),
        ];
        for (text, mantissa, exponent) in cases {
            assert_eq!(Decimal::parse(text), Ok(Decimal { mantissa, exponent }), "{text}");
        }
    }

    #[test]
    fn what_is_not_a_plain_decimal_is_refused() {
        for text in ["", "-", ".", ".5", "5.", "1e3", "+1", " 1", "1,0", "NaN", "0x1", "1.2.3"] {
            assert_eq!(Decimal::parse(text), Err(DecimalError::Syntax), "{text}");
        }
        assert_eq!(Decimal::parse("9007199254740991").map(|d| d.mantissa), Ok(LIMIT));
        assert_eq!(Decimal::parse("9007199254740992"), Err(DecimalError::Overflow));
        assert_eq!(Decimal::parse("0.0000000000000000001"), Err(DecimalError::Overflow));
    }

    #[test]
    fn rescaling_is_exact_or_refused() {
        let price = Decimal { mantissa: 125, exponent: -2 };
        assert_eq!(price.at_exponent(-4), Some(12_500));
        assert_eq!(price.at_exponent(-1), None);
        assert_eq!(Decimal { mantissa: LIMIT, exponent: 0 }.at_exponent(-1), None);
    }

    #[test]
    fn display_prints_every_digit() {
        for (mantissa, exponent, text) in
            [(5, -2, "0.05"), (-5, -2, "-0.05"), (12, 3, "12000"), (0, 3, "0"), (1250, -3, "1.250")]
        {
            assert_eq!(Decimal { mantissa, exponent }.to_string(), text);
        }
    }
}
