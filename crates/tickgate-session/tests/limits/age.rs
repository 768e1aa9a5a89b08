//! How old frames are when they have left, to the unit of a tenth of a millisecond.

use std::time::Duration;

use tickgate_session::{EngineConfig, EngineStats, Pace};

use crate::desk::{Client, Desk, list};

/// Frames counted, and the sum of their ages in units of 100 µs.
fn ages(desk: &Desk, pace: Pace) -> (u64, u64) {
    let stats: &EngineStats = desk.engine.stats();
    let spread = &stats.frame_age[pace as usize];
    (spread.total(), spread.sum)
}

/// A client of `S0` at this interval that has its first full entries, a second ago.
fn settled(throttle_ms: u64) -> (Desk, Client) {
    // It never answers a ping.
    let config = EngineConfig {
        client_silence_limit: Duration::from_secs(3_600),
        commands_per_second: 1_000_000,
        ..EngineConfig::default()
    };
    let mut desk = Desk::new(config);
    list(&mut desk, 1);
    desk.quote(100, 3_000_000);
    let client = join(&mut desk, throttle_ms);
    desk.pass_ms(1_000);
    assert!(desk.engine.stats().snapshots > 0, "it has its first entries");
    for pace in Pace::ALL {
        assert_eq!(ages(&desk, pace), (0, 0), "what is sent in full is as old as it is");
    }
    (desk, client)
}

fn join(desk: &mut Desk, throttle_ms: u64) -> Client {
    let mut client = desk.connect();
    let subscribe = format!(r#"{{"op":"subscribe","symbols":["S0"],"throttle_ms":{throttle_ms}}}"#);
    desk.ask(&mut client, &subscribe);
    client
}

/// Enough that several are counted.
const FRAMES: u64 = 3_000;

/// Frames of one pace were counted, and each was so old; none of another pace was.
fn assert_each_was(desk: &Desk, pace: Pace, age_us: u64) {
    let (count, sum) = ages(desk, pace);
    assert!((4..9).contains(&count), "one in 341 to 682 of {FRAMES}: {count}");
    assert_eq!(sum, count * (age_us / 100));
    for other in Pace::ALL.into_iter().filter(|other| *other != pace) {
        assert_eq!(ages(desk, other), (0, 0), "{other:?}");
    }
}

#[test]
fn as_it_happens_the_age_is_from_the_venue_to_the_socket() {
    // A venue's clock that runs ahead makes nothing younger than new.
    for (since_us, age_us) in [(730, 700), (-4_000, 0)] {
        let (mut desk, _client) = settled(0);
        for price in 0..FRAMES as i64 {
            desk.quote(price, since_us);
            desk.poll();
        }
        assert_each_was(&desk, Pace::Realtime, age_us);
    }
}

#[test]
fn with_a_throttle_it_is_what_the_change_waited_for_its_flush() {
    let (mut desk, _client) = settled(100);
    for price in 0..FRAMES as i64 {
        // 30 ms before its flush, which is due.
        desk.quote(price, 0);
        let frames = desk.engine.stats().frames;
        for _ in 0..100 / 5 {
            if desk.engine.stats().frames == frames {
                desk.pass_ms(5);
            }
        }
        assert_eq!(desk.engine.stats().frames, frames + 1);
        desk.pass_ms(70);
    }
    let (count, sum) = ages(&desk, Pace::Throttled);
    assert!((4..9).contains(&count), "{count}");
    // Only the first one's place in its interval is chance.
    assert!(sum >= (count - 1) * 300 && sum <= (count - 1) * 300 + 1_000, "{sum} of {count}");
}

#[test]
fn a_frame_that_leaves_in_parts_is_as_old_as_when_the_last_part_has_left() {
    let (mut desk, client) = settled(0);
    for price in 0..FRAMES as i64 {
        client.pipe.block_after(9);
        desk.quote(price, 500);
        desk.poll();
        desk.pass_ms(10);
        client.pipe.unblock();
        desk.pass_ms(5);
        client.pipe.take();
    }
    assert_each_was(&desk, Pace::HeldUp, 15_500);
    assert_eq!(desk.engine.stats().leaving.total(), FRAMES);
}

#[test]
fn what_changed_while_a_frame_waited_was_held_up_as_well() {
    let (mut desk, client) = settled(0);
    for price in 0..FRAMES as i64 / 2 {
        client.pipe.block_after(9);
        desk.quote(2 * price, 0);
        desk.poll();
        desk.quote(2 * price + 1, 0);
        desk.pass_ms(10);
        client.pipe.unblock();
        desk.pass_ms(5);
        client.pipe.take();
    }
    assert_each_was(&desk, Pace::HeldUp, 15_000);
}

#[test]
fn replies_that_push_a_frame_out_count_it_as_well() {
    let (mut desk, mut client) = settled(0);
    for price in 0..FRAMES as i64 {
        client.pipe.block_after(9);
        desk.quote(price, 500);
        desk.poll();
        desk.pass_ms(20);
        desk.now.monotonic_us += 3_000;
        client.pipe.unblock();
        desk.ask(&mut client, r#"{"op":"ping"}"#);
    }
    assert_each_was(&desk, Pace::HeldUp, 23_500);
    assert_eq!(desk.engine.stats().leaving.total(), FRAMES);
}
