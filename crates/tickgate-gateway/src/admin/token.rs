//! The secret that lets an operator in.

use std::fmt;

use subtle::ConstantTimeEq;

/// A bearer token. Its text never leaves it: not in logs, not in `/admin/config`.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

/// A token that would be too easily guessed, or could not be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be {least} to {most} printable ASCII characters without spaces",
    least = Token::LEAST,
    most = Token::MOST
)]
pub struct TokenError;

impl Token {
    /// Fewest characters: 16, 80 bits if they are random base-32 digits.
    pub const LEAST: usize = 16;
    /// Most characters.
    pub const MOST: usize = 256;

    /// A token of that text.
    ///
    /// # Errors
    /// Text shorter than [`Token::LEAST`], longer than [`Token::MOST`], or with anything in it but
    /// printable ASCII without spaces.
    pub fn new(text: impl Into<String>) -> Result<Self, TokenError> {
        let text = text.into();
        let fits = (Self::LEAST..=Self::MOST).contains(&text.len());
        if fits && text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Ok(Self(text));
        }
        Err(TokenError)
    }

    /// Whether an `Authorization` header carries it. Takes the same time wherever they differ; how
    /// long the token is may be learned.
    pub(crate) fn is_in(&self, authorization: &[u8]) -> bool {
        let Some((scheme, given)) = authorization.split_at_checked("Bearer ".len()) else {
            return false;
        };
        scheme.eq_ignore_ascii_case(b"Bearer ") && bool::from(self.0.as_bytes().ct_eq(given))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_token_under_its_scheme_is_taken() {
        let token = Token::new("0123456789abcdef").expect("long enough");
        for (header, taken) in [
            ("Bearer 0123456789abcdef", true),
            ("bearer 0123456789abcdef", true),
            ("Bearer 0123456789abcdeF", false),
            ("Bearer 0123456789abcde", false),
            ("Bearer 0123456789abcdef ", false),
            ("Bearer ", false),
            ("Basic 0123456789abcdef", false),
            ("0123456789abcdef", false),
            ("", false),
        ] {
            assert_eq!(token.is_in(header.as_bytes()), taken, "{header}");
        }
    }

    #[test]
    fn weak_tokens_are_refused_and_no_token_is_printed() {
        for text in ["", "0123456789abcde", "0123456789abcde f", "0123456789abcdeé", "\u{7f}"] {
            assert_eq!(Token::new(text), Err(TokenError), "{text}");
        }
        assert_eq!(Token::new("x".repeat(257)), Err(TokenError));
        let token = Token::new("x".repeat(256)).expect("just short enough");
        assert_eq!(format!("{token:?}"), "Token(***)");
    }
}
