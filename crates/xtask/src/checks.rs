//! The checks, in the order they run: quick ones first.

use std::{path::Path, process::Command};

use crate::{
    check::{Check, Trouble},
    command::{cargo, run, run_tests},
    hostile, tools,
};

/// Random histories of each property test here; plain `cargo test` runs fewer.
const SEEDS: &str = "2000";

/// Every check.
pub(crate) const ALL: &[Check] = &[
    Check { name: "format", proves: "every file is formatted", run: format },
    Check { name: "clippy", proves: "no warning in any target of the workspace", run: clippy },
    Check { name: "docs", proves: "the documentation builds without a warning", run: docs },
    Check { name: "tests", proves: "unit and integration tests pass", run: tests },
    Check {
        name: "properties",
        proves: "the invariants hold in thousands of random histories",
        run: properties,
    },
    Check {
        name: "loom",
        proves: "cell and doorbell are right in every interleaving and ordering",
        run: loom,
    },
    Check {
        name: "attacks",
        proves: "every scripted attack is withstood beside healthy clients",
        run: hostile::attacks,
    },
    Check {
        name: "fuzz",
        proves: "nothing that is read from outside panics; no warning in the targets",
        run: hostile::fuzz,
    },
    Check {
        name: "dependencies",
        proves: "licences, versions and sources of all dependencies are allowed",
        run: dependencies,
    },
    Check { name: "fold", proves: "the independent fold of a recording is right", run: fold },
    Check {
        name: "recordings",
        proves: "replayed recordings arrive to the last digit, every trade once",
        run: recordings,
    },
    Check {
        name: "promtool",
        proves: "Prometheus's own linter finds nothing to say about the metrics",
        run: promtool,
    },
    Check {
        name: "load",
        proves: "two minutes of load grow no memory; isolation, churn, storm, credit and mixture \
                 break nothing",
        run: load,
    },
    Check {
        name: "nats",
        proves: "the load generator and a real nats-server understand one another",
        run: nats,
    },
    Check {
        name: "ws-peer",
        proves: "the load generator and a plain server on Node's ws understand one another",
        run: ws_peer,
    },
    Check {
        name: "python-client",
        proves: "the Python client reads both formats and closes cleanly",
        run: python_client,
    },
    Check {
        name: "node-client",
        proves: "the Node client reads both formats and closes cleanly",
        run: node_client,
    },
];

fn format() -> Result<(), Trouble> {
    tools::component("fmt", "rustfmt")?;
    run(&mut cargo(["fmt", "--all", "--check"]))
}

fn clippy() -> Result<(), Trouble> {
    tools::component("clippy", "clippy")?;
    run(&mut cargo(["clippy", "--workspace", "--all-targets", "--locked", "--", "-Dwarnings"]))
}

fn docs() -> Result<(), Trouble> {
    let mut doc = cargo(["doc", "--workspace", "--no-deps", "--locked"]);
    run(doc.env("RUSTDOCFLAGS", "-Dwarnings"))
}

/// Built first, so that a slow build takes no time from the tests.
fn tests() -> Result<(), Trouble> {
    run(&mut cargo(["test", "--workspace", "--locked", "--no-run"]))?;
    run(&mut cargo(["test", "--workspace", "--locked", "--no-fail-fast"]))
}

fn properties() -> Result<(), Trouble> {
    let options = ["--package", "tickgate-session", "--no-fail-fast", "--test", "*"];
    run_tests(&options, &[], &[("TICKGATE_SEEDS", SEEDS.as_ref())])
}

fn loom() -> Result<(), Trouble> {
    let options = ["--package", "tickgate-hub", "--lib"];
    // A target folder of its own: the flag changes every crate, and would rebuild them all twice.
    let target = tools::target("loom");
    let environment =
        [("CARGO_TARGET_DIR", target.as_os_str()), ("RUSTFLAGS", "--cfg loom".as_ref())];
    run_tests(&options, &["loom"], &environment)
}

fn dependencies() -> Result<(), Trouble> {
    let mut deny = Command::new(tools::cargo_deny()?);
    let checks = ["licenses", "bans", "sources"];
    run(deny.args(["--locked", "check", "--hide-inclusion-graph"]).args(checks))
}

fn fold() -> Result<(), Trouble> {
    let mut python = Command::new(tools::python()?);
    // No byte code beside the sources.
    run(python.args(["-B", "-m", "unittest", "discover", "--start-directory"]).arg(FOLD_FOLDER))
}

fn recordings() -> Result<(), Trouble> {
    end_to_end("recordings::", "PROOF_PYTHON", &tools::python()?)
}

fn promtool() -> Result<(), Trouble> {
    end_to_end("operations::promtool", "PROOF_PROMTOOL", &tools::promtool()?)
}

/// One after the other: each is a load on the whole machine.
fn load() -> Result<(), Trouble> {
    let options = ["--package", "tickgate", "--test", "end_to_end"];
    run_tests(&options, &["--ignored", "--nocapture", "--test-threads=1", "load::"], &[])
}

fn nats() -> Result<(), Trouble> {
    real_server("nats_server", "PROOF_NATS_SERVER", &tools::nats_server()?)
}

fn ws_peer() -> Result<(), Trouble> {
    real_server("ws_peer", "PROOF_WS_PEER", &tools::ws_peer()?)
}

fn python_client() -> Result<(), Trouble> {
    end_to_end("clients::python", "PROOF_PYTHON", &tools::python_with_packages()?)
}

fn node_client() -> Result<(), Trouble> {
    end_to_end("clients::node", "PROOF_NODE_CLIENT", &tools::node_client()?)
}

/// Tests against the real binary that need a tool, and are `#[ignore]`d in plain `cargo test`.
/// The tool's variable does not begin with `TICKGATE_`: the binary would take it for a setting.
fn end_to_end(filter: &str, variable: &str, tool: &Path) -> Result<(), Trouble> {
    let options = ["--package", "tickgate", "--test", "end_to_end"];
    run_tests(&options, &["--ignored", "--nocapture", filter], &[(variable, tool.as_os_str())])
}

/// Tests of the load generator's speakers on a server of somebody else.
fn real_server(filter: &str, variable: &str, program: &Path) -> Result<(), Trouble> {
    let options = ["--package", "tickgate-load", "--lib"];
    run_tests(&options, &["--ignored", "--nocapture", filter], &[(variable, program.as_os_str())])
}

/// Where the fold and its tests lie.
const FOLD_FOLDER: &str = "crates/tickgate/tests/fold";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_distinct() {
        for (index, check) in ALL.iter().enumerate() {
            assert!(ALL[..index].iter().all(|other| other.name != check.name), "{}", check.name);
        }
    }
}
