//! The client against a gateway that follows a script, over streams in memory and in paused time:
//! what it says, when it comes again, what it makes of a gateway that misbehaves.

mod common;

use std::time::Duration;

use common::{
    next, ready,
    script::{Line, Script, definition, quote, script, subscribed, trade, welcome},
    until,
};
use tickgate_client::{
    Backoff, CommandError, ConnectError, ConnectionState, Disconnect, EndReason, Interest,
    LossOrigin, ProtocolViolation, Subscription, Trouble, Update,
};
use tickgate_protocol::{
    channel::{Channel, Channels},
    command::{Command, ErrorCode, Op, Refusal, Resume},
    definition::Definition,
    dialect::Dialect,
    entry::Entry,
    instrument::Instrument,
    number::ABSENT,
    reply::{Rejected, Reply, SymbolInfo},
};
use tokio::time::Instant;

const BACKOFF: Backoff = Backoff { base: Duration::from_secs(1), cap: Duration::from_secs(60) };

/// A client that waits half of each ceiling, with one subscription to a tape that stands at 10.
async fn joined() -> (Script, tickgate_client::Client, Subscription, Line) {
    let (mut script, builder) = script();
    let client = builder.backoff(BACKOFF).random(|| 0.5).start().expect("valid");
    let mut line = script.accept(5).await;
    let subscribing = client.subscribe(Interest::symbols(["A"]).only_trades());
    let (subscribed, id) = tokio::join!(subscribing, async { line.subscribed().await.0 });
    let mut updates = subscribed.expect("subscribed");
    let joining = Entry::TradesJoined { id: 7, sequence: 10, volume: 500 };
    line.frame(&[definition(7, "A"), joining, Entry::Ready { command_id: id }]).await;
    ready(&mut updates).await;
    (script, client, updates, line)
}

async fn waiting(updates: &mut Subscription) -> (Trouble, Duration, u32) {
    until(updates, |update| match update {
        Update::Connection(ConnectionState::Waiting { why, retry_in, attempt }) => {
            Some(((*why).clone(), retry_in, attempt))
        }
        _ => None,
    })
    .await
}

async fn sequences(updates: &mut Subscription, last: u64) -> Vec<u64> {
    let mut seen = Vec::new();
    until(updates, |update| {
        if let Update::Trade(trade) = update {
            seen.push(trade.sequence);
        }
        (seen.last() == Some(&last)).then_some(())
    })
    .await;
    seen
}

#[tokio::test(start_paused = true)]
async fn settings_come_first_and_again_after_a_reconnect() {
    let (mut script, builder) = script();
    let builder = builder.throttle(Duration::from_millis(250)).byte_budget(9_000).credit(4);
    let client = builder.random(|| 0.0).start().expect("valid");
    for _ in 0..2 {
        let mut line = script.welcome(5).await;
        let throttle = line.command().await;
        let expected = Op::Throttle {
            symbols: None,
            throttle_ms: Some(Some(250)),
            max_bytes_per_second: Some(Some(9_000)),
        };
        assert_eq!(throttle.op, expected);
        line.reply(&Reply::Throttled {
            id: throttle.id,
            throttle_ms: 250,
            max_bytes_per_second: Some(9_000),
            count: 0,
            rejected: Vec::new(),
        })
        .await;
        let credit = line.command().await;
        assert_eq!(credit.op, Op::Credit { frames: Some(4) });
        line.reply(&Reply::Credited { id: credit.id, frames: Some(4), from: 0 }).await;
        line.pong().await;
    }
    client.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_lost_tape_is_resumed_where_it_was_left_and_nothing_comes_twice() {
    let (mut script, _client, mut updates, mut line) = joined().await;
    line.frame(&[trade(7, 11), trade(7, 12)]).await;
    assert_eq!(sequences(&mut updates, 12).await, [11, 12]);
    drop(line);
    let lost = waiting(&mut updates).await;
    assert!(matches!(lost.0, Trouble::Disconnected(Disconnect::Lost { .. })), "{lost:?}");
    assert_eq!((lost.1, lost.2), (Duration::from_millis(500), 0));

    let mut line = script.accept(5).await;
    let (id, subscribe) = line.subscribed().await;
    assert_eq!(subscribe.symbols, ["A"]);
    assert_eq!(subscribe.channels, Some(Channels::only(Channel::Trade)));
    assert_eq!(subscribe.resume, Some(Resume { epoch: 5, trades: vec![("A".into(), 12)] }));
    let resumed = Entry::TradesJoined { id: 9, sequence: 12, volume: ABSENT };
    line.frame(&[definition(9, "A"), resumed, trade(9, 13)]).await;
    line.frame(&[Entry::Ready { command_id: id }]).await;
    let told = ready(&mut updates).await;
    let joins: Vec<_> = told.iter().filter(|update| matches!(update, Update::Joined(_))).collect();
    assert!(matches!(joins[..], [Update::Joined(joined)] if joined.resumed), "{told:?}");
    let trades: Vec<_> = told.iter().filter(|update| matches!(update, Update::Trade(_))).collect();
    assert!(matches!(trades[..], [Update::Trade(trade)] if trade.sequence == 13), "{told:?}");
    assert!(!told.iter().any(|update| matches!(update, Update::Lost(_))), "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn a_tape_that_cannot_be_resumed_names_what_is_lost() {
    let (mut script, _client, mut updates, line) = joined().await;
    drop(line);
    let mut line = script.accept(5).await;
    line.subscribed().await;
    line.frame(&[definition(7, "A"), Entry::TradesJoined { id: 7, sequence: 40, volume: 9 }]).await;
    let lost = until(&mut updates, |update| match update {
        Update::Lost(lost) => Some(lost),
        _ => None,
    });
    let lost = lost.await;
    assert_eq!((lost.from, lost.to, lost.origin), (Some(11), Some(40), LossOrigin::Resume));
    assert!(matches!(next(&mut updates).await, Update::Joined(joined) if !joined.resumed));
}

#[tokio::test(start_paused = true)]
async fn another_epoch_voids_everything_and_resumes_nothing() {
    let (mut script, client, mut updates, mut line) = joined().await;
    line.frame(&[trade(7, 11)]).await;
    drop(line);
    let mut line = script.accept(6).await;
    let (_, subscribe) = line.subscribed().await;
    assert_eq!(subscribe.resume, None);
    // The trade was not taken before the connection was lost: the epoch discards it.
    let epoch = until(&mut updates, |update| match update {
        Update::Epoch { epoch, discarded } => Some((epoch, discarded)),
        Update::Trade(trade) => panic!("{trade:?} of an epoch that is over"),
        _ => None,
    });
    assert_eq!(epoch.await, (6, 1));
    assert_eq!(client.latest("A"), None);
}

#[tokio::test(start_paused = true)]
async fn what_the_gateway_asks_for_when_draining_is_waited_for() {
    let (mut script, client, mut updates, mut line) = joined().await;
    line.reply(&Reply::Draining { reconnect_after_ms: 20_000 }).await;
    line.close(4000).await;
    let (trouble, retry_in, _) = waiting(&mut updates).await;
    let Trouble::Disconnected(Disconnect::Closed { code: 4000, .. }) = trouble else {
        panic!("{trouble:?}")
    };
    assert_eq!(retry_in, Duration::from_millis(20_500));
    assert!(client.latest("A").expect("it was told").doubts.connection_lost);
    let lost_at = Instant::now();
    let _line = script.accept(5).await;
    assert!(lost_at.elapsed() >= Duration::from_secs(20));
}

#[tokio::test(start_paused = true)]
async fn waits_double_and_begin_again_after_a_connection_that_lasted() {
    let (mut script, _client, mut updates, line) = joined().await;
    drop(line);
    let mut ceilings = vec![waiting(&mut updates).await.1.as_millis()];
    for _ in 0..3 {
        let line = script.accept(5).await;
        drop(line);
        ceilings.push(waiting(&mut updates).await.1.as_millis());
    }
    assert_eq!(ceilings, [500, 1_000, 2_000, 4_000]);
    let mut line = script.accept(5).await;
    line.subscribed().await;
    for _ in 0..20 {
        tokio::time::advance(Duration::from_secs(4)).await;
        line.frame(&[]).await;
    }
    drop(line);
    assert_eq!(waiting(&mut updates).await.1.as_millis(), 500);
}

#[tokio::test(start_paused = true)]
async fn a_close_code_that_asks_not_to_come_again_ends_the_client() {
    for code in [4500, 4505, 4999] {
        let (mut script, client, mut updates, line) = joined().await;
        line.close(code).await;
        let ended = until(&mut updates, |update| match update {
            Update::Connection(ConnectionState::Ended(reason)) => Some(reason),
            _ => None,
        });
        let reason = ended.await;
        let EndReason::Disconnected(Disconnect::Closed { code: found, .. }) = &*reason else {
            panic!("{reason:?}")
        };
        assert_eq!(*found, code);
        assert!(updates.next().await.is_none(), "nothing follows the end");
        let again = client.subscribe(Interest::symbols(["A"])).await;
        assert!(matches!(again, Err(CommandError::Closed)), "{again:?}");
        drop((client, updates));
        assert!(script.is_over().await, "nobody comes again");
    }
}

#[tokio::test(start_paused = true)]
async fn silence_beyond_the_limit_is_a_dead_connection() {
    let (mut script, _client, mut updates, mut line) = joined().await;
    line.frame(&[]).await;
    let (trouble, ..) = waiting(&mut updates).await;
    let limit = Duration::from_secs(7);
    assert!(
        matches!(trouble, Trouble::Disconnected(Disconnect::Silent { limit: found }) if found == limit),
        "{trouble:?}"
    );
    script.accept(5).await;
}

#[tokio::test(start_paused = true)]
async fn a_gateway_that_breaks_the_protocol_is_left_and_counted() {
    type Breach = fn(&mut Line) -> std::pin::Pin<Box<dyn Future<Output = ()> + '_>>;
    let breaches: [Breach; 6] = [
        // A hole in the frames; a hole in the tape; an id that nobody defined.
        |line| Box::pin(line.frame_numbered(9, &[])),
        |line| Box::pin(async { line.frame(&[trade(7, 11), trade(7, 13)]).await }),
        |line| Box::pin(async { line.frame(&[trade(8, 1)]).await }),
        // Bytes that are no message; the wrong kind of message; an answer to nothing.
        |line| Box::pin(line.send(vec![0xc1])),
        |line| Box::pin(line.send_text("{}")),
        |line| Box::pin(async { line.reply(&Reply::Pong { id: Some(999), time_us: 0 }).await }),
    ];
    for (number, breach) in breaches.into_iter().enumerate() {
        let (mut script, client, mut updates, mut line) = joined().await;
        breach(&mut line).await;
        let (trouble, ..) = waiting(&mut updates).await;
        let is_violation = matches!(trouble, Trouble::Disconnected(Disconnect::Violation(_)));
        assert!(is_violation, "{number}: {trouble:?}");
        assert_eq!(client.stats().violations, 1, "{number}");
        // Nothing of a frame that contradicts itself was delivered: the tape stands where it was.
        let mut line = script.accept(5).await;
        let (_, subscribe) = line.subscribed().await;
        let resume = subscribe.resume.expect("the tape is resumed");
        assert_eq!(resume.trades, [("A".to_owned(), 10)], "{number}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_handshake_says_status_and_wait() {
    let (mut script, builder) = script();
    let answer =
        "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 7\r\nContent-Length: 5\r\n\r\nfull\n";
    let (connected, ()) = tokio::join!(builder.connect(), script.refuse(answer));
    let Err(ConnectError::Refused { status, retry_after, .. }) = connected else {
        panic!("{connected:?}")
    };
    assert_eq!((status, retry_after), (503, Some(Duration::from_secs(7))));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_was_started_comes_again_when_told_and_gives_up_when_it_must() {
    let (mut script, builder) = script();
    let client = builder.backoff(BACKOFF).random(|| 0.0).start().expect("valid");
    let begun = Instant::now();
    script
        .refuse("HTTP/1.1 429 Too Many Requests\r\nRetry-After: 9\r\nContent-Length: 0\r\n\r\n")
        .await;
    script.refuse("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n").await;
    assert!(begun.elapsed() >= Duration::from_secs(9));
    let refused = client.subscribe(Interest::symbols(["A"])).await;
    assert!(matches!(refused, Err(CommandError::Closed)), "{refused:?}");
    let ConnectionState::Ended(reason) = client.connection() else { panic!() };
    assert!(matches!(&*reason, EndReason::Connect(ConnectError::Refused { status: 403, .. })));
    assert_eq!(client.stats().attempts, 2);
}

#[tokio::test(start_paused = true)]
async fn a_handshake_has_a_limit_and_its_first_message_is_welcome() {
    let (mut script, builder) = script();
    let limit = Duration::from_secs(3);
    let connecting = builder.handshake_timeout(limit).connect();
    let (connected, _held) = tokio::join!(connecting, script.arrival());
    let timed_out =
        matches!(connected, Err(ConnectError::TimedOut { limit: found }) if found == limit);
    assert!(timed_out, "{connected:?}");

    let (mut script, builder) = common::script::script();
    let (connected, ()) = tokio::join!(builder.connect(), async {
        let mut line = script.upgrade(Dialect::MessagePack).await;
        line.frame(&[]).await;
        assert_eq!(line.next().await, None);
    });
    let Err(ConnectError::Ended(ended)) = connected else { panic!("{connected:?}") };
    let Disconnect::Violation(ProtocolViolation::Unexpected { expected, .. }) = *ended else {
        panic!("{ended:?}")
    };
    assert_eq!(expected, "welcome");
}

#[tokio::test(start_paused = true)]
async fn frames_are_acknowledged_when_they_were_taken_and_not_before() {
    let (mut script, builder) = script();
    let client = builder.credit(2).start().expect("valid");
    let mut line = script.welcome(5).await;
    let credit = line.command().await;
    line.reply(&Reply::Credited { id: credit.id, frames: Some(2), from: 0 }).await;
    line.pong().await;
    let subscribing = client.subscribe(Interest::symbols(["A"]).only_trades());
    let (subscribed, id) = tokio::join!(subscribing, async { line.subscribed().await.0 });
    let mut updates = subscribed.expect("subscribed");
    let joining = Entry::TradesJoined { id: 7, sequence: 10, volume: 500 };
    line.frame(&[definition(7, "A"), joining, Entry::Ready { command_id: id }]).await;
    line.frame(&[trade(7, 11), trade(7, 12)]).await;
    ready(&mut updates).await;
    assert_eq!(line.command().await.op, Op::Ack { frame: 1 });
    assert!(matches!(next(&mut updates).await, Update::Trade(trade) if trade.sequence == 11));
    // Half of the second frame is taken. A question that is answered shows that nothing was said.
    let (set, ()) = tokio::join!(client.set_throttle(None), async {
        let throttle = line.command().await;
        assert!(matches!(throttle.op, Op::Throttle { .. }), "{throttle:?}");
        line.reply(&Reply::Throttled {
            id: throttle.id,
            throttle_ms: 100,
            max_bytes_per_second: None,
            count: 0,
            rejected: Vec::new(),
        })
        .await;
    });
    set.expect("accepted");
    assert!(matches!(next(&mut updates).await, Update::Trade(trade) if trade.sequence == 12));
    assert_eq!(line.command().await.op, Op::Ack { frame: 2 });
    assert_eq!(client.stats().acks, 2);
}

#[tokio::test(start_paused = true)]
async fn a_question_is_asked_again_until_it_is_answered() {
    let (mut script, builder) = script();
    let client = builder.backoff(BACKOFF).random(|| 0.0).start().expect("valid");
    let line = script.accept(5).await;
    let asking = client.instrument("A");
    let answering = async {
        let question = Op::Symbols { prefix: "A".to_owned(), after: None, limit: Some(1) };
        let mut line = line;
        assert_eq!(line.command().await.op, question);
        // The connection breaks before the answer; the next gateway is in a hurry.
        drop(line);
        let mut line = script.accept(5).await;
        let Command { id, op } = line.command().await;
        assert_eq!(op, question);
        let (message, field) = ("later".to_owned(), None);
        let refusal = Refusal { code: ErrorCode::TooManyCommands, message, field, id };
        line.reply(&Reply::Error(refusal)).await;
        let Command { id, op } = line.command().await;
        assert_eq!(op, question);
        let symbols = vec![SymbolInfo {
            name: "A".to_owned(),
            price_exponent: -2,
            size_exponent: 0,
            tick_size: ABSENT,
            instrument: Instrument { venue: Some("V".into()), ..Instrument::default() },
        }];
        line.reply(&Reply::Symbols { id, symbols, more: true }).await;
        line
    };
    let (answer, mut line) = tokio::join!(asking, answering);
    let instrument = answer.expect("answered").expect("known");
    assert_eq!((instrument.venue.as_deref(), instrument.tick_size), (Some("V"), None));

    let (refused, ()) = tokio::join!(client.instrument("B"), async {
        let id = line.command().await.id;
        let (message, field) = ("no".to_owned(), None);
        let refusal = Refusal { code: ErrorCode::Unavailable, message, field, id };
        line.reply(&Reply::Error(refusal)).await;
    });
    let Err(CommandError::Refused(refused)) = refused else { panic!("{refused:?}") };
    assert_eq!(refused.code, ErrorCode::Unavailable);
}

#[tokio::test(start_paused = true)]
async fn dropping_a_subscription_unsubscribes_what_no_other_wants() {
    let (_script, client, updates, mut line) = joined().await;
    let both = Interest::symbols(["A", "B"]).channels([Channel::Quote]);
    let (second, ()) = tokio::join!(client.subscribe(both), async {
        // A as it is wanted by both, B as by the second alone.
        for channels in [[Channel::Quote, Channel::Trade].as_slice(), &[Channel::Quote]] {
            let (_, subscribe) = line.subscribed().await;
            assert_eq!(subscribe.channels, Some(channels.iter().copied().collect()));
        }
    });
    let second = second.expect("subscribed");
    drop(updates);
    let unsubscribe = line.command().await;
    let channels = Channels::only(Channel::Trade);
    assert_eq!(unsubscribe.op, Op::Unsubscribe { symbols: vec!["A".into()], channels });
    let answer = Reply::Unsubscribed {
        id: unsubscribe.id,
        count: 1,
        still_covered: Vec::new(),
        subscriptions: 2,
    };
    line.reply(&answer).await;
    drop(second);
    let unsubscribe = line.command().await;
    let channels = Channels::only(Channel::Quote);
    let symbols = vec!["A".into(), "B".into()];
    assert_eq!(unsubscribe.op, Op::Unsubscribe { symbols, channels });
}

#[tokio::test(start_paused = true)]
async fn a_long_list_goes_out_in_commands_that_a_gateway_takes_whole() {
    let (mut script, builder) = script();
    let client = builder.start().expect("valid");
    let mut line = script.accept(5).await;
    let names: Vec<String> = (0..1_000).map(|number| format!("{number:0>32}")).collect();
    let (subscribed, asked) =
        tokio::join!(client.subscribe(Interest::symbols(names.clone())), async {
            let mut asked: Vec<String> = Vec::new();
            while asked.len() < 1_000 {
                let (_, subscribe) = line.subscribed().await;
                assert!(subscribe.symbols.len() <= 256);
                asked.extend(subscribe.symbols);
            }
            asked
        });
    subscribed.expect("subscribed");
    assert_eq!(asked, names);
}

#[tokio::test(start_paused = true)]
async fn too_many_commands_is_waited_out_and_other_refusals_are_told() {
    let (mut script, builder) = script();
    let client = builder.start().expect("valid");
    let mut line = script.accept(5).await;
    let refusal = |code, id| {
        let (message, field) = ("no".to_owned(), Some("symbols".to_owned()));
        Reply::Error(Refusal { code, message, field, id })
    };
    let begun = Instant::now();
    let (refused, ()) = tokio::join!(client.subscribe(Interest::symbols(["A"])), async {
        let first = line.command().await;
        line.reply(&refusal(ErrorCode::TooManyCommands, first.id)).await;
        let second = line.command().await;
        assert_eq!(first.op, second.op);
        assert!(begun.elapsed() >= Duration::from_secs(1));
        line.reply(&refusal(ErrorCode::TooManySubscriptions, second.id)).await;
    });
    let Err(CommandError::Refused(refused)) = refused else { panic!("{refused:?}") };
    assert_eq!(refused.code, ErrorCode::TooManySubscriptions);
    assert_eq!(refused.field.as_deref(), Some("symbols"));
    assert_eq!(client.stats().commands_refused, 2);
}

#[tokio::test(start_paused = true)]
async fn a_setting_that_waits_for_its_answer_survives_a_reconnect() {
    let (mut script, client, _updates, mut line) = joined().await;
    let setting = client.set_budget(Some(500));
    let (set, ()) = tokio::join!(setting, async {
        assert!(matches!(line.command().await.op, Op::Throttle { .. }));
        drop(line);
        let mut line = script.accept(5).await;
        line.subscribed().await;
        let again = line.command().await;
        let expected = Op::Throttle {
            symbols: None,
            throttle_ms: None,
            max_bytes_per_second: Some(Some(500)),
        };
        assert_eq!(again.op, expected);
        line.reply(&Reply::Throttled {
            id: again.id,
            throttle_ms: 100,
            max_bytes_per_second: Some(500),
            count: 0,
            rejected: Vec::new(),
        })
        .await;
    });
    set.expect("accepted");
}

#[tokio::test(start_paused = true)]
async fn the_last_handle_to_go_closes_in_order() {
    let (mut script, client, updates, mut line) = joined().await;
    drop(client);
    line.frame(&[trade(7, 11)]).await;
    let mut updates = updates;
    assert_eq!(sequences(&mut updates, 11).await, [11], "a subscription keeps it open");
    drop(updates);
    // An unsubscribe may still come; then the close.
    while line.next().await.is_some() {}
    assert!(script.is_over().await);
}

#[tokio::test(start_paused = true)]
async fn what_is_known_stays_on_show_with_its_doubt_until_it_has_come_again() {
    let (mut script, builder) = script();
    let client = builder.backoff(BACKOFF).random(|| 0.5).start().expect("valid");
    let mut line = script.accept(5).await;
    let subscribing = client.subscribe(Interest::symbols(["A"]).channels([Channel::Quote]));
    let (subscribed, id) = tokio::join!(subscribing, async { line.subscribed().await.0 });
    let mut updates = subscribed.expect("subscribed");
    let is_ready = Entry::Ready { command_id: id };
    line.frame(&[definition(7, "A"), quote(7, 40, 100), is_ready]).await;
    ready(&mut updates).await;
    tokio::time::advance(Duration::from_secs(3)).await;
    let bid = |doubt: bool| {
        let latest = client.latest("A").expect("known");
        assert_eq!(latest.doubts.connection_lost, doubt, "{latest:?}");
        let age = latest.quote_age.expect("a quote").since_sent_us;
        (latest.quote.and_then(|quote| quote.bid_price).map(|bid| bid.mantissa), age)
    };
    assert_eq!(bid(false), (Some(100), 3_000_000));
    drop(line);
    waiting(&mut updates).await;
    assert_eq!(bid(true).0, Some(100));

    let mut line = script.accept(5).await;
    let (id, _) = line.subscribed().await;
    line.frame(&[definition(9, "A")]).await;
    let defined = |update| matches!(update, Update::Definition(_)).then_some(());
    until(&mut updates, defined).await;
    assert_eq!(bid(true).0, Some(100), "the definition is new, the quote is not");
    line.frame(&[quote(9, 43, 200), Entry::Ready { command_id: id }]).await;
    let told = ready(&mut updates).await;
    let merged = told.iter().find_map(|update| match update {
        Update::Quote(quote) => Some(quote.merged),
        _ => None,
    });
    assert_eq!(merged, Some(2), "41 and 42 were never seen");
    assert_eq!(bid(false), (Some(200), 0));
}

#[tokio::test(start_paused = true)]
async fn a_symbol_that_is_gone_after_a_reconnect_is_told_and_asked_for_again() {
    let (mut script, _client, mut updates, line) = joined().await;
    drop(line);
    for _ in 0..2 {
        let mut line = script.accept(5).await;
        let command = line.command().await;
        let Op::Subscribe(subscribe) = &command.op else { panic!("{command:?}") };
        assert_eq!(subscribe.symbols, ["A"]);
        let Reply::Subscribed(mut answer) = subscribed(command.id) else { unreachable!() };
        answer.rejected.push(Rejected { symbol: "A".into(), code: ErrorCode::UnknownSymbol });
        line.reply(&Reply::Subscribed(answer)).await;
        line.frame(&[Entry::Ready { command_id: command.id }]).await;
        let told = ready(&mut updates).await;
        let rejected = |update: &Update| match update {
            Update::Rejected { symbol, code } => {
                (&**symbol, *code) == ("A", ErrorCode::UnknownSymbol)
            }
            _ => false,
        };
        assert!(told.iter().any(rejected), "{told:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_redefinition_changes_the_scale_and_not_the_tape() {
    let (mut script, _client, mut updates, mut line) = joined().await;
    line.frame(&[trade(7, 11)]).await;
    let finer = Entry::Definition(Definition::new(8, "A", -4, 0));
    line.frame(&[finer, trade(8, 12)]).await;
    let mut exponents = Vec::new();
    until(&mut updates, |update| {
        if let Update::Trade(trade) = update {
            exponents.push((trade.sequence, trade.price.expect("a price").exponent));
        }
        (exponents.len() == 2).then_some(())
    })
    .await;
    assert_eq!(exponents, [(11, -2), (12, -4)]);
    drop(line);
    let mut line = script.accept(5).await;
    let (_, subscribe) = line.subscribed().await;
    assert_eq!(subscribe.resume.expect("resumed").trades, [("A".to_owned(), 12)]);
}

#[tokio::test(start_paused = true)]
async fn of_several_paces_of_a_symbol_the_shortest_holds() {
    let (mut script, builder) = script();
    let client = builder.start().expect("valid");
    let mut line = script.accept(5).await;
    let mut held = Vec::new();
    for (own, in_force) in [(900, 900), (300, 300), (600, 300)] {
        let interest = Interest::symbols(["A"]).throttle(Duration::from_millis(own));
        let (subscribed, asked) =
            tokio::join!(client.subscribe(interest), async { line.subscribed().await.1 });
        assert_eq!(asked.throttle_ms, Some(Some(in_force)));
        held.push(subscribed.expect("subscribed"));
    }
    // The fastest leaves: the others are asked for again, at the pace that is left.
    held.remove(1);
    assert_eq!(line.subscribed().await.1.throttle_ms, Some(Some(600)));
}

#[tokio::test(start_paused = true)]
async fn welcome_twice_is_no_protocol() {
    let (_script, client, mut updates, mut line) = joined().await;
    line.reply(&welcome(5)).await;
    waiting(&mut updates).await;
    assert_eq!(client.stats().violations, 1);
}
