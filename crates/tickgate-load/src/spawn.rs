//! A gateway that is started for a run.

use std::{
    env,
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use anyhow::{Context, Result};

/// Longest time until it has printed where it is.
const PATIENCE: Duration = Duration::from_secs(20);

/// A gateway on ports that the system chose; killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Spawned {
    child: Child,
    /// Its stream.
    pub(crate) url: String,
    /// Its metrics.
    pub(crate) metrics: String,
}

impl Spawned {
    /// Starts this very program as a gateway, with settings as `--set` takes them.
    ///
    /// # Errors
    /// When it does not start; what it says stands on standard error.
    pub(crate) fn start(settings: &[String]) -> Result<Self> {
        let program = env::current_exe().context("cannot find this program's file")?;
        let mut command = Command::new(program);
        command.args(["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]);
        command.args(["--set", "log.filter=warn"]);
        for setting in settings {
            command.args(["--set", setting]);
        }
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start a gateway")?;
        let stdout = child.stdout.take().context("a pipe was asked for")?;
        let mut spawned = Self { child, url: String::new(), metrics: String::new() };
        // A pipe cannot be read with a limit of time; the thread ends with the gateway.
        let (sender, words) = mpsc::channel();
        thread::spawn(move || {
            let lines = BufReader::new(stdout).lines().map_while(Result::ok);
            for line in lines {
                for word in line.split_whitespace() {
                    // Nobody listens once both addresses are known.
                    let _ = sender.send(word.to_owned());
                }
            }
        });
        while spawned.url.is_empty() || spawned.metrics.is_empty() {
            let word = words.recv_timeout(PATIENCE);
            let word = word.ok().context("the gateway that was started did not say where it is")?;
            if word.starts_with("ws://") && spawned.url.is_empty() {
                spawned.url = word;
            } else if word.starts_with("http://") && word.ends_with("/metrics") {
                spawned.metrics = word;
            }
        }
        Ok(spawned)
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Spawned {
    fn drop(&mut self) {
        // Either it has ended already, or nobody needs it any more.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
