//! What is worth repeating of a program that failed: a log of thousands of lines is often kept
//! only in part, and its last lines should say what went wrong.

use std::{
    collections::VecDeque,
    fs,
    io::{BufRead, BufReader, Read, Write},
};

/// Lines that name what failed; more than these are not kept.
const NAMED: usize = 30;

/// Last lines that are kept, whatever they say.
const LAST: usize = 10;

/// Lines of a program's output: those that name what failed, and the last ones.
#[derive(Debug, Default)]
pub(crate) struct Digest {
    named: Vec<String>,
    last: VecDeque<String>,
}

impl Digest {
    /// Passes all that comes from `output` on to `to`, and keeps a digest of it.
    pub(crate) fn copy(output: impl Read, mut to: impl Write) -> Self {
        let (mut digest, mut lines, mut line) =
            (Self::default(), BufReader::new(output), Vec::new());
        // A program that ended badly may leave half a line, or one that is no text.
        while lines.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
            // Nobody may be left to read it; the program is not ended for that.
            let _ = to.write_all(&line).and_then(|()| to.flush());
            digest.keep(String::from_utf8_lossy(&line).trim_end());
            line.clear();
        }
        digest
    }

    fn keep(&mut self, line: &str) {
        if is_telling(line) && self.named.len() < NAMED {
            self.named.push(line.to_owned());
        }
        if !line.is_empty() {
            if self.last.len() == LAST {
                self.last.pop_front();
            }
            self.last.push_back(line.to_owned());
        }
    }

    /// What is worth repeating, each line indented; those that name what failed first.
    pub(crate) fn lines(&self) -> String {
        let all = self.named.iter().chain(self.last.iter().filter(|line| !is_telling(line)));
        all.map(|line| format!("\n    {line}")).collect()
    }
}

/// True of a line of `cargo test` that names a test that failed or goes on for long, or what it
/// said.
fn is_telling(line: &str) -> bool {
    let of_a_test = line.starts_with("test ")
        && (line.ends_with("FAILED") || line.contains("has been running for over"));
    of_a_test || line.contains("panicked at") || line.starts_with("error: test failed")
}

/// The processes of a group, a line each: the command and the names of its threads, which are
/// those of its tests (the first 15 letters of each, which is what Linux keeps). Empty where there
/// is no `/proc`.
pub(crate) fn still_running(group: u32) -> String {
    let Ok(processes) = fs::read_dir("/proc") else { return String::new() };
    let lines = processes.flatten().filter_map(|process| {
        let stat = fs::read_to_string(process.path().join("stat")).ok()?;
        // Behind the name, which is in brackets and may hold anything: state, parent, group.
        let theirs: u32 = stat.rsplit_once(')')?.1.split_whitespace().nth(2)?.parse().ok()?;
        if theirs != group {
            return None;
        }
        let command = fs::read(process.path().join("cmdline")).ok()?;
        let command = String::from_utf8_lossy(&command).replace('\0', " ");
        let threads = fs::read_dir(process.path().join("task")).ok()?.flatten();
        let names: Vec<String> = threads
            .filter_map(|thread| fs::read_to_string(thread.path().join("comm")).ok())
            .map(|name| name.trim().to_owned())
            .collect();
        Some(format!("\n    running: {}: {}", command.trim(), names.join(", ")))
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use std::{
        os::unix::process::CommandExt,
        process::{Command, Stdio},
    };

    use super::*;

    #[test]
    fn what_failed_and_the_last_lines_are_kept_and_all_is_passed_on() {
        let mut log = String::from("test a ... FAILED\ntest b ... ok\n");
        for line in 0..1_000 {
            log += &format!("line {line}\n");
        }
        log += "test c has been running for over 60 seconds\nhalf a li";
        let mut passed = Vec::new();
        let digest = Digest::copy(log.as_bytes(), &mut passed);
        assert_eq!(passed, log.as_bytes());
        let lines = digest.lines();
        let lines: Vec<&str> = lines.lines().skip(1).map(str::trim).collect();
        assert_eq!(
            lines[..2],
            ["test a ... FAILED", "test c has been running for over 60 seconds"]
        );
        assert_eq!(lines[2..4], ["line 992", "line 993"]);
        assert_eq!(lines.last(), Some(&"half a li"));
    }

    #[test]
    fn failures_without_end_are_kept_up_to_a_limit() {
        let log = "test a ... FAILED\n".repeat(1_000);
        let digest = Digest::copy(log.as_bytes(), Vec::new());
        assert_eq!(digest.lines().lines().skip(1).count(), NAMED);
    }

    #[test]
    fn the_processes_of_a_group_are_named() {
        let mut command = Command::new("sh");
        command.args(["-c", "read never"]).stdin(Stdio::piped()).process_group(0);
        let mut child = command.spawn().expect("a shell");
        let running = still_running(child.id());
        drop(child.stdin.take());
        child.wait().expect("ended by the end of its input");
        assert!(running.contains("read never"), "{running}");
    }
}
