//! A client's allowances: commands, bytes, frames.

use std::collections::VecDeque;

/// Command rate by the generic cell rate algorithm (ITU-T I.371): one number, no refill.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct CommandRate {
    /// When the allowance would be whole again, monotonic microseconds.
    whole_at_us: u64,
    /// Refusals in a row, so that a flood ends.
    refused: u32,
}

/// What the rate says of one more command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Allowed {
    Yes,
    No,
    /// As many refusals in a row as the burst holds commands.
    Flood,
}

impl CommandRate {
    /// Takes `count` at once; as many as the burst holds always fit into a whole allowance.
    pub(crate) fn take(&mut self, now_us: u64, per_second: u32, burst: u32, count: u32) -> Allowed {
        let cost_us = 1_000_000 / u64::from(per_second);
        let taken_us = cost_us * u64::from(count.min(burst));
        let whole_at_us = self.whole_at_us.max(now_us) + taken_us;
        if whole_at_us - now_us <= cost_us * u64::from(burst) {
            self.whole_at_us = whole_at_us;
            self.refused = 0;
            return Allowed::Yes;
        }
        self.refused += 1;
        if self.refused > burst { Allowed::Flood } else { Allowed::No }
    }
}

/// Byte budget: a balance that rises with time to one second's bytes and falls with every write.
#[derive(Debug, Clone)]
pub(crate) struct Budget {
    pub(crate) bytes_per_second: u64,
    /// Balance in millionths of a byte, so that a microsecond's share is exact.
    balance: i64,
    settled_us: u64,
}

/// Above this rate a budget could never limit a socket; it keeps the arithmetic in 64 bits.
pub(crate) const BUDGET_LIMIT_BYTES_PER_SECOND: u64 = 1 << 40;

impl Budget {
    /// Begins with a full second's bytes.
    pub(crate) fn new(bytes_per_second: u64, now_us: u64) -> Self {
        let bytes_per_second = bytes_per_second.min(BUDGET_LIMIT_BYTES_PER_SECOND);
        Self {
            bytes_per_second,
            balance: (bytes_per_second * 1_000_000) as i64,
            settled_us: now_us,
        }
    }

    /// Changes the rate and keeps what is owed.
    pub(crate) fn set_rate(&mut self, bytes_per_second: u64, now_us: u64) {
        self.balance_bytes(now_us);
        self.bytes_per_second = bytes_per_second.min(BUDGET_LIMIT_BYTES_PER_SECOND);
        self.balance = self.balance.min((self.bytes_per_second * 1_000_000) as i64);
    }

    /// Whole bytes that may be spent now; negative while in debt.
    pub(crate) fn balance_bytes(&mut self, now_us: u64) -> i64 {
        // Two seconds refill any balance from the deepest debt that matters here.
        let full = (self.bytes_per_second * 1_000_000) as i64;
        let elapsed_us = now_us.saturating_sub(self.settled_us);
        self.settled_us = now_us;
        let earned = i128::from(self.bytes_per_second) * i128::from(elapsed_us);
        let balance = i128::from(self.balance) + earned;
        self.balance = balance.min(i128::from(full)) as i64;
        self.balance.div_euclid(1_000_000)
    }

    pub(crate) fn debit(&mut self, bytes: usize) {
        self.balance = self.balance.saturating_sub((bytes as i64).saturating_mul(1_000_000));
    }
}

/// Most frames of credit a client may ask for; bounds [`Credit::unacknowledged`].
pub(crate) const CREDIT_LIMIT_FRAMES: u64 = 256;

/// Frames the client has not acknowledged, against the number it allows.
#[derive(Debug, Clone)]
pub(crate) struct Credit {
    pub(crate) frames: u64,
    /// Sequences of unacknowledged data frames, at most [`Self::frames`]; heartbeats take no
    /// credit and are not in it.
    unacknowledged: VecDeque<u64>,
}

impl Credit {
    pub(crate) fn new(frames: u64) -> Self {
        Self { frames, unacknowledged: VecDeque::new() }
    }

    pub(crate) fn is_spent(&self) -> bool {
        self.unacknowledged.len() as u64 >= self.frames
    }

    /// Frames the client has not acknowledged.
    pub(crate) fn unacknowledged(&self) -> u64 {
        self.unacknowledged.len() as u64
    }

    pub(crate) fn sent(&mut self, frame_sequence: u64) {
        self.unacknowledged.push_back(frame_sequence);
    }

    pub(crate) fn acknowledged(&mut self, frame_sequence: u64) {
        while self.unacknowledged.front().is_some_and(|first| *first <= frame_sequence) {
            self.unacknowledged.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_then_the_rate_holds_then_a_flood_ends() {
        let mut rate = CommandRate::default();
        for _ in 0..200 {
            assert_eq!(rate.take(1_000_000, 50, 200, 1), Allowed::Yes);
        }
        assert_eq!(rate.take(1_000_000, 50, 200, 1), Allowed::No);
        assert_eq!(rate.take(1_020_000, 50, 200, 1), Allowed::Yes);
        for _ in 0..200 {
            assert_eq!(rate.take(1_020_000, 50, 200, 1), Allowed::No);
        }
        assert_eq!(rate.take(1_020_000, 50, 200, 1), Allowed::Flood);
    }

    #[test]
    fn several_at_once_are_taken_together_or_not_at_all() {
        let mut rate = CommandRate::default();
        assert_eq!(rate.take(0, 50, 20, 17), Allowed::Yes);
        assert_eq!(rate.take(0, 50, 20, 4), Allowed::No, "three are left");
        assert_eq!(rate.take(0, 50, 20, 3), Allowed::Yes);
        assert_eq!(rate.take(0, 50, 20, 1), Allowed::No);
        assert_eq!(rate.take(10_000_000, 50, 20, 1_000), Allowed::Yes, "never more than all");
    }

    #[test]
    fn a_budget_refills_to_one_second_and_carries_debt() {
        let mut budget = Budget::new(1_000, 0);
        assert_eq!(budget.balance_bytes(10_000_000), 1_000);
        budget.debit(1_500);
        assert_eq!(budget.balance_bytes(10_000_000), -500);
        assert_eq!(budget.balance_bytes(10_400_000), -100);
        assert_eq!(budget.balance_bytes(10_501_000), 1);
        assert_eq!(budget.balance_bytes(u64::MAX), 1_000);
        let mut large = Budget::new(u64::MAX, 0);
        assert_eq!(large.balance_bytes(u64::MAX), BUDGET_LIMIT_BYTES_PER_SECOND as i64);
    }

    #[test]
    fn a_changed_rate_keeps_what_is_owed_and_caps_what_is_saved() {
        let mut budget = Budget::new(1_000, 0);
        budget.debit(1_800);
        // Half a second at the old rate, then half a one at the new.
        budget.set_rate(200, 500_000);
        assert_eq!((budget.bytes_per_second, budget.balance_bytes(500_000)), (200, -300));
        assert_eq!(budget.balance_bytes(1_000_000), -200);
        let mut budget = Budget::new(1_000, 0);
        budget.set_rate(200, 0);
        assert_eq!(budget.balance_bytes(0), 200);
        budget.set_rate(5_000, 0);
        assert_eq!(budget.balance_bytes(0), 200, "it earns at the new rate, from where it stood");
        assert_eq!(budget.balance_bytes(100_000), 700);
        budget.set_rate(u64::MAX, 100_000);
        assert_eq!(budget.bytes_per_second, BUDGET_LIMIT_BYTES_PER_SECOND);
    }

    #[test]
    fn credit_counts_data_frames_and_acknowledgements_are_cumulative() {
        let mut credit = Credit::new(2);
        credit.sent(5);
        assert!(!credit.is_spent());
        credit.sent(7);
        assert!(credit.is_spent());
        assert_eq!(credit.unacknowledged(), 2);
        credit.acknowledged(6);
        assert!(!credit.is_spent());
        assert_eq!(credit.unacknowledged(), 1);
        credit.acknowledged(7);
        credit.sent(8);
        assert!(!credit.is_spent());
    }
}
