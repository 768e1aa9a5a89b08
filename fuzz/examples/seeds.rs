//! Writes the seeds of every target into `fuzz/seeds`: `cargo run --example seeds` in `fuzz/`.
//!
//! They are the messages of the protocol's document, what the simulated market looks like in the
//! formats that are replayed, and requests and streams like those of the tests. The same program
//! writes the same bytes.

use std::{fs, io, path::Path};

use tickgate_benches::wire;
use tickgate_feed::{
    Feed, Next,
    record::{BinanceRecorder, DbnRecorder, DbnSchema},
    simulated::{SimulatedConfig, SimulatedMarket},
};
use tickgate_protocol::{dialect::Dialect, tick::Batch};

const DOCUMENT: &str = include_str!("../../docs/PROTOCOL.md");
const CONFIGURATION: &str = include_str!("../../config/tickgate.toml");

fn main() -> io::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds");
    if root.exists() {
        fs::remove_dir_all(&root)?;
    }
    let examples = examples(DOCUMENT);
    assert!(!examples.is_empty(), "the document has no examples");
    for target in ["commands", "upgrade", "engine", "config", "recordings", "client"] {
        let folder = root.join(target);
        fs::create_dir_all(&folder)?;
        let seeds = match target {
            "commands" => of(&examples, "command").map(|example| example.bytes.clone()).collect(),
            "client" => client(&examples),
            "engine" => engine(&examples),
            "upgrade" => upgrades(),
            "config" => configurations(),
            _ => recordings()?,
        };
        for (number, seed) in seeds.into_iter().enumerate() {
            fs::write(folder.join(format!("{number:02}")), seed)?;
        }
    }
    Ok(())
}

/// A message of the document.
struct Example {
    dialect: Dialect,
    /// `command`, `reply`, `frame` or `entry`.
    kind: String,
    bytes: Vec<u8>,
}

fn of<'a>(examples: &'a [Example], kind: &'a str) -> impl Iterator<Item = &'a Example> {
    examples.iter().filter(move |example| example.kind == kind)
}

/// Every fenced block of `hex` or `json` that says what it is.
fn examples(document: &str) -> Vec<Example> {
    let mut found = Vec::new();
    let mut lines = document.lines();
    while let Some(line) = lines.next() {
        let Some((format, kind)) = line.strip_prefix("```").and_then(|head| head.split_once(' '))
        else {
            continue;
        };
        let body: Vec<&str> = lines.by_ref().take_while(|line| !line.starts_with("```")).collect();
        let (dialect, bytes) = match format {
            "hex" => (Dialect::MessagePack, body.iter().flat_map(|line| hex(line)).collect()),
            "json" => (Dialect::Json, body.join("\n").into_bytes()),
            _ => continue,
        };
        found.push(Example { dialect, kind: kind.to_owned(), bytes });
    }
    found
}

/// Bytes in hexadecimal and texts in quotes, up to a comment.
fn hex(line: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = line.trim_start();
    while !rest.is_empty() && !rest.starts_with('#') {
        let token = match rest.strip_prefix('"').and_then(|text| text.split_once('"')) {
            Some((text, behind)) => {
                bytes.extend_from_slice(text.as_bytes());
                rest = behind.trim_start();
                continue;
            }
            None => rest.split_whitespace().next().unwrap_or_default(),
        };
        bytes.extend(u8::from_str_radix(token, 16).ok());
        rest = rest[token.len()..].trim_start();
    }
    bytes
}

/// What a gateway sends in the order of the document: welcome, replies, frames; and each frame
/// alone behind the one that defines its symbol.
fn client(examples: &[Example]) -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for (choice, dialect) in Dialect::ALL.into_iter().enumerate() {
        let messages = || {
            let told = |example: &&Example| {
                example.dialect == dialect && matches!(&*example.kind, "reply" | "frame")
            };
            examples.iter().filter(told).map(|example| example.bytes.as_slice())
        };
        let mut all = vec![choice as u8];
        for message in messages() {
            let mut alone = vec![choice as u8];
            push_message(&mut alone, message);
            push_message(&mut all, message);
            seeds.push(alone);
        }
        seeds.push(all);
        // The entries of the document, behind the first frame, in a frame each.
        let mut entries = vec![choice as u8];
        let first = of(examples, "frame").find(|example| example.dialect == dialect);
        push_message(&mut entries, first.map_or(&[][..], |example| &example.bytes));
        let own = of(examples, "entry").filter(|example| example.dialect == dialect);
        for (number, entry) in own.enumerate() {
            push_message(&mut entries, &frame_of(dialect, number as u64 + 2, &entry.bytes));
        }
        seeds.push(entries);
    }
    seeds
}

fn push_message(out: &mut Vec<u8>, message: &[u8]) {
    out.extend_from_slice(&(message.len() as u16).to_be_bytes());
    out.extend_from_slice(message);
}

/// A data frame with one entry that is written already.
fn frame_of(dialect: Dialect, sequence: u64, entry: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    let mark = dialect.begin_frame(&mut frame, sequence, 1_700_000_000_123_456);
    frame.extend_from_slice(entry);
    dialect.finish_frame(&mut frame, mark, 0, 1);
    frame
}

/// Each command alone, all of them in a row, and control frames; in the steps of the target.
fn engine(examples: &[Example]) -> Vec<Vec<u8>> {
    /// A tenth of a second, two ticks, and the socket takes everything.
    const STEP: u8 = 0b1000_1010;
    let mut seeds = Vec::new();
    for (choice, dialect) in Dialect::ALL.into_iter().enumerate() {
        let opcode = if dialect.is_text() { wire::TEXT } else { wire::BINARY };
        let mut all = vec![choice as u8];
        for example in of(examples, "command").filter(|example| example.dialect == dialect) {
            let mut frame = Vec::new();
            wire::write_client_frame(&mut frame, opcode, &example.bytes);
            let mut alone = vec![choice as u8];
            for seed in [&mut alone, &mut all] {
                push_steps(seed, STEP, &frame);
            }
            push_steps(&mut alone, STEP, &[]);
            seeds.push(alone);
        }
        for opcode in [wire::PING, wire::PONG, wire::CLOSE] {
            let mut frame = Vec::new();
            wire::write_client_frame(&mut frame, opcode, &1000_u16.to_be_bytes());
            push_steps(&mut all, STEP, &frame);
        }
        seeds.push(all);
    }
    // A ping in the middle of a message in two fragments, then a frame with a reserved bit.
    let mut fragments = vec![0];
    let mut frame = Vec::new();
    for (first, payload) in [(0x02, &b"\x81"[..]), (0x89, b"p"), (0x80, b"\xa2"), (0xc2, b"r")] {
        let at = frame.len();
        wire::write_client_frame(&mut frame, wire::BINARY, payload);
        frame[at] = first;
    }
    push_steps(&mut fragments, STEP, &frame);
    seeds.push(fragments);
    seeds
}

/// `bytes` in steps of at most 255.
fn push_steps(out: &mut Vec<u8>, pace: u8, bytes: &[u8]) {
    if bytes.is_empty() {
        out.extend([pace, 0]);
    }
    for chunk in bytes.chunks(255) {
        out.extend([pace, chunk.len() as u8]);
        out.extend_from_slice(chunk);
    }
}

fn upgrades() -> Vec<Vec<u8>> {
    let mut seeds: Vec<Vec<u8>> = Dialect::ALL
        .map(|dialect| wire::handshake_request("host", "/v1/stream", Some(dialect.subprotocol())))
        .to_vec();
    let plain =
        String::from_utf8_lossy(&wire::handshake_request("host", "/v1/stream", None)).into_owned();
    let with = |line: &str| plain.replace("\r\n\r\n", &format!("\r\n{line}\r\n\r\n"));
    let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
    for request in [
        with("Origin: https://dashboard.example"),
        with("Origin: https://evil.example"),
        with(key),
        with("Sec-WebSocket-Extensions: permessage-deflate"),
        with("Sec-WebSocket-Protocol: tickgate.v2.json, chat"),
        with("Content-Length: 5") + "bytes",
        with("Transfer-Encoding: chunked") + "5\r\nbytes\r\n0\r\n\r\n",
        plain.replace("GET", "POST"),
        plain.replace("HTTP/1.1", "HTTP/1.0"),
        plain.replace("Version: 13", "Version: 8"),
        plain.replace(key, "Sec-WebSocket-Key: short"),
        plain.repeat(2),
        "GET / HTTP/1.1\r\nHost: host\r\n\r\n".repeat(2),
        plain,
    ] {
        seeds.push(request.into_bytes());
    }
    seeds
}

/// The commented file, and each of its sections alone.
fn configurations() -> Vec<Vec<u8>> {
    let mut seeds = vec![CONFIGURATION.as_bytes().to_vec()];
    let keys: Vec<&str> =
        CONFIGURATION.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).collect();
    for section in keys.chunk_by(|_, next| !next.starts_with('[')) {
        seeds.push(section.join("\n").into_bytes());
    }
    seeds.push(b"gateway.listen = \"[::]:0\"\nfeed = { kind = \"replay\" }".to_vec());
    seeds
}

/// A moment of the simulated market in every format that is replayed.
fn recordings() -> io::Result<Vec<Vec<u8>>> {
    const START_NS: i64 = 1_700_000_000_000_000_000;
    let config = SimulatedConfig {
        symbols: 3,
        ticks_per_second: 200,
        start_time_ns: Some(START_NS),
        ..SimulatedConfig::default()
    };
    let mut market = SimulatedMarket::open(config).map_err(io::Error::other)?;
    let mut batch = Batch::default();
    for ms in 0..100 {
        while market.poll(START_NS + ms * 1_000_000, &mut batch) == Next::Again {}
    }
    let mut lines = BinanceRecorder::new(Vec::new(), 0);
    lines.record(&batch)?;
    let mut seeds = vec![lines.finish()?];
    for schema in [DbnSchema::Mbp1, DbnSchema::Trades] {
        let mut bytes = Vec::new();
        let mut recorder = DbnRecorder::new(&mut bytes, schema, &batch.listings, START_NS)?;
        recorder.record(&batch)?;
        recorder.finish()?;
        seeds.push(bytes);
    }
    Ok(seeds)
}
