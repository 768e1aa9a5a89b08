//! Which symbols a session watches: drawn without repetition, popular ones more often.

use rand::RngExt;
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};

/// Draws watchlists from symbols in order of popularity.
#[derive(Debug)]
pub struct Watchlists {
    /// Running sums of the symbols' weights.
    cumulative: Vec<f64>,
    random: ChaCha8Rng,
}

impl Watchlists {
    /// The symbol of rank `r`, from 1, has weight `r^-skew`: 1 is Zipf's law, 0 an even spread.
    #[must_use]
    pub fn new(symbols: usize, skew: f64, seed: u64) -> Self {
        let weights = (1..=symbols).map(|rank| (rank as f64).powf(-skew));
        let cumulative = weights
            .scan(0.0, |sum, weight| {
                *sum += weight;
                Some(*sum)
            })
            .collect();
        Self { cumulative, random: ChaCha8Rng::seed_from_u64(seed) }
    }

    /// Positions of the next session's symbols, distinct; all of them when there are fewer.
    pub fn draw(&mut self, count: usize) -> Vec<usize> {
        let symbols = self.cumulative.len();
        if count >= symbols {
            return (0..symbols).collect();
        }
        let total = self.cumulative[symbols - 1];
        let mut taken = vec![false; symbols];
        let mut drawn = Vec::with_capacity(count);
        while drawn.len() < count {
            let point = self.random.random::<f64>() * total;
            let at = self.cumulative.partition_point(|sum| *sum <= point).min(symbols - 1);
            if !std::mem::replace(&mut taken[at], true) {
                drawn.push(at);
            }
        }
        drawn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn watchlists_are_distinct_complete_and_reproducible() {
        let (mut one, mut two) = (Watchlists::new(200, 1.0, 7), Watchlists::new(200, 1.0, 7));
        for count in [0, 1, 20, 199, 200, 300] {
            let drawn = one.draw(count);
            assert_eq!(drawn, two.draw(count));
            let mut distinct = drawn.clone();
            distinct.sort_unstable();
            distinct.dedup();
            assert_eq!(distinct.len(), count.min(200));
            assert_eq!(distinct.len(), drawn.len());
        }
    }

    #[test]
    fn popular_symbols_are_drawn_more_often() {
        let mut lists = Watchlists::new(1_000, 1.0, 1);
        let drawn: Vec<usize> = (0..1_000).flat_map(|_| lists.draw(5)).collect();
        let head = drawn.iter().filter(|at| **at < 10).count();
        let tail = drawn.iter().filter(|at| **at >= 990).count();
        assert!(head > 20 * tail.max(1), "{head} in the first ten, {tail} in the last ten");
    }
}
