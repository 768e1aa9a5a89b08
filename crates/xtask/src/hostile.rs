//! What faces the world is attacked: the running gateway by scripted offenders, everything that
//! reads what others wrote by fuzzing.

use std::{
    fs::{self, File},
    path::Path,
    process::{Command, Stdio},
    thread,
};

use crate::{
    check::Trouble,
    command::{self, cargo, run},
    tools,
};

/// Seconds of each attack here; a dated report is made with a minute of each.
const ATTACK_SECONDS: &str = "5";

/// Changes how long each target is fuzzed.
const FUZZ_SECONDS: (&str, u64) = ("TICKGATE_FUZZ_SECONDS", 60);

/// libFuzzer's own; fixed, so that a run can be repeated.
const FUZZ_SEED: &str = "20261122";

/// Targets at a time: half of them wait, so that each has a core on a machine of two.
const AT_A_TIME: usize = 2;

/// Every target of `fuzz/`.
const TARGETS: [&str; 6] = ["commands", "upgrade", "engine", "config", "recordings", "client"];

/// Runs every attack against the binary, a few seconds each.
pub(crate) fn attacks() -> Result<(), Trouble> {
    let packages = ["--package", "tickgate", "--package", "tickgate-attacks"];
    run(cargo(["build", "--locked", "--bins"]).args(packages))?;
    let mut attacks = Command::new(tools::target("debug/tickgate-attacks"));
    run(attacks.args(["run", "--pairs", "1", "--seconds", ATTACK_SECONDS]))
}

/// Fuzzes every target from its seeds.
pub(crate) fn fuzz() -> Result<(), Trouble> {
    if command::output(Command::new("c++").arg("--version").stderr(Stdio::null())).is_none() {
        return Err(Trouble::Missing("c++, which builds libFuzzer, is not installed".to_owned()));
    }
    let cargo_fuzz = tools::cargo_fuzz()?;
    lint_targets()?;
    run(&mut instrumented(&cargo_fuzz, "build"))?;
    let seconds = std::env::var(FUZZ_SECONDS.0).ok().and_then(|text| text.parse().ok());
    let seconds: u64 = seconds.unwrap_or(FUZZ_SECONDS.1);
    let mut troubles = Vec::new();
    for targets in TARGETS.chunks(AT_A_TIME) {
        let results = thread::scope(|scope| {
            let running: Vec<_> = targets
                .iter()
                .map(|target| scope.spawn(|| fuzz_target(&cargo_fuzz, target, seconds)))
                .collect();
            running.into_iter().map(|each| each.join().unwrap_or_else(|_| panicked())).collect()
        });
        let results: Vec<Result<(), Trouble>> = results;
        troubles.extend(results.into_iter().filter_map(Result::err));
    }
    match troubles.into_iter().map(|trouble| trouble.to_string()).reduce(|a, b| a + "\n" + &b) {
        None => Ok(()),
        Some(all) => Err(Trouble::Failed(all)),
    }
}

/// Format and clippy of the targets. Here and not with the others': they are a workspace of their
/// own, whose dependencies include libFuzzer, and so need what this check needs.
fn lint_targets() -> Result<(), Trouble> {
    let manifest = ["--manifest-path", "fuzz/Cargo.toml"];
    tools::component("fmt", "rustfmt")?;
    run(cargo(["fmt"]).args(manifest).arg("--check"))?;
    tools::component("clippy", "clippy")?;
    let mut clippy = cargo(["clippy"]);
    clippy.args(manifest).args(["--all-targets", "--locked", "--", "-Dwarnings"]);
    run(&mut clippy)
}

fn panicked() -> Result<(), Trouble> {
    Err(Trouble::Failed("the thread that ran a target panicked".to_owned()))
}

/// What it finds goes to `target/fuzz`; seeds are only read.
fn fuzz_target(cargo_fuzz: &Path, target: &str, seconds: u64) -> Result<(), Trouble> {
    let folder = tools::target("fuzz").join(target);
    let (corpus, artifacts) = (folder.join("corpus"), folder.join("artifacts"));
    for each in [&corpus, &artifacts] {
        fs::create_dir_all(each).map_err(|error| trouble(each, &error))?;
    }
    let log = folder.join("log");
    let file = File::create(&log).map_err(|error| trouble(&log, &error))?;
    let mut fuzz = instrumented(cargo_fuzz, "run");
    fuzz.arg(target).arg(&corpus).arg(tools::root().join("fuzz/seeds").join(target));
    fuzz.args(["--", "-print_final_stats=1"]).arg(format!("-seed={FUZZ_SEED}"));
    fuzz.arg(format!("-max_total_time={seconds}"));
    // A slash at its end makes it a folder.
    fuzz.arg(format!("-artifact_prefix={}/", artifacts.display()));
    fuzz.stdout(Stdio::null()).stderr(file);
    let result = run(&mut fuzz);
    let said = fs::read_to_string(&log).unwrap_or_default();
    match (result, executions(&said)) {
        (Ok(()), Some(count)) if count > 0 => {
            println!("{target}: {count} executions");
            Ok(())
        }
        (Ok(()), _) => Err(Trouble::Failed(format!("{target}: nothing was executed: {said}"))),
        (Err(why), _) => {
            let from = said.lines().count().saturating_sub(40);
            let end: Vec<&str> = said.lines().skip(from).collect();
            let input = written(&said).unwrap_or("no input was kept");
            Err(Trouble::Failed(format!("{target}: {why}\n{}\n{target}: {input}", end.join("\n"))))
        }
    }
}

/// cargo-fuzz with the stable toolchain: instrumentation for coverage needs no sanitizer, and code
/// without `unsafe` gains little from one. Assertions and overflow checks are on.
fn instrumented(cargo_fuzz: &Path, subcommand: &str) -> Command {
    let mut command = Command::new(cargo_fuzz);
    command.args([subcommand, "--sanitizer", "none", "--debug-assertions"]);
    command.env("RUSTC_BOOTSTRAP", "1").env("CARGO", env!("CARGO"));
    command
}

/// How many inputs libFuzzer says it has executed.
fn executions(log: &str) -> Option<u64> {
    log.lines()
        .find_map(|line| line.strip_prefix("stat::number_of_executed_units:"))
        .and_then(|count| count.trim().parse().ok())
}

/// Where libFuzzer says it has written what failed.
fn written(log: &str) -> Option<&str> {
    log.lines().find_map(|line| line.split_once("Test unit written to ")).map(|(_, path)| path)
}

fn trouble(path: &Path, error: &std::io::Error) -> Trouble {
    Trouble::Failed(format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_libfuzzer_says_is_read() {
        let log = "#1 INITED\nartifact_prefix='a/'; Test unit written to a/crash-1\n\
                   stat::number_of_executed_units: 812\n";
        assert_eq!(executions(log), Some(812));
        assert_eq!(written(log), Some("a/crash-1"));
        assert_eq!(executions("#1 INITED"), None);
    }

    #[test]
    fn every_target_is_fuzzed() {
        let manifest =
            fs::read_to_string(tools::root().join("fuzz/Cargo.toml")).expect("it is there");
        let paths = manifest.lines().filter(|line| line.starts_with("path = \"fuzz_targets/"));
        assert_eq!(paths.count(), TARGETS.len());
        for target in TARGETS {
            assert!(manifest.contains(&format!("fuzz_targets/{target}.rs")), "{target}");
        }
    }
}
