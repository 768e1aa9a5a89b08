//! What a target said, short enough for a report.

/// Most characters of it.
const LIMIT: usize = 200;

/// The beginning of `bytes` as one line of text; what cannot be printed is escaped.
pub(crate) fn excerpt(bytes: &[u8]) -> String {
    let head = &bytes[..bytes.len().min(LIMIT)];
    let mut text = String::from_utf8_lossy(head).trim().escape_debug().to_string();
    if bytes.len() > LIMIT {
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_one_bounded_line() {
        assert_eq!(excerpt(b"'Unknown Protocol Operation'\r\n"), r"\'Unknown Protocol Operation\'");
        assert_eq!(excerpt(b"a\nb\x07\xff"), "a\\nb\\u{7}\u{fffd}");
        assert!(excerpt(&[b'x'; 1_000]).chars().count() <= LIMIT + 1);
        assert!(excerpt(&[0; 1_000]).chars().count() <= LIMIT * 5 + 1);
    }
}
