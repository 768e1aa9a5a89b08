//! The acceptor: takes connections and speaks HTTP/1.1 on them, with a limit on everything.
//!
//! Plain hyper under an axum router, because `axum::serve` sets no limits.

use std::{
    fs::File,
    io,
    net::SocketAddr,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use axum::Router;
use http::Request;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{sleep, timeout},
};
use tower::ServiceExt;

use crate::{
    admission::{AddressSeat, Admission, TurnedAway},
    config::GatewayConfig,
    counters::{Counters, count},
    turn_away::Doorman,
};

/// Who is at the other end of a connection, as an extension of its requests.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    /// Its place among the connections of its address, where those are limited, for as long as anybody
    /// holds it.
    pub(crate) seat: Option<Arc<AddressSeat>>,
}

/// Longest life of a connection that stays HTTP, however it trickles. Pages load in seconds;
/// sessions are no longer HTTP.
const HTTP_LIFE: Duration = Duration::from_secs(60);

/// First and longest pause after an accept that failed for want of something. Ten tries a second
/// cost next to nothing, and whoever waits is served within a tenth of a second of there being
/// something again.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(100));

/// Failed accepts are logged this often at most.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// Accepts until dropped. Connections already accepted go on without it.
///
/// While `http_connection_limit` connections are in HTTP nothing is accepted: who comes waits in
/// the kernel's backlog, which costs neither memory nor a descriptor here. `admission` decides on
/// each that is accepted; without it everybody may come.
pub(crate) async fn accept(
    listener: TcpListener,
    router: Router,
    config: &GatewayConfig,
    mut admission: Option<Admission>,
    doorman: Doorman,
    counters: Arc<Counters>,
) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(config.request_head_age)
        .max_header_size(config.request_head_limit_bytes)
        .max_buf_size(config.request_head_limit_bytes.max(8 * 1024));
    let slots = Arc::new(Semaphore::new(config.http_connection_limit));
    let mut spare = Spare::new();
    loop {
        let slot = free_slot(&slots, &counters).await;
        let (stream, address) = accept_one(&listener, &mut spare, &doorman, &counters).await;
        count(&counters.accepted);
        let seat = match admission.as_mut().map(|each| each.admit(Instant::now(), address.ip())) {
            None => None,
            Some(Ok(seat)) => seat.map(Arc::new),
            Some(Err(why)) => {
                counters.turn_away(why);
                tracing::debug!(peer = %address, reason = why.label(), "connection turned away");
                doorman.turn_away(stream, why);
                continue;
            }
        };
        let (http, router, peer) = (http.clone(), router.clone(), Peer { address, seat });
        tokio::spawn(async move {
            speak(http, stream, peer, router).await;
            drop(slot);
        });
    }
}

/// A place among the connections in HTTP, waited for if need be.
async fn free_slot(slots: &Arc<Semaphore>, counters: &Counters) -> Option<OwnedSemaphorePermit> {
    if slots.available_permits() == 0 {
        count(&counters.accepts_held);
    }
    // It fails only when the semaphore is closed, which nobody does.
    Arc::clone(slots).acquire_owned().await.ok()
}

/// The next connection. Meanwhile, and as long as descriptors are used up, those that come are
/// told so one at a time.
async fn accept_one(
    listener: &TcpListener,
    spare: &mut Spare,
    doorman: &Doorman,
    counters: &Counters,
) -> (TcpStream, SocketAddr) {
    let mut pause = BACKOFF.0;
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            // The client gave up between its connect and our accept.
            Err(error) if is_of_the_connection(&error) => {}
            Err(error) => {
                count(&counters.accept_errors);
                spare.tell_of(&error, counters);
                if is_out_of_descriptors(&error) {
                    spare.turn_one_away(listener, doorman, counters).await;
                }
                sleep(pause).await;
                pause = (pause * 2).min(BACKOFF.1);
            }
        }
    }
}

/// Serves one connection until it closes, upgrades or outlives its time.
async fn speak(http: http1::Builder, stream: TcpStream, peer: Peer, router: Router) {
    let address = peer.address;
    // Put into each request by hand: a layer would copy every route for every connection.
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer.clone());
        router.clone().oneshot(request)
    });
    let connection = http.serve_connection(TokioIo::new(stream), service).with_upgrades();
    match timeout(HTTP_LIFE, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(peer = %address, %error, "http connection ended"),
        Err(_) => tracing::debug!(peer = %address, "http connection outlived its time"),
    }
}

fn is_of_the_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

/// EMFILE and ENFILE, from errno(3): the process or the system is out of descriptors.
fn is_out_of_descriptors(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(24 | 23))
}

/// A descriptor kept for the day there are none left: giving it up lets one waiting client be
/// accepted and told, so that it learns at once instead of hanging in the backlog.
struct Spare {
    descriptor: Option<File>,
    /// When the log was last told of a failure.
    told: Option<Instant>,
}

impl Spare {
    fn new() -> Self {
        Self { descriptor: File::open("/dev/null").ok(), told: None }
    }

    /// The next lines would say the same: one now and then, with the count.
    fn tell_of(&mut self, error: &io::Error, counters: &Counters) {
        if self.told.is_none_or(|told| told.elapsed() >= TELL_EVERY) {
            self.told = Some(Instant::now());
            let failures = counters.accept_errors.load(Relaxed);
            tracing::warn!(%error, failures, "accept failed; trying again until it succeeds");
        }
    }

    async fn turn_one_away(
        &mut self,
        listener: &TcpListener,
        doorman: &Doorman,
        counters: &Counters,
    ) {
        if self.descriptor.take().is_some()
            // It was waiting when the accept failed, so this does not wait for long; should it
            // have left meanwhile, the next client is no worse off being turned away.
            && let Ok(Ok((stream, _))) = timeout(BACKOFF.1, listener.accept()).await
        {
            counters.turn_away(TurnedAway::Descriptors);
            doorman.tell_within(stream, TurnedAway::Descriptors, BACKOFF.1).await;
        }
        self.descriptor = File::open("/dev/null").ok();
    }
}
