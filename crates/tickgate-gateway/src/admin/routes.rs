//! The routes of the admin listener.

use std::{
    cmp::Reverse,
    sync::{Arc, PoisonError},
};

use axum::{
    Json, Router,
    extract::{Path, Query, Request, State, rejection::QueryRejection},
    middleware,
    response::{IntoResponse, Response},
    routing::{delete, get},
};
use http::{StatusCode, header};
use serde::Deserialize;
use tickgate_protocol::{close::CloseReason, tick::Status};

use super::{
    Admin,
    answer::{Kicked, Refused, Session, Sessions, Symbol, Symbols},
    ask::{self, Kick},
    guard,
};
use crate::metrics::{self, Figures, WorkerFigures};

/// Sessions or symbols in an answer that asks for no number.
const LIMIT_DEFAULT: usize = 100;

/// Most of them in one answer.
const LIMIT_MOST: usize = 1_000;

/// The document that describes them.
const OPENAPI: &str = include_str!("../../../../docs/openapi.json");

type Answer<T> = Result<Json<T>, Refused>;

/// All routes; those for probes are open to everybody.
pub(crate) fn router(admin: Arc<Admin>) -> Router {
    let guarded = Router::new()
        .route("/metrics", get(scrape))
        .route("/admin/sessions", get(sessions))
        .route("/admin/sessions/{id}", delete(kick))
        .route("/admin/symbols", get(symbols))
        .route("/admin/config", get(config))
        .route("/admin/openapi.json", get(openapi))
        .route_layer(middleware::from_fn_with_state(Arc::clone(&admin), guard::check));
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .merge(guarded)
        .with_state(admin)
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
}

async fn scrape(State(admin): State<Arc<Admin>>) -> Response {
    let answers = ask::survey(&admin.controls, 0).await;
    let workers_up = answers.iter().flatten().count();
    let workers = admin.remember(answers.into_iter().map(|answer| Some(answer?.figures)));
    let hub = admin.shared.hub();
    let figures = Figures {
        workers: &workers,
        workers_up,
        flush_tick: admin.shared.config().flush_tick,
        hub: &hub.stats(),
        hub_memory_limit_bytes: hub.config().memory_bytes(),
        feed: hub.feed_status(),
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
    let feed = admin.shared.hub().feed_status();
    if feed.status != Status::Live {
        let text = format!("feed is {}: {}\n", feed.status.name(), feed.reason.name());
        return (StatusCode::SERVICE_UNAVAILABLE, text).into_response();
    }
    let (up, all) = (ask::stats(&admin.controls).await.len(), admin.controls.len());
    if up < all {
        let text = format!("{up} of {all} workers answer\n");
        return (StatusCode::SERVICE_UNAVAILABLE, text).into_response();
    }
    "ready\n".into_response()
}

/// What may be asked for behind a `?`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SessionsQuery {
    limit: Option<usize>,
}

async fn sessions(
    State(admin): State<Arc<Admin>>,
    query: Result<Query<SessionsQuery>, QueryRejection>,
) -> Answer<Sessions> {
    let limit = limit(query.map_err(bad_query)?.limit)?;
    let answers = ask::survey(&admin.controls, limit).await;
    let workers_up = answers.iter().flatten().count();
    let mut open = 0;
    let mut slowest = Vec::new();
    for answer in answers.into_iter().flatten() {
        open += answer.figures.stats.sessions;
        slowest.extend(answer.slowest);
    }
    slowest.sort_by_key(|surveyed| Reverse(surveyed.report.slowness()));
    slowest.truncate(limit);
    Ok(Json(Sessions {
        sessions: slowest.into_iter().map(Session::from).collect(),
        open,
        workers: admin.controls.len(),
        workers_up,
    }))
}

async fn kick(State(admin): State<Arc<Admin>>, Path(id): Path<String>) -> Answer<Kicked> {
    let Ok(session) = id.parse::<u64>() else {
        let message = format!("a session's id is a number, as in GET /admin/sessions: {id:.40}");
        return Err(Refused::new(StatusCode::BAD_REQUEST, "bad_id", message));
    };
    match ask::kick(&admin.controls, session).await {
        Kick::Done => {
            tracing::info!(session, "kicked by an operator");
            Ok(Json(Kicked { id: session, reason: CloseReason::Kicked.name() }))
        }
        Kick::Unknown => {
            let message = format!("no open session has the id {session}");
            Err(Refused::new(StatusCode::NOT_FOUND, "unknown_session", message))
        }
        Kick::Unanswered => {
            let message = format!("not every worker answers, and no other has session {session}");
            Err(Refused::new(StatusCode::SERVICE_UNAVAILABLE, "worker_silent", message))
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SymbolsQuery {
    #[serde(default)]
    prefix: String,
    after: Option<String>,
    limit: Option<usize>,
}

async fn symbols(
    State(admin): State<Arc<Admin>>,
    query: Result<Query<SymbolsQuery>, QueryRejection>,
) -> Answer<Symbols> {
    let Query(query) = query.map_err(bad_query)?;
    let hub = admin.shared.hub();
    let (page, more) = hub.list(&query.prefix, query.after.as_deref(), limit(query.limit)?);
    let feed = hub.feed_status();
    Ok(Json(Symbols {
        symbols: page.iter().filter_map(|line| Symbol::of(hub, &line.definition)).collect(),
        more,
        listed: u64::from(hub.symbol_count()),
        epoch: hub.epoch(),
        feed_status: feed.status.name(),
        feed_reason: feed.reason.name(),
    }))
}

async fn config(State(admin): State<Arc<Admin>>) -> Response {
    json((admin.effective)())
}

async fn openapi() -> Response {
    json(OPENAPI.to_owned())
}

fn json(text: String) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], text).into_response()
}

async fn not_found(request: Request) -> Refused {
    let message = format!("nothing at {:.100}", request.uri().path());
    Refused::new(StatusCode::NOT_FOUND, "not_found", message)
}

/// The router adds `Allow`.
async fn method_not_allowed(request: Request) -> Refused {
    let (method, path) = (request.method(), request.uri().path());
    let message = format!("{method:.20} is not answered at {path:.100}");
    Refused::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message)
}

fn bad_query(rejection: QueryRejection) -> Refused {
    Refused::new(StatusCode::BAD_REQUEST, "bad_query", format!("{:.200}", rejection.body_text()))
}

fn limit(asked: Option<usize>) -> Result<usize, Refused> {
    let limit = asked.unwrap_or(LIMIT_DEFAULT);
    if (1..=LIMIT_MOST).contains(&limit) {
        return Ok(limit);
    }
    let message = format!("limit is {limit}: must be 1 to {LIMIT_MOST}");
    Err(Refused::new(StatusCode::BAD_REQUEST, "bad_query", message))
}

impl Admin {
    /// Takes what workers answered and gives the newest of each.
    fn remember(&self, answers: impl Iterator<Item = Option<WorkerFigures>>) -> Vec<WorkerFigures> {
        // Figures are whole whatever happened to whoever held the lock.
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.resize_with(self.controls.len(), WorkerFigures::default);
        for (figures, answer) in last.iter_mut().zip(answers) {
            if let Some(answer) = answer {
                *figures = answer;
            }
        }
        last.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The routes as this file has them, so that none can be added without being described.
    #[test]
    fn every_route_is_in_the_document() {
        let document: serde_json::Value = serde_json::from_str(OPENAPI).expect("JSON");
        let described: Vec<&String> =
            document["paths"].as_object().expect("paths").keys().collect();
        // Split, so that this line is none of them.
        let begin = concat!(".rou", "te(\"");
        let routes: Vec<&str> = include_str!("routes.rs")
            .split(begin)
            .skip(1)
            .filter_map(|rest| rest.split_once('"').map(|(path, _)| path))
            .collect();
        assert_eq!(routes.len(), described.len(), "{routes:?} {described:?}");
        for route in routes {
            assert!(described.iter().any(|each| *each == route), "{route} is not described");
        }
    }
}
