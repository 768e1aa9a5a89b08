//! What breaks the protocol is found wherever in the run it happens, fails the run, and is told with
//! the client, its group and its last messages.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use tickgate_load::report::Report;
use tickgate_protocol::{
    definition::Definition,
    entry::{Entry, StateEntry, Step, TradeEntry},
};
use tungstenite::Message;

use crate::{
    feed::{Feed, ID, SYMBOL, last, quote, trade},
    running::{SOUND, figures, run, scenario},
    server::Server,
};

/// A breach: its name, what the report says of it, and how it is committed.
type Breach = (&'static str, &'static str, fn(&mut Feed) -> Option<()>);

const BREACHES: [Breach; 16] = [
    ("a trade is dropped", "without a lost range", |feed| {
        feed.tape_head += 2;
        feed.tell(&[Entry::Trade(trade(feed.tape_head))])
    }),
    ("a trade is repeated", "again", |feed| {
        feed.tape_head += 1;
        let entry = Entry::Trade(trade(feed.tape_head));
        feed.tell(&[entry.clone(), entry])
    }),
    ("trades are out of order", "again", |feed| {
        feed.tape_head += 2;
        let trades = [feed.tape_head, feed.tape_head - 1];
        feed.tell(&trades.map(|sequence| Entry::Trade(trade(sequence))))
    }),
    ("a state is stale", "quote sequence", |feed| {
        feed.tell(&[Entry::Quote(quote(ID, feed.quote_head - 1, 10_000))])
    }),
    ("a delta comes before its full state", "delta before a full entry", |feed| {
        // A finer scale: another id, which begins anew.
        let definition = Entry::Definition(Definition::new(ID + 1, SYMBOL, -3, 0));
        let delta = StateEntry { step: Step::Delta { advance: 1 }, ..quote(ID + 1, 0, 10_000) };
        feed.tell(&[definition, Entry::Quote(delta)])
    }),
    ("a delta does not advance", "does not advance", |feed| {
        let delta = StateEntry { step: Step::Delta { advance: 0 }, ..quote(ID, 0, 10_000) };
        feed.tell(&[Entry::Quote(delta)])
    }),
    ("a foreign symbol", "ZZZ was not asked for", |feed| {
        feed.tell(&[Entry::Definition(Definition::new(ID + 1, "ZZZ", -2, 0))])
    }),
    ("a channel that was not asked for", "channel that is not subscribed", |feed| {
        feed.tell(&[Entry::Last(last(ID, 2))])
    }),
    ("an id that was not defined", "id 77 is used but not defined", |feed| {
        feed.tell(&[Entry::Quote(quote(77, 1, 10_000))])
    }),
    ("an id that is defined otherwise", "defined otherwise before", |feed| {
        feed.tell(&[Entry::Definition(Definition::new(ID, SYMBOL, -4, 0))])
    }),
    ("a hole in the frames", " was due", |feed| {
        feed.session.frame_sequence += 1;
        feed.tell(&[])
    }),
    ("a number beyond 2^53", "2^53", |feed| {
        feed.tape_head += 1;
        feed.tell(&[Entry::Trade(TradeEntry { price: 1 << 53, ..trade(feed.tape_head) })])
    }),
    ("ready, when nothing was waiting", "which was not waiting", |feed| {
        feed.tell(&[Entry::Ready { command_id: Some(1) }])
    }),
    ("an epoch that does not rise", "epoch 7 after epoch 7", |feed| {
        feed.tell(&[Entry::Epoch { epoch: 7 }])
    }),
    ("text instead of binary", "of the other kind", |feed| feed.session.send(Message::text("{}"))),
    ("bytes that are no message", "", |feed| feed.session.send(Message::binary(vec![0xc1]))),
];

fn judge((name, said, _): Breach, report: &Report) {
    assert!(report.violation_count() > 0, "{name}: {}", report.outcome());
    assert!(!report.is_passed(), "{name}");
    let told = report.violations.iter().find(|told| told.what.contains(said));
    let told = told.unwrap_or_else(|| panic!("{name}: {:#?}", report.violations));
    assert!((1..=3).contains(&told.messages.len()), "{name}: {told:?}");
    for told in &report.violations {
        assert_eq!((told.client, &*told.group), (SOUND, "planted"), "{name}: {told:?}");
    }
    let (sound, _) = figures(report);
    assert_eq!((sound.counts.violations, sound.counts.lost), (0, 0), "{name}");
}

/// All breaches at once, each in a run of its own.
fn commit_all(when: fn(Feed) -> Option<Feed>) {
    thread::scope(|scope| {
        for breach in BREACHES {
            scope.spawn(move || {
                let (name, _, commit) = breach;
                // Once: a breach that ends the connection would keep a run from beginning.
                let is_committed = AtomicBool::new(false);
                let server = Server::tickgate(move |feed| {
                    if is_committed.swap(true, Ordering::SeqCst) {
                        return feed.ready()?.serve();
                    }
                    let mut feed = when(feed)?;
                    commit(&mut feed)?;
                    feed.serve()
                });
                let mut scenario = scenario(&server, 2.0);
                name.clone_into(&mut scenario.name);
                judge(breach, &run(&server, scenario).expect("a report"));
            });
        }
    });
}

#[test]
fn a_breach_in_the_window_fails_the_run() {
    commit_all(|feed| feed.ready()?.until_window());
}

#[test]
fn a_breach_before_the_window_fails_the_run_as_well() {
    commit_all(Feed::ready);
}

#[test]
fn a_sound_server_breaks_nothing() {
    let server = Server::tickgate(|feed| feed.ready()?.serve());
    let mut scenario = scenario(&server, 2.0);
    scenario.slo = "lost=0,violations=0,refused=0,closed=0,silent=0".to_owned();
    scenario.run.compared_clients = 3;
    let report = run(&server, scenario).expect("a report");
    assert_eq!(report.violation_count(), 0, "{:#?}", report.violations);
    assert!(report.objectives.iter().all(|verdict| verdict.is_kept), "{:?}", report.objectives);
    for group in &report.groups {
        let counts = &group.figures.counts;
        assert!(counts.trades > 0 && counts.merged > 0 && counts.updates > 0, "{counts:?}");
    }
}

/// The last messages are those that led to it: the breach stands in the last.
#[test]
fn the_messages_that_led_to_a_breach_are_told() {
    let server = Server::tickgate(|feed| {
        let mut feed = feed.ready()?.until_window()?;
        feed.tell(&[Entry::Quote(quote(77, 4_711, 815))])?;
        feed.serve()
    });
    let report = run(&server, scenario(&server, 1.0)).expect("a report");
    let [told] = &report.violations[..] else { panic!("{:#?}", report.violations) };
    assert_eq!(told.messages.len(), 3);
    let newest = &told.messages[2];
    assert!(newest.contains("id: 77") && newest.contains("4711"), "{newest}");
    assert!(!told.messages[1].contains("id: 77"), "{told:?}");
    assert!(told.at_s >= 0.0 && told.at_s <= report.window_s, "{told:?}");
}

#[test]
fn a_state_that_is_missing_when_everything_should_be_there_is_a_breach() {
    let server = Server::tickgate(|mut feed| {
        let entries = feed.everything(None)?;
        let without: Vec<Entry> =
            entries.into_iter().filter(|entry| !matches!(entry, Entry::Quote(_))).collect();
        feed.tell(&without)?;
        loop {
            feed.session.hear()?;
        }
    });
    let report = run(&server, scenario(&server, 1.0)).expect("a report");
    assert!(!report.is_passed() && report.violation_count() > 0, "{}", report.outcome());
    let told = &report.violations[0];
    assert_eq!(told.what, "ready, and AAA has not come in full");
}

/// There is no message to point at: the run does not begin, and says what it waits for.
#[test]
fn a_client_that_is_never_told_ready_keeps_the_run_from_beginning() {
    let server = Server::tickgate(|mut feed| {
        let mut entries = feed.everything(None)?;
        entries.retain(|entry| !matches!(entry, Entry::Ready { .. }));
        feed.tell(&entries)?;
        feed.serve()
    });
    let mut scenario = scenario(&server, 1.0);
    scenario.run.ready_within_s = 2.0;
    let error = run(&server, scenario).expect_err("it cannot begin").to_string();
    assert!(error.contains("not all of 3 clients were ready within"), "{error}");
    assert!(error.contains("run.ready_within_s"), "{error}");
}

/// A message without a time, of a plain server.
#[test]
fn a_message_without_a_stamp_is_told_as_well() {
    let server = Server::stamped(|mut session, symbols| {
        loop {
            session.hear()?;
            let now_us = session.shared.clock.elapsed_us();
            let stamp_us = session.shared.clock.unix_us(now_us);
            session.send(Message::text(format!(r#"{{"sent_at_us":{stamp_us}}}"#)))?;
            if symbols == 2 {
                session.send(Message::text("{}"))?;
            }
        }
    });
    let report = run(&server, crate::running::stamped(&server, 1.0)).expect("a report");
    assert!(!report.is_passed() && report.violation_count() > 0, "{}", report.outcome());
    let told = &report.violations[0];
    assert_eq!((told.client, &*told.group), (SOUND, "planted"), "{told:?}");
    assert!(told.what.contains("without a time"), "{told:?}");
}
