//! Scaled integers as plain decimal numbers and back, digit by digit: never through a float.

/// Appends `field × 10^exponent`: all `-exponent` places of the fraction, or zeros behind the
/// digits where the exponent is positive.
pub(crate) fn write(out: &mut Vec<u8>, field: i64, exponent: i8) {
    let mut buffer = itoa::Buffer::new();
    if exponent >= 0 {
        out.extend_from_slice(buffer.format(field).as_bytes());
        if field != 0 {
            out.extend(std::iter::repeat_n(b'0', usize::from(exponent.unsigned_abs())));
        }
        return;
    }
    if field < 0 {
        out.push(b'-');
    }
    let digits = buffer.format(field.unsigned_abs()).as_bytes();
    let places = usize::from(exponent.unsigned_abs());
    if let Some(point) = digits.len().checked_sub(places).filter(|point| *point > 0) {
        out.extend_from_slice(&digits[..point]);
        out.push(b'.');
        out.extend_from_slice(&digits[point..]);
    } else {
        out.extend_from_slice(b"0.");
        out.extend(std::iter::repeat_n(b'0', places - digits.len()));
        out.extend_from_slice(digits);
    }
}

/// [`write`] as text, for replies.
pub(crate) fn to_text(field: i64, exponent: i8) -> String {
    let mut out = Vec::with_capacity(24);
    write(&mut out, field, exponent);
    // Digits, a sign and a point are ASCII.
    out.into_iter().map(char::from).collect()
}

/// The integer that stands for the plain decimal `text` at `exponent`; `None` when it is written
/// otherwise, needs finer digits, or exceeds 63 bits.
pub(crate) fn parse(text: &str, exponent: i8) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() || !whole.bytes().chain(fraction.bytes()).all(|b| b.is_ascii_digit()) {
        return None;
    }
    let fraction = fraction.trim_end_matches('0');
    // 2^53 × 10^18, the largest that is ever written, fits 128 bits.
    let mut mantissa: i128 = 0;
    for digit in whole.bytes().chain(fraction.bytes()) {
        mantissa = mantissa.checked_mul(10)?.checked_add(i128::from(digit - b'0'))?;
    }
    // What is read is mantissa × 10^-fraction; what is wanted is its count of 10^exponent.
    let shift = -i32::try_from(fraction.len()).ok()? - i32::from(exponent);
    let power = || 10i128.checked_pow(shift.unsigned_abs());
    let scaled = match shift {
        _ if mantissa == 0 => 0,
        0.. => mantissa.checked_mul(power()?)?,
        _ if mantissa % power()? == 0 => mantissa / power()?,
        _ => return None,
    };
    let scaled = i64::try_from(scaled).ok()?;
    Some(if negative { -scaled } else { scaled })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::number::LIMIT;
    use proptest::prelude::*;

    #[test]
    fn digits_are_exact_at_every_scale() {
        let cases = [
            (6_171_429, -2, "61714.29"),
            (5, -2, "0.05"),
            (-5, -2, "-0.05"),
            (0, -2, "0.00"),
            (12, 3, "12000"),
            (0, 3, "0"),
            (-100, 0, "-100"),
            (LIMIT, -18, "0.009007199254740991"),
            (1, -20, "0.00000000000000000001"),
        ];
        for (field, exponent, text) in cases {
            assert_eq!(to_text(field, exponent), text);
            assert_eq!(parse(text, exponent), Some(field), "{text}");
        }
    }

    #[test]
    fn what_is_not_exact_is_not_read() {
        for (text, exponent) in [
            ("1.25", -1),
            ("12", 1),
            ("9223372036854775808", 0),
            ("1e3", 0),
            ("", 0),
            ("-", 0),
            (".5", -1),
            ("+1", 0),
            ("1 ", 0),
            ("99999999999999999999", 0),
            ("1", -19),
        ] {
            assert_eq!(parse(text, exponent), None, "{text} at {exponent}");
        }
        assert_eq!(parse("1.250", -2), Some(125));
    }

    proptest! {
        #[test]
        fn reading_undoes_writing(field in -LIMIT..=LIMIT, exponent in -20i8..=18) {
            let text = to_text(field, exponent);
            prop_assert_eq!(parse(&text, exponent), Some(field));
        }
    }
}
