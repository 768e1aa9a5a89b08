//! The real binary, on ports of its own, with real clients.
//!
//! Tests that need a tool beyond the Rust toolchain are ignored here; `cargo xtask test` fetches
//! the tools and runs them. Read in this order:
//!
//! - [`gateway`]: the binary as a child process; [`client`]: a subscriber that keeps every entry;
//! - [`data`]: which recordings are used; [`fold`]: what they must come out as;
//! - [`http`]: requests to the admin listener; [`openapi`]: what it answers is what it describes;
//! - [`recordings`], [`stalled`], [`descriptors`], [`clients`], [`operations`], [`load`]: the
//!   tests.

#![allow(clippy::print_stdout, reason = "what was tested, and on which recordings, is told")]

mod client;
mod clients;
mod data;
mod descriptors;
mod fold;
mod gateway;
mod http;
mod load;
mod openapi;
mod operations;
mod recordings;
mod script;
mod stalled;
