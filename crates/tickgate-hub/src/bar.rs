//! What trades make of a bar: a fold over the times at which they happened, so that a trade that
//! comes late makes the same bar as one that came in time.

use tickgate_protocol::{
    number::{ABSENT, LIMIT},
    symbol::WireId,
};

use crate::{refusal::Refusal, scale::Shift};

/// A trade as bars see it, at the symbol's scale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fill {
    /// When it happened, nanoseconds since the Unix epoch.
    pub(crate) time_ns: i64,
    pub(crate) price: i64,
    pub(crate) size: i64,
    /// Its place on the tape.
    pub(crate) sequence: u64,
}

/// The prices of a bar, each of which is that of one trade. Times are nanoseconds from the bar's
/// beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Prices {
    pub(crate) open: i64,
    pub(crate) high: i64,
    pub(crate) low: i64,
    pub(crate) close: i64,
    open_ns: u64,
    close_ns: u64,
}

/// One bar, at the scale of the definition `id`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bar {
    pub(crate) id: WireId,
    pub(crate) start_s: i64,
    pub(crate) prices: Prices,
    pub(crate) volume: i64,
    /// Sum of price × size. Below 2^106, since the volume and each price are below 2^53.
    pub(crate) notional: i128,
    pub(crate) trade_count: u32,
    /// Place on the tape of the trade that was folded first.
    pub(crate) first_sequence: u64,
    /// Bits of [`tickgate_protocol::entry::bar_flag`].
    pub(crate) flags: u8,
}

/// Words of a bar, and of the number that is stored with it.
pub(crate) const BAR_WORDS: usize = 13;

impl Prices {
    /// Of no trade.
    pub(crate) const NONE: Self = Self {
        open: ABSENT,
        high: ABSENT,
        low: ABSENT,
        close: ABSENT,
        open_ns: u64::MAX,
        close_ns: 0,
    };

    /// One trade more. Of two at the same time the one that came first is the earlier.
    pub(crate) fn add(&mut self, offset_ns: u64, price: i64) {
        if offset_ns < self.open_ns {
            (self.open, self.open_ns) = (price, offset_ns);
        }
        if offset_ns >= self.close_ns {
            (self.close, self.close_ns) = (price, offset_ns);
        }
        // ABSENT is the least integer, so it loses to any price here, but must be told apart below.
        self.high = self.high.max(price);
        self.low = if self.low == ABSENT { price } else { self.low.min(price) };
    }

    /// Adds those of a shorter bar that begins `later_ns` after this one.
    pub(crate) fn merge(&mut self, shorter: &Self, later_ns: u64) {
        if shorter.open == ABSENT {
            return;
        }
        let open_ns = shorter.open_ns.saturating_add(later_ns);
        let close_ns = shorter.close_ns.saturating_add(later_ns);
        if open_ns < self.open_ns {
            (self.open, self.open_ns) = (shorter.open, open_ns);
        }
        if close_ns >= self.close_ns {
            (self.close, self.close_ns) = (shorter.close, close_ns);
        }
        self.high = self.high.max(shorter.high);
        self.low = if self.low == ABSENT { shorter.low } else { self.low.min(shorter.low) };
    }

    /// True when one of them may be that of a trade at that time and price.
    fn may_hold(&self, offset_ns: u64, price: i64) -> bool {
        price == self.high
            || price == self.low
            || offset_ns == self.open_ns
            || offset_ns == self.close_ns
    }

    fn rescale(&self, shift: Shift) -> Result<Self, Refusal> {
        let Self { open, high, low, close, .. } = *self;
        Ok(Self {
            open: shift.price(open)?,
            high: shift.price(high)?,
            low: shift.price(low)?,
            close: shift.price(close)?,
            ..*self
        })
    }
}

impl Bar {
    /// Of no trade yet.
    pub(crate) fn new(id: WireId, start_s: i64, first_sequence: u64) -> Self {
        Self {
            id,
            start_s,
            prices: Prices::NONE,
            volume: 0,
            notional: 0,
            trade_count: 0,
            first_sequence,
            flags: 0,
        }
    }

    /// One trade more, `offset_ns` after the beginning. False, and nothing of it is in the bar,
    /// when the volume would exceed what the wire can say, or the count 32 bits.
    pub(crate) fn add(&mut self, offset_ns: u64, price: i64, size: i64) -> bool {
        let volume = self.volume + size;
        let Some(trade_count) = self.trade_count.checked_add(1).filter(|_| volume <= LIMIT) else {
            return false;
        };
        (self.volume, self.trade_count) = (volume, trade_count);
        self.notional += i128::from(price) * i128::from(size);
        self.prices.add(offset_ns, price);
        true
    }

    /// Takes a trade back that was added, from the sums. True when one of the prices may have been
    /// its own, and they have to be found anew.
    pub(crate) fn take_back(&mut self, offset_ns: u64, price: i64, size: i64) -> bool {
        self.volume -= size;
        self.trade_count -= 1;
        self.notional -= i128::from(price) * i128::from(size);
        self.prices.may_hold(offset_ns, price)
    }

    /// Volume-weighted average price with two more decimals than prices, half to even; [`ABSENT`]
    /// without volume, and where it exceeds what the wire can say.
    pub(crate) fn vwap(&self) -> i64 {
        if self.volume == 0 {
            return ABSENT;
        }
        let (notional, volume) = (self.notional * 100, i128::from(self.volume));
        let (whole, rest) = (notional.div_euclid(volume), notional.rem_euclid(volume));
        let up = match (2 * rest).cmp(&volume) {
            std::cmp::Ordering::Less => false,
            std::cmp::Ordering::Equal => whole & 1 == 1,
            std::cmp::Ordering::Greater => true,
        };
        i64::try_from(whole + i128::from(up))
            .ok()
            .filter(|vwap| (-LIMIT..=LIMIT).contains(vwap))
            .unwrap_or(ABSENT)
    }

    /// The bar at a finer scale, that of the definition `id`.
    ///
    /// # Errors
    /// [`Refusal::Range`] when a number does not fit.
    pub(crate) fn rescale(&self, id: WireId, shift: Shift) -> Result<Self, Refusal> {
        let notional = shift.notional(self.notional).ok_or(Refusal::Range)?;
        let volume = shift.size(self.volume)?;
        Ok(Self { id, prices: self.prices.rescale(shift)?, volume, notional, ..*self })
    }

    pub(crate) fn encode(&self, number: u32) -> [u64; BAR_WORDS] {
        let Prices { open, high, low, close, open_ns, close_ns } = self.prices;
        [
            u64::from(self.id) | u64::from(self.flags) << 32,
            self.start_s as u64,
            open as u64,
            high as u64,
            low as u64,
            close as u64,
            open_ns,
            close_ns,
            self.volume as u64,
            self.notional as u64,
            (self.notional >> 64) as u64,
            u64::from(self.trade_count) | u64::from(number) << 32,
            self.first_sequence,
        ]
    }

    /// The bar and its number.
    pub(crate) fn decode(words: [u64; BAR_WORDS]) -> (Self, u32) {
        let [
            identity,
            start,
            open,
            high,
            low,
            close,
            open_ns,
            close_ns,
            volume,
            low_half,
            high_half,
            counts,
            first_sequence,
        ] = words;
        let (open, high, low, close) = (open as i64, high as i64, low as i64, close as i64);
        let bar = Self {
            id: identity as u32,
            start_s: start as i64,
            prices: Prices { open, high, low, close, open_ns, close_ns },
            volume: volume as i64,
            notional: i128::from(high_half as i64) << 64 | i128::from(low_half),
            trade_count: counts as u32,
            first_sequence,
            flags: (identity >> 32) as u8,
        };
        (bar, (counts >> 32) as u32)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use tickgate_protocol::entry::bar_flag;

    use super::*;
    use crate::scale::Scale;

    fn bar(fills: &[(u64, i64, i64)]) -> Bar {
        let mut bar = Bar::new(4, 60, 1);
        for (offset_ns, price, size) in fills {
            assert!(bar.add(*offset_ns, *price, *size));
        }
        bar
    }

    fn prices(bar: &Bar) -> [i64; 4] {
        [bar.prices.open, bar.prices.high, bar.prices.low, bar.prices.close]
    }

    #[test]
    fn what_comes_late_makes_the_same_bar() {
        let in_time = bar(&[(1, 50, 2), (5, 70, 3), (9, -60, 0)]);
        assert_eq!(prices(&in_time), [50, 70, -60, -60]);
        assert_eq!((in_time.volume, in_time.notional, in_time.trade_count), (5, 310, 3));
        assert_eq!(bar(&[(9, -60, 0), (5, 70, 3), (1, 50, 2)]), in_time);
    }

    #[test]
    fn of_two_at_the_same_time_the_first_opens_and_the_last_closes() {
        assert_eq!(prices(&bar(&[(3, 1, 1), (3, 2, 1), (3, 3, 1)])), [1, 3, 1, 3]);
        assert_eq!(prices(&bar(&[(0, 7, 1)])), [7, 7, 7, 7]);
    }

    #[test]
    fn the_average_is_rounded_half_to_even() {
        // 100 × notional over volume: 1/8 is 12.5, 3/8 is 37.5, -1/8 is -12.5, 1/3 is 33.3.
        for (price, others, expected) in [(1, 7, 12), (3, 7, 38), (-1, 7, -12), (1, 2, 33)] {
            assert_eq!(bar(&[(0, price, 1), (1, 0, others)]).vwap(), expected, "{price}");
        }
        assert_eq!(bar(&[(0, 5, 0)]).vwap(), ABSENT, "no volume");
        assert_eq!(bar(&[(0, LIMIT / 10, 1)]).vwap(), ABSENT, "beyond the wire");
        assert_eq!(bar(&[(0, LIMIT / 100, 9)]).vwap(), LIMIT / 100 * 100);
    }

    #[test]
    fn what_does_not_fit_is_not_folded() {
        let mut full = bar(&[(0, LIMIT, LIMIT - 1)]);
        assert!(full.add(1, -LIMIT, 1));
        let before = full;
        assert!(!full.add(2, 5, 1));
        assert_eq!(full, before);
        full.trade_count = u32::MAX;
        assert!(!full.add(2, 5, 0));
    }

    #[test]
    fn what_is_taken_back_says_whether_a_price_may_have_been_its_own() {
        let whole = bar(&[(1, 50, 2), (5, 90, 3), (6, 70, 1), (9, 60, 4)]);
        for (offset_ns, price, size, may) in
            [(6, 70, 1, false), (5, 90, 3, true), (1, 50, 2, true), (9, 60, 4, true)]
        {
            let mut less = whole;
            assert_eq!(less.take_back(offset_ns, price, size), may, "{price}");
            assert_eq!((less.volume, less.trade_count), (10 - size, 3));
            assert_eq!(less.notional, whole.notional - i128::from(price * size));
        }
    }

    #[test]
    fn longer_bars_are_made_of_shorter_ones() {
        let parts = [bar(&[(1, 5, 1), (8, 9, 1)]), bar(&[(0, 7, 1)]), bar(&[(2, 3, 1), (3, 4, 1)])];
        let mut whole = Prices::NONE;
        for (at, part) in [(2u64, &parts[2]), (0, &parts[0]), (1, &parts[1])] {
            whole.merge(&part.prices, at * 10);
        }
        whole.merge(&Prices::NONE, 90);
        let all = bar(&[(1, 5, 1), (8, 9, 1), (10, 7, 1), (22, 3, 1), (23, 4, 1)]);
        assert_eq!(whole, all.prices);
    }

    #[test]
    fn a_bar_survives_the_packing_and_a_finer_scale() {
        let mut bar = bar(&[(86_399_999_999_999, -50, 2), (0, LIMIT, 3)]);
        bar.flags = bar_flag::CLOSED | bar_flag::REVISED;
        for notional in [bar.notional, -bar.notional, -1, 0] {
            let bar = Bar { notional, ..bar };
            assert_eq!(Bar::decode(bar.encode(u32::MAX)), (bar, u32::MAX));
        }
        let scale = |price_exponent, size_exponent| Scale { price_exponent, size_exponent };
        let shift = scale(0, 0).to(scale(0, -2));
        let finer = bar.rescale(9, shift).unwrap();
        assert_eq!((finer.id, finer.volume, finer.vwap()), (9, 500, bar.vwap()));
        assert_eq!(bar.rescale(9, scale(0, 0).to(scale(-1, 0))), Err(Refusal::Range));
    }
}
