//! What the routes under `/admin` answer, as JSON. Every field stands in `docs/openapi.json`.

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use http::StatusCode;
use serde::Serialize;
use tickgate_hub::{Hub, StatusRead};
use tickgate_protocol::{
    channel::Channel,
    definition::Definition,
    symbol::SymbolIndex,
    tick::{Reason, Status},
};

use crate::{metrics::causes, worker::survey::Surveyed};

/// `GET /admin/sessions`.
#[derive(Debug, Serialize)]
pub(super) struct Sessions {
    /// The slowest, the slowest first.
    pub(super) sessions: Vec<Session>,
    /// Sessions open, over the workers that answered.
    pub(super) open: u64,
    pub(super) workers: usize,
    pub(super) workers_up: usize,
}

/// One open session.
#[derive(Debug, Serialize)]
pub(super) struct Session {
    id: u64,
    address: String,
    user_agent: Option<String>,
    dialect: &'static str,
    age_seconds: f64,
    subscriptions: u64,
    wildcard: bool,
    channels: Vec<&'static str>,
    throttles_ms: Vec<u16>,
    frame_interval_ms: Option<f64>,
    frames: u64,
    late_frames: u64,
    causes: Vec<&'static str>,
    held_up_by: Vec<&'static str>,
    frame_age_ms: f64,
    bytes: u64,
    merged: u64,
    lost: u64,
    cursor_lag: u64,
    waiting_bytes: u64,
    allocated_bytes: u64,
    credit: Option<Credit>,
    budget_bytes_per_second: Option<u64>,
}

#[derive(Debug, Serialize)]
struct Credit {
    frames: u64,
    unacknowledged: u64,
}

impl From<Surveyed> for Session {
    fn from(surveyed: Surveyed) -> Self {
        let Surveyed { report, address, user_agent } = surveyed;
        let ms = |us: u64| us as f64 / 1e3;
        Self {
            id: report.session,
            address,
            user_agent,
            dialect: report.dialect.subprotocol(),
            age_seconds: report.age_us as f64 / 1e6,
            subscriptions: report.subscriptions,
            wildcard: report.wildcard,
            channels: report.channels.iter().map(Channel::name).collect(),
            throttles_ms: report.throttles_ms,
            frame_interval_ms: report.interval_us.map(ms),
            frames: report.frames,
            late_frames: report.late_frames,
            causes: causes(report.causes).collect(),
            held_up_by: causes(report.held_up_by).collect(),
            frame_age_ms: ms(report.frame_age_us),
            bytes: report.bytes,
            merged: report.merged,
            lost: report.lost,
            cursor_lag: report.cursor_lag,
            waiting_bytes: report.waiting_bytes,
            allocated_bytes: report.allocated_bytes,
            credit: report.credit.map(|(frames, unacknowledged)| Credit { frames, unacknowledged }),
            budget_bytes_per_second: report.budget_bytes_per_second,
        }
    }
}

/// `DELETE /admin/sessions/{id}`.
#[derive(Debug, Serialize)]
pub(super) struct Kicked {
    pub(super) id: u64,
    /// The reason it closes for.
    pub(super) reason: &'static str,
}

/// `GET /admin/symbols`.
#[derive(Debug, Serialize)]
pub(super) struct Symbols {
    /// In order of name.
    pub(super) symbols: Vec<Symbol>,
    /// Whether there are more after the last.
    pub(super) more: bool,
    /// Symbols listed.
    pub(super) listed: u64,
    pub(super) epoch: u64,
    pub(super) feed_status: &'static str,
    pub(super) feed_reason: &'static str,
}

/// One symbol, as the hub has it.
#[derive(Debug, Serialize)]
pub(super) struct Symbol {
    name: String,
    status: &'static str,
    reason: &'static str,
    price_exponent: i8,
    size_exponent: i8,
    quote_sequence: u64,
    last_sequence: u64,
    trade_sequence: u64,
    status_sequence: u64,
}

impl Symbol {
    /// `None` for a definition whose symbol is not listed: there is none.
    pub(super) fn of(hub: &Hub, definition: &Definition) -> Option<Self> {
        let index: SymbolIndex = hub.lookup(&definition.name)?;
        let symbol = hub.symbol(index)?;
        let status_sequence = symbol.status_sequence();
        let (status, reason) = match symbol.status_read(status_sequence) {
            StatusRead::Record(record) => (record.status, record.reason),
            // None yet; or it has just been overtaken by a newer one, which the next look shows.
            StatusRead::NotYet | StatusRead::Lapped => (Status::Trading, Reason::None),
        };
        Some(Self {
            name: definition.name.to_string(),
            status: status.name(),
            reason: reason.name(),
            price_exponent: definition.price_exponent,
            size_exponent: definition.size_exponent,
            quote_sequence: symbol.quote_sequence(),
            last_sequence: symbol.last_sequence(),
            trade_sequence: symbol.tape_sequence(),
            status_sequence,
        })
    }
}

/// Anything that is wrong with a request.
#[derive(Debug)]
pub(super) struct Refused {
    status: StatusCode,
    error: Error,
}

#[derive(Debug, Serialize)]
struct Error {
    /// From a closed list, for programs.
    code: &'static str,
    /// For people.
    message: String,
}

#[derive(Debug, Serialize)]
struct ErrorAnswer {
    error: Error,
}

impl Refused {
    pub(super) fn new(status: StatusCode, code: &'static str, message: String) -> Self {
        Self { status, error: Error { code, message } }
    }

    #[cfg(test)]
    pub(super) fn code(&self) -> &'static str {
        self.error.code
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        (self.status, Json(ErrorAnswer { error: self.error })).into_response()
    }
}
