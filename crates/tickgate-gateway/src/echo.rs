//! The echo route: every message comes back as it is. It is what public conformance suites are
//! pointed at, so it is a whole WebSocket (tokio-tungstenite), unlike the stream, which reads and
//! writes frames of its own. Off by default.
//!
//! Where data waits: one message and one frame, 16 MiB each, for each of at most
//! [`CONNECTION_LIMIT`] connections; past it a handshake is refused with 503
//! (`handshakes_refused_total{reason="full"}`). A client that does not read its echo is not read.

use std::{sync::Arc, time::Duration};

use futures_util::{SinkExt, StreamExt};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};
use tokio_tungstenite::WebSocketStream;
use tungstenite::{
    Error, Message, Utf8Bytes,
    protocol::{CloseFrame, Role, WebSocketConfig, frame::coding::CloseCode},
};

/// Where it is.
pub(crate) const ECHO_PATH: &str = "/echo";

/// Most echo connections at once.
const CONNECTION_LIMIT: usize = 64;

/// Largest message and largest frame of one, bytes. A message may come in any number of pieces.
const MESSAGE_LIMIT_BYTES: usize = 16 << 20;

/// Longest wait for the next message, and for an answer to leave.
const IDLE_LIMIT: Duration = Duration::from_secs(60);

/// How long a client may take to answer a close frame.
const CLOSE_WITHIN: Duration = Duration::from_secs(1);

/// The places of the route.
#[derive(Debug, Clone)]
pub(crate) struct EchoRoom(Arc<Semaphore>);

impl EchoRoom {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Semaphore::new(CONNECTION_LIMIT)))
    }

    /// A place, if there is one.
    pub(crate) fn enter(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.0).try_acquire_owned().ok()
    }
}

/// Echoes until the client closes, breaks the protocol or is silent for a minute.
pub(crate) async fn echo(upgrade: OnUpgrade, place: OwnedSemaphorePermit) {
    if let Ok(upgraded) = upgrade.await {
        serve(upgraded).await;
    }
    drop(place);
}

async fn serve(upgraded: Upgraded) {
    let config = WebSocketConfig::default()
        .max_message_size(Some(MESSAGE_LIMIT_BYTES))
        .max_frame_size(Some(MESSAGE_LIMIT_BYTES));
    let io = TokioIo::new(upgraded);
    let mut socket = WebSocketStream::from_raw_socket(io, Role::Server, Some(config)).await;
    let code = loop {
        match timeout(IDLE_LIMIT, socket.next()).await {
            Ok(Some(Ok(message @ (Message::Text(_) | Message::Binary(_))))) => {
                match timeout(IDLE_LIMIT, socket.send(message)).await {
                    Ok(Ok(())) => {}
                    Ok(Err(_)) | Err(_) => return,
                }
            }
            // Pings are answered by the socket itself, and so is the client's close: reading on
            // lets the answers leave.
            Ok(Some(Ok(_))) => {}
            Ok(Some(Err(error))) => match code_of(&error) {
                Some(code) => break code,
                None => return,
            },
            Ok(None) => return,
            Err(_) => break CloseCode::Away,
        }
    };
    // The socket reports what was wrong and leaves it to us to say so.
    let frame = CloseFrame { code, reason: Utf8Bytes::from_static("") };
    let closing = async {
        if socket.send(Message::Close(Some(frame))).await.is_ok() {
            drain(socket).await;
        }
    };
    // A client that does not answer is closed all the same.
    let _ = timeout(CLOSE_WITHIN, closing).await;
}

/// Throws away what the client still sends: a socket closed with unread bytes in it is reset, and
/// the close frame lost with it.
async fn drain(socket: WebSocketStream<TokioIo<Upgraded>>) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut io = socket.into_inner();
    let _ = io.shutdown().await;
    let mut unread = [0; 4096];
    while io.read(&mut unread).await.is_ok_and(|bytes| bytes > 0) {}
}

/// The close code of RFC 6455, section 7.4.1, for what was wrong; `None` where the connection is
/// gone.
fn code_of(error: &Error) -> Option<CloseCode> {
    match error {
        Error::Utf8(_) => Some(CloseCode::Invalid),
        Error::Capacity(_) => Some(CloseCode::Size),
        Error::Protocol(tungstenite::error::ProtocolError::ResetWithoutClosingHandshake) => None,
        Error::Protocol(_) => Some(CloseCode::Protocol),
        _ => None,
    }
}
