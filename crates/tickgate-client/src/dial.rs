//! From a URL to a WebSocket.

use std::{fmt, io, pin::Pin, sync::Arc, time::Duration};

use tickgate_protocol::dialect::Dialect;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{
        self, ClientRequestBuilder,
        http::{HeaderMap, Uri, header::RETRY_AFTER},
        protocol::WebSocketConfig,
    },
};

use crate::error::{ConnectError, Invalid};

/// Largest message taken from a gateway: 4 MiB. Frames have 16 KiB by default; the largest page of
/// the directory has less than this. A larger one ends the connection.
const MESSAGE_LIMIT_BYTES: usize = 4 * 1024 * 1024;

/// A connected byte stream: TCP, TLS over it, or anything else that is one.
pub trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> ByteStream for T {}

/// A byte stream on its way.
pub(crate) type DialFuture = Pin<Box<dyn Future<Output = io::Result<Box<dyn ByteStream>>> + Send>>;

/// How a byte stream to a gateway is opened.
pub(crate) type Dial = Arc<dyn Fn(Endpoint) -> DialFuture + Send + Sync>;

/// Where a gateway is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Name or address; an IPv6 address without its brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// True for `wss`: the stream is to be TLS.
    pub is_secure: bool,
}

pub(crate) type Socket = WebSocketStream<Box<dyn ByteStream>>;

/// What to connect to, and how.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) uri: Uri,
    pub(crate) endpoint: Endpoint,
    pub(crate) dialect: Dialect,
    pub(crate) user_agent: String,
    pub(crate) dial: Dial,
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target").field("uri", &self.uri).finish_non_exhaustive()
    }
}

/// # Errors
/// [`Invalid`] for what is no `ws` or `wss` URL with a host.
pub(crate) fn endpoint(url: &str) -> Result<(Uri, Endpoint), Invalid> {
    let invalid = |rule| Invalid { field: "url", rule, found: format!("{url:?}") };
    let uri: Uri = url.parse().map_err(|_| invalid("must be a URL"))?;
    let is_secure = match uri.scheme_str() {
        Some("ws") => false,
        Some("wss") => true,
        _ => return Err(invalid("must begin with ws:// or wss://")),
    };
    let host = uri.host().filter(|host| !host.is_empty()).ok_or(invalid("must name a host"))?;
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let port = uri.port_u16().unwrap_or(if is_secure { 443 } else { 80 });
    Ok((uri, Endpoint { host, port, is_secure }))
}

/// Plain TCP without Nagle's delay: acknowledgements are small and should leave at once.
pub(crate) fn tcp(endpoint: Endpoint) -> DialFuture {
    Box::pin(async move {
        let stream = TcpStream::connect((endpoint.host.as_str(), endpoint.port)).await?;
        stream.set_nodelay(true)?;
        Ok(Box::new(stream) as Box<dyn ByteStream>)
    })
}

/// Opens the stream and upgrades it.
pub(crate) async fn open(target: &Target) -> Result<Socket, ConnectError> {
    let stream = (target.dial)(target.endpoint.clone())
        .await
        .map_err(|error| ConnectError::Io(Arc::new(error)))?;
    let request = ClientRequestBuilder::new(target.uri.clone())
        .with_sub_protocol(target.dialect.subprotocol())
        .with_header("User-Agent", target.user_agent.clone());
    let config = WebSocketConfig::default()
        .max_message_size(Some(MESSAGE_LIMIT_BYTES))
        .max_frame_size(Some(MESSAGE_LIMIT_BYTES))
        .read_buffer_size(16 * 1024);
    match client_async_with_config(request, stream, Some(config)).await {
        Ok((socket, _)) => Ok(socket),
        Err(tungstenite::Error::Http(response)) => Err(ConnectError::Refused {
            status: response.status().as_u16(),
            retry_after: retry_after(response.headers()),
            message: words(response.body().as_deref().unwrap_or_default()),
        }),
        Err(tungstenite::Error::Io(error)) => Err(ConnectError::Io(Arc::new(error))),
        Err(error) => Err(ConnectError::Handshake { message: error.to_string() }),
    }
}

/// `Retry-After` in seconds; a date, which no gateway sends, counts as none.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// The first line of an answer, at most 200 characters of it.
fn words(body: &[u8]) -> String {
    String::from_utf8_lossy(body).lines().next().unwrap_or_default().chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_name_a_scheme_a_host_and_perhaps_a_port() {
        let endpoint_of = |url: &str| endpoint(url).expect("valid").1;
        let plain = endpoint_of("ws://127.0.0.1:7400/v1/stream");
        let expected = Endpoint { host: "127.0.0.1".into(), port: 7400, is_secure: false };
        assert_eq!(plain, expected);
        assert_eq!(endpoint_of("wss://md.example/v1/stream").port, 443);
        assert_eq!(endpoint_of("ws://[::1]:9/").host, "::1");
        for url in ["", "127.0.0.1:7400", "http://host/", "ws:///v1/stream", "ws://"] {
            assert!(endpoint(url).is_err(), "{url:?}");
        }
    }

    #[test]
    fn a_retry_after_is_a_number_of_seconds() {
        let mut headers = HeaderMap::new();
        assert_eq!(retry_after(&headers), None);
        for (value, wait) in [("7", Some(7)), (" 10 ", Some(10)), ("soon", None), ("-1", None)] {
            headers.insert(RETRY_AFTER, value.parse().expect("a header"));
            assert_eq!(retry_after(&headers), wait.map(Duration::from_secs), "{value}");
        }
    }
}
