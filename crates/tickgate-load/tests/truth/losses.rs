//! Trades that are declared lost, and tapes that are resumed.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use tickgate_load::{
    report::Report,
    scenario::{Event, Scenario, What},
};
use tickgate_protocol::{entry::LostOrigin, number::ABSENT};

use crate::{
    feed::lost,
    running::{figures, run, scenario},
    server::Server,
};

/// Whether an objective was kept.
fn is_kept(report: &Report, objective: &str) -> bool {
    let verdict = report.objectives.iter().find(|verdict| verdict.objective == objective);
    verdict.expect("it was asked for").is_kept
}

/// All connections break after a second, and are back within half of one.
fn broken(server: &Server) -> Scenario {
    let mut scenario = scenario(server, 4.0);
    scenario.slo = "lost=0,violations=0".to_owned();
    scenario.events = vec![Event {
        at_s: 1.0,
        groups: Vec::new(),
        share: 1.0,
        what: What::Disconnect { back_within_s: 0.5 },
    }];
    scenario
}

#[test]
fn trades_declared_lost_are_counted_and_break_no_rule() {
    let server = Server::tickgate(|feed| {
        let mut feed = feed.ready()?.until_window()?;
        let from = i64::try_from(feed.tape_head).expect("few") + 1;
        feed.tape_head += 3;
        feed.tell(&[lost(from, from + 2, LostOrigin::Connection)])?;
        feed.serve()
    });
    let mut scenario = scenario(&server, 2.0);
    scenario.slo = "lost=0,violations=0".to_owned();
    let report = run(&server, scenario).expect("a report");
    let (sound, planted) = figures(&report);
    assert_eq!((sound.counts.lost, planted.counts.lost), (0, 3));
    assert_eq!(report.violation_count(), 0, "{:#?}", report.violations);
    assert!(!is_kept(&report, "lost=0") && is_kept(&report, "violations=0"));
    assert!(!report.is_passed(), "{}", report.outcome());
}

#[test]
fn what_the_feed_lost_is_counted_by_itself_where_it_can_tell_how_many() {
    let server = Server::tickgate(|feed| {
        let mut feed = feed.ready()?.until_window()?;
        let from = i64::try_from(feed.tape_head).expect("few") + 1;
        feed.tape_head += 2;
        feed.tell(&[
            lost(from, from + 1, LostOrigin::Feed),
            lost(ABSENT, ABSENT, LostOrigin::Feed),
        ])?;
        feed.serve()
    });
    let mut scenario = scenario(&server, 2.0);
    scenario.slo = "lost=0".to_owned();
    let report = run(&server, scenario).expect("a report");
    let planted = &figures(&report).1.counts;
    assert_eq!((planted.lost, planted.lost_by_feed), (0, 2));
    assert_eq!(report.violation_count(), 0, "{:#?}", report.violations);
    assert!(is_kept(&report, "lost=0"));
}

#[test]
fn a_tape_that_is_resumed_goes_on_without_loss() {
    let resumed = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&resumed);
    let server = Server::tickgate(move |feed| {
        counted.fetch_add(u64::from(feed.resumes_at.is_some()), Ordering::SeqCst);
        feed.ready()?.serve()
    });
    let report = run(&server, broken(&server)).expect("a report");
    assert_eq!(resumed.load(Ordering::SeqCst), 1, "the planted client asks to resume once");
    for group in &report.groups {
        let counts = &group.figures.counts;
        assert_eq!((counts.lost, counts.violations), (0, 0), "{}", group.name);
        assert_eq!(counts.connects, u64::from(group.clients), "each came back once");
        // It was not wanted by the target, so it is none of its closes.
        assert_eq!(counts.closed, 0);
    }
    assert_eq!((report.events.len(), report.events[0].clients), (1, 3));
    assert!(report.events[0].recovered_after_s.is_some(), "{:?}", report.events);
    assert!(report.objectives.iter().all(|verdict| verdict.is_kept), "{:?}", report.objectives);
}

#[test]
fn a_tape_that_is_resumed_further_on_has_lost_what_lies_between() {
    let server = Server::tickgate(|feed| {
        let further_on = feed.resumes_at.map(|left| left + 2);
        feed.ready_from(further_on)?.serve()
    });
    let report = run(&server, broken(&server)).expect("a report");
    let (sound, planted) = figures(&report);
    assert_eq!((sound.counts.lost, planted.counts.lost), (0, 2));
    assert_eq!(report.violation_count(), 0, "{:#?}", report.violations);
    assert!(!is_kept(&report, "lost=0"));
}

#[test]
fn a_tape_that_skips_after_it_was_resumed_is_a_breach() {
    let server = Server::tickgate(|feed| {
        let resumes = feed.resumes_at.is_some();
        let mut feed = feed.ready()?;
        feed.tape_head += u64::from(resumes);
        feed.serve()
    });
    let report = run(&server, broken(&server)).expect("a report");
    assert!(report.violation_count() > 0 && !report.is_passed(), "{}", report.outcome());
    assert!(report.violations[0].what.contains("without a lost range"), "{:?}", report.violations);
}

/// A connection that ends before the tape was joined does not make the client forget where it was.
#[test]
fn a_tape_is_resumed_also_when_a_connection_in_between_came_to_nothing() {
    let (asked, before) = (AtomicU64::new(0), AtomicU64::new(0));
    let asked = Arc::new(asked);
    let counted = Arc::clone(&asked);
    let server = Server::tickgate(move |mut feed| {
        match (feed.resumes_at, before.fetch_add(1, Ordering::SeqCst)) {
            // The first of all, and the one that comes to nothing.
            (_, 0) => feed.ready()?.serve(),
            (_, 1) => feed.session.close(4001, "slow_consumer"),
            (Some(left), _) => {
                counted.fetch_add(1, Ordering::SeqCst);
                feed.ready_from(Some(left + 2))?.serve()
            }
            (None, _) => feed.ready()?.serve(),
        }
    });
    let report = run(&server, broken(&server)).expect("a report");
    let planted = &figures(&report).1.counts;
    assert_eq!((asked.load(Ordering::SeqCst), planted.lost), (1, 2), "{planted:?}");
    assert_eq!(report.violation_count(), 0, "{:#?}", report.violations);
}
