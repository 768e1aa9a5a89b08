//! Text that somebody else chose, made fit for a log line or an answer.

use std::fmt::{self, Write};

/// A text with every control character and every character that turns the direction of writing
/// escaped, cut to a number of characters. What was cut shows as `…`.
pub(crate) struct Clean<'a> {
    text: &'a [u8],
    most: usize,
}

/// Shows `text`, which need not be UTF-8, in at most `most` characters and an escape.
pub(crate) fn clean(text: &[u8], most: usize) -> Clean<'_> {
    Clean { text, most }
}

impl fmt::Display for Clean<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut left = self.most;
        for chunk in self.text.utf8_chunks() {
            for character in chunk.valid().chars() {
                if left == 0 {
                    return f.write_char('…');
                }
                // An escape counts as what it takes, so that the whole stays within bounds.
                if is_plain(character) {
                    left -= 1;
                    f.write_char(character)?;
                } else {
                    let escaped = character.escape_default();
                    left = left.saturating_sub(escaped.len());
                    write!(f, "{escaped}")?;
                }
            }
            for byte in chunk.invalid() {
                if left == 0 {
                    return f.write_char('…');
                }
                left = left.saturating_sub(4);
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

/// True for what cannot act on a terminal, nor end a line, nor hide in it.
fn is_plain(character: char) -> bool {
    let turns_or_hides = matches!(character,
        '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    !character.is_control() && !turns_or_hides && character != '\\'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_acts_on_a_terminal_and_no_line_can_be_forged() {
        for (text, shown) in [
            (&b"curl/8.5.0"[..], "curl/8.5.0"),
            (b"a\nINFO kicked", "a\\nINFO kicked"),
            (b"\x1b[2J\x07", "\\u{1b}[2J\\u{7}"),
            ("x\u{202e}y".as_bytes(), "x\\u{202e}y"),
            ("\u{9b}31m".as_bytes(), "\\u{9b}31m"),
            (b"back\\slash", "back\\\\slash"),
            (b"\xff\xfeok", "\\xff\\xfeok"),
            ("Größe".as_bytes(), "Größe"),
            (b"", ""),
        ] {
            assert_eq!(clean(text, 64).to_string(), shown);
        }
    }

    #[test]
    fn what_is_too_long_is_cut_whatever_it_is_made_of() {
        assert_eq!(clean(b"abcdef", 6).to_string(), "abcdef");
        assert_eq!(clean(b"abcdefg", 6).to_string(), "abcdef…");
        let turned = "\u{202e}".repeat(1_000).into_bytes();
        for text in [vec![0; 1_000], vec![0xff; 1_000], turned] {
            let shown = clean(&text, 64).to_string();
            // The last escape may begin within the bound and end beyond it.
            assert!(shown.chars().count() <= 64 + 8, "{shown}");
        }
    }
}
