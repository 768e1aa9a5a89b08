//! The judge at work on what a real engine sent: each transcript passes as it is, and fails once
//! it is spoiled, whichever way.

use tickgate_checker::{
    Checker, Command, Config, Dialect, Rule, Truth, Verdict, msgpack,
    value::Value,
    websocket::{self, Opcode},
};

use super::CALM;
use crate::world::{Heard, Plan, run};

/// A real transcript, frames decoded.
#[derive(Clone)]
pub(super) struct Transcript {
    pub(super) lines: Vec<(u64, Line)>,
}

#[derive(Clone)]
pub(super) enum Line {
    Said(Command),
    Pinged(Vec<u8>),
    Told(Opcode, Vec<u8>),
    Frame(Frame),
}

/// A data frame: sequence, `sent_at_us`, cause and entries.
#[derive(Clone)]
pub(super) struct Frame {
    head: [Value; 4],
    pub(super) entries: Vec<Value>,
}

impl Transcript {
    fn read(heard: &[(u64, Heard)]) -> Self {
        let line = |heard: &Heard| match heard {
            Heard::Said(command) => Line::Said(command.clone()),
            Heard::Pinged(payload) => Line::Pinged(payload.clone()),
            Heard::Message(opcode, payload) => match msgpack::decode(payload) {
                Ok(Value::Array(parts)) if *opcode == Opcode::Binary => {
                    let [kind, sequence, sent, cause, Value::Array(entries)] = &parts[..] else {
                        panic!("a data frame has five parts: {parts:?}")
                    };
                    let head = [kind.clone(), sequence.clone(), sent.clone(), cause.clone()];
                    Line::Frame(Frame { head, entries: entries.clone() })
                }
                _ => Line::Told(*opcode, payload.clone()),
            },
        };
        Self { lines: heard.iter().map(|(at_us, heard)| (*at_us, line(heard))).collect() }
    }

    fn judge(&self, truth: &Truth, end_us: u64, quiet_since_us: u64) -> Verdict {
        let mut checker = Checker::new(Config::new(Dialect::MessagePack));
        for (at_us, line) in &self.lines {
            let mut bytes = Vec::new();
            match line {
                Line::Said(command) => checker.sent(*at_us, command),
                Line::Pinged(payload) => checker.sent_ping(payload),
                Line::Told(opcode, payload) => {
                    websocket::write_server(&mut bytes, *opcode, payload);
                }
                Line::Frame(frame) => {
                    let mut parts = frame.head.to_vec();
                    parts.push(Value::Array(frame.entries.clone()));
                    let mut payload = Vec::new();
                    msgpack::encode(&mut payload, &Value::Array(parts));
                    websocket::write_server(&mut bytes, Opcode::Binary, &payload);
                }
            }
            checker.received(truth, *at_us, &bytes);
            checker.take_pings();
        }
        checker.finish(truth, end_us, quiet_since_us)
    }

    pub(super) fn frames(&mut self) -> impl DoubleEndedIterator<Item = &mut Frame> {
        self.lines.iter_mut().filter_map(|(_, line)| match line {
            Line::Frame(frame) => Some(frame),
            _ => None,
        })
    }

    pub(super) fn entries(&mut self) -> impl DoubleEndedIterator<Item = &mut Vec<Value>> {
        self.frames().flat_map(|frame| &mut frame.entries).map(|entry| match entry {
            Value::Array(fields) => fields,
            other => panic!("{other:?} is no entry"),
        })
    }

    /// The first entry of a kind that also `fits`.
    pub(super) fn entry(
        &mut self,
        kind: i128,
        fits: impl Fn(&[Value]) -> bool,
    ) -> Option<&mut Vec<Value>> {
        self.entries().find(|fields| fields[0] == Value::Int(kind) && fits(fields))
    }

    /// Takes out the entry that `entry` would find; false without one.
    pub(super) fn remove(&mut self, kind: i128, fits: impl Fn(&[Value]) -> bool) -> bool {
        for frame in self.frames() {
            let found = frame.entries.iter().position(|entry| match entry {
                Value::Array(fields) => fields[0] == Value::Int(kind) && fits(fields),
                _ => false,
            });
            if let Some(at) = found {
                frame.entries.remove(at);
                return true;
            }
        }
        false
    }
}

pub(super) fn add(value: &mut Value, by: i128) -> bool {
    match value {
        Value::Int(number) => {
            *number += by;
            true
        }
        _ => false,
    }
}

pub(super) fn int(value: &Value) -> i128 {
    match value {
        Value::Int(number) => *number,
        other => panic!("{other:?} is no integer"),
    }
}

const DEFINITION: i128 = 1;
const READY: i128 = 3;
const STATUS: i128 = 4;
const QUOTE: i128 = 10;
const QUOTE_DELTA: i128 = 11;
const LAST_DELTA: i128 = 13;
const TRADE: i128 = 20;
const JOINED: i128 = 22;

/// A way to spoil a transcript; false where it has nothing of the kind. With each comes the rule
/// it breaks, whichever of several.
pub(super) type Spoil = fn(&mut Transcript) -> bool;

const WAYS: [(&str, &[Rule], Spoil); 25] = [
    ("a torn value", &[Rule::Value], |t| {
        let delta = t.entry(QUOTE_DELTA, |f| matches!(f[5], Value::Int(_)));
        delta.is_some_and(|fields| add(&mut fields[5], 1))
    }),
    ("a stale overwrite", &[Rule::Value], |t| {
        // The newest sequence of the figures with the trade count of the one before.
        let delta = t.entry(LAST_DELTA, |f| f[4] == Value::Int(255) && f[2] == Value::Int(1));
        delta.is_some_and(|fields| add(&mut fields[8], -1))
    }),
    ("a wrong merge count", &[Rule::Value], |t| {
        t.entry(LAST_DELTA, |f| int(&f[2]) > 1).is_some_and(|fields| add(&mut fields[2], -1))
    }),
    ("a delta that advances by nothing", &[Rule::Order], |t| {
        t.entry(QUOTE_DELTA, |_| true).is_some_and(|fields| {
            fields[2] = Value::Int(0);
            true
        })
    }),
    ("a sequence beyond the head", &[Rule::Order], |t| {
        t.entry(QUOTE_DELTA, |_| true).is_some_and(|fields| add(&mut fields[2], 100_000))
    }),
    ("dropped last updates", &[Rule::Staleness], |t| {
        // Of the second half; a single one may have come just before the client lost interest.
        let count = t.lines.len();
        let mut dropped = 0;
        for (_, line) in &mut t.lines[count / 2..] {
            let Line::Frame(frame) = line else { continue };
            let before = frame.entries.len();
            frame.entries.retain(
                |entry| !matches!(entry, Value::Array(f) if f[0] == Value::Int(QUOTE_DELTA)),
            );
            dropped += before - frame.entries.len();
        }
        dropped > 20
    }),
    ("a delta before its snapshot", &[Rule::SnapshotFirst], |t| {
        let Some(delta) = t.entry(QUOTE_DELTA, |_| true).map(|fields| fields[1].clone()) else {
            return false;
        };
        t.remove(QUOTE, |f| f[1] == delta)
    }),
    ("a trade twice", &[Rule::TradeOrder], |t| {
        let is_trade = |e: &Value| matches!(e, Value::Array(f) if f[0] == Value::Int(TRADE));
        let Some(frame) = t.frames().find(|frame| frame.entries.iter().any(is_trade)) else {
            return false;
        };
        let at = frame.entries.iter().position(is_trade).unwrap_or(0);
        frame.entries.insert(at, frame.entries[at].clone());
        true
    }),
    ("a conflated trade", &[Rule::TradeHole], |t| t.remove(TRADE, |_| true)),
    ("a trade at another price", &[Rule::TradeValue], |t| {
        t.entry(TRADE, |_| true).is_some_and(|fields| add(&mut fields[4], 1))
    }),
    ("a trade declared lost that was not", &[Rule::LostRange], |t| {
        t.entry(TRADE, |_| true).is_some_and(|fields| {
            let (id, sequence) = (fields[1].clone(), fields[2].clone());
            let origin = Value::Int(0);
            *fields = vec![Value::Int(23), id, sequence.clone(), sequence, Value::Nil, origin];
            true
        })
    }),
    ("a tape joined elsewhere", &[Rule::Join], |t| {
        t.entry(JOINED, |f| int(&f[2]) > 0).is_some_and(|fields| add(&mut fields[2], -1))
    }),
    ("an age that is not true", &[Rule::Age], |t| {
        let delta = t.entry(QUOTE_DELTA, |f| matches!(f[3], Value::Int(_)));
        delta.is_some_and(|fields| add(&mut fields[3], 1))
    }),
    ("a missing definition", &[Rule::Definition], |t| t.remove(DEFINITION, |_| true)),
    ("a definition of another scale", &[Rule::Definition], |t| {
        t.entry(DEFINITION, |_| true).is_some_and(|fields| add(&mut fields[3], 1))
    }),
    ("a definition with another tick size", &[Rule::Definition], |t| {
        let told = t.entry(DEFINITION, |f| matches!(f[9], Value::Int(_)));
        told.is_some_and(|fields| add(&mut fields[9], 1))
    }),
    ("a missing ready", &[Rule::Ready], |t| t.remove(READY, |_| true)),
    ("statuses conflated away", &[Rule::Status, Rule::StatusOrder], |t| {
        let mut count = 0;
        while t.remove(STATUS, |f| matches!(f[1], Value::Int(_))) {
            count += 1;
        }
        // A single one may have come just before the client lost interest.
        count > 3
    }),
    ("a feed told stale that is live", &[Rule::FeedStatus], |t| {
        t.entry(STATUS, |f| f[1] == Value::Nil).is_some_and(|fields| {
            fields[3] = Value::Int(11);
            true
        })
    }),
    ("a cause without a reason", &[Rule::Cause], |t| {
        t.frames().next().is_some_and(|frame| {
            frame.head[3] = Value::Int(1);
            true
        })
    }),
    ("a frame that went missing", &[Rule::FrameSequence], |t| {
        let frames = |(_, line): &(u64, Line)| matches!(line, Line::Frame(_));
        t.lines.iter().position(frames).is_some_and(|at| {
            t.lines.remove(at);
            true
        })
    }),
    ("a frame sent twice", &[Rule::FrameSequence], |t| {
        let frames = |(_, line): &(u64, Line)| matches!(line, Line::Frame(_));
        t.lines.iter().rposition(frames).is_some_and(|at| {
            t.lines.insert(at, t.lines[at].clone());
            true
        })
    }),
    ("a frame from the future", &[Rule::SentAt], |t| {
        t.frames().next().is_some_and(|frame| add(&mut frame.head[2], 1_000_000))
    }),
    ("a reply that went missing", &[Rule::Reply], |t| {
        let replies = |(_, line): &(u64, Line)| matches!(line, Line::Told(Opcode::Binary, _));
        // The first one is the welcome.
        let second = t.lines.iter().enumerate().filter(|(_, line)| replies(line)).nth(1);
        second.map(|(at, _)| at).is_some_and(|at| {
            t.lines.remove(at);
            true
        })
    }),
    ("an entry after unsubscribed", &[Rule::AfterUnsubscribe], |t| {
        unsubscribe_before_the_last(t, QUOTE_DELTA)
    }),
];

/// The client takes everything back before its last entry of a kind arrives, and is told so.
pub(super) fn unsubscribe_before_the_last(t: &mut Transcript, kind: i128) -> bool {
    let of_kind = |(_, line): &(u64, Line)| match line {
        Line::Frame(frame) => frame
            .entries
            .iter()
            .any(|entry| matches!(entry, Value::Array(f) if f[0] == Value::Int(kind))),
        _ => false,
    };
    let Some(at) = t.lines.iter().rposition(of_kind) else { return false };
    let at_us = t.lines[at].0;
    let names: Vec<Value> = t
        .entries()
        .filter(|fields| fields[0] == Value::Int(DEFINITION))
        .map(|fields| fields[2].clone())
        .collect();
    let mut symbols: Vec<String> =
        names.iter().filter_map(Value::text).map(str::to_owned).collect();
    symbols.push("*".into());
    symbols.dedup();
    let id = Some(90_000);
    let reply = Value::Map(vec![
        ("type".into(), Value::Text("unsubscribed".into())),
        ("id".into(), Value::Int(90_000)),
    ]);
    let mut payload = Vec::new();
    msgpack::encode(&mut payload, &reply);
    t.lines.insert(at, (at_us, Line::Told(Opcode::Binary, payload)));
    let command = Command::Unsubscribe { id, symbols, channels: None };
    t.lines.insert(at, (at_us, Line::Said(command)));
    true
}

#[test]
fn a_real_transcript_passes_and_fails_whichever_way_it_is_spoiled() {
    spoil_in_every_way(CALM, &WAYS);
}

/// Runs a plan for some seeds, and has each transcript judged as it is and spoiled in each way.
pub(super) fn spoil_in_every_way(plan: Plan, ways: &[(&str, &[Rule], Spoil)]) {
    let mut spoiled = vec![0; ways.len()];
    for seed in 0..12 {
        let run = run(Plan { seed, ..plan });
        for outcome in run.outcomes.iter().filter(|outcome| outcome.dialect == Dialect::MessagePack)
        {
            let transcript = Transcript::read(&outcome.transcript);
            let as_it_is = transcript.judge(&run.truth, run.end_us, run.quiet_since_us);
            assert_eq!(as_it_is.violations, [], "seed {seed}");
            for ((name, rules, spoil), count) in ways.iter().zip(&mut spoiled) {
                let mut copy = transcript.clone();
                if !spoil(&mut copy) {
                    continue;
                }
                *count += 1;
                let verdict = copy.judge(&run.truth, run.end_us, run.quiet_since_us);
                let found: Vec<Rule> = verdict.violations.iter().map(|each| each.rule).collect();
                let is_found = rules.iter().any(|rule| found.contains(rule));
                assert!(is_found, "seed {seed}: {name} broke {found:?} only");
            }
        }
    }
    for ((name, ..), count) in ways.iter().zip(spoiled) {
        assert!(count > 0, "no transcript could be spoiled with {name}");
    }
}
