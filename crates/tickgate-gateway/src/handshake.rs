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
    /// A request that announces a body: its bytes could not be told from WebSocket frames.
    #[error("a WebSocket handshake has no body")]
    Body,
    /// None of the offered subprotocols is spoken here.
    #[error("no offered subprotocol is supported; supported are {}, or offer none for {}", supported(), Dialect::ALL[0].subprotocol())]
    Subprotocol,
    /// A browser page of a site that is not on the list.
    #[error("origin `{origin}` is not allowed here")]
    Origin {
        /// As the browser sent it.
        origin: String,
    },
    /// As many sessions as are allowed.
    #[error("the gateway is full: try again later")]
    Full,
    /// Workers that cannot keep up with handshakes.
    #[error("the gateway is busy: try again later")]
    Busy,
    /// Memory is near its limit.
    #[error("the gateway is short of memory: try again later")]
    Memory,
    /// The gateway is shutting down.
    #[error("the gateway is shutting down: reconnect elsewhere or later")]
    Draining,
}

impl Refusal {
    /// The metric labels, by [`Refusal::position`].
    pub(crate) const LABELS: [&'static str; 12] = [
        "method",
        "http_version",
        "no_upgrade",
        "websocket_version",
        "key",
        "body",
        "subprotocol",
        "origin",
        "full",
        "busy",
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
            Self::Body => 5,
            Self::Subprotocol => 6,
            Self::Origin { .. } => 7,
            Self::Full => 8,
            Self::Busy => 9,
            Self::Memory => 10,
            Self::Draining => 11,
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
            Self::Key | Self::Body | Self::Subprotocol => StatusCode::BAD_REQUEST,
            Self::Origin { .. } => StatusCode::FORBIDDEN,
            Self::Full | Self::Busy | Self::Memory | Self::Draining => {
                StatusCode::SERVICE_UNAVAILABLE
            }
        }
    }

    /// The answer: status, the headers that tell a program what would have been right, and one
    /// line that tells a person. `retry_after_s` is said where trying again may help.
    #[must_use]
    pub fn response(&self, retry_after_s: u64) -> Response {
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
            Self::Full | Self::Busy | Self::Memory | Self::Draining => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from(retry_after_s));
            }
            Self::HttpVersion { .. }
            | Self::Key
            | Self::Body
            | Self::Subprotocol
            | Self::Origin { .. } => {}
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
    check_with(request, allowed_origins, choose_dialect)
}

fn check_with<B>(
    request: &http::Request<B>,
    allowed_origins: &[String],
    dialects: fn(&HeaderMap) -> Result<Option<Dialect>, Refusal>,
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
    let no_body = only(headers, &header::CONTENT_LENGTH).is_some_and(|length| length == "0");
    if headers.contains_key(header::TRANSFER_ENCODING)
        || (headers.contains_key(header::CONTENT_LENGTH) && !no_body)
    {
        return Err(Refusal::Body);
    }
    let subprotocol = dialects(headers)?;
    check_origin(headers, allowed_origins)?;
    Ok(Accepted {
        dialect: subprotocol.unwrap_or(Dialect::ALL[0]),
        subprotocol: subprotocol.map(Dialect::subprotocol),
        accept_key: derive_accept_key(key.as_bytes()),
    })
}

/// The same for the echo route, which knows no subprotocols: what is offered is left unanswered.
pub(crate) fn check_echo<B>(
    request: &http::Request<B>,
    allowed_origins: &[String],
) -> Result<Accepted, Refusal> {
    check_with(request, allowed_origins, |_| Ok(None))
}

/// The gateway's favourite among the dialects offered; `None` when nothing was offered, or only
/// empty names.
fn choose_dialect(headers: &HeaderMap) -> Result<Option<Dialect>, Refusal> {
    let name = header::SEC_WEBSOCKET_PROTOCOL;
    if headers.get_all(&name).into_iter().any(|value| value.to_str().is_err()) {
        return Err(Refusal::Subprotocol);
    }
    let mut offers = tokens(headers, &name).peekable();
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
    if allowed.is_empty() {
        return Ok(());
    }
    // Who sends several has no browser behind it, and each must do.
    for origin in headers.get_all(header::ORIGIN) {
        let text = String::from_utf8_lossy(origin.as_bytes());
        let bare = without_default_port(&text);
        let matches = |entry: &String| without_default_port(entry).eq_ignore_ascii_case(bare);
        if !allowed.iter().any(matches) {
            let origin = text.chars().take(ORIGIN_SHOWN_CHARS).collect();
            return Err(Refusal::Origin { origin });
        }
    }
    Ok(())
}

/// Of a foreign origin, so much is said back and logged.
const ORIGIN_SHOWN_CHARS: usize = 100;

/// Browsers leave out the port that the scheme implies (RFC 6454, section 6.1); who writes it, in
/// the configuration or in a program, means the same origin.
fn without_default_port(origin: &str) -> &str {
    let port = match origin.split_once("://") {
        Some((scheme, _)) if scheme.eq_ignore_ascii_case("https") => ":443",
        Some((scheme, _)) if scheme.eq_ignore_ascii_case("http") => ":80",
        _ => return origin,
    };
    origin.strip_suffix(port).unwrap_or(origin)
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
    use crate::admission::TurnedAway;

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
            ("tickgate.v1.json,tickgate.v1.json", Dialect::Json),
            (" ,, tickgate.v1.json ,", Dialect::Json),
        ] {
            let accepted = offered(value).expect(value);
            assert_eq!(accepted.dialect, dialect, "{value}");
            let answer = accepted.response();
            assert_eq!(answer.headers()["sec-websocket-protocol"], dialect.subprotocol());
        }
        for nothing in ["", " , "] {
            let accepted = offered(nothing).expect("as if none were offered");
            assert_eq!(accepted.dialect, Dialect::MessagePack);
            assert!(!accepted.response().headers().contains_key("sec-websocket-protocol"));
        }
        let spread =
            [("sec-websocket-protocol", "other"), ("sec-websocket-protocol", "tickgate.v1.json")];
        assert_eq!(check(&request(&spread), &[]).expect("spoken").dialect, Dialect::Json);
        let mut strange = request(&[]);
        let value = HeaderValue::from_bytes(b"tickgate.v1.json\xff").expect("a header value");
        strange.headers_mut().insert("sec-websocket-protocol", value);
        assert_eq!(check(&strange, &[]), Err(Refusal::Subprotocol));
        assert_eq!(offered("TICKGATE.V1.JSON").err(), Some(Refusal::Subprotocol));
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
            (request(&[("content-length", "5")]), Refusal::Body),
            (request(&[("content-length", "0"), ("content-length", "0")]), Refusal::Body),
            (request(&[("transfer-encoding", "chunked")]), Refusal::Body),
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
        assert!(from("https://desk.example:443").is_ok(), "the port that https implies");
        for origin in [
            "https://desk.example.evil.example",
            "http://desk.example",
            "https://desk.example:444",
            "https://desk.example:80",
            "https://desk.example/",
            "https://desk.example evil",
            "desk.example",
            "null",
            "",
        ] {
            assert_eq!(from(origin), Err(Refusal::Origin { origin: origin.to_owned() }));
        }
        let with_port =
            ["http://desk.example:80".to_owned(), "http://desk.example:8080".to_owned()];
        for origin in ["http://desk.example", "http://desk.example:8080"] {
            assert!(check(&request(&[("origin", origin)]), &with_port).is_ok(), "{origin}");
        }
        let both = [("origin", "https://desk.example"), ("origin", "https://evil.example")];
        let evil = Refusal::Origin { origin: "https://evil.example".to_owned() };
        assert_eq!(check(&request(&both), &allowed), Err(evil));
        let long = "x".repeat(10_000);
        let refusal = from(&long).expect_err("foreign").to_string();
        assert!(refusal.len() < 200, "what is said back is bounded: {}", refusal.len());
        assert!(check(&request(&[("origin", "null")]), &[]).is_ok(), "an empty list allows any");
    }

    #[test]
    fn the_protocol_document_names_every_refusal_with_its_status() {
        let document = include_str!("../../../docs/PROTOCOL.md");
        let (method, version) = (Method::POST, Version::HTTP_10);
        let refusals = [
            Refusal::Method { method },
            Refusal::HttpVersion { version },
            Refusal::NoUpgrade,
            Refusal::WebSocketVersion,
            Refusal::Key,
            Refusal::Body,
            Refusal::Subprotocol,
            Refusal::Origin { origin: String::new() },
            Refusal::Full,
            Refusal::Busy,
            Refusal::Memory,
            Refusal::Draining,
        ];
        assert_eq!(refusals.each_ref().map(Refusal::label), Refusal::LABELS);
        let refused = refusals.iter().map(|refusal| (refusal.status(), refusal.label()));
        let turned = TurnedAway::ALL.iter().map(|why| (why.status(), why.label()));
        for (status, label) in refused.chain(turned) {
            let row = format!("\n| {} | `{label}` | ", status.as_u16());
            assert!(document.contains(&row), "the document has no row {row:?}");
        }
    }

    #[test]
    fn labels_are_distinct_and_in_position() {
        let mut labels = Refusal::LABELS.to_vec();
        labels.sort_unstable();
        labels.dedup();
        assert_eq!(labels.len(), Refusal::LABELS.len());
        assert_eq!(Refusal::Draining.label(), "draining");
        assert_eq!(Refusal::Busy.label(), "busy");
        assert_eq!(Refusal::Full.label(), "full");
        assert_eq!(Refusal::Body.label(), "body");
        assert_eq!(Refusal::Key.label(), "key");
    }
}
