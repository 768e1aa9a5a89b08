//! The binary as a child process that may be signalled, killed and started again.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, ChildStderr, Command, ExitStatus, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

/// How long anything may take that is waited for, on a machine that is busy building.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Where its log goes.
pub(crate) enum Stderr {
    /// Read line by line.
    Read,
    /// To this file.
    File(File),
    /// Into a pipe that nobody reads, until somebody takes it.
    Unread,
}

/// A gateway about to start.
pub(crate) struct Setup {
    folder: TempDir,
    listen: String,
    stderr: Stderr,
    group: Option<PathBuf>,
}

/// A running gateway; killed when dropped.
pub(crate) struct Gateway {
    child: Child,
    /// `address:port` for clients.
    pub(crate) address: String,
    /// `address:port` for operators.
    admin: String,
    stdout: Receiver<String>,
    stderr: Receiver<String>,
    /// Nobody reads it.
    pub(crate) unread: Option<ChildStderr>,
    /// Its working folder, with nothing in it but its configuration.
    folder: TempDir,
}

impl Setup {
    /// With `config` (TOML) as its file, on ports that the system chooses.
    pub(crate) fn new(config: &str) -> Self {
        let folder = TempDir::new().expect("a temporary folder can be made");
        fs::write(folder.path().join(CONFIG), config).expect("the folder can be written");
        let listen = "127.0.0.1:0".to_owned();
        Self { folder, listen, stderr: Stderr::Read, group: None }
    }

    /// Its public port.
    pub(crate) fn listen(mut self, address: &str) -> Self {
        address.clone_into(&mut self.listen);
        self
    }

    /// Where its log goes.
    pub(crate) fn stderr(mut self, stderr: Stderr) -> Self {
        self.stderr = stderr;
        self
    }

    /// In the control group with this `cgroup.procs`.
    pub(crate) fn in_group(mut self, procs: PathBuf) -> Self {
        self.group = Some(procs);
        self
    }

    /// Starts it and waits until it has printed its addresses.
    pub(crate) fn start(self) -> Gateway {
        let Self { folder, listen, stderr, group } = self;
        let program = env!("CARGO_BIN_EXE_tickgate");
        let mut command = match group {
            None => Command::new(program),
            Some(procs) => {
                // It joins before it becomes the gateway, so that all it takes is counted there.
                let mut shell = Command::new("sh");
                shell.args(["-c", r#"echo $$ > "$0" && exec "$@""#]).arg(procs).arg(program);
                shell
            }
        };
        command.current_dir(folder.path()).args(["--config", CONFIG]);
        command.args(["--listen", &listen, "--admin-listen", "127.0.0.1:0"]);
        // Settings of whoever runs the tests are not ours.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("TICKGATE_") {
                command.env_remove(name);
            }
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let is_read = matches!(stderr, Stderr::Read);
        command.stderr(match stderr {
            Stderr::Read | Stderr::Unread => Stdio::piped(),
            Stderr::File(file) => file.into(),
        });
        let mut child = command.spawn().expect("the binary was built and can be started");
        let stdout = lines(child.stdout.take().expect("stdout is piped"));
        let (stderr, unread) = match child.stderr.take() {
            Some(pipe) if is_read => (lines(pipe), None),
            pipe => (mpsc::channel().1, pipe),
        };
        let mut gateway = Gateway {
            child,
            address: String::new(),
            admin: String::new(),
            stdout,
            stderr,
            unread,
            folder,
        };
        gateway.address = gateway.printed("ws://", "/v1/stream");
        gateway.admin = gateway.printed("http://", "/metrics");
        gateway
    }
}

impl Gateway {
    /// Starts one with `config` as its file; its log is read.
    pub(crate) fn start(config: &str) -> Self {
        Setup::new(config).start()
    }

    /// Its configuration file.
    pub(crate) fn config_file(&self) -> PathBuf {
        self.folder.path().join(CONFIG)
    }

    /// What lies in its working folder.
    pub(crate) fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder.path()).expect("the folder can be read");
        let name = |entry: std::io::Result<fs::DirEntry>| {
            entry.expect("an entry").file_name().to_string_lossy().into_owned()
        };
        entries.map(name).collect()
    }

    /// Sends a signal: `TERM`, `HUP`, `KILL`.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").arg(format!("-{name}")).arg(pid).status();
        assert!(sent.is_ok_and(|status| status.success()), "SIG{name} could not be sent");
    }

    /// Waits for its end: how it ended, and what it had logged that was not asked for before.
    pub(crate) fn wait(&mut self) -> (ExitStatus, String) {
        let start = Instant::now();
        // Its pipes close when it ends.
        while left(&self.stdout, start).is_some() {}
        let mut log = String::new();
        while let Some(line) = left(&self.stderr, start) {
            log += &(line + "\n");
        }
        (self.child.wait().expect("a child can be waited for"), log)
    }

    /// The next log line with `text` in it.
    pub(crate) fn logged(&self, text: &str) -> String {
        let start = Instant::now();
        let mut others = String::new();
        while let Some(line) = left(&self.stderr, start) {
            if line.contains(text) {
                return line;
            }
            others += &(line + "\n");
        }
        panic!("`{text}` was not logged before it ended; logged was:\n{others}")
    }

    /// What the admin listener answers: status and body.
    pub(crate) fn admin(&self, path: &str) -> (u16, String) {
        get(&self.admin, path).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// The value of a metric without labels, or with these.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let (_, text) = self.admin("/metrics");
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.and_then(|v| v.parse().ok()).unwrap_or_else(|| panic!("no {name} in\n{text}"))
    }

    /// Asks again and again until `done`; each answer takes its time, so this is no busy loop.
    pub(crate) fn metric_until(&self, name: &str, done: impl Fn(f64) -> bool) -> f64 {
        let start = Instant::now();
        loop {
            let value = self.metric(name);
            if done(value) {
                return value;
            }
            assert!(start.elapsed() < PATIENCE, "{name} stays {value}");
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn printed(&self, start: &str, end: &str) -> String {
        let since = Instant::now();
        let mut all = String::new();
        while let Some(line) = left(&self.stdout, since) {
            let mut words = line.split_whitespace();
            if let Some(found) = words.find_map(|word| word.strip_prefix(start)?.strip_suffix(end))
            {
                return found.to_owned();
            }
            all += &(line + "\n");
        }
        let log: Vec<String> = self.stderr.try_iter().collect();
        panic!("no address was printed:\n{all}\n{}", log.join("\n"))
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // It may have ended already; what counts is that it is gone.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            let log: Vec<String> = self.stderr.try_iter().collect();
            eprintln!("the gateway logged since:\n{}", log.join("\n"));
        }
    }
}

const CONFIG: &str = "tickgate.toml";

/// A GET of its own connection: status and body.
pub(crate) fn get(address: &str, path: &str) -> std::io::Result<(u16, String)> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
    let body = answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned());
    match (status, body) {
        (Some(status), Some(body)) => Ok((status, body)),
        _ => Err(std::io::Error::other(format!("no answer: {answer:?}"))),
    }
}

/// Replaces a file as an editor or a deployment does: whole, at once.
pub(crate) fn replace(file: &Path, content: &[u8]) {
    let fresh = file.with_extension("new");
    fs::write(&fresh, content).expect("the folder can be written");
    fs::rename(&fresh, file).expect("a file can be renamed");
}

/// Each line of `pipe` as it comes, so that the child never waits for us to read.
fn lines(pipe: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, lines) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    lines
}

/// The next line; `None` when there will be none.
fn left(lines: &Receiver<String>, since: Instant) -> Option<String> {
    match lines.recv_timeout(PATIENCE.saturating_sub(since.elapsed())) {
        Ok(line) => Some(line),
        Err(RecvTimeoutError::Disconnected) => None,
        Err(RecvTimeoutError::Timeout) => panic!("nothing came for {PATIENCE:?}"),
    }
}
