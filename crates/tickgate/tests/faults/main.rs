//! What goes wrong around a gateway, done to the real binary as a process: signals, kills, files
//! that vanish, logs nobody takes, memory that runs short, configurations that break.
//!
//! Read in this order:
//!
//! - [`process`]: the binary as a child process; [`client`]: a subscriber that may be cut off;
//! - [`data`]: what is replayed;
//! - [`drain`], [`restart`], [`feed_file`], [`logs`], [`memory`], [`reload`]: the tests.

#![allow(clippy::print_stdout, reason = "seeds are told")]

mod client;
#[allow(dead_code, reason = "only the simulated ones are of use here")]
#[path = "../end_to_end/data.rs"]
mod data;
mod drain;
mod feed_file;
mod logs;
mod memory;
mod process;
mod reload;
mod restart;
