//! What a wire id stands for.

use crate::{number::ABSENT, symbol::WireId, tick::Status};

/// A symbol as a client is told of it before the first use of its id.
///
/// Exponents hold for the life of the id; a finer value retires the id and defines a new one
/// under the same name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Definition {
    /// The integer that entries use.
    pub id: WireId,
    /// The symbol's name.
    pub name: Box<str>,
    /// Prices are `field × 10^price_exponent`.
    pub price_exponent: i8,
    /// Sizes and volumes are `field × 10^size_exponent`.
    pub size_exponent: i8,
    /// Trading session, YYYYMMDD; 0 (nil on the wire) where the feed knows none.
    pub session_date: u32,
    /// Previous session's close; [`ABSENT`] (nil on the wire) where unknown.
    pub previous_close: i64,
    /// Least step between two prices; [`ABSENT`] (nil on the wire) where unknown.
    pub tick_size: i64,
    /// Trading status when this definition was sent.
    pub status: Status,
    /// How many status changes that status is the result of.
    pub status_sequence: u64,
}

impl Definition {
    /// A trading symbol about which nothing but its scale is known; for tests and examples.
    #[must_use]
    pub fn new(id: WireId, name: &str, price_exponent: i8, size_exponent: i8) -> Self {
        Self {
            id,
            name: name.into(),
            price_exponent,
            size_exponent,
            session_date: 0,
            previous_close: ABSENT,
            tick_size: ABSENT,
            status: Status::Trading,
            status_sequence: 0,
        }
    }
}
