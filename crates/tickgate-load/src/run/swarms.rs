//! The threads with clients, and their seconds put together.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    thread::JoinHandle,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use hdrhistogram::Histogram;
use mio::Waker;

use crate::{
    clock::Clock,
    measure::Tally,
    plan::Plan,
    report::ViolationReport,
    swarm::{Interval, Note, Order, Swarm},
};

/// Orders that may wait for a thread; the controller gives one and looks for what it did.
const ORDERS: usize = 64;

/// Intervals of each thread that may wait for the controller; past it the next interval covers
/// more seconds.
const NOTES: usize = 4;

/// Seconds by which a thread may be ahead of another.
const AHEAD_LIMIT: usize = 30;

/// A thread that has told nothing for so long hangs.
const SILENCE: Duration = Duration::from_secs(60);

/// The threads with clients.
pub(super) struct Swarms {
    threads: Vec<Handle>,
    notes: Receiver<Note>,
    /// Intervals of each thread that are not part of a second yet.
    waiting: Vec<VecDeque<Interval>>,
    /// Seconds that are put together.
    through: u64,
    /// Clients so far: the number of the next.
    clients: u32,
}

struct Handle {
    orders: SyncSender<Order>,
    waker: Waker,
    thread: Option<JoinHandle<()>>,
}

/// A second of all threads together.
pub(super) struct Moment {
    /// Seconds since the run began that are over.
    pub(super) through: u64,
    /// How long it was; longer than a second when the load was late.
    pub(super) length: Duration,
    /// Each group's measures, clients and ready clients.
    pub(super) groups: Vec<(Tally, u32, u32)>,
    /// Clients of each group that listen and have heard nothing for longer than a heartbeat.
    pub(super) unheard: Vec<u32>,
    /// Share of a core of the busiest thread, where the kernel says.
    pub(super) busiest: Option<f64>,
    /// The same with the time that they waited for a core.
    pub(super) pressed: Option<f64>,
    /// CPU time of all threads.
    pub(super) cpu: Option<Duration>,
    /// Longest time that a thread waited for a core.
    pub(super) waited: Duration,
    /// How long what had arrived may have waited to be read, microseconds.
    pub(super) delay_us: Histogram<u64>,
    /// Violations in full.
    pub(super) violations: Vec<ViolationReport>,
}

impl Moment {
    /// Clients that are ready.
    pub(super) fn ready(&self) -> u32 {
        self.groups.iter().map(|(_, _, ready)| ready).sum()
    }
}

impl Swarms {
    /// Starts the threads, without clients.
    pub(super) fn start(plan: &Arc<Plan>, clock: Clock) -> Result<Self> {
        let count = usize::from(plan.scenario.run.threads);
        let (sender, notes) = sync_channel(NOTES * count);
        let start = |at: usize| -> Result<Handle> {
            let (orders, taken) = sync_channel(ORDERS);
            let (swarm, waker) = Swarm::new(Arc::clone(plan), at, clock, taken, sender.clone())?;
            let thread = std::thread::Builder::new()
                .name(format!("load-{at}"))
                .spawn(move || swarm.run())
                .context("cannot start a thread")?;
            Ok(Handle { orders, waker, thread: Some(thread) })
        };
        let threads = (0..count).map(start).collect::<Result<_>>()?;
        let waiting = (0..count).map(|_| VecDeque::new()).collect();
        Ok(Self { threads, notes, waiting, through: 0, clients: 0 })
    }

    /// More clients of a group, spread over the threads.
    pub(super) fn grow(&mut self, group: usize, count: u32) -> Result<()> {
        let threads = u32::try_from(self.threads.len())?;
        for at in 0..threads {
            let share = count / threads + u32::from(at < count % threads);
            let order = Order::Grow { group, first: self.clients, count: share };
            self.clients += share;
            self.order(at as usize, order)?;
        }
        Ok(())
    }

    /// The same order to every thread.
    pub(super) fn order_all(&self, order: impl Fn() -> Order) -> Result<()> {
        (0..self.threads.len()).try_for_each(|at| self.order(at, order()))
    }

    /// An order to one thread.
    pub(super) fn order(&self, at: usize, order: Order) -> Result<()> {
        let handle = &self.threads[at];
        handle.orders.send(order).ok().context("a thread of the load has ended")?;
        handle.waker.wake().context("cannot wake a thread of the load")
    }

    /// Waits for the next second to be over in all threads.
    pub(super) fn next_second(&mut self) -> Result<Moment> {
        loop {
            let ends = self.waiting.iter().map(|waiting| waiting.back().map_or(0, |i| i.through));
            let over = ends.min().unwrap_or(0);
            if over > self.through {
                self.through = over;
                return Ok(self.moment(over));
            }
            match self.next_note()? {
                Note::Interval(interval) => {
                    let waiting = &mut self.waiting[interval.thread];
                    waiting.push_back(*interval);
                    ensure!(waiting.len() < AHEAD_LIMIT, "a thread of the load hangs");
                }
                Note::Failed(error) => return Err(error.context("a thread of the load failed")),
                Note::Comparing(_) | Note::Compared(..) => {}
            }
        }
    }

    /// Waits for a note that `take` wants; seconds that pass meanwhile are forgotten, but for their
    /// violations, which are added to `violations`.
    pub(super) fn next_matching<T>(
        &mut self,
        violations: &mut Vec<ViolationReport>,
        take: impl Fn(Note) -> Option<T>,
    ) -> Result<T> {
        loop {
            match self.next_note()? {
                Note::Interval(mut interval) => violations.append(&mut interval.violations),
                Note::Failed(error) => return Err(error.context("a thread of the load failed")),
                note => {
                    if let Some(taken) = take(note) {
                        return Ok(taken);
                    }
                }
            }
        }
    }

    fn next_note(&self) -> Result<Note> {
        match self.notes.recv_timeout(SILENCE) {
            Ok(note) => Ok(note),
            Err(RecvTimeoutError::Timeout) => bail!("a thread of the load hangs"),
            Err(RecvTimeoutError::Disconnected) => bail!("a thread of the load has ended"),
        }
    }

    fn moment(&mut self, through: u64) -> Moment {
        let mut all = Vec::new();
        for waiting in &mut self.waiting {
            while waiting.front().is_some_and(|interval| interval.through <= through) {
                all.extend(waiting.pop_front());
            }
        }
        let groups = all.first().map_or(0, |interval| interval.groups.len());
        let mut moment = Moment {
            through,
            length: Duration::ZERO,
            groups: (0..groups).map(|_| (Tally::default(), 0, 0)).collect(),
            unheard: vec![0; groups],
            busiest: None,
            pressed: None,
            cpu: None,
            waited: Duration::ZERO,
            delay_us: Histogram::new_from(&all[0].delay_us),
            violations: Vec::new(),
        };
        let mut last = vec![None; self.threads.len()];
        for (at, interval) in all.iter_mut().enumerate() {
            let share = |time: Duration| time.div_duration_f64(interval.length);
            let (ran, pressed) = (
                interval.scheduled.map(|s| share(s.ran)),
                interval.scheduled.map(|s| share(s.ran + s.waited)),
            );
            moment.busiest = moment.busiest.max_share(ran);
            moment.pressed = moment.pressed.max_share(pressed);
            if let Some(scheduled) = interval.scheduled {
                moment.cpu = Some(moment.cpu.unwrap_or_default() + scheduled.ran);
                moment.waited = moment.waited.max(scheduled.waited);
            }
            moment.length = moment.length.max(interval.length);
            moment.delay_us.add(&interval.delay_us).expect("both have the same bounds");
            moment.violations.append(&mut interval.violations);
            for (sum, group) in moment.groups.iter_mut().zip(&interval.groups) {
                sum.0.add(&group.tally);
            }
            last[interval.thread] = Some(at);
        }
        // Clients are counted at the end, so only each thread's last interval counts.
        for at in last.into_iter().flatten() {
            for (sum, group) in moment.groups.iter_mut().zip(&all[at].groups) {
                sum.1 += group.clients;
                sum.2 += group.ready;
            }
            for (sum, group) in moment.unheard.iter_mut().zip(&all[at].groups) {
                *sum += group.unheard;
            }
        }
        moment
    }
}

impl Drop for Swarms {
    fn drop(&mut self) {
        for at in 0..self.threads.len() {
            // A thread that has ended needs no order.
            let _ = self.order(at, Order::Stop);
        }
        // Nobody takes notes any more: a thread that waits to tell one ends.
        let (_, nobody) = sync_channel(0);
        self.notes = nobody;
        for handle in &mut self.threads {
            if let Some(thread) = handle.thread.take() {
                // Its panic was printed when it happened.
                let _ = thread.join();
            }
        }
    }
}

/// The greater of two shares that may be unknown.
trait MaxShare {
    fn max_share(self, other: Self) -> Self;
}

impl MaxShare for Option<f64> {
    fn max_share(self, other: Self) -> Self {
        match (self, other) {
            (Some(one), Some(other)) => Some(one.max(other)),
            (one, other) => one.or(other),
        }
    }
}
