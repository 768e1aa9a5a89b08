//! Client library for Tickgate, the real-time market data gateway.
//!
//! A [`Client`] holds one connection and makes it again whenever it is lost. What it subscribes to
//! comes as a [`Subscription`], a stream of typed [`Update`]s; [`Client::latest`] asks for the
//! current state of a symbol at any time, [`Client::instrument`] for what it stands for.
//!
//! ```no_run
//! use tickgate_client::{Client, Interest, Update};
//!
//! # async fn watch() -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::connect("ws://127.0.0.1:7400/v1/stream").await?;
//! let mut updates = client.subscribe(Interest::symbols(["AAPL", "MSFT"]).with_trades()).await?;
//! while let Some(update) = updates.next().await {
//!     match update {
//!         Update::Quote(quote) => println!("{} {:?}", quote.symbol, quote.bid_price),
//!         Update::Trade(trade) => println!("{} #{}", trade.symbol, trade.sequence),
//!         Update::Lost(lost) => println!("{} lost {:?} to {:?}", lost.symbol, lost.from, lost.to),
//!         other => println!("{other:?}"),
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # What a consumer can rely on
//!
//! - **Nothing grows.** However slowly a subscription is read, it holds one mark for each symbol
//!   and channel and at most [`Interest::capacity`] events.
//!
//! | what waits | capacity | when full | counter |
//! |---|---|---|---|
//! | quotes, figures, definitions, feed, connection, ready | a mark each; the value is read when it is taken | the newest stands for all | [`Quote::merged`], [`Last::merged`] |
//! | trades, corrections, losses, statuses | [`Interest::capacity`] events, 16,384 by default | the oldest become one [`Lost`] range per symbol, of origin [`LossOrigin::Consumer`]; of statuses the newest stays | [`Stats::events_dropped`], [`StatusChange::missed`] |
//! | changes of settings, questions | 16 | callers wait | |
//! | commands | one under way; what is wanted is worked out when it is its turn | | [`Stats::commands_refused`] |
//! | frames not acknowledged | [`Builder::credit`] | the gateway forms no frame and merges | [`Stats::acks`] |
//!
//! - **Trades are complete or it says so.** Each comes once and in order; sequences that do not
//!   come are named by [`Update::Lost`]. After a reconnect the tape goes on where it was.
//! - **A new epoch voids everything.** [`Update::Epoch`] comes before anything of the new one, and
//!   nothing of the old one after it.
//! - **Doubt is said.** [`Update::Connection`] and [`Update::Feed`] tell when data may be old, and
//!   [`Latest::doubts`] does so for one symbol.
//! - **A gateway that breaks the protocol is left**: the frame is not delivered, the connection is
//!   dropped and made again, [`Stats::violations`] counts it.
//!
//! # Reconnecting
//!
//! With full jitter, as [`Backoff`] says, after everything but close codes 4500 to 4999 and
//! handshakes refused for good; never earlier than the gateway asked (`Retry-After`,
//! `reconnect_after_ms`). Settings are made again, everything is subscribed again, tapes are
//! resumed.
//!
//! Read on: [`Builder`] for the settings, [`Interest`] for what can be asked, [`Update`] for what
//! comes, [`CommandError`], [`ConnectError`] and [`Disconnect`] for what can go wrong. The wire
//! itself is in `docs/PROTOCOL.md`; [`tickgate_protocol`] is its implementation.

mod backoff;

mod error;

mod connection;

mod update;

mod latest;

mod stats;

mod interest;

mod mailbox;

mod member;

mod books;

mod market;

mod conversation;

mod dial;

mod shared;

mod session;

mod driver;

mod subscription;

mod client;

mod builder;

pub use backoff::{Backoff, TOLD_LIMIT};
pub use builder::Builder;
pub use client::Client;
pub use connection::{ConnectionState, Trouble};
pub use dial::{ByteStream, Endpoint};
pub use error::{
    CommandError, ConnectError, Disconnect, EndReason, Invalid, ProtocolViolation, Refused,
};
pub use interest::{DEFAULT_CAPACITY, Interest};
pub use latest::{Age, Doubts, Latest};
pub use stats::Stats;
pub use subscription::Subscription;
pub use tickgate_protocol::{
    self,
    channel::{Channel, Channels},
    command::ErrorCode,
    dialect::Dialect,
    number::Decimal,
    reply::Rejected,
    tick::{CorrectionKind, Reason, Status},
};
pub use update::{
    Correction, FeedStatus, Instrument, Joined, Last, Listing, LossOrigin, Lost, Quote,
    StatusChange, Symbol, Trade, Update,
};
