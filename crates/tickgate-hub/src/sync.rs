//! The atomics of everything this crate synchronises by hand: the standard ones, or loom's when
//! built with `--cfg loom`, so that the models run the very code that ships.
//!
//! Locks and once-cells come from elsewhere and are not modelled. Loom's atomics have no `const`
//! constructor; nothing here needs one.

#[cfg(loom)]
pub(crate) use loom::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
#[cfg(not(loom))]
pub(crate) use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
