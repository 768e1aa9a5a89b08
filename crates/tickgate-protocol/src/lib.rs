//! What Tickgate says: symbols, exact prices, ticks, and the `tickgate.v1` wire.
//!
//! No I/O, no async, no clock. Read in this order:
//!
//! - [`number`], [`symbol`], [`channel`], [`bar`], [`date`], [`instrument`]: the words everything
//!   else is made of;
//! - [`tick`]: what a feed hands to the hub;
//! - [`definition`], [`entry`]: what a data frame carries;
//! - [`command`], [`reply`], [`close`]: the rest of the conversation;
//! - [`dialect`]: how a session's choice of encoding is written to bytes and read back;
//! - [`decode`], [`book`]: the client's side, from messages to current state.

pub mod number;

pub mod symbol;

pub mod channel;

pub mod bar;

pub mod date;

pub mod instrument;

pub mod tick;

pub mod definition;

pub mod entry;

pub mod command;

pub mod reply;

pub mod close;

pub mod dialect;

pub mod decode;

pub mod book;

mod json;

mod msgpack;

mod tree;
