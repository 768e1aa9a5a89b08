//! Everything between a TCP port and the session engine: listener, HTTP, handshake, worker
//! threads, admin. Knows no feeds.
//!
//! A connection's way through it, and the order to read it in:
//!
//! - [`config`]: what the caller decides; [`run`](run()): the whole life of a gateway;
//! - `listener`: accepts, and parses HTTP with a limit on everything; `admission`, [`network`]:
//!   who may connect; `turn_away`, `retry`: what the others are told;
//! - `public`: the routes clients see, the page among them;
//! - [`handshake`]: which upgrades are accepted, and what a refused one is told;
//! - `handover`: takes the raw socket out of HTTP and gives it to the least loaded worker;
//! - `echo`: the route for conformance suites, off by default;
//! - `worker`: one thread, one session engine; `socket`: what the engine sees of a connection;
//! - `live`: settings that change while it runs; `memory`: what happens when memory is short;
//! - `admin`, `metrics`, `counters`: what an operator sees; `text`: what clients say of themselves;
//! - [`clock`]: what time it is.

pub mod config;

mod run;

mod listener;

mod admission;

pub mod network;

mod turn_away;

mod retry;

mod public;

pub mod handshake;

mod handover;

mod echo;

mod worker;

mod socket;

mod live;

mod memory;

mod admin;

mod metrics;

mod counters;

mod text;

pub mod clock;

pub use admin::{Token, TokenError};
pub use config::{
    AdminConfig, Asset, ConfigSource, Figure, FigureKind, FigureSource, GatewayConfig,
};
pub use live::Reload;
pub use network::{Network, NetworkError};
pub use run::{GatewayError, Listeners, Parts, run};
