//! The time that a message of a plain target begins with.
//!
//! Either 8 bytes, big-endian, unsigned; or as text `{"sent_at_us":` and a number. Unix
//! microseconds both. The text's first bytes, read as a number, are far beyond any time, so the
//! two cannot be taken for one another.

use serde::Deserialize;

use crate::measure::Tally;

/// How a stamp in text begins.
const TEXT: &[u8] = br#"{"sent_at_us":"#;

/// What a stamp may be: from 2000 to 2100. Anything else is no time but chance.
const PLAUSIBLE_US: std::ops::Range<i64> = 946_684_800_000_000..4_102_444_800_000_000;

/// The stamp at the beginning of `payload`, Unix microseconds; `None` when there is none.
pub(super) fn read(payload: &[u8]) -> Option<i64> {
    let stamp = match payload.strip_prefix(TEXT) {
        Some(rest) => number(rest),
        None => i64::try_from(u64::from_be_bytes(*payload.first_chunk()?)).ok(),
    };
    stamp.filter(|stamp| PLAUSIBLE_US.contains(stamp))
}

/// The stamp of a JSON object, wherever in it `sent_at_us` stands.
pub(super) fn read_json(object: &[u8]) -> Option<i64> {
    #[derive(Deserialize)]
    struct Stamped {
        sent_at_us: i64,
    }
    // It stands at the beginning where a publisher minds the cost.
    if object.starts_with(TEXT) {
        return read(object);
    }
    let stamped: Stamped = serde_json::from_slice(object).ok()?;
    Some(stamped.sent_at_us).filter(|stamp| PLAUSIBLE_US.contains(stamp))
}

/// The stamp of a binary message.
pub(super) const fn binary(stamp_us: i64) -> [u8; 8] {
    stamp_us.to_be_bytes()
}

/// The stamp of a message in JSON, which has nothing else.
pub(super) fn text(stamp_us: i64) -> String {
    format!(r#"{{"sent_at_us":{stamp_us}}}"#)
}

/// Counts one message with data, and records its times; without a stamp it is a violation.
pub(super) fn record(stamp_us: Option<i64>, received_us: i64, tally: &mut Tally) {
    tally.counts.entries += 1;
    let Some(stamp_us) = stamp_us else {
        tally.violation("a message without a time");
        return;
    };
    tally.transit(stamp_us, received_us);
    // A plain target is asked to wait for nothing.
    tally.event(stamp_us, received_us, 0);
}

/// The digits at the beginning of `text`, which something else must end.
fn number(text: &[u8]) -> Option<i64> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let ends = matches!(text.get(digits)?, b',' | b'}' | b' ' | b'\t' | b'\r' | b'\n');
    if !ends {
        return None;
    }
    std::str::from_utf8(&text[..digits]).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_US: i64 = 1_790_000_000_000_000;

    #[test]
    fn what_is_written_is_read() {
        assert_eq!(read(&binary(NOW_US)), Some(NOW_US));
        assert_eq!(read(&[&binary(NOW_US), &b"more"[..]].concat()), Some(NOW_US));
        assert_eq!(text(NOW_US), r#"{"sent_at_us":1790000000000000}"#);
        assert_eq!(read(text(NOW_US).as_bytes()), Some(NOW_US));
        assert_eq!(read_json(text(NOW_US).as_bytes()), Some(NOW_US));
    }

    #[test]
    fn the_bytes_are_big_endian() {
        let bytes = [0x00, 0x06, 0x5b, 0xfe, 0xda, 0x25, 0xe0, 0x00];
        assert_eq!(read(&bytes), Some(NOW_US));
        assert_eq!(binary(NOW_US), bytes);
    }

    #[test]
    fn messages_of_the_peers_are_read() {
        let quote = br#"{"sent_at_us":1790000000000000,"type":"quote","symbol":"S0001","flags":0}"#;
        assert_eq!(read(quote), Some(NOW_US));
        assert_eq!(read(br#"{"sent_at_us":1790000000000000,"s":"S0001"}      "#), Some(NOW_US));
    }

    #[test]
    fn what_is_no_plausible_time_is_none() {
        let texts = [
            "",
            "{",
            "1234567",
            r#"{"sent_at_us":"#,
            r#"{"sent_at_us":1790000000000000"#,
            r#"{"sent_at_us":1790000000000000.5}"#,
            r#"{"sent_at_us":1.79e15}"#,
            r#"{"sent_at_us":-1790000000000000}"#,
            r#"{"sent_at_us":"1790000000000000"}"#,
            r#"{"sent_at_us":null}"#,
            r#"{"sent_at_us":17900000000000000000000000}"#,
            r#"{"sent_at_us":1790000000}"#,
            r#"{"sent_at_ms":1790000000000000}"#,
        ];
        for text in texts {
            assert_eq!(read(text.as_bytes()), None, "{text}");
            assert_eq!(read_json(text.as_bytes()), None, "{text}");
        }
        for number in [0, 1, u64::MAX, 1 << 63, 946_684_799_999_999, 4_102_444_800_000_000] {
            assert_eq!(read(&number.to_be_bytes()), None, "{number}");
        }
        assert_eq!(read(&binary(NOW_US)[..7]), None);
    }

    #[test]
    fn in_json_it_may_stand_anywhere() {
        let late = br#"{ "price": 1.5, "sent_at_us" : 1790000000000000, "more": [{}] }"#;
        assert_eq!((read(late), read_json(late)), (None, Some(NOW_US)));
        for other in ["[]", "null", "\"x\"", "3", r#"{"sent_at_us":[]}"#] {
            assert_eq!(read_json(other.as_bytes()), None, "{other}");
        }
    }
}
