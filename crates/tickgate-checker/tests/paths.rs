//! The rarer ways of the protocol, each right and then wrong: wildcard, epoch, redefinition,
//! resume, lapped statuses, clock steps, withheld credit.

mod common;

use common::{EXPONENTS, Entry, Event, Frame, Transcript, UNIX_US, int, map, optional};
use tickgate_checker::{
    Channel, Checker, Command, Config, Definition, Dialect, Rule, Subscribe, TapeEvent, Truth,
    value::Value,
};

/// A connection written out step by step.
struct Script {
    truth: Truth,
    checker: Checker,
    sequence: u64,
    unix_us: i64,
}

impl Script {
    fn new() -> Self {
        let mut truth = Truth::new(7);
        truth.clock(0, UNIX_US);
        let mut config = Config::new(Dialect::MessagePack);
        config.tape_capacity = 4;
        config.status_capacity = 2;
        config.silence_us = 60_000_000;
        let checker = Checker::new(config);
        let mut script = Self { truth, checker, sequence: 0, unix_us: UNIX_US };
        script.reply(0, "welcome", vec![("epoch", int(7))]);
        script
    }

    fn bytes(&mut self, now_us: u64, event: &Event) {
        let bytes = common::bytes(Dialect::MessagePack, event);
        self.checker.received(&self.truth, now_us, &bytes);
    }

    fn reply(&mut self, now_us: u64, kind: &str, mut members: Vec<(&str, Value)>) {
        members.push(("type", Value::Text(kind.into())));
        self.bytes(now_us, &Event::Reply(map(members)));
    }

    fn granted(&mut self, now_us: u64, command: &Command, kind: &str) {
        self.checker.sent(now_us, command);
        self.reply(now_us, kind, Vec::new());
    }

    fn subscribe(&mut self, now_us: u64, symbol: &str, channels: &[Channel]) {
        let command = Command::Subscribe(Subscribe {
            symbols: vec![symbol.into()],
            channels: Some(channels.to_vec()),
            ..Subscribe::default()
        });
        self.granted(now_us, &command, "subscribed");
    }

    fn frame(&mut self, now_us: u64, cause: u64, entries: Vec<Entry>) {
        self.sequence += 1;
        let sent_at_us = self.unix_us + now_us as i64;
        let frame = Frame { sequence: self.sequence, sent_at_us, cause, entries };
        self.bytes(now_us, &Event::Frame(frame));
    }

    fn define(&mut self, now_us: u64, id: u32, name: &str, exponents: (i32, i32)) {
        self.truth.define(
            now_us,
            Definition {
                id,
                name: name.into(),
                price_exponent: exponents.0,
                size_exponent: exponents.1,
                session_date: None,
                previous_close: None,
                status: 1,
                status_sequence: 0,
                tick_size: None,
            },
        );
    }

    fn quote(&mut self, now_us: u64, symbol: &str, sequence: u64, bid: i64) {
        let fields = [Some(bid), Some(1), None, None, Some(0)];
        self.truth.state(now_us, symbol, Channel::Quote, sequence, None, &fields);
    }

    fn trade(&mut self, now_us: u64, sequence: u64) {
        let trade = TapeEvent::Trade { price: Some(5), size: Some(2), flags: 0, trade_id: None };
        self.truth.trade(now_us, "AAA", sequence, None, trade, 2 * sequence as i64);
    }

    /// The rules broken, in order.
    fn end(self, now_us: u64, quiet_us: u64) -> Vec<Rule> {
        let verdict = self.checker.finish(&self.truth, now_us, quiet_us);
        verdict.violations.iter().map(|violation| violation.rule).collect()
    }
}

fn definition(id: u32, name: &str, exponents: (i32, i32), status: (i64, i64)) -> Entry {
    Entry::new(
        1,
        vec![
            ("id", int(id)),
            ("name", Value::Text(name.into())),
            ("price_exponent", int(exponents.0)),
            ("size_exponent", int(exponents.1)),
            ("session_date", Value::Nil),
            ("previous_close", Value::Nil),
            ("status", int(status.0)),
            ("status_sequence", int(status.1)),
            ("tick_size", Value::Nil),
        ],
    )
}

fn full(id: u32, sequence: i64, bid: Option<i64>) -> Entry {
    Entry::new(
        10,
        vec![
            ("id", int(id)),
            ("sequence", int(sequence)),
            ("age_us", Value::Nil),
            ("bid_price", optional(bid)),
            ("bid_size", optional(bid.map(|_| 1))),
            ("ask_price", Value::Nil),
            ("ask_size", Value::Nil),
            ("flags", optional(bid.map(|_| 0))),
        ],
    )
}

fn delta(id: u32, advance: i64, bid: i64) -> Entry {
    Entry::new(
        11,
        vec![
            ("id", int(id)),
            ("advance", int(advance)),
            ("age_us", Value::Nil),
            ("mask", int(1)),
            ("bid_price", int(bid)),
        ],
    )
}

fn ready() -> Entry {
    Entry::new(3, vec![("command_id", Value::Nil)])
}

fn joined(sequence: i64, volume: Option<i64>) -> Entry {
    Entry::new(22, vec![("id", int(1)), ("sequence", int(sequence)), ("volume", optional(volume))])
}

fn trade(sequence: i64) -> Entry {
    Entry::new(
        20,
        vec![
            ("id", int(1)),
            ("sequence", int(sequence)),
            ("age_us", Value::Nil),
            ("price", int(5)),
            ("size", int(2)),
            ("flags", int(0)),
            ("trade_id", Value::Nil),
        ],
    )
}

fn status(sequence: i64, status: i64) -> Entry {
    Entry::new(
        4,
        vec![
            ("id", int(1)),
            ("status_sequence", int(sequence)),
            ("status", int(status)),
            ("reason", Value::Nil),
            ("age_us", Value::Nil),
        ],
    )
}

/// AAA with a quote, subscribed and in full at 20 ms.
fn with_quote() -> Script {
    let mut script = Script::new();
    script.define(0, 1, "AAA", EXPONENTS);
    script.quote(1_000, "AAA", 1, 100);
    script.subscribe(20_000, "AAA", &[Channel::Quote]);
    let entries = vec![definition(1, "AAA", EXPONENTS, (1, 0)), full(1, 1, Some(100)), ready()];
    script.frame(20_000, 0, entries);
    script
}

#[test]
fn a_wildcard_covers_what_is_listed_later_and_named_symbols_outlive_it() {
    let run = |tells: bool, after: bool| {
        let mut script = Script::new();
        script.define(0, 1, "AAA", EXPONENTS);
        script.subscribe(20_000, "*", &[Channel::Quote]);
        let entries = vec![definition(1, "AAA", EXPONENTS, (1, 0)), full(1, 0, None), ready()];
        script.frame(20_000, 0, entries);
        script.define(100_000, 2, "BBB", EXPONENTS);
        script.quote(101_000, "BBB", 1, 70);
        if tells {
            let entries = vec![definition(2, "BBB", EXPONENTS, (1, 0)), full(2, 1, Some(70))];
            script.frame(120_000, 0, entries);
        }
        script.subscribe(300_000, "AAA", &[Channel::Quote]);
        script.frame(300_000, 0, vec![ready()]);
        let all = Command::Unsubscribe { id: None, symbols: vec!["*".into()], channels: None };
        if after {
            script.granted(600_000, &all, "unsubscribed");
            script.quote(610_000, "BBB", 2, 71);
            script.quote(610_000, "AAA", 1, 80);
            let mut named = delta(1, 1, 80);
            named.set("mask", int(0b1_0011));
            named.fields.extend([("bid_size", int(1)), ("flags", int(0))]);
            script.frame(620_000, 0, vec![delta(2, 1, 71), named]);
        }
        script.end(900_000, 610_000)
    };
    assert_eq!(run(true, false), []);
    assert_eq!(run(false, false), [Rule::Convergence]);
    assert_eq!(run(true, true), [Rule::AfterUnsubscribe]);
}

#[test]
fn a_new_epoch_begins_with_definitions_and_full_states() {
    let run = |entries: Vec<Entry>| {
        let mut script = with_quote();
        script.truth.epoch(200_000, 8);
        script.define(200_000, 2, "AAA", EXPONENTS);
        script.quote(201_000, "AAA", 1, 90);
        script.frame(205_000, 0, entries);
        script.end(600_000, 201_000)
    };
    let epoch = || Entry::new(2, vec![("epoch", int(8))]);
    let defined = || definition(2, "AAA", EXPONENTS, (1, 0));
    assert_eq!(run(vec![epoch(), defined(), full(2, 1, Some(90))]), []);
    assert_eq!(run(vec![epoch(), full(2, 1, Some(90))])[0], Rule::Definition);
    assert_eq!(run(vec![epoch(), defined(), delta(2, 1, 90)])[0], Rule::SnapshotFirst);
    assert_eq!(run(vec![epoch(), defined()]), [Rule::Convergence]);
    assert_eq!(run(vec![epoch(), full(1, 1, Some(100))])[0], Rule::Definition);
}

#[test]
fn a_finer_value_brings_a_new_id_and_a_full_entry() {
    let run = |entries: Vec<Entry>| {
        let mut script = with_quote();
        script.define(200_000, 2, "AAA", (-3, -1));
        script.quote(200_000, "AAA", 2, 1_005);
        script.frame(205_000, 0, entries);
        script.end(600_000, 200_000)
    };
    let defined = || definition(2, "AAA", (-3, -1), (1, 0));
    assert_eq!(run(vec![defined(), full(2, 2, Some(1_005))]), []);
    assert_eq!(run(vec![defined(), delta(2, 1, 1_005)])[0], Rule::SnapshotFirst);
    assert_eq!(run(vec![defined(), full(1, 1, Some(100))])[0], Rule::Definition);
    assert_eq!(run(vec![definition(1, "AAA", (-3, -1), (1, 0))])[0], Rule::IdReuse);
    // The same state in the new scale is true as well.
    let mut script = with_quote();
    script.define(200_000, 2, "AAA", (-3, -1));
    script.frame(205_000, 0, vec![defined(), full(2, 1, Some(1_000))]);
    assert_eq!(script.end(600_000, 200_000), []);
}

#[test]
fn a_tape_is_resumed_or_joined_afresh() {
    let run = |epoch: u64, at: u64, entries: Vec<Entry>| {
        let mut script = Script::new();
        script.define(0, 1, "AAA", EXPONENTS);
        for sequence in 1..=6 {
            script.trade(sequence * 1_000, sequence);
        }
        let command = Command::Subscribe(Subscribe {
            symbols: vec!["AAA".into()],
            channels: Some(vec![Channel::Trade]),
            resume: Some((epoch, vec![("AAA".into(), at)])),
            ..Subscribe::default()
        });
        script.granted(2_000_000, &command, "subscribed");
        let mut all = vec![definition(1, "AAA", EXPONENTS, (1, 0))];
        all.extend(entries);
        all.push(ready());
        script.frame(2_000_000, 0, all);
        script.end(2_400_000, 6_000)
    };
    let lost = |from: i64, to: i64| {
        Entry::new(
            23,
            vec![
                ("id", int(1)),
                ("from", int(from)),
                ("to", int(to)),
                ("size", int(2 * (to - from + 1))),
                ("origin", int(0)),
            ],
        )
    };
    assert_eq!(run(7, 4, vec![joined(4, None), trade(5), trade(6)]), []);
    assert_eq!(run(7, 6, vec![joined(6, None)]), []);
    assert_eq!(
        run(7, 0, vec![joined(0, None), lost(1, 2), trade(3), trade(4), trade(5), trade(6)]),
        []
    );
    assert_eq!(run(6, 4, vec![joined(6, Some(12))]), []);
    assert_eq!(run(7, 9, vec![joined(6, Some(12))]), []);
    assert_eq!(run(7, 4, vec![joined(6, Some(12))]), [Rule::Join]);
    assert_eq!(run(6, 4, vec![joined(4, None), trade(5), trade(6)]), [Rule::Join]);
    assert_eq!(run(7, 4, vec![joined(4, None), trade(6)]), [Rule::TradeHole]);
    assert_eq!(run(7, 4, vec![joined(4, None), trade(5)])[0], Rule::Staleness);
    assert_eq!(
        run(7, 1, vec![joined(1, None), lost(2, 3), trade(4), trade(5), trade(6)])[0],
        Rule::LostRange
    );
}

#[test]
fn a_tape_may_go_on_or_begin_again_in_a_new_epoch() {
    let run = |first: u64, entries: Vec<Entry>| {
        let mut script = Script::new();
        script.define(0, 1, "AAA", EXPONENTS);
        (1..=6).for_each(|sequence| script.trade(sequence * 1_000, sequence));
        script.subscribe(20_000, "AAA", &[Channel::Trade]);
        let begin = vec![definition(1, "AAA", EXPONENTS, (1, 0)), joined(6, Some(12)), ready()];
        script.frame(20_000, 0, begin);
        script.truth.epoch(200_000, 8);
        script.define(200_000, 1, "AAA", EXPONENTS);
        script.trade(201_000, first);
        let mut all =
            vec![Entry::new(2, vec![("epoch", int(8))]), definition(1, "AAA", EXPONENTS, (1, 0))];
        all.extend(entries);
        script.frame(205_000, 0, all);
        script.end(600_000, 201_000)
    };
    assert_eq!(run(7, vec![joined(6, Some(0)), trade(7)]), []);
    assert_eq!(run(7, vec![joined(7, Some(14))]), []);
    assert_eq!(run(1, vec![joined(0, Some(0)), trade(1)]), []);
    assert_eq!(run(7, vec![joined(5, Some(0)), trade(7)])[0], Rule::Join);
    assert_eq!(run(7, vec![joined(6, Some(12)), trade(7)]), [Rule::Join]);
    assert_eq!(run(7, vec![trade(7)])[0], Rule::Join);
}

#[test]
fn statuses_may_only_be_skipped_when_they_were_lapped() {
    let run = |told: Vec<Entry>| {
        let mut script = with_quote();
        script.checker.blocked(100_000);
        for sequence in 1..=4 {
            let code = if sequence % 2 == 1 { 2 } else { 1 };
            script.truth.status(sequence * 100_000, "AAA", sequence, code, None, None, 0);
        }
        script.checker.unblocked(500_000);
        if !told.is_empty() {
            script.frame(500_000, 1, told);
        }
        script.end(900_000, 500_000)
    };
    // Two are kept: 3 and 4.
    assert_eq!(run(vec![status(4, 1)]), []);
    assert_eq!(run(vec![status(3, 2), status(4, 1)]), []);
    assert_eq!(run(vec![status(1, 2), status(2, 1), status(3, 2), status(4, 1)]), []);
    assert_eq!(run(vec![status(1, 2), status(3, 2), status(4, 1)]), []);
    assert_eq!(run(vec![status(1, 2), status(2, 1), status(4, 1)]), [Rule::Status]);
    assert_eq!(run(vec![status(4, 2)]), [Rule::Status]);
    assert_eq!(run(vec![status(4, 1), status(3, 2)])[0], Rule::Status);
    assert_eq!(run(vec![]), [Rule::Status]);
}

#[test]
fn the_unix_clock_may_step() {
    for step_us in [-3_000_000, 3_000_000] {
        for follows in [true, false] {
            let mut script = with_quote();
            script.truth.clock(200_000, UNIX_US + 200_000 + step_us);
            if follows {
                script.unix_us += step_us;
            }
            script.quote(210_000, "AAA", 2, 101);
            script.frame(215_000, 0, vec![delta(1, 1, 101)]);
            let expected: &[Rule] = if follows { &[] } else { &[Rule::SentAt] };
            assert_eq!(script.end(600_000, 210_000), expected, "{step_us}");
        }
    }
}

#[test]
fn withheld_credit_conflates_with_its_cause_and_leaves_no_backlog() {
    let run = |cause: u64, at_us: u64, advance: i64| {
        let mut script = with_quote();
        script.granted(30_000, &Command::Credit { id: None, frames: Some(1) }, "credited");
        script.quote(100_000, "AAA", 2, 101);
        script.frame(120_000, 0, vec![delta(1, 1, 101)]);
        for sequence in 3..=20 {
            script.quote(sequence * 50_000, "AAA", sequence, 100 + sequence as i64);
        }
        script.checker.sent(1_500_000, &Command::Ack { frame: 2 });
        script.frame(at_us, cause, vec![delta(1, advance, 120)]);
        script.end(1_900_000, 1_000_000)
    };
    assert_eq!(run(4, 1_505_000, 18), []);
    assert_eq!(run(0, 1_505_000, 18), [Rule::Cause]);
    assert_eq!(run(1, 1_505_000, 18)[0], Rule::Cause);
    assert_eq!(run(4, 1_505_000, 17), [Rule::Value]);
    assert_eq!(run(4, 1_805_000, 18), [Rule::Staleness]);
}

#[test]
fn replies_are_read_from_arrays_and_maps_and_rejections_count() {
    let run = |rejected: Value| {
        let mut script = with_quote();
        script.define(30_000, 2, "BBB", EXPONENTS);
        let command = Command::Subscribe(Subscribe {
            symbols: vec!["BBB".into()],
            channels: Some(vec![Channel::Quote]),
            ..Subscribe::default()
        });
        script.checker.sent(40_000, &command);
        script.reply(40_000, "subscribed", vec![("rejected", Value::Array(vec![rejected]))]);
        script.frame(40_000, 0, vec![ready()]);
        script.end(300_000, 30_000)
    };
    let text = |text: &str| Value::Text(text.into());
    assert_eq!(run(map(vec![("symbol", text("BBB")), ("code", text("not_entitled"))])), []);
    assert_eq!(run(Value::Array(vec![text("BBB"), text("not_entitled")])), []);
    assert_eq!(run(map(vec![("symbol", text("CCC"))]))[0], Rule::Ready);
}

#[test]
fn every_cut_of_the_stream_is_judged_alike() {
    let transcript: Transcript = common::transcript(Dialect::MessagePack, 3);
    for size in [1, 2, 3, 7, 64] {
        let mut checker = Checker::new(transcript.config.clone());
        for (now_us, event) in &transcript.events {
            match event {
                Event::Sent(command) => checker.sent(*now_us, command),
                Event::Blocked => checker.blocked(*now_us),
                Event::Unblocked => checker.unblocked(*now_us),
                event => {
                    for part in common::bytes(Dialect::MessagePack, event).chunks(size) {
                        checker.received(&transcript.truth, *now_us, part);
                    }
                }
            }
        }
        let verdict = checker.finish(&transcript.truth, common::END_US, common::QUIET_US);
        assert_eq!(verdict.violations, [], "pieces of {size}");
    }
}
