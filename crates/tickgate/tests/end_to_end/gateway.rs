//! The binary as a child process.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

/// How long the binary may take to print its addresses, on a machine that is busy building.
const START_LIMIT: Duration = Duration::from_secs(30);

/// How long it may take to leave once it was told to.
const STOP_LIMIT: Duration = Duration::from_secs(30);

/// A running gateway; killed when dropped.
pub(crate) struct Gateway {
    child: Child,
    /// Where clients connect.
    pub(crate) stream_url: String,
    metrics_url: String,
    lines: Receiver<String>,
    _folder: TempDir,
}

impl Gateway {
    /// Starts the binary with `config` (TOML) on ports that the system chooses, and waits until it
    /// has printed its addresses.
    pub(crate) fn start(config: &str) -> Self {
        Self::launch(config, Command::new(env!("CARGO_BIN_EXE_tickgate")))
    }

    /// The same with at most so many open descriptors.
    pub(crate) fn start_with_descriptors(config: &str, descriptors: u32) -> Self {
        let mut command = Command::new("sh");
        let script = format!("ulimit -n {descriptors} && exec \"$0\" \"$@\"");
        command.args(["-c", &script, env!("CARGO_BIN_EXE_tickgate")]);
        Self::launch(config, command)
    }

    fn launch(config: &str, mut command: Command) -> Self {
        let folder = TempDir::new().expect("a temporary folder can be made");
        let file = folder.path().join("tickgate.toml");
        fs::write(&file, config).expect("the temporary folder can be written");
        command.arg("--config").arg(&file);
        command.args(["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]);
        // Settings of whoever runs the tests are not ours.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("TICKGATE_") {
                command.env_remove(name);
            }
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary was built and can be started");
        let (sender, lines) = mpsc::channel();
        forward(child.stdout.take().expect("stdout is piped"), sender.clone());
        forward(child.stderr.take().expect("stderr is piped"), sender);
        let mut word = |wanted: fn(&str) -> bool| {
            first_word(&lines, wanted).unwrap_or_else(|printed| {
                let status = child.try_wait();
                panic!("an address was not printed ({status:?}); printed was:\n{printed}")
            })
        };
        let stream_url = word(|word| word.starts_with("ws://"));
        let metrics_url = word(|word| word.starts_with("http://") && word.ends_with("/metrics"));
        Self { child, stream_url, metrics_url, lines, _folder: folder }
    }

    /// The `address:port` of the admin listener.
    pub(crate) fn metrics_address(&self) -> &str {
        authority(&self.metrics_url)
    }

    /// The value of a metric, with its labels as printed.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let address = self.metrics_address();
        let mut stream = TcpStream::connect(address).expect("the admin listener is there");
        stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").expect("a request leaves");
        let mut page = String::new();
        stream.read_to_string(&mut page).expect("an answer");
        let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        let value = line.and_then(|value| value.trim().parse().ok());
        value.unwrap_or_else(|| panic!("no {name} in\n{page}"))
    }

    /// CPU seconds so far, of all its threads, in the kernel or not (`/proc/PID/stat`, in hundredths).
    pub(crate) fn cpu_seconds(&self) -> f64 {
        let path = format!("/proc/{}/stat", self.child.id());
        let stat = std::fs::read_to_string(path).expect("it is running");
        // The second field is a name, and may hold anything.
        let (_, fields) = stat.rsplit_once(')').expect("a name in parentheses");
        let fields = fields.split_whitespace().skip(11).take(2);
        fields.map(|ticks| ticks.parse::<f64>().expect("a number")).sum::<f64>() / 100.0
    }

    /// Tells it to stop, and returns how it ended together with what it printed since its start.
    pub(crate) fn stop(mut self) -> (ExitStatus, String) {
        let pid = self.child.id().to_string();
        let told = Command::new("kill").args(["-TERM", &pid]).status();
        assert!(told.is_ok_and(|status| status.success()), "the gateway had ended by itself");
        let start = Instant::now();
        let mut printed = String::new();
        // Both its pipes close when it ends.
        loop {
            match self.lines.recv_timeout(STOP_LIMIT.saturating_sub(start.elapsed())) {
                Ok(line) => printed += &(line + "\n"),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("it does not stop; printed:\n{printed}"),
            }
        }
        (self.child.wait().expect("a child can be waited for"), printed)
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // It may have ended already; what counts is that it is gone.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            let printed: Vec<String> = self.lines.try_iter().collect();
            eprintln!("the gateway printed:\n{}", printed.join("\n"));
        }
    }
}

/// Sends each line of `pipe`, so that the child never waits for us to read.
fn forward(pipe: impl Read + Send + 'static, lines: mpsc::Sender<String>) {
    thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            if lines.send(line).is_err() {
                return;
            }
        }
    });
}

/// `address:port` of a URL.
pub(crate) fn authority(url: &str) -> &str {
    url.split('/').nth(2).unwrap_or_default()
}

/// The first word that is `wanted`, or everything printed when none came.
fn first_word(lines: &Receiver<String>, wanted: fn(&str) -> bool) -> Result<String, String> {
    let start = Instant::now();
    let mut printed = String::new();
    loop {
        match lines.recv_timeout(START_LIMIT.saturating_sub(start.elapsed())) {
            Ok(line) => {
                if let Some(word) = line.split_whitespace().find(|word| wanted(word)) {
                    return Ok(word.to_owned());
                }
                printed += &line;
                printed.push('\n');
            }
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return Err(printed),
        }
    }
}
