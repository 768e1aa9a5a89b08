//! `history`: pages of bars, and what is refused.

use tickgate_protocol::{
    command::ErrorCode,
    entry::{BarEntry, bar_flag},
    number::ABSENT,
    reply::Reply,
    tick::{Batch, Listing, Tick, TickBody, Trade},
};
use tickgate_session::EngineConfig;

use crate::{
    desk::{Client, Desk, Said, list},
    refusal,
};

const MINUTE: i64 = 60 * 1_000_000_000;

fn desk() -> (Desk, Client) {
    let mut desk = Desk::new(EngineConfig::default());
    list(&mut desk, 2);
    let client = desk.connect();
    (desk, client)
}

/// A trade of the first symbol in each of these minutes, and the clock at the end of the last.
fn trade(desk: &mut Desk, minutes: impl Iterator<Item = i64>) {
    for minute in minutes {
        let trade = Trade { price: 100 + minute, size: 3, flags: 0, trade_id: ABSENT };
        let body = TickBody::Trade(trade);
        let ticks = vec![Tick { symbol: 0, event_time_ns: minute * MINUTE + 1, body }];
        let clock_ns = (minute + 1) * MINUTE;
        desk.publisher.publish(&Batch { ticks, clock_ns, ..Batch::default() });
    }
}

/// The bars, and whether there are more.
fn page(said: &[Said]) -> (&[BarEntry], bool) {
    match said {
        [Said::Reply(Reply::History { bars, more, .. })] => (bars, *more),
        other => panic!("no page: {other:?}"),
    }
}

fn ask(symbol: &str, channel: &str, rest: &str) -> String {
    format!(r#"{{"op":"history","id":9,"symbol":"{symbol}","channel":"{channel}"{rest}}}"#)
}

#[test]
fn what_cannot_be_asked_for_is_refused_by_its_field() {
    let (mut desk, mut client) = desk();
    let long = "x".repeat(8_000);
    for (command, code, field) in [
        (ask("S0", "bar.5m", ""), ErrorCode::UnknownChannel, "channel"),
        (ask("S0", "quote", ""), ErrorCode::UnknownChannel, "channel"),
        (ask("S0", &long, ""), ErrorCode::UnknownChannel, "channel"),
        (ask("S9", "bar.1s", ""), ErrorCode::UnknownSymbol, "symbol"),
        (ask(&long, "bar.1s", ""), ErrorCode::UnknownSymbol, "symbol"),
        (ask("S0", "bar.1s", r#","limit":0"#), ErrorCode::BadField, "limit"),
        (ask("S0", "bar.1s", r#","limit":101"#), ErrorCode::BadField, "limit"),
    ] {
        let said = desk.ask(&mut client, &command);
        let refusal = refusal(&said);
        assert_eq!((refusal.code, refusal.field.as_deref()), (code, Some(field)));
        assert_eq!(refusal.id, Some(9));
        assert!(refusal.message.len() < 100, "an answer cannot be made to grow: {refusal:?}");
    }
}

#[test]
fn pages_go_back_to_the_first_bar_and_no_further() {
    let (mut desk, mut client) = desk();
    assert_eq!(page(&desk.ask(&mut client, &ask("S0", "bar.1m", ""))), (&[][..], false));
    trade(&mut desk, (0..5).chain([9]));
    let starts = |(bars, more): (&[BarEntry], bool)| {
        (bars.iter().map(|bar| bar.start_s / 60).collect::<Vec<_>>(), more)
    };
    for (rest, expected) in [
        ("", (vec![0, 1, 2, 3, 4, 9], false)),
        (r#","limit":100"#, (vec![0, 1, 2, 3, 4, 9], false)),
        (r#","limit":1"#, (vec![9], true)),
        (r#","limit":4"#, (vec![2, 3, 4, 9], true)),
        (r#","limit":4,"before_s":120"#, (vec![0, 1], false)),
        (r#","limit":2,"before_s":121"#, (vec![1, 2], true)),
        (r#","before_s":0"#, (vec![], false)),
        (r#","before_s":-9007199254740991"#, (vec![], false)),
    ] {
        let said = desk.ask(&mut client, &ask("S0", "bar.1m", rest));
        assert_eq!(starts(page(&said)), expected, "{rest}");
    }
    let said = desk.ask(&mut client, &ask("S1", "bar.1m", ""));
    assert_eq!(page(&said), (&[][..], false), "it never traded");
}

#[test]
fn a_bar_says_what_it_is_and_follows_its_symbol_to_a_finer_scale() {
    let (mut desk, mut client) = desk();
    trade(&mut desk, 0..2);
    let symbol = 0;
    let last = TickBody::Trade(Trade { price: -5, size: 1, flags: 0, trade_id: ABSENT });
    let ticks = vec![Tick { symbol, event_time_ns: 2 * MINUTE + 7, body: last }];
    desk.publisher.publish(&Batch { ticks, ..Batch::default() });
    let finer = Listing::new("S0", -3, -1);
    desk.publisher.publish(&Batch { listings: vec![finer], ..Batch::default() });
    let said = desk.ask(&mut client, &ask("S0", "bar.1d", ""));
    let [
        Said::Reply(Reply::History {
            id,
            symbol,
            channel,
            price_exponent,
            size_exponent,
            bars,
            ..
        }),
    ] = &said[..]
    else {
        panic!("{said:?}")
    };
    assert_eq!((*id, &**symbol, &**channel), (Some(9), "S0", "bar.1d"));
    assert_eq!((*price_exponent, *size_exponent), (-3, -1));
    let [day] = &bars[..] else { panic!("{bars:?}") };
    assert_eq!([day.open, day.high, day.low, day.close], [1_000, 1_010, -50, -50]);
    // (1000 × 30 + 1010 × 30 - 50 × 10) / 70 is 854.2857…
    assert_eq!((day.volume, day.vwap, day.trade_count), (70, 85_429, 3));
    assert_eq!((day.interval_s, day.start_s, day.flags), (86_400, 0, 0));
    // Closed before the scale became finer.
    let said = desk.ask(&mut client, &ask("S0", "bar.1m", r#","before_s":60"#));
    let ([first], false) = page(&said) else { panic!("{said:?}") };
    assert_eq!((first.open, first.volume, first.vwap), (1_000, 30, 100_000));
    assert_eq!((first.flags, first.trade_count), (bar_flag::CLOSED, 1));
}
