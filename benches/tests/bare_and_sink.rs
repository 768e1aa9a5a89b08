//! The sink and the reference server against each other, over real sockets.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use tickgate_benches::{
    bare::{self, BareConfig},
    sink::{self, Content, Group, Plan},
};

fn plan(address: std::net::SocketAddr, stalls: bool) -> Plan {
    let group = |sessions, stalls| Group {
        sessions,
        symbols: 1,
        channels: vec!["quote".into()],
        throttle_ms: 10,
        stalls,
    };
    Plan {
        address,
        path: "/".into(),
        subprotocol: None,
        content: Content::Opaque,
        server_pid: std::process::id(),
        server_core: 0,
        sink_core: 0,
        symbols: vec!["S0".into()],
        skew: 1.0,
        seed: 1,
        groups: vec![group(5, false), group(if stalls { 5 } else { 0 }, true)],
        hold_idle: true,
        warm_up_ms: 10,
        window_ms: 500,
        sample_every: 0,
    }
}

#[test]
fn every_frame_is_counted_with_its_size() {
    let listener = bare::listen().expect("a free port");
    let address = listener.local_addr().expect("bound");
    let stop = Arc::new(AtomicBool::new(false));
    let config = BareConfig {
        frame_bytes: 300,
        interval: Duration::from_millis(10),
        tick: Duration::from_millis(5),
    };
    let server = thread::spawn({
        let stop = Arc::clone(&stop);
        move || bare::run(listener, config, &stop)
    });

    let report = sink::run(&plan(address, false)).expect("a report");
    assert_eq!(report.sessions, 5);
    assert!(report.frames > 0);
    assert_eq!(report.bytes, 300 * report.frames, "every frame has the size asked for");
    assert_eq!(report.entries, report.frames);
    assert!(report.resident_idle.is_some());
    assert!(report.memory.len() >= 2, "memory at the window's start and end");

    // The same with as many that stop reading: they are connected and count for nothing.
    let report = sink::run(&plan(address, true)).expect("a report");
    assert_eq!(report.sessions, 10);
    assert_eq!(report.bytes, 300 * report.frames);

    stop.store(true, Ordering::Relaxed);
    server.join().expect("no panic").expect("no error");
}

#[test]
fn an_interval_that_is_no_multiple_of_the_tick_is_refused() {
    let config = BareConfig {
        frame_bytes: 300,
        interval: Duration::from_millis(12),
        tick: Duration::from_millis(5),
    };
    let listener = bare::listen().expect("a free port");
    let error = bare::run(listener, config, &AtomicBool::new(true)).expect_err("refused");
    assert!(error.to_string().contains("multiple"), "{error}");
}

#[test]
fn a_server_that_is_not_there_is_an_error() {
    let listener = bare::listen().expect("a free port");
    let address = listener.local_addr().expect("bound");
    drop(listener);
    let error = sink::run(&plan(address, false)).expect_err("nobody listens");
    assert!(format!("{error:#}").contains("refused"), "{error:#}");
}
