//! `tickgate load`: thousands of WebSocket clients in a thread, every delivery timed and checked.
//!
//! Read in this order:
//!
//! - [`scenario`]: what a run is; [`slo`]: what it must keep to;
//! - [`measure`]: what is measured, and what makes it honest;
//! - [`wire`], [`watchlist`], [`process`]: WebSocket bytes, who watches what, what `/proc` says;
//! - [`progress`]: a run while it goes; [`report`]: what it came to.
//! - `speaker`, `outbox`: what clients say and hear, and what waits to be said;
//! - [`preflight`]: what can be known before a run;
//! - [`server`]: figures of the server under load;
//! - [`report`]: what a run came to.

pub mod scenario;

pub mod slo;

pub mod measure;

pub mod wire;

pub mod watchlist;

pub mod process;

pub mod progress;
pub mod preflight;

pub mod server;

pub mod report;

mod excerpt;

#[expect(dead_code, reason = "used by the clients")]
mod outbox;

#[expect(dead_code, reason = "used by the clients")]
mod speaker;
