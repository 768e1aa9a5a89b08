//! The acceptor: takes connections and speaks HTTP/1.1 on them, with a limit on everything.
//!
//! Plain hyper under an axum router, because `axum::serve` sets no limits.

use std::{fs::File, io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{Extension, Router};
use http::Request;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{sleep, timeout},
};
use tower::ServiceExt;

use crate::{
    config::GatewayConfig,
    counters::{Counters, count},
};

/// Who is at the other end of a connection, as an extension of its requests.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) SocketAddr);

/// Longest life of a connection that stays HTTP, however it trickles. Pages load in seconds;
/// sessions are no longer HTTP.
const HTTP_LIFE: Duration = Duration::from_secs(60);

/// First and longest pause after an accept that failed for want of something.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// Accepts until dropped. Connections already accepted go on without it.
pub(crate) async fn accept(
    listener: TcpListener,
    router: Router,
    config: &GatewayConfig,
    counters: Arc<Counters>,
) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(config.request_head_age)
        .max_header_size(config.request_head_limit_bytes)
        .max_buf_size(config.request_head_limit_bytes.max(8 * 1024));
    let slots = Arc::new(Semaphore::new(config.http_connection_limit));
    let mut spare = Spare::new();
    let mut pause = BACKOFF.0;
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            // The client gave up between its connect and our accept.
            Err(error) if is_of_the_connection(&error) => continue,
            Err(error) => {
                count(&counters.accept_errors);
                tracing::warn!(%error, pause_ms = pause.as_millis(), "accept failed");
                spare.turn_one_away(&listener, &error).await;
                sleep(pause).await;
                pause = (pause * 2).min(BACKOFF.1);
                continue;
            }
        };
        pause = BACKOFF.0;
        count(&counters.accepted);
        let Ok(slot) = Arc::clone(&slots).try_acquire_owned() else {
            count(&counters.turned_away);
            continue;
        };
        let (http, router) = (http.clone(), router.clone());
        tokio::spawn(async move {
            speak(http, stream, peer, router).await;
            drop(slot);
        });
    }
}

/// Serves one connection until it closes, upgrades or outlives its time.
async fn speak(http: http1::Builder, stream: TcpStream, peer: SocketAddr, router: Router) {
    let router = router.layer(Extension(Peer(peer)));
    let service = service_fn(move |request: Request<Incoming>| router.clone().oneshot(request));
    let connection = http.serve_connection(TokioIo::new(stream), service).with_upgrades();
    match timeout(HTTP_LIFE, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%peer, %error, "http connection ended"),
        Err(_) => tracing::debug!(%peer, "http connection outlived its time"),
    }
}

fn is_of_the_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

/// A descriptor kept for the day there are none left: giving it up lets one waiting client be
/// accepted and closed, so that it learns at once instead of hanging in the backlog.
struct Spare(Option<File>);

impl Spare {
    fn new() -> Self {
        Self(File::open("/dev/null").ok())
    }

    async fn turn_one_away(&mut self, listener: &TcpListener, error: &io::Error) {
        // EMFILE and ENFILE, from errno(3): the process or the system is out of descriptors.
        let out_of_descriptors = matches!(error.raw_os_error(), Some(24 | 23));
        if !out_of_descriptors || self.0.take().is_none() {
            *self = Self::new();
            return;
        }
        // It was waiting when the accept failed, so this does not wait for long; should it have
        // left meanwhile, the next client is no worse off being turned away.
        let _ = timeout(BACKOFF.0, listener.accept()).await;
        *self = Self::new();
    }
}
