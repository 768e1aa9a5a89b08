//! The admin listener answers what `docs/openapi.json` says, field by field, and nothing else.

use serde_json::Value;
use tickgate_protocol::{channel::Channels, command::Op, dialect::Dialect::MessagePack};

use crate::{
    client::Client,
    gateway::Gateway,
    http::{ask, get},
};

fn document() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/openapi.json");
    let text = std::fs::read_to_string(path).expect("the document is there");
    serde_json::from_str(&text).expect("JSON")
}

/// What is wrong with `value` under `schema`, with where it stands.
fn faults(document: &Value, schema: &Value, value: &Value, place: &str, found: &mut Vec<String>) {
    if let Some(reference) = schema["$ref"].as_str() {
        let pointer = reference.strip_prefix('#').expect("a reference within the document");
        let target = document.pointer(pointer).unwrap_or_else(|| panic!("no {reference}"));
        return faults(document, target, value, place, found);
    }
    if let Some(choices) = schema["oneOf"].as_array() {
        let fits = |choice: &Value| {
            let mut found = Vec::new();
            faults(document, choice, value, place, &mut found);
            found.is_empty()
        };
        if choices.iter().filter(|choice| fits(choice)).count() != 1 {
            found.push(format!("{place}: {value} is none of the choices"));
        }
        return;
    }
    let types: Vec<&str> = match &schema["type"] {
        Value::String(one) => vec![one],
        Value::Array(several) => several.iter().filter_map(Value::as_str).collect(),
        _ => return found.push(format!("{place}: the schema says no type")),
    };
    let is = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_u64() || number.is_i64() => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let fits = types.contains(&is) || (is == "integer" && types.contains(&"number"));
    if !fits {
        return found.push(format!("{place}: {value} is {is}, not {types:?}"));
    }
    if let (Some(allowed), false) = (schema["enum"].as_array(), value.is_null())
        && !allowed.contains(value)
    {
        found.push(format!("{place}: {value} is not one of {allowed:?}"));
    }
    match value {
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                faults(document, &schema["items"], item, &format!("{place}[{at}]"), found);
            }
        }
        Value::Object(fields) => {
            for required in schema["required"].as_array().into_iter().flatten() {
                let name = required.as_str().expect("a name");
                if !fields.contains_key(name) {
                    found.push(format!("{place}: {name} is missing"));
                }
            }
            for (name, field) in fields {
                match schema["properties"].get(name) {
                    Some(schema) => {
                        faults(document, schema, field, &format!("{place}.{name}"), found);
                    }
                    None if schema["additionalProperties"] == false => {
                        found.push(format!("{place}: {name} is not described"));
                    }
                    None => {}
                }
            }
        }
        _ => {}
    }
}

#[test]
fn every_answer_is_what_the_document_says() {
    let document = document();
    let gateway = Gateway::start("");
    let address = gateway.metrics_address();
    let mut client = Client::connect(&gateway.stream_url, MessagePack);
    client.command(Op::Credit { frames: Some(64) });
    client.command(Op::Throttle {
        symbols: None,
        throttle_ms: None,
        max_bytes_per_second: Some(Some(1_000_000)),
    });
    client.subscribe(["*"], Channels::ALL, 20);
    client.read_until(|client| client.readies == 1);
    let mut plain = Client::connect(&gateway.stream_url, MessagePack);
    plain.subscribe(["AAPL"], Channels::ALL, 0);
    plain.read_until(|client| client.readies == 1);

    let requests = [
        ("get", "/metrics", "/metrics", 200),
        ("get", "/healthz", "/healthz", 200),
        ("get", "/readyz", "/readyz", 200),
        ("get", "/admin/sessions", "/admin/sessions", 200),
        ("get", "/admin/sessions", "/admin/sessions?limit=0", 400),
        ("get", "/admin/sessions", "/admin/sessions?limit=1001", 400),
        ("get", "/admin/sessions", "/admin/sessions?limit=1000", 200),
        ("get", "/admin/sessions", "/admin/sessions?limits=1", 400),
        ("get", "/admin/symbols", "/admin/symbols?prefix=A&limit=3", 200),
        ("get", "/admin/symbols", "/admin/symbols?after=AAPL&limit=-1", 400),
        ("get", "/admin/config", "/admin/config", 200),
        ("get", "/admin/openapi.json", "/admin/openapi.json", 200),
        ("delete", "/admin/sessions/{id}", "/admin/sessions/99999", 404),
        ("delete", "/admin/sessions/{id}", "/admin/sessions/none", 400),
        ("delete", "/admin/sessions/{id}", "/admin/sessions/1", 200),
    ];
    let mut asked = Vec::new();
    for (method, route, path, status) in requests {
        let answer = ask(address, &method.to_uppercase(), path, "");
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.body);
        let described = &document["paths"][route][method]["responses"][status.to_string()];
        assert!(described.is_object(), "{method} {route} {status} is not described");
        if let Some(schema) = described["content"]["application/json"].get("schema") {
            let mut found = Vec::new();
            faults(&document, schema, &answer.json(), path, &mut found);
            assert!(found.is_empty(), "{method} {path}: {found:#?}");
        }
        asked.push((route.to_owned(), method.to_owned()));
    }
    // Whatever is described was asked for: a route that is not there would have been found out.
    for (route, methods) in document["paths"].as_object().expect("paths") {
        for method in methods.as_object().expect("methods").keys() {
            assert!(asked.contains(&(route.clone(), method.clone())), "{method} {route}");
        }
    }
    // Errors that need no route.
    let error = &document["components"]["schemas"]["Error"];
    for (method, path, status) in [("GET", "/nowhere", 404), ("POST", "/metrics", 405)] {
        let answer = ask(address, method, path, "");
        assert_eq!(answer.status, status);
        let mut found = Vec::new();
        faults(&document, error, &answer.json(), path, &mut found);
        assert!(found.is_empty(), "{found:#?}");
    }
    let sessions = get(address, "/admin/sessions").json();
    assert_eq!(sessions["workers"], sessions["workers_up"]);
}

#[test]
fn what_the_document_does_not_say_is_found() {
    let document = document();
    let schema = &document["components"]["schemas"]["Kicked"];
    let right = serde_json::json!({"id": 1, "reason": "kicked"});
    let count = |value: &Value| {
        let mut found = Vec::new();
        faults(&document, schema, value, "", &mut found);
        found.len()
    };
    assert_eq!(count(&right), 0);
    for wrong in [
        serde_json::json!({"id": 1}),
        serde_json::json!({"id": "1", "reason": "kicked"}),
        serde_json::json!({"id": 1, "reason": "bored"}),
        serde_json::json!({"id": 1, "reason": "kicked", "more": 1}),
        serde_json::json!([]),
    ] {
        assert_eq!(count(&wrong), 1, "{wrong}");
    }
}
