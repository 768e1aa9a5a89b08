//! Requests to the admin listener, one connection each.

use std::{
    collections::BTreeMap,
    io::{Read, Write},
    net::TcpStream,
};

use serde_json::Value;

use crate::client::SILENCE_LIMIT;

/// What was answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }
}

/// Sends a request with further header lines, each with its line end.
pub(crate) fn ask(address: &str, method: &str, path: &str, headers: &str) -> Answer {
    let mut stream = TcpStream::connect(address).expect("the admin listener is there");
    stream.set_read_timeout(Some(SILENCE_LIMIT)).expect("a timeout can be set");
    let host =
        if headers.contains("Host:") { String::new() } else { format!("Host: {address}\r\n") };
    let request = format!("{method} {path} HTTP/1.1\r\n{host}Connection: close\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).expect("a request leaves");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("an answer");
    let (head, body) = text.split_once("\r\n\r\n").expect("a head");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    Answer { status: status.expect("a status"), body: body.to_owned() }
}

pub(crate) fn get(address: &str, path: &str) -> Answer {
    ask(address, "GET", path, "")
}

/// A scrape: each series by its name with labels, as written.
pub(crate) struct Scrape(pub(crate) BTreeMap<String, f64>);

impl Scrape {
    pub(crate) fn of(address: &str) -> Self {
        let answer = get(address, "/metrics");
        assert_eq!(answer.status, 200, "{}", answer.body);
        let series = answer.body.lines().filter(|line| !line.starts_with('#'));
        let pairs = series.filter_map(|line| line.rsplit_once(' '));
        Self(
            pairs
                .map(|(name, value)| (name.to_owned(), value.parse().expect("a number")))
                .collect(),
        )
    }

    /// The sum of a metric over its labels, those that have `part` in them.
    pub(crate) fn sum(&self, metric: &str, part: &str) -> f64 {
        let of_it = |name: &str| {
            let rest = name.strip_prefix(metric);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('{')) && name.contains(part)
        };
        let found: Vec<f64> =
            self.0.iter().filter(|(name, _)| of_it(name)).map(|(_, value)| *value).collect();
        assert!(!found.is_empty(), "no {metric} with {part:?} in\n{:#?}", self.0);
        found.into_iter().sum()
    }
}
