//! What a survey finds of the sessions that are open, added up and one by one.

use tickgate_checker::{Channel, Command, Dialect, Subscribe};
use tickgate_protocol::{
    channel::{Channel as Spoken, Channels},
    close::CloseReason,
    entry::cause,
};
use tickgate_session::{EngineConfig, Held, SessionReport, Survey};

use crate::world::{Manners, World};

const TICK_US: u64 = 5_000;

fn wanted(symbols: &[&str], channels: &[Channel], throttle_ms: u64) -> Subscribe {
    Subscribe {
        symbols: symbols.iter().map(|name| (*name).to_owned()).collect(),
        channels: Some(channels.to_vec()),
        throttle_ms: Some(Some(throttle_ms)),
        ..Subscribe::default()
    }
}

/// A worker with clients of these subscriptions, settled.
fn world(clients: &[Vec<Subscribe>]) -> World {
    let mut world = World::new(3, 1, 10, 64, EngineConfig::default());
    for subscribes in clients {
        let client = world.open(Dialect::MessagePack, 4_096, false, Manners::default());
        for subscribe in subscribes {
            world.subscribe(client, subscribe.clone());
        }
    }
    world.run_with(500_000, TICK_US, World::requote);
    world
}

fn survey(world: &World, top: usize) -> (Held, Vec<SessionReport>) {
    let mut survey = Survey::new(top);
    assert!(world.engines[0].survey(world.now, &mut survey, usize::MAX));
    survey.finish()
}

#[test]
fn what_sessions_hold_is_added_up_and_told_of_each() {
    let mut world = world(&[
        vec![wanted(&["S0", "S1"], &[Channel::Quote, Channel::Trade], 25)],
        vec![
            wanted(&["*"], &[Channel::Quote, Channel::Last], 0),
            wanted(&["S2"], &[Channel::Trade], 100),
        ],
        vec![],
        vec![wanted(&["S3"], &[Channel::Quote], 50)],
        vec![wanted(&["S4"], &[Channel::Quote], 25)],
    ]);
    let now_us = world.now.monotonic_us;
    world.clients[0].say(now_us, &Command::Credit { id: None, frames: Some(9) });
    world.clients[4].say(now_us, &Command::Credit { id: None, frames: Some(1) });
    world.clients[3].block_after(now_us, 0);
    let full = |world: &World| survey(world, 9).0.waiting_bytes;
    while full(&world) == 0 {
        world.run_with(TICK_US, TICK_US, World::requote);
    }
    let framed_us = world.now.monotonic_us;
    world.run_with(20 * TICK_US, TICK_US, World::requote);
    let (held, reports) = survey(&world, 9);
    let waiting = held.waiting_bytes;
    let by_number = |number: u64| reports.iter().find(|report| report.session == number);

    assert_eq!(held.subscriptions, [5, 1, 3, 0, 0, 0], "quote, last, trade and no bars");
    assert_eq!(held.wildcards, 1);
    let mut held_up = [0; 16];
    (held_up[0], held_up[usize::from(cause::SOCKET)]) = (3, 1);
    held_up[usize::from(cause::CREDIT)] = 1;
    assert_eq!(held.held_up, held_up);
    let footprint = |number: usize| {
        let key = world.clients[number].key;
        world.engines[0].footprint(key).expect("it is open").total() as u64
    };
    assert_eq!(held.allocated_bytes, (0..5).map(footprint).sum::<u64>());
    assert_eq!(held.pending, reports.iter().map(|report| report.cursor_lag).sum::<u64>());

    assert_eq!(reports.len(), 5);
    let mut slow: Vec<u64> = reports[..2].iter().map(|report| report.session).collect();
    slow.sort_unstable();
    assert_eq!(slow, [3, 4], "those that are held up");
    let told = |number: u64| {
        let report = by_number(number).expect("all are told of");
        (report.subscriptions, report.wildcard, report.channels, report.throttles_ms.clone())
    };
    let quotes = Channels::only(Spoken::Quote);
    let of = |channels: [Spoken; 2]| {
        channels.into_iter().fold(Channels::NONE, |all, each| all.with(Channels::only(each)))
    };
    assert_eq!(told(0), (2, false, of([Spoken::Quote, Spoken::Trade]), vec![25]));
    assert_eq!(told(1), (2, true, Channels::ALL, vec![0, 100]));
    assert_eq!(told(2), (0, false, Channels::NONE, vec![]));
    assert_eq!(told(3), (1, false, quotes, vec![50]));
    assert_eq!(told(4), (1, false, quotes, vec![25]));
    let last_us = world.clients[4].frames().last().expect("one was credited").0;
    for report in &reports {
        let number = report.session as usize;
        let (bytes, held_up_by, since_us) = match number {
            3 => (waiting, cause::SOCKET, framed_us),
            4 => (0, cause::CREDIT, last_us),
            _ => (0, 0, world.now.monotonic_us),
        };
        assert_eq!(report.allocated_bytes, footprint(number));
        assert_eq!((report.waiting_bytes, report.held_up_by), (bytes, held_up_by));
        assert_eq!(report.frame_age_us, world.now.monotonic_us - since_us);
        let expected = [Some(9), None, None, None, Some(1)][number];
        assert_eq!(report.credit.map(|(frames, _)| frames), expected);
    }
    let sent = by_number(0).and_then(|report| report.credit).expect("it has credit").1;
    assert!((4..9).contains(&sent), "{sent} frames in a tenth of a second, none acknowledged");
    let interval_us = |number| by_number(number).expect("all are told of").interval_us;
    assert_eq!((interval_us(0), interval_us(2)), (Some(25_000), None));

    // What waits is what comes.
    let now_us = world.now.monotonic_us;
    let before = world.clients[3].told().len();
    world.clients[3].unblock(now_us);
    world.run_on(TICK_US, TICK_US, 0);
    assert_eq!(world.clients[3].told()[before].bytes as u64, waiting);
}

#[test]
fn a_survey_goes_on_in_slices_of_so_many_subscriptions() {
    let slices = |world: &World, work: usize| {
        let mut survey = Survey::new(0);
        let mut slices = 1;
        while !world.engines[0].survey(world.now, &mut survey, work) {
            slices += 1;
        }
        slices
    };
    let all = ["S0", "S1", "S2", "S3", "S4", "S5", "S6", "S7", "S8", "S9"];
    let names = wanted(&all, &[Channel::Quote], 25);
    let wildcard = wanted(&["*"], &[Channel::Quote], 25);
    // A session counts as one, and its subscriptions as one each; a wildcard as all it covers.
    for subscribes in [names, wildcard] {
        let world = world(&vec![vec![subscribes]; 4]);
        assert_eq!(slices(&world, 10), 4);
        assert_eq!(slices(&world, 11), 4);
        assert_eq!(slices(&world, 12), 2);
        assert_eq!(slices(&world, 1_000), 1);
    }
    let world = world(&[vec![], vec![], vec![], vec![]]);
    assert_eq!((slices(&world, 1), slices(&world, 2), slices(&world, 4)), (4, 2, 1));
}

#[test]
fn the_older_of_two_sessions_stands_first() {
    let mut world = world(&[vec![], vec![], vec![]]);
    // Its place is taken by one that is younger than all.
    let key = world.clients[0].key;
    world.engines[0].close(world.now, key, CloseReason::Kicked);
    world.run_on(1_500_000, TICK_US, 0);
    world.open(Dialect::MessagePack, 4_096, false, Manners::default());
    world.run_on(TICK_US, TICK_US, 0);
    for top in 0..=4 {
        let sessions: Vec<u64> = survey(&world, top).1.iter().map(|each| each.session).collect();
        assert_eq!(sessions, [1, 2, 3][..top.min(3)]);
    }
}
