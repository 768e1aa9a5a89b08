//! What a session may ask for: each limit at its edge, what is answered beyond it, and how a
//! session ends that keeps to none of them.

use std::time::Duration;

use tickgate_checker::{Channel, Command, Dialect, Subscribe, control, websocket::Opcode};
use tickgate_protocol::{
    close::CloseReason,
    command::ErrorCode,
    decode::Message,
    entry::Entry,
    instrument::Instrument,
    reply::{Reply, Resumed, Subscribed, SymbolInfo},
    tick::{Batch, Listing},
};
use tickgate_session::EngineConfig;

use crate::world::{Heard, Manners, World};

const TICK_US: u64 = 5_000;

/// A gateway of these settings with 20 symbols, and clients that speak JSON.
fn world(clients: usize, config: EngineConfig) -> World {
    let mut world = World::new(9, 1, 20, 16, config);
    for _ in 0..clients {
        world.open(Dialect::Json, 4_096, false, Manners::default());
    }
    world.run_on(TICK_US, TICK_US, 0);
    world
}

/// Has a client say something; the replies to it.
fn ask(world: &mut World, client: usize, message: &str) -> Vec<Reply> {
    let before = world.clients[client].replies().len();
    world.clients[client].mutter(message);
    world.pass(10);
    world.serve(false);
    world.clients[client].replies().split_off(before)
}

/// The code and the field of the one error that answers it.
fn refused(world: &mut World, client: usize, message: &str) -> (ErrorCode, Option<String>) {
    match &ask(world, client, message)[..] {
        [Reply::Error(refusal)] => (refusal.code, refusal.field.clone()),
        other => panic!("{message}: {other:?}"),
    }
}

fn subscribed(world: &mut World, client: usize, message: &str) -> Subscribed {
    match ask(world, client, message).remove(0) {
        Reply::Subscribed(subscribed) => subscribed,
        other => panic!("{message}: {other:?}"),
    }
}

fn field(code: ErrorCode, name: &str) -> (ErrorCode, Option<String>) {
    (code, Some(name.to_owned()))
}

#[test]
fn the_welcome_tells_the_limits_in_force() {
    let config = EngineConfig {
        heartbeat_interval: Duration::from_millis(700),
        drain_age: Duration::from_millis(3_000),
        subscription_limit: 7,
        message_limit_bytes: 9_000,
        frame_limit_bytes: 8_000,
        commands_per_second: 33,
        throttle_interval_limit: 3,
        throttle_interval: Duration::from_millis(250),
        ..EngineConfig::default()
    };
    let world = world(2, config);
    let Reply::Welcome(welcome) = world.clients[1].replies().remove(0) else {
        panic!("no welcome")
    };
    assert_eq!((welcome.session, welcome.epoch), (1, world.clients[1].checker.epoch()));
    // Drain age and two heartbeats.
    assert_eq!((welcome.heartbeat_ms, welcome.silence_limit_ms), (700, 4_400));
    let limits = welcome.limits;
    assert_eq!((limits.subscriptions, limits.message_bytes, limits.frame_bytes), (7, 9_000, 8_000));
    assert_eq!((limits.commands_per_second, limits.throttle_intervals), (33, 3));
    assert_eq!((limits.throttle_ms, limits.history, limits.symbols), (250, 100, 250));
}

#[test]
fn subscriptions_up_to_the_limit_are_held_and_a_wildcard_counts_as_one() {
    let config = EngineConfig { subscription_limit: 3, ..EngineConfig::default() };
    let mut world = world(1, config);
    let reply =
        subscribed(&mut world, 0, r#"{"op":"subscribe","symbols":["S0","S1","S2","S3","S4"]}"#);
    assert_eq!((reply.count, reply.subscriptions), (3, 3));
    let rejected: Vec<_> =
        reply.rejected.iter().map(|each| (&each.symbol[..], each.code)).collect();
    let full = ErrorCode::TooManySubscriptions;
    assert_eq!(rejected, [("S3", full), ("S4", full)]);
    let reply = subscribed(&mut world, 0, r#"{"op":"subscribe","symbols":["*","S1"]}"#);
    assert_eq!((reply.count, reply.subscriptions, reply.rejected.len()), (1, 3, 1));
    assert_eq!(world.engines[0].stats().subscriptions, 3);

    let gone = ask(&mut world, 0, r#"{"op":"unsubscribe","symbols":["S0","S7"]}"#);
    assert!(
        matches!(&gone[..], [Reply::Unsubscribed { count: 1, subscriptions: 2, .. }]),
        "{gone:?}"
    );
    let reply = subscribed(&mut world, 0, r#"{"op":"subscribe","symbols":["*"]}"#);
    assert_eq!((reply.count, reply.subscriptions), (1, 3));
    let reply = subscribed(&mut world, 0, r#"{"op":"subscribe","symbols":["S9"]}"#);
    assert_eq!((reply.count, reply.rejected[0].code), (0, full));
    assert_eq!(world.engines[0].stats().subscriptions, 3);
}

#[test]
fn a_command_that_would_have_much_rejected_is_refused_whole() {
    let mut world = world(1, EngineConfig::default());
    let unknown = |count: usize| {
        let names: Vec<String> = (0..count).map(|each| format!("\"X{each}\"")).collect();
        format!(r#"{{"op":"subscribe","symbols":["S0",{}]}}"#, names.join(","))
    };
    let reply = subscribed(&mut world, 0, &unknown(256));
    assert_eq!((reply.count, reply.subscriptions, reply.rejected.len()), (1, 1, 256));
    let answer = refused(&mut world, 0, &unknown(257));
    assert_eq!(answer, field(ErrorCode::UnknownSymbol, "symbols"));
    let throttle = |count: usize| {
        let message = unknown(count).replace("subscribe", "throttle");
        message.replacen('{', r#"{"throttle_ms":50,"#, 1)
    };
    match &ask(&mut world, 0, &throttle(256))[..] {
        [Reply::Throttled { count: 1, rejected, .. }] => assert_eq!(rejected.len(), 256),
        other => panic!("{other:?}"),
    }
    let answer = refused(&mut world, 0, &throttle(257));
    assert_eq!(answer, field(ErrorCode::BadField, "symbols"));
}

#[test]
fn distinct_intervals_up_to_the_limit_are_held() {
    let config = EngineConfig { throttle_interval_limit: 2, ..EngineConfig::default() };
    let mut world = world(1, config);
    let at = |name: &str, ms: &str| {
        format!(r#"{{"op":"subscribe","symbols":["{name}"],"throttle_ms":{ms}}}"#)
    };
    assert_eq!(subscribed(&mut world, 0, &at("S0", "10")).throttle_ms, 10);
    assert_eq!(subscribed(&mut world, 0, &at("S1", "20")).throttle_ms, 20);
    let full = field(ErrorCode::BadField, "throttle_ms");
    assert_eq!(refused(&mut world, 0, &at("S2", "30")), full);
    // One that is in use already is no other; one that would be inherited is.
    assert_eq!(subscribed(&mut world, 0, &at("S2", "10")).throttle_ms, 10);
    assert_eq!(refused(&mut world, 0, r#"{"op":"subscribe","symbols":["S3"]}"#), full);
    assert_eq!(refused(&mut world, 0, r#"{"op":"throttle","throttle_ms":30}"#), full);
    assert_eq!(refused(&mut world, 0, r#"{"op":"subscribe","symbols":["*"]}"#), full);
    // What is not there asks for none.
    let unknown = subscribed(&mut world, 0, r#"{"op":"subscribe","symbols":["NOSUCH"]}"#);
    assert_eq!(unknown.rejected.len(), 1);
    // Those held keep theirs, so asking for more of them asks for no interval.
    let more = r#"{"op":"subscribe","symbols":["S1"],"channels":["trade"]}"#;
    assert_eq!(subscribed(&mut world, 0, more).throttle_ms, 20);
    ask(&mut world, 0, r#"{"op":"unsubscribe","symbols":["S1"]}"#);
    assert_eq!(subscribed(&mut world, 0, &at("*", "30")).throttle_ms, 30);
    assert_eq!(refused(&mut world, 0, &at("S4", "40")), full);
    // The wildcard's interval counts once, also where a name has it.
    let both = r#"{"op":"unsubscribe","symbols":["S0","S2"]}"#;
    ask(&mut world, 0, both);
    assert_eq!(subscribed(&mut world, 0, &at("S4", "30")).throttle_ms, 30);
    assert_eq!(subscribed(&mut world, 0, &at("S5", "40")).throttle_ms, 40);
}

#[test]
fn wildcards_up_to_the_gateways_limit_are_held_and_given_back() {
    let config = EngineConfig { wildcard_limit: 1, ..EngineConfig::default() };
    let mut world = world(3, config);
    let all = r#"{"op":"subscribe","symbols":["*"]}"#;
    let attempt = |world: &mut World, client| {
        let reply = subscribed(world, client, all);
        reply.rejected.first().map(|each| each.code)
    };
    assert_eq!(attempt(&mut world, 0), None);
    assert_eq!(attempt(&mut world, 0), None, "it holds the place already");
    assert_eq!(attempt(&mut world, 1), Some(ErrorCode::Unavailable));
    ask(&mut world, 0, r#"{"op":"unsubscribe","symbols":["*"]}"#);
    assert_eq!(attempt(&mut world, 1), None);
    assert_eq!(attempt(&mut world, 0), Some(ErrorCode::Unavailable));
    // Who is closed gives it back at once, and once.
    let key = world.clients[1].key;
    world.engines[0].close(world.now, key, CloseReason::Kicked);
    assert_eq!(attempt(&mut world, 0), None);
    world.run_on(2_000_000, TICK_US, 0);
    assert!(!world.engines[0].contains(key));
    assert_eq!(attempt(&mut world, 2), Some(ErrorCode::Unavailable));
    // So does who just goes.
    let key = world.clients[0].key;
    world.clients[0].block_after(0, 0);
    world.run_on(6_000_000, TICK_US, 2);
    assert!(!world.engines[0].contains(key));
    assert_eq!(attempt(&mut world, 2), None);
}

#[test]
fn subscribes_that_wait_for_their_ready_are_bounded() {
    let config = EngineConfig { command_burst: 1_000, ..EngineConfig::default() };
    let mut world = world(1, config);
    ask(&mut world, 0, r#"{"op":"credit","frames":1}"#);
    ask(&mut world, 0, r#"{"op":"subscribe","symbols":["S0"]}"#);
    // Its frame was the last: nothing is acknowledged, so all further readies wait.
    for number in 0..256 {
        let message = format!(r#"{{"op":"subscribe","id":{number},"symbols":["S1"]}}"#);
        assert_eq!(subscribed(&mut world, 0, &message).id, Some(number));
    }
    let answer = refused(&mut world, 0, r#"{"op":"subscribe","symbols":["S2"]}"#);
    assert_eq!(answer, (ErrorCode::TooManyCommands, None));
    ask(&mut world, 0, r#"{"op":"credit","frames":null}"#);
    world.run_on(200_000, TICK_US, 0);
    let frames = world.clients[0].frames();
    let readies =
        frames.iter().flat_map(|(_, frame)| &frame.entries).filter_map(|entry| match entry {
            Entry::Ready { command_id } => Some(*command_id),
            _ => None,
        });
    let expected: Vec<_> = std::iter::once(None).chain((0..256).map(Some)).collect();
    assert_eq!(readies.collect::<Vec<_>>(), expected, "in the order of the commands");
    assert_eq!(subscribed(&mut world, 0, r#"{"op":"subscribe","symbols":["S2"]}"#).count, 1);
}

#[test]
fn credit_and_acknowledgements_keep_their_ranges() {
    let mut world = world(1, EngineConfig::default());
    for frames in [0, 257] {
        let message = format!(r#"{{"op":"credit","frames":{frames}}}"#);
        assert_eq!(refused(&mut world, 0, &message), field(ErrorCode::BadField, "frames"));
    }
    for frames in [1, 256] {
        let message = format!(r#"{{"op":"credit","frames":{frames}}}"#);
        let replies = ask(&mut world, 0, &message);
        let granted =
            matches!(&replies[..], [Reply::Credited { frames: Some(n), .. }] if *n == frames);
        assert!(granted, "{replies:?}");
    }
    ask(&mut world, 0, r#"{"op":"subscribe","symbols":["S0"]}"#);
    world.run_on(100_000, TICK_US, 0);
    let last = world.clients[0].frames().last().expect("its ready").1.sequence;
    let beyond = format!(r#"{{"op":"ack","frame":{}}}"#, last + 1);
    assert_eq!(refused(&mut world, 0, &beyond), field(ErrorCode::BadField, "frame"));
    let ack = format!(r#"{{"op":"ack","frame":{last}}}"#);
    assert_eq!(ask(&mut world, 0, &ack), [], "acknowledgements are not answered");
    assert_eq!(ask(&mut world, 0, &ack), [], "nor are repeated ones");
}

#[test]
fn pages_of_the_directory_go_on_where_they_end() {
    let mut world = world(1, EngineConfig::default());
    for limit in [0, 251] {
        let message = format!(r#"{{"op":"symbols","limit":{limit}}}"#);
        assert_eq!(refused(&mut world, 0, &message), field(ErrorCode::BadField, "limit"));
    }
    let page = |world: &mut World, message: &str| match ask(world, 0, message).remove(0) {
        Reply::Symbols { symbols, more, .. } => {
            (symbols.into_iter().map(|each| each.name).collect::<Vec<_>>(), more)
        }
        other => panic!("{other:?}"),
    };
    let mut all = world.market.names();
    all.sort();
    assert_eq!(page(&mut world, r#"{"op":"symbols","limit":250}"#), (all.clone(), false));
    assert_eq!(page(&mut world, r#"{"op":"symbols"}"#), (all.clone(), false));
    let first = page(&mut world, r#"{"op":"symbols","limit":12}"#);
    assert_eq!(first, (all[..12].to_vec(), true));
    let after = format!(r#"{{"op":"symbols","limit":8,"after":"{}"}}"#, all[11]);
    assert_eq!(page(&mut world, &after), (all[12..].to_vec(), false));
}

#[test]
fn a_page_tells_what_each_symbol_is() {
    let mut world = world(1, EngineConfig::default());
    let instrument = Instrument {
        description: Some("Crème brûlée \"futures\"".into()),
        venue: Some("XPAR".into()),
        currency: Some("EUR".into()),
    };
    let listing = Listing { tick_size: 5, instrument, ..Listing::new("ZZ", -2, 0) };
    let Listing { instrument, .. } = listing.clone();
    let mut other = world.shared.hub().publisher();
    other.publish(&Batch { listings: vec![listing], ..Batch::default() });
    let ask_for = |world: &mut World, name: &str| {
        let message = format!(r#"{{"op":"symbols","prefix":"{name}","limit":1}}"#);
        match ask(world, 0, &message).remove(0) {
            Reply::Symbols { mut symbols, .. } => symbols.remove(0),
            other => panic!("{other:?}"),
        }
    };
    let told = ask_for(&mut world, "ZZ");
    let expected = SymbolInfo {
        name: "ZZ".into(),
        price_exponent: -2,
        size_exponent: 0,
        tick_size: 5,
        instrument,
    };
    assert_eq!(told, expected);
    // Of several that begin so the name itself comes first; of it no words are known.
    let told = ask_for(&mut world, "S1");
    assert_eq!((told.name.as_str(), told.instrument.is_unknown()), ("S1", true));
}

#[test]
fn what_is_not_there_is_refused_by_its_code() {
    let mut world = world(1, EngineConfig::default());
    let history = r#"{"op":"history","symbol":"S0","channel":"bar.5m"}"#;
    assert_eq!(refused(&mut world, 0, history), field(ErrorCode::UnknownChannel, "channel"));
    let long = history.replace("bar.5m", &"b".repeat(8_000));
    let [Reply::Error(refusal)] = &ask(&mut world, 0, &long)[..] else { panic!("no error") };
    assert!(refusal.message.len() < 100, "an answer cannot be made to grow: {refusal:?}");
    let auth = refused(&mut world, 0, r#"{"op":"auth","key":"k"}"#);
    assert_eq!(auth, (ErrorCode::NotRequired, None));
    // A binary message in a text dialect.
    let before = world.clients[0].replies().len();
    world.clients[0].pipe.send(&control(Opcode::Binary, b"\x80", [1, 2, 3, 4]));
    world.run_on(TICK_US, TICK_US, 0);
    let [Reply::Error(refusal)] = &world.clients[0].replies()[before..] else { panic!("no error") };
    assert_eq!(refusal.code, ErrorCode::BadMessage);
    assert_eq!(world.engines[0].stats().refusals(), 4);
    assert_eq!(world.engines[0].stats().commands, 3);
}

#[test]
fn commands_past_the_rate_are_refused_and_a_flood_ends() {
    let config =
        EngineConfig { commands_per_second: 10, command_burst: 5, ..EngineConfig::default() };
    let mut world = world(2, config);
    let ping = r#"{"op":"ping","id":4}"#;
    for _ in 0..5 {
        assert!(matches!(&ask(&mut world, 0, ping)[..], [Reply::Pong { id: Some(4), .. }]));
    }
    let [Reply::Error(refusal)] = &ask(&mut world, 0, ping)[..] else { panic!("no error") };
    assert_eq!((refusal.code, refusal.id), (ErrorCode::TooManyCommands, Some(4)));
    for (code, count) in ErrorCode::ALL.iter().zip(world.engines[0].stats().refused) {
        assert_eq!(count, u64::from(*code == ErrorCode::TooManyCommands), "{code:?}");
    }
    world.pass(100_000);
    assert!(matches!(&ask(&mut world, 0, ping)[..], [Reply::Pong { .. }]), "ten a second");
    for _ in 0..5 {
        assert_eq!(refused(&mut world, 0, ping), (ErrorCode::TooManyCommands, None));
    }
    assert_eq!(ask(&mut world, 0, ping), []);
    assert_eq!(closes(&world, 0), [CloseReason::CommandFlood.code()]);
    assert_eq!(closes(&world, 1), [] as [u16; 0]);
}

#[test]
fn an_acknowledgement_that_advances_is_exempt_from_the_rate() {
    let config =
        EngineConfig { commands_per_second: 1, command_burst: 2, ..EngineConfig::default() };
    let mut world = world(1, config);
    let rest = r#"{"op":"subscribe","symbols":["*"],"channels":["quote"],"throttle_ms":5}"#;
    subscribed(&mut world, 0, rest);
    for _ in 0..100 {
        world.run_with(TICK_US, TICK_US, World::requote);
        let last = world.clients[0].frames().last().expect("its ready").1.sequence;
        let ack = format!(r#"{{"op":"ack","frame":{last}}}"#);
        assert_eq!(ask(&mut world, 0, &ack), []);
    }
    let last = world.clients[0].frames().last().expect("its ready").1.sequence;
    let repeated = format!(r#"{{"op":"ack","frame":{last}}}"#);
    assert_eq!(ask(&mut world, 0, &repeated), [], "the second of the burst");
    assert_eq!(refused(&mut world, 0, &repeated), (ErrorCode::TooManyCommands, None));
    let repeated = format!(r#"{{"op":"ack","frame":{}}}"#, last - 1);
    assert_eq!(refused(&mut world, 0, &repeated), (ErrorCode::TooManyCommands, None));
}

#[test]
fn a_frame_is_filled_to_its_limit_and_never_beyond() {
    let config = EngineConfig { frame_limit_bytes: 2_048, ..EngineConfig::default() };
    let mut world = World::new(9, 1, 400, 16, config);
    for dialect in [Dialect::MessagePack, Dialect::Json] {
        let client = world.open(dialect, 4_096, false, Manners::default());
        let wanted = Subscribe { symbols: vec!["*".into()], ..Subscribe::default() };
        world.subscribe(client, wanted);
    }
    world.run_with(300_000, TICK_US, World::requote);
    for client in &world.clients {
        // A JSON quote in full takes about 150 bytes, a definition as many.
        let room = if client.dialect == Dialect::Json { 320 } else { 110 };
        let frames =
            client.told().into_iter().filter(|told| matches!(told.message, Message::Frame(_)));
        let sizes: Vec<usize> = frames.map(|told| told.bytes).collect();
        assert!(sizes.iter().all(|size| *size <= 2_048), "{sizes:?}");
        let full = sizes.iter().filter(|size| **size + room > 2_048).count();
        assert!(full >= 10 && full * 4 >= sizes.len() * 3, "{sizes:?}");
    }
}

/// Codes of the close frames a client got.
fn closes(world: &World, client: usize) -> Vec<u16> {
    let heard = world.clients[client].transcript.iter();
    heard
        .filter_map(|(_, heard)| match heard {
            Heard::Message(Opcode::Close, payload) => {
                Some(u16::from_be_bytes([payload[0], payload[1]]))
            }
            _ => None,
        })
        .collect()
}

/// When a client got its close frame, microseconds after `since_us`.
fn closed_after(world: &World, client: usize, since_us: u64) -> Option<u64> {
    let mut heard = world.clients[client].transcript.iter();
    let (at_us, _) = heard.find(|(_, h)| matches!(h, Heard::Message(Opcode::Close, _)))?;
    Some(at_us - since_us)
}

#[test]
fn a_message_that_is_too_big_ends_the_session_and_the_largest_allowed_does_not() {
    let config = EngineConfig { message_limit_bytes: 2_000, ..EngineConfig::default() };
    let mut world = world(2, config);
    let message = |bytes: usize| format!("{:<bytes$}", r#"{"op":"ping"}"#);
    assert!(matches!(&ask(&mut world, 0, &message(2_000))[..], [Reply::Pong { .. }]));
    assert_eq!(ask(&mut world, 0, &message(2_001)), []);
    world.run_on(TICK_US, TICK_US, 0);
    assert_eq!(closes(&world, 0), [CloseReason::MessageTooBig.code()]);
    // What is no WebSocket.
    world.clients[1].pipe.send(&[0xff; 32]);
    world.run_on(TICK_US, TICK_US, 0);
    assert_eq!(closes(&world, 1), [CloseReason::BadProtocol.code()]);
    // Neither answers: after a second they are gone.
    world.run_on(1_300_000, TICK_US, 0);
    let ended: Vec<_> = world.ended.iter().map(|ended| (ended.session, ended.reason)).collect();
    assert_eq!(ended, [(0, CloseReason::MessageTooBig), (1, CloseReason::BadProtocol)]);
    let stats = world.engines[0].stats();
    for (reason, count) in CloseReason::ALL.into_iter().zip(stats.closed) {
        let expected = matches!(reason, CloseReason::MessageTooBig | CloseReason::BadProtocol);
        assert_eq!(count, u64::from(expected), "{reason:?}");
    }
}

#[test]
fn what_follows_garbage_is_read_and_thrown_away() {
    let mut world = world(1, EngineConfig::default());
    world.clients[0].pipe.send(&[0xff; 32]);
    world.run_on(TICK_US, TICK_US, 0);
    let before = world.clients[0].told().len();
    // Left in the kernel, it would reset the connection before the client has seen the close.
    for _ in 0..20 {
        world.clients[0].mutter(r#"{"op":"ping"}"#);
        world.clients[0].pipe.send(&[0xff; 9_000]);
        world.run_on(TICK_US, TICK_US, 0);
        assert_eq!(world.clients[0].pipe.unread(), 0);
    }
    assert_eq!(world.clients[0].told().len(), before, "nothing is made of it");
    assert_eq!(closes(&world, 0), [CloseReason::BadProtocol.code()]);
    assert!(world.ended.is_empty());
    world.run_on(1_300_000, TICK_US, 0);
    assert_eq!(world.ended[0].reason, CloseReason::BadProtocol);
}

#[test]
fn a_session_takes_messages_of_its_kind_only() {
    let mut world = World::new(9, 1, 20, 16, EngineConfig::default());
    let cases = [
        (Dialect::MessagePack, Dialect::Json, "takes binary messages only"),
        (Dialect::Json, Dialect::MessagePack, "takes text messages only"),
    ];
    for (client, (dialect, other, expected)) in cases.into_iter().enumerate() {
        world.open(dialect, 4_096, false, Manners::default());
        let ping = Command::Ping { id: Some(1) };
        for (spoken, understood) in [(dialect, true), (other, false)] {
            let before = world.clients[client].replies().len();
            world.clients[client].pipe.send(&ping.bytes(spoken, [1, 2, 3, 4]));
            world.pass(10);
            world.serve(false);
            match &world.clients[client].replies().split_off(before)[..] {
                [.., Reply::Pong { .. }] if understood => {}
                [.., Reply::Error(refusal)] if !understood => {
                    assert_eq!(refusal.code, ErrorCode::BadMessage);
                    assert!(refusal.message.ends_with(expected), "{}", refusal.message);
                }
                other => panic!("{other:?}"),
            }
        }
    }
}

#[test]
fn the_answer_to_a_close_has_a_second_to_leave() {
    let mut world = world(1, EngineConfig::default());
    let at_us = world.now.monotonic_us;
    world.clients[0].block_after(at_us, 0);
    world.clients[0].pipe.send(&control(Opcode::Close, &1_000u16.to_be_bytes(), [1, 2, 3, 4]));
    world.run_on(990_000, TICK_US, 0);
    assert!(world.ended.is_empty(), "its answer waits");
    world.run_on(270_000, TICK_US, 0);
    let ended: Vec<_> = world.ended.iter().map(|ended| ended.reason).collect();
    assert_eq!(ended, [CloseReason::ClientLeft]);
}

#[test]
fn a_client_that_closes_is_answered_and_gone_at_once() {
    let mut world = world(1, EngineConfig::default());
    subscribed(&mut world, 0, r#"{"op":"subscribe","symbols":["S0","*"]}"#);
    world.clients[0].pipe.send(&control(Opcode::Close, &1_000u16.to_be_bytes(), [1, 2, 3, 4]));
    world.pass(10);
    world.serve(false);
    assert_eq!(closes(&world, 0), [1_000]);
    let [ended] = &world.ended[..] else { panic!("{:?}", world.ended) };
    assert_eq!((ended.session, ended.reason), (0, CloseReason::ClientLeft));
    assert_eq!(ended.age_us, TICK_US + 20);
    let told: Vec<_> = world.clients[0].told();
    let frames = told.iter().filter(|each| matches!(each.message, Message::Frame(_)));
    assert_eq!(ended.frames, frames.clone().count() as u64);
    assert_eq!(ended.bytes, frames.map(|each| each.bytes as u64).sum::<u64>());
    let stats = world.engines[0].stats();
    assert_eq!((stats.sessions, stats.subscriptions), (0, 0));
    assert!(world.engines[0].is_empty());
}

#[test]
fn who_never_commands_and_who_falls_silent_is_closed_at_the_limit() {
    let mut world = world(3, EngineConfig::default());
    let opened_us = world.now.monotonic_us - TICK_US;
    // An error is no command; an acknowledgement would be.
    refused(&mut world, 1, r#"{"op":"fly"}"#);
    ask(&mut world, 2, r#"{"op":"ping"}"#);
    world.run_on(11_000_000, TICK_US, 0);
    for client in [0, 1] {
        assert_eq!(closes(&world, client), [CloseReason::NoCommand.code()]);
        let after_us = closed_after(&world, client, opened_us).expect("it is closed");
        assert!((10_000_000..=10_260_000).contains(&after_us), "{after_us} us");
    }
    // It answers pings, so it stays.
    world.run_on(80_000_000, 50_000, 0);
    assert_eq!(closes(&world, 2), [] as [u16; 0]);
    let pings = world.clients[2].transcript.iter();
    let pings: Vec<u64> = pings
        .filter(|(_, heard)| matches!(heard, Heard::Message(Opcode::Ping, _)))
        .map(|(at_us, _)| at_us - opened_us)
        .collect();
    for (number, at_us) in pings.iter().enumerate() {
        let due_us = (number as u64 + 1) * 20_000_000;
        assert!((due_us..=due_us + 310_000 * (number as u64 + 1)).contains(at_us), "{pings:?}");
    }
    assert_eq!(pings.len(), 4);
    assert_eq!(world.ended.len(), 2);
}

#[test]
fn who_answers_no_ping_is_silent_after_the_limit() {
    // Looked at each quarter second: once just at the limit, which is not past it, and never.
    for (heard_us, expected_us) in [(1_250_000, 40_250_000), (1_251_234, 40_248_766)] {
        let mut world = world(1, EngineConfig::default());
        world.pass(heard_us - world.now.monotonic_us - 10);
        ask(&mut world, 0, r#"{"op":"ping"}"#);
        assert_eq!(world.now.monotonic_us, heard_us);
        // It reads, but says nothing: the world's clients answer pings, so it is served without.
        world.pass(250_000 - heard_us % 250_000);
        while world.now.monotonic_us < heard_us + 45_000_000 {
            world.serve_slice(0);
            world.pass(50_000);
        }
        assert_eq!(closes(&world, 0), [CloseReason::Silent.code()]);
        assert_eq!(closed_after(&world, 0, heard_us), Some(expected_us));
        assert_eq!(world.ended[0].reason, CloseReason::Silent);
    }
}

#[test]
fn a_drain_tells_everybody_at_once_and_closes_them_one_by_one() {
    let mut world = world(64, EngineConfig::default());
    for client in 0..64 {
        subscribed(&mut world, client, r#"{"op":"subscribe","symbols":["S0"]}"#);
    }
    world.run_on(100_000, TICK_US, 0);
    let began_us = world.now.monotonic_us;
    world.engines[0].drain(world.now, Duration::from_secs(4));
    world.run_on(TICK_US, TICK_US, 0);
    let mut waits = std::collections::BTreeSet::new();
    for client in &world.clients {
        let Some(Reply::Draining { reconnect_after_ms }) = client.replies().pop() else {
            panic!("it was not told")
        };
        assert!((4_001..=5_000).contains(&reconnect_after_ms), "{reconnect_after_ms} ms");
        waits.insert(reconnect_after_ms);
    }
    assert!(waits.len() > 48, "spread over a second: {waits:?}");
    world.run_on(5_500_000, TICK_US, 0);
    let mut closed: Vec<u64> =
        (0..64).filter_map(|client| closed_after(&world, client, began_us)).collect();
    closed.sort_unstable();
    assert_eq!(closed.len(), 64);
    // Evenly spread, less a second in which they may answer: in each quarter of the time about a
    // quarter of them.
    for (quarter, part) in closed.chunks(16).enumerate() {
        let (from, to) = (quarter as u64 * 750_000, (quarter as u64 + 1) * 750_000);
        let fits = |at_us: &&u64| (from.saturating_sub(300_000)..=to + 560_000).contains(at_us);
        assert!(part.iter().all(|at_us| fits(&at_us)), "{closed:?}");
    }
    assert!(world.ended.iter().all(|ended| ended.reason == CloseReason::Draining));
    assert_eq!(world.ended.len(), 64);
}

#[test]
fn a_tape_is_resumed_only_where_it_is_the_same_tape() {
    let mut world = World::new(9, 1, 4, 16, EngineConfig::default());
    while world.truth.head("S0", Channel::Trade) < 6 {
        world.pass(1_000);
        world.trade(20);
    }
    let epoch = {
        let client = world.open(Dialect::Json, 4_096, false, Manners::default());
        world.run_on(TICK_US, TICK_US, 0);
        world.clients[client].checker.epoch()
    };
    let head = world.truth.head("S0", Channel::Trade);
    let cases = [
        (epoch, head, true),
        (epoch, head - 2, true),
        (epoch, 0, true),
        (epoch, head + 1, false),
        (epoch + 1, head - 2, false),
        (epoch - 1, head - 2, false),
    ];
    // By name, and through the wildcard.
    for ((epoch, after, same), name) in
        cases.into_iter().flat_map(|case| [(case, "S0"), (case, "*")])
    {
        let client = world.open(Dialect::Json, 4_096, false, Manners::default());
        let wanted = Subscribe {
            symbols: vec![name.into()],
            channels: Some(vec![Channel::Trade]),
            resume: Some((epoch, vec![("S0".into(), after)])),
            ..Subscribe::default()
        };
        world.subscribe(client, wanted);
        world.run_on(100_000, TICK_US, 0);
        let resumed = world.clients[client].replies().into_iter().find_map(|reply| match reply {
            Reply::Subscribed(subscribed) => subscribed.resumed,
            _ => None,
        });
        let expected = Resumed { count: u64::from(same), fresh: u64::from(!same) };
        assert_eq!(resumed, Some(expected), "epoch {epoch}, after {after} of {head}");
        let frames = world.clients[client].frames();
        let joined =
            frames.iter().flat_map(|(_, frame)| &frame.entries).find_map(|entry| match entry {
                Entry::TradesJoined { id: 0, sequence, .. } => Some(*sequence),
                _ => None,
            });
        assert_eq!(joined, Some(if same { after } else { head }), "epoch {epoch}, after {after}");
    }
}
