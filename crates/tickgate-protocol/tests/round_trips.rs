//! What is written is read back as it was, in both dialects.

mod strategies;

use proptest::{collection::vec, prelude::*};
use tickgate_protocol::{
    decode::{Decoder, Message},
    definition::Definition,
    dialect::Dialect,
    entry::{Entry, Frame},
    reply::Reply,
};

/// A frame as the engine builds it: entries of a shared encoding copied behind one head.
fn write_frame(dialect: Dialect, frame: &Frame, definition: &Definition) -> Vec<u8> {
    let mut out = Vec::new();
    let mark = dialect.begin_frame(&mut out, frame.sequence, frame.sent_at_us);
    for entry in &frame.entries {
        let mut encoded = Vec::new();
        dialect.write_entry(&mut encoded, entry, Some(definition));
        out.extend_from_slice(&encoded);
    }
    dialect.finish_frame(&mut out, mark, frame.cause, frame.entries.len());
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn frames_come_back_as_they_were(
        definition in strategies::definition(300),
        sequence in strategies::count(),
        sent_at_us in strategies::integer(),
        cause in 0u8..16,
        entries in vec(strategies::entry(300), 0..40),
    ) {
        let mut all = vec![Entry::Epoch { epoch: 4 }, Entry::Definition(definition.clone())];
        all.extend(entries);
        let frame = Frame { sequence, sent_at_us, cause, entries: all };
        for dialect in Dialect::ALL {
            let bytes = write_frame(dialect, &frame, &definition);
            let message = Decoder::new(dialect).decode(&bytes);
            prop_assert_eq!(message, Ok(Message::Frame(frame.clone())), "{:?}", dialect);
        }
    }

    #[test]
    fn commands_come_back_as_they_were(command in strategies::command()) {
        for dialect in Dialect::ALL {
            let mut bytes = Vec::new();
            dialect.write_command(&mut bytes, &command);
            prop_assert_eq!(dialect.parse_command(&bytes), Ok(command.clone()), "{:?}", dialect);
        }
    }

    #[test]
    fn pages_of_the_directory_come_back_as_they_were(
        symbols in vec(strategies::symbol_info(), 0..20),
        more in any::<bool>(),
    ) {
        let page = Reply::Symbols { id: Some(1), symbols, more };
        for dialect in Dialect::ALL {
            let mut bytes = Vec::new();
            dialect.write_reply(&mut bytes, &page);
            let message = Decoder::new(dialect).decode(&bytes);
            prop_assert_eq!(message, Ok(Message::Reply(page.clone())), "{:?}", dialect);
        }
    }
}

#[test]
fn a_frame_may_be_empty_or_have_more_entries_than_the_short_head_counts() {
    let definition = Definition::new(1, "A", 0, 0);
    for count in [0, 1, 65_535, 65_536, 70_000] {
        let entries = vec![Entry::Ready { command_id: None }; count];
        let frame = Frame { sequence: 1, sent_at_us: 0, cause: 15, entries };
        for dialect in Dialect::ALL {
            let bytes = write_frame(dialect, &frame, &definition);
            let message = Decoder::new(dialect).decode(&bytes);
            assert!(message == Ok(Message::Frame(frame.clone())), "{dialect:?}, {count} entries");
        }
    }
}
