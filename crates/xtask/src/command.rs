//! Running a program: its output goes where ours goes, it has a time limit, and when it is over
//! nothing of it stays behind.

use std::{
    ffi::OsStr,
    os::unix::process::CommandExt,
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::{
    check::Trouble,
    outcome::{self, Digest},
    tools,
};

/// Longest time one program may take. The slowest (a cold build with its tests on two cores)
/// needs about a third of it.
const TIME_LIMIT: Duration = Duration::from_secs(20 * 60);

/// How often a running program is looked at.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// A cargo command, run by the cargo that runs us.
pub(crate) fn cargo<const N: usize>(arguments: [&str; N]) -> Command {
    let mut command = Command::new(env!("CARGO"));
    command.args(arguments);
    // What `cargo xtask` set for this program must not leak into the builds it starts.
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("CARGO_PKG_")) {
            command.env_remove(name);
        }
    }
    command.env_remove("CARGO_MANIFEST_DIR").env_remove("CARGO_MANIFEST_PATH");
    command
}

/// Runs `command` in the project's root, and expects it to succeed.
pub(crate) fn run(command: &mut Command) -> Result<(), Trouble> {
    let line = describe(command);
    println!("$ {line}");
    let (ended, digest) = run_within(command, TIME_LIMIT);
    match ended {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(failed(&line, &format!("{status}{}", digest.lines()))),
        Err(why) => Err(failed(&line, &format!("{why}{}", digest.lines()))),
    }
}

/// Runs `cargo test` with `options` for cargo and `chosen` for the tests, and expects it to find
/// at least one test: a filter that matches nothing would pass whatever is broken.
pub(crate) fn run_tests(
    options: &[&str],
    chosen: &[&str],
    environment: &[(&str, &OsStr)],
) -> Result<(), Trouble> {
    let test = |extra: &[&str]| {
        let mut command = cargo(["test", "--locked", "--profile", "proof"]);
        command.args(options).arg("--").args(chosen).args(extra);
        command.envs(environment.iter().copied());
        command
    };
    let listed = output(test(&["--list"]).stderr(Stdio::inherit()));
    if listed.is_some_and(|listed| !listed.lines().any(|line| line.ends_with(": test"))) {
        return Err(failed(&describe(&test(&[])), "there is no such test"));
    }
    run(&mut test(&[]))
}

/// Standard output of a command that is expected to say little, such as `--version`; `None` when
/// it is not there or fails.
pub(crate) fn output(command: &mut Command) -> Option<String> {
    let output = command.current_dir(tools::root()).stdin(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// How it ended, or why it did not, and what is worth repeating of its standard output.
fn run_within(command: &mut Command, limit: Duration) -> (Result<ExitStatus, String>, Digest) {
    // A group of its own, so that a build's or test's children can be ended with it.
    command.current_dir(tools::root()).stdin(Stdio::null()).process_group(0);
    let mut child = match command.stdout(Stdio::piped()).spawn() {
        Ok(child) => child,
        Err(error) => return (Err(error.to_string()), Digest::default()),
    };
    let output = child.stdout.take().expect("it was asked for");
    thread::scope(|scope| {
        let digest = scope.spawn(|| Digest::copy(output, std::io::stdout()));
        let ended = wait(&mut child, limit);
        // What it started may hold its output open when it is gone.
        end_group(&mut child);
        (ended, digest.join().expect("copying does not panic"))
    })
}

fn wait(child: &mut Child, limit: Duration) -> Result<ExitStatus, String> {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait().map_err(|error| error.to_string())? {
            return Ok(status);
        }
        if start.elapsed() > limit {
            let running = outcome::still_running(child.id());
            return Err(format!("still running after {} s, ended{running}", limit.as_secs()));
        }
        thread::sleep(POLL_INTERVAL);
    }
}

fn end_group(child: &mut Child) {
    let group = format!("-{}", child.id());
    // The group may be gone already, which is what we want.
    let _ = Command::new("kill").args(["-KILL", "--", &group]).stderr(Stdio::null()).status();
    let _ = child.wait();
}

fn describe(command: &Command) -> String {
    let mut words: Vec<String> = command
        .get_envs()
        .filter_map(|(name, value)| Some((name.to_str()?, value?.to_str()?)))
        .map(|(name, value)| format!("{name}={value:?}"))
        .collect();
    let program = command.get_program().to_string_lossy();
    words.push(program.rsplit('/').next().unwrap_or(&program).to_owned());
    words.extend(command.get_args().map(|word| word.to_string_lossy().into_owned()));
    words.join(" ")
}

fn failed(line: &str, why: &str) -> Trouble {
    Trouble::Failed(format!("`{line}`: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_program_is_named_with_its_status() {
        let trouble = run(Command::new("sh").args(["-c", "exit 3"])).unwrap_err();
        assert_eq!(trouble, Trouble::Failed("`sh -c exit 3`: exit status: 3".to_owned()));
    }

    #[test]
    fn a_failing_program_is_repeated_in_its_last_lines() {
        let trouble = run(Command::new("sh").args(["-c", "echo why; exit 3"])).unwrap_err();
        assert!(trouble.to_string().ends_with("exit status: 3\n    why"), "{trouble}");
    }

    #[test]
    fn a_program_past_its_limit_is_ended_with_its_children() {
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 1000 & wait"]);
        let error = run_within(&mut command, Duration::ZERO).0.unwrap_err();
        assert!(error.contains("still running"), "{error}");
    }

    #[test]
    fn an_absent_program_gives_no_output() {
        assert_eq!(output(&mut Command::new("surely-no-such-program")), None);
    }
}
