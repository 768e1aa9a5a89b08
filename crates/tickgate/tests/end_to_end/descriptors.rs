//! A gateway without descriptors to accept with.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use tickgate_protocol::{channel::Channels, dialect::Dialect::MessagePack};

use crate::{
    client::Client,
    gateway::{Gateway, authority},
};

/// Enough to start and to serve a handful of clients.
const DESCRIPTORS: u32 = 64;

/// More connections than that.
const CROWD: usize = 120;

/// How long the processor time is looked at.
const WATCHED: Duration = Duration::from_secs(4);

/// How long something may take before the test says that it hangs.
const PATIENCE: Duration = Duration::from_secs(60);

const CONFIG: &str = "[gateway]\nworkers = 1\nrequest_head_age_ms = 60000\n[hub]\nsymbol_limit = 64\n[feed.simulated]\n\
                      symbols = 20\nticks_per_second = 500\n";

#[test]
fn out_of_descriptors_others_are_told_sessions_go_on_and_it_recovers() {
    let gateway = Gateway::start_with_descriptors(CONFIG, DESCRIPTORS);
    let mut healthy = Client::connect(&gateway.stream_url, MessagePack);
    healthy.subscribe(["*"], Channels::DEFAULT, 50);
    healthy.read_until(|client| client.readies == 1);

    // Each holds a descriptor with a request that it does not finish.
    let address = authority(&gateway.stream_url);
    let began = Instant::now();
    let mut crowd: Vec<TcpStream> = (0..CROWD)
        .map(|_| {
            let mut stream = TcpStream::connect(address).expect("the backlog takes it");
            stream.write_all(b"GET / HTTP/1.1\r\n").expect("a few bytes leave");
            stream
        })
        .collect();

    // One of those that were too many is accepted with the spare descriptor and told.
    let answer = first_answer(&mut crowd);
    assert!(
        answer.starts_with("HTTP/1.1 503 ") && answer.contains("\r\nretry-after: "),
        "{answer}"
    );
    assert!(answer.ends_with("the gateway is out of descriptors: try again later\n"), "{answer}");

    // Who was there before is served as ever, and trying again and again takes next to nothing: all
    // that the process does, this client's frames included, within a quarter of a core.
    let (frames, before_s, watched) = (healthy.data_frames, gateway.cpu_seconds(), Instant::now());
    healthy.read_until(|client| watched.elapsed() > WATCHED && client.data_frames > frames + 20);
    let share = (gateway.cpu_seconds() - before_s) / watched.elapsed().as_secs_f64();
    println!("out of descriptors it used {:.1} % of a core", share * 100.0);
    assert!(share < 0.25, "{share} of a core");

    // Once they leave there is room again: the gateway finds out by itself.
    drop(crowd);
    let mut again = Client::connect(&gateway.stream_url, MessagePack);
    again.subscribe(["*"], Channels::DEFAULT, 50);
    again.read_until(|client| client.readies == 1);
    let lasted_s = began.elapsed().as_secs_f64();

    let told = gateway.metric("tickgate_connections_turned_away_total{reason=\"descriptors\"}");
    assert!(told > 0.0, "nobody was told");
    // It waits between its tries, 10 ms at the least: without that it would have tried a hundred
    // thousand times a second. Both listeners may have tried.
    let tries = gateway.metric("tickgate_accept_errors_total");
    assert!(tries <= 2.0 * 100.0 * lasted_s, "{tries} tries in {lasted_s} s");
    let (status, printed) = gateway.stop();
    assert!(status.success(), "{status}\n{printed}");
    let told = printed.matches("accept failed").count();
    assert!((1.0..=1.0 + lasted_s / 10.0).contains(&(told as f64)), "{tries} tries:\n{printed}");
}

#[test]
fn limits_that_the_descriptors_cannot_hold_are_told_at_the_start() {
    let start = |limit: u32| {
        let script = "ulimit -n 9000 && exec \"$0\" \"$@\"";
        let mut child = Command::new("sh")
            .args(["-c", script, env!("CARGO_BIN_EXE_tickgate")])
            .args(["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"])
            .args(["--set", "gateway.workers=1"])
            .args(["--set", &format!("gateway.session_limit={limit}")])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary was built and can be started");
        // Once the addresses are printed it has said what it has to say, and stopped in order it has
        // written it.
        let stdout = BufReader::new(child.stdout.take().expect("stdout is piped"));
        let mut lines = stdout.lines().map_while(Result::ok);
        assert!(lines.any(|line| line.contains("ws://")), "it starts");
        let pid = child.id().to_string();
        Command::new("kill").args(["-TERM", &pid]).status().expect("a signal can be sent");
        let output = child.wait_with_output().expect("a child can be waited for");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    // 512 connections in HTTP on two listeners, and 68 for everything else.
    let fits = 9_000 - 2 * 512 - 68;
    let printed = start(fits + 1);
    let warning = format!("gateway.session_limit = {} cannot be reached", fits + 1);
    assert!(printed.contains(&warning), "{printed}");
    let printed = start(fits);
    assert!(!printed.contains("cannot be reached"), "{printed}");
}

/// Waits until somebody is answered.
fn first_answer(crowd: &mut [TcpStream]) -> String {
    let began = Instant::now();
    let mut answer = [0; 1024];
    for stream in crowd.iter().cycle() {
        assert!(began.elapsed() < PATIENCE, "nobody is told");
        stream.set_read_timeout(Some(Duration::from_millis(1))).expect("a timeout can be set");
        let mut stream = stream;
        if let Ok(length @ 1..) = stream.read(&mut answer) {
            return String::from_utf8_lossy(&answer[..length]).into_owned();
        }
    }
    unreachable!("a cycle of {} ends only with an answer", crowd.len())
}
