//! A configuration that is read again while the gateway runs, sound or not.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use tickgate_protocol::channel::Channels;

use crate::{
    client::{Client, Refused},
    process::{Gateway, replace},
};

/// Files the mutation test reads, and how many of either kind it must have met to mean anything.
const FILES: usize = 200;
const LEAST_OF_EACH: usize = 30;

const ONE: &str = "https://one.example";
const TWO: &str = "https://two.example";

#[test]
fn what_can_change_live_does_and_the_rest_is_named() {
    let gateway = Gateway::start("");
    let address = gateway.address.clone();
    let mut early = Client::connect_from(&address, Some(TWO)).expect("accepted");
    early.subscribe(&["AAPL"], Channels::DEFAULT, 100).expect("connected");
    let reload = |text: &str| {
        replace(&gateway.config_file(), text.as_bytes());
        gateway.signal("HUP");
        gateway.logged("configuration")
    };

    let line = reload(&format!("[gateway]\nallowed_origins = [\"{ONE}\"]\n"));
    assert!(line.contains("reloaded changed=\"gateway.allowed_origins\""), "{line}");
    assert_eq!(Client::connect_from(&address, Some(TWO)).err(), Some(Refused::Http(403)));
    let second = Client::connect_from(&address, Some(ONE)).expect("accepted");

    // Two are there already.
    let line = reload("[gateway]\nsession_limit = 2\nworkers = 7\n[hub]\nshards = 3\n");
    let changed = "changed=\"gateway.allowed_origins gateway.session_limit\"";
    let waiting = "needs_restart=\"gateway.workers hub.shards\"";
    assert!(line.contains(changed) && line.contains(waiting), "{line}");
    assert_eq!(Client::connect(&address).err(), Some(Refused::Http(503)));

    let line = reload("[log]\nfilter = \"debug\"\n");
    assert!(line.contains("gateway.session_limit log.filter"), "{line}");
    // The filter follows its line: once the next is read it is there.
    reload("[log]\nfilter = \"debug\"\n");
    drop(second);
    drop(Client::connect(&address).expect("accepted"));
    gateway.logged("session opened");

    let frames = early.data_frames;
    early.read_until(|early| early.data_frames > frames).expect("never disturbed");
}

#[test]
fn limits_of_sessions_change_for_who_comes_next_or_at_once() {
    let gateway = Gateway::start("[limits]\nsubscription_limit = 1\n");
    replace(&gateway.config_file(), b"[session]\nfirst_command_limit_ms = 1000\n");
    // It would have ten seconds; nothing it does tells the two apart but when it is closed.
    let mut idle = Client::connect(&gateway.address).expect("accepted");
    gateway.signal("HUP");
    let line = gateway.logged("configuration");
    assert!(line.contains("limits.subscription_limit session.first_command_limit_ms"), "{line}");
    assert_eq!(idle.read_to_the_end(), crate::client::End::Close(4_503));
    let line = gateway.logged("session ended");
    let duration_s = line.split_whitespace().find_map(|word| word.strip_prefix("duration_s="));
    assert!(duration_s.and_then(|s| s.parse::<f64>().ok()).is_some_and(|s| s < 10.0), "{line}");
    let mut late = Client::connect(&gateway.address).expect("accepted");
    late.subscribe(&["AAPL", "MSFT"], Channels::DEFAULT, 100).expect("connected");
    let both =
        |late: &Client| late.book.symbol("AAPL").is_some() && late.book.symbol("MSFT").is_some();
    late.read_until(both).expect("both are within the new limit");
}

#[test]
fn two_hundred_mutated_files_change_everything_they_say_or_nothing() {
    let seed = std::env::var("TICKGATE_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(7);
    println!("seed {seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let mut gateway = Gateway::start(&sound(&mut rng));
    let address = gateway.address.clone();
    let mut watching = Client::connect(&address).expect("accepted");
    watching.subscribe(&["*"], Channels::DEFAULT, 100).expect("connected");
    let file = gateway.config_file();
    let mut in_force = origins(&fs::read_to_string(&file).expect("text"));
    let (mut good, mut bad) = (0, 0);
    for number in 0..FILES {
        let content = mutated(&sound(&mut rng), &mut rng);
        replace(&file, &content);
        let is_sound = check(&file);
        gateway.signal("HUP");
        let line = gateway.logged("configuration");
        let context =
            format!("seed {seed}, file {number}: {line}\n{}", String::from_utf8_lossy(&content));
        assert_eq!(line.contains("configuration reloaded"), is_sound, "{context}");
        if is_sound {
            good += 1;
            in_force = origins(std::str::from_utf8(&content).expect("it was read as text"));
        } else {
            bad += 1;
            assert!(line.contains("nothing changed: "), "{context}");
        }
        for origin in [ONE, TWO] {
            let is_allowed = in_force.is_empty() || in_force.iter().any(|each| each == origin);
            let refused = Client::connect_from(&address, Some(origin)).err();
            let expected = (!is_allowed).then_some(Refused::Http(403));
            assert_eq!(refused, expected, "{origin} of {in_force:?}: {context}");
        }
    }
    println!("{good} sound, {bad} not");
    assert!(
        good >= LEAST_OF_EACH && bad >= LEAST_OF_EACH,
        "{good} sound, {bad} not: proves little"
    );

    fs::remove_file(&file).expect("it is there");
    gateway.signal("HUP");
    let line = gateway.logged("configuration");
    assert!(line.contains("not reloaded, nothing changed: cannot read"), "{line}");
    let frames = watching.data_frames;
    watching.read_until(|client| client.data_frames > frames).expect("never disturbed");
    gateway.signal("TERM");
    let (status, log) = gateway.wait();
    assert!(status.success(), "{log}");
}

/// A file without a fault, by chance.
fn sound(rng: &mut StdRng) -> String {
    let origins = [vec![], vec![ONE], vec![TWO], vec![ONE, TWO]];
    format!(
        "# A comment, with \u{e9}\n[gateway]\nworkers = 1\nallowed_origins = {:?}\n\
         drain_within_ms = {}\n\n[session]\nthrottle_interval_ms = {}\nping_interval_ms = 20_000\n\
         client_silence_limit_ms = {}\n\n[limits]\ncommands_per_second = {}\ncommand_burst = 200\n\n\
         [log]\nlines_per_second = 1_000_000\n\n\
         [feed]\nkind = \"simulated\"\n[feed.simulated]\nsymbols = 20\n",
        origins[rng.random_range(0..origins.len())],
        rng.random_range(0..5_000),
        rng.random_range(0..1_000),
        rng.random_range(21_000..60_000),
        rng.random_range(1..1_000),
    )
}

/// Up to three faults put in; one file in five is left sound.
fn mutated(text: &str, rng: &mut StdRng) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    if rng.random_bool(0.2) {
        return bytes;
    }
    for _ in 0..rng.random_range(1..=3) {
        if bytes.is_empty() {
            break;
        }
        let at = rng.random_range(0..bytes.len());
        let end = rng.random_range(at..=bytes.len().min(at + 40));
        match rng.random_range(0..8) {
            0 => bytes[at] = rng.random_range(0..=255),
            1 => bytes[at] ^= 1 << rng.random_range(0..8),
            2 => drop(bytes.drain(at..end)),
            3 => bytes.truncate(at),
            4 => bytes.insert(at, b"\0\n\"[]=#9\xff"[rng.random_range(0..9)]),
            5 => {
                let copy = bytes[at..end].to_vec();
                bytes.splice(at..at, copy);
            }
            6 => {
                let value = ["-1", "18446744073709551616", "1e9", "nan", "\"\"", "[[", "true"];
                bytes.splice(at..end, value[rng.random_range(0..value.len())].bytes());
            }
            _ => {
                let mut lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
                let (a, b) = (rng.random_range(0..lines.len()), rng.random_range(0..lines.len()));
                lines.swap(a, b);
                bytes = lines.join(&b'\n');
            }
        }
    }
    bytes
}

/// What `tickgate check` says of the file, as a program of its own.
fn check(file: &Path) -> bool {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tickgate"));
    command.arg("check").arg("--config").arg(file);
    command.args(["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]);
    command.env_clear().stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let status = command.status().expect("it can be started");
    assert!(matches!(status.code(), Some(0 | 2)), "{status}");
    status.success()
}

/// The origins that a sound file allows.
fn origins(text: &str) -> Vec<String> {
    let table: toml::Table = text.parse().expect("sound");
    let origins = table.get("gateway").and_then(|gateway| gateway.get("allowed_origins"));
    let all = origins.and_then(toml::Value::as_array).into_iter().flatten();
    all.map(|origin| origin.as_str().expect("text").to_owned()).collect()
}
