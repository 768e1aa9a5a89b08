//! The binary from outside: exit codes, what it prints, how it stops.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    process::{Child, Command, Output, Stdio},
};

/// The binary, cut off from the environment's own settings.
fn tickgate(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tickgate"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("TICKGATE_") {
            command.env_remove(name);
        }
    }
    command.args(arguments);
    command
}

fn run(arguments: &[&str]) -> Output {
    tickgate(arguments).output().expect("the binary runs")
}

/// Exit code, and the only line on stderr.
fn refusal(output: &Output) -> (Option<i32>, String) {
    let text = String::from_utf8(output.stderr.clone()).expect("UTF-8");
    assert!(output.stdout.is_empty(), "nothing on stdout: {output:?}");
    assert_eq!(text.lines().count(), 1, "one line: {text}");
    (output.status.code(), text.trim_end().to_owned())
}

fn commented_file() -> String {
    concat!(env!("CARGO_MANIFEST_DIR"), "/../../config/tickgate.toml").to_owned()
}

/// A gateway on ports of its own, killed when dropped.
struct Gateway {
    child: Child,
    banner: Vec<String>,
}

impl Gateway {
    fn start(arguments: &[&str]) -> Self {
        let ports = ["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"];
        let mut child = tickgate(&[&ports[..], arguments].concat())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        let stdout = BufReader::new(child.stdout.take().expect("piped"));
        let banner = stdout.lines().take(5).map(|line| line.expect("a line")).collect();
        Self { child, banner }
    }

    /// What stands behind a word of the banner.
    fn told(&self, word: &str) -> &str {
        let line = self.banner.iter().find_map(|line| line.trim_start().strip_prefix(word));
        line.unwrap_or_else(|| panic!("no {word} in {:?}", self.banner)).trim()
    }

    /// `host:port` of an address in the banner.
    fn address(&self, word: &str) -> &str {
        let (_, rest) = self.told(word).split_once("://").expect("a URL");
        rest.split('/').next().expect("an address")
    }

    fn get(&self, word: &str, path: &str) -> String {
        let address = self.address(word);
        let mut stream = TcpStream::connect(address).expect("connects");
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        answer
    }

    fn signal(&mut self, name: &str) -> (Option<i32>, String) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &pid]).status().expect("kill runs");
        assert!(sent.success());
        let status = self.child.wait().expect("ends");
        let mut log = String::new();
        let stderr = self.child.stderr.as_mut().expect("piped");
        stderr.read_to_string(&mut log).expect("UTF-8");
        (status.code(), log)
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_commented_file_is_valid() {
    let output = run(&["check", "--config", &commented_file()]);
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.ends_with("tickgate.toml: valid\n"), "{text}");
}

#[test]
fn a_configuration_that_breaks_a_rule_is_exit_code_2() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), "[hub]\nshard = 2\n").expect("written");
    let path = file.path().display().to_string();
    for (arguments, line) in [
        (
            vec!["check", "--config", &path],
            format!("tickgate: {path}: unknown key `hub.shard`; did you mean `hub.shards`?"),
        ),
        (
            vec!["--config", &path],
            format!("tickgate: {path}: unknown key `hub.shard`; did you mean `hub.shards`?"),
        ),
        (
            vec!["--set", "session.drain_age_ms=5s"],
            "tickgate: session.drain_age_ms = \"5s\": must be a whole number of milliseconds (from --set)".into(),
        ),
        (
            vec!["--ticks-per-second", "9"],
            "tickgate: feed.simulated.ticks_per_second = 9: must be 10 to 2,000,000 (from --ticks-per-second)".into(),
        ),
        (
            vec!["check", "--config", "/no/such/file.toml"],
            "tickgate: cannot read /no/such/file.toml: No such file or directory (os error 2)".into(),
        ),
    ] {
        assert_eq!(refusal(&run(&arguments)), (Some(2), line), "{arguments:?}");
    }
    let usage = run(&["--no-such-flag"]);
    assert_eq!(usage.status.code(), Some(2));
}

#[test]
fn the_environment_is_checked_like_the_file() {
    let with = |name: &str, value: &str| {
        let output = tickgate(&["check"]).env(name, value).output();
        refusal(&output.expect("the binary runs"))
    };
    let unknown = "tickgate: environment: unknown key `TICKGATE_HUB_SHARD`; did you mean `TICKGATE_HUB_SHARDS`?";
    assert_eq!(with("TICKGATE_HUB_SHARD", "2"), (Some(2), unknown.into()));
    let range =
        "tickgate: hub.tape_capacity = 3: must be a power of two (from TICKGATE_HUB_TAPE_CAPACITY)";
    assert_eq!(with("TICKGATE_HUB_TAPE_CAPACITY", "3"), (Some(2), range.into()));
}

#[test]
fn a_port_in_use_is_exit_code_3_and_leaves_nothing_running() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    for (public, admin, key) in [
        (address.as_str(), "127.0.0.1:0", "gateway.listen"),
        ("127.0.0.1:0", address.as_str(), "admin.listen"),
    ] {
        let output = run(&["--listen", public, "--admin-listen", admin]);
        let (code, line) = refusal(&output);
        assert_eq!(code, Some(3));
        let expected = format!("tickgate: {key} = {address}: cannot listen: ");
        assert!(line.starts_with(&expected), "{line}");
    }
}

#[test]
fn a_recording_that_cannot_be_read_is_exit_code_3() {
    let output = run(&["--replay", "/no/such/recording.gz", "--listen", "127.0.0.1:0"]);
    let (code, line) = refusal(&output);
    assert_eq!(code, Some(3));
    assert!(line.starts_with("tickgate: /no/such/recording.gz: "), "{line}");
}

#[test]
fn a_gateway_says_where_it_is_serves_and_stops_in_order_on_either_signal() {
    for signal in ["TERM", "INT"] {
        let mut gateway = Gateway::start(&["--symbols", "10"]);
        assert!(gateway.told("stream").ends_with("/v1/stream"));
        assert!(gateway.told("try").contains(" tail --url ws://127.0.0.1:"));

        let page = gateway.get("page", "/");
        assert!(page.starts_with("HTTP/1.1 200 OK"), "{page}");
        assert!(page.contains("content-security-policy: default-src 'none'; script-src 'self'"));
        assert!(gateway.get("stream", "/v1/stream").starts_with("HTTP/1.1 426 "));
        // The feed's thread may still be on its way to its first poll.
        while !gateway.get("admin", "/readyz").starts_with("HTTP/1.1 200 ") {}
        let metrics = gateway.get("admin", "/metrics");
        assert!(metrics.contains("\ntickgate_symbols 10\n"), "{metrics}");

        let (code, log) = gateway.signal(signal);
        assert_eq!(code, Some(0), "{log}");
        assert!(log.contains("stopped"), "{log}");
    }
}

#[test]
fn the_line_to_paste_shows_live_data() {
    let gateway = Gateway::start(&[]);
    let words: Vec<&str> = gateway.told("try").split(' ').skip(1).collect();
    let mut tail = tickgate(&words).stdout(Stdio::piped()).spawn().expect("the binary runs");
    let stdout = BufReader::new(tail.stdout.take().expect("piped"));
    let (mut quoted, mut described) = (false, false);
    for line in stdout.lines().map_while(Result::ok).filter(|line| line.starts_with("AAPL ")) {
        quoted |= line.contains(" bid ") && line.contains(" ask ");
        described |= line.contains(" is Apple (simulated), SIMULATED, USD, in steps of 0.01");
        if quoted && described {
            break;
        }
    }
    assert!(quoted, "no quote of AAPL");
    assert!(described, "nothing of what AAPL is");
    // The reader is gone: that is a good end, not an error.
    let status = tail.wait().expect("ends");
    assert!(status.success(), "{status:?}");
}

#[test]
fn a_log_in_json_is_one_object_a_line() {
    let mut gateway = Gateway::start(&["--set", "log.format=json"]);
    let (_, log) = gateway.signal("TERM");
    assert!(log.lines().count() >= 2, "{log}");
    for line in log.lines() {
        assert!(line.starts_with("{\"timestamp\":") && line.ends_with('}'), "{line}");
    }
}
