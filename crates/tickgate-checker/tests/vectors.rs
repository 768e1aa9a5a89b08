//! Bytes of every kind of entry, worked out by hand from the protocol's document.

use tickgate_checker::{
    Bar, Channel, Command, Definition, Dialect, Rule, Subscribe, TapeEvent,
    wire::{self, Entry, Incoming, Scales, Step},
};

/// Id 1 is AAA: prices have two decimals, sizes one.
struct Known;

impl Scales for Known {
    fn exponents(&self, id: u32) -> Option<(i32, i32)> {
        (id == 1).then_some((-2, -1))
    }

    fn id(&self, name: &str) -> Option<u32> {
        (name == "AAA").then_some(1)
    }

    fn introduce(&self, name: &str, _: i32, _: i32) -> Option<u32> {
        self.id(name)
    }
}

/// A MessagePack frame around one entry: `[1, 3, 1700000000000000, 1, [entry]]`.
const HEAD: [u8; 13] = [0x95, 1, 3, 0xcf, 0x00, 0x06, 0x0a, 0x24, 0x18, 0x1e, 0x40, 0x00, 0x01];

fn frame(dialect: Dialect, payload: &[u8]) -> Entry {
    let Ok(Incoming::Frame(frame)) = wire::decode(dialect, payload) else {
        panic!("{:?}", wire::decode(dialect, payload));
    };
    assert_eq!((frame.sequence, frame.sent_at_us, frame.cause), (3, 1_700_000_000_000_000, 1));
    assert_eq!(frame.entries.len(), 1);
    wire::entry(dialect, &frame.entries[0], &Known).unwrap()
}

/// Both forms of an entry mean the same.
fn check(bytes: &[u8], json: &str, entry: &Entry) {
    let payload = [&HEAD[..], &[0x91], bytes].concat();
    assert_eq!(frame(Dialect::MessagePack, &payload), *entry);
    let payload = format!(
        r#"{{"type":"frame","sequence":3,"sent_at_us":1700000000000000,"cause":1,"entries":[{json}]}}"#
    );
    assert_eq!(frame(Dialect::Json, payload.as_bytes()), *entry);
}

#[test]
fn definition() {
    // [1, 1, "AAA", -2, -1, 20240808, 10000, 2, 3, 5]
    let bytes = [
        0x9a, 1, 1, 0xa3, b'A', b'A', b'A', 0xfe, 0xff, 0xce, 0x01, 0x34, 0xd9, 0xa8, 0xcd, 0x27,
        0x10, 2, 3, 5,
    ];
    let json = r#"{"type":"definition","symbol":"AAA","price_exponent":-2,"size_exponent":-1,
        "session_date":20240808,"previous_close":100.00,"status":"halted","status_sequence":3,
        "tick_size":0.05}"#;
    let definition = Definition {
        id: 1,
        name: "AAA".into(),
        price_exponent: -2,
        size_exponent: -1,
        session_date: Some(20_240_808),
        previous_close: Some(10_000),
        status: 2,
        status_sequence: 3,
        tick_size: Some(5),
    };
    check(&bytes, json, &Entry::Definition(definition));
}

#[test]
fn epoch_and_ready() {
    check(&[0x92, 2, 0xcd, 1, 0], r#"{"type":"epoch","epoch":256}"#, &Entry::Epoch { epoch: 256 });
    let ready = |command_id| Entry::Ready { command_id };
    check(&[0x92, 3, 7], r#"{"type":"ready","command_id":7}"#, &ready(Some(7)));
    check(&[0x92, 3, 0xc0], r#"{"type":"ready","command_id":null}"#, &ready(None));
}

#[test]
fn status() {
    // [4, 1, 5, 2, 3, -1]: a venue's clock may run ahead
    let json = r#"{"type":"status","symbol":"AAA","status_sequence":5,"status":"halted",
        "reason":"news","age_us":-1}"#;
    let halted =
        Entry::Status { id: Some(1), sequence: 5, status: 2, reason: Some(3), age_us: Some(-1) };
    check(&[0x96, 4, 1, 5, 2, 3, 0xff], json, &halted);
    // [4, nil, 1, 11, 12, nil]
    let json = r#"{"type":"status","symbol":null,"status_sequence":1,"status":"stale",
        "reason":"disconnected","age_us":null}"#;
    let stale = Entry::Status { id: None, sequence: 1, status: 11, reason: Some(12), age_us: None };
    check(&[0x96, 4, 0xc0, 1, 11, 12, 0xc0], json, &stale);
}

#[test]
fn quote() {
    // [10, 1, 300, 1500, 10050, 3, nil, nil, 0]
    let bytes =
        [0x99, 10, 1, 0xcd, 0x01, 0x2c, 0xcd, 0x05, 0xdc, 0xcd, 0x27, 0x42, 3, 0xc0, 0xc0, 0];
    let json = r#"{"type":"quote","symbol":"AAA","sequence":300,"age_us":1500,"bid_price":100.50,
        "bid_size":0.3,"ask_price":null,"ask_size":null,"flags":0}"#;
    let (channel, step) = (Channel::Quote, Step::Full(300));
    let fields = [Some(10_050), Some(3), None, None, Some(0), None, None, None];
    let age_us = Some(1_500);
    let entry = Entry::State { channel, id: 1, step, age_us, mask: 0b1_1111, fields };
    check(&bytes, json, &entry);
}

#[test]
fn quote_delta() {
    // [11, 1, 2, nil, 0b10101, -5, nil, 2]: the ask is gone
    let bytes = [0x98, 11, 1, 2, 0xc0, 0b1_0101, 0xfb, 0xc0, 2];
    let json = r#"{"type":"quote_delta","symbol":"AAA","advance":2,"age_us":null,
        "bid_price":-0.05,"ask_price":null,"flags":2}"#;
    let (channel, step) = (Channel::Quote, Step::Delta(2));
    let fields = [Some(-5), None, None, None, Some(2), None, None, None];
    let entry = Entry::State { channel, id: 1, step, age_us: None, mask: 0b1_0101, fields };
    check(&bytes, json, &entry);
}

#[test]
fn last() {
    // [12, 1, 9, 0, 100, 20, 1000000, 70000, 110, 90, 95, 8]
    let bytes = [
        0x9c, 12, 1, 9, 0, 100, 20, 0xce, 0x00, 0x0f, 0x42, 0x40, 0xce, 0x00, 0x01, 0x11, 0x70,
        110, 90, 95, 8,
    ];
    let json = r#"{"type":"last","symbol":"AAA","sequence":9,"age_us":0,"price":1.00,"size":2.0,
        "volume":100000.0,"trade_count":70000,"high":1.10,"low":0.90,"open":0.95,"flags":8}"#;
    let fields = [100, 20, 1_000_000, 70_000, 110, 90, 95, 8].map(Some);
    let (channel, step, age_us) = (Channel::Last, Step::Full(9), Some(0));
    check(&bytes, json, &Entry::State { channel, id: 1, step, age_us, mask: 0xff, fields });
}

#[test]
fn last_delta() {
    // [13, 1, 1, 0, 0b1101, 101, 30, 200]: price, volume and trade count
    let bytes = [0x98, 13, 1, 1, 0, 0b1101, 101, 30, 0xcc, 200];
    let json = r#"{"type":"last_delta","symbol":"AAA","advance":1,"age_us":0,"price":1.01,
        "volume":3.0,"trade_count":200}"#;
    let fields = [Some(101), None, Some(30), Some(200), None, None, None, None];
    let (channel, step, age_us) = (Channel::Last, Step::Delta(1), Some(0));
    check(&bytes, json, &Entry::State { channel, id: 1, step, age_us, mask: 0b1101, fields });
}

#[test]
fn trade_and_correction() {
    // [20, 1, 7, 250, 12345, 10, 4, 9007199254740991]: the largest number there is
    let bytes = [
        0x98, 20, 1, 7, 0xcc, 250, 0xcd, 0x30, 0x39, 10, 4, 0xcf, 0x00, 0x1f, 0xff, 0xff, 0xff,
        0xff, 0xff, 0xff,
    ];
    let json = r#"{"type":"trade","symbol":"AAA","sequence":7,"age_us":250,"price":123.45,
        "size":1.0,"flags":4,"trade_id":9007199254740991}"#;
    let trade = TapeEvent::Trade {
        price: Some(12_345),
        size: Some(10),
        flags: 4,
        trade_id: Some(9_007_199_254_740_991),
    };
    check(&bytes, json, &Entry::Trade { id: 1, sequence: 7, age_us: Some(250), trade });

    // [21, 1, 8, nil, 7, 1, nil, nil]
    let json = r#"{"type":"trade_correction","symbol":"AAA","sequence":8,"age_us":null,
        "corrects":7,"what":"cancel","price":null,"size":null}"#;
    let trade = TapeEvent::Correction { corrects: Some(7), what: 1, price: None, size: None };
    let entry = Entry::Trade { id: 1, sequence: 8, age_us: None, trade };
    check(&[0x98, 21, 1, 8, 0xc0, 7, 1, 0xc0, 0xc0], json, &entry);
}

#[test]
fn trades_joined_and_lost() {
    let json = r#"{"type":"trades_joined","symbol":"AAA","sequence":42,"volume":12.8}"#;
    let joined = Entry::Joined { id: 1, sequence: 42, volume: Some(128) };
    check(&[0x94, 22, 1, 42, 0xcc, 128], json, &joined);

    let json = r#"{"type":"trades_lost","symbol":"AAA","from":43,"to":50,"size":1.6,"origin":0}"#;
    let lost = Entry::Lost { id: 1, from: Some(43), to: Some(50), size: Some(16), origin: 0 };
    check(&[0x96, 23, 1, 43, 50, 16, 0], json, &lost);

    let json = r#"{"type":"trades_lost","symbol":"AAA","from":null,"to":null,"size":null,"origin":"feed"}"#;
    let lost = Entry::Lost { id: 1, from: None, to: None, size: None, origin: 1 };
    check(&[0x96, 23, 1, 0xc0, 0xc0, 0xc0, 1], json, &lost);
}

#[test]
fn bar() {
    // [30, 1, 2, 60, 1723075200, 100, 120, 90, 110, 50, 10550, 5, 1]: a vwap of 1.0550
    let bytes = [
        0x9d, 30, 1, 2, 60, 0xce, 0x66, 0xb4, 0x0a, 0x80, 100, 120, 90, 110, 50, 0xcd, 0x29, 0x36,
        5, 1,
    ];
    let json = r#"{"type":"bar","symbol":"AAA","sequence":2,"interval_s":60,"start_s":1723075200,
        "open":1.00,"high":1.20,"low":0.90,"close":1.10,"volume":5.0,"vwap":1.0550,
        "trade_count":5,"flags":1}"#;
    let bar = Bar {
        start_s: 1_723_075_200,
        prices: [100, 120, 90, 110].map(Some),
        volume: Some(50),
        vwap: Some(10_550),
        trade_count: 5,
        flags: 1,
    };
    check(&bytes, json, &Entry::Bar { id: 1, sequence: 2, channel: Channel::Bar1m, bar });
}

#[test]
fn what_breaks_the_table_is_refused() {
    let entry = |bytes: &[u8]| {
        let payload = [&HEAD[..], &[0x91], bytes].concat();
        let Ok(Incoming::Frame(frame)) = wire::decode(Dialect::MessagePack, &payload) else {
            panic!("the frame itself is fine");
        };
        wire::entry(Dialect::MessagePack, &frame.entries[0], &Known).unwrap_err().rule
    };
    // An unknown kind; a field too few; a mask bit without a field; a field for no mask bit.
    assert_eq!(entry(&[0x91, 99]), Rule::Decode);
    assert_eq!(entry(&[0x93, 22, 1, 42]), Rule::Decode);
    assert_eq!(entry(&[0x95, 11, 1, 2, 0xc0, 0b1]), Rule::Decode);
    assert_eq!(entry(&[0x96, 11, 1, 2, 0xc0, 0, 1]), Rule::Decode);
    // Bit 5 is no field of a quote; an unknown status; a negative sequence; a nil id.
    assert_eq!(entry(&[0x96, 11, 1, 2, 0xc0, 0x20, 1]), Rule::Decode);
    assert_eq!(entry(&[0x96, 4, 1, 5, 9, 0xc0, 0]), Rule::Decode);
    assert_eq!(entry(&[0x94, 22, 1, 0xff, 0]), Rule::Decode);
    assert_eq!(entry(&[0x94, 22, 0xc0, 1, 0]), Rule::Decode);
    // 2^53, and a float.
    let large = [0x94, 22, 1, 1, 0xcf, 0x00, 0x20, 0, 0, 0, 0, 0, 0];
    assert_eq!(entry(&large), Rule::Number);
    assert_eq!(entry(&[0x94, 22, 1, 1, 0xca, 0, 0, 0, 0]), Rule::Number);
}

#[test]
fn json_that_breaks_the_table_is_refused() {
    let entry = |json: &str| {
        let value = tickgate_checker::json::decode(json.as_bytes()).unwrap();
        wire::entry(Dialect::Json, &value, &Known).unwrap_err().rule
    };
    let joined = |fields: &str| entry(&format!(r#"{{"type":"trades_joined",{fields}}}"#));
    assert_eq!(joined(r#""symbol":"BBB","sequence":1,"volume":1"#), Rule::Definition);
    assert_eq!(joined(r#""sequence":1,"volume":1"#), Rule::Decode);
    assert_eq!(joined(r#""symbol":"AAA","volume":1"#), Rule::Decode);
    assert_eq!(joined(r#""symbol":"AAA","sequence":1,"volume":1,"odd":1"#), Rule::Decode);
    // A size finer than its exponent, a float's notation, a number in quotes.
    assert_eq!(joined(r#""symbol":"AAA","sequence":1,"volume":1.25"#), Rule::Number);
    assert_eq!(joined(r#""symbol":"AAA","sequence":1,"volume":1e2"#), Rule::Number);
    assert_eq!(joined(r#""symbol":"AAA","sequence":1,"volume":"1""#), Rule::Decode);
    assert_eq!(entry(r#"{"type":"quotes"}"#), Rule::Decode);
}

#[test]
fn commands_are_written_as_the_document_says() {
    let subscribe = Command::Subscribe(Subscribe {
        id: Some(1),
        symbols: vec!["AAA".into()],
        channels: Some(vec![Channel::Trade]),
        throttle_ms: Some(None),
        quote_fields: Some(vec!["bid_price".into()]),
        snapshot: true,
        resume: Some((7, vec![("AAA".into(), 300)])),
        ..Subscribe::default()
    });
    let json = r#"{"op":"subscribe","id":1,"symbols":["AAA"],"channels":["trade"],"throttle_ms":null,"fields":{"quote":["bid_price"]},"snapshot":true,"resume":{"epoch":7,"trades":{"AAA":300}}}"#;
    assert_eq!(String::from_utf8(subscribe.payload(Dialect::Json)).unwrap(), json);
    // {"op": "ack", "frame": 300}
    let ack = Command::Ack { frame: 300 }.payload(Dialect::MessagePack);
    let map = [
        0x82, 0xa2, b'o', b'p', 0xa3, b'a', b'c', b'k', 0xa5, b'f', b'r', b'a', b'm', b'e', 0xcd,
        1, 0x2c,
    ];
    assert_eq!(ack, map);
    let frame = Command::Ack { frame: 300 }.bytes(Dialect::MessagePack, [0xff, 0, 0, 0]);
    assert_eq!(frame[..6], [0x82, 0x80 | 17, 0xff, 0, 0, 0]);
    assert_eq!(frame[6], 0x82 ^ 0xff);
    let parts = subscribe.fragments(Dialect::Json, 3, [0; 4]);
    assert_eq!([parts[0][0], parts[1][0], parts[2][0]], [0x01, 0x00, 0x80]);
}
