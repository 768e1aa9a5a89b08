//! When ticks happen: calm stretches and bursts, on a fixed average.
//!
//! Time is cut into cycles of random length: a calm stretch, then a burst. A cycle holds exactly as
//! many ticks as the average rate asks for (the fraction left over goes to the next cycle); the
//! burst takes its share of them. Within a stretch each tick has a slot of equal length and a
//! random place in it, so that times never go back and no rounding accumulates.

use super::{config::SimulatedConfig, random::Random};

const NS_PER_MS: u64 = 1_000_000;
const NS_PER_S: u128 = 1_000_000_000;

/// The times of all ticks, one after the other; nanoseconds since the schedule began.
#[derive(Debug)]
pub(crate) struct Schedule {
    random: Random,
    ticks_per_second: u64,
    burst_interval_ms: u64,
    burst_length_ms: u64,
    burst_factor: u64,
    /// Ticks owed to the next cycle, in billionths.
    owed: u128,
    stretch: Stretch,
    /// The burst that ends the running cycle, until it begins.
    burst: Option<Stretch>,
    upcoming_ns: i64,
}

/// Ticks spread evenly over a span of time.
#[derive(Debug, Clone, Copy)]
struct Stretch {
    start_ns: u64,
    length_ns: u64,
    /// Length of one tick's slot, in 1/65,536 ns.
    slot: u64,
    ticks: u64,
    given: u64,
}

impl Stretch {
    fn new(start_ns: u64, length_ns: u64, ticks: u64) -> Self {
        // The longest cycle is 900 s, or 2^40 ns: shifted by 16 it fits with room to spare.
        let slot = (length_ns << 16) / ticks.max(1);
        Self { start_ns, length_ns, slot, ticks, given: 0 }
    }

    fn end_ns(&self) -> u64 {
        self.start_ns + self.length_ns
    }
}

impl Schedule {
    pub(crate) fn new(config: &SimulatedConfig) -> Self {
        let mut schedule = Self {
            random: Random::new(config.seed, 1),
            ticks_per_second: config.ticks_per_second.into(),
            burst_interval_ms: config.burst_interval_ms.into(),
            burst_length_ms: config.burst_length_ms.into(),
            burst_factor: config.burst_factor.into(),
            owed: 0,
            stretch: Stretch::new(0, 0, 0),
            burst: None,
            upcoming_ns: 0,
        };
        schedule.advance();
        schedule
    }

    /// The time of the next tick.
    pub(crate) fn upcoming_ns(&self) -> i64 {
        self.upcoming_ns
    }

    /// Moves on to the tick after it.
    pub(crate) fn advance(&mut self) {
        while self.stretch.given == self.stretch.ticks {
            match self.burst.take() {
                Some(burst) => self.stretch = burst,
                None => self.begin_cycle(),
            }
        }
        let place = u64::from(self.random.bits32() >> 16);
        let stretch = &mut self.stretch;
        let offset = (stretch.given * stretch.slot + ((place * stretch.slot) >> 16)) >> 16;
        stretch.given += 1;
        self.upcoming_ns = (stretch.start_ns + offset) as i64;
    }

    fn begin_cycle(&mut self) {
        let start_ns = self.stretch.end_ns();
        let interval = self.burst_interval_ms;
        let cycle_ms = self.random.between(interval - interval / 2, interval + interval / 2);
        let burst_ms = self
            .random
            .between(SimulatedConfig::BURST_FLOOR_MS.into(), self.burst_length_ms)
            .min(cycle_ms);
        let calm_ms = cycle_ms - burst_ms;
        self.owed += u128::from(self.ticks_per_second * cycle_ms * NS_PER_MS);
        let ticks = (self.owed / NS_PER_S) as u64;
        self.owed %= NS_PER_S;
        let weight = burst_ms * self.burst_factor;
        let in_burst = ticks * weight / (weight + calm_ms);
        self.stretch = Stretch::new(start_ns, calm_ms * NS_PER_MS, ticks - in_burst);
        self.burst = Some(Stretch::new(self.stretch.end_ns(), burst_ms * NS_PER_MS, in_burst));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(config: &SimulatedConfig, count: usize) -> Vec<i64> {
        let mut schedule = Schedule::new(config);
        (0..count)
            .map(|_| {
                let time = schedule.upcoming_ns();
                schedule.advance();
                time
            })
            .collect()
    }

    #[test]
    fn times_never_go_back_and_keep_the_average() {
        for rate in [10, 333, 20_000, 2_000_000] {
            let config = SimulatedConfig { ticks_per_second: rate, ..Default::default() };
            let count = (rate as usize * 60).min(20_000_000);
            let times = times(&config, count);
            assert!(times.is_sorted(), "rate {rate}");
            let seconds = times[count - 1] as f64 / 1e9;
            let measured = count as f64 / seconds;
            // A cycle in progress may be off by its burst: a few seconds' worth of a longer run.
            let error = (measured / f64::from(rate) - 1.0).abs();
            assert!(error < 0.5 / seconds.max(1.0) + 0.02 || error < 0.1, "{rate}: {measured}");
        }
    }

    #[test]
    fn bursts_run_at_a_multiple_of_the_calm_rate() {
        let config = SimulatedConfig { burst_factor: 8, ..Default::default() };
        let times = times(&config, 20_000 * 30);
        let mut per_ms = vec![0u32; (times[times.len() - 1] / 1_000_000) as usize + 1];
        for time in times {
            per_ms[(time / 1_000_000) as usize] += 1;
        }
        per_ms.sort_unstable();
        let (calm, burst) = (per_ms[per_ms.len() / 2], per_ms[per_ms.len() * 99 / 100]);
        assert!(burst >= 6 * calm && burst <= 12 * calm, "calm {calm}, burst {burst} in a ms");
    }

    #[test]
    fn a_factor_of_one_is_even() {
        let config = SimulatedConfig { burst_factor: 1, ..Default::default() };
        let times = times(&config, 200_000);
        let slowest = times.windows(2).map(|pair| pair[1] - pair[0]).max();
        assert!(slowest < Some(150_000), "{slowest:?} ns between two ticks of 20,000 a second");
    }
}
