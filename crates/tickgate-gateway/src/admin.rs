//! The admin listener: metrics, health, readiness. Loopback by default, because it asks nobody
//! who they are.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    extract::State,
    response::{IntoResponse, Response},
    routing::get,
};
use http::{StatusCode, header};
use tickgate_hub::Hub;
use tickgate_protocol::tick::Status;
use tickgate_session::EngineStats;
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};

use crate::{
    config::FigureSource,
    counters::Counters,
    handover::Dispatcher,
    metrics::{self, Figures},
    public::{method_not_allowed, not_found},
    worker::Control,
};

/// What the routes look at.
pub(crate) struct Admin {
    pub(crate) hub: Arc<Hub>,
    pub(crate) controls: Vec<mpsc::Sender<Control>>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) foreign: FigureSource,
    pub(crate) dispatcher: Arc<Dispatcher>,
}

/// How long a worker may take to answer before it counts as down. Its loop comes round every few
/// milliseconds.
const ANSWER_WITHIN: Duration = Duration::from_millis(500);

/// The routes of the admin listener.
pub(crate) fn router(admin: Arc<Admin>) -> Router {
    Router::new()
        .route("/metrics", get(scrape))
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .with_state(admin)
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
}

async fn scrape(State(admin): State<Arc<Admin>>) -> Response {
    let engines = admin.ask_workers().await;
    let figures = Figures {
        engines: &engines,
        workers: admin.controls.len(),
        hub: &admin.hub.stats(),
        hub_memory_limit_bytes: admin.hub.config().memory_bytes(),
        feed: admin.hub.feed_status(),
        counters: &admin.counters,
        foreign: &(admin.foreign)(),
    };
    match metrics::render(&figures) {
        // The version of the text format that the encoder writes.
        Ok(text) => ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "metrics could not be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// Ready means: new sessions are taken (neither draining nor short of memory), every worker
/// answers, and the feed is live.
async fn ready(State(admin): State<Arc<Admin>>) -> Response {
    if admin.dispatcher.is_draining() {
        return (StatusCode::SERVICE_UNAVAILABLE, "draining\n").into_response();
    }
    if admin.dispatcher.is_short_of_memory() {
        return (StatusCode::SERVICE_UNAVAILABLE, "short of memory\n").into_response();
    }
    let feed = admin.hub.feed_status();
    if feed.status != Status::Live {
        let text = format!("feed is {}: {}\n", feed.status.name(), feed.reason.name());
        return (StatusCode::SERVICE_UNAVAILABLE, text).into_response();
    }
    let (up, all) = (admin.ask_workers().await.len(), admin.controls.len());
    if up < all {
        let text = format!("{up} of {all} workers answer\n");
        return (StatusCode::SERVICE_UNAVAILABLE, text).into_response();
    }
    "ready\n".into_response()
}

impl Admin {
    /// The figures of the workers that answer in time, asked all at once.
    async fn ask_workers(&self) -> Vec<EngineStats> {
        let mut answers = Vec::with_capacity(self.controls.len());
        for control in &self.controls {
            let (ask, answer) = oneshot::channel();
            // A full channel means that the worker has not answered for sixteen askers.
            if control.try_send(Control::Stats(ask)).is_ok() {
                answers.push(answer);
            }
        }
        let deadline = tokio::time::Instant::now() + ANSWER_WITHIN;
        let mut stats = Vec::with_capacity(answers.len());
        for answer in answers {
            if let Ok(Ok(engine)) = tokio::time::timeout_at(deadline, answer).await {
                stats.push(engine);
            }
        }
        stats
    }
}

/// Gives every worker an order. One that cannot be told has ended already.
pub(crate) async fn tell_workers(controls: &[mpsc::Sender<Control>], order: impl Fn() -> Control) {
    for (worker, control) in controls.iter().enumerate() {
        if timeout(ANSWER_WITHIN, control.send(order())).await.is_err() {
            tracing::warn!(worker, "a worker does not take its orders");
        }
    }
}
