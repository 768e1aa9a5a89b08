//! A scenario with sound and planted clients, and a run of it.

use std::sync::{Arc, atomic::Ordering};

use tickgate_load::{
    measure::Tally,
    progress::Phase,
    report::{Figures, Report, Second},
    run::{self, LoadError},
    scenario::{Group, Scenario, Speaks},
};

use crate::{
    feed::PLANTED_MS,
    server::{Server, Shared},
};

/// Sound clients; the planted ones are numbered from here on.
pub(crate) const SOUND: u32 = 2;

/// Two sound clients and one planted, which watch the quote and the tape for some seconds.
pub(crate) fn scenario(server: &Server, duration_s: f64) -> Scenario {
    let mut scenario = Scenario::parse("truth", "name = \"truth\"\nclients = []").expect("TOML");
    scenario.target.url.clone_from(&server.url);
    scenario.run.warm_up_s = 0.0;
    scenario.run.duration_s = duration_s;
    scenario.run.compared_clients = 0;
    let group = |name: &str, count, throttle_ms| Group {
        name: name.to_owned(),
        count,
        symbols: 1,
        channels: vec!["quote".to_owned(), "trade".to_owned()],
        throttle_ms: Some(throttle_ms),
        ..Group::default()
    };
    scenario.clients = vec![group("sound", SOUND, 0), group("planted", 1, PLANTED_MS)];
    scenario
}

/// The same of a plain server, where planted clients ask for two symbols.
pub(crate) fn stamped(server: &Server, duration_s: f64) -> Scenario {
    let mut scenario = scenario(server, duration_s);
    scenario.target.speaks = Speaks::Stamped;
    scenario.clients[1].symbols = 2;
    scenario
}

/// Runs it; the server is told when the window begins.
pub(crate) fn run(server: &Server, scenario: Scenario) -> Result<Report, LoadError> {
    run::run(scenario, &mut Audience { shared: Arc::clone(&server.shared) })
}

/// Figures of both groups: sound, planted.
pub(crate) fn figures(report: &Report) -> (&Figures, &Figures) {
    (&report.groups[0].figures, &report.groups[1].figures)
}

struct Audience {
    shared: Arc<Shared>,
}

impl run::Audience for Audience {
    fn phase(&mut self, phase: &Phase) {
        if matches!(phase, Phase::Window { .. }) {
            self.shared.window.store(true, Ordering::SeqCst);
        }
    }

    fn second(&mut self, _: &Second, _: &Tally, _: u32) -> anyhow::Result<()> {
        Ok(())
    }
}
