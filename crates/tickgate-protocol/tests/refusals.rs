//! What is refused: with which code, about which field, and with the command's id.

use tickgate_protocol::{
    command::{ErrorCode, Op, Refusal},
    dialect::Dialect,
};

use ErrorCode::{BadField, BadMessage, UnknownChannel, UnknownField, UnknownOp};

/// The refusal of a JSON command, and of the same command in MessagePack.
fn refusal(json: &str) -> Refusal {
    let refusal = Dialect::Json.parse_command(json.as_bytes()).expect_err(json);
    let value: serde_json::Value = serde_json::from_str(json).expect("the case is JSON");
    let mut bytes = Vec::new();
    pack(&mut bytes, &value);
    let packed = Dialect::MessagePack.parse_command(&bytes).expect_err(json);
    assert_eq!((packed.code, &packed.field, packed.id), (refusal.code, &refusal.field, refusal.id));
    refusal
}

/// MessagePack by another hand than the encoder's.
fn pack(out: &mut Vec<u8>, value: &serde_json::Value) {
    use rmp::encode;
    use serde_json::Value;
    match value {
        Value::Null => encode::write_nil(out).expect("memory"),
        Value::Bool(value) => encode::write_bool(out, *value).expect("memory"),
        Value::Number(number) => match number.as_i64() {
            Some(number) => drop(encode::write_sint(out, number).expect("memory")),
            None => encode::write_f64(out, number.as_f64().expect("a number")).expect("memory"),
        },
        Value::String(text) => encode::write_str(out, text).expect("memory"),
        Value::Array(values) => {
            encode::write_array_len(out, values.len() as u32).expect("memory");
            values.iter().for_each(|value| pack(out, value));
        }
        Value::Object(pairs) => {
            encode::write_map_len(out, pairs.len() as u32).expect("memory");
            for (key, value) in pairs {
                encode::write_str(out, key).expect("memory");
                pack(out, value);
            }
        }
    }
}

#[test]
fn each_rule_names_its_field() {
    let cases = [
        (r#"{}"#, BadField, "op"),
        (r#"{"op":5}"#, BadField, "op"),
        (r#"{"op":"subscribe!"}"#, UnknownOp, "op"),
        (r#"{"op":"ping","now":1}"#, UnknownField, "now"),
        (r#"{"op":"ping","id":1.5}"#, BadField, "id"),
        (r#"{"op":"ping","id":"1"}"#, BadField, "id"),
        (r#"{"op":"ping","id":9007199254740992}"#, BadField, "id"),
        (r#"{"op":"subscribe"}"#, BadField, "symbols"),
        (r#"{"op":"subscribe","symbols":"A"}"#, BadField, "symbols"),
        (r#"{"op":"subscribe","symbols":["A",1]}"#, BadField, "symbols"),
        (r#"{"op":"subscribe","symbols":[],"channels":[]}"#, BadField, "channels"),
        (r#"{"op":"subscribe","symbols":[],"channels":["bar_1m"]}"#, UnknownChannel, "channels"),
        (r#"{"op":"unsubscribe","symbols":[],"channels":["Quote"]}"#, UnknownChannel, "channels"),
        (r#"{"op":"subscribe","symbols":[],"throttle_ms":60001}"#, BadField, "throttle_ms"),
        (r#"{"op":"subscribe","symbols":[],"throttle_ms":-1}"#, BadField, "throttle_ms"),
        (r#"{"op":"subscribe","symbols":[],"throttle_ms":1.0}"#, BadField, "throttle_ms"),
        (r#"{"op":"subscribe","symbols":[],"snapshot":1}"#, BadField, "snapshot"),
        (r#"{"op":"subscribe","symbols":[],"fields":[]}"#, BadField, "fields"),
        (r#"{"op":"subscribe","symbols":[],"fields":{"trade":[]}}"#, UnknownField, "fields.trade"),
        (r#"{"op":"subscribe","symbols":[],"fields":{"quote":[]}}"#, BadField, "fields.quote"),
        (r#"{"op":"subscribe","symbols":[],"fields":{"last":["bid"]}}"#, BadField, "fields.last"),
        (r#"{"op":"subscribe","symbols":[],"resume":{}}"#, BadField, "resume.epoch"),
        (r#"{"op":"subscribe","symbols":[],"resume":{"epoch":1}}"#, BadField, "resume.trades"),
        (
            r#"{"op":"subscribe","symbols":[],"resume":{"epoch":1,"trades":{"A":-1}}}"#,
            BadField,
            "resume.trades",
        ),
        (r#"{"op":"throttle"}"#, BadField, "throttle_ms"),
        (r#"{"op":"throttle","max_bytes_per_second":0}"#, BadField, "max_bytes_per_second"),
        (r#"{"op":"credit","frames":0}"#, BadField, "frames"),
        (r#"{"op":"ack"}"#, BadField, "frame"),
        (r#"{"op":"ack","frame":-1}"#, BadField, "frame"),
        (r#"{"op":"ack","frame":null}"#, BadField, "frame"),
        (r#"{"op":"history","symbol":"A"}"#, BadField, "channel"),
        (r#"{"op":"symbols","limit":0}"#, BadField, "limit"),
        (r#"{"op":"auth"}"#, BadField, "key"),
        (r#"{"op":"auth","key":"a","token":"b"}"#, BadField, "key"),
    ];
    for (json, code, field) in cases {
        let refusal = refusal(json);
        assert_eq!((refusal.code, refusal.field.as_deref()), (code, Some(field)), "{json}");
        let name = field.rsplit('.').next().unwrap_or(field);
        let named = refusal.message.contains(name) || matches!(code, UnknownOp | UnknownChannel);
        assert!(named, "{json}: {}", refusal.message);
    }
}

#[test]
fn the_rule_and_what_was_found_are_in_the_message() {
    let refusal = refusal(r#"{"op":"subscribe","symbols":["A"],"throttle_ms":"fast"}"#);
    assert_eq!(
        refusal.message,
        "throttle_ms: must be an integer from 0 to 60000, or nil, found text \"fast\""
    );
}

#[test]
fn the_id_is_echoed_wherever_it_stood() {
    assert_eq!(refusal(r#"{"op":"ack","frame":-1,"id":-7}"#).id, Some(-7));
    assert_eq!(refusal(r#"{"id":8,"op":"nothing"}"#).id, Some(8));
    assert_eq!(refusal(r#"{"op":"ping","x":{"id":1}}"#).id, None);
}

#[test]
fn a_long_or_odd_name_is_left_to_the_directory() {
    let long = "x".repeat(5_000);
    let json = format!(r#"{{"op":"subscribe","symbols":["*","{long}","a b","\u00c4"]}}"#);
    let command = Dialect::Json.parse_command(json.as_bytes()).expect("names are not checked");
    let Op::Subscribe(subscribe) = command.op else { panic!("{:?}", command.op) };
    assert_eq!(subscribe.symbols, ["*", &long, "a b", "Ä"]);
}

#[test]
fn nil_means_left_out_or_has_a_meaning_of_its_own() {
    let json = br#"{"op":"subscribe","id":null,"symbols":[],"channels":null,"throttle_ms":null}"#;
    let command = Dialect::Json.parse_command(json).expect("nil is allowed there");
    let Op::Subscribe(subscribe) = command.op else { panic!("{:?}", command.op) };
    assert_eq!((command.id, subscribe.channels, subscribe.throttle_ms), (None, None, Some(None)));
}

#[test]
fn keys_that_come_twice_are_refused() {
    for json in [
        r#"{"op":"ping","op":"ping"}"#,
        r#"{"op":"subscribe","symbols":[],"resume":{"epoch":1,"trades":{"A":1,"A":2}}}"#,
    ] {
        let refusal = Dialect::Json.parse_command(json.as_bytes()).expect_err(json);
        assert_eq!(refusal.code, BadField);
        assert!(refusal.message.contains("duplicate"), "{}", refusal.message);
    }
    let packed = b"\x82\xa2op\xa4ping\xa2op\xa4ping";
    let refusal = Dialect::MessagePack.parse_command(packed).expect_err("op comes twice");
    assert_eq!((refusal.code, refusal.field.as_deref()), (BadField, Some("op")));
}

#[test]
fn what_is_no_single_map_is_a_bad_message() {
    let packed: [&[u8]; 8] = [
        b"",
        b"\x90",
        b"\xc0",
        b"\xc1",
        b"\x81\xa2op\xa4ping\x00",
        b"\x81\xa2op\xa4pin",
        b"\x81\x01\x02",
        b"\x81\xa2op\xa1\xff",
    ];
    for bytes in packed {
        let refusal = Dialect::MessagePack.parse_command(bytes).expect_err("no map");
        assert_eq!((refusal.code, refusal.id), (BadMessage, None), "{bytes:02x?}");
    }
    for json in ["", "[]", "null", "{\"op\":\"ping\"} 1", "{\"op\":", "{'op':'ping'}", "\u{feff}{}"]
    {
        let refusal = Dialect::Json.parse_command(json.as_bytes()).expect_err(json);
        assert_eq!((refusal.code, refusal.id), (BadMessage, None), "{json}");
    }
    let refusal = Dialect::Json.parse_command(b"{\"op\":\"\xff\"}").expect_err("not UTF-8");
    assert_eq!(refusal.code, BadMessage);
}

#[test]
fn a_written_number_key_is_no_way_around_the_rules() {
    let json = br#"{"op":"ack","frame":{"$serde_json::private::Number":"x"}}"#;
    let refusal = Dialect::Json.parse_command(json).expect_err("not an integer");
    assert_eq!((refusal.code, refusal.field.as_deref()), (BadField, Some("frame")));
}
