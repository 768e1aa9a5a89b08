//! What a symbol stands for, in words.

/// A symbol in words, for people; `None` for what its feed does not know.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Instrument {
    /// What it is, as [`is_description`] allows.
    pub description: Option<Box<str>>,
    /// Where it is traded, as [`is_venue`] allows.
    pub venue: Option<Box<str>>,
    /// What its prices are in, as [`is_currency`] allows.
    pub currency: Option<Box<str>>,
}

/// Longest description, in bytes of UTF-8.
pub const DESCRIPTION_LIMIT_BYTES: usize = 64;

/// Longest name of a venue, in bytes of UTF-8.
pub const VENUE_LIMIT_BYTES: usize = 16;

/// Longest currency, in bytes.
pub const CURRENCY_LIMIT_BYTES: usize = 8;

impl Instrument {
    /// True when nothing is known.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        *self == Self::default()
    }

    /// What this one knows, and else what `other` does.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            description: self.description.or(other.description),
            venue: self.venue.or(other.venue),
            currency: self.currency.or(other.currency),
        }
    }
}

/// True for 1 to 64 bytes of printable UTF-8 that are not all white space.
///
/// Not printable are control characters, line and paragraph separators, and the invisible ones
/// that turn the direction of the text around them or stand for nothing: a text shown in a page or
/// a terminal is to change nothing but its own place.
#[must_use]
pub fn is_description(text: &str) -> bool {
    is_printable(text, DESCRIPTION_LIMIT_BYTES)
}

/// True for 1 to 16 bytes of the same.
#[must_use]
pub fn is_venue(text: &str) -> bool {
    is_printable(text, VENUE_LIMIT_BYTES)
}

/// True for 1 to 8 of the letters A to Z and digits: the three capitals of ISO 4217 (`USD`), or a
/// crypto ticker (`USDT`, `1INCH`).
#[must_use]
pub fn is_currency(text: &str) -> bool {
    (1..=CURRENCY_LIMIT_BYTES).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
}

fn is_printable(text: &str, limit_bytes: usize) -> bool {
    let hidden = |character: char| {
        character.is_control()
            || matches!(
                character,
                '\u{ad}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}'
                    | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
                    | '\u{e0000}'..='\u{e007f}'
            )
    };
    text.len() <= limit_bytes
        && !text.contains(hidden)
        && text.contains(|character: char| !character.is_whitespace())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptions_and_venues_at_their_limits() {
        for good in ["A", "Société Générale", "東京エレクトロン", "می‌خواهم", "50% \"x\" \\ / *"]
        {
            assert!(is_description(good), "{good:?}");
        }
        assert!(is_description(&"ä".repeat(32)) && !is_description(&"ä".repeat(33)));
        assert!(is_venue(&"V".repeat(16)) && !is_venue(&"V".repeat(17)));
        for bad in ["", " ", "\u{3000}", "a\nb", "\u{7f}", "\u{85}", "a\u{202e}b", "\u{feff}a"] {
            assert!(!is_description(bad) && !is_venue(bad), "{bad:?}");
        }
    }

    #[test]
    fn currencies_are_capitals_and_digits() {
        for good in ["USD", "USDT", "1INCH", "1000SATS", "T"] {
            assert!(is_currency(good), "{good:?}");
        }
        for bad in ["", "usd", "US$", "U D", "ÄBC", "1000SATSX"] {
            assert!(!is_currency(bad), "{bad:?}");
        }
    }
}
