//! Symbol names and the small integers that stand for them.

/// Position of a symbol in the hub's directory: dense from 0, stable for the life of the hub,
/// kept when the symbol is redefined under a finer exponent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SymbolIndex(pub u32);

impl SymbolIndex {
    /// As a position in a slice.
    #[must_use]
    pub const fn position(self) -> usize {
        self.0 as usize
    }
}

/// The integer that stands for one *definition* of a symbol on the wire; never reused within an
/// epoch. Small, so that MessagePack spends one to three bytes on it.
pub type WireId = u32;

/// Longest symbol name, in bytes.
pub const NAME_LIMIT_BYTES: usize = 32;

/// The subscription that covers every symbol, also those listed later. No symbol may be called so.
pub const WILDCARD: &str = "*";

/// Why a text cannot name a symbol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Empty, or longer than [`NAME_LIMIT_BYTES`].
    #[error("a symbol name has 1 to 32 bytes")]
    Length,
    /// Anything outside printable ASCII, or a space, quote, backslash or `*`.
    #[error("a symbol name is printable ASCII without space, quote, backslash or asterisk")]
    Character,
}

/// Checks a symbol's name: 1 to 32 bytes of printable ASCII without space, `"`, `\` and `*`, so
/// that it needs no escaping in JSON, logs or URLs' query strings.
///
/// # Errors
/// [`NameError`] names the rule that was broken.
pub fn check_name(name: &str) -> Result<(), NameError> {
    if name.is_empty() || name.len() > NAME_LIMIT_BYTES {
        return Err(NameError::Length);
    }
    let plain = |b: u8| b.is_ascii_graphic() && !matches!(b, b'"' | b'\\' | b'*');
    if name.bytes().all(plain) { Ok(()) } else { Err(NameError::Character) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_at_the_limits() {
        assert_eq!(check_name("BRK.B"), Ok(()));
        assert_eq!(check_name(&"X".repeat(32)), Ok(()));
        assert_eq!(check_name(&"X".repeat(33)), Err(NameError::Length));
        assert_eq!(check_name(""), Err(NameError::Length));
        for bad in ["*", "A B", "A\"", "A\\", "Ä", "A\n"] {
            assert_eq!(check_name(bad), Err(NameError::Character), "{bad:?}");
        }
    }
}
