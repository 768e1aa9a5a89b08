//! The client against a real gateway in this process, over TCP.

mod common;

use std::time::Duration;

use common::{
    HANG,
    gateway::{Cable, DRAIN, Gateway},
    next, ready, until,
};
use tickgate_client::{
    Backoff, Builder, Client, CommandError, ConnectError, ConnectionState, Decimal, Dialect,
    Disconnect, ErrorCode, Interest, LossOrigin, Status, Subscription, Trouble, Update,
};
use tickgate_gateway::GatewayConfig;
use tickgate_protocol::{
    instrument::Instrument,
    tick::{Batch, Listing, Reason, StatusChange, Tick, TickBody},
};

/// Comes again at once: tests wait for nothing.
const AT_ONCE: Backoff = Backoff { base: Duration::from_millis(1), cap: Duration::from_millis(1) };

fn over(cable: &Cable, gateway: &Gateway) -> Builder {
    let cable = cable.clone();
    gateway.builder().backoff(AT_ONCE).dial(move |_| cable.clone().open())
}

fn cents(mantissa: i64) -> Option<Decimal> {
    Some(Decimal { mantissa, exponent: -2 })
}

/// Trades up to and with the one of this number, which must be all there are, in order.
async fn tape(updates: &mut Subscription, numbers: std::ops::RangeInclusive<i64>) {
    let mut due = *numbers.start();
    while due <= *numbers.end() {
        match next(updates).await {
            Update::Trade(trade) => {
                assert_eq!(trade.trade_id, Some(due), "a trade is missing or comes twice");
                due += 1;
            }
            Update::Lost(lost) => panic!("{lost:?}"),
            _ => {}
        }
    }
}

#[tokio::test]
async fn a_subscription_tells_what_is_and_then_what_changes() {
    for dialect in Dialect::ALL {
        let mut gateway = Gateway::start().await;
        gateway.list(&["AAPL", "MSFT"]);
        gateway.quote(0, [22_855]);
        gateway.publisher.set_feed_status(Status::Live, Reason::None, 0);
        let client = gateway.builder().dialect(dialect).connect().await.expect("connects");
        let interest = Interest::symbols(["AAPL", "MSFT"]).with_trades().throttle(Duration::ZERO);
        let mut updates = client.subscribe(interest).await.expect("subscribed");
        assert!(updates.rejected().is_empty());

        let told = ready(&mut updates).await;
        let quote = told.iter().find_map(|update| match update {
            Update::Quote(quote) if &*quote.symbol == "AAPL" => Some(quote.clone()),
            _ => None,
        });
        let quote = quote.expect("a quote");
        assert_eq!((quote.bid_price, quote.ask_price), (cents(22_855), cents(22_856)));
        assert_eq!(quote.bid_price.expect("a bid").to_string(), "228.55");
        assert!(told.iter().any(|update| matches!(update, Update::Definition(_))));
        assert!(told.iter().any(|update| matches!(update, Update::Joined(_))));

        gateway.trade(0, [22_856]);
        let trade = until(&mut updates, |update| match update {
            Update::Trade(trade) => Some(trade),
            _ => None,
        });
        let trade = trade.await;
        assert_eq!((trade.price, trade.trade_id), (cents(22_856), Some(22_856)));

        let halt = StatusChange { status: Status::Halted, reason: Reason::News };
        let body = TickBody::Status(halt);
        let ticks = vec![Tick { symbol: 1, event_time_ns: 0, body }];
        gateway.publisher.publish(&Batch { ticks, ..Batch::default() });
        let status = until(&mut updates, |update| match update {
            Update::Status(status) => Some(status),
            _ => None,
        });
        let status = status.await;
        assert_eq!((&*status.symbol, status.status), ("MSFT", Status::Halted));

        let halted = client.latest("MSFT").expect("known");
        assert!(halted.doubts.not_trading && !halted.doubts.connection_lost);
        let latest = client.latest("AAPL").expect("known");
        assert!(latest.doubts.is_fresh(), "{:?}", latest.doubts);
        assert_eq!(latest.quote.expect("a quote").bid_price, cents(22_855));
        assert!(latest.quote_age.expect("a quote").since_sent_us >= 0);
        assert_eq!(client.latest("NOPE"), None);

        gateway.publisher.set_feed_status(Status::Stale, Reason::Gap, 0);
        until(&mut updates, |update| match update {
            Update::Feed(feed) => (feed.status == Status::Stale).then_some(()),
            _ => None,
        })
        .await;
        assert!(client.latest("AAPL").expect("known").doubts.feed_stale);
        client.close().await;
        while updates.next().await.is_some() {}
        gateway.stop().await.expect("stops");
    }
}

#[tokio::test]
async fn a_client_can_ask_what_a_symbol_stands_for() {
    for dialect in Dialect::ALL {
        let mut gateway = Gateway::start().await;
        gateway.list(&["MSFT"]);
        let words = Instrument {
            description: Some("Apple Inc. \"common\"".into()),
            venue: Some("XNAS".into()),
            currency: Some("USD".into()),
        };
        let listing = Listing { tick_size: 5, instrument: words, ..Listing::new("AAPL", -2, 0) };
        gateway.publisher.publish(&Batch { listings: vec![listing], ..Batch::default() });
        let client = gateway.builder().dialect(dialect).connect().await.expect("connects");
        let apple = client.instrument("AAPL").await.expect("answered").expect("listed");
        assert_eq!((&*apple.symbol, apple.tick_size), ("AAPL", cents(5)));
        assert_eq!(apple.description.as_deref(), Some("Apple Inc. \"common\""));
        assert_eq!(apple.venue.as_deref(), Some("XNAS"));
        assert_eq!(apple.currency.as_deref(), Some("USD"));
        let microsoft = client.instrument("MSFT").await.expect("answered").expect("listed");
        assert_eq!((&*microsoft.symbol, microsoft.tick_size), ("MSFT", None));
        assert_eq!(microsoft.description, None);
        // The beginning of a name is not that symbol.
        assert_eq!(client.instrument("AAP").await.expect("answered"), None);
        let invalid = client.instrument("*").await;
        assert!(matches!(invalid, Err(CommandError::Invalid(_))), "{invalid:?}");

        let interest = Interest::symbols(["AAPL"]);
        let mut updates = client.subscribe(interest).await.expect("subscribed");
        let told = ready(&mut updates).await;
        let tick_size = told.iter().find_map(|update| match update {
            Update::Definition(listing) => Some(listing.tick_size),
            _ => None,
        });
        assert_eq!(tick_size, Some(cents(5)), "its definition tells it too");
        drop(updates);
        client.close().await;
        gateway.stop().await.expect("stops");
    }
}

#[tokio::test]
async fn a_throttled_quote_ends_at_the_newest_and_accounts_for_every_update() {
    let mut gateway = Gateway::start().await;
    gateway.list(&["AAPL"]);
    let client = gateway.builder().connect().await.expect("connects");
    client.set_throttle(Some(Duration::from_millis(20))).await.expect("accepted");
    let mut updates = client.subscribe(Interest::symbols(["AAPL"])).await.expect("subscribed");
    ready(&mut updates).await;
    for bid in 1..=500 {
        gateway.quote(0, [bid]);
    }
    let (mut told, mut merged) = (0, 0);
    until(&mut updates, |update| {
        let Update::Quote(quote) = update else { return None };
        (told, merged) = (told + 1, merged + quote.merged);
        (quote.bid_price == cents(500)).then_some(())
    })
    .await;
    assert_eq!(told + merged, 500, "{told} told, {merged} merged");
    gateway.stop().await.expect("stops");
}

#[tokio::test]
async fn a_killed_connection_costs_no_trade_and_repeats_none() {
    for dialect in Dialect::ALL {
        let mut gateway = Gateway::start().await;
        gateway.list(&["AAPL", "MSFT"]);
        let cable = Cable::to(&gateway);
        let client = over(&cable, &gateway).dialect(dialect).connect().await.expect("connects");
        let interest = Interest::symbols(["AAPL"]).only_trades();
        let mut updates = client.subscribe(interest).await.expect("subscribed");
        let everything = Interest::everything().only_trades();
        let mut wildcard = client.subscribe(everything).await.expect("subscribed");
        ready(&mut updates).await;
        ready(&mut wildcard).await;
        for round in 0..10 {
            let first = round * 100 + 1;
            gateway.trade(0, first..=first + 49);
            gateway.trade(1, first..=first + 49);
            // Half of the rounds lose the connection somewhere in the middle of what is sent.
            if round % 2 == 0 {
                tape(&mut updates, first..=first + 49).await;
            }
            cable.cut();
            gateway.trade(0, first + 50..=first + 99);
            gateway.trade(1, first + 50..=first + 99);
            let rest = if round % 2 == 0 { first + 50 } else { first };
            tape(&mut updates, rest..=first + 99).await;
        }
        let mut due = [1, 1];
        while due != [1_001, 1_001] {
            match next(&mut wildcard).await {
                Update::Trade(trade) => {
                    let due = &mut due[usize::from(&*trade.symbol == "MSFT")];
                    assert_eq!(trade.trade_id, Some(*due), "{}", trade.symbol);
                    *due += 1;
                }
                Update::Lost(lost) => panic!("{lost:?}"),
                _ => {}
            }
        }
        let stats = client.stats();
        assert_eq!(stats.connections, 11);
        assert_eq!((stats.violations, stats.events_dropped), (0, 0));
        gateway.stop().await.expect("stops");
    }
}

#[tokio::test]
async fn trades_that_left_the_gateways_tape_meanwhile_are_named() {
    let mut gateway = Gateway::start().await;
    gateway.list(&["AAPL"]);
    let cable = Cable::to(&gateway);
    let client = over(&cable, &gateway).connect().await.expect("connects");
    let interest = Interest::symbols(["AAPL"]).only_trades();
    let mut updates = client.subscribe(interest).await.expect("subscribed");
    ready(&mut updates).await;
    gateway.trade(0, 1..=10);
    tape(&mut updates, 1..=10).await;
    // In one step with the cut: the gateway has not looked before the tape has gone round.
    cable.cut();
    gateway.trade(0, 11..=5_000);
    let mut due = 11;
    while due <= 5_000 {
        match next(&mut updates).await {
            Update::Lost(lost) => {
                assert_eq!((lost.from, lost.origin), (Some(due), LossOrigin::Connection));
                due = lost.to.expect("a bound") + 1;
            }
            Update::Trade(trade) => {
                assert_eq!(trade.sequence, due);
                due += 1;
            }
            _ => {}
        }
    }
    gateway.stop().await.expect("stops");
}

#[tokio::test]
async fn a_new_epoch_comes_before_anything_of_it_and_the_tape_begins_anew() {
    let mut gateway = Gateway::start().await;
    gateway.list(&["AAPL"]);
    gateway.quote(0, [100]);
    let client = gateway.builder().connect().await.expect("connects");
    let interest = Interest::symbols(["AAPL"]).with_trades().throttle(Duration::ZERO);
    let mut updates = client.subscribe(interest).await.expect("subscribed");
    // Before it is ready the tape may be joined behind what is traded now.
    ready(&mut updates).await;
    gateway.trade(0, 1..=3);
    tape(&mut updates, 1..=3).await;
    gateway.new_epoch();
    gateway.quote(0, [200]);
    gateway.trade(0, 7..=7);
    let epoch = until(&mut updates, |update| match update {
        Update::Epoch { epoch, .. } => Some(epoch),
        _ => None,
    });
    assert_eq!(epoch.await, 2);
    let mut seen = (false, false);
    while seen != (true, true) {
        match next(&mut updates).await {
            // Void first, where it is looked at between the epoch and the new quote.
            Update::Quote(quote) => {
                assert!([None, cents(200)].contains(&quote.bid_price), "{quote:?}");
                seen.0 = quote.bid_price.is_some();
            }
            Update::Joined(joined) => {
                assert!(!joined.resumed);
                seen.1 = true;
            }
            Update::Trade(trade) => assert_eq!(trade.trade_id, Some(7)),
            _ => {}
        }
    }
    gateway.stop().await.expect("stops");
}

#[tokio::test]
async fn a_gateway_that_drains_is_left_and_its_successor_found() {
    let drains_at_once = GatewayConfig { drain_within: DRAIN, ..GatewayConfig::default() };
    let mut first = Gateway::start_with(drains_at_once.clone(), 1).await;
    first.list(&["AAPL"]);
    let mut second = Gateway::start_with(drains_at_once.clone(), 2).await;
    second.list(&["AAPL"]);
    second.quote(0, [700]);
    let cable = Cable::to(&first);
    let client = over(&cable, &first).connect().await.expect("connects");
    let mut updates = client.subscribe(Interest::symbols(["AAPL"])).await.expect("subscribed");
    ready(&mut updates).await;
    cable.lead_to(&second);
    first.stop().await.expect("stops");
    let (trouble, retry_in) = until(&mut updates, |update| match update {
        Update::Connection(ConnectionState::Waiting { why, retry_in, .. }) => {
            Some(((*why).clone(), retry_in))
        }
        _ => None,
    })
    .await;
    let Trouble::Disconnected(Disconnect::Closed { code, reconnect_after, .. }) = trouble else {
        panic!("{trouble:?}")
    };
    assert_eq!(code, 4000);
    assert!(reconnect_after.is_some_and(|told| retry_in >= told), "{reconnect_after:?}");
    let epoch = until(&mut updates, |update| match update {
        Update::Epoch { epoch, .. } => Some(epoch),
        _ => None,
    });
    assert_eq!(epoch.await, 2);
    let told = ready(&mut updates).await;
    let quote =
        |update: &Update| matches!(update, Update::Quote(quote) if quote.bid_price == cents(700));
    assert!(told.iter().any(quote), "{told:?}");
    second.stop().await.expect("stops");
}

#[tokio::test]
async fn what_cannot_be_had_is_said_with_its_code() {
    let mut gateway = Gateway::start().await;
    gateway.list(&["AAPL"]);
    let client = gateway.builder().connect().await.expect("connects");
    let updates =
        client.subscribe(Interest::symbols(["NOPE", "AAPL"])).await.expect("one is known");
    assert_eq!(updates.rejected().len(), 1);
    assert_eq!(updates.rejected()[0].symbol, "NOPE");
    assert_eq!(updates.rejected()[0].code, ErrorCode::UnknownSymbol);
    let nothing = client.subscribe(Interest::symbols(["NOPE"])).await;
    let Err(CommandError::Rejected { rejected }) = nothing else { panic!("{nothing:?}") };
    assert_eq!(rejected[0].code, ErrorCode::UnknownSymbol);
    for bad in [Interest::symbols(["A B"]), Interest::symbols([""; 1]), Interest::symbols([""; 0])]
    {
        let refused = client.subscribe(bad).await;
        assert!(matches!(refused, Err(CommandError::Invalid(_))), "{refused:?}");
    }
    // One distinct interval more than a connection may use.
    let mut held = Vec::new();
    let refused = loop {
        let interval = Duration::from_millis(1_000 + 10 * held.len() as u64);
        gateway.list(&[format!("S{}", held.len()).as_str()]);
        let interest = Interest::symbols([format!("S{}", held.len())]).throttle(interval);
        match client.subscribe(interest).await {
            Ok(subscription) => held.push(subscription),
            Err(error) => break error,
        }
        assert!(held.len() < 20, "the gateway takes any number of intervals");
    };
    let CommandError::Refused(refused) = refused else { panic!("{refused:?}") };
    assert_eq!(refused.code, ErrorCode::BadField);
    assert_eq!(refused.field.as_deref(), Some("throttle_ms"));
    drop(updates);
    gateway.stop().await.expect("stops");
}

#[tokio::test]
async fn a_full_gateway_refuses_the_handshake_and_says_when_to_come_again() {
    let config =
        GatewayConfig { session_limit: 1, drain_within: DRAIN, ..GatewayConfig::default() };
    let gateway = Gateway::start_with(config, 1).await;
    let client = gateway.builder().connect().await.expect("connects");
    let refused = gateway.builder().connect().await;
    let Err(ConnectError::Refused { status: 503, retry_after: Some(wait), message }) = refused
    else {
        panic!("{refused:?}")
    };
    assert!((1..=10).contains(&wait.as_secs()), "{wait:?}");
    assert!(message.contains("full"), "{message}");
    client.close().await;
    let nobody = Client::builder("ws://127.0.0.1:1/v1/stream").connect().await;
    assert!(matches!(nobody, Err(ConnectError::Io(_))), "{nobody:?}");
    gateway.stop().await.expect("stops");
}

/// 800 trades sent while nobody reads; a second subscription shows when they have arrived.
async fn unread(gateway: &mut Gateway, client: &Client, capacity: usize) -> Subscription {
    let interest = Interest::symbols(["AAPL"]).only_trades();
    let slow = client.subscribe(interest.clone().capacity(capacity)).await.expect("subscribed");
    let mut quick = client.subscribe(interest).await.expect("subscribed");
    ready(&mut quick).await;
    gateway.trade(0, 1..=800);
    tape(&mut quick, 1..=800).await;
    slow
}

#[tokio::test]
async fn a_consumer_too_slow_for_its_buffer_is_told_the_range_and_gets_the_rest() {
    let mut gateway = Gateway::start().await;
    gateway.list(&["AAPL"]);
    let client = gateway.builder().connect().await.expect("connects");
    let mut slow = unread(&mut gateway, &client, 100).await;
    let lost = until(&mut slow, |update| match update {
        Update::Lost(lost) => Some(lost),
        Update::Trade(trade) => panic!("{trade:?} before the range it is behind"),
        _ => None,
    });
    let lost = lost.await;
    assert_eq!((lost.from, lost.to, lost.origin), (Some(1), Some(700), LossOrigin::Consumer));
    assert_eq!(lost.size, Some(Decimal { mantissa: 7_000, exponent: 0 }));
    tape(&mut slow, 701..=800).await;
    assert_eq!(client.stats().events_dropped, 700);
    gateway.stop().await.expect("stops");
}

#[tokio::test]
async fn with_credit_the_gateway_waits_for_the_consumer_and_nothing_is_lost() {
    let mut gateway = Gateway::start().await;
    gateway.list(&["AAPL"]);
    // In JSON a frame has about 130 trades at most: two of them fit, six would not.
    let builder = gateway.builder().dialect(Dialect::Json).credit(1);
    let client = builder.connect().await.expect("connects");
    let interest = Interest::symbols(["AAPL"]).only_trades().capacity(300);
    let mut slow = client.subscribe(interest).await.expect("subscribed");
    ready(&mut slow).await;
    gateway.trade(0, 1..=800);
    // The first frame is here and not acknowledged; heartbeats go on, and nothing else comes.
    let (frames, entries) = arrived(&client, |stats| stats.entries > 100).await;
    let later = arrived(&client, |stats| stats.frames >= frames + 2).await;
    assert_eq!(later.1, entries, "no data without credit");
    tape(&mut slow, 1..=800).await;
    let stats = client.stats();
    assert_eq!(stats.events_dropped, 0);
    assert!(stats.acks >= 6, "{stats:?}");
    gateway.stop().await.expect("stops");
}

/// Waits until what a client counts is so; its frames and entries.
async fn arrived(client: &Client, so: impl Fn(&tickgate_client::Stats) -> bool) -> (u64, u64) {
    let waiting = async {
        loop {
            let stats = client.stats();
            if so(&stats) {
                return (stats.frames, stats.entries);
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(HANG, waiting).await.expect("it comes to that")
}

#[tokio::test]
async fn subscriptions_of_one_client_share_a_symbol_and_leave_it_one_by_one() {
    let mut gateway = Gateway::start().await;
    gateway.list(&["AAPL"]);
    gateway.quote(0, [100]);
    let client = gateway.builder().throttle(Duration::ZERO).connect().await.expect("connects");
    let mut first = client.subscribe(Interest::symbols(["AAPL"])).await.expect("subscribed");
    ready(&mut first).await;
    // The second hears what is known already, though the gateway says it once only.
    let interest = Interest::symbols(["AAPL"]).with_trades();
    let mut second = client.subscribe(interest).await.expect("subscribed");
    let told = ready(&mut second).await;
    assert!(told.iter().any(|update| matches!(update, Update::Quote(_))), "{told:?}");
    drop(second);
    gateway.trade(0, [1]);
    gateway.quote(0, [200]);
    until(&mut first, |update| match update {
        Update::Quote(quote) => (quote.bid_price == cents(200)).then_some(()),
        Update::Trade(trade) => panic!("{trade:?} was not subscribed here"),
        _ => None,
    })
    .await;
    assert_eq!(client.stats().violations, 0);
    gateway.stop().await.expect("stops");
}
