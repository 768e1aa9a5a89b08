//! The session engine: samples the hub for each client and writes its frames.
//!
//! Sans-I/O: sockets, time and randomness come in as arguments, so that property tests drive the
//! real hub and the real engine in one thread. A session holds no queue of data; it holds cursors
//! into state that the hub owns.
//!
//! Read in this order:
//!
//! - [`config`], [`transport`], [`stats`]: what comes in and goes out;
//! - `subscription`, `bar_cursors`, `group`, `wildcard`, `portfolio`: what a session wants;
//! - `schedule`, `wheel`, `pace`: when it gets it;
//! - `places`, `sampling`, `tape`, `bars`, `cache`, `bar_cache`, `frame`, `flush`: how a frame is
//!   filled;
//! - `session`, `outbound`: one connection;
//! - `intake`: what all clients of a worker may send together;
//! - `parser`: what makes messages of it;
//! - [`engine`], `collect`, `serve`, `inbound`, `commands`, `history`, `joining`, `subscribing`,
//!   `housekeeping`, `footprint`, `shed`: a worker's loop;
//! - `spread`, `age`, `report`: what is counted beyond [`stats`];
//! - `work`: what tests count instead of time.

pub mod config;

pub mod transport;

pub mod stats;

mod subscription;

mod bar_cursors;

mod group;

mod wildcard;

mod portfolio;

mod schedule;

mod wheel;

mod pace;

mod places;

mod sampling;

mod state_channel;

mod tape;

mod bars;

mod cache;

mod bar_cache;

mod frame;

mod flush;

mod session;

mod outbound;

mod intake;

mod parser;

pub mod engine;

mod collect;

mod serve;

mod inbound;

mod footprint;

mod report;

mod spread;

mod age;

mod commands;

mod history;

mod joining;

mod subscribing;

mod work;

mod housekeeping;

mod shed;

pub use age::Pace;
pub use config::{ConfigError, EngineConfig};
pub use engine::{Engine, Inbound, Progress, SessionKey, Shared};
pub use footprint::Footprint;
pub use report::{Held, SessionReport, Slowness, Survey};
pub use spread::Spread;
pub use stats::{Ended, EngineStats};
pub use transport::{Now, Transport};
