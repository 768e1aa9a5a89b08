//! The limits of a session: below each, at it and beyond, with a clock that the test moves.

mod age;
mod desk;
mod history;
#[allow(dead_code, reason = "its other users use the rest")]
#[path = "../invariants/world/pipe.rs"]
mod pipe;
mod series;
mod spell;

use desk::{Client, Desk, Said, closed, frame, list, text};
use tickgate_protocol::{
    close::CloseReason,
    command::{ErrorCode, Refusal},
    reply::Reply,
};
use tickgate_session::{EngineConfig, Inbound};

const PING: &str = r#"{"op":"ping"}"#;

fn is_pong(said: &[Said]) -> bool {
    matches!(said, [Said::Reply(Reply::Pong { .. })])
}

fn refusal(said: &[Said]) -> &Refusal {
    match said {
        [Said::Reply(Reply::Error(refusal))] => refusal,
        other => panic!("no refusal: {other:?}"),
    }
}

#[test]
fn a_message_at_its_limit_is_read_and_one_byte_more_ends_the_session() {
    let config = EngineConfig::default();
    let limit = config.message_limit_bytes;
    for (length, fits) in [(limit - 1, true), (limit, true), (limit + 1, false)] {
        let mut desk = Desk::new(config.clone());
        let mut client = desk.connect();
        let said = desk.ask(&mut client, &format!("{PING:length$}"));
        if fits {
            assert!(is_pong(&said), "{length}: {said:?}");
        } else {
            assert_eq!(said, closed(CloseReason::MessageTooBig));
        }
    }
}

#[test]
fn what_follows_a_refused_frame_is_read_and_thrown_away() {
    let mut desk = Desk::new(EngineConfig::default());
    let mut client = desk.connect();
    // 60 KB to a limit of 16, and then a good command.
    client.pipe.send(&frame(0x82, &[0; 60_000]));
    client.pipe.send(&text(PING));
    assert_eq!(desk.serve(&client), Inbound::Readable);
    assert_eq!(client.said(), closed(CloseReason::MessageTooBig));
    assert_eq!(client.pipe.unread(), 0, "left unread, the socket would be reset at its end");
    assert!(!client.pipe.is_shut(), "the client has a second to answer");
    desk.pass_ms(1_500);
    assert!(client.pipe.is_shut());
    let ended = desk.engine.take_ended();
    assert_eq!(ended[0].reason, CloseReason::MessageTooBig);
}

#[test]
fn pieces_of_nothing_come_to_an_end() {
    let config = EngineConfig {
        message_limit_bytes: 1_024,
        command_burst: 1_000,
        ..EngineConfig::default()
    };
    let mut desk = Desk::new(config);
    let mut client = desk.connect();
    let (begin, more, ping) = (frame(0x01, &[]), frame(0x00, &[]), frame(0x89, &[]));
    client.pipe.send(&begin);
    // Four times the limit, in pieces of six bytes; pings between them are none of it.
    for _ in 1..4 * 1_024 / 6 {
        client.pipe.send(&more);
        client.pipe.send(&ping);
    }
    desk.serve(&client);
    assert!(client.said().iter().all(|said| *said == Said::Pong));
    // What the parser has buffered is counted ahead, 512 bytes at most.
    for _ in 0..(512 + 4 + 6) / 6 + 1 {
        client.pipe.send(&more);
    }
    desk.serve(&client);
    assert_eq!(client.said(), closed(CloseReason::MessageTooBig));

    // In pieces of a byte, a message of half the limit is still one.
    let mut client = desk.connect();
    let message = format!("{PING:512}");
    client.pipe.send(&begin);
    for byte in message.bytes() {
        client.pipe.send(&frame(0x00, &[byte]));
    }
    client.pipe.send(&frame(0x80, &[]));
    desk.serve(&client);
    assert!(is_pong(&client.said()));
}

#[test]
fn pongs_of_an_idle_client_never_add_up_to_a_message() {
    let config = EngineConfig { message_limit_bytes: 1_024, ..EngineConfig::default() };
    let mut desk = Desk::new(config);
    let mut client = desk.connect();
    assert!(is_pong(&desk.ask(&mut client, PING)));
    for length in (0..=125).cycle().take(2_000) {
        desk.now.monotonic_us += 100_000;
        client.pipe.send(&frame(0x8a, &vec![0; length]));
        desk.serve(&client);
        // The gateway pings as well.
        assert!(client.said().iter().all(|said| *said == Said::Ping));
    }
    assert!(is_pong(&desk.ask(&mut client, PING)));
}

#[test]
fn commands_beyond_the_rate_are_refused_by_id_and_a_flood_is_closed() {
    let config = EngineConfig { command_burst: 3, ..EngineConfig::default() };
    let mut desk = Desk::new(config);
    let mut client = desk.connect();
    for _ in 0..3 {
        assert!(is_pong(&desk.ask(&mut client, PING)));
    }
    let said = desk.ask(&mut client, r#"{"op":"ping","id":77}"#);
    assert_eq!(refusal(&said).code, ErrorCode::TooManyCommands);
    assert_eq!(refusal(&said).id, Some(77));
    assert!(refusal(&said).message.contains("50 commands a second"), "{said:?}");
    // One more after a fiftieth of a second.
    desk.pass_ms(20);
    assert!(is_pong(&desk.ask(&mut client, PING)));
    for _ in 0..3 {
        let said = desk.ask(&mut client, PING);
        assert_eq!(refusal(&said).code, ErrorCode::TooManyCommands);
    }
    assert_eq!(desk.ask(&mut client, PING), closed(CloseReason::CommandFlood));
}

#[test]
fn a_large_command_counts_as_several() {
    let config = EngineConfig { command_burst: 4, ..EngineConfig::default() };
    for (length, left) in [(1_023, 3), (1_024, 2), (3_071, 1), (3_072, 0), (16_384, 0)] {
        let mut desk = Desk::new(config.clone());
        let mut client = desk.connect();
        assert!(is_pong(&desk.ask(&mut client, &format!("{PING:length$}"))));
        for _ in 0..left {
            assert!(is_pong(&desk.ask(&mut client, PING)), "{length}");
        }
        let said = desk.ask(&mut client, PING);
        assert_eq!(refusal(&said).code, ErrorCode::TooManyCommands, "{length}");
    }
}

#[test]
fn pings_and_pongs_count_as_commands() {
    for opcode in [0x89, 0x8a] {
        let config = EngineConfig { command_burst: 3, ..EngineConfig::default() };
        let mut desk = Desk::new(config);
        let mut client = desk.connect();
        let control = frame(opcode, b"x");
        for _ in 0..3 {
            client.pipe.send(&control);
        }
        desk.serve(&client);
        let answers = if opcode == 0x89 { 3 } else { 0 };
        assert_eq!(client.said().len(), answers);
        assert_eq!(desk.engine.stats().controls_refused, 0, "the burst");
        let said = desk.ask(&mut client, PING);
        assert_eq!(refusal(&said).code, ErrorCode::TooManyCommands, "it was used up by them");
        for refused in 1..=2 {
            client.pipe.send(&control);
            desk.serve(&client);
            assert_eq!(desk.engine.stats().controls_refused, refused);
        }
        client.said();
        client.pipe.send(&control);
        desk.serve(&client);
        let said = client.said();
        assert_eq!(said.last(), closed(CloseReason::CommandFlood).last(), "{said:?}");
    }
}

#[test]
fn the_first_command_has_its_time_and_a_ping_is_none() {
    let desk_at = |limit_ms: u64, command: Option<&str>| {
        let mut desk = Desk::new(EngineConfig::default());
        let mut client = desk.connect();
        client.pipe.send(&frame(0x89, &[]));
        desk.serve(&client);
        desk.pass_ms(limit_ms - 500);
        client.said();
        if let Some(command) = command {
            desk.ask(&mut client, command);
        }
        desk.pass_ms(500);
        let early = client.said();
        // Everybody is looked at within a quarter second.
        desk.pass_ms(255);
        (early, client.said())
    };
    let limit_ms = EngineConfig::default().first_command_limit.as_millis() as u64;
    assert_eq!(desk_at(limit_ms, None), (vec![], closed(CloseReason::NoCommand).into()));
    assert_eq!(desk_at(limit_ms, Some(PING)), (vec![], vec![]));
    let refused = desk_at(limit_ms, Some(r#"{"op":"nonsense"}"#)).1;
    assert_eq!(refused, closed(CloseReason::NoCommand), "what is refused is no command");
}

#[test]
fn a_client_that_answers_pings_stays_and_a_silent_one_goes() {
    let config = EngineConfig::default();
    let limit_ms = config.client_silence_limit.as_millis() as u64;
    for answers in [true, false] {
        let mut desk = Desk::new(config.clone());
        let mut client = desk.connect();
        desk.ask(&mut client, PING);
        let mut pings = 0;
        let mut last = Vec::new();
        for _ in 0..2 * limit_ms / 1_000 {
            desk.pass_ms(1_000);
            let said = client.said();
            if said.contains(&Said::Ping) {
                pings += 1;
                if answers {
                    client.pipe.send(&frame(0x8a, &[]));
                    desk.serve(&client);
                }
            }
            last.extend(said.into_iter().filter(|said| *said != Said::Ping));
        }
        if answers {
            assert_eq!(last, vec![]);
            assert!((3..=4).contains(&pings), "one each 20 s: {pings}");
        } else {
            assert_eq!(last, closed(CloseReason::Silent));
            assert!((1..=2).contains(&pings), "{pings}");
        }
    }
}

fn subscribe(names: &[String]) -> String {
    format!(r#"{{"op":"subscribe","id":9,"symbols":["{}"]}}"#, names.join(r#"",""#))
}

#[test]
fn subscriptions_at_their_limit_are_held_and_one_more_is_rejected() {
    for (asked, rejected) in [(2, 0), (3, 0), (4, 1)] {
        let config = EngineConfig { subscription_limit: 3, ..EngineConfig::default() };
        let mut desk = Desk::new(config);
        let names = list(&mut desk, 4);
        let mut client = desk.connect();
        let said = desk.ask(&mut client, &subscribe(&names[..asked]));
        let [Said::Reply(Reply::Subscribed(answer))] = &said[..] else { panic!("{said:?}") };
        assert_eq!(answer.rejected.len(), rejected);
        assert_eq!(answer.subscriptions as usize, asked - rejected);
        for each in &answer.rejected {
            assert_eq!((each.symbol.as_str(), each.code), ("S3", ErrorCode::TooManySubscriptions));
        }
    }
}

#[test]
fn an_answer_lists_256_rejected_names_and_a_command_with_more_is_refused_whole() {
    let config = EngineConfig { subscription_limit: 1, ..EngineConfig::default() };
    let mut desk = Desk::new(config);
    let listed = list(&mut desk, 258);
    let unknown: Vec<String> = (0..257).map(|n| format!("U{n}")).collect();
    let throttle = |names: &[String]| {
        let names = names.join(r#"",""#);
        format!(r#"{{"op":"throttle","id":9,"throttle_ms":50,"symbols":["{names}"]}}"#)
    };

    let mut client = desk.connect();
    for count in [255, 256] {
        let said = desk.ask(&mut client, &subscribe(&unknown[..count]));
        let [Said::Reply(Reply::Subscribed(answer))] = &said[..] else { panic!("{said:?}") };
        assert_eq!(answer.rejected.len(), count);
    }
    let with_a_good_one = [&unknown[..], &listed[..1]].concat();
    let said = desk.ask(&mut client, &subscribe(&with_a_good_one));
    let refused = refusal(&said);
    assert_eq!((refused.code, refused.id), (ErrorCode::UnknownSymbol, Some(9)));
    assert_eq!(refused.field.as_deref(), Some("symbols"));
    assert!(refused.message.contains("at most 256"), "{}", refused.message);
    assert_eq!(desk.engine.stats().subscriptions, 0, "nothing of it was carried out");

    // 257 of which one fits, then 258.
    let said = desk.ask(&mut client, &subscribe(&listed));
    let refused = refusal(&said);
    assert_eq!((refused.code, refused.id), (ErrorCode::TooManySubscriptions, Some(9)));
    assert!(refused.message.contains("the limit of 1"), "{}", refused.message);
    assert_eq!(desk.engine.stats().subscriptions, 0);
    let said = desk.ask(&mut client, &subscribe(&listed[..257]));
    let [Said::Reply(Reply::Subscribed(answer))] = &said[..] else { panic!("{said:?}") };
    assert_eq!((answer.rejected.len(), answer.subscriptions), (256, 1));

    // One more than fits, of names that are not subscribed.
    let said = desk.ask(&mut client, &throttle(&unknown[..256]));
    let [Said::Reply(Reply::Throttled { rejected, .. })] = &said[..] else { panic!("{said:?}") };
    assert_eq!(rejected.len(), 256);
    let said = desk.ask(&mut client, &throttle(&unknown));
    let refused = refusal(&said);
    assert_eq!((refused.code, refused.id), (ErrorCode::BadField, Some(9)));
    assert_eq!(refused.field.as_deref(), Some("symbols"));
}

#[test]
fn a_wildcard_that_is_refused_is_listed_once_however_often_it_is_named() {
    let mut desk = Desk::new(EngineConfig { wildcard_limit: 1, ..EngineConfig::default() });
    let mut names = vec!["*".to_owned(); 4_000];
    let listed = list(&mut desk, 1);
    let (mut first, mut second) = (desk.connect(), desk.connect());
    let said = desk.ask(&mut first, &subscribe(&names));
    let [Said::Reply(Reply::Subscribed(answer))] = &said[..] else { panic!("{said:?}") };
    assert_eq!((answer.count, answer.subscriptions), (4_000, 1));
    names.splice(7..8, listed);
    let said = desk.ask(&mut second, &subscribe(&names));
    let [Said::Reply(Reply::Subscribed(answer))] = &said[..] else { panic!("{said:?}") };
    let rejected: Vec<_> =
        answer.rejected.iter().map(|each| (each.symbol.as_str(), each.code)).collect();
    assert_eq!(
        rejected,
        [("*", ErrorCode::Unavailable)],
        "an answer is not longer than its command"
    );
    assert_eq!((answer.count, answer.subscriptions), (1, 1));
}

/// Sessions may send as many commands as they like; together a worker reads 16 KiB a window.
fn one_narrow_worker() -> Desk {
    Desk::new(EngineConfig {
        commands_per_second: 1_000_000,
        command_burst: 1 << 20,
        command_bytes_per_second: 1 << 16,
        ..EngineConfig::default()
    })
}

#[test]
fn who_sends_much_waits_for_the_next_window_and_the_others_do_not() {
    let mut desk = one_narrow_worker();
    let (mut loud, mut quiet) = (desk.connect(), desk.connect());
    let message = text(PING);
    let send = |client: &Client, bytes: usize| {
        for _ in 0..bytes / message.len() {
            client.pipe.send(&message);
        }
    };
    send(&loud, 30_000);
    assert_eq!(desk.serve(&loud), Inbound::Held);
    let left = loud.pipe.unread();
    assert!(left > 20_000, "half of a window is 8 KiB, left are {left}");
    let read = loud.said().len();
    assert_eq!(desk.serve(&loud), Inbound::Held, "trying again changes nothing");
    assert_eq!((loud.pipe.unread(), loud.said().len()), (left, 0));
    assert_eq!(desk.engine.stats().reads_held, 2);

    assert!(is_pong(&desk.ask(&mut quiet, PING)), "who sends little is read at once");
    assert!(!desk.engine.takes_more(desk.now), "the window is not over");
    desk.pass_ms(250);
    assert!(desk.engine.takes_more(desk.now));
    assert!(!desk.engine.takes_more(desk.now), "once is enough");
    assert_eq!(desk.serve(&loud), Inbound::Held);
    assert_eq!(loud.said().len(), read, "as much as before");
    while loud.pipe.has_input() {
        desk.pass_ms(250);
        desk.serve(&loud);
    }
    assert_eq!(
        desk.engine.stats().received_bytes,
        (30_000 / message.len() + 1) as u64 * message.len() as u64
    );
}

#[test]
fn who_is_held_for_five_seconds_is_told_to_go_elsewhere() {
    let mut desk = one_narrow_worker();
    let mut loud = desk.connect();
    let mut last = Vec::new();
    let mut windows = 0;
    while last.is_empty() {
        windows += 1;
        for _ in 0..2_000 {
            loud.pipe.send(&text(PING));
        }
        desk.serve(&loud);
        last = loud.said();
        last.retain(|said| matches!(said, Said::Close(_)));
        desk.pass_ms(250);
        assert!(windows < 100, "it goes on for ever");
    }
    assert_eq!(last, closed(CloseReason::Overloaded));
    assert_eq!(windows, 21, "held in 20 windows and in one more");
}
