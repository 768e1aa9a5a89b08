//! More clients step by step, until an objective breaks.

use anyhow::Result;

use super::{Run, served::Rates, sums::Sums, whole_seconds};
use crate::{
    progress::Phase,
    report::{Figures, RampReport, RampStep},
    scenario::Ramp,
};

impl Run<'_> {
    /// Climbs from the clients there are. Each step is judged by its own seconds alone, the first
    /// of which is left out: clients that have just come are served their snapshots in it.
    pub(super) fn climb(&mut self, ramp: Ramp) -> Result<RampReport> {
        let mut steps: Vec<RampStep> = Vec::new();
        let mut clients = ramp.from;
        loop {
            let moment = self.swarms.next_second()?;
            self.pass(moment);
            let (step, limits) = self.step(clients, whole_seconds(ramp.every_s))?;
            if let Some(limit) = limits.first() {
                return Ok(ended(
                    steps,
                    &format!("at {clients} clients it was the load's own: {limit}"),
                ));
            }
            let is_kept = step.objectives.iter().all(|verdict| verdict.is_kept);
            steps.push(step);
            if !is_kept {
                return Ok(ended(steps, "an objective broke"));
            }
            let more = ramp.step.min(ramp.to - clients);
            if more == 0 {
                return Ok(ended(steps, "every step kept the objectives: the limit is further up"));
            }
            clients += more;
            self.grow(0, more)?;
            if let Err(error) = self.become_ready() {
                return Ok(ended(steps, &format!("at {clients} clients: {error}")));
            }
        }
    }

    /// Watches a step; what of the load's own limits it met comes with it.
    fn step(&mut self, clients: u32, seconds: u32) -> Result<(RampStep, Vec<String>)> {
        let plan = std::sync::Arc::clone(&self.plan);
        let mut sums = Sums::new(&plan.scenario);
        let before = self.served.last();
        for second in 0..seconds {
            let (elapsed_s, of_s) = (second.into(), seconds.into());
            self.audience.phase(&Phase::Step { clients, elapsed_s, of_s });
            let moment = self.take_second()?;
            sums.add(&plan.scenario, &moment, Rates::default());
        }
        let healthy = sums.healthy(&plan.scenario);
        let step = RampStep {
            clients,
            figures: Figures::of(&healthy.counts, &healthy.timings),
            server_cores: self.served.cores_since(before),
            objectives: self.objectives.judge(&healthy),
        };
        Ok((step, sums.invalid(&healthy)))
    }
}

fn ended(steps: Vec<RampStep>, why: &str) -> RampReport {
    let kept = |step: &&RampStep| step.objectives.iter().all(|verdict| verdict.is_kept);
    let held = steps.iter().filter(kept).map(|step| step.clients).max();
    RampReport { held, ended: why.to_owned(), steps }
}
