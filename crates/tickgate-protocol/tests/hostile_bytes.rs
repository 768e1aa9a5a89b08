//! Nothing that arrives can panic, recurse without bound, or make memory out of nothing.

mod strategies;

use proptest::{collection::vec, prelude::*, sample::Index};
use tickgate_protocol::{
    command::{ErrorCode, Op},
    decode::Decoder,
    definition::Definition,
    dialect::Dialect,
    entry::Entry,
};

/// Reads `bytes` in every way there is; what comes of it does not matter.
fn read(dialect: Dialect, bytes: &[u8]) {
    let _ = dialect.parse_command(bytes);
    let _ = dialect.parse_reply(bytes);
    let mut decoder = Decoder::new(dialect);
    let mut definition = Vec::new();
    let mark = dialect.begin_frame(&mut definition, 1, 0);
    let known = Definition::new(300, "A", -2, 0);
    dialect.write_entry(&mut definition, &Entry::Definition(known.clone()), Some(&known));
    dialect.finish_frame(&mut definition, mark, 0, 1);
    decoder.decode(&definition).expect("a sound frame");
    let _ = decoder.decode(bytes);
}

/// Overwrites, removes and inserts bytes at random places.
fn mutate(mut bytes: Vec<u8>, changes: &[(Index, u8, u8)]) -> Vec<u8> {
    for (at, how, byte) in changes {
        if bytes.is_empty() {
            break;
        }
        let at = at.index(bytes.len());
        match how % 4 {
            0 => bytes[at] = *byte,
            1 => drop(bytes.remove(at)),
            2 => bytes.insert(at, *byte),
            _ => bytes.truncate(at),
        }
    }
    bytes
}

fn changes() -> impl Strategy<Value = Vec<(Index, u8, u8)>> {
    vec((any::<Index>(), any::<u8>(), any::<u8>()), 1..6)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn random_bytes_never_panic(bytes in vec(any::<u8>(), 0..200)) {
        for dialect in Dialect::ALL {
            read(dialect, &bytes);
        }
    }

    #[test]
    fn random_text_never_panics(text in "[\\[\\]{}\",:a-z0-9.\\-\\\\$ ]{0,80}") {
        read(Dialect::Json, text.as_bytes());
    }

    #[test]
    fn mutated_commands_never_panic(command in strategies::command(), changes in changes()) {
        for dialect in Dialect::ALL {
            let mut bytes = Vec::new();
            dialect.write_command(&mut bytes, &command);
            read(dialect, &mutate(bytes, &changes));
        }
    }

    #[test]
    fn mutated_frames_never_panic(
        entries in vec(strategies::entry(300), 1..6),
        changes in changes(),
    ) {
        let definition = Definition::new(300, "A", -2, 0);
        for dialect in Dialect::ALL {
            let mut bytes = Vec::new();
            let mark = dialect.begin_frame(&mut bytes, 2, 1_700_000_000_000_000);
            for entry in &entries {
                dialect.write_entry(&mut bytes, entry, Some(&definition));
            }
            dialect.finish_frame(&mut bytes, mark, 0, entries.len());
            read(dialect, &mutate(bytes, &changes));
        }
    }
}

#[test]
fn announced_lengths_reserve_nothing() {
    // Arrays, maps, text, binary and extensions of 2^32 - 1, alone and nested 16 deep.
    for head in [0xdd, 0xdf, 0xdb, 0xc6, 0xc9] {
        let bytes = [head, 0xff, 0xff, 0xff, 0xff];
        read(Dialect::MessagePack, &bytes);
        read(Dialect::MessagePack, &bytes.repeat(16));
    }
    read(Dialect::MessagePack, &[0xdd, 0xff, 0xff, 0xff, 0xff].repeat(3_000));
}

#[test]
fn nesting_is_bounded_in_both_dialects() {
    for (dialect, open) in [(Dialect::MessagePack, vec![0x91]), (Dialect::Json, b"[".to_vec())] {
        let bytes = open.repeat(100_000);
        let refusal = dialect.parse_command(&bytes).expect_err("it nests without end");
        assert_eq!(refusal.code, ErrorCode::BadMessage, "{dialect:?}");
        read(dialect, &bytes);
    }
    let mut nested = "[".repeat(17);
    nested.push_str(&"]".repeat(17));
    let refusal = Dialect::Json.parse_command(nested.as_bytes()).expect_err("17 levels");
    assert!(refusal.message.contains("16 levels"), "{}", refusal.message);
}

#[test]
fn a_skipped_element_may_nest_as_deep_as_it_likes() {
    // [1, 2, 0, 0, [], [[[...]]]]: a trailing element of 10,000 levels.
    let mut bytes = vec![0x96, 1, 2, 0, 0, 0x90];
    bytes.extend(std::iter::repeat_n(0x91, 10_000));
    bytes.push(0xc0);
    let message = Decoder::new(Dialect::MessagePack).decode(&bytes);
    assert!(message.is_ok(), "{message:?}");
}

#[test]
fn a_wide_command_is_read_in_time_that_follows_its_size() {
    // 16 KiB of one-byte names: the most elements a message can hold.
    let mut bytes = b"\x82\xa2op\xa9subscribe\xa7symbols\xdc\x3f\x00".to_vec();
    bytes.extend(std::iter::repeat_n(0xa0, 0x3f00));
    let command = Dialect::MessagePack.parse_command(&bytes).expect("a sound command");
    assert!(matches!(command.op, Op::Subscribe(subscribe) if subscribe.symbols.len() == 0x3f00));
}
