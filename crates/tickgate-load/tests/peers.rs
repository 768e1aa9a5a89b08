//! The scenarios that lie beside the peers they load.

use std::path::Path;

use tickgate_load::scenario::{Scenario, Speaks};

#[test]
fn the_peers_scenarios_can_be_run_and_speak_what_their_names_say() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../benches/peers");
    for (file, speaks) in [
        ("plain.toml", Speaks::Stamped),
        ("nats.toml", Speaks::Nats),
        ("centrifugo.toml", Speaks::Centrifugo),
    ] {
        let path = folder.join(file);
        let scenario = Scenario::find(path.to_str().expect("text")).expect("a scenario");
        assert_eq!(scenario.check(), Ok(()), "{file}");
        assert_eq!(scenario.target.speaks, speaks, "{file}");
        assert_eq!(scenario.name, file.trim_end_matches(".toml"));
        // Only a plain server publishes without being told to.
        let publishes = scenario.clients.iter().any(|group| group.publishes_per_second > 0.0);
        assert_eq!(publishes, speaks != Speaks::Stamped, "{file}");
    }
}
