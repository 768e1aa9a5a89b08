//! A server that holds every message back for a known time is measured as that much slower.

use std::time::Duration;

use tickgate_load::{
    report::Report,
    scenario::{Format, Scenario},
};
use tungstenite::Message;

use crate::{
    running::{figures, run, scenario, stamped},
    server::{Server, Session},
};

/// What is held back.
const DELAY: Duration = Duration::from_millis(40);

/// The bottom of the histogram's bucket (two digits, so a 256th of a power of two) that the delay
/// falls in, microseconds: the least that a delay of 40 ms may be taken for.
const LEAST_US: u64 = 40_000 / 256 * 256;

/// Each time of the planted clients has the delay in it, to the shortest; and no more than it,
/// compared with what sound clients met at the same time.
fn judge(report: &Report) {
    let (sound, planted) = figures(report);
    let times = [
        ("transit", &sound.transit, &planted.transit),
        ("latency", &sound.latency, &planted.latency),
        ("late", &sound.late, &planted.late),
    ];
    for (name, sound, planted) in times {
        let (sound, planted) = (sound.expect("measured"), planted.expect("measured"));
        assert!(sound.count > 100 && planted.count > 100, "{name}: {sound:?} {planted:?}");
        assert!(planted.p50_us >= sound.p50_us + LEAST_US / 2, "{name}: {sound:?} {planted:?}");
        // A frame that is held back is looked at once more: at most the delay again.
        let most_us = sound.p50_us + 2 * LEAST_US;
        assert!(planted.p50_us <= most_us, "{name}: {sound:?} {planted:?}");
    }
    assert_eq!((report.violation_count(), sound.counts.negative), (0, 0));
}

/// Only planted clients, so that the curves are theirs: not one time is below the delay.
fn alone(server: &Server, mut scenario: Scenario) {
    scenario.clients.remove(0);
    let report = run(server, scenario).expect("a report");
    assert!(report.curves.len() >= 3, "{:?}", report.curves);
    for curve in report.curves.iter().filter(|curve| curve.timing.name() != "staleness") {
        let shortest_us = curve.points[0].1;
        // What was asked for, at most a millisecond here, is not late.
        let asked_us = if curve.timing.name() == "late" { 1_000 } else { 0 };
        let least_us = (40_000 - asked_us) / 256 * 256;
        assert!(shortest_us >= least_us, "{}: {shortest_us}", curve.timing.name());
    }
}

#[test]
fn a_known_delay_is_measured_in_both_formats() {
    for format in [Format::MessagePack, Format::Json] {
        let server = Server::tickgate(|feed| {
            let mut feed = feed.ready()?;
            feed.session.delay = DELAY;
            feed.serve()
        });
        let mut scenario = scenario(&server, 3.0);
        scenario.clients.iter_mut().for_each(|group| group.format = format);
        judge(&run(&server, scenario.clone()).expect("a report"));
        scenario.run.warm_up_s = 1.0;
        alone(&server, scenario);
    }
}

#[test]
fn a_known_delay_of_stamped_messages_is_measured() {
    let server = Server::stamped(|mut session: Session, symbols| {
        if symbols == 2 {
            session.delay = DELAY;
        }
        let mut next_us = session.shared.clock.elapsed_us();
        loop {
            session.hear()?;
            let now_us = session.shared.clock.elapsed_us();
            if now_us >= next_us {
                next_us = now_us + 5_000;
                let text = format!(r#"{{"sent_at_us":{}}}"#, session.shared.clock.unix_us(now_us));
                session.send(Message::text(text))?;
            }
        }
    });
    judge(&run(&server, stamped(&server, 3.0)).expect("a report"));
    alone(&server, stamped(&server, 3.0));
}
