//! Refusals, closes and silence: counted by what was said, and clients come back or stay away as
//! the protocol has it.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tickgate_load::{
    report::Report,
    scenario::{Event, What},
};
use tickgate_protocol::reply::Reply;
use tungstenite::Message;

use crate::{
    running::{figures, run, scenario, stamped},
    server::{Server, Session, refuse},
};

/// A moment that a test notes for later.
type Noted = Arc<Mutex<Vec<Instant>>>;

fn note(noted: &Noted) {
    noted.lock().expect("no panic").push(Instant::now());
}

/// Clients that are ready at the end.
fn ready_at_the_end(report: &Report) -> u32 {
    report.seconds.last().expect("a window").ready
}

/// A server that closes planted connections once in the window as told, and how often planted
/// clients came.
fn closing(close: impl Fn(&mut Session) -> Option<()> + Send + Sync + 'static) -> (Server, Noted) {
    let noted = Noted::default();
    let (came, closed) = (Arc::clone(&noted), AtomicU64::new(0));
    let server = Server::tickgate(move |feed| {
        note(&came);
        if closed.fetch_add(1, Ordering::SeqCst) > 0 {
            return feed.ready()?.serve();
        }
        let mut feed = feed.ready()?.until_window()?;
        note(&came);
        close(&mut feed.session)
    });
    (server, noted)
}

#[test]
fn a_close_that_invites_to_come_back_is_followed() {
    let (server, came) = closing(|session| session.close(4001, "slow_consumer"));
    let report = run(&server, scenario(&server, 3.0)).expect("a report");
    let planted = &figures(&report).1.counts;
    assert_eq!((planted.closed, planted.connects), (1, 1), "{planted:?}");
    assert_eq!(planted.closes.get("4001 slow_consumer"), Some(&1), "{planted:?}");
    assert_eq!(came.lock().expect("no panic").len(), 3);
    assert_eq!(ready_at_the_end(&report), 3);
    assert_eq!(report.violation_count(), 0);
}

#[test]
fn a_close_that_does_not_is_final() {
    let (server, came) = closing(|session| session.close(4500, "bad_protocol"));
    let mut scenario = scenario(&server, 3.0);
    scenario.slo = "closed=0".to_owned();
    let report = run(&server, scenario).expect("a report");
    let planted = &figures(&report).1.counts;
    assert_eq!((planted.closed, planted.connects), (1, 0), "{planted:?}");
    assert_eq!(planted.closes.get("4500 bad_protocol"), Some(&1), "{planted:?}");
    assert_eq!(came.lock().expect("no panic").len(), 2, "it does not come back");
    assert_eq!(ready_at_the_end(&report), 2);
    assert!(!report.is_passed());
}

/// It says how long to stay away after the close; without that a quarter of a second would do.
#[test]
fn a_gateway_that_drains_is_left_alone_for_as_long_as_it_asks() {
    let (server, came) = closing(|session| {
        session.say(&Reply::Draining { reconnect_after_ms: 1_500 })?;
        session.close(4000, "draining")
    });
    let report = run(&server, scenario(&server, 4.0)).expect("a report");
    let planted = &figures(&report).1.counts;
    assert_eq!(planted.closes.get("4000 draining"), Some(&1), "{planted:?}");
    let came = came.lock().expect("no panic");
    let [_, drained, back] = came[..] else { panic!("{came:?}") };
    assert!(back.duration_since(drained) >= Duration::from_millis(1_500));
}

#[test]
fn a_refusal_is_counted_by_its_status_and_its_wait_is_kept_to() {
    const REFUSED: u64 = 3;
    let noted = Noted::default();
    let (attempts, count) = (Arc::clone(&noted), AtomicU64::new(0));
    let server = Server::start(60_000, move |stream, shared| {
        let is_window = shared.window.load(Ordering::SeqCst);
        if is_window {
            note(&attempts);
            if count.fetch_add(1, Ordering::SeqCst) < REFUSED {
                refuse(stream, "503 Service Unavailable", "retry-after: 1\r\n");
                return None;
            }
        }
        Session::open(stream, shared)?.feed()?.ready()?.serve()
    });
    let mut scenario = scenario(&server, 6.0);
    scenario.clients.remove(0);
    scenario.slo = "refused=0".to_owned();
    let what = What::Disconnect { back_within_s: 0.1 };
    scenario.events = vec![Event { at_s: 1.0, groups: Vec::new(), share: 1.0, what }];
    let report = run(&server, scenario).expect("a report");
    let counts = &report.groups[0].figures.counts;
    assert_eq!((counts.refused, counts.closed), (REFUSED, 0), "{counts:?}");
    assert_eq!(counts.refusals.get("HTTP/1.1 503 Service Unavailable"), Some(&REFUSED));
    let attempts = noted.lock().expect("no panic");
    assert_eq!(attempts.len() as u64, REFUSED + 1);
    for pair in attempts.windows(2) {
        let wait = pair[1].duration_since(pair[0]);
        assert!(wait >= Duration::from_secs(1), "{wait:?}");
    }
    assert_eq!(ready_at_the_end(&report), 1, "it is back");
    assert!(!report.is_passed());
}

#[test]
fn silence_beyond_the_promise_is_counted_and_ends_the_connection() {
    let silent = AtomicU64::new(0);
    let server = Server::promising(2_000, move |feed| {
        let mut feed = feed.ready()?.until_window()?;
        if silent.fetch_add(1, Ordering::SeqCst) > 0 {
            return feed.serve();
        }
        feed.session.fall_silent()
    });
    let mut scenario = scenario(&server, 6.0);
    scenario.slo = "silent=0".to_owned();
    let report = run(&server, scenario).expect("a report");
    let (sound, planted) = figures(&report);
    assert_eq!((sound.counts.silent, planted.counts.silent), (0, 1));
    assert_eq!(planted.counts.closes.get("silent for longer than promised"), Some(&1));
    assert_eq!(ready_at_the_end(&report), 3, "it came back");
    assert!(!report.is_passed());
}

/// The promise holds from `welcome` on.
#[test]
fn silence_before_everything_is_there_is_counted_as_well() {
    let came = AtomicU64::new(0);
    let server =
        Server::promising(2_000, move |mut feed| match came.fetch_add(1, Ordering::SeqCst) {
            0 => {
                let mut feed = feed.ready()?.until_window()?;
                feed.session.close(4001, "slow_consumer")
            }
            1 => feed.session.fall_silent(),
            _ => feed.ready()?.serve(),
        });
    let report = run(&server, scenario(&server, 7.0)).expect("a report");
    let planted = &figures(&report).1.counts;
    assert_eq!((planted.silent, planted.closed), (1, 2), "{planted:?}");
    assert_eq!(ready_at_the_end(&report), 3, "it came back");
}

/// A plain target has everything with the upgrade's answer; what a client does by the clock begins
/// then.
#[test]
fn clients_of_plain_targets_come_and_go_as_well() {
    let server = Server::stamped(|mut session, _| {
        loop {
            session.hear()?;
            let now_us = session.shared.clock.elapsed_us();
            let stamp_us = session.shared.clock.unix_us(now_us);
            session.send(Message::text(format!(r#"{{"sent_at_us":{stamp_us}}}"#)))?;
        }
    });
    let mut scenario = stamped(&server, 3.0);
    scenario.clients[1].lifetime_s = Some(0.2);
    let report = run(&server, scenario).expect("a report");
    let (sound, planted) = figures(&report);
    assert_eq!(sound.counts.connects, 0, "they stay");
    assert!(planted.counts.connects > 1, "{:?}", planted.counts);
    assert_eq!((planted.counts.closed, report.violation_count()), (0, 0));
}
