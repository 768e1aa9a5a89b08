//! Writes ticks in the formats that [`crate::replay`] reads.
//!
//! So that whoever has no real recordings has the same tests, and demonstrations, on recordings of
//! the simulated market. Neither format can say everything a tick can; what one cannot say is
//! counted and left out.

mod binance;
mod dbn;

pub use binance::BinanceRecorder;
pub use dbn::{DbnRecorder, DbnSchema};
