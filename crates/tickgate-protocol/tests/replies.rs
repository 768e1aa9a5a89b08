//! Replies are read back as they were written, in both dialects.

use tickgate_protocol::{
    channel::Channels,
    command::{ErrorCode, Refusal},
    dialect::Dialect,
    entry::BarEntry,
    instrument::Instrument,
    number::ABSENT,
    reply::{Limits, Rejected, Reply, Resumed, SequenceSource, Subscribed, SymbolInfo, Welcome},
};

#[test]
fn every_reply_survives_both_dialects() {
    let rejected = vec![Rejected { symbol: "Ä\u{1}".into(), code: ErrorCode::UnknownSymbol }];
    let bar = BarEntry {
        id: 0,
        sequence: 4,
        interval_s: 60,
        start_s: 1_700_000_000,
        open: 100,
        high: -5,
        low: ABSENT,
        close: 0,
        volume: 70,
        vwap: 10_050,
        trade_count: 3,
        flags: 1,
    };
    let all = vec![
        Reply::Welcome(Welcome {
            epoch: 5,
            session: 70_000,
            time_us: 1_700_000_000_000_000,
            heartbeat_ms: 1_000,
            silence_limit_ms: 7_000,
            limits: Limits {
                subscriptions: 4_096,
                message_bytes: 16_384,
                frame_bytes: 16_384,
                commands_per_second: 50,
                throttle_intervals: 16,
                throttle_ms: 100,
                history: 500,
                symbols: 1_000,
            },
            sequence_source: SequenceSource::Feed,
        }),
        Reply::Subscribed(Subscribed {
            id: Some(1),
            count: 2,
            subscriptions: 3,
            channels: Channels::ALL,
            throttle_ms: 250,
            quote_fields: 0b1_0101,
            last_fields: 0xff,
            resumed: Some(Resumed { count: 1, fresh: 1 }),
            rejected: rejected.clone(),
        }),
        Reply::Unsubscribed {
            id: None,
            count: 1,
            still_covered: vec!["A".into()],
            subscriptions: 0,
        },
        Reply::Throttled {
            id: Some(2),
            throttle_ms: 0,
            max_bytes_per_second: None,
            count: 1,
            rejected,
        },
        Reply::Credited { id: Some(-1), frames: Some(8), from: 12 },
        Reply::History {
            id: Some(3),
            symbol: "A".into(),
            channel: "bar_1m".into(),
            price_exponent: -2,
            size_exponent: 1,
            bars: vec![bar],
            more: true,
        },
        Reply::Symbols {
            id: None,
            symbols: vec![SymbolInfo {
                name: "A".into(),
                price_exponent: -8,
                size_exponent: 3,
                tick_size: 5,
                instrument: Instrument { venue: Some("Börse".into()), ..Instrument::default() },
            }],
            more: false,
        },
        Reply::Pong { id: Some(9), time_us: -1 },
        Reply::Error(Refusal {
            code: ErrorCode::BadField,
            message: "throttle_ms: \"x\"".into(),
            field: Some("throttle_ms".into()),
            id: Some(4),
        }),
        Reply::Draining { reconnect_after_ms: 1_234 },
    ];
    for dialect in Dialect::ALL {
        for reply in &all {
            let mut bytes = Vec::new();
            dialect.write_reply(&mut bytes, reply);
            assert_eq!(dialect.parse_reply(&bytes).as_ref(), Ok(reply), "{dialect:?}");
        }
    }
}
