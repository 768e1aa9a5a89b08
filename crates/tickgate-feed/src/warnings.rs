//! A bounded list of warnings, waiting for whoever drives the feed to log them.

/// Longest warning kept, in bytes; longer ones are cut.
const LENGTH_LIMIT_BYTES: usize = 300;

/// Warnings that wait to be logged.
///
/// Capacity: [`Warnings::CAPACITY`] warnings. When full, further ones are only counted, and the
/// count ends the list at the next [`Warnings::take`]. What they are about is counted separately
/// in [`crate::FeedStats`], always.
#[derive(Debug, Default)]
pub struct Warnings {
    waiting: Vec<String>,
    dropped: u64,
}

impl Warnings {
    /// Most warnings that wait between two calls of [`Warnings::take`].
    pub const CAPACITY: usize = 16;

    /// Adds a warning, or counts it when full; `text` is then not called.
    pub fn push(&mut self, text: impl FnOnce() -> String) {
        if self.waiting.len() >= Self::CAPACITY {
            self.dropped += 1;
            return;
        }
        let mut text = text();
        if text.len() > LENGTH_LIMIT_BYTES {
            text.truncate(text.floor_char_boundary(LENGTH_LIMIT_BYTES));
            text.push('…');
        }
        self.waiting.push(text);
    }

    /// Hands out what waits, oldest first, and a last line with the number of those dropped.
    pub fn take(&mut self) -> Vec<String> {
        let mut taken = std::mem::take(&mut self.waiting);
        let dropped = std::mem::take(&mut self.dropped);
        if dropped > 0 {
            taken.push(format!("and {dropped} more warnings"));
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn past_the_capacity_warnings_are_only_counted() {
        let mut warnings = Warnings::default();
        for n in 0..Warnings::CAPACITY + 5 {
            warnings.push(|| format!("warning {n}"));
        }
        let taken = warnings.take();
        assert_eq!(taken.len(), Warnings::CAPACITY + 1);
        assert_eq!(taken.first().map(String::as_str), Some("warning 0"));
        assert_eq!(taken.last().map(String::as_str), Some("and 5 more warnings"));
        assert!(warnings.take().is_empty());
    }

    #[test]
    fn a_long_warning_is_cut_between_characters() {
        let mut warnings = Warnings::default();
        warnings.push(|| "ä".repeat(1_000));
        let taken = warnings.take();
        assert!(taken[0].ends_with("ä…"));
        assert!(taken[0].len() <= LENGTH_LIMIT_BYTES + '…'.len_utf8());
    }
}
