//! The last messages of a connection, kept so that a violation can be shown with what led to it.

use std::collections::VecDeque;

use tickgate_protocol::{decode::Decoder, dialect::Dialect};

/// Messages that are kept.
const KEPT: usize = 3;

/// Longest message that is kept, bytes; of longer ones only the length.
const KEPT_BYTES: usize = 4 * 1024;

/// Longest text of a message that is shown, characters.
const SHOWN: usize = 1_500;

/// The last messages; at most three of 4 KiB.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    messages: VecDeque<(usize, Vec<u8>)>,
}

impl Recent {
    /// Keeps a message in place of the oldest.
    pub(crate) fn keep(&mut self, payload: &[u8]) {
        let mut kept = match self.messages.len() {
            KEPT => self.messages.pop_front().map(|(_, kept)| kept).unwrap_or_default(),
            _ => Vec::new(),
        };
        kept.clear();
        if payload.len() <= KEPT_BYTES {
            kept.extend_from_slice(payload);
        }
        self.messages.push_back((payload.len(), kept));
    }

    /// As text, the oldest first.
    pub(crate) fn shown(&self, dialect: Dialect) -> Vec<String> {
        self.messages.iter().map(|(bytes, kept)| show(*bytes, kept, dialect)).collect()
    }
}

fn show(bytes: usize, kept: &[u8], dialect: Dialect) -> String {
    if kept.len() < bytes {
        return format!("{bytes} bytes, too long to be kept");
    }
    let text = if dialect.is_text() {
        String::from_utf8_lossy(kept).into_owned()
    } else {
        match Decoder::new(dialect).decode(kept) {
            Ok(message) => format!("{message:?}"),
            Err(_) => kept.iter().map(|byte| format!("{byte:02x}")).collect(),
        }
    };
    if text.chars().count() <= SHOWN {
        return text;
    }
    let shown: String = text.chars().take(SHOWN).collect();
    format!("{shown}…")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_three_are_kept_and_long_ones_only_counted() {
        let mut recent = Recent::default();
        for number in 1..=4_u8 {
            recent.keep(&[number; 3]);
        }
        recent.keep(&[0; KEPT_BYTES + 1]);
        let shown = recent.shown(Dialect::MessagePack);
        assert_eq!(shown, ["030303", "040404", "4097 bytes, too long to be kept"]);
        recent.keep(&[0x95, 1, 7, 1, 0, 0x90]);
        assert!(recent.shown(Dialect::MessagePack)[2].contains("sequence: 7"));
    }
}
