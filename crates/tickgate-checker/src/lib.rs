//! An independent judge of what a Tickgate gateway sends.
//!
//! It knows the wire from the protocol's document only and shares no code with the encoder: it has
//! its own MessagePack, JSON and WebSocket framing. A test harness tells a [`Truth`] what the hub
//! applied, and a [`Checker`] per connection what the client sent and received, in order of a
//! virtual time in microseconds. What comes back is a list of [`Violation`]s, each of one [`Rule`],
//! and the [`Books`] of every symbol's channel.
//!
//! Reading order: `value`, `msgpack`, `json`, `websocket`, `wire`, `record` (bytes to entries); `truth`,
//! `command` (what the harness tells); `interest`, `cursor`, `holds` (the checker's own account of
//! a connection); `checker`, `replies`, `frames`, `entries`, `states`, `statuses`,
//! `tape`, `bars`, `timing`, `finish` (the rules).
//!
//! ```
//! use tickgate_checker::*;
//! use tickgate_checker::{msgpack, value::Value, websocket::{self, Opcode}};
//!
//! // What the hub did: AAA is listed and has one quote, at 5 ms.
//! let mut truth = Truth::new(7);
//! truth.clock(0, 1_700_000_000_000_000);
//! truth.define(0, Definition {
//!     id: 1, name: "AAA".into(), price_exponent: -2, size_exponent: 0,
//!     session_date: None, previous_close: None, status: 1, status_sequence: 0, tick_size: None,
//! });
//! let fields = [Some(10_000), Some(1), Some(10_001), Some(2), Some(0)];
//! truth.state(5_000, "AAA", Channel::Quote, 1, None, &fields);
//!
//! // What the client did: the same value makes the bytes and tells the checker.
//! let mut checker = Checker::new(Config::new(Dialect::MessagePack));
//! let command = Command::Subscribe(Subscribe {
//!     symbols: vec!["AAA".into()],
//!     channels: Some(vec![Channel::Quote]),
//!     ..Subscribe::default()
//! });
//! let _to_the_transport: Vec<u8> = command.bytes(Dialect::MessagePack, [1, 2, 3, 4]);
//! checker.sent(10_000, &command);
//!
//! // What it received, however it was cut (here written by hand instead of by a gateway).
//! let int = |n: i64| Value::Int(n.into());
//! let text = |s: &str| Value::Text(s.into());
//! let map = |kind| Value::Map(vec![("type".into(), text(kind)), ("epoch".into(), int(7))]);
//! let array = |items: &[Value]| Value::Array(items.to_vec());
//! let nil = Value::Nil;
//! let frame = array(&[int(1), int(1), int(1_700_000_000_010_000), int(0), array(&[
//!     array(&[int(1), int(1), text("AAA"), int(-2), int(0), nil.clone(), nil.clone(), int(1), int(0),
//!         nil.clone()]),
//!     array(&[int(10), int(1), int(1), nil.clone(), int(10_000), int(1), int(10_001), int(2), int(0)]),
//!     array(&[int(3), nil]),
//! ])]);
//! for value in [map("welcome"), map("subscribed"), frame] {
//!     let (mut payload, mut bytes) = (Vec::new(), Vec::new());
//!     msgpack::encode(&mut payload, &value);
//!     websocket::write_server(&mut bytes, Opcode::Binary, &payload);
//!     checker.received(&truth, 10_000, &bytes);
//! }
//!
//! // At 400 ms, and quiet since 5 ms, the client must hold everything.
//! let verdict = checker.finish(&truth, 400_000, 5_000);
//! assert_eq!(verdict.violations, []);
//! assert_eq!(verdict.books[&("AAA".to_owned(), Channel::Quote)].joined, 1);
//! ```
//!
//! What a harness owes the checker: everything in order of time; the truth before the bytes that
//! can show it; [`Checker::blocked`] when the transport takes less than it is offered and
//! [`Checker::unblocked`] when it takes everything again; after [`Truth::epoch`] the definitions,
//! states and statuses that hold in the new epoch; [`Truth::clock`] whenever the engine's Unix clock steps.

mod bars;
mod checker;
mod command;
mod cursor;
mod entries;
mod finish;
mod frames;
mod holds;
mod interest;
pub mod json;
pub mod msgpack;
mod record;
mod replies;
mod rule;
mod states;
mod statuses;
mod tape;
mod timing;
mod truth;
pub mod value;
pub mod websocket;
pub mod wire;

pub use checker::{Checker, Closing, Config};
pub use command::{Command, Subscribe, control};
pub use cursor::Books;
pub use finish::Verdict;
pub use rule::{Fault, Rule, Violation};
pub use truth::Truth;
pub use wire::{Bar, Channel, Definition, Dialect, TapeEvent};
