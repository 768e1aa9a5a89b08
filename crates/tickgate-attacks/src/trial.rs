//! One attack from start to verdict.

use std::{
    path::Path,
    sync::atomic::AtomicU32,
    thread,
    time::{Duration, Instant},
};

use anyhow::Result;
use tickgate_benches::process::descriptor_limit;

use crate::{
    attack::{Arena, Attack, Tally},
    cores::go_last,
    gateway::{Deadlines, Gateway},
    healthy::{Fleet, Window},
};

/// Most that the gateway's own memory may grow by while it is attacked.
pub const GROWTH_LIMIT_BYTES: u64 = 16 << 20;

/// How often the gateway's memory is looked at during an attack.
const MEMORY_INTERVAL: Duration = Duration::from_millis(50);

/// Between an attack's end and the next quiet window: what it left behind leaves.
const PAUSE: Duration = Duration::from_millis(500);

/// Longest quiet window: p99 of two hundred clients needs no more.
const QUIET_LIMIT: Duration = Duration::from_secs(3);

/// Descriptors that are for other things than offenders.
const DESCRIPTORS_APART: usize = 400;

/// In a window of this length a client that reads has received a heartbeat, whatever else.
const SERVED_WITHIN: Duration = Duration::from_secs(3);

/// How an attack is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// How long it is attacked, over all windows.
    pub attacked: Duration,
    /// Windows of attack, each behind a quiet one; at least 1.
    pub pairs: u32,
    /// Healthy clients beside it.
    pub clients: usize,
    /// The gateway has a core to itself ([`crate::cores`]).
    pub pinned: bool,
}

impl Plan {
    /// Length of a window of attack.
    #[must_use]
    pub fn window(&self) -> Duration {
        self.attacked / self.pairs.max(1)
    }

    /// Length of a quiet window.
    #[must_use]
    pub fn quiet(&self) -> Duration {
        self.window().min(QUIET_LIMIT)
    }

    /// Connections that descriptors allow; each takes two here, its socket and what waits for it.
    ///
    /// # Errors
    /// When the limit cannot be read.
    pub fn connection_limit(&self) -> Result<usize> {
        Ok(descriptor_limit()?.saturating_sub(self.clients + DESCRIPTORS_APART) / 2)
    }
}

/// Figures of a quiet window and the attacked one behind it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pair {
    /// p99 from `sent_at_us` to receipt, quiet and attacked, microseconds.
    pub transit_us: (u64, u64),
    /// p99 from the venue's time to receipt of quotes asked for as they happen, microseconds.
    pub tick_us: (u64, u64),
    /// Share of a core that the gateway's workers used, quiet and attacked, in thousandths.
    pub worker_per_mille: (u64, u64),
}

/// What came of it.
#[derive(Debug)]
pub struct Trial {
    /// The attack's name and what it does.
    pub name: &'static str,
    /// See [`Attack::does`].
    pub does: &'static str,
    /// The gateway's memory before the first window, bytes.
    pub before_bytes: u64,
    /// How much more it had at most from then on, bytes.
    pub growth_bytes: u64,
    /// The healthy clients' figures.
    pub pairs: Vec<Pair>,
    /// The offenders' account.
    pub tally: Tally,
    /// Why it was not withstood; empty when it was.
    pub faults: Vec<String>,
}

/// Starts a gateway and its healthy clients, attacks, and judges.
///
/// # Errors
/// When gateway or healthy clients do not come up, or the gateway is gone at the end.
pub fn run(attack: &Attack, plan: &Plan, binary: &Path) -> Result<Trial> {
    let mut gateway = Gateway::start(binary, Deadlines::within(plan.window()), plan.pinned)?;
    let fleet = Fleet::start(gateway.address, plan.clients)?;
    gateway.settle()?;
    let symbols = fleet.symbols();
    let sources = AtomicU32::new(0);
    let connection_limit = plan.connection_limit()?;
    let closes_before = attack.closes.map(|reason| gateway.closes(reason.name())).transpose()?;
    let before_bytes = gateway.memory_bytes()?;
    let mut trial = Trial {
        name: attack.name,
        does: attack.does,
        before_bytes,
        growth_bytes: 0,
        pairs: Vec::new(),
        tally: Tally::default(),
        faults: Vec::new(),
    };
    let mut most_bytes = before_bytes;
    for _ in 0..plan.pairs.max(1) {
        fleet.take_window();
        let began = Reading::of(&gateway)?;
        thread::sleep(plan.quiet());
        let quiet = fleet.take_window();
        let middle = Reading::of(&gateway)?;
        let until = Instant::now() + plan.window();
        let arena = Arena {
            address: gateway.address,
            symbols: &symbols,
            connection_limit,
            until,
            sources: &sources,
        };
        let tally = &mut trial.tally;
        thread::scope(|scope| -> Result<()> {
            let offender = scope.spawn(|| {
                // An offender at the same priority only takes more of what is not the gateway's.
                let _ = go_last();
                (attack.run)(&arena, tally);
            });
            while !offender.is_finished() {
                most_bytes = most_bytes.max(gateway.memory_bytes()?);
                thread::sleep(MEMORY_INTERVAL);
            }
            Ok(())
        })?;
        let attacked = fleet.take_window();
        let end = Reading::of(&gateway)?;
        if plan.window() >= SERVED_WITHIN && attacked.served.len() < fleet.clients() {
            let silent = fleet.clients() - attacked.served.len();
            trial.faults.push(format!("{silent} healthy clients received nothing in a window"));
        }
        let worker_per_mille = (middle.per_mille_since(&began), end.per_mille_since(&middle));
        trial.pairs.push(Pair::of(quiet, attacked, worker_per_mille));
        thread::sleep(PAUSE);
        most_bytes = most_bytes.max(gateway.memory_bytes()?);
    }
    trial.growth_bytes = most_bytes - before_bytes;
    if trial.growth_bytes > GROWTH_LIMIT_BYTES {
        let (found, limit) = (mebibytes(trial.growth_bytes), mebibytes(GROWTH_LIMIT_BYTES));
        trial.faults.push(format!("memory grew by {found} MiB, above {limit} MiB"));
    }
    trial.faults.extend(fleet.faults());
    trial.faults.extend(attack.judge(&trial.tally));
    if let (Some(reason), Some(before)) = (attack.closes, closes_before)
        && gateway.closes(reason.name())? <= before
    {
        trial.faults.push(format!("the gateway counts no session closed as {}", reason.name()));
    }
    if !gateway.is_running() {
        trial.faults.push("the gateway is gone".to_owned());
    }
    Ok(trial)
}

/// What the gateway's workers had used at one moment.
struct Reading {
    at: Instant,
    seconds: f64,
}

impl Reading {
    fn of(gateway: &Gateway) -> Result<Self> {
        Ok(Self { at: Instant::now(), seconds: gateway.worker_seconds()? })
    }

    fn per_mille_since(&self, earlier: &Self) -> u64 {
        let wall = self.at.duration_since(earlier.at).as_secs_f64();
        ((self.seconds - earlier.seconds) / wall * 1_000.0).round() as u64
    }
}

impl Pair {
    fn of(quiet: Window, attacked: Window, worker_per_mille: (u64, u64)) -> Self {
        Self {
            worker_per_mille,
            transit_us: (p99(quiet.transit_us), p99(attacked.transit_us)),
            tick_us: (p99(quiet.tick_us), p99(attacked.tick_us)),
        }
    }
}

impl Trial {
    /// Median over the pairs of the attacked p99 against the quiet one.
    #[must_use]
    pub fn ratio(&self, figure: impl Fn(&Pair) -> (u64, u64)) -> f64 {
        let ratios = self.pairs.iter().map(figure);
        median(ratios.map(|(quiet, attacked)| attacked as f64 / quiet.max(1) as f64).collect())
    }

    /// Medians over the pairs of the quiet and the attacked figure, in thousands: milliseconds of a
    /// p99.
    #[must_use]
    pub fn medians_ms(&self, figure: impl Fn(&Pair) -> (u64, u64)) -> (f64, f64) {
        let of = |pick: fn((u64, u64)) -> u64| {
            median(self.pairs.iter().map(|pair| pick(figure(pair)) as f64 / 1_000.0).collect())
        };
        (of(|pair| pair.0), of(|pair| pair.1))
    }
}

/// Bytes as MiB with a decimal.
#[must_use]
pub fn mebibytes(bytes: u64) -> String {
    format!("{:.1}", bytes as f64 / f64::from(1 << 20))
}

/// The 99th percentile; 0 of nothing.
fn p99(mut samples: Vec<u64>) -> u64 {
    samples.sort_unstable();
    let rank = (samples.len() * 99).div_ceil(100);
    samples.get(rank.saturating_sub(1)).copied().unwrap_or(0)
}

/// The middle one, or the mean of the two in the middle; NaN of nothing.
fn median(mut samples: Vec<f64>) -> f64 {
    samples.sort_by(f64::total_cmp);
    let middle = samples.len() / 2;
    match samples.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => samples[middle],
        _ => f64::midpoint(samples[middle - 1], samples[middle]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_and_medians() {
        assert_eq!(p99((1..=100).rev().collect()), 99);
        assert_eq!(p99((1..=1000).collect()), 990);
        assert_eq!(p99(vec![7]), 7);
        assert_eq!(p99(Vec::new()), 0);
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
    }

    #[test]
    fn a_plan_divides_its_time() {
        let plan =
            Plan { attacked: Duration::from_secs(60), pairs: 10, clients: 200, pinned: false };
        assert_eq!(plan.window(), Duration::from_secs(6));
        assert_eq!(plan.quiet(), QUIET_LIMIT);
    }
}
