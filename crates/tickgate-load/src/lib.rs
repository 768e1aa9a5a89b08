//! `tickgate load`: thousands of WebSocket clients in a thread, every delivery timed and checked.
//!
//! Read in this order:
//!
//! - [`scenario`]: what a run is; [`slo`]: what it must keep to;
//! - [`measure`]: what is measured, and what makes it honest;
//! - [`wire`], [`watchlist`], [`process`]: WebSocket bytes, who watches what, what `/proc` says;
//! - [`preflight`], [`directory`]: what can be known before a run; [`spawn`]: a gateway for it;
//! - [`speaker`]: what is said and heard, by what the target speaks;
//! - [`link`]: one socket; [`client`]: one client; [`swarm`]: thousands of them, on [`timers`];
//! - [`plan`]: what they work from; [`run`]: a run from its beginning to its report;
//! - [`server`]: figures of the server meanwhile;
//! - [`progress`]: a run while it goes; [`report`]: what it came to; [`cli`]: what can be typed.

#![allow(rustdoc::private_intra_doc_links, reason = "written for whoever reads the source")]

pub mod scenario;

pub mod slo;

pub mod measure;

pub mod wire;

pub mod watchlist;

pub mod process;

mod clock;

mod excerpt;

pub mod preflight;

mod directory;

mod spawn;

mod outbox;

mod speaker;

mod link;

mod timers;

mod client;

mod swarm;

mod plan;

pub mod server;

pub mod run;

pub mod progress;

pub mod report;

pub mod cli;
