//! A gateway whose memory runs short.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::mpsc,
    thread,
};

use tickgate_protocol::channel::Channels;

use crate::{
    client::{Client, End, Refused, WAIT_LIMIT},
    process::{Gateway, Setup, replace},
};

/// Symbols of the market: what a greedy session subscribes to.
const SYMBOLS: usize = 8_192;

/// Sessions that take much, half of what the process takes.
const GREEDY: usize = 48;

/// Sessions that take little.
const MODEST: usize = 6;

fn config(memory_limit_bytes: u64) -> String {
    format!(
        "[gateway]\nworkers = 1\nmemory_limit_bytes = {memory_limit_bytes}\n\
         [hub]\nsymbol_limit = {SYMBOLS}\ntape_capacity = 16\nstatus_capacity = 16\n\
         [feed.simulated]\nsymbols = {SYMBOLS}\nticks_per_second = 500\n"
    )
}

#[test]
#[cfg(target_os = "linux")]
fn short_of_memory_it_takes_nobody_closes_the_greedy_and_recovers() {
    // Without a limit at first, to see what it takes by itself.
    let gateway = Gateway::start(&config(0));
    let address = gateway.address.clone();
    let mut modest = modest(&address);
    let ends = greedy(&address);
    let used = gateway.metric("process_resident_memory_bytes");

    // Now the limit is a little above what is in use: the first mark is passed, the second too.
    let limit = (used / 0.96) as u64;
    replace(&gateway.config_file(), config(limit).as_bytes());
    gateway.signal("HUP");
    gateway.logged("memory is short: nobody new is taken");
    assert_eq!(Client::connect(&address).err(), Some(Refused::Http(503)));
    assert_eq!(gateway.admin("/readyz"), (503, "short of memory\n".to_owned()));
    gateway.logged("the slowest sessions are closed");
    // Those who were closed know why and may come back.
    assert_eq!(ends.recv_timeout(WAIT_LIMIT), Ok(End::Close(4_002)));
    gateway.metric_until("tickgate_memory_used_bytes", |used| used < 0.92 * limit as f64);
    let closed = gateway.metric("tickgate_sessions_closed_total{reason=\"overloaded\"}");
    assert!((1.0..GREEDY as f64).contains(&closed), "{closed} closed: not everybody");
    assert!(gateway.metric("tickgate_handshakes_refused_total{reason=\"memory\"}") >= 1.0);
    println!(
        "{closed} closed, {used} before, {} now",
        gateway.metric("tickgate_memory_used_bytes")
    );

    // Who holds little stays and is served.
    for client in &mut modest {
        let frames = client.data_frames;
        client.read_until(|client| client.data_frames > frames).expect("still connected");
    }
    // With a limit that suffices it takes everybody again.
    replace(&gateway.config_file(), config(4 * limit).as_bytes());
    gateway.signal("HUP");
    gateway.logged("memory suffices again");
    assert_eq!(gateway.admin("/readyz").0, 200);
    let mut late = Client::connect(&address).expect("accepted");
    late.subscribe(&["AAPL"], Channels::DEFAULT, 100).expect("connected");
    late.read_until(|late| late.data_frames > 3).expect("served");
}

#[test]
#[cfg(target_os = "linux")]
fn in_a_control_group_it_keeps_below_the_limit_and_is_not_killed() {
    let Some(group) = ControlGroup::new() else {
        println!("no control group can be made here: not tested");
        return;
    };
    group.set_limit(1 << 30);
    let mut gateway = Setup::new(&config(0)).in_group(group.procs()).start();
    let address = gateway.address.clone();
    let limit = gateway.metric_until("tickgate_memory_limit_bytes", |limit| limit > 0.0);
    assert_eq!(limit, f64::from(1 << 30), "the group's limit was found");
    let mut modest = modest(&address);
    let ends = greedy(&address);
    // A look that came after all of them: the next two differ, since the market goes on.
    let used = gateway.metric_until("tickgate_memory_used_bytes", |used| used > 0.0);
    gateway.metric_until("tickgate_memory_used_bytes", |now| now != used);
    let used = gateway.metric("tickgate_memory_used_bytes");
    group.set_limit((used / 0.96) as u64);
    gateway.logged("the slowest sessions are closed");
    assert_eq!(ends.recv_timeout(WAIT_LIMIT), Ok(End::Close(4_002)));
    // More of the same keep coming; without the marks they would take twice the limit.
    let mut refused = 0;
    for _ in 0..3 * GREEDY {
        match Client::connect(&address) {
            Ok(mut client) => {
                // It may be closed at once, which is what this is about.
                let _ = client.subscribe(&["*"], Channels::ALL, 60_000);
                thread::spawn(move || client.read_to_the_end());
            }
            Err(reason) => {
                assert_eq!(reason, Refused::Http(503));
                refused += 1;
            }
        }
    }
    assert!(refused > 0);
    for client in &mut modest {
        let frames = client.data_frames;
        client.read_until(|client| client.data_frames > frames).expect("still connected");
    }
    gateway.signal("TERM");
    let (status, log) = gateway.wait();
    assert!(status.success(), "it ended with {status}:\n{log}");
}

/// Clients with a few symbols, served.
fn modest(address: &str) -> Vec<Client> {
    let clients = (0..MODEST).map(|_| {
        let mut client = Client::connect(address).expect("accepted");
        client.subscribe(&["AAPL", "MSFT"], Channels::DEFAULT, 100).expect("connected");
        client.read_until(|client| client.readies == 1).expect("connected");
        client
    });
    clients.collect()
}

/// Clients with everything, and how each of them ends. The last are cut off with the gateway, when
/// nobody asks any more.
fn greedy(address: &str) -> mpsc::Receiver<End> {
    let (ended, ends) = mpsc::channel();
    for _ in 0..GREEDY {
        let mut client = Client::connect(address).expect("accepted");
        client.subscribe(&["*"], Channels::ALL, 60_000).expect("connected");
        client.read_until(|client| client.readies == 1).expect("connected");
        let ended = ended.clone();
        thread::spawn(move || ended.send(client.read_to_the_end()));
    }
    ends
}

/// A control group of our own, removed when dropped.
struct ControlGroup {
    folder: PathBuf,
    limit: &'static str,
}

impl ControlGroup {
    /// In version 1 or 2, where we may make one.
    fn new() -> Option<Self> {
        let name = format!("tickgate-test-{}", std::process::id());
        let places =
            [("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")];
        places.into_iter().find_map(|(mount, limit)| {
            let folder = Path::new(mount).join(&name);
            fs::create_dir(&folder).ok()?;
            let group = Self { folder, limit };
            // A group of version 2 has limits only where its parent lets it.
            group.folder.join(limit).exists().then_some(group)
        })
    }

    fn procs(&self) -> PathBuf {
        self.folder.join("cgroup.procs")
    }

    fn set_limit(&self, bytes: u64) {
        fs::write(self.folder.join(self.limit), bytes.to_string()).expect("the group is ours");
    }
}

impl Drop for ControlGroup {
    fn drop(&mut self) {
        // Empty once the gateway has ended; one that stays behind limits nobody.
        let _ = fs::remove_dir(&self.folder);
    }
}
