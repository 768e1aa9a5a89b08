//! Seeded randomness that gives the same numbers on every platform.
//!
//! ChaCha8 has published vectors and its crate promises portable output; ranges and noise are
//! derived here, by integer arithmetic and the IEEE operations that are exact everywhere
//! (`+ - * /` and `sqrt`), never by a library function that may round differently elsewhere.

use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng, SeedableRng},
};

/// One stream of random numbers.
#[derive(Debug, Clone)]
pub(crate) struct Random(ChaCha8Rng);

impl Random {
    /// Streams of one seed are independent: drawing more from one changes nothing in another.
    pub(crate) fn new(seed: u64, stream: u64) -> Self {
        let mut generator = ChaCha8Rng::seed_from_u64(seed);
        generator.set_stream(stream);
        Self(generator)
    }

    pub(crate) fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    pub(crate) fn bits32(&mut self) -> u32 {
        self.0.next_u32()
    }

    /// A number in `0..bound`; 0 for a bound of 0. Off from even by at most bound / 2^32.
    pub(crate) fn below(&mut self, bound: u32) -> u32 {
        scale(self.bits32(), bound)
    }

    /// A number in `low..=high`, for a range narrower than 2^32.
    pub(crate) fn between(&mut self, low: u64, high: u64) -> u64 {
        let width = u32::try_from(high.saturating_sub(low) + 1).unwrap_or(u32::MAX);
        low + u64::from(self.below(width))
    }

    /// Noise of mean 0 and variance 1, within ±3.5: the sum of four uniform numbers, close enough
    /// to normal for prices and without a logarithm.
    pub(crate) fn noise(&mut self) -> f64 {
        // Four 16-bit uniforms: mean 4 × 32,767.5, variance 4 × 65,536² / 12.
        const MEAN: f64 = 131_070.0;
        const DEVIATION: f64 = 37_837.227;
        let bits = self.bits();
        let sum = (0..4).map(|lane| (bits >> (16 * lane)) & 0xFFFF).sum::<u64>();
        (sum as f64 - MEAN) / DEVIATION
    }
}

/// Maps a 32-bit uniform number onto `0..bound`.
pub(crate) fn scale(uniform: u32, bound: u32) -> u32 {
    ((u64::from(uniform) * u64::from(bound)) >> 32) as u32
}

/// The probability `numerator / denominator` as a threshold for [`Random::bits`].
pub(crate) fn threshold(numerator: u128, denominator: u128) -> u64 {
    u64::try_from((numerator << 64) / denominator.max(1)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_of_one_seed_differ_and_repeat() {
        let draw = |stream| Random::new(7, stream).bits();
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
    }

    #[test]
    fn noise_has_mean_zero_and_variance_one() {
        let mut random = Random::new(1, 0);
        let draws: Vec<f64> = (0..100_000).map(|_| random.noise()).collect();
        let mean = draws.iter().sum::<f64>() / draws.len() as f64;
        let variance = draws.iter().map(|d| (d - mean) * (d - mean)).sum::<f64>() / 100_000.0;
        assert!(mean.abs() < 0.02, "mean {mean}");
        assert!((variance - 1.0).abs() < 0.02, "variance {variance}");
    }

    #[test]
    fn ranges_include_their_ends_and_nothing_beyond() {
        let mut random = Random::new(2, 0);
        let draws: Vec<u64> = (0..1_000).map(|_| random.between(5, 8)).collect();
        assert_eq!((draws.iter().min(), draws.iter().max()), (Some(&5), Some(&8)));
        assert_eq!(random.below(0), 0);
    }
}
