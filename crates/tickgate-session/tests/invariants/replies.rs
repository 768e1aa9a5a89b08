//! Replies tell what is in force, not what was asked for.

use tickgate_checker::Dialect;
use tickgate_protocol::{
    channel::{Channel, Channels},
    command::ErrorCode,
    reply::{Reply, Subscribed},
};
use tickgate_session::EngineConfig;

use crate::world::{Manners, World};

fn world() -> World {
    let mut world = World::new(9, 1, 8, 16, EngineConfig::default());
    world.open(Dialect::Json, 4_096, false, Manners::default());
    world.run_on(5_000, 5_000, 0);
    world
}

fn ask(world: &mut World, message: &str) -> Reply {
    let before = world.clients[0].replies().len();
    world.clients[0].mutter(message);
    world.pass(10);
    world.serve(false);
    let mut replies = world.clients[0].replies().split_off(before);
    assert_eq!(replies.len(), 1, "{message}: {replies:?}");
    replies.remove(0)
}

fn subscribe(world: &mut World, rest: &str) -> Subscribed {
    match ask(world, &format!(r#"{{"op":"subscribe",{rest}}}"#)) {
        Reply::Subscribed(subscribed) => subscribed,
        other => panic!("{other:?}"),
    }
}

/// `(count, still_covered, subscriptions)`
fn unsubscribe(world: &mut World, rest: &str) -> (u64, Vec<String>, u64) {
    match ask(world, &format!(r#"{{"op":"unsubscribe",{rest}}}"#)) {
        Reply::Unsubscribed { count, still_covered, subscriptions, .. } => {
            (count, still_covered, subscriptions)
        }
        other => panic!("{other:?}"),
    }
}

/// `(throttle_ms, max_bytes_per_second, count, rejected)`
fn throttle(world: &mut World, rest: &str) -> (u32, Option<u64>, u64, Vec<String>) {
    match ask(world, &format!(r#"{{"op":"throttle",{rest}}}"#)) {
        Reply::Throttled { throttle_ms, max_bytes_per_second, count, rejected, .. } => {
            assert!(rejected.iter().all(|each| each.code == ErrorCode::UnknownSymbol));
            let rejected = rejected.into_iter().map(|each| each.symbol).collect();
            (throttle_ms, max_bytes_per_second, count, rejected)
        }
        other => panic!("{other:?}"),
    }
}

const ALL_QUOTE: u8 = 0b1_1111;
const ALL_LAST: u8 = 0b1111_1111;

#[test]
fn a_subscribe_is_told_the_selection_in_force() {
    let mut world = world();
    let first = subscribe(&mut world, r#""symbols":["S0"]"#);
    assert_eq!((first.count, first.subscriptions, first.throttle_ms), (1, 1, 100));
    assert_eq!((first.quote_fields, first.last_fields), (ALL_QUOTE, ALL_LAST));
    assert_eq!(first.channels, Channels::DEFAULT);
    assert_eq!(first.resumed, None);

    // What is omitted keeps its value; channels add up.
    let fields = r#""symbols":["S0"],"fields":{"quote":["ask_price"],"last":["price","low"]}"#;
    let told = subscribe(&mut world, fields);
    assert_eq!((told.quote_fields, told.last_fields), (0b100, 0b10_0001));
    let told = subscribe(&mut world, r#""symbols":["S0"],"channels":["trade"],"throttle_ms":40"#);
    assert_eq!((told.quote_fields, told.last_fields, told.throttle_ms), (0b100, 0b10_0001, 40));
    assert_eq!(told.channels, Channels::ALL);
    let told = subscribe(&mut world, r#""symbols":["S0"]"#);
    assert_eq!((told.throttle_ms, told.channels), (40, Channels::ALL));
    let told = subscribe(&mut world, r#""symbols":["S0"],"throttle_ms":null"#);
    assert_eq!((told.throttle_ms, told.count, told.subscriptions), (100, 1, 1));

    // New names begin with the default channels, whatever others have.
    let told = subscribe(&mut world, r#""symbols":["S1"],"channels":["trade"]"#);
    assert_eq!((told.channels, told.subscriptions), (Channels::only(Channel::Trade), 2));
    let told = subscribe(&mut world, r#""symbols":["S1"]"#);
    assert_eq!(told.channels, Channels::only(Channel::Trade), "what is omitted keeps its value");
}

#[test]
fn a_wildcards_selection_adds_to_that_of_names() {
    let mut world = world();
    subscribe(&mut world, r#""symbols":["S0"],"channels":["trade"]"#);
    let all = r#""symbols":["*"],"throttle_ms":70,"fields":{"quote":["bid_size"]}"#;
    let told = subscribe(&mut world, all);
    assert_eq!((told.channels, told.throttle_ms), (Channels::DEFAULT, 70));
    assert_eq!((told.quote_fields, told.last_fields, told.subscriptions), (0b10, ALL_LAST, 2));
    let told = subscribe(&mut world, r#""symbols":["*"],"channels":["trade"]"#);
    assert_eq!((told.channels, told.quote_fields, told.throttle_ms), (Channels::ALL, 0b10, 70));
    // A name under a wildcard: its channels and those of the wildcard, and its interval.
    let told = subscribe(&mut world, r#""symbols":["S0"]"#);
    assert_eq!((told.channels, told.throttle_ms, told.subscriptions), (Channels::ALL, 70, 2));
    let told = subscribe(&mut world, r#""symbols":["S0"],"throttle_ms":30"#);
    assert_eq!(told.throttle_ms, 30);

    assert_eq!(unsubscribe(&mut world, r#""symbols":["S0","S7","X"]"#), (1, vec!["S0".into()], 1));
    assert_eq!(unsubscribe(&mut world, r#""symbols":["S0"]"#), (0, vec![], 1));
    subscribe(&mut world, r#""symbols":["S0","S1"]"#);
    let left = unsubscribe(&mut world, r#""symbols":["*"],"channels":["trade"]"#);
    assert_eq!(left, (1, vec![], 3));
    assert_eq!(unsubscribe(&mut world, r#""symbols":["*"]"#), (1, vec![], 2));
    assert_eq!(unsubscribe(&mut world, r#""symbols":["*"]"#), (0, vec![], 2));
    let left = unsubscribe(&mut world, r#""symbols":["S0"],"channels":["quote"]"#);
    assert_eq!(left, (1, vec![], 2));
    let left = unsubscribe(&mut world, r#""symbols":["S0"],"channels":["last"]"#);
    assert_eq!(left, (1, vec![], 1), "its last channel");
    assert_eq!(world.engines[0].stats().subscriptions, 1);
}

#[test]
fn a_throttle_is_told_what_is_in_force_and_symbols_come_before_wildcard_and_connection() {
    let mut world = world();
    subscribe(&mut world, r#""symbols":["S0","S1"]"#);
    assert_eq!(throttle(&mut world, r#""throttle_ms":250"#), (250, None, 0, vec![]));
    let told = throttle(&mut world, r#""throttle_ms":30,"symbols":["S1","S5","X","*"]"#);
    assert_eq!(told, (250, None, 1, vec!["S5".into(), "X".into(), "*".into()]));
    let told = throttle(&mut world, r#""max_bytes_per_second":9000"#);
    assert_eq!(told, (250, Some(9_000), 0, vec![]));
    subscribe(&mut world, r#""symbols":["*"]"#);
    let told = throttle(&mut world, r#""throttle_ms":60,"symbols":["*"]"#);
    assert_eq!(told, (250, Some(9_000), 1, vec![]));
    let of = |world: &mut World, symbol: &str| {
        subscribe(world, &format!(r#""symbols":["{symbol}"]"#)).throttle_ms
    };
    assert_eq!((of(&mut world, "S0"), of(&mut world, "S1"), of(&mut world, "*")), (60, 30, 60));
    assert_eq!(throttle(&mut world, r#""throttle_ms":null,"symbols":["*","S1"]"#).2, 2);
    assert_eq!((of(&mut world, "S0"), of(&mut world, "S1"), of(&mut world, "*")), (250, 250, 250));
    assert_eq!(throttle(&mut world, r#""throttle_ms":null,"max_bytes_per_second":null"#).1, None);
    assert_eq!((of(&mut world, "S0"), of(&mut world, "*")), (100, 100));
}
