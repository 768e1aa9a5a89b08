//! Logs that nobody takes: a full disk, a closed pipe, a pipe that is not read.

use std::{fs::File, io::Read, thread};

use tickgate_protocol::channel::Channels;

use crate::{
    client::Client,
    process::{Gateway, Setup, Stderr, replace},
};

/// Every connection is worth several lines.
const LOUD: &str =
    "[log]\nfilter = \"trace\"\nlines_per_second = 1_000_000\n[feed.simulated]\nsymbols = 20\n";

/// Connections that make more lines than the log's buffer and a pipe hold together: 4,096 lines,
/// and 64 KiB of a hundred bytes each.
const MANY: usize = 4_000;

/// A client is served in the ordinary way.
fn is_served(gateway: &Gateway) {
    let mut client = Client::connect(&gateway.address).expect("accepted");
    client.subscribe(&["*"], Channels::ALL, 20).expect("connected");
    client.read_until(|client| client.readies == 1 && client.data_frames > 20).expect("served");
}

fn stops_in_order(mut gateway: Gateway) {
    gateway.signal("TERM");
    let (status, _) = gateway.wait();
    assert!(status.success(), "it ended with {status}");
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_under_the_log_stops_nothing() {
    let full = File::options().write(true).open("/dev/full").expect("Linux has one");
    let gateway = Setup::new(LOUD).stderr(Stderr::File(full)).start();
    is_served(&gateway);
    assert_eq!(gateway.admin("/readyz").0, 200);
    stops_in_order(gateway);
}

#[test]
fn json_lines_can_be_turned_up_and_down_while_it_runs() {
    let gateway = Gateway::start("[log]\nformat = \"json\"\n");
    let reloaded = "\"message\":\"configuration reloaded\"";
    for filter in ["debug", "info"] {
        let config = format!("[log]\nformat = \"json\"\nfilter = \"{filter}\"\n");
        replace(&gateway.config_file(), config.as_bytes());
        // The filter follows its line: once the second is read it is there.
        for _ in 0..2 {
            gateway.signal("HUP");
            gateway.logged(reloaded);
        }
        drop(Client::connect(&gateway.address).expect("accepted"));
        let line = gateway.logged("\"message\":\"session ");
        let expected = if filter == "debug" { "session opened" } else { "session ended" };
        assert!(line.contains(expected), "{filter}: {line}");
        if filter == "debug" {
            gateway.logged("session ended");
        }
    }
}

#[test]
fn a_closed_pipe_under_the_log_stops_nothing() {
    let mut gateway = Setup::new(LOUD).stderr(Stderr::Unread).start();
    drop(gateway.unread.take());
    is_served(&gateway);
    stops_in_order(gateway);
}

#[test]
fn a_log_reader_that_does_not_read_loses_lines_and_holds_up_nobody() {
    let mut gateway = Setup::new(LOUD).stderr(Stderr::Unread).start();
    let mut pipe = gateway.unread.take().expect("a pipe");
    let mut watching = Client::connect(&gateway.address).expect("accepted");
    watching.subscribe(&["*"], Channels::ALL, 20).expect("connected");
    for _ in 0..MANY {
        drop(Client::connect(&gateway.address).expect("accepted"));
    }
    let lost = gateway.metric_until("tickgate_log_lines_lost_total", |lost| lost > 0.0);
    let frames = watching.data_frames;
    watching.read_until(|client| client.data_frames > frames + 20).expect("served");
    is_served(&gateway);

    // Somebody reads again: the log goes on, and says that it has a gap.
    let reader = thread::spawn(move || {
        let mut text = String::new();
        pipe.read_to_string(&mut text).expect("text");
        text
    });
    gateway.metric_until("tickgate_sessions", |sessions| sessions <= 1.0);
    drop(watching);
    let gap = gateway.metric("tickgate_log_lines_lost_total");
    assert!(gap >= lost);
    stops_in_order(gateway);
    let text = reader.join().expect("it ends with the gateway");
    assert!(text.lines().last().is_some_and(|line| line.contains("stopped")), "the end is there");
}
