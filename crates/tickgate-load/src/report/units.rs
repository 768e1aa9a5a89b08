//! Figures as people read them, and text that cannot harm a terminal.

use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// What stands where there is nothing to show.
pub(crate) const NOTHING: &str = "–";

/// A time with three digits: `0 µs`, `870 µs`, `1.23 ms`, `12.3 ms`, `2.50 s`, `600 s`.
pub(crate) fn microseconds(us: f64) -> String {
    // 999.5 would be rounded up to four digits; it belongs to the next unit.
    match us {
        us if us < 999.5 && us == us.round() => format!("{us:.0} µs"),
        us if us < 999.5 => format!("{} µs", three_digits(us)),
        us if us < 999_500.0 => format!("{} ms", three_digits(us / 1e3)),
        us => format!("{} s", three_digits(us / 1e6)),
    }
}

/// Seconds of a run: `0.4 s`, `30 s`, `2 min 5 s`, `3 h 20 min`.
pub(crate) fn seconds(s: f64) -> String {
    let whole = s.round();
    if s < 120.0 {
        // `-0.04` would be shown as `-0`.
        let tenths = (s * 10.0).round() / 10.0 + 0.0;
        return format!("{tenths} s");
    }
    let (hours, minutes, rest) = (whole / 3600.0, (whole / 60.0) % 60.0, whole % 60.0);
    let (hours, minutes) = (hours.floor(), minutes.floor());
    match (hours > 0.0, minutes > 0.0, rest > 0.0) {
        (true, false, _) => format!("{hours} h"),
        (true, true, _) => format!("{hours} h {minutes} min"),
        (false, _, false) => format!("{minutes} min"),
        (false, ..) => format!("{minutes} min {rest} s"),
    }
}

/// A count with commas between thousands.
pub(crate) fn count(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// How many a second: whole with commas from 100 on, three digits below.
pub(crate) fn rate(count_in_all: f64, over_s: f64) -> String {
    if over_s <= 0.0 {
        return NOTHING.to_owned();
    }
    amount(count_in_all / over_s)
}

/// A number without a unit: whole with commas from 100 on, three digits below.
pub(crate) fn amount(value: f64) -> String {
    match value {
        0.0 => "0".to_owned(),
        value if value.abs() < 99.95 => three_digits(value),
        value => count(value.round() as u64),
    }
}

/// A part of a whole in percent; nothing when there is no whole.
pub(crate) fn share(part: f64, whole: f64) -> String {
    match (part, whole) {
        (_, 0.0) => NOTHING.to_owned(),
        (0.0, _) => "0 %".to_owned(),
        (part, whole) if part / whole < 0.000_5 => "<0.1 %".to_owned(),
        (part, whole) => format!("{:.1} %", 100.0 * part / whole),
    }
}

/// Memory: `512 B`, `12.3 KiB`, `212 MiB`.
pub(crate) fn bytes(bytes: f64) -> String {
    let (mut value, mut units) = (bytes, ["KiB", "MiB", "GiB", "TiB"].into_iter());
    let mut unit = "B";
    while value.abs() >= 1023.5 {
        let Some(next) = units.next() else { break };
        (value, unit) = (value / 1024.0, next);
    }
    let whole = unit == "B" || value.abs() >= 99.95;
    if whole { format!("{value:.0} {unit}") } else { format!("{} {unit}", three_digits(value)) }
}

/// Three digits of a number below a thousand.
fn three_digits(value: f64) -> String {
    match value.abs() {
        size if size < 9.995 => format!("{value:.2}"),
        size if size < 99.95 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

/// One or many: `1 client`, `1,000 clients`.
pub(crate) fn counted(number: u64, one: &str) -> String {
    format!("{} {one}{}", count(number), if number == 1 { "" } else { "s" })
}

/// A moment in UTC to the second, as RFC 3339 writes it.
pub(crate) fn utc(unix_us: i64) -> String {
    let moment = OffsetDateTime::from_unix_timestamp(unix_us.div_euclid(1_000_000)).ok();
    let text = moment.and_then(|moment| moment.format(&Rfc3339).ok());
    // Years that RFC 3339 has no form for.
    text.unwrap_or_else(|| format!("{unix_us} µs of Unix time"))
}

/// Text of a file or a server with whatever could steer a terminal, or turn the direction of what
/// follows, written as an escape.
pub(crate) fn printable(text: &str) -> String {
    let steers = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    let mut printable = String::with_capacity(text.len());
    for c in text.chars() {
        if steers(c) { printable.extend(c.escape_default()) } else { printable.push(c) }
    }
    printable
}

/// At most `most` characters, the last an ellipsis where something is missing.
pub(crate) fn shortened(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_three_digits_and_a_unit() {
        for (us, text) in [
            (0.0, "0 µs"),
            (7.0, "7 µs"),
            (7.25, "7.25 µs"),
            (999.0, "999 µs"),
            (999.7, "1.00 ms"),
            (1_234.0, "1.23 ms"),
            (99_960.0, "100 ms"),
            (999_499.0, "999 ms"),
            (999_500.0, "1.00 s"),
            (600_000_000.0, "600 s"),
        ] {
            assert_eq!(microseconds(us), text, "{us}");
        }
        for (s, text) in [
            (0.0, "0 s"),
            (-0.04, "0 s"),
            (-2.5, "-2.5 s"),
            (30.0, "30 s"),
            (30.04, "30 s"),
            (125.0, "2 min 5 s"),
            (600.0, "10 min"),
            (12_000.0, "3 h 20 min"),
            (7_200.0, "2 h"),
        ] {
            assert_eq!(seconds(s), text, "{s}");
        }
    }

    #[test]
    fn numbers_are_grouped_and_shares_and_rates_survive_nothing() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([0.0, 4.25, 48_213.4].map(amount), ["0", "4.25", "48,213"]);
        assert_eq!(rate(10.0, 0.0), NOTHING);
        assert_eq!([share(0.0, 0.0), share(0.0, 9.0), share(1.0, 1e9)], [NOTHING, "0 %", "<0.1 %"]);
        assert_eq!(share(1.0, 3.0), "33.3 %");
        assert_eq!(
            [0.0, 1_023.0, 1_024.0, 222_298_112.0, -2_097_152.0].map(bytes),
            ["0 B", "1023 B", "1.00 KiB", "212 MiB", "-2.00 MiB"]
        );
        assert_eq!([counted(1, "client"), counted(0, "client")], ["1 client", "0 clients"]);
    }

    #[test]
    fn moments_are_in_utc_and_those_of_no_calendar_are_told_too() {
        assert_eq!(utc(1_795_865_462_000_000), "2026-11-28T11:31:02Z");
        assert_eq!(utc(-1), "1969-12-31T23:59:59Z");
        assert_eq!(utc(i64::MIN), "-9223372036854775808 µs of Unix time");
    }

    #[test]
    fn nothing_that_steers_a_terminal_is_left() {
        assert_eq!(printable("a\x1b[2Jb\r\n\u{202e}µ"), "a\\u{1b}[2Jb\\r\\n\\u{202e}µ");
        assert_eq!(shortened("abcdef", 4), "abc…");
        assert_eq!(shortened("µµµµ", 4), "µµµµ");
    }
}
