//! After the window: what a client holds against what a fresh one is told.

use crate::{
    feed::ID,
    running::{run, scenario},
    server::Server,
};
use tickgate_protocol::entry::Entry;

#[test]
fn a_client_that_holds_something_else_is_found() {
    let server = Server::tickgate(|mut feed| {
        feed.wrong_by = 1;
        feed.ready()?.serve()
    });
    let mut scenario = scenario(&server, 1.0);
    scenario.run.compared_clients = 3;
    let report = run(&server, scenario).expect("a report");
    // It is told wrongly, but by the rules.
    assert_eq!(report.violation_count(), 0, "{:#?}", report.violations);
    let comparison = report.comparison.as_ref().expect("asked for");
    assert_eq!(comparison.clients, 3);
    assert!(comparison.differing > 0, "{comparison:?}");
    assert!(comparison.compared > comparison.differing, "sound ones agree: {comparison:?}");
    for told in &comparison.differences {
        assert!(told.starts_with("client 2, AAA quote at sequence "), "{told}");
    }
    assert!(!report.is_passed(), "{}", report.outcome());
}

#[test]
fn clients_that_hold_the_same_are_found_to() {
    let server = Server::tickgate(|feed| feed.ready()?.serve());
    let mut scenario = scenario(&server, 1.0);
    scenario.run.compared_clients = 3;
    scenario.clients[1].channels.push("last".to_owned());
    let report = run(&server, scenario).expect("a report");
    let comparison = report.comparison.as_ref().expect("asked for");
    assert!(comparison.compared > 0, "{comparison:?}");
    assert_eq!(comparison.differing, 0, "{comparison:?}");
}

/// What breaks the protocol while states are compared is not forgotten with the seconds that pass.
#[test]
fn a_breach_during_the_comparison_fails_the_run() {
    let server = Server::tickgate(|feed| {
        let mut feed = feed.ready()?;
        while !feed.is_asked_again {
            feed.step()?;
        }
        feed.tell(&[Entry::TradesJoined { id: ID + 76, sequence: 1, volume: 0 }])?;
        feed.serve()
    });
    let mut scenario = scenario(&server, 1.0);
    scenario.run.compared_clients = 3;
    let report = run(&server, scenario).expect("a report");
    assert!(!report.is_passed() && report.violation_count() > 0, "{}", report.outcome());
    let told = &report.violations[0];
    assert!(told.what.contains("id 77") && told.group == "planted", "{told:?}");
}
