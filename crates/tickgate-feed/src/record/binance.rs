//! Recordings of the kind `<local ns> <raw combined-stream JSON>`, gzip.

use std::io::{self, Write};

use flate2::{Compression, write::GzEncoder};
use tickgate_protocol::{
    entry::trade_flag,
    number::{ABSENT, Decimal},
    tick::{Batch, Listing, Quote, Tick, TickBody, Trade},
};

/// Binance prints every price and size with this many decimals.
const PRINTED_EXPONENT: i8 = -8;

/// Writes quotes as `@bookTicker` and trades as `@trade`.
///
/// The format has no corrections, no status changes, and no flags but the aggressor; event times
/// of trades are cut to milliseconds, those of quotes are lost. An empty side is written as price
/// and size zero.
pub struct BinanceRecorder<W: Write> {
    out: GzEncoder<W>,
    listings: Vec<Listing>,
    clock_offset_ns: i64,
    local_ns: i64,
    update_id: u64,
    left_out: u64,
}

impl<W: Write> BinanceRecorder<W> {
    /// Writes to `out` as a recorder whose clock is ahead of the venue's by `clock_offset_ns`
    /// (behind it, where negative), and which received every tick at once.
    pub fn new(out: W, clock_offset_ns: i64) -> Self {
        Self {
            out: GzEncoder::new(out, Compression::fast()),
            listings: Vec::new(),
            clock_offset_ns,
            local_ns: 0,
            update_id: 0,
            left_out: 0,
        }
    }

    /// Writes a batch; every batch of the feed, in order.
    ///
    /// # Errors
    /// What the writer says.
    pub fn record(&mut self, batch: &Batch) -> io::Result<()> {
        self.listings.extend_from_slice(&batch.listings);
        batch.ticks.iter().try_for_each(|tick| self.line(tick))
    }

    /// Ticks that the format cannot express and that were left out.
    pub fn left_out(&self) -> u64 {
        self.left_out
    }

    /// Ends the recording and gives the writer back.
    ///
    /// # Errors
    /// What the writer says.
    pub fn finish(self) -> io::Result<W> {
        self.out.finish()
    }

    fn line(&mut self, tick: &Tick) -> io::Result<()> {
        let Some(listing) = self.listings.get(tick.symbol as usize) else {
            self.left_out += 1;
            return Ok(());
        };
        if tick.event_time_ns != ABSENT {
            // A late trade does not turn the recorder's clock back.
            self.local_ns =
                self.local_ns.max(tick.event_time_ns.saturating_add(self.clock_offset_ns));
        }
        let (name, stream) = (&listing.name, listing.name.to_lowercase());
        let price = |mantissa| printed(mantissa, listing.price_exponent);
        let size = |mantissa| printed(mantissa, listing.size_exponent);
        let local_ns = self.local_ns;
        match tick.body {
            TickBody::Quote(Quote { bid_price, bid_size, ask_price, ask_size, .. }) => {
                self.update_id += 1;
                writeln!(
                    self.out,
                    r#"{local_ns} {{"stream":"{stream}@bookTicker","data":{{"u":{},"s":"{name}","b":"{}","B":"{}","a":"{}","A":"{}"}}}}"#,
                    self.update_id,
                    price(bid_price),
                    size(bid_size),
                    price(ask_price),
                    size(ask_size),
                )
            }
            TickBody::Trade(Trade { price: paid, size: traded, flags, trade_id }) => {
                let time_ms = tick.event_time_ns.div_euclid(1_000_000);
                let buyer_is_maker = flags & trade_flag::SELLER_INITIATED != 0;
                writeln!(
                    self.out,
                    r#"{local_ns} {{"stream":"{stream}@trade","data":{{"e":"trade","E":{time_ms},"s":"{name}","t":{trade_id},"p":"{}","q":"{}","T":{time_ms},"m":{buyer_is_maker},"M":true}}}}"#,
                    price(paid),
                    size(traded),
                )
            }
            TickBody::Correction(_) | TickBody::Status(_) | TickBody::Session(_) => {
                self.left_out += 1;
                Ok(())
            }
        }
    }
}

/// All digits, to eight decimals where that loses none.
fn printed(mantissa: i64, exponent: i8) -> Decimal {
    let number = Decimal { mantissa: if mantissa == ABSENT { 0 } else { mantissa }, exponent };
    match number.at_exponent(PRINTED_EXPONENT) {
        Some(mantissa) => Decimal { mantissa, exponent: PRINTED_EXPONENT },
        None => number,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_printed_with_eight_decimals() {
        assert_eq!(printed(6_183_763, -2).to_string(), "61837.63000000");
        assert_eq!(printed(5, 1).to_string(), "50.00000000");
        assert_eq!(printed(1, -10).to_string(), "0.0000000001");
        assert_eq!(printed(ABSENT, -2).to_string(), "0.00000000");
    }
}
