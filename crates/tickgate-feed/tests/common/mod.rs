//! Where tests find recordings, and how they play them.

#![allow(dead_code, reason = "each test file uses its part")]

use std::path::{Path, PathBuf};

use tickgate_feed::{
    End, Feed, Next,
    replay::{Replay, ReplayConfig},
};
use tickgate_protocol::tick::Batch;

/// A real recording, where `../shared/data` beside the project's root holds it.
pub(crate) fn real(path: &str) -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let path = root.join(path);
    path.exists().then_some(path)
}

/// Opens a replay that must open.
pub(crate) fn open(config: ReplayConfig) -> Replay {
    Replay::open(config).unwrap_or_else(|error| panic!("{error}"))
}

/// Settings that play `files` flat out with the times of the recording.
pub(crate) fn flat_out(files: &[&Path]) -> ReplayConfig {
    ReplayConfig {
        files: files.iter().map(|file| (*file).to_owned()).collect(),
        speed: 0.0,
        rebase: false,
        ..Default::default()
    }
}

/// Plays to the end, one millisecond of a virtual clock a poll where nothing is said.
pub(crate) fn play(feed: &mut dyn Feed, mut now_ns: i64) -> (Batch, End) {
    let mut batch = Batch::default();
    loop {
        match feed.poll(now_ns, &mut batch) {
            Next::Again => now_ns += 1_000_000,
            Next::At(due_ns) => now_ns = due_ns,
            Next::Ended(end) => return (batch, end),
        }
    }
}
