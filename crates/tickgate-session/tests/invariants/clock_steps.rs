//! A Unix clock that steps, by seconds and by decades: it is said and nothing else.

use tickgate_checker::{Channel, Dialect, Subscribe, websocket::Opcode};
use tickgate_session::EngineConfig;

use crate::world::{Heard, Manners, World};

const HOUR_US: i64 = 3_600_000_000;
const YEAR_US: i64 = 365 * 24 * HOUR_US;

/// Runs a market with these steps of the Unix clock, half a second apart: when each client heard
/// what kind of message.
fn heard(steps: &[i64]) -> Vec<Vec<(u64, Opcode)>> {
    let mut world = World::new(21, 1, 20, 1_024, EngineConfig::default());
    let names = world.market.names();
    for (dialect, throttle_ms) in
        [(Dialect::MessagePack, 25), (Dialect::Json, 0), (Dialect::Json, 700)]
    {
        let client = world.open(dialect, 4_096, false, Manners::default());
        let wanted = Subscribe {
            symbols: names.clone(),
            channels: Some(Channel::ALL.to_vec()),
            throttle_ms: Some(Some(throttle_ms)),
            ..Subscribe::default()
        };
        world.subscribe(client, wanted);
    }
    for step_us in steps {
        world.run_on(500_000, 1_000, 4);
        world.now.unix_us += step_us;
        world.truth.clock(world.now.monotonic_us, world.now.unix_us);
    }
    world.run_on(500_000, 1_000, 4);
    let quiet_since_us = world.now.monotonic_us;
    // Past two intervals of the slowest, and a heartbeat.
    world.run_on(3_000_000, 1_000, 0);
    assert!(world.ended.is_empty(), "{steps:?}: {:?}", world.ended);
    let outcomes = world.finish(quiet_since_us);
    outcomes
        .into_iter()
        .map(|outcome| {
            assert_eq!(outcome.verdict.violations, [], "{steps:?}");
            assert_eq!(outcome.breaches, [] as [String; 0], "{steps:?}");
            let messages =
                outcome.transcript.into_iter().filter_map(|(at_us, heard)| match heard {
                    Heard::Message(opcode, _) => Some((at_us, opcode)),
                    _ => None,
                });
            messages.collect()
        })
        .collect()
}

#[test]
fn nothing_comes_sooner_or_later_or_more_often_for_a_clock_that_steps() {
    let still = heard(&[0; 4]);
    assert!(still.iter().all(|client| client.len() > 5), "there is something to compare");
    for steps in [
        [1_000, -1_000, 3_000_000, -3_000_000],
        [HOUR_US, -2 * HOUR_US, HOUR_US, 0],
        // To 2073 and back; then to 1963, before the epoch, and back.
        [50 * YEAR_US, -50 * YEAR_US, -60 * YEAR_US, 60 * YEAR_US],
    ] {
        assert_eq!(heard(&steps), still, "{steps:?}");
    }
}
