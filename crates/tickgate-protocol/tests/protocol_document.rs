//! `docs/PROTOCOL.md` says what the code does: every example in it is read and written by the
//! crate, byte for byte, and its tables name everything there is.

use std::collections::BTreeSet;

use tickgate_protocol::{
    book::Book,
    close::CloseReason,
    command::{ErrorCode, THROTTLE_LIMIT_MS},
    decode::{Decoder, Message},
    definition::Definition,
    dialect::Dialect,
    entry::{Entry, Frame, last_field, quote_field},
    reply::Reply,
    tick::{Reason, Status},
};

/// What operators read.
const OPERATORS: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/OPERATIONS.md"));

const DOCUMENT: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/PROTOCOL.md"));

/// An example in both dialects.
struct Example {
    /// Line of the `hex` block, for messages.
    line: usize,
    packed: Vec<u8>,
    json: String,
}

/// The examples of one sort (`command`, `reply`, `frame`, `entry`), in the document's order.
fn examples(sort: &str) -> Vec<Example> {
    let blocks = blocks();
    let mut examples = Vec::new();
    for pair in blocks.windows(2) {
        let [(line, info, hex), (_, next, json)] = pair else { unreachable!("windows of two") };
        if *info == format!("hex {sort}") {
            assert_eq!(*next, format!("json {sort}"), "line {line}: the JSON block is missing");
            examples.push(Example { line: *line, packed: bytes(hex), json: json.clone() });
        }
    }
    assert!(!examples.is_empty(), "the document has no example of a {sort}");
    examples
}

/// Line, info string and content of every fenced block.
fn blocks() -> Vec<(usize, String, String)> {
    let mut blocks = Vec::new();
    let mut open: Option<(usize, String, String)> = None;
    for (number, line) in DOCUMENT.lines().enumerate() {
        match (line.strip_prefix("```"), &mut open) {
            (Some(info), None) => open = Some((number + 1, info.to_owned(), String::new())),
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (None, Some((_, _, content))) => {
                content.push_str(line);
                content.push('\n');
            }
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a fenced block is not closed");
    blocks
}

/// The bytes of a `hex` block: hexadecimal bytes and quoted text, `#` begins a comment.
fn bytes(block: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for line in block.lines() {
        let mut rest = line;
        loop {
            rest = rest.trim_start();
            if rest.is_empty() || rest.starts_with('#') {
                break;
            }
            if let Some(quoted) = rest.strip_prefix('"') {
                let (text, behind) = quoted.split_once('"').expect("a closing quote");
                bytes.extend_from_slice(text.as_bytes());
                rest = behind;
            } else {
                let (token, behind) = rest.split_at(rest.find(' ').unwrap_or(rest.len()));
                assert_eq!(token.len(), 2, "{token:?} is no byte");
                bytes.push(u8::from_str_radix(token, 16).expect("a byte in hexadecimal"));
                rest = behind;
            }
        }
    }
    bytes
}

/// JSON without the white space between its tokens.
fn compact(json: &str) -> String {
    let (mut compact, mut in_text) = (String::new(), false);
    for character in json.chars() {
        // No example has a backslash in a text.
        assert_ne!(character, '\\');
        in_text ^= character == '"';
        if in_text || !character.is_ascii_whitespace() {
            compact.push(character);
        }
    }
    compact
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x} ")).collect()
}

/// Asserts that `packed` and `json` are what was written by hand.
fn assert_written(example: &Example, packed: &[u8], json: &[u8]) {
    let line = example.line;
    assert_eq!(hex(packed), hex(&example.packed), "line {line}");
    let json = std::str::from_utf8(json).expect("JSON is UTF-8");
    assert_eq!(compact(json), compact(&example.json), "line {line}");
}

#[test]
fn every_command_is_written_and_read_as_in_the_document() {
    let mut ops = BTreeSet::new();
    for example in examples("command") {
        let line = example.line;
        let command = Dialect::MessagePack.parse_command(&example.packed);
        assert_eq!(command, Dialect::Json.parse_command(example.json.as_bytes()), "line {line}");
        let command = command.unwrap_or_else(|refusal| panic!("line {line}: {refusal:?}"));
        let [mut packed, mut json] = [Vec::new(), Vec::new()];
        Dialect::MessagePack.write_command(&mut packed, &command);
        Dialect::Json.write_command(&mut json, &command);
        assert_written(&example, &packed, &json);
        let op = format!("{:?}", command.op);
        ops.insert(op.split([' ', '(']).next().expect("a name").to_owned());
    }
    let all = [
        "Ack",
        "Auth",
        "Credit",
        "History",
        "Ping",
        "Subscribe",
        "Symbols",
        "Throttle",
        "Unsubscribe",
    ];
    assert!(ops.iter().eq(all), "commands with an example: {ops:?}");
}

#[test]
fn every_reply_is_written_and_read_as_in_the_document() {
    let mut types = BTreeSet::new();
    for example in examples("reply") {
        let line = example.line;
        let reply = Dialect::MessagePack.parse_reply(&example.packed);
        assert_eq!(reply, Dialect::Json.parse_reply(example.json.as_bytes()), "line {line}");
        let reply = reply.unwrap_or_else(|error| panic!("line {line}: {error}"));
        let [mut packed, mut json] = [Vec::new(), Vec::new()];
        Dialect::MessagePack.write_reply(&mut packed, &reply);
        Dialect::Json.write_reply(&mut json, &reply);
        assert_written(&example, &packed, &json);
        if let Reply::Error(refusal) = &reply {
            // The refusal shown is the one that such a command gets.
            let command = br#"{"op":"subscribe","id":6,"symbols":[],"throttle_ms":90000}"#;
            assert_eq!(Dialect::Json.parse_command(command).as_ref(), Err(refusal));
        }
        let name = format!("{reply:?}");
        types.insert(name.split([' ', '(']).next().expect("a name").to_owned());
    }
    let all = [
        "Credited",
        "Draining",
        "Error",
        "History",
        "Pong",
        "Subscribed",
        "Symbols",
        "Throttled",
        "Unsubscribed",
        "Welcome",
    ];
    assert!(types.iter().eq(all), "replies with an example: {types:?}");
}

#[test]
fn every_frame_is_written_and_read_as_in_the_document() {
    for example in examples("frame") {
        let frame = read_frame(&example);
        let definition = frame.entries.iter().find_map(definition_of);
        let [packed, json] = Dialect::ALL.map(|dialect| write(dialect, &frame, definition));
        assert_written(&example, &packed, &json);
    }
}

#[test]
fn every_entry_is_written_and_read_as_in_the_document() {
    let examples = examples("entry");
    let defining = &examples[0];
    let mut kinds = BTreeSet::new();
    let mut book = Book::new();
    let definition = definition_of(&read_entry(None, defining)).cloned();
    for example in &examples {
        let entry = read_entry(Some(defining), example);
        let [mut packed, mut json] = [Vec::new(), Vec::new()];
        Dialect::MessagePack.write_entry(&mut packed, &entry, definition.as_ref());
        Dialect::Json.write_entry(&mut json, &entry, definition.as_ref());
        assert_eq!(json.pop(), Some(b','), "an entry ends with a comma for the next one");
        assert_written(example, &packed, &json);
        kinds.insert(packed[1]);
        if let Entry::Definition(_) = entry {
            let sequence = book.frame_sequence() + 1;
            let frame = Frame { sequence, sent_at_us: 0, cause: 0, entries: vec![entry] };
            assert_eq!(book.apply(&frame), []);
        }
    }
    assert!(
        kinds.iter().eq(&[1, 2, 3, 4, 10, 11, 12, 13, 20, 21, 22, 23, 30]),
        "kinds with an example: {kinds:?}"
    );
}

#[test]
fn the_examples_of_the_tape_are_one_sound_tape() {
    let examples = examples("entry");
    let entries = examples.iter().map(|example| read_entry(Some(&examples[0]), example));
    let tape = entries.filter(|entry| {
        matches!(
            entry,
            Entry::Definition(_)
                | Entry::TradesJoined { .. }
                | Entry::Trade(_)
                | Entry::TradeCorrection(_)
                | Entry::TradesLost(_)
        )
    });
    let mut entries: Vec<Entry> = tape.collect();
    // The document explains the joining after the trades it precedes.
    entries.sort_by_key(|entry| match entry {
        Entry::Definition(_) => 0,
        Entry::TradesJoined { .. } => 1,
        _ => 2,
    });
    let mut book = Book::new();
    assert_eq!(book.apply(&Frame { sequence: 1, sent_at_us: 0, cause: 0, entries }), []);
    let tape = &book.symbol("AAPL").expect("AAPL is defined").tape;
    assert_eq!((tape.head, tape.trades, tape.corrections, tape.lost), (Some(1010), 1, 1, 28));
}

#[test]
fn the_tables_name_everything_there_is() {
    let row = |cells: String| {
        assert!(DOCUMENT.contains(&cells), "the document has no row {cells:?}");
    };
    for code in ErrorCode::ALL {
        row(format!("\n| `{}` | ", code.name()));
    }
    for reason in CloseReason::ALL {
        let reconnect = matches!(reason.code(), 1006 | 4000..=4499);
        let answer = if reconnect { "yes" } else { "no" };
        row(format!("\n| {} | `{}` | {answer} | ", reason.code(), reason.name()));
    }
    for reason in CloseReason::ALL {
        let start = format!("\n| `{}` | {} | ", reason.name(), reason.code());
        let rest = OPERATORS.split_once(&start).map(|(_, rest)| rest);
        let rest = rest.unwrap_or_else(|| panic!("the operators' document has no row {start:?}"));
        let cells: Vec<&str> =
            rest.lines().next().unwrap_or("").split('|').map(str::trim).collect();
        assert!(matches!(cells[..], [what, todo, ""] if !what.is_empty() && !todo.is_empty()));
    }
    for status in Status::ALL {
        row(format!("\n| {} | `{}` | ", status as u8, status.name()));
    }
    for reason in Reason::ALL.into_iter().filter(|reason| *reason != Reason::None) {
        row(format!("\n| {} | `{}` | ", reason as u8, reason.name()));
    }
    for name in quote_field::NAMES.iter().chain(&last_field::NAMES) {
        row(format!("`{name}`"));
    }
    for dialect in Dialect::ALL {
        row(format!("\n| `{}` | ", dialect.subprotocol()));
    }
    row(format!("\n| throttle interval | {THROTTLE_LIMIT_MS} ms | "));
}

fn definition_of(entry: &Entry) -> Option<&Definition> {
    match entry {
        Entry::Definition(definition) => Some(definition),
        _ => None,
    }
}

/// The frame of an example; both dialects must mean the same.
fn read_frame(example: &Example) -> Frame {
    let line = example.line;
    let packed = Decoder::new(Dialect::MessagePack).decode(&example.packed);
    let json = Decoder::new(Dialect::Json).decode(example.json.as_bytes());
    assert_eq!(packed, json, "line {line}");
    match packed {
        Ok(Message::Frame(frame)) => frame,
        other => panic!("line {line}: {other:?}"),
    }
}

/// The entry of an example, read as the last of a frame that begins with `defining`.
fn read_entry(defining: Option<&Example>, example: &Example) -> Entry {
    let entries: Vec<&Example> = defining.into_iter().chain([example]).collect();
    let mut packed = vec![0x95, 1, 1, 0, 0, 0x90 | entries.len() as u8];
    entries.iter().for_each(|entry| packed.extend_from_slice(&entry.packed));
    let json: Vec<&str> = entries.iter().map(|entry| entry.json.as_str()).collect();
    let json = format!(
        r#"{{"type":"frame","sequence":1,"sent_at_us":0,"cause":0,"entries":[{}]}}"#,
        json.join(",")
    );
    let mut frame = read_frame(&Example { line: example.line, packed, json });
    frame.entries.pop().expect("a frame with entries")
}

fn write(dialect: Dialect, frame: &Frame, definition: Option<&Definition>) -> Vec<u8> {
    let mut out = Vec::new();
    let mark = dialect.begin_frame(&mut out, frame.sequence, frame.sent_at_us);
    for entry in &frame.entries {
        dialect.write_entry(&mut out, entry, definition);
    }
    dialect.finish_frame(&mut out, mark, frame.cause, frame.entries.len());
    out
}
