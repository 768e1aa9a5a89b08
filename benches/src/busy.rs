//! How fast the market must move for Tickgate to use a given share of its core.
//!
//! "Half-loaded" is no number of ticks: what fills half a core on one day fills three quarters of
//! the same shared machine on another.

use anyhow::Result;

/// How far from the share asked for is near enough.
const TOLERANCE: f64 = 0.03;
/// Longest search. A server's share is a fixed part and one that grows with the ticks, so that a
/// step leaves about a third of the error; one that is saturated shows its whole core and no more,
/// so that a step halves its ticks.
const TRIALS: usize = 6;
/// What the simulated market takes.
const TICKS_PER_SECOND: (f64, f64) = (10.0, 2_000_000.0);
/// Less than this of a core says nothing about the ticks.
const LEAST_SHARE: f64 = 0.01;

/// Ticks a second at which `measure` says `share`, beginning at `first`.
///
/// # Errors
/// What `measure` says.
pub fn ticks_per_second(
    share: f64,
    first: u32,
    mut measure: impl FnMut(u32) -> Result<f64>,
) -> Result<u32> {
    let mut ticks = first;
    for _ in 0..TRIALS {
        let measured = measure(ticks)?.max(LEAST_SHARE);
        if (measured - share).abs() <= TOLERANCE {
            break;
        }
        let (least, most) = TICKS_PER_SECOND;
        ticks = (f64::from(ticks) * share / measured).clamp(least, most) as u32;
    }
    Ok(ticks)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that uses 0.17 of its core whatever it does, and all of it from 50,000 ticks on.
    fn server(ticks: u32) -> f64 {
        (0.17 + f64::from(ticks) / 60_000.0).min(1.0)
    }

    #[test]
    fn half_a_core_is_found_from_far_below_and_from_saturation() {
        for first in [1_000, 20_000, 400_000] {
            let found = ticks_per_second(0.5, first, |ticks| Ok(server(ticks))).expect("measured");
            assert!((server(found) - 0.5).abs() <= TOLERANCE, "from {first}: {found}");
        }
    }

    #[test]
    fn what_fits_is_not_searched_further() {
        let mut trials = 0;
        let found = ticks_per_second(0.5, 20_000, |_| {
            trials += 1;
            Ok(0.52)
        });
        assert_eq!((found.expect("measured"), trials), (20_000, 1));
    }

    #[test]
    fn a_share_out_of_reach_ends_at_what_the_market_gives() {
        let most = ticks_per_second(0.5, 1_000_000, |_| Ok(0.0)).expect("measured");
        let least = ticks_per_second(0.01, 20, |_| Ok(0.9)).expect("measured");
        assert_eq!((most, least), (2_000_000, 10));
    }
}
