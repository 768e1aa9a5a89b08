//! Who may take how much of the machine: what an offender takes of it is no doing of the gateway.

use anyhow::{Context, Result};
use rustix::{
    process::setpriority_process,
    thread::{CpuSet, sched_setaffinity},
};

/// The gateway's core, where it has one to itself.
pub const GATEWAY: usize = 0;

/// The core of offenders and healthy clients then.
pub const CLIENTS: usize = 1;

/// The least a thread can ask for.
const LAST: i32 = 19;

/// Keeps the calling thread on one core, and those it will start.
///
/// # Errors
/// When there is no such core.
pub fn stay_on(core: usize) -> Result<()> {
    let mut cores = CpuSet::new();
    cores.set(core);
    sched_setaffinity(None, &cores).with_context(|| format!("core {core}"))
}

/// Has the calling thread, and those it will start, go behind everybody else on its core: a healthy
/// client that has something to read does so at once, whatever an offender has yet to send.
///
/// # Errors
/// When the system refuses, which it does not for a lower priority.
pub fn go_last() -> Result<()> {
    // On Linux priorities are those of threads, and none named is the calling one.
    setpriority_process(None, LAST).context("a lower priority")
}
