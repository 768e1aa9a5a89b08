//! A server that stands still for half a second, then sends what is newest: the updates that were
//! merged away had waited, and must show. No coordinated omission.

use std::{sync::atomic::Ordering, thread, time::Duration};

use tickgate_load::report::Report;
use tungstenite::Message;

use crate::{
    feed::QUOTE_US,
    running::{figures, run, scenario, stamped},
    server::{Server, Session},
};

/// How long it stands still.
const STALL: Duration = Duration::from_millis(500);

/// In a window of three seconds with an event every 5 ms a sixth of the events waited, evenly from
/// 0 to 500 ms: one in ten for 200 ms or more, one in a hundred for 470 ms, the first for all of
/// it. The bounds below leave room for a window that is longer on a busy machine.
fn judge(report: &Report) {
    let (sound, planted) = figures(report);
    let times = [("latency", sound.latency, planted.latency), ("late", sound.late, planted.late)];
    for (name, sound, planted) in times {
        let (sound, planted) = (sound.expect("measured"), planted.expect("measured"));
        assert!(planted.max_us >= 450_000, "{name}: {planted:?}");
        assert!(planted.p999_us >= 440_000, "{name}: {planted:?}");
        assert!(planted.p99_us >= 350_000, "{name}: {planted:?}");
        // What load on the machine does, it does to both: the difference is the stall.
        assert!(planted.p90_us > sound.p90_us, "{name}: {sound:?} {planted:?}");
        assert!(planted.mean_us > sound.mean_us + 15_000.0, "{name}: {sound:?} {planted:?}");
    }
    assert_eq!(report.violation_count(), 0);
}

#[test]
fn a_stall_shows_though_only_the_newest_state_is_sent_after_it() {
    let server = Server::tickgate(|feed| {
        let mut feed = feed.ready()?.until_window()?;
        // What is usual on the connection is known by then.
        let began_us = feed.now_us();
        while feed.now_us() < began_us + 1_000_000 {
            feed.step()?;
        }
        thread::sleep(STALL);
        feed.serve()
    });
    let mut scenario = scenario(&server, 3.0);
    for group in &mut scenario.clients {
        group.channels = vec!["quote".to_owned()];
    }
    let report = run(&server, scenario).expect("a report");
    judge(&report);
    let (sound, planted) = figures(&report);
    // As many updates are judged as there were, merged or not: each client those of its window.
    let each = |counts: &tickgate_load::measure::Counts, clients| {
        (counts.updates + counts.merged) / u64::from(clients as u32)
    };
    let (sound, planted) = (each(&sound.counts, 2_u8), each(&planted.counts, 1_u8));
    let window = (report.window_s * 1e6 / QUOTE_US as f64) as u64;
    assert!(planted * 10 >= window * 9, "{planted} of {window}");
    assert!(sound.abs_diff(planted) * 10 <= window, "{sound} {planted}");
}

/// The window would end in the middle of it: what waits comes after, and counts.
#[test]
fn a_stall_that_reaches_past_the_windows_end_shows() {
    const LONG: Duration = Duration::from_secs(5);
    let server = Server::tickgate(|feed| {
        let mut feed = feed.ready()?.until_window()?;
        let began_us = feed.now_us();
        while feed.now_us() < began_us + 1_000_000 {
            feed.step()?;
        }
        thread::sleep(LONG);
        feed.serve()
    });
    let mut scenario = scenario(&server, 2.0);
    for group in &mut scenario.clients {
        group.channels = vec!["quote".to_owned()];
    }
    let report = run(&server, scenario).expect("a report");
    let (_, planted) = figures(&report);
    let latency = planted.latency.expect("measured");
    assert!(latency.max_us >= 4_700_000 && latency.p90_us >= 2_000_000, "{latency:?}");
    assert!(report.window_s > 5.0, "{}", report.window_s);
}

#[test]
fn a_stall_shows_where_every_message_is_sent_late_after_it() {
    let server = Server::stamped(|mut session: Session, symbols| {
        let mut due_us = session.shared.clock.elapsed_us();
        let mut stall_at_us = (symbols == 2).then_some(i64::MAX);
        loop {
            session.hear()?;
            let now_us = session.shared.clock.elapsed_us();
            if session.shared.window.load(Ordering::SeqCst)
                && let Some(at_us) = &mut stall_at_us
            {
                *at_us = (*at_us).min(now_us + 500_000);
                if now_us >= *at_us {
                    stall_at_us = None;
                    thread::sleep(STALL);
                }
            }
            while due_us <= session.shared.clock.elapsed_us() {
                let stamp_us = session.shared.clock.unix_us(due_us);
                session.send(Message::text(format!(r#"{{"sent_at_us":{stamp_us}}}"#)))?;
                due_us += QUOTE_US;
            }
        }
    });
    let report = run(&server, stamped(&server, 3.0)).expect("a report");
    judge(&report);
    let planted = figures(&report).1.transit.expect("measured");
    assert!(planted.max_us >= 450_000, "{planted:?}");
}
