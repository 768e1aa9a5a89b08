//! What is measured, and how: counts, times, and the rule that makes times honest.
//!
//! Five times are taken, all in microseconds:
//!
//! - *latency*: from the scheduled time of a tick (the venue's time, where the feed is real) until
//!   a client held it or something newer. **Every update counts**, also those that were merged
//!   into another: see [`held`]. It includes the throttle interval.
//! - *late*: the latency less what the client had asked to wait: its throttle interval, and for
//!   trades no more than 100 ms of it.
//! - *transit*: from the gateway's stamp on a frame to its receipt.
//! - *staleness*: sampled once a second for each client, symbol and state channel: for how long
//!   something newer than what the client holds had existed; 0 when it holds the newest.
//! - *ready*: from losing a connection, or first wanting one, until everything asked for is there.

mod counts;
pub mod held;
mod tally;
mod timings;

pub(crate) use self::counts::count_word;
pub use self::{
    counts::{Counts, Sum},
    tally::Tally,
    timings::{Spread, Timing, Timings},
};
