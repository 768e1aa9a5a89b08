//! Which recordings the tests use.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use tempfile::TempDir;
use tickgate_feed::{
    Feed, Next,
    record::BinanceRecorder,
    simulated::{SimulatedConfig, SimulatedMarket},
};
use tickgate_protocol::tick::Batch;

/// Real recordings lie beside the project; they are not part of it.
const SHARED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data");

/// When simulated recordings begin: Unix time, nanoseconds.
const START_NS: i64 = 1_700_000_000_000_000_000;

/// How far a recorder's clock is behind its venue's, as that of the real recordings is.
const CLOCK_OFFSET_NS: i64 = -1_270_000_000;

/// Recordings to replay together.
pub(crate) struct Recordings {
    pub(crate) files: Vec<PathBuf>,
    _folder: Option<TempDir>,
}

impl Recordings {
    /// The real ones where there are any, and else what a simulated market writes in the same
    /// format. Says which.
    pub(crate) fn real_or_simulated() -> Self {
        if !Path::new(SHARED).exists() {
            let market =
                SimulatedConfig { symbols: 20, ticks_per_second: 1_000, ..one_that_halts() };
            let recordings = Self::simulated(market, 120);
            println!("recordings: of a simulated market; ../shared/data is absent");
            return recordings;
        }
        let folder = Path::new(SHARED).join("binance-spot-20240808");
        let files: Vec<PathBuf> = ["btcusdt_20240808.gz", "ethusdt_20240808.gz"]
            .map(|name| folder.join(name))
            .into_iter()
            .map(|file| fs::canonicalize(&file).unwrap_or_else(|e| panic!("{file:?}: {e}")))
            .collect();
        println!("recordings: Binance spot, 2024-08-08, BTCUSDT and ETHUSDT");
        Self { files, _folder: None }
    }

    /// `seconds` of a simulated market.
    pub(crate) fn simulated(config: SimulatedConfig, seconds: i64) -> Self {
        let folder = TempDir::new().expect("a temporary folder can be made");
        let file = folder.path().join("simulated.gz");
        let out = File::create(&file).expect("the temporary folder can be written");
        let mut recorder = BinanceRecorder::new(out, CLOCK_OFFSET_NS);
        let mut market = SimulatedMarket::open(config).expect("a sound configuration");
        let mut batch = Batch::default();
        let mut now_ns = START_NS;
        while now_ns < START_NS + seconds * 1_000_000_000 {
            batch.clear();
            let next = market.poll(now_ns, &mut batch);
            recorder.record(&batch).expect("the temporary folder can be written");
            match next {
                Next::Again => {}
                Next::At(due_ns) => now_ns = due_ns,
                Next::Ended(end) => panic!("a simulated market ended: {end}"),
            }
        }
        recorder.finish().expect("the temporary folder can be written");
        Self { files: vec![file], _folder: Some(folder) }
    }

    /// The lines of the configuration that replay them.
    pub(crate) fn config(&self, speed: f64, start_after_subscribes: usize) -> String {
        let files: Vec<String> = self.files.iter().map(|file| format!("{file:?}")).collect();
        format!(
            "[feed]\nkind = \"replay\"\nstart_after_subscribes = {start_after_subscribes}\n\
             [feed.replay]\nfiles = [{}]\nspeed = {speed:?}\n",
            files.join(", ")
        )
    }
}

/// A market in which everything happens that the format of the recordings can hold.
fn one_that_halts() -> SimulatedConfig {
    SimulatedConfig { one_sided_per_million: 5_000, ..SimulatedConfig::default() }
}
