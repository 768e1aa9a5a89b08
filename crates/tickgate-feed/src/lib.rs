//! Where ticks come from: the simulated market and replayed recordings.
//!
//! A [`Feed`] is pulled and does no waiting of its own: the caller hands it the time and a batch to
//! fill, and learns when to come again. Read in this order:
//!
//! - [`feed`]: the trait and what a feed says about itself;
//! - [`warnings`], [`error`]: what it says when something is wrong;
//! - [`simulated`]: a seeded market, reproducible tick for tick;
//! - [`replay`]: recordings, played again at a pace;
//! - [`record`]: writes the formats that are replayed.

pub mod feed;

pub mod warnings;

pub mod error;

mod timeline;

pub mod simulated;

pub mod replay;

pub mod record;

pub use error::FeedError;
pub use feed::{End, Feed, FeedStats, Next};
