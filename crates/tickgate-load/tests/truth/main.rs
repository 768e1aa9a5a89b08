//! The load generator's own truth: servers whose delays, stalls and breaches are known are loaded,
//! and the report must say just that.
//!
//! In each run some clients are served soundly by the same server at the same time (the group
//! *sound*), the others as planted (the group *planted*): what load on the machine does, it does to
//! both. Read in this order:
//!
//! - [`server`]: WebSocket, commands in and frames out; [`feed`]: what one client is told;
//! - [`running`]: a scenario, and a run of it;
//! - [`delay`], [`stall`]: times; [`breaches`], [`comparison`]: what must never happen;
//!   [`losses`], [`connections`]: what is counted.

mod breaches;
mod comparison;
mod connections;
mod delay;
mod feed;
mod losses;
mod running;
mod server;
mod stall;
