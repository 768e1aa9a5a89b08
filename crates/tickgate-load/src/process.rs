//! What `/proc` tells about a process, and children that end with us.

use std::{
    collections::BTreeMap,
    fs, io,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

/// Clock ticks a second in `/proc/PID/stat` and `/proc/stat`: `USER_HZ`, 100 on every Linux
/// architecture this runs on (`getconf CLK_TCK`).
const USER_HZ: f64 = 100.0;

/// CPU time and wall time at one moment; subtract two.
#[derive(Debug, Clone, Copy)]
pub struct CpuReading {
    at: Instant,
    seconds: f64,
}

/// What passed between two readings.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CpuUse {
    /// Wall time.
    pub wall_seconds: f64,
    /// CPU time, user and kernel, of all threads.
    pub cpu_seconds: f64,
}

impl CpuUse {
    /// Share of one core.
    #[must_use]
    pub fn share(self) -> f64 {
        self.cpu_seconds / self.wall_seconds
    }
}

impl CpuReading {
    /// CPU time so far of a process, all threads, kernel included, from `/proc/PID/stat`.
    ///
    /// # Errors
    /// When there is no such process.
    pub fn of_process(pid: u32) -> Result<Self> {
        let path = format!("/proc/{pid}/stat");
        let stat = fs::read_to_string(&path).with_context(|| format!("server gone: {path}"))?;
        Ok(Self { at: Instant::now(), seconds: stat_cpu_seconds(&stat) })
    }

    /// Time that a core was not idle, from `/proc/stat`.
    ///
    /// # Errors
    /// When there is no such core.
    pub fn of_core(core: usize) -> Result<Self> {
        let stat = fs::read_to_string("/proc/stat")?;
        let label = format!("cpu{core}");
        let line = stat
            .lines()
            .find(|line| line.split_whitespace().next() == Some(&label))
            .with_context(|| format!("no core {core}"))?;
        // user nice system idle iowait irq softirq steal; guest time is part of user.
        let fields: Vec<f64> =
            line.split_whitespace().skip(1).take(8).filter_map(|f| f.parse().ok()).collect();
        let busy: f64 =
            fields.iter().enumerate().filter(|(i, _)| !matches!(i, 3 | 4)).map(|(_, v)| v).sum();
        Ok(Self { at: Instant::now(), seconds: busy / USER_HZ })
    }

    /// What passed since an earlier reading of the same kind.
    #[must_use]
    pub fn since(self, earlier: Self) -> CpuUse {
        CpuUse {
            wall_seconds: self.at.duration_since(earlier.at).as_secs_f64(),
            cpu_seconds: self.seconds - earlier.seconds,
        }
    }
}

/// What a process's threads of one name have had so far, together; seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct ThreadUse {
    /// On a core, kernel included.
    pub cpu_seconds: f64,
    /// Ready to run while something else had the core: another program, or another thread of the
    /// same one. 0 where the kernel does not tell.
    pub waited_seconds: f64,
}

impl ThreadUse {
    /// What passed since an earlier reading.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        Self {
            cpu_seconds: self.cpu_seconds - earlier.cpu_seconds,
            waited_seconds: self.waited_seconds - earlier.waited_seconds,
        }
    }
}

/// What a process's threads have had so far, by name. Threads that have ended are missing.
///
/// # Errors
/// When there is no such process.
pub fn thread_use(pid: u32) -> Result<BTreeMap<String, ThreadUse>> {
    let directory = format!("/proc/{pid}/task");
    let mut threads: BTreeMap<String, ThreadUse> = BTreeMap::new();
    for task in fs::read_dir(&directory).with_context(|| format!("server gone: {directory}"))? {
        let task = task?.path();
        // A thread may end between the listing and the reading.
        let Ok(stat) = fs::read_to_string(task.join("stat")) else { continue };
        let name = stat.split_once('(').and_then(|(_, rest)| rest.rsplit_once(')'));
        let name = name.map_or("", |(name, _)| name).to_owned();
        let waits = fs::read_to_string(task.join("schedstat")).unwrap_or_default();
        let both = threads.entry(name).or_default();
        both.cpu_seconds += stat_cpu_seconds(&stat);
        both.waited_seconds += schedstat_waited_seconds(&waits);
    }
    Ok(threads)
}

/// What the kernel's scheduler has given a thread so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Scheduled {
    /// Time on a core.
    pub ran: Duration,
    /// Time it could have run and no core was free.
    pub waited: Duration,
}

impl Scheduled {
    /// Of the thread that asks, from `/proc/thread-self/schedstat`; `None` where the kernel keeps
    /// none.
    #[must_use]
    pub fn of_this_thread() -> Option<Self> {
        let stat = fs::read_to_string("/proc/thread-self/schedstat").ok()?;
        let mut fields = stat.split_whitespace().map(|field| field.parse().ok());
        let mut next = || fields.next().flatten().map(Duration::from_nanos);
        Some(Self { ran: next()?, waited: next()? })
    }

    /// What passed since an earlier reading.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        Self {
            ran: self.ran.saturating_sub(earlier.ran),
            waited: self.waited.saturating_sub(earlier.waited),
        }
    }
}

/// Resident memory of a process in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Resident {
    /// All of it (`VmRSS`).
    pub total_bytes: u64,
    /// The part that is the process's own, not mapped from files (`RssAnon`).
    pub anonymous_bytes: u64,
}

impl Resident {
    /// Reads `/proc/PID/status`.
    ///
    /// # Errors
    /// When there is no such process.
    pub fn of_process(pid: u32) -> Result<Self> {
        let path = format!("/proc/{pid}/status");
        let status = fs::read_to_string(&path).with_context(|| format!("server gone: {path}"))?;
        Ok(Self {
            total_bytes: status_bytes(&status, "VmRSS:"),
            anonymous_bytes: status_bytes(&status, "RssAnon:"),
        })
    }
}

/// Waits until a process's resident memory has stopped growing: less than 64 KiB in a second.
///
/// A server fills its fixed tables in its first seconds; what is measured afterwards is growth.
///
/// # Errors
/// When it still grows after a minute, or the process is gone.
pub fn await_settled(pid: u32) -> Result<()> {
    let mut before = Resident::of_process(pid)?.total_bytes;
    for _ in 0..60 {
        thread::sleep(Duration::from_secs(1));
        let now = Resident::of_process(pid)?.total_bytes;
        if now < before + 64 * 1024 {
            return Ok(());
        }
        before = now;
    }
    bail!("the server's memory grew for a minute before anybody connected")
}

/// Memory the kernel holds for all TCP sockets of this network namespace, both ends, in bytes
/// (`/proc/net/sockstat`, which counts pages of 4 KiB).
///
/// # Errors
/// When the file cannot be read.
pub fn tcp_memory_bytes() -> Result<u64> {
    let sockstat = fs::read_to_string("/proc/net/sockstat").context("/proc/net/sockstat")?;
    let words: Vec<&str> = sockstat
        .lines()
        .find_map(|line| line.strip_prefix("TCP: "))
        .map(|line| line.split_whitespace().collect())
        .unwrap_or_default();
    let pages: u64 = words
        .iter()
        .position(|word| *word == "mem")
        .and_then(|at| words.get(at + 1)?.parse().ok())
        .context("no `mem` in /proc/net/sockstat")?;
    Ok(pages * 4096)
}

/// Descriptors this process may have open.
///
/// # Errors
/// When `/proc/self/limits` cannot be read.
pub fn descriptor_limit() -> Result<usize> {
    let limits = fs::read_to_string("/proc/self/limits")?;
    limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files")?.split_whitespace().next())
        .and_then(|limit| limit.parse().ok())
        .context("no `Max open files` in /proc/self/limits")
}

/// A child process that is killed when this is dropped.
#[derive(Debug)]
pub struct Running {
    child: Child,
}

impl Running {
    /// Starts `command` pinned to one core. Its standard output is a pipe, its standard error ours
    /// unless `command` says otherwise.
    ///
    /// # Errors
    /// When `taskset` (util-linux) or the program cannot be started.
    pub fn start_pinned(core: usize, command: &Command) -> Result<Self> {
        // `taskset` replaces itself with the program, so the child's id is the program's.
        let mut pinned = Command::new("taskset");
        pinned.args(["-c", &core.to_string()]).arg(command.get_program());
        pinned.args(command.get_args());
        for (key, value) in command.get_envs() {
            match value {
                Some(value) => pinned.env(key, value),
                None => pinned.env_remove(key),
            };
        }
        if let Some(directory) = command.get_current_dir() {
            pinned.current_dir(directory);
        }
        let child =
            pinned.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().with_context(|| {
                format!("cannot start {:?} with taskset", command.get_program())
            })?;
        Ok(Self { child })
    }

    /// The process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its standard output, once.
    pub fn take_stdout(&mut self) -> Option<impl io::Read + Send + 'static> {
        self.child.stdout.take()
    }

    /// True while it has not ended.
    #[must_use]
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// When it failed.
    pub fn finish(mut self) -> Result<()> {
        let status = self.child.wait()?;
        anyhow::ensure!(status.success(), "process {} ended with {status}", self.child.id());
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Either it has ended already, or nobody needs it any more.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// utime and stime of a `stat` file.
fn stat_cpu_seconds(stat: &str) -> f64 {
    // The second field is the name in parentheses and may hold anything; utime and stime are
    // fields 14 and 15, the 12th and 13th after it.
    let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks = fields.split_whitespace().skip(11).take(2);
    ticks.map(|field| field.parse::<f64>().unwrap_or(f64::NAN)).sum::<f64>() / USER_HZ
}

/// The second field of a `schedstat` file: nanoseconds spent waiting for a core.
fn schedstat_waited_seconds(schedstat: &str) -> f64 {
    let nanoseconds = schedstat.split_whitespace().nth(1).and_then(|field| field.parse().ok());
    nanoseconds.unwrap_or(0.0) / 1e9
}

fn status_bytes(status: &str, key: &str) -> u64 {
    let kib = status
        .lines()
        .find_map(|line| line.strip_prefix(key)?.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_can_be_read() {
        let pid = std::process::id();
        let before = CpuReading::of_process(pid).expect("own stat");
        let after = CpuReading::of_process(pid).expect("own stat");
        assert!(after.since(before).cpu_seconds >= 0.0);
        let resident = Resident::of_process(pid).expect("own status");
        assert!(resident.total_bytes >= resident.anonymous_bytes);
        assert!(resident.anonymous_bytes > 0);
        assert!(descriptor_limit().expect("own limits") > 0);
        tcp_memory_bytes().expect("sockstat");
        CpuReading::of_core(0).expect("there is a first core");
        let threads = thread_use(pid).expect("own threads");
        assert!(!threads.is_empty());
        assert!(threads.values().all(|each| each.cpu_seconds >= 0.0 && each.waited_seconds >= 0.0));
    }

    #[test]
    fn waiting_is_the_second_field_and_nothing_where_there_is_none() {
        assert_eq!(schedstat_waited_seconds("3000000000 1500000000 7\n"), 1.5);
        assert_eq!(schedstat_waited_seconds(""), 0.0);
    }

    #[test]
    fn a_process_that_does_not_exist_is_an_error() {
        // Above the largest process id Linux gives out (2^22).
        assert!(CpuReading::of_process(u32::MAX).is_err());
        assert!(Resident::of_process(u32::MAX).is_err());
    }
}
