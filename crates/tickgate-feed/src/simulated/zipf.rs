//! Which symbol is active: Zipf's law, drawn in constant time.

use super::random::{Random, scale};

/// Draws rank `k` (from 0) with a probability proportional to `(k + 1)^-exponent`, by Walker's
/// alias method: one random number and one table line, however many ranks there are.
#[derive(Debug)]
pub(crate) struct Zipf {
    lines: Vec<Line>,
}

/// A column of the alias table: its own rank below the threshold, another one above.
#[derive(Debug, Clone, Copy)]
struct Line {
    threshold: u32,
    alias: u32,
}

impl Zipf {
    /// A table of `ranks` lines (8 bytes each).
    pub(crate) fn new(ranks: u32, exponent: f64) -> Self {
        let weights: Vec<f64> =
            (1..=ranks).map(|rank| 1.0 / power(f64::from(rank), exponent)).collect();
        let mean = weights.iter().sum::<f64>() / f64::from(ranks.max(1));
        // Vose's construction: every line is filled to the mean, the short ones from the long.
        let mut shares: Vec<f64> = weights.iter().map(|weight| weight / mean).collect();
        let (mut short, mut long): (Vec<u32>, Vec<u32>) =
            (0..ranks).partition(|rank| shares[*rank as usize] < 1.0);
        let mut lines: Vec<Line> =
            (0..ranks).map(|rank| Line { threshold: u32::MAX, alias: rank }).collect();
        while let (Some(low), Some(high)) = (short.pop(), long.pop()) {
            let share = shares[low as usize];
            lines[low as usize] = Line { threshold: (share * 4_294_967_296.0) as u32, alias: high };
            shares[high as usize] -= 1.0 - share;
            if shares[high as usize] < 1.0 { short.push(high) } else { long.push(high) }
        }
        Self { lines }
    }

    /// Draws a rank.
    pub(crate) fn draw(&self, random: &mut Random) -> u32 {
        let bits = random.bits();
        let rank = scale((bits >> 32) as u32, self.lines.len() as u32);
        let line = self.lines[rank as usize];
        if bits as u32 <= line.threshold { rank } else { line.alias }
    }
}

/// `base^exponent` for a base of at least 1 and a non-negative exponent, to about 2^-24.
///
/// Repeated squaring for the whole part, repeated square roots for the binary fraction: the
/// standard library's `powf` may differ in the last bit between platforms, these may not.
fn power(base: f64, exponent: f64) -> f64 {
    let mut whole = exponent as u32;
    let mut fraction = exponent - f64::from(whole);
    let (mut result, mut square, mut root) = (1.0, base, base);
    while whole > 0 {
        if whole & 1 == 1 {
            result *= square;
        }
        square *= square;
        whole >>= 1;
    }
    for _ in 0..24 {
        root = root.sqrt();
        fraction *= 2.0;
        if fraction >= 1.0 {
            result *= root;
            fraction -= 1.0;
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn power_agrees_with_the_library() {
        for base in [1.0, 2.0, 10.0, 1_000.0, 100_000.0] {
            for exponent in [0.0, 0.5, 0.7, 1.0, 1.1, 2.0] {
                let (own, library) = (power(base, exponent), f64::powf(base, exponent));
                assert!((own / library - 1.0).abs() < 1e-5, "{base}^{exponent}: {own}");
            }
        }
    }

    #[test]
    fn ranks_come_in_proportion_to_their_weight() {
        const DRAWS: u32 = 1_000_000;
        let zipf = Zipf::new(50, 1.0);
        let mut random = Random::new(3, 0);
        let mut counts = [0u32; 50];
        for _ in 0..DRAWS {
            counts[zipf.draw(&mut random) as usize] += 1;
        }
        let harmonic: f64 = (1..=50).map(|rank| 1.0 / f64::from(rank)).sum();
        for (rank, count) in counts.iter().enumerate() {
            let expected = f64::from(DRAWS) / (rank as f64 + 1.0) / harmonic;
            let deviation = (f64::from(*count) - expected) / expected.sqrt();
            assert!(deviation.abs() < 5.0, "rank {rank}: {count} for {expected}");
        }
    }

    #[test]
    fn an_exponent_of_zero_is_even_and_one_rank_is_enough() {
        let mut random = Random::new(4, 0);
        assert_eq!(Zipf::new(1, 1.0).draw(&mut random), 0);
        let even = Zipf::new(4, 0.0);
        let last = (0..4_000).filter(|_| even.draw(&mut random) == 3).count();
        assert!((800..1_200).contains(&last), "{last}");
    }
}
