//! NATS over WebSocket, as docs.nats.io describes its client protocol
//! (<https://docs.nats.io/nats-protocol/nats-protocol>).
//!
//! The protocol is a stream of bytes; a WebSocket message is any piece of it. What of a line or a
//! payload has come waits in a carry of at most 1 MiB and the largest payload.

use std::{mem, sync::Arc};

use serde::Deserialize;

use super::{Fault, Heard, Progress, Speaker, stamp};
use crate::{excerpt::excerpt, measure::Tally, outbox::Outbox};

/// Longest protocol line. A server in a large cluster lists its peers in one.
const LINE_LIMIT_BYTES: usize = 1024 * 1024;

/// Largest payload until the server says otherwise, as its documentation has it.
const PAYLOAD_BYTES: usize = 1024 * 1024;

/// Largest payload whatever the server says: what its documentation advises against exceeding.
const PAYLOAD_LIMIT_BYTES: usize = 8 * 1024 * 1024;

/// A client of a NATS server: each symbol is a subject, payloads are stamped.
///
/// It is ready when the server has answered the ping that follows the subscriptions.
#[derive(Debug)]
pub(crate) struct Nats {
    symbols: Arc<[String]>,
    /// Position of the symbol that is published next.
    next: usize,
    stage: Stage,
    /// What has come of an operation that is not whole.
    carry: Vec<u8>,
    /// Bytes of `carry` in which no line ends.
    searched: usize,
    /// Largest payload the server delivers.
    payload_limit: usize,
}

/// How far a conversation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Until the server's INFO, then CONNECT, SUBs and PING are sent.
    AwaitsInfo,
    /// Until the PONG.
    AwaitsPong,
    /// To the end.
    Ready,
}

/// What a server says.
#[derive(Debug, PartialEq, Eq)]
enum Operation<'a> {
    Info(&'a [u8]),
    Message { sid: usize, payload: &'a [u8] },
    Ping,
    Pong,
    Ok,
    Error(&'a [u8]),
}

/// What the beginning of some bytes is.
#[derive(Debug, PartialEq, Eq)]
enum Parsed<'a> {
    /// An operation of so many bytes.
    Whole(Operation<'a>, usize),
    /// No line yet.
    PartOfLine,
    /// A line whose payload is not there yet.
    PartOfPayload,
}

impl Nats {
    /// One that will subscribe to these symbols as subjects.
    pub(crate) fn new(symbols: impl Into<Arc<[String]>>) -> Self {
        Self {
            symbols: symbols.into(),
            next: 0,
            stage: Stage::AwaitsInfo,
            carry: Vec::new(),
            searched: 0,
            payload_limit: PAYLOAD_BYTES,
        }
    }

    fn act(
        &mut self,
        operation: &Operation<'_>,
        received_us: i64,
        out: &mut Outbox,
        tally: &mut Tally,
    ) -> Result<Progress, Fault> {
        match *operation {
            Operation::Message { sid, payload } => {
                if !(1..=self.symbols.len()).contains(&sid) {
                    let what = format!("a message of subscription {sid}, which there is not");
                    return Err(Fault::Violation(what));
                }
                stamp::record(stamp::read(payload), received_us, tally);
            }
            Operation::Info(json) => self.introduce(json, out)?,
            Operation::Ping => out.binary(b"PONG\r\n"),
            Operation::Pong if self.stage == Stage::AwaitsPong => {
                self.stage = Stage::Ready;
                return Ok(Progress::Ready);
            }
            Operation::Pong | Operation::Ok => {}
            Operation::Error(what) => return Err(Fault::Refused(excerpt(what))),
        }
        Ok(Progress::Going)
    }

    /// Answers the first INFO; later ones only change what the server allows.
    fn introduce(&mut self, json: &[u8], out: &mut Outbox) -> Result<(), Fault> {
        #[derive(Deserialize)]
        struct Info {
            max_payload: Option<usize>,
        }
        let info: Info = serde_json::from_slice(json)
            .map_err(|error| Fault::Violation(format!("INFO {}: {error}", excerpt(json))))?;
        let limit = info.max_payload.unwrap_or(PAYLOAD_BYTES);
        self.payload_limit = limit.min(PAYLOAD_LIMIT_BYTES);
        if self.stage != Stage::AwaitsInfo {
            return Ok(());
        }
        self.stage = Stage::AwaitsPong;
        let connect = serde_json::json!({
            "verbose": false,
            "pedantic": false,
            "protocol": 1,
            "lang": "rust",
            "version": env!("CARGO_PKG_VERSION"),
            "name": "tickgate-load",
        });
        let mut said = format!("CONNECT {connect}\r\n");
        for (at, symbol) in self.symbols.iter().enumerate() {
            said += &format!("SUB {symbol} {}\r\n", at + 1);
        }
        said += "PING\r\n";
        out.binary(said.as_bytes());
        Ok(())
    }
}

impl Speaker for Nats {
    fn open(&mut self, _out: &mut Outbox) -> Progress {
        self.stage = Stage::AwaitsInfo;
        self.carry.clear();
        self.searched = 0;
        self.payload_limit = PAYLOAD_BYTES;
        Progress::Going
    }

    fn hear(
        &mut self,
        heard: Heard<'_>,
        out: &mut Outbox,
        tally: &mut Tally,
    ) -> Result<Progress, Fault> {
        // Nearly always a message ends where an operation ends, and nothing is copied.
        let mut carry = mem::take(&mut self.carry);
        let bytes = if carry.is_empty() {
            heard.payload
        } else {
            carry.extend_from_slice(heard.payload);
            &carry
        };
        let entries_before = tally.counts.entries;
        let mut progress = Progress::Going;
        let mut at = 0;
        loop {
            let searched = mem::take(&mut self.searched);
            match parse(&bytes[at..], searched, self.payload_limit).map_err(Fault::Violation)? {
                Parsed::Whole(operation, length) => {
                    at += length;
                    if self.act(&operation, heard.received_us, out, tally)? == Progress::Ready {
                        progress = Progress::Ready;
                    }
                }
                Parsed::PartOfLine => {
                    self.searched = bytes.len() - at;
                    break;
                }
                Parsed::PartOfPayload => break,
            }
        }
        tally.counts.frames += u64::from(tally.counts.entries > entries_before);
        if carry.is_empty() {
            carry.extend_from_slice(&heard.payload[at..]);
        } else {
            carry.drain(..at);
        }
        self.carry = carry;
        Ok(progress)
    }

    fn publish(&mut self, scheduled_us: i64, out: &mut Outbox) -> bool {
        if self.stage == Stage::AwaitsInfo || self.symbols.is_empty() {
            return false;
        }
        let stamp = stamp::binary(scheduled_us);
        let symbol = &self.symbols[self.next % self.symbols.len()];
        self.next += 1;
        let mut said = format!("PUB {symbol} {}\r\n", stamp.len()).into_bytes();
        said.extend_from_slice(&stamp);
        said.extend_from_slice(b"\r\n");
        out.binary(&said);
        true
    }
}

/// What the beginning of `bytes` is. No line ends in the first `searched` of them.
fn parse(bytes: &[u8], searched: usize, payload_limit: usize) -> Result<Parsed<'_>, String> {
    let Some(end) = bytes[searched..].iter().position(|byte| *byte == b'\n') else {
        return match bytes.len() {
            0..LINE_LIMIT_BYTES => Ok(Parsed::PartOfLine),
            _ => Err(format!("a line of more than {LINE_LIMIT_BYTES} bytes: {}", excerpt(bytes))),
        };
    };
    let length = searched + end + 1;
    let line = bytes[..length].strip_suffix(b"\r\n");
    let line =
        line.ok_or_else(|| format!("a line without CR LF: {}", excerpt(&bytes[..length])))?;
    let unknown = || format!("not an operation: {}", excerpt(line));
    let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let name_bytes = line.iter().position(is_blank).unwrap_or(line.len());
    let (name, rest) = line.split_at(name_bytes);
    let operation = match name.to_ascii_uppercase().as_slice() {
        b"MSG" => {
            let (sid, payload_bytes) = message_head(rest).ok_or_else(unknown)?;
            if payload_bytes > payload_limit {
                let what = format!("a payload of {payload_bytes} bytes, {payload_limit} allowed");
                return Err(what);
            }
            let Some(rest) = bytes[length..].get(..payload_bytes + 2) else {
                return Ok(Parsed::PartOfPayload);
            };
            let payload = rest.strip_suffix(b"\r\n");
            let payload = payload.ok_or_else(|| {
                format!("a payload that is not as long as said: {}", excerpt(line))
            })?;
            return Ok(Parsed::Whole(Operation::Message { sid, payload }, length + rest.len()));
        }
        b"INFO" => Operation::Info(rest),
        b"PING" => Operation::Ping,
        b"PONG" => Operation::Pong,
        b"+OK" => Operation::Ok,
        b"-ERR" => Operation::Error(rest),
        _ => return Err(unknown()),
    };
    Ok(Parsed::Whole(operation, length))
}

/// Subscription and length of the payload: `subject sid [reply-to] #bytes`.
fn message_head(rest: &[u8]) -> Option<(usize, usize)> {
    let words = std::str::from_utf8(rest).ok()?;
    let mut words = words.split([' ', '\t']).filter(|word| !word.is_empty());
    let (_subject, sid, third) = (words.next()?, words.next()?, words.next()?);
    let payload_bytes = words.next().unwrap_or(third);
    if words.next().is_some() {
        return None;
    }
    Some((sid.parse().ok()?, payload_bytes.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        measure::Timing,
        speaker::testing::{NOW_US, hear, said},
    };

    const INFO: &str =
        "INFO {\"server_id\":\"NAB\",\"version\":\"2.9.10\",\"max_payload\":1000}\r\n";

    /// A client, its outbox and its tally.
    struct Scene {
        client: Nats,
        out: Outbox,
        tally: Tally,
    }

    impl Scene {
        fn new() -> Self {
            let client = Nats::new(["AAPL", "BRK.B"].map(str::to_owned));
            Self { client, out: Outbox::default(), tally: Tally::default() }
        }

        fn ready() -> Self {
            let mut scene = Self::new();
            assert_eq!(scene.client.open(&mut scene.out), Progress::Going);
            assert_eq!(scene.hear(INFO.as_bytes()), Ok(Progress::Going));
            assert_eq!(scene.hear(b"PONG\r\n"), Ok(Progress::Ready));
            said(&mut scene.out);
            scene
        }

        fn hear(&mut self, bytes: &[u8]) -> Result<Progress, Fault> {
            hear(&mut self.client, bytes, &mut self.out, &mut self.tally)
        }

        fn violation(bytes: &[u8]) -> String {
            match Self::ready().hear(bytes) {
                Err(Fault::Violation(what)) => what,
                other => panic!("{other:?}"),
            }
        }
    }

    /// A conversation in which everything occurs.
    fn transcript() -> Vec<u8> {
        let stamp = (NOW_US - 1_500).to_be_bytes();
        let text = format!(r#"{{"sent_at_us":{},"x":"\r\n"}}"#, NOW_US - 1_500);
        let mut bytes = INFO.as_bytes().to_vec();
        bytes.extend_from_slice(b"PING\r\n+OK\r\nPONG\r\nMSG AAPL 1 8\r\n");
        bytes.extend_from_slice(&stamp);
        bytes.extend_from_slice(b"\r\nmsg\tBRK.B  2 reply.to 8\r\n");
        bytes.extend_from_slice(&stamp);
        bytes.extend_from_slice(format!("\r\nMSG AAPL 1 {}\r\n{text}\r\n", text.len()).as_bytes());
        bytes.extend_from_slice(b"PONG\r\nPING\r\nINFO {\"ldm\":true}\r\nMSG AAPL 1 0\r\n\r\n");
        bytes
    }

    /// Hears the transcript in pieces and checks what came of it.
    fn check_transcript<'a>(pieces: impl Iterator<Item = &'a [u8]>, what: &str) {
        let mut scene = Scene::new();
        scene.client.open(&mut scene.out);
        let mut readies = 0;
        for piece in pieces {
            let progress = scene.hear(piece).unwrap_or_else(|fault| panic!("{what}: {fault:?}"));
            readies += u32::from(progress == Progress::Ready);
        }
        let said = said(&mut scene.out);
        assert_eq!(said.len(), 3, "{what}: {said:?}");
        assert!(said[0].starts_with("CONNECT {"), "{said:?}");
        assert!(said[0].ends_with("}\r\nSUB AAPL 1\r\nSUB BRK.B 2\r\nPING\r\n"), "{said:?}");
        assert_eq!(said[1..], ["PONG\r\n", "PONG\r\n"], "{what}");
        let counts = &scene.tally.counts;
        // The last message is empty, so without a stamp.
        let sums = (readies, counts.entries, counts.updates, counts.violations);
        assert_eq!(sums, (1, 4, 3, 1), "{what}");
        assert!((1..=4).contains(&counts.frames), "{what}: {counts:?}");
        let spread = scene.tally.timings.spread(Timing::Transit).expect("recorded");
        assert_eq!((spread.count, spread.max_us / 10), (3, 150), "{what}");
        assert!(scene.client.carry.is_empty(), "{what}");
    }

    #[test]
    fn a_conversation_reads_the_same_wherever_it_is_split() {
        let bytes = transcript();
        check_transcript([&*bytes].into_iter(), "whole");
        for at in 1..bytes.len() {
            let (before, after) = bytes.split_at(at);
            check_transcript([before, after].into_iter(), &format!("split at {at}"));
        }
        for size in 1..40 {
            check_transcript(bytes.chunks(size), &format!("pieces of {size}"));
        }
    }

    #[test]
    fn it_introduces_itself_as_the_documentation_says() {
        let mut scene = Scene::new();
        scene.client.open(&mut scene.out);
        assert!(!scene.client.publish(NOW_US, &mut scene.out), "nothing goes ahead of CONNECT");
        scene.hear(INFO.as_bytes()).expect("sound");
        let said = said(&mut scene.out);
        let json = said[0].strip_prefix("CONNECT ").and_then(|rest| rest.split_once("\r\n"));
        let connect: serde_json::Value =
            serde_json::from_str(json.expect("a line").0).expect("JSON");
        assert_eq!((&connect["verbose"], &connect["protocol"]), (&false.into(), &1.into()));
        assert_eq!(connect["name"], "tickgate-load");
    }

    #[test]
    fn it_publishes_its_symbols_in_turn() {
        let mut scene = Scene::ready();
        for _ in 0..3 {
            assert!(scene.client.publish(NOW_US, &mut scene.out));
        }
        let said = said(&mut scene.out);
        let subjects = ["PUB AAPL 8\r\n", "PUB BRK.B 8\r\n", "PUB AAPL 8\r\n"];
        for (said, subject) in said.iter().zip(subjects) {
            assert!(said.starts_with(subject) && said.ends_with("\r\n"), "{said:?}");
        }
        let mut nobody = Nats::new([]);
        nobody.open(&mut scene.out);
        hear(&mut nobody, INFO.as_bytes(), &mut scene.out, &mut scene.tally).expect("sound");
        assert!(!nobody.publish(NOW_US, &mut scene.out));
    }

    #[test]
    fn a_new_conversation_holds_nothing_of_the_one_before() {
        let mut scene = Scene::ready();
        assert_eq!(scene.hear(b"MSG AAPL 1 100\r\nhalf a"), Ok(Progress::Going));
        assert_eq!(scene.client.open(&mut scene.out), Progress::Going);
        assert_eq!(scene.hear(INFO.as_bytes()), Ok(Progress::Going));
        assert_eq!(scene.hear(b"PONG\r\n"), Ok(Progress::Ready));
    }

    #[test]
    fn errors_are_refusals_in_the_servers_words() {
        let refused = Scene::ready().hear(b"-ERR 'Authorization Violation'\r\n");
        let Err(Fault::Refused(what)) = refused else { panic!("{refused:?}") };
        assert!(what.contains("Authorization Violation"), "{what}");
    }

    #[test]
    fn what_is_no_protocol_is_a_violation() {
        for line in [
            "HTTP/1.1 200 OK\r\n",
            "\r\n",
            "MSG\r\n",
            "MSG AAPL 1\r\n",
            "MSG AAPL x 8\r\n",
            "MSG AAPL 1 -8\r\n",
            "MSG AAPL 1 r 8 9\r\n",
            "MSG AAPL 1 99999999999999999999999\r\n",
            "MSG AAPL 1 2\r\nabcd",
            "MSG AAPL 3 0\r\n\r\n",
            "MSG AAPL 0 0\r\n\r\n",
            "HMSG AAPL 1 2 4\r\n",
            "PING\n",
            "INFO nothing\r\n",
            "INFO {\"max_payload\":-1}\r\n",
        ] {
            Scene::violation(line.as_bytes());
        }
        Scene::violation(b"\xff\xfe\xfd\r\n");
        Scene::violation(b"MSG \xff 1 8\r\n");
    }

    #[test]
    fn the_carry_is_bounded() {
        let what = Scene::violation(b"MSG AAPL 1 1001\r\n");
        assert!(what.contains("1001") && what.contains("1000"), "{what}");
        let mut scene = Scene::ready();
        let piece = vec![b'x'; 64 * 1024];
        let pieces = (1..100).find(|_| scene.hear(&piece).is_err());
        assert_eq!(pieces, Some(LINE_LIMIT_BYTES / piece.len()));
        let mut scene = Scene::ready();
        scene.hear(b"INFO {\"max_payload\":18446744073709551615}\r\n").expect("sound");
        let line = format!("MSG AAPL 1 {}\r\n", PAYLOAD_LIMIT_BYTES + 1);
        assert!(matches!(scene.hear(line.as_bytes()), Err(Fault::Violation(_))));
    }

    #[test]
    fn garbage_never_panics() {
        use rand::RngExt;
        use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
        let whole = transcript();
        for seed in 0..2_000 {
            let mut random = ChaCha8Rng::seed_from_u64(seed);
            let mut bytes = whole.clone();
            for _ in 0..random.random_range(1..6) {
                let at = random.random_range(0..bytes.len());
                bytes[at] = random.random();
            }
            let mut scene = Scene::new();
            scene.client.open(&mut scene.out);
            eprintln!("seed {seed}");
            for piece in bytes.chunks(random.random_range(1..200)) {
                if scene.hear(piece).is_err() {
                    break;
                }
            }
        }
    }
}
