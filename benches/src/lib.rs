//! Head-to-head fan-out runs, and what the micro-benchmarks share.
//!
//! A run starts a server on one core and the [`sink`] on the other, lets both warm up, and measures
//! frames per second of the server's CPU time, kernel included. Ratios compare servers that took
//! turns in the same run. Read in this order:
//!
//! - [`wire`], [`payload`]: just enough of WebSocket and of a data frame to count them;
//! - [`process`]: what `/proc` says about CPU time and memory, and children that end with us;
//! - [`bare`]: the reference, a loop that does nothing but send;
//! - [`watchlist`], [`sink`]: thousands of clients in one thread;
//! - [`target`]: the servers that are compared;
//! - [`load`], [`busy`], [`fanout`], [`memory`], [`stalled`]: what is run;
//! - [`report`]: medians and tables;
//! - [`micro`]: the market and the work that the micro-benchmarks time.

pub use tickgate_load::{process, watchlist, wire};

pub mod payload;

pub mod bare;

pub mod sink;

pub mod target;

pub mod load;

pub mod busy;

pub mod fanout;

pub mod memory;

pub mod stalled;

pub mod report;

pub mod micro;
