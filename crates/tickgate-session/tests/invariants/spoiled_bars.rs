//! What the judge makes of bars that are not as they should be.

use tickgate_checker::{Rule, value::Value};

use super::{
    CALM,
    spoiled::{Line, Spoil, Transcript, add, int, spoil_in_every_way, unsubscribe_before_the_last},
};
use crate::world::Plan;

const BAR: i128 = 30;
const READY: i128 = 3;
/// Positions of a bar's fields.
const SEQUENCE: usize = 2;
const START: usize = 4;
const CLOSE: usize = 8;
const VOLUME: usize = 9;
const COUNT: usize = 11;
const FLAGS: usize = 12;

fn is_closed(fields: &[Value]) -> bool {
    int(&fields[FLAGS]) & 1 != 0
}

fn is_bar(entry: &Value) -> bool {
    matches!(entry, Value::Array(fields) if fields[0] == Value::Int(BAR))
}

/// The last bar that fits, in a frame behind the middle of the transcript.
fn late_bar(t: &mut Transcript, fits: impl Fn(&[Value]) -> bool) -> Option<(usize, usize)> {
    let middle = t.lines.len() / 2;
    let lines = t.lines.iter().enumerate().skip(middle);
    let found = lines.filter_map(|(at, (_, line))| match line {
        Line::Frame(frame) => {
            let fits = |entry: &Value| match entry {
                Value::Array(fields) => fields[0] == Value::Int(BAR) && fits(fields),
                _ => false,
            };
            Some((at, frame.entries.iter().position(fits)?))
        }
        _ => None,
    });
    found.last()
}

fn entries(t: &mut Transcript, at: usize) -> &mut Vec<Value> {
    match &mut t.lines[at].1 {
        Line::Frame(frame) => &mut frame.entries,
        _ => panic!("it is a frame"),
    }
}

const WAYS: [(&str, &[Rule], Spoil); 13] = [
    ("a bar at another price", &[Rule::BarValue], |t| {
        t.entry(BAR, |f| int(&f[FLAGS]) & 4 == 0).is_some_and(|fields| add(&mut fields[CLOSE], 1))
    }),
    ("a bar of more than was traded", &[Rule::BarValue], |t| {
        t.entry(BAR, |_| true).is_some_and(|fields| add(&mut fields[VOLUME], 1))
    }),
    ("a trade counted twice", &[Rule::BarValue], |t| {
        t.entry(BAR, |_| true).is_some_and(|fields| add(&mut fields[COUNT], 1))
    }),
    ("a bar of another time", &[Rule::BarValue], |t| {
        t.entry(BAR, |_| true).is_some_and(|fields| add(&mut fields[START], 86_400))
    }),
    ("a bar closed before its time", &[Rule::BarValue], |t| {
        t.entry(BAR, |f| !is_closed(f)).is_some_and(|fields| add(&mut fields[FLAGS], 1))
    }),
    ("a bar closed that says it is in progress", &[Rule::BarValue], |t| {
        t.entry(BAR, is_closed).is_some_and(|fields| add(&mut fields[FLAGS], -1))
    }),
    ("a bar beyond the newest change", &[Rule::BarOrder], |t| {
        t.entry(BAR, |_| true).is_some_and(|fields| add(&mut fields[SEQUENCE], 100_000))
    }),
    ("a bar twice", &[Rule::BarOrder], |t| {
        let Some((at, place)) = late_bar(t, |_| true) else { return false };
        let entries = entries(t, at);
        entries.insert(place, entries[place].clone());
        true
    }),
    ("a closed bar that went missing", &[Rule::BarHole, Rule::Convergence], |t| {
        // Of those that close one by one; the first may be part of a snapshot.
        let Some((at, place)) = late_bar(t, |f| is_closed(f) && int(&f[3]) == 1) else {
            return false;
        };
        entries(t, at).remove(place);
        // A client may lose interest just then.
        true
    }),
    ("a hole that was none", &[Rule::BarLost], |t| {
        t.entry(BAR, is_closed).is_some_and(|fields| add(&mut fields[FLAGS], 8))
    }),
    ("no bars from the middle on", &[Rule::Staleness, Rule::Convergence, Rule::BarHole], |t| {
        let middle = t.lines.len() / 2;
        let mut dropped = 0;
        for (_, line) in &mut t.lines[middle..] {
            let Line::Frame(frame) = line else { continue };
            let before = frame.entries.len();
            frame.entries.retain(|entry| !is_bar(entry));
            dropped += before - frame.entries.len();
        }
        dropped > 20
    }),
    ("a ready before its bars", &[Rule::SnapshotFirst], |t| {
        // The bars of a snapshot and its ready mostly share a frame.
        for frame in t.frames() {
            let is_ready =
                |entry: &Value| matches!(entry, Value::Array(f) if f[0] == Value::Int(READY));
            let before = frame.entries.len();
            let bars = frame.entries.iter().filter(|entry| is_bar(entry)).count();
            if bars > 1 && frame.entries.iter().any(is_ready) {
                frame.entries.retain(|entry| !is_bar(entry));
                return frame.entries.len() < before;
            }
        }
        false
    }),
    ("a bar after unsubscribed", &[Rule::AfterUnsubscribe], |t| {
        unsubscribe_before_the_last(t, BAR)
    }),
];

#[test]
fn bars_are_judged_as_all_else_is() {
    spoil_in_every_way(Plan { bars: true, ..CALM }, &WAYS);
}

#[test]
fn a_bar_that_nobody_asked_for_is_found() {
    let ways: [(&str, &[Rule], Spoil); 1] = [("a bar", &[Rule::NotSubscribed], |t| {
        const QUOTE: i128 = 10;
        let Some(id) = t.entry(QUOTE, |_| true).map(|fields| fields[1].clone()) else {
            return false;
        };
        let is_quote =
            |entry: &Value| matches!(entry, Value::Array(f) if f[0] == Value::Int(QUOTE));
        let frame = t.frames().find(|frame| frame.entries.iter().any(is_quote));
        let rest = [1, 60, 0, 1, 1, 1, 1, 1, 100, 1, 0].map(Value::Int);
        let bar = [Value::Int(BAR), id].into_iter().chain(rest).collect();
        frame.is_some_and(|frame| {
            frame.entries.push(Value::Array(bar));
            true
        })
    })];
    spoil_in_every_way(CALM, &ways);
}
