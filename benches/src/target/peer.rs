//! Peers that somebody installed with `npm install` in `benches/peers`.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result};

use super::{Job, SERVER_CORE, Server, listening_line};
use crate::{process::Running, sink::Content};

/// A script and what runs it.
pub(super) struct Peer {
    runtime: &'static str,
    /// What `npm install` puts the runtime, if it does.
    installed_runtime: Option<&'static str>,
    script: &'static str,
    /// A package the script needs.
    package: Option<&'static str>,
}

/// Bun's own server; npm's package `bun` brings the binary.
pub(super) const BUN: Peer = Peer {
    runtime: "bun",
    installed_runtime: Some("node_modules/bun/bin/bun.exe"),
    script: "bun.js",
    package: None,
};

/// The usual WebSocket server of Node.
pub(super) const WS: Peer =
    Peer { runtime: "node", installed_runtime: None, script: "ws.js", package: Some("ws") };

/// Why it cannot be run here.
pub(super) fn absent(peer: &Peer) -> Option<String> {
    let directory = directory();
    if let Some(package) = peer.package
        && !directory.join("node_modules").join(package).is_dir()
    {
        return Some(format!("package {package} is not there: npm install in benches/peers"));
    }
    let runtime = runtime(peer, &directory);
    let works = Command::new(&runtime)
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    (!works).then(|| format!("{} does not run: npm install in benches/peers", runtime.display()))
}

/// Starts it.
///
/// With one symbol a session it sends messages of Tickgate's frame size, the game such servers are
/// made for; otherwise JSON of equal fields.
pub(super) fn start(peer: &Peer, job: &Job) -> Result<Server> {
    let directory = directory();
    let symbols: Vec<String> = (1..=job.load.universe).map(|n| format!("SYM{n:04}")).collect();
    let mut command = Command::new(runtime(peer, &directory));
    let bytes = if job.load.symbols == 1 { job.frame_bytes } else { 0 };
    command.arg(directory.join(peer.script)).args([
        symbols.len().to_string(),
        job.load.throttle_ms.max(1).to_string(),
        bytes.to_string(),
    ]);
    let mut running = Running::start_pinned(SERVER_CORE, &command)?;
    let address = listening_line(&mut running)
        .with_context(|| format!("{} {}", peer.runtime, peer.script))?;
    Ok(Server {
        running,
        address,
        path: "/",
        subprotocol: None,
        content: Content::Stamped,
        symbols,
        _files: None,
    })
}

fn runtime(peer: &Peer, directory: &Path) -> PathBuf {
    peer.installed_runtime
        .map(|path| directory.join(path))
        .filter(|path| path.is_file())
        .unwrap_or_else(|| peer.runtime.into())
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("peers")
}
