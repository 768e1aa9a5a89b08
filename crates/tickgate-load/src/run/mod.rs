//! A run from its beginning to its report.
//!
//! Connect everybody, wait until all are ready, warm up, watch the window (or climb the ramp),
//! compare with the gateway's own answer, leave. The controller does nothing a client waits for: it
//! takes a second's figures from each thread and gives orders.

mod comparison;
mod ramp;
mod served;
mod sums;
mod swarms;

use std::{sync::Arc, time::Duration};

use anyhow::{Result, bail};

use self::{
    served::Served,
    sums::Sums,
    swarms::{Moment, Swarms},
};
use crate::{
    clock::Clock,
    directory::Directory,
    measure::{Counts, Tally, Timing},
    plan::{Plan, subprotocol},
    preflight,
    progress::Phase,
    report::{EventReport, Figures, Machine, Report, Second, VERSION},
    scenario::{Event, Scenario, Speaks, What},
    slo::Objectives,
    swarm::Order,
};

/// Share of clients that come and go by themselves and must be ready before the window begins.
const READY_SHARE: f64 = 0.9;

/// Share of those ready before an event that must be again: where clients come and go by
/// themselves, some are always away.
const BACK_SHARE: f64 = 0.98;

/// Seconds behind the window's end in which it shows whether a stall reaches past it.
const LOOK_ON_S: u32 = 2;

/// Most seconds that a window is longer than asked for. Who is silent for so long has broken a
/// promise, and that is counted by itself.
const LONGEST_OVERTIME_S: u32 = 30;

/// Who is told how a run goes on.
pub trait Audience {
    /// The run is here now.
    fn phase(&mut self, phase: &Phase);

    /// A second of the window is over: what it shows, healthy clients' measures in full, and how
    /// many clients there shall be.
    ///
    /// # Errors
    /// What cannot be written ends the run.
    fn second(&mut self, second: &Second, healthy: &Tally, clients: u32) -> Result<()>;
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The scenario, or what was typed over it, breaks a rule.
    #[error(transparent)]
    Scenario(anyhow::Error),
    /// The run could not begin.
    #[error(transparent)]
    Start(anyhow::Error),
    /// The run could not be carried out.
    #[error(transparent)]
    Running(anyhow::Error),
}

/// Runs a scenario.
///
/// # Errors
/// [`LoadError::Scenario`] names the first value that breaks a rule; [`LoadError::Start`] says what
/// is wrong with the target or this machine before a client connects; [`LoadError::Running`] that
/// clients did not become ready or a thread failed.
pub fn run(scenario: Scenario, audience: &mut dyn Audience) -> Result<Report, LoadError> {
    scenario.check().map_err(|invalid| LoadError::Scenario(invalid.into()))?;
    let (plan, clock) = prepare(scenario).map_err(LoadError::Start)?;
    carry_out(Arc::new(plan), clock, audience).map_err(LoadError::Running)
}

/// Finds out what the scenario leaves open: where the target is, what symbols it has, how its clock
/// goes.
fn prepare(scenario: Scenario) -> Result<(Plan, Clock)> {
    let url = scenario.target.url.clone();
    let subprotocol = subprotocol(scenario.target.speaks, &scenario.clients[0]);
    let target = preflight::check(&url, subprotocol, scenario.most_clients())?;
    let mut symbols = scenario.target.symbols.clone();
    let (mut ahead_us, mut remarks) = (0, Vec::new());
    if scenario.target.speaks == Speaks::Tickgate {
        let directory = Directory::ask(target.address, &url.parse()?)?;
        if symbols.is_empty() {
            symbols = directory.symbols;
        }
        // On one machine there is one clock.
        if !target.address.ip().is_loopback() {
            let (ahead, within) = directory.clock_ahead_us;
            ahead_us = ahead;
            remarks.push(format!(
                "the target's clock was {:.3} ms ahead of this machine's, to within {:.3} ms; that is \
                 taken out of all times, and what it drifts during the run is not",
                ahead as f64 / 1e3,
                within as f64 / 1e3,
            ));
        }
    }
    if symbols.is_empty() {
        symbols = (1..=scenario.target.made_up_symbols).map(|n| format!("SYM{n:04}")).collect();
    }
    let symbols = symbols.into_iter().map(Into::into).collect();
    Ok((Plan::new(scenario, target, symbols, remarks), Clock::start(ahead_us)))
}

fn carry_out(plan: Arc<Plan>, clock: Clock, audience: &mut dyn Audience) -> Result<Report> {
    let mut run = Run {
        swarms: Swarms::start(&plan, clock)?,
        sums: Sums::new(&plan.scenario),
        objectives: Objectives::parse(&plan.scenario.slo)?,
        served: Served::of(&plan.scenario.target),
        plan,
        clock,
        audience,
        clients: 0,
        ready: 0,
        opening: Tally::default(),
        violations_outside: 0,
    };
    run.connect()?;
    let began_at_us = run.clock.unix_us();
    let (mut events, mut steps) = (Vec::new(), None);
    // What breaks off in the middle still has something to tell.
    let watched = match run.plan.scenario.ramp {
        Some(ramp) => run.climb(ramp).map(|climbed| steps = Some(climbed)),
        None => run.watch().map(|watched| events = watched),
    };
    let plan = Arc::clone(&run.plan);
    let scenario = &plan.scenario;
    let healthy = run.sums.healthy(scenario);
    let mut invalid = run.sums.invalid(&healthy);
    invalid.extend(watched.err().map(|error| format!("the run broke off: {error:#}")));
    let mut remarks = run.sums.remarks(&healthy);
    remarks.extend(run.plan.remarks.iter().cloned());
    let absent = run.sums.absent(scenario);
    let comparison = run.compare().unwrap_or_else(|error| {
        invalid.push(format!("could not be compared with the gateway's own answer: {error:#}"));
        None
    });
    if comparison.as_ref().is_some_and(|comparison| comparison.compared == 0) {
        invalid.push("no state could be compared with the gateway's own answer".to_owned());
    }
    // A ramp is over when an objective breaks, and that is not a failure.
    let objectives = match steps {
        Some(_) => Vec::new(),
        None => run.objectives.judge(&run.judged(&healthy)),
    };
    if let Some(steps) = &steps
        && steps.held.is_none()
    {
        invalid.push("not even the first step of the ramp kept the objectives".to_owned());
    }
    Ok(Report {
        version: VERSION,
        generator: concat!("tickgate-load ", env!("CARGO_PKG_VERSION")).to_owned(),
        began_at_us,
        opening: run.opening.timings.spread(Timing::Ready),
        window_s: run.sums.length().as_secs_f64(),
        machine: Machine::this(),
        healthy: Figures::of(&healthy.counts, &healthy.timings),
        groups: run.sums.groups(scenario),
        curves: sums::curves(&healthy),
        own: run.sums.own(scenario.run.threads),
        server: run.served.report(run.sums.frames()),
        absent,
        violations_outside: run.violations_outside,
        violations: run.violations(began_at_us),
        seconds: std::mem::take(&mut run.sums.seconds),
        scenario: scenario.clone(),
        comparison,
        events,
        ramp: steps,
        objectives,
        invalid,
        remarks,
    })
}

struct Run<'a> {
    plan: Arc<Plan>,
    clock: Clock,
    swarms: Swarms,
    sums: Sums,
    objectives: Objectives,
    served: Served,
    audience: &'a mut dyn Audience,
    /// Clients there are.
    clients: u32,
    /// Clients that were ready when last looked at.
    ready: u32,
    /// Until when healthy clients were ready before the window.
    opening: Tally,
    /// Violations outside the window, of all but hostile clients.
    violations_outside: u64,
}

impl Run<'_> {
    /// Connects everybody, waits until they are ready, and warms up.
    fn connect(&mut self) -> Result<()> {
        let ramp = self.plan.scenario.ramp;
        for at in 0..self.plan.scenario.clients.len() {
            let count = self.plan.scenario.clients[at].count;
            let count = ramp.filter(|_| at == 0).map_or(count, |ramp| ramp.from);
            self.grow(at, count)?;
        }
        self.become_ready()?;
        let of = whole_seconds(self.plan.scenario.run.warm_up_s);
        for second in 0..of {
            let (elapsed_s, of_s) = (second.into(), of.into());
            self.audience.phase(&Phase::WarmUp { elapsed_s, of_s });
            let moment = self.swarms.next_second()?;
            self.pass(moment);
        }
        self.served.begin();
        Ok(())
    }

    /// Takes a second that is not part of the window: only what broke the protocol counts.
    fn pass(&mut self, moment: Moment) {
        let groups = self.plan.scenario.clients.iter().zip(&moment.groups);
        let violations = groups.filter(|(group, _)| !group.hostile);
        self.violations_outside +=
            violations.map(|(_, (tally, _, _))| tally.counts.violations).sum::<u64>();
        self.ready = moment.ready();
        self.sums.violations.extend(moment.violations);
    }

    /// What objectives are judged by: the window, and for how long clients took to be ready the
    /// opening where the window has none that did.
    fn judged(&self, healthy: &Tally) -> Tally {
        let mut judged = healthy.clone();
        if judged.timings.of(Timing::Ready).is_empty() {
            judged.timings.add_only(Timing::Ready, &self.opening.timings);
        }
        judged.counts.violations += self.violations_outside;
        judged
    }

    fn grow(&mut self, group: usize, count: u32) -> Result<()> {
        self.clients += count;
        self.swarms.grow(group, count)
    }

    /// Waits until everybody is ready who can be expected to.
    fn become_ready(&mut self) -> Result<()> {
        let run = &self.plan.scenario.run;
        let connecting_s = f64::from(self.clients) / run.connects_per_second;
        let patience = whole_seconds(run.ready_within_s + connecting_s);
        let mut told = Counts::default();
        for _ in 0..patience {
            let moment = self.swarms.next_second()?;
            for (tally, _, _) in &moment.groups {
                told.add(&tally.counts);
            }
            let healthy = healthy_of(&self.plan.scenario, &moment);
            self.opening.timings.add_only(Timing::Ready, &healthy.timings);
            let (ready, of) = (moment.ready(), self.clients);
            self.audience.phase(&Phase::Connecting { ready, of });
            let is_ready = is_ready(&self.plan.scenario, &moment, self.clients);
            self.pass(moment);
            if is_ready {
                return Ok(());
            }
            let clients = self.clients;
            if told.refused > u64::from(clients) * 3 {
                bail!("the target refuses clients: {}", words(&told));
            }
        }
        bail!(
            "not all of {} clients were ready within {patience} s (run.ready_within_s): {}",
            self.clients,
            words(&told)
        );
    }

    /// Watches the window.
    fn watch(&mut self) -> Result<Vec<EventReport>> {
        let length = whole_seconds(self.plan.scenario.run.duration_s);
        let mut events = Vec::new();
        let mut ready = self.ready;
        for second in 0..length {
            let (elapsed_s, of_s) = (second.into(), length.into());
            self.audience.phase(&Phase::Window { elapsed_s, of_s });
            let due = self.plan.scenario.events.iter().filter(|event| event.at_s as u32 == second);
            for event in due.cloned().collect::<Vec<_>>() {
                events.push((ready, self.begin(&event, second)?));
            }
            let moment = self.take_second()?;
            for (ready_before, event) in &mut events {
                let passed = f64::from(second + 1) - event.at_s;
                // It takes a second for the loss itself to show.
                let is_back = f64::from(moment.ready()) >= BACK_SHARE * f64::from(*ready_before);
                if event.recovered_after_s.is_none() && passed > 1.0 && is_back {
                    event.recovered_after_s = Some(passed);
                }
            }
            ready = moment.ready();
        }
        self.look_on()?;
        self.ready = ready;
        Ok(events.into_iter().map(|(_, event)| event).collect())
    }

    /// Healthy clients that have heard nothing for longer than a heartbeat, though they listen.
    fn unheard(&self, moment: &Moment) -> u32 {
        let groups = self.plan.scenario.clients.iter().zip(&moment.unheard);
        groups.filter(|(group, _)| group.is_healthy()).map(|(_, unheard)| unheard).sum()
    }

    /// Looks on behind the window's end. What waits in a stall is timed when it comes, so a window
    /// that ends in one goes on until it is over; otherwise these seconds do not count.
    fn look_on(&mut self) -> Result<()> {
        let mut behind = Vec::new();
        for _ in 0..LOOK_ON_S {
            behind.push(self.swarms.next_second()?);
        }
        if behind.last().is_none_or(|moment| self.unheard(moment) == 0) {
            behind.into_iter().for_each(|moment| self.pass(moment));
            return Ok(());
        }
        for moment in behind {
            self.absorb(&moment)?;
        }
        for _ in 0..LONGEST_OVERTIME_S {
            let moment = self.take_second()?;
            if self.unheard(&moment) == 0 {
                break;
            }
        }
        Ok(())
    }

    /// Takes a second of the window.
    fn take_second(&mut self) -> Result<Moment> {
        let moment = self.swarms.next_second()?;
        self.absorb(&moment)?;
        Ok(moment)
    }

    fn absorb(&mut self, moment: &Moment) -> Result<()> {
        let scenario = &self.plan.scenario;
        let rates = self.served.second();
        let second = self.sums.add(scenario, moment, rates);
        self.sums.violations.extend_from_slice(&moment.violations);
        self.audience.second(&second, &healthy_of(scenario, moment), self.clients)
    }

    fn begin(&mut self, event: &Event, second: u32) -> Result<EventReport> {
        let groups = &self.plan.scenario.clients;
        let concerned =
            |name: &str| event.groups.is_empty() || event.groups.iter().any(|n| n == name);
        let positions: Vec<usize> =
            (0..groups.len()).filter(|at| concerned(&groups[*at].name)).collect();
        let clients: f64 =
            positions.iter().map(|at| (f64::from(groups[*at].count) * event.share).round()).sum();
        let (share, groups) = (event.share, positions);
        let what = match event.what {
            What::Disconnect { back_within_s } => {
                let back_within = Duration::from_secs_f64(back_within_s);
                self.swarms.order_all(|| Order::Disconnect {
                    groups: groups.clone(),
                    share,
                    back_within,
                })?;
                format!("connections broke, back within {back_within_s} s")
            }
            What::Stall { for_s } => {
                let length = Duration::from_secs_f64(for_s);
                self.swarms.order_all(|| Order::Stall { groups: groups.clone(), share, length })?;
                format!("stopped reading for {for_s} s")
            }
        };
        Ok(EventReport {
            at_s: f64::from(second),
            what,
            clients: clients as u32,
            recovered_after_s: None,
        })
    }

    fn compare(&mut self) -> Result<Option<crate::report::Comparison>> {
        let scenario = &self.plan.scenario;
        let clients = scenario.run.compared_clients;
        if scenario.target.speaks != Speaks::Tickgate || clients == 0 {
            return Ok(None);
        }
        self.audience.phase(&Phase::Comparing);
        let violations = &mut self.sums.violations;
        let url = &scenario.target.url;
        let comparison = comparison::compare(&mut self.swarms, url, clients, violations)?;
        Ok(comparison)
    }

    /// Violations in full, their times counted from the window's beginning.
    fn violations(&mut self, began_at_us: i64) -> Vec<crate::report::ViolationReport> {
        let began_s = (began_at_us - self.clock.began_unix_us()) as f64 / 1e6;
        let mut violations = std::mem::take(&mut self.sums.violations);
        violations.iter_mut().for_each(|violation| violation.at_s -= began_s);
        violations
    }
}

fn healthy_of(scenario: &Scenario, moment: &Moment) -> Tally {
    sums::healthy(scenario, moment.groups.iter().map(|(tally, _, _)| tally))
}

/// True when everybody is ready who can be expected to be, of `ordered` clients. Threads that have
/// not taken an order yet have fewer.
fn is_ready(scenario: &Scenario, moment: &Moment, ordered: u32) -> bool {
    let there: u32 = moment.groups.iter().map(|(_, clients, _)| clients).sum();
    there == ordered
        && scenario.clients.iter().zip(&moment.groups).all(|(group, (_, clients, ready))| {
            let share = match group.lifetime_s {
                _ if group.hostile => 0.0,
                Some(_) => READY_SHARE,
                None => 1.0,
            };
            f64::from(*ready) >= f64::from(*clients) * share
        })
}

fn whole_seconds(seconds: f64) -> u32 {
    // Checked to be no more than a week when the scenario was read.
    seconds.ceil() as u32
}

fn words(counts: &Counts) -> String {
    let mut words: Vec<String> = Vec::new();
    let said = counts.refusals.iter().chain(&counts.closes);
    words.extend(said.map(|(what, count)| format!("{count} × {what}")));
    if counts.violations > 0 {
        words.push(format!("{} × breaking the protocol", counts.violations));
    }
    if words.is_empty() { "nothing was refused, they wait".to_owned() } else { words.join(", ") }
}
