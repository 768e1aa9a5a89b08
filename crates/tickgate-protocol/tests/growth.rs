//! A client of today reads a gateway of tomorrow: what it does not know, it ignores.

use tickgate_protocol::{
    decode::{DecodeError, Decoder, Message},
    dialect::Dialect,
    entry::{Entry, Frame, StateEntry, StatusEntry, Step},
    number::ABSENT,
    reply::Reply,
    tick::{Reason, Status},
};

fn read(bytes: &[u8]) -> Message {
    Decoder::new(Dialect::MessagePack).decode(bytes).expect("a sound message")
}

fn read_json(text: &str) -> Message {
    Decoder::new(Dialect::Json).decode(text.as_bytes()).expect("a sound message")
}

#[test]
fn unknown_kinds_trailing_elements_and_mask_bits_are_ignored() {
    let bytes = [
        0x96, 0x01, 0x02, 0x03, 0x00, // [1, 2, 3, 0, entries, and one element more]
        0x94, // four entries
        0x93, 0x28, 0x07, 0x92, 0xc0, 0x81, 0xa1, b'x', 0xcb, 0, 0, 0, 0, 0, 0, 0,
        0, // kind 40
        0x98, 0x0b, 0x07, 0x01, 0xc0, // quote delta of id 7, advance 1
        0xcc, 0x81, 0x05, 0xa3, b'n', b'e',
        b'w', // mask 0x81: bid_price, and a field of bit 7
        0xc3, // a trailing element
        0x93, 0x02, 0x06, 0xa1, b'x', // epoch 6 with a trailing element
        0x96, 0x04, 0xc0, 0x01, 0x0a, 0x63, 0xc0, // feed status live, reason 99
        0x91, 0xc2, // the frame's trailing element
    ];
    let delta = StateEntry {
        id: 7,
        step: Step::Delta { advance: 1 },
        age_us: ABSENT,
        mask: 1,
        fields: [5, ABSENT, ABSENT, ABSENT, ABSENT],
    };
    let status = StatusEntry {
        id: None,
        status_sequence: 1,
        status: Status::Live,
        reason: Reason::None,
        age_us: ABSENT,
    };
    let entries = vec![Entry::Quote(delta), Entry::Epoch { epoch: 6 }, Entry::Status(status)];
    assert_eq!(
        read(&bytes),
        Message::Frame(Frame { sequence: 2, sent_at_us: 3, cause: 0, entries })
    );
}

#[test]
fn json_entries_and_keys_that_are_unknown_are_ignored() {
    let text = r#"{"type":"frame","sequence":1,"sent_at_us":2,"cause": 0,"new":[{}],"entries":[
        {"type":"book","symbol":"A","bids":[[1.5,2]]},
        {"type":"epoch","epoch":3,"why":"reset"}]}"#;
    let entries = vec![Entry::Epoch { epoch: 3 }];
    assert_eq!(
        read_json(text),
        Message::Frame(Frame { sequence: 1, sent_at_us: 2, cause: 0, entries })
    );
}

/// A gateway of before: its definitions end with the status, its directory tells the scale only.
#[test]
fn what_an_earlier_gateway_does_not_tell_is_not_known() {
    let defined = |message| match message {
        Message::Frame(mut frame) => match frame.entries.remove(0) {
            Entry::Definition(definition) => definition.tick_size,
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    };
    let bytes =
        [0x95, 1, 2, 3, 0, 0x91, 0x99, 0x01, 0x07, 0xa1, b'A', 0xfe, 0x00, 0xc0, 0x0a, 0x01, 0x00];
    assert_eq!(defined(read(&bytes)), ABSENT);
    let text = r#"{"type":"frame","sequence":2,"sent_at_us":3,"cause":0,"entries":[
        {"type":"definition","symbol":"A","id":7,"price_exponent":-2,"size_exponent":0,
         "session_date":null,"previous_close":0.10,"status":"trading","status_sequence":0}]}"#;
    assert_eq!(defined(read_json(text)), ABSENT);

    let page = br#"{"type":"symbols","symbols":[
        {"name":"A","price_exponent":-2,"size_exponent":0}],"more":false}"#;
    let packed = b"\x83\xa4type\xa7symbols\xa7symbols\x91\x83\xa4name\xa1A\
        \xaeprice_exponent\xfe\xadsize_exponent\x00\xa4more\xc2";
    for (dialect, bytes) in [(Dialect::Json, &page[..]), (Dialect::MessagePack, packed)] {
        let Ok(Reply::Symbols { symbols, .. }) = dialect.parse_reply(bytes) else {
            panic!("{:?}", dialect.parse_reply(bytes))
        };
        assert_eq!(symbols[0].tick_size, ABSENT);
        assert!(symbols[0].instrument.is_unknown());
    }
}

#[test]
fn unknown_replies_and_frames_are_told_as_such() {
    assert_eq!(read(b"\x81\xa4type\xa3new"), Message::Unknown);
    assert_eq!(read(b"\x92\x02\xc0"), Message::Unknown);
    assert_eq!(read_json(r#"{"type":"new","x":1}"#), Message::Unknown);
    assert_eq!(
        read_json(r#"{"type":"pong","id":4,"time_us":5,"new":null}"#),
        Message::Reply(Reply::Pong { id: Some(4), time_us: 5 })
    );
}

#[test]
fn what_breaks_the_protocol_is_an_error() {
    let bytes: [&[u8]; 6] = [
        &[0x95, 1, 2, 3, 0, 0x91, 0x91, 0x02], // epoch without its number
        &[0x95, 1, 2, 3, 0, 0x91, 0x92, 0x02, 0xff], // a negative epoch
        &[0x95, 1, 2, 3, 0, 0x91, 0x92, 0x02, 0xa0], // an epoch that is text
        &[0x95, 1, 2, 3, 0, 0x90, 0x00],       // a byte too many
        &[0x94, 1, 2, 3, 0],                   // no entries
        &[0x95, 1, 0xc0, 3, 0, 0x90],          // no sequence
    ];
    for bytes in bytes {
        assert!(Decoder::new(Dialect::MessagePack).decode(bytes).is_err(), "{bytes:02x?}");
    }
    let undefined = r#"{"type":"frame","sequence":1,"sent_at_us":2,"cause":0,"entries":[
        {"type":"trades_joined","symbol":"A","sequence":1,"volume":null}]}"#;
    assert_eq!(
        Decoder::new(Dialect::Json).decode(undefined.as_bytes()),
        Err(DecodeError::Undefined { symbol: "A".to_owned() })
    );
}

#[test]
fn json_numbers_finer_than_their_scale_are_an_error_never_rounded() {
    let mut decoder = Decoder::new(Dialect::Json);
    let definition = r#"{"type":"frame","sequence":1,"sent_at_us":2,"cause":0,"entries":[
        {"type":"definition","symbol":"A","id":1,"price_exponent":-2,"size_exponent":0,
         "session_date":null,"previous_close":0.10,"status":"trading","status_sequence":0}]}"#;
    decoder.decode(definition.as_bytes()).expect("a sound frame");
    let delta = |price: &str| {
        format!(
            r#"{{"type":"frame","sequence":2,"sent_at_us":2,"cause":0,"entries":[
            {{"type":"quote_delta","symbol":"A","advance":1,"age_us":null,"bid_price":{price}}}]}}"#
        )
    };
    assert!(decoder.decode(delta("0.101").as_bytes()).is_err());
    let Ok(Message::Frame(frame)) = decoder.decode(delta("0.1").as_bytes()) else {
        panic!("0.1 is exact at two decimals")
    };
    let Entry::Quote(quote) = &frame.entries[0] else { panic!("{frame:?}") };
    assert_eq!((quote.mask, quote.fields[0]), (1, 10));
}
