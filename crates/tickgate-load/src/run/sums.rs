//! What the seconds of a window add up to.

use std::time::Duration;

use hdrhistogram::Histogram;

use super::{served::Rates, swarms::Moment};
use crate::{
    measure::{Tally, Timing},
    report::{Curve, Figures, GroupFigures, Own, Second, ViolationReport},
    scenario::Scenario,
};

/// A second of which a thread ran, or waited for a core, more than this share may show the load's
/// own limit instead of the server's.
const BUSY_LIMIT: f64 = 0.9;

/// Share of seconds that may be as busy before the run is worthless.
const BUSY_SECONDS: f64 = 0.05;

/// Own delay that is of no concern, microseconds, however short the times are.
const DELAY_US: u64 = 1_000;

/// Points of a quantile plot between two halvings of the distance to 1.
const POINTS_A_HALVING: u32 = 5;

/// What the seconds of a window add up to.
pub(super) struct Sums {
    /// Each group's measures, its clients at the end and those of them that were ready.
    groups: Vec<(Tally, u32, u32)>,
    pub(super) seconds: Vec<Second>,
    began_at: Option<u64>,
    length: Duration,
    cpu: Option<Duration>,
    busiest: Vec<f64>,
    /// The same with the time that they waited for a core.
    pressed: Vec<f64>,
    waited: Duration,
    delay_us: Option<Histogram<u64>>,
    pub(super) violations: Vec<ViolationReport>,
}

impl Sums {
    pub(super) fn new(scenario: &Scenario) -> Self {
        Self {
            groups: scenario.clients.iter().map(|_| (Tally::default(), 0, 0)).collect(),
            seconds: Vec::new(),
            began_at: None,
            length: Duration::ZERO,
            cpu: None,
            busiest: Vec::new(),
            pressed: Vec::new(),
            waited: Duration::ZERO,
            delay_us: None,
            violations: Vec::new(),
        }
    }

    /// Adds a second, and tells what it shows.
    pub(super) fn add(&mut self, scenario: &Scenario, moment: &Moment, rates: Rates) -> Second {
        let began_at = *self.began_at.get_or_insert(moment.through - 1);
        self.length += moment.length;
        for (sum, (tally, clients, ready)) in self.groups.iter_mut().zip(&moment.groups) {
            sum.0.add(tally);
            (sum.1, sum.2) = (*clients, *ready);
        }
        if let Some(cpu) = moment.cpu {
            *self.cpu.get_or_insert_default() += cpu;
        }
        self.busiest.extend(moment.busiest);
        self.pressed.extend(moment.pressed);
        self.waited += moment.waited;
        match &mut self.delay_us {
            Some(sum) => sum.add(&moment.delay_us).expect("both have the same bounds"),
            none => *none = Some(moment.delay_us.clone()),
        }
        let healthy = healthy(scenario, moment.groups.iter().map(|(tally, _, _)| tally));
        let second = Second {
            at_s: (moment.through - began_at) as f64,
            length_s: moment.length.as_secs_f64(),
            ready: moment.ready(),
            figures: Figures::of(&healthy.counts, &healthy.timings),
            own_share: moment.busiest,
            server_cores: rates.cores,
            server_resident_bytes: rates.resident_bytes,
            server_ticks_per_second: rates.ticks_per_second,
        };
        self.seconds.push(second.clone());
        second
    }

    /// How long the window was.
    pub(super) fn length(&self) -> Duration {
        self.length
    }

    /// Healthy clients together; violations of all that play by the rules.
    pub(super) fn healthy(&self, scenario: &Scenario) -> Tally {
        healthy(scenario, self.groups.iter().map(|(tally, _, _)| tally))
    }

    /// Each group.
    pub(super) fn groups(&self, scenario: &Scenario) -> Vec<GroupFigures> {
        let groups = scenario.clients.iter().zip(&self.groups);
        let figures = groups.map(|(group, (tally, clients, _))| GroupFigures {
            name: group.name.clone(),
            clients: *clients,
            is_healthy: group.is_healthy(),
            figures: Figures::of(&tally.counts, &tally.timings),
        });
        figures.collect()
    }

    /// Frames that all clients received.
    pub(super) fn frames(&self) -> u64 {
        self.groups.iter().map(|(tally, _, _)| tally.counts.frames).sum()
    }

    /// What the load itself took.
    pub(super) fn own(&self, threads: u16) -> Own {
        let frames = self.frames();
        let mean = self.busiest.iter().sum::<f64>() / self.busiest.len() as f64;
        let is_known = !self.busiest.is_empty();
        Own {
            threads,
            cost_per_frame_us: self
                .cpu
                .filter(|_| frames > 0)
                .map(|cpu| cpu.as_secs_f64() * 1e6 / frames as f64),
            busy_share: is_known.then_some(mean),
            most_busy_share: self.busiest.iter().copied().reduce(f64::max),
            delay: self.delay_us.as_ref().and_then(crate::measure::Spread::of),
        }
    }

    /// Healthy clients that are not ready at the end; of those that come and go by themselves the
    /// part above a tenth.
    pub(super) fn absent(&self, scenario: &Scenario) -> u32 {
        let groups = scenario.clients.iter().zip(&self.groups);
        let absent =
            groups.filter(|(group, _)| group.is_healthy()).map(|(group, (_, all, ready))| {
                let expected = if group.lifetime_s.is_some() { all - all / 10 } else { *all };
                expected.saturating_sub(*ready)
            });
        absent.sum()
    }

    /// Why the figures are worthless; empty is what it should be.
    pub(super) fn invalid(&self, healthy: &Tally) -> Vec<String> {
        let mut invalid = Vec::new();
        if healthy.counts.updates == 0 {
            invalid.push("no healthy client received an update: is the feed running?".to_owned());
        }
        let busy = self.pressed.iter().filter(|share| **share > BUSY_LIMIT).count();
        if busy as f64 > BUSY_SECONDS * self.pressed.len() as f64 {
            invalid.push(format!(
                "a thread of the load ran or waited for a core for more than {BUSY_LIMIT} of the time in {busy} of {} \
                 seconds: the load may be the limit; give it more threads, cores or machines",
                self.pressed.len(),
            ));
        }
        let p99 = |histogram: &Histogram<u64>| histogram.value_at_quantile(0.99);
        let transit_us = p99(healthy.timings.of(Timing::Transit));
        let delay_us = self.delay_us.as_ref().map_or(0, p99);
        if delay_us > DELAY_US && delay_us > transit_us / 2 {
            invalid.push(format!(
                "what had arrived waited for up to {:.1} ms (p99) to be read by the load, more than \
                 half of the transit's p99; give it more threads, cores or machines",
                delay_us as f64 / 1e3,
            ));
        }
        invalid
    }

    /// What should be known about the machine.
    pub(super) fn remarks(&self, healthy: &Tally) -> Vec<String> {
        let mut remarks = Vec::new();
        if self.busiest.is_empty() {
            let what =
                "how busy the load's threads were is not known: no /proc/thread-self/schedstat";
            remarks.push(what.to_owned());
        }
        if healthy.counts.feed_stale > 0 {
            remarks.push(format!(
                "clients were told that the feed is stale, {} times in all",
                healthy.counts.feed_stale
            ));
        }
        let share = self.waited.as_secs_f64() / self.length.as_secs_f64().max(1.0);
        if share >= 0.05 {
            let percent = share * 100.0;
            remarks.push(format!(
                "a thread of the load waited for a core for {percent:.0} % of the window: other \
                 processes, or the server itself, share the machine's cores"
            ));
        }
        remarks
    }
}

pub(super) fn healthy<'a>(scenario: &Scenario, tallies: impl Iterator<Item = &'a Tally>) -> Tally {
    let mut sum = Tally::default();
    for (group, tally) in scenario.clients.iter().zip(tallies) {
        if group.is_healthy() {
            sum.add(tally);
        } else if !group.hostile {
            sum.counts.violations += tally.counts.violations;
        }
    }
    sum
}

/// Points of the quantile plots of what was measured.
pub(super) fn curves(tally: &Tally) -> Vec<Curve> {
    let measured = Timing::ALL.into_iter().filter(|timing| !tally.timings.of(*timing).is_empty());
    let curve = |timing| {
        let quantiles = tally.timings.of(timing).iter_quantiles(POINTS_A_HALVING);
        let point = |value: hdrhistogram::iterators::IterationValue<u64>| {
            (value.quantile_iterated_to(), value.value_iterated_to())
        };
        Curve { timing, points: quantiles.map(point).collect() }
    };
    measured.map(curve).collect()
}
