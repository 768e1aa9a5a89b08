//! Which WebSocket upgrades are accepted, which dialect they choose, and what a refused one is
//! told.
//!
//! Extensions are never negotiated: frames are small binary deltas, and permessage-deflate would
//! cost a window of memory for each connection. Offering it is fine; the answer leaves it out.

use axum::{body::Body, response::Response};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version, header};
use tickgate_protocol::dialect::Dialect;
use tungstenite::handshake::derive_accept_key;

/// An upgrade that may go ahead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// How the session will speak.
    pub dialect: Dialect,
    /// The subprotocol to name in the answer; `None` when the client offered none.
    subprotocol: Option<&'static str>,
    /// `Sec-WebSocket-Accept`.
    accept_key: String,
}

/// Why an upgrade is refused: one closed list for the answer and the metric label.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Any method but GET.
    #[error("a WebSocket handshake is a GET, not a {method}")]
    Method {
        /// What it was.
        method: Method,
    },
    /// HTTP/1.0, which cannot upgrade.
    #[error("a WebSocket handshake needs HTTP/1.1, not {version:?}")]
    HttpVersion {
        /// What it was.
        version: Version,
    },
    /// A plain request for the stream.
    #[error(
        "this is a WebSocket stream: the request needs `Connection: Upgrade` and `Upgrade: websocket`"
    )]
    NoUpgrade,
    /// A WebSocket draft, or no version at all.
    #[error("`Sec-WebSocket-Version` must be 13")]
    WebSocketVersion,
    /// No key, several, or not 16 bytes of base64.
    #[error("the request needs exactly one `Sec-WebSocket-Key` of 16 bytes in base64")]
    Key,
    /// None of the offered subprotocols is spoken here.
    #[error("no offered subprotocol is supported; supported are {}, or offer none for {}", supported(), Dialect::ALL[0].subprotocol())]
    Subprotocol,
    /// A browser page of a site that is not on the list.
    #[error("origin `{origin}` is not allowed here")]
    Origin {
        /// As the browser sent it.
        origin: String,
    },
    /// As many sessions as are allowed, or workers that cannot keep up with handshakes.
    #[error("the gateway is full: try again later")]
    Full,
    /// Memory is near its limit.
    #[error("the gateway is short of memory: try again later")]
    Memory,
    /// The gateway is shutting down.
    #[error("the gateway is shutting down: reconnect elsewhere or later")]
    Draining,
}

impl Refusal {
    /// The metric labels, by [`Refusal::position`].
    pub(crate) const LABELS: [&'static str; 10] = [
        "method",
        "http_version",
        "no_upgrade",
        "websocket_version",
        "key",
        "subprotocol",
        "origin",
        "full",
        "memory",
        "draining",
    ];

    /// Where this reason stands in [`Refusal::LABELS`].
    pub(crate) const fn position(&self) -> usize {
        match self {
            Self::Method { .. } => 0,
            Self::HttpVersion { .. } => 1,
            Self::NoUpgrade => 2,
            Self::WebSocketVersion => 3,
            Self::Key => 4,
            Self::Subprotocol => 5,
            Self::Origin { .. } => 6,
            Self::Full => 7,
            Self::Memory => 8,
            Self::Draining => 9,
        }
    }

    /// The metric label and log field.
    #[must_use]
    pub const fn label(&self) -> &'static str {
        Self::LABELS[self.position()]
    }

    /// The HTTP status it is answered with.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        match self {
            Self::Method { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Self::HttpVersion { .. } => StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            Self::NoUpgrade | Self::WebSocketVersion => StatusCode::UPGRADE_REQUIRED,
            Self::Key | Self::Subprotocol => StatusCode::BAD_REQUEST,
            Self::Origin { .. } => StatusCode::FORBIDDEN,
            Self::Full | Self::Memory | Self::Draining => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// The answer: status, the headers that tell a program what would have been right, and one
    /// line that tells a person.
    #[must_use]
    pub fn response(&self) -> Response {
        let mut response = Response::new(Body::from(format!("{self}\n")));
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        let mut set = |name: HeaderName, value: &'static str| {
            headers.insert(name, HeaderValue::from_static(value));
        };
        set(header::CONTENT_TYPE, "text/plain; charset=utf-8");
        // Whatever followed the request was meant for a WebSocket, not for HTTP.
        set(header::CONNECTION, "close");
        match self {
            Self::Method { .. } => set(header::ALLOW, "GET"),
            Self::NoUpgrade | Self::WebSocketVersion => {
                set(header::UPGRADE, "websocket");
                set(header::CONNECTION, "close, upgrade");
                if matches!(self, Self::WebSocketVersion) {
                    set(header::SEC_WEBSOCKET_VERSION, "13");
                }
            }
            Self::Full | Self::Memory | Self::Draining => set(header::RETRY_AFTER, "1"),
            Self::HttpVersion { .. } | Self::Key | Self::Subprotocol | Self::Origin { .. } => {}
        }
        response
    }
}

impl Accepted {
    /// The 101 that turns the connection into a WebSocket.
    #[must_use]
    pub fn response(&self) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        // An accept key is base64, which is always a header value.
        if let Ok(accept_key) = HeaderValue::from_str(&self.accept_key) {
            headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept_key);
        }
        if let Some(name) = self.subprotocol {
            headers.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(name));
        }
        response
    }
}

/// Checks an upgrade request against RFC 6455 section 4.2.1 and this gateway's own rules.
///
/// # Errors
/// The first rule that is broken, in the order of [`Refusal`].
pub fn check<B>(
    request: &http::Request<B>,
    allowed_origins: &[String],
) -> Result<Accepted, Refusal> {
    let headers = request.headers();
    if request.method() != Method::GET {
        return Err(Refusal::Method { method: request.method().clone() });
    }
    if request.version() != Version::HTTP_11 {
        return Err(Refusal::HttpVersion { version: request.version() });
    }
    let upgrades = tokens(headers, &header::CONNECTION)
        .any(|token| token.eq_ignore_ascii_case("upgrade"))
        && tokens(headers, &header::UPGRADE).any(|token| token.eq_ignore_ascii_case("websocket"));
    if !upgrades {
        return Err(Refusal::NoUpgrade);
    }
    if only(headers, &header::SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        return Err(Refusal::WebSocketVersion);
    }
    let key = only(headers, &header::SEC_WEBSOCKET_KEY)
        .filter(|key| is_base64_of_16_bytes(key.as_bytes()))
        .ok_or(Refusal::Key)?;
    let subprotocol = choose_dialect(headers)?;
    check_origin(headers, allowed_origins)?;
    Ok(Accepted {
        dialect: subprotocol.unwrap_or(Dialect::ALL[0]),
        subprotocol: subprotocol.map(Dialect::subprotocol),
        accept_key: derive_accept_key(key.as_bytes()),
    })
}

/// The gateway's favourite among the dialects offered; `None` when nothing was offered.
fn choose_dialect(headers: &HeaderMap) -> Result<Option<Dialect>, Refusal> {
    let mut offers = tokens(headers, &header::SEC_WEBSOCKET_PROTOCOL).peekable();
    if offers.peek().is_none() {
        return Ok(None);
    }
    let offers: Vec<&str> = offers.collect();
    let spoken = |dialect: &Dialect| offers.contains(&dialect.subprotocol());
    Dialect::ALL.into_iter().find(spoken).map(Some).ok_or(Refusal::Subprotocol)
}

/// Browsers cannot forge `Origin`, other programs need not send it: the list keeps foreign pages
/// out and is no authentication.
fn check_origin(headers: &HeaderMap, allowed: &[String]) -> Result<(), Refusal> {
    let Some(origin) = headers.get(header::ORIGIN) else { return Ok(()) };
    let matches = |entry: &String| entry.as_bytes().eq_ignore_ascii_case(origin.as_bytes());
    if allowed.is_empty() || allowed.iter().any(matches) {
        return Ok(());
    }
    let origin = String::from_utf8_lossy(origin.as_bytes()).into_owned();
    Err(Refusal::Origin { origin })
}

/// The members of a comma-separated list that may be spread over several header lines.
fn tokens<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    headers
        .get_all(name)
        .into_iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .filter(|token| !token.is_empty())
}

/// The value of a header that appears exactly once.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).into_iter();
    let first = values.next()?;
    if values.next().is_some() { None } else { first.to_str().ok().map(str::trim) }
}

/// 16 bytes are 22 characters of base64 and two of padding; the last character carries two bits
/// of data, so the other four must be zero: one of `A`, `Q`, `g`, `w`.
fn is_base64_of_16_bytes(key: &[u8]) -> bool {
    let alphabet = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/');
    key.len() == 24
        && key.ends_with(b"==")
        && key[..22].iter().all(alphabet)
        && matches!(key[21], b'A' | b'Q' | b'g' | b'w')
}

fn supported() -> String {
    Dialect::ALL.map(Dialect::subprotocol).join(" and ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 6455, section 1.3.
    const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
    const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

    fn request(extra: &[(&str, &str)]) -> http::Request<()> {
        let mut builder = http::Request::get("/v1/stream")
            .header("connection", "keep-alive, Upgrade")
            .header("upgrade", "WebSocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", KEY);
        for (name, value) in extra {
            builder = builder.header(*name, *value);
        }
        builder.body(()).expect("a valid request")
    }

    fn changed(name: &'static str, value: Option<&'static str>) -> http::Request<()> {
        let mut request = request(&[]);
        request.headers_mut().remove(name);
        if let Some(value) = value {
            request.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        request
    }

    #[test]
    fn the_example_of_the_rfc_is_accepted() {
        let accepted = check(&request(&[]), &[]).expect("accepted");
        assert_eq!(accepted.dialect, Dialect::MessagePack);
        let response = accepted.response();
        assert_eq!(response.status(), 101);
        assert_eq!(response.headers()["sec-websocket-accept"], ACCEPT);
        assert!(!response.headers().contains_key("sec-websocket-protocol"));
    }

    #[test]
    fn compression_is_declined_by_leaving_it_out() {
        let offer = [("sec-websocket-extensions", "permessage-deflate; client_max_window_bits")];
        let accepted = check(&request(&offer), &[]).expect("accepted");
        assert!(!accepted.response().headers().contains_key("sec-websocket-extensions"));
    }

    #[test]
    fn a_subprotocol_chooses_the_dialect() {
        let offered = |value| check(&request(&[("sec-websocket-protocol", value)]), &[]);
        for (value, dialect) in [
            ("tickgate.v1.json", Dialect::Json),
            ("other, tickgate.v1.json", Dialect::Json),
            ("tickgate.v1.msgpack", Dialect::MessagePack),
            // Both: the gateway's favourite, whatever the order of the offer.
            ("tickgate.v1.json, tickgate.v1.msgpack", Dialect::MessagePack),
        ] {
            let accepted = offered(value).expect(value);
            assert_eq!(accepted.dialect, dialect, "{value}");
            let answer = accepted.response();
            assert_eq!(answer.headers()["sec-websocket-protocol"], dialect.subprotocol());
        }
        let refusal = offered("tickgate.v2.msgpack").expect_err("unknown");
        assert_eq!(refusal, Refusal::Subprotocol);
        let text = refusal.to_string();
        assert!(Dialect::ALL.iter().all(|d| text.contains(d.subprotocol())), "{text}");
    }

    #[test]
    fn each_broken_rule_is_named() {
        let cases = [
            (changed("connection", None), Refusal::NoUpgrade),
            (changed("connection", Some("keep-alive")), Refusal::NoUpgrade),
            (changed("upgrade", Some("h2c")), Refusal::NoUpgrade),
            (changed("sec-websocket-version", None), Refusal::WebSocketVersion),
            (changed("sec-websocket-version", Some("8")), Refusal::WebSocketVersion),
            (changed("sec-websocket-key", None), Refusal::Key),
            (changed("sec-websocket-key", Some("")), Refusal::Key),
            (changed("sec-websocket-key", Some("dGhlIHNhbXBsZSBub25jZQ")), Refusal::Key),
            (changed("sec-websocket-key", Some("dGhlIHNhbXBsZSBub25jZR==")), Refusal::Key),
            (changed("sec-websocket-key", Some("dGhlIHNhbXBsZSBub25jZSE=")), Refusal::Key),
            (request(&[("sec-websocket-key", KEY)]), Refusal::Key),
        ];
        for (request, refusal) in cases {
            assert_eq!(check(&request, &[]), Err(refusal), "{request:?}");
        }
        let mut post = request(&[]);
        *post.method_mut() = Method::POST;
        assert_eq!(check(&post, &[]), Err(Refusal::Method { method: Method::POST }));
        let mut old = request(&[]);
        *old.version_mut() = Version::HTTP_10;
        assert_eq!(check(&old, &[]), Err(Refusal::HttpVersion { version: Version::HTTP_10 }));
    }

    #[test]
    fn an_origin_list_binds_browsers_only() {
        let allowed = ["https://desk.example".to_owned()];
        let from = |origin| check(&request(&[("origin", origin)]), &allowed);
        assert!(from("https://desk.example").is_ok());
        assert!(from("https://DESK.example").is_ok());
        assert!(check(&request(&[]), &allowed).is_ok(), "no browser, no origin");
        for origin in ["https://desk.example.evil.example", "http://desk.example", "null"] {
            assert_eq!(from(origin), Err(Refusal::Origin { origin: origin.to_owned() }));
        }
        assert!(check(&request(&[("origin", "null")]), &[]).is_ok(), "an empty list allows any");
    }

    #[test]
    fn labels_are_distinct_and_in_position() {
        let mut labels = Refusal::LABELS.to_vec();
        labels.sort_unstable();
        labels.dedup();
        assert_eq!(labels.len(), Refusal::LABELS.len());
        assert_eq!(Refusal::Draining.label(), "draining");
        assert_eq!(Refusal::Key.label(), "key");
    }
}
