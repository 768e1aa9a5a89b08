//! How values are spread, in powers of two: counting one costs a handful of instructions.

/// Counts of values by their number of binary digits, in so many buckets; of 14 the last begins at
/// 4,096.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spread<const BUCKETS: usize = 14> {
    /// Values of 0, then of 1, of 2 and 3, of 4 to 7, and so on; the last has all that are larger.
    pub counts: [u64; BUCKETS],
    /// Sum of the values.
    pub sum: u64,
}

impl<const BUCKETS: usize> Default for Spread<BUCKETS> {
    fn default() -> Self {
        Self { counts: [0; BUCKETS], sum: 0 }
    }
}

impl<const BUCKETS: usize> Spread<BUCKETS> {
    pub(crate) fn count(&mut self, value: u64) {
        // Most frames are not late at all.
        if value == 0 {
            self.counts[0] += 1;
            return;
        }
        let digits = (u64::BITS - value.leading_zeros()) as usize;
        self.counts[digits.min(BUCKETS - 1)] += 1;
        self.sum += value;
    }

    /// Adds what another worker counted.
    pub fn add(&mut self, other: &Self) {
        self.counts.iter_mut().zip(other.counts).for_each(|(sum, count)| *sum += count);
        self.sum += other.sum;
    }

    /// Values counted.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The largest value of a bucket; `None` for the last, which has no end.
    #[must_use]
    pub const fn upper(bucket: usize) -> Option<u64> {
        if bucket + 1 < BUCKETS { Some((1 << bucket) - 1) } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_value_is_in_the_first_bucket_that_reaches_it() {
        for value in (0..5_000).chain([u64::from(u32::MAX)]) {
            let mut spread = <Spread>::default();
            spread.count(value);
            let reaches = |bucket| <Spread>::upper(bucket).is_none_or(|upper| value <= upper);
            let wanted = (0..spread.counts.len()).find(|bucket| reaches(*bucket));
            assert_eq!(spread.counts.iter().position(|count| *count == 1), wanted, "{value}");
            assert_eq!((spread.total(), spread.sum), (1, value));
        }
    }

    #[test]
    fn workers_add_up() {
        let (mut one, mut other) = (<Spread>::default(), <Spread>::default());
        one.count(0);
        other.count(0);
        other.count(9);
        one.add(&other);
        assert_eq!((one.counts[0], one.counts[4], one.sum, one.total()), (2, 1, 9, 3));
    }
}
