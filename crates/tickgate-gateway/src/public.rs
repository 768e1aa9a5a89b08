//! What clients see: the stream, and the page that shows it.

use std::sync::Arc;

use axum::{
    Extension, Router,
    body::Body,
    extract::{Request, State},
    response::{IntoResponse, Response},
    routing::{any, get},
};
use http::{HeaderValue, StatusCode, Uri, header};

use crate::{
    config::Asset,
    counters::count,
    echo::{self, ECHO_PATH, EchoRoom},
    handover::Dispatcher,
    handshake::{self, Refusal},
    listener::Peer,
    text::clean,
};

/// Where the stream is.
pub(crate) const STREAM_PATH: &str = "/v1/stream";

/// Characters kept of what a client calls itself.
const USER_AGENT_LIMIT: usize = 80;

/// Characters logged of a refusal, which may quote the client.
const REFUSAL_LIMIT: usize = 200;

/// The page loads its own files and talks to its own gateway; it runs nothing inline, is framed
/// by nobody and reaches nobody else.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
     img-src 'self'; connect-src 'self' ws: wss:; base-uri 'none'; form-action 'none'; \
     frame-ancestors 'none'";

/// The routes of the public listener.
pub(crate) fn router(dispatcher: Arc<Dispatcher>, assets: &'static [Asset]) -> Router {
    let mut router = Router::new().route(STREAM_PATH, any(stream));
    if dispatcher.config().echo_route {
        router = router.route(ECHO_PATH, any(echo)).layer(Extension(EchoRoom::new()));
    }
    let mut router = router.with_state(dispatcher);
    for asset in assets {
        router = router.route(asset.path, get(move || async move { serve(asset) }));
    }
    router.fallback(not_found).method_not_allowed_fallback(method_not_allowed)
}

/// Refuses the upgrade in words, or accepts it and moves the socket to a worker.
async fn stream(
    State(dispatcher): State<Arc<Dispatcher>>,
    Extension(peer): Extension<Peer>,
    mut request: Request,
) -> Response {
    let accepted = handshake::check(&request, &dispatcher.config().allowed_origins);
    let accepted = match accepted {
        Ok(accepted) => accepted,
        Err(refusal) => return refuse(&dispatcher, &peer, &refusal),
    };
    let reservation = match dispatcher.reserve().await {
        Ok(reservation) => reservation,
        Err(refusal) => return refuse(&dispatcher, &peer, &refusal),
    };
    let user_agent = request
        .headers()
        .get(header::USER_AGENT)
        .map(|value| clean(value.as_bytes(), USER_AGENT_LIMIT).to_string().into_boxed_str());
    let upgrade = hyper::upgrade::on(&mut request);
    let answer = accepted.response();
    count(&dispatcher.counters().upgraded);
    // It can complete only after this answer has left, hence a task of its own.
    tokio::spawn(async move {
        dispatcher.hand_over(upgrade, reservation, accepted.dialect, peer, user_agent).await;
    });
    answer
}

/// The same for the echo route; its connections stay on the acceptor's runtime.
async fn echo(
    State(dispatcher): State<Arc<Dispatcher>>,
    Extension(peer): Extension<Peer>,
    Extension(room): Extension<EchoRoom>,
    mut request: Request,
) -> Response {
    let accepted = handshake::check_echo(&request, &dispatcher.config().allowed_origins);
    let entered = accepted.and_then(|accepted| Ok((accepted, room.enter().ok_or(Refusal::Full)?)));
    let (accepted, place) = match entered {
        Ok(both) => both,
        Err(refusal) => return refuse(&dispatcher, &peer, &refusal),
    };
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        echo::echo(upgrade, place).await;
        drop(peer);
    });
    accepted.response()
}

fn refuse(dispatcher: &Dispatcher, peer: &Peer, refusal: &Refusal) -> Response {
    dispatcher.counters().refuse(refusal);
    let said = clean(refusal.to_string().as_bytes(), REFUSAL_LIMIT).to_string();
    let (peer, reason) = (peer.address, refusal.label());
    tracing::debug!(%peer, reason, refusal = %said, "handshake refused");
    refusal.response(dispatcher.retry().seconds())
}

fn serve(asset: &'static Asset) -> Response {
    let mut response = Response::new(Body::from(asset.body));
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, asset.content_type),
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        // Embedded in the binary, so a restart may change it: always ask again.
        (header::CACHE_CONTROL, "no-cache"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// The 404 of both listeners.
pub(crate) async fn not_found(uri: Uri) -> Response {
    (StatusCode::NOT_FOUND, format!("nothing at {}\n", uri.path())).into_response()
}

/// The 405 of both listeners; the router adds `Allow`.
pub(crate) async fn method_not_allowed(request: Request) -> Response {
    let text = format!("{} is not answered at {}\n", request.method(), request.uri().path());
    (StatusCode::METHOD_NOT_ALLOWED, text).into_response()
}
