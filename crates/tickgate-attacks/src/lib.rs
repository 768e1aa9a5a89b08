//! Attacks on a running gateway, one after the other, each beside healthy clients.
//!
//! For every attack a gateway is started as a process of its own on ports that the system chooses.
//! Two hundred healthy clients subscribe and never stop reading; then the attack runs in windows,
//! with quiet windows between them. It is withstood when
//!
//! - the gateway's memory grew by 16 MiB at most,
//! - no healthy client was closed and what each received is whole: frame sequences without a hole,
//!   every entry accepted by [`tickgate_protocol::book::Book`], no silence,
//! - the offender got the documented answer: an HTTP status, an `error`, or a close with its reason.
//!
//! The healthy clients' p99 beside the attack, against that of the quiet windows, is reported and
//! never judged: it measures the machine as much as the gateway.
//!
//! Every client of the harness has a loopback address of its own choosing (`127.0.0.0/8`), so that
//! limits per address bind an offender and not its neighbours. Read in this order:
//!
//! - [`gateway`]: the process; [`healthy`]: the clients beside the attack;
//! - [`link`]: one connection of an offender; [`frames`]: frames no sound client writes;
//! - [`attack`]: what an attack is and how its answers are judged; [`attacks`]: all of them;
//! - [`cores`]: who may take how much of the machine;
//! - [`trial`]: one attack from start to verdict; [`report`]: what is printed and kept.

pub mod gateway;

pub mod healthy;

pub mod link;

pub mod frames;

pub mod attack;

pub mod attacks;

pub mod cores;

pub mod trial;

pub mod report;
