//! Every kind of spoiled transcript is caught, by the rule it breaks.

mod common;

use common::{Entry, Event, Frame, Transcript, UNIX_US, int, map, optional};
use tickgate_checker::{
    Checker, Closing, Command, Dialect, Rule, Subscribe, Verdict, value::Value,
};

/// Spoils the transcript of several seeds and expects `rule` to be the first one broken.
fn expect(rule: Rule, spoil: impl Fn(&mut Transcript)) {
    for dialect in [Dialect::MessagePack, Dialect::Json] {
        for seed in 1..=5 {
            let mut transcript = common::transcript(dialect, seed);
            spoil(&mut transcript);
            let verdict = transcript.judge();
            assert_first(rule, &verdict, &format!("seed {seed}, {dialect:?}"));
        }
    }
}

fn assert_first(rule: Rule, verdict: &Verdict, context: &str) {
    let list: Vec<String> = verdict.violations.iter().map(ToString::to_string).collect();
    let first = verdict.violations.first().map(|violation| violation.rule);
    assert_eq!(first, Some(rule), "{context}:\n{}", list.join("\n"));
}

/// The event of the first frame that has such an entry.
fn position(transcript: &Transcript, has: impl Fn(&Entry) -> bool) -> usize {
    let found = transcript.events.iter().position(|(_, event)| match event {
        Event::Frame(frame) => frame.entries.iter().any(&has),
        _ => false,
    });
    found.expect("the transcript has such a frame")
}

fn frame(transcript: &mut Transcript, at: usize) -> &mut Frame {
    match &mut transcript.events[at].1 {
        Event::Frame(frame) => frame,
        other => panic!("{other:?} is no frame"),
    }
}

fn is(entry: &Entry, kind: i128, id: i128) -> bool {
    entry.kind == kind && entry.get("id") == &int(id)
}

/// Moves everything the gateway says from `from` on one frame sequence up.
fn renumber(transcript: &mut Transcript, from: usize, by: i64) {
    for (_, event) in &mut transcript.events[from..] {
        if let Event::Frame(frame) = event {
            frame.sequence = frame.sequence.wrapping_add_signed(by);
        }
    }
}

/// A quote delta of AAA whose fields can be spoiled one by one.
fn wide_delta(transcript: &mut Transcript) -> &mut Entry {
    transcript
        .frames()
        .flat_map(|frame| frame.entries.iter_mut())
        .find(|entry| {
            is(entry, 11, 1)
                && matches!(entry.get("bid_price"), Value::Int(_))
                && matches!(entry.get("bid_size"), Value::Int(_))
                && entry.int("advance") > 1
        })
        .expect("there is such a delta")
}

#[test]
fn a_torn_value() {
    expect(Rule::Value, |t| wide_delta(t).add("bid_size", 100));
}

#[test]
fn a_stale_overwrite() {
    // The newest sequence with the price of an older state.
    expect(Rule::Value, |t| {
        let old = t.entry(10, 1, 0).get("bid_size").clone();
        let mut deltas = t.frames().flat_map(|f| f.entries.iter_mut()).filter(|e| {
            is(e, 11, 1) && !matches!(e.get("bid_size"), Value::Nil) && *e.get("bid_size") != old
        });
        deltas.next().expect("the size changes").set("bid_size", old);
    });
}

#[test]
fn a_wrong_merge_count() {
    // Fewer merged than were: the state is not that of the sequence it claims.
    expect(Rule::Value, |t| {
        // Of the figures, whose trade count tells every sequence apart.
        let mut deltas = t.frames().flat_map(|f| f.entries.iter_mut());
        let found = deltas.find(|e| is(e, 13, 1) && e.int("advance") > 1);
        found.expect("some merged").add("advance", -1);
    });
}

#[test]
fn a_delta_that_advances_by_nothing() {
    expect(Rule::Order, |t| t.entry(13, 1, 3).set("advance", int(0)));
}

#[test]
fn a_sequence_beyond_the_head() {
    expect(Rule::Order, |t| t.entry(13, 1, 3).add("advance", 100_000));
}

#[test]
fn a_sequence_that_goes_back() {
    expect(Rule::Order, |t| {
        let full = t.entry(10, 1, 0).clone();
        *t.entry(10, 1, 1) = full;
    });
}

#[test]
fn a_dropped_last_update() {
    expect(Rule::Staleness, |t| {
        let at = t.events.iter().rposition(|(_, event)| match event {
            Event::Frame(frame) => frame.entries.iter().any(|e| is(e, 11, 1)),
            _ => false,
        });
        let at = at.expect("there are deltas");
        frame(t, at).entries.retain(|e| !is(e, 11, 1));
    });
}

#[test]
fn a_dropped_last_update_right_at_the_end_is_not_converged() {
    // With a throttle too long to call it stale, convergence still fails once it has passed.
    for seed in 1..=5 {
        let mut transcript = common::transcript(Dialect::MessagePack, seed);
        transcript.retain(|now_us, entry| now_us < 2_900_000 || !is(entry, 13, 1));
        let verdict = transcript.judge();
        let converged = verdict.violations.iter().all(|v| v.rule != Rule::Convergence);
        assert!(!converged, "seed {seed}: {:?}", verdict.violations);
    }
}

#[test]
fn a_value_older_than_its_interval() {
    // The gateway keeps to 100 ms where 60 are in force.
    expect(Rule::Staleness, |t| t.config.throttle_us = 60_000);
}

#[test]
fn an_entry_before_its_throttle_interval() {
    // The gateway keeps to 100 ms where 120 are in force, and to 50 where 80 were asked for.
    expect(Rule::Throttle, |t| t.config.throttle_us = 120_000);
    expect(Rule::Throttle, |t| {
        for (_, event) in &mut t.events {
            if let Event::Sent(Command::Subscribe(subscribe)) = event
                && subscribe.throttle_ms.is_some()
            {
                subscribe.throttle_ms = Some(Some(80));
            }
        }
    });
}

#[test]
fn a_delta_before_its_snapshot() {
    expect(Rule::SnapshotFirst, |t| {
        let delta = Entry::new(
            11,
            vec![("id", int(1)), ("advance", int(1)), ("age_us", Value::Nil), ("mask", int(0))],
        );
        let at = position(t, |e| is(e, 10, 1));
        let entries = &mut frame(t, at).entries;
        let full = entries.iter().position(|e| is(e, 10, 1)).expect("it is there");
        entries[full] = delta;
    });
}

#[test]
fn a_full_entry_nobody_asked_for() {
    expect(Rule::SnapshotFirst, |t| {
        let at = position(t, |e| is(e, 10, 1));
        let entries = &mut frame(t, at).entries;
        let full = entries.iter().find(|e| is(e, 10, 1)).cloned();
        entries.extend(full);
    });
}

#[test]
fn an_entry_after_unsubscribed() {
    expect(Rule::AfterUnsubscribe, |t| {
        let delta = t.entry(11, 2, 0).clone();
        let at = t
            .events
            .iter()
            .position(|(now_us, event)| *now_us > 2_600_000 && matches!(event, Event::Frame(_)));
        frame(t, at.expect("frames go on")).entries.push(delta);
    });
}

#[test]
fn an_entry_never_subscribed() {
    expect(Rule::NotSubscribed, |t| {
        let mut definition = t.entry(1, 2, 0).clone();
        definition.set("id", int(2));
        t.frames().next().expect("there are frames").entries.push(definition);
    });
}

#[test]
fn a_channel_never_subscribed() {
    // BBB is subscribed, its tape is not.
    expect(Rule::NotSubscribed, |t| {
        let at = position(t, |e| is(e, 11, 2));
        let trade = Entry::new(22, vec![("id", int(2)), ("sequence", int(0)), ("volume", int(0))]);
        frame(t, at).entries.push(trade);
    });
}

#[test]
fn a_missing_definition() {
    expect(Rule::Definition, |t| t.retain(|_, e| !is(e, 1, 1)));
}

#[test]
fn an_id_with_two_meanings() {
    for seed in 1..=5 {
        let mut transcript = common::transcript(Dialect::MessagePack, seed);
        transcript.entry(1, 2, 0).set("id", int(1));
        assert_first(Rule::IdReuse, &transcript.judge(), &format!("seed {seed}"));
    }
}

#[test]
fn a_definition_with_another_scale() {
    expect(Rule::Definition, |t| t.entry(1, 1, 0).set("size_exponent", int(-3)));
}

#[test]
fn a_definition_with_another_tick_size() {
    expect(Rule::Definition, |t| t.entry(1, 1, 0).set("tick_size", int(50)));
}

#[test]
fn a_missing_stale_status() {
    expect(Rule::FeedStatus, |t| t.truth.feed_status(2_410_000, 3, 11, Some(11), None));
    // Passed over by the live one that follows: it is told too late.
    let feed = |e: &Entry| e.kind == 4 && e.get("id") == &Value::Nil;
    let mut transcript = common::transcript_with_stale_until(Dialect::MessagePack, 1, 2_950_000);
    transcript.events.retain(|(_, event)| !matches!(event, Event::Blocked | Event::Unblocked));
    transcript.retain(|_, e| !(feed(e) && e.int("status") == 11));
    let verdict = transcript.judge();
    let told = verdict.violations.iter().any(|violation| violation.rule == Rule::FeedStatus);
    assert!(told, "{:?}", verdict.violations);
}

#[test]
fn a_stale_status_told_too_late() {
    expect(Rule::FeedStatus, |t| {
        t.truth.feed_status(2_410_000, 3, 11, None, None);
        let late = Entry::new(
            4,
            vec![
                ("id", Value::Nil),
                ("status_sequence", int(3)),
                ("status", int(11)),
                ("reason", Value::Nil),
                ("age_us", Value::Nil),
            ],
        );
        let now_us = 3_450_000;
        let sequence = t.frames().last().map_or(0, |frame| frame.sequence) + 1;
        let sent_at_us = UNIX_US + now_us as i64;
        let frame = Frame { sequence, sent_at_us, cause: 0, entries: vec![late] };
        t.events.push((now_us, Event::Frame(frame)));
    });
}

#[test]
fn a_suspect_flag_left_out() {
    // The hub knows a quote to be suspect; the client is told that it is fine.
    expect(Rule::Value, |t| {
        let flags = t.entry(10, 1, 1).int("flags");
        t.entry(10, 1, 1).set("flags", int(flags + 4));
    });
}

#[test]
fn a_cause_that_cannot_be() {
    expect(Rule::Cause, |t| t.frames().nth(3).expect("there are frames").cause = 1);
    expect(Rule::Cause, |t| t.frames().nth(3).expect("there are frames").cause = 2);
    expect(Rule::Cause, |t| t.frames().nth(3).expect("there are frames").cause = 4);
    expect(Rule::Cause, |t| t.frames().nth(3).expect("there are frames").cause = 8);
    expect(Rule::Cause, |t| t.frames().nth(3).expect("there are frames").cause = 16);
}

#[test]
fn a_cause_that_is_left_out() {
    expect(Rule::Cause, |t| t.frames().for_each(|frame| frame.cause = 0));
}

#[test]
fn a_wrong_age() {
    expect(Rule::Age, |t| {
        let mut trades = t.frames().flat_map(|f| f.entries.iter_mut());
        let trade = trades.find(|e| is(e, 20, 1) && matches!(e.get("age_us"), Value::Int(_)));
        trade.expect("most trades have an age").add("age_us", 1);
    });
    expect(Rule::Age, |t| t.entry(4, 1, 0).set("age_us", int(0)));
}

#[test]
fn a_duplicated_trade() {
    expect(Rule::TradeOrder, |t| {
        let at = position(t, |e| is(e, 20, 1));
        let entries = &mut frame(t, at).entries;
        let trade = entries.iter().position(|e| is(e, 20, 1)).expect("it is there");
        entries.insert(trade, entries[trade].clone());
    });
}

#[test]
fn a_conflated_trade() {
    expect(Rule::TradeHole, |t| {
        let second = t.entry(20, 1, 1).int("sequence");
        t.retain(|_, e| !(is(e, 20, 1) && e.int("sequence") == second));
    });
}

#[test]
fn two_trades_swapped() {
    expect(Rule::TradeHole, |t| {
        let (first, second) = (t.entry(20, 1, 4).clone(), t.entry(20, 1, 5).clone());
        *t.entry(20, 1, 4) = second;
        *t.entry(20, 1, 5) = first;
    });
}

#[test]
fn a_trade_with_another_size() {
    expect(Rule::TradeValue, |t| t.entry(20, 1, 2).add("size", 1));
    expect(Rule::TradeValue, |t| t.entry(20, 1, 2).set("trade_id", optional(None)));
}

#[test]
fn a_tape_joined_elsewhere() {
    expect(Rule::Join, |t| t.entry(22, 1, 0).add("sequence", -1));
    expect(Rule::Join, |t| t.entry(22, 1, 0).add("volume", 1));
    expect(Rule::Ready, |t| t.retain(|_, e| !is(e, 22, 1)));
    expect(Rule::Join, |t| {
        t.retain(|_, e| !is(e, 22, 1) && e.kind != 3);
    });
}

/// Replaces trades 3 and 4 after the join by a `trades lost` of `from..=to`, and lets the hub's
/// tape be as small as `capacity`.
fn lose(t: &mut Transcript, capacity: u64, from: i128, to: i128) {
    t.config.tape_capacity = capacity;
    let joined = t.entry(22, 1, 0).int("sequence");
    let size: i128 = [2, 3].map(|skip| t.entry(20, 1, skip).int("size")).iter().sum();
    // The loss is told where trade 5 is: by then a tape of one holds neither of them.
    t.retain(|_, e| !(is(e, 20, 1) && [joined + 3, joined + 4].contains(&e.int("sequence"))));
    let at = position(t, |e| is(e, 20, 1) && e.int("sequence") == joined + 5);
    let entries = &mut frame(t, at).entries;
    let before = entries.iter().position(|e| is(e, 20, 1) && e.int("sequence") == joined + 5);
    let lost = Entry::new(
        23,
        vec![
            ("id", int(1)),
            ("from", int(joined + from)),
            ("to", int(joined + to)),
            ("size", if to == 4 { int(size) } else { Value::Nil }),
            ("origin", int(0)),
        ],
    );
    entries.insert(before.expect("it is there"), lost);
}

#[test]
fn a_lost_range_that_is_true_passes() {
    for seed in 1..=5 {
        let mut transcript = common::transcript(Dialect::MessagePack, seed);
        lose(&mut transcript, 1, 3, 4);
        assert_eq!(transcript.judge().violations, [], "seed {seed}");
    }
}

#[test]
fn a_lost_range_too_small_or_too_large() {
    expect(Rule::TradeHole, |t| lose(t, 1, 3, 3));
    expect(Rule::TradeOrder, |t| {
        lose(t, 0, 3, 5);
    });
    expect(Rule::LostRange, |t| lose(t, 1, 2, 4));
    expect(Rule::LostRange, |t| lose(t, 1_024, 3, 4));
    expect(Rule::LostRange, |t| {
        lose(t, 1, 3, 4);
        t.entry(23, 1, 0).add("size", 1);
    });
    expect(Rule::LostRange, |t| {
        lose(t, 1, 3, 4);
        t.entry(23, 1, 0).set("origin", int(1));
    });
}

#[test]
fn a_halt_conflated_away() {
    expect(Rule::StatusOrder, |t| {
        t.retain(|_, e| !(is(e, 4, 1) && e.int("status_sequence") == 1));
    });
    // Without a tape to show it, the jump in the status sequence does.
    expect(Rule::Status, |t| {
        t.retain(|_, e| !(is(e, 20, 1) || is(e, 4, 1) && e.int("status_sequence") == 1));
    });
}

#[test]
fn a_trade_before_the_halt_it_follows() {
    expect(Rule::StatusOrder, |t| {
        let at = position(t, |e| is(e, 4, 1));
        let entries = &mut frame(t, at).entries;
        let halt = entries.iter().position(|e| is(e, 4, 1)).expect("it is there");
        entries.swap(halt, halt + 1);
    });
}

#[test]
fn a_halt_before_the_trade_it_follows() {
    expect(Rule::StatusOrder, |t| {
        let at = position(t, |e| is(e, 4, 1));
        let entries = &mut frame(t, at).entries;
        let halt = entries.iter().position(|e| is(e, 4, 1)).expect("it is there");
        entries.swap(halt - 1, halt);
    });
}

#[test]
fn a_halt_of_another_kind() {
    expect(Rule::Status, |t| t.entry(4, 1, 0).set("status", int(1)));
}

#[test]
fn a_field_that_was_not_selected() {
    expect(Rule::Selection, |t| t.entry(10, 2, 0).set("bid_size", int(1)));
    expect(Rule::Selection, |t| {
        let delta = t.entry(11, 2, 0);
        let known = |name| (name, delta.get(name).clone());
        let mut fields = ["id", "advance", "age_us", "mask"].map(known).to_vec();
        fields[3].1 = int(0b10);
        fields.push(("bid_size", int(3)));
        delta.fields = fields;
    });
}

#[test]
fn a_crossed_quote_without_its_flag() {
    // Wrong in the hub as well, so that only the prices can tell.
    expect(Rule::Flags, |t| {
        let at = t.events.iter().position(|(now_us, _)| *now_us > 1_000_000);
        t.events.truncate(at.expect("time goes on"));
        let state = [Some(200), Some(1), Some(100), Some(1), Some(0)];
        let at_us = 3_100_000;
        let head = t.truth.head("AAA", tickgate_checker::Channel::Quote) + 1;
        t.truth.state(at_us, "AAA", tickgate_checker::Channel::Quote, head, None, &state);
        let held = held_quote(t);
        let fields = vec![
            ("id", int(1)),
            ("advance", int(i128::from(head) - held)),
            ("age_us", Value::Nil),
            ("mask", int(0b1_1111)),
            ("bid_price", int(200)),
            ("bid_size", int(1)),
            ("ask_price", int(100)),
            ("ask_size", int(1)),
            ("flags", int(0)),
        ];
        let sequence = t.frames().last().map_or(0, |frame| frame.sequence) + 1;
        let sent_at_us = UNIX_US + at_us as i64;
        t.config.silence_us = 10_000_000;
        let frame = Frame { sequence, sent_at_us, cause: 0, entries: vec![Entry::new(11, fields)] };
        t.events.push((at_us, Event::Frame(frame)));
    });
}

/// The sequence of AAA's quote after all frames.
fn held_quote(transcript: &mut Transcript) -> i128 {
    let entries = transcript.frames().flat_map(|frame| frame.entries.iter());
    entries.fold(0, |held, entry| match entry.kind {
        10 if is(entry, 10, 1) => entry.int("sequence"),
        11 if is(entry, 11, 1) => held + entry.int("advance"),
        _ => held,
    })
}

/// Lets the client send `command` at 450 ms and the gateway grant it.
fn grant(t: &mut Transcript, reply: &str, command: Command) {
    let at = t.events.iter().position(|(now_us, _)| *now_us > 450_000).expect("time goes on");
    let reply = map(vec![("type", Value::Text(reply.into()))]);
    t.events.insert(at, (450_000, Event::Sent(command)));
    t.events.insert(at + 1, (450_000, Event::Reply(reply)));
}

#[test]
fn more_frames_than_credited() {
    let credit = |frames| Command::Credit { id: None, frames: Some(frames) };
    expect(Rule::Credit, |t| grant(t, "credited", credit(3)));
    // Acknowledged at once, one is enough.
    let mut transcript = common::transcript(Dialect::MessagePack, 1);
    let mut events = Vec::new();
    grant(&mut transcript, "credited", credit(1));
    for (now_us, event) in transcript.events {
        let ack = match &event {
            Event::Frame(frame) => Some(Command::Ack { frame: frame.sequence }),
            _ => None,
        };
        events.push((now_us, event));
        events.extend(ack.map(|ack| (now_us, Event::Sent(ack))));
    }
    transcript.events = events;
    assert_eq!(transcript.judge().violations, []);
}

#[test]
fn more_bytes_than_the_budget() {
    let budget = |bytes| Command::Throttle {
        id: None,
        symbols: None,
        throttle_ms: None,
        max_bytes_per_second: Some(Some(bytes)),
    };
    expect(Rule::Budget, |t| grant(t, "throttled", budget(200)));
    let mut transcript = common::transcript(Dialect::MessagePack, 1);
    grant(&mut transcript, "throttled", budget(100_000));
    assert_eq!(transcript.judge().violations, []);
}

#[test]
fn ready_missing_early_or_repeated() {
    let ready = |e: &Entry, id: i128| e.kind == 3 && e.get("command_id") == &int(id);
    expect(Rule::Ready, |t| t.retain(|_, e| !ready(e, 2)));
    expect(Rule::Ready, |t| {
        let at = position(t, |e| ready(e, 1));
        let entries = &mut frame(t, at).entries;
        let last = entries.pop().expect("ready comes last");
        entries.insert(1, last);
    });
    expect(Rule::Ready, |t| {
        let at = position(t, |e| ready(e, 1));
        let entries = &mut frame(t, at).entries;
        entries.extend(entries.last().cloned());
    });
}

#[test]
fn a_number_beyond_the_limit() {
    expect(Rule::Number, |t| t.entry(22, 1, 0).set("sequence", int(1i128 << 53)));
    expect(Rule::Number, |t| t.entry(22, 1, 0).set("sequence", Value::Float(1.5)));
}

#[test]
fn a_frame_inside_another() {
    for dialect in [Dialect::MessagePack, Dialect::Json] {
        for seed in 1..=5 {
            let mut transcript = common::transcript(dialect, seed);
            let at = position(&transcript, |e| is(e, 11, 1));
            let outer = common::bytes(dialect, &transcript.events[at].1);
            let pong = Event::Raw(vec![0x8a, 0x00]);
            for cut in [1, 3, outer.len() / 2, outer.len() - 1] {
                let mut bytes = outer[..cut].to_vec();
                bytes.extend(common::bytes(dialect, &pong));
                bytes.extend(&outer[cut..]);
                transcript.events[at].1 = Event::Raw(bytes);
                let verdict = transcript.judge();
                let first = verdict.violations.first().map(|violation| violation.rule);
                let caught = matches!(
                    first,
                    Some(Rule::Framing | Rule::Decode | Rule::Number | Rule::FrameSequence)
                );
                assert!(caught, "seed {seed}, {dialect:?}, cut {cut}: {first:?}");
            }
        }
    }
}

#[test]
fn a_stream_cut_inside_a_frame() {
    let transcript = common::transcript(Dialect::MessagePack, 1);
    let at = position(&transcript, |e| is(e, 11, 1));
    let (now_us, event) = &transcript.events[at];
    let bytes = common::bytes(Dialect::MessagePack, event);
    for (closing, caught) in [(Closing::Cut, false), (Closing::Code(4000), true)] {
        let mut checker = Checker::new(transcript.config.clone());
        checker.received(&transcript.truth, *now_us, &bytes[..bytes.len() - 1]);
        checker.closed(&transcript.truth, *now_us, closing);
        let broken = checker.violations().iter().any(|v| v.rule == Rule::Framing);
        assert_eq!(broken, caught, "{closing:?}");
    }
    let mut checker = Checker::new(transcript.config.clone());
    checker.closed(&transcript.truth, *now_us, Closing::Code(4999 + 1));
    assert_eq!(checker.violations()[0].rule, Rule::Close);
}

#[test]
fn a_frame_sequence_that_jumps() {
    expect(Rule::FrameSequence, |t| renumber(t, 20, 1));
}

#[test]
fn a_time_that_never_was() {
    expect(Rule::SentAt, |t| {
        let at = position(t, |e| is(e, 11, 1));
        frame(t, at).sent_at_us += 60_000_000;
    });
}

#[test]
fn a_heartbeat_too_soon_and_a_silence() {
    expect(Rule::Heartbeat, |t| {
        let at = position(t, |e| is(e, 11, 1));
        let (now_us, _) = t.events[at];
        let sequence = frame(t, at).sequence + 1;
        renumber(t, at + 1, 1);
        let sent_at_us = UNIX_US + now_us as i64;
        let frame = Frame { sequence, sent_at_us, cause: 0, entries: Vec::new() };
        t.events.insert(at + 1, (now_us, Event::Frame(frame)));
    });
    let mut transcript = common::transcript(Dialect::MessagePack, 1);
    transcript.events.truncate(1);
    assert_first(Rule::Silence, &transcript.judge(), "welcome and nothing else");
}

#[test]
fn a_frame_too_large() {
    expect(Rule::FrameSize, |t| t.config.frame_limit_bytes = 40);
}

#[test]
fn a_reply_missing_doubled_or_with_another_id() {
    let reply = |event: &Event, kind: &str| match event {
        Event::Reply(value) => value.get("type").and_then(Value::text) == Some(kind),
        _ => false,
    };
    expect(Rule::Reply, |t| t.events.retain(|(_, event)| !reply(event, "pong")));
    expect(Rule::Reply, |t| {
        let at = t.events.iter().position(|(_, e)| reply(e, "throttled")).expect("it is there");
        t.events.insert(at, t.events[at].clone());
    });
    expect(Rule::Reply, |t| {
        let at = t.events.iter().position(|(_, e)| reply(e, "throttled")).expect("it is there");
        let other = map(vec![("type", Value::Text("throttled".into())), ("id", int(9))]);
        t.events[at].1 = Event::Reply(other);
    });
    expect(Rule::Reply, |t| t.events.retain(|(_, event)| !reply(event, "welcome")));
}

#[test]
fn an_unknown_kind_or_field() {
    expect(Rule::Decode, |t| {
        let entry = t.entry(22, 1, 0);
        entry.fields.push(("surprise", int(1)));
    });
    for bytes in [&[0x82, 0x01, 0x90][..], &[0x82, 0x02, 0x92, 0x01]] {
        let mut transcript = common::transcript(Dialect::MessagePack, 1);
        transcript.events.insert(1, (1, Event::Raw(bytes.to_vec())));
        assert_first(Rule::Decode, &transcript.judge(), &format!("{bytes:02x?}"));
    }
}

#[test]
fn an_epoch_that_does_not_exist_or_is_not_told() {
    expect(Rule::Epoch, |t| {
        let epoch = Entry::new(2, vec![("epoch", int(8))]);
        t.frames().nth(2).expect("there are frames").entries.insert(0, epoch);
    });
    expect(Rule::Epoch, |t| t.truth.epoch(2_900_000, 8));
}

#[test]
fn an_error_leaves_everything_as_it_was() {
    let mut transcript = common::transcript(Dialect::MessagePack, 1);
    let command = Command::Subscribe(Subscribe {
        id: Some(77),
        symbols: vec!["BBB".into()],
        throttle_ms: Some(Some(60_001)),
        ..Subscribe::default()
    });
    let error = map(vec![
        ("type", Value::Text("error".into())),
        ("code", Value::Text("bad_field".into())),
        ("id", int(77)),
    ]);
    let at = transcript.events.iter().position(|(now_us, _)| *now_us > 450_000).unwrap();
    transcript.events.insert(at, (450_000, Event::Sent(command)));
    transcript.events.insert(at + 1, (450_000, Event::Reply(error)));
    assert_eq!(transcript.judge().violations, []);
}
