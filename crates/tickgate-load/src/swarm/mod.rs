//! Thousands of clients in one thread.
//!
//! One loop: wait for sockets, serve those that have something, do what is due, hand over what was
//! measured once a second. Nothing waits for anything but the sockets; when the controller is late,
//! an interval covers more seconds.

mod hand_over;
mod obey;
mod order;

use std::{
    io::ErrorKind,
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender},
    },
    time::Duration,
};

use anyhow::{Context, Result};
use mio::{Events, Poll, Token, Waker};
use rand::RngExt;
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};

use self::hand_over::OwnInterval;
pub(crate) use self::order::{GroupInterval, Interval, Note, Order};
use crate::{
    client::{Change, Client, PATIENCE, SLOW_READ, State},
    clock::Clock,
    measure::Tally,
    plan::Plan,
    process::Scheduled,
    report::ViolationReport,
    scenario::{Acknowledge, Reads},
    timers::{Due, Timer, Timers},
    watchlist::Watchlists,
};

/// Shared by all clients for one read; the largest frame that can be taken.
const BUFFER_BYTES: usize = 1024 * 1024;

/// Events taken from the kernel at once.
const EVENTS: usize = 1_024;

/// Token of the waker; no client has it.
const WAKER: Token = Token(usize::MAX);

/// Longest time between two looks at the clock.
const LONGEST_WAIT: Duration = Duration::from_millis(100);

/// A wait for events of at least this was a wait: nothing had been there before.
const WAITED_US: i64 = 30;

/// Between two attacks that nobody answers.
const ATTACK_EVERY: Duration = Duration::from_millis(20);

/// Bounds of the wait before coming back after a loss; doubled at each loss, of which any part is
/// waited (full jitter).
const COME_BACK_MS: (u64, u64) = (250, 8_000);

/// Violations that a thread tells in full; the others are counted.
const VIOLATIONS_TOLD: usize = 10;

/// A second in the swarm's unit.
const SECOND_US: i64 = 1_000_000;

/// Thousands of clients in one thread.
#[derive(Debug)]
pub(crate) struct Swarm {
    plan: Arc<Plan>,
    thread: usize,
    clock: Clock,
    poll: Poll,
    orders: Receiver<Order>,
    notes: SyncSender<Note>,
    clients: Vec<Client>,
    tallies: Vec<Tally>,
    watchlists: Vec<Watchlists>,
    random: ChaCha8Rng,
    timers: Timers,
    /// Clients with more to read that no event will tell of; each once ([`Client::is_queued`]).
    again: Vec<usize>,
    buffer: Vec<u8>,
    /// When the next connection may be begun, microseconds of the clock.
    next_connect_us: i64,
    compared: Vec<usize>,
    /// What of the interval is not a group's.
    own: OwnInterval,
    violations_told: usize,
}

impl Swarm {
    /// A swarm without clients, and what wakes it after an order.
    ///
    /// # Errors
    /// When the kernel gives no epoll.
    pub(crate) fn new(
        plan: Arc<Plan>,
        thread: usize,
        clock: Clock,
        orders: Receiver<Order>,
        notes: SyncSender<Note>,
    ) -> Result<(Self, Waker)> {
        let poll = Poll::new().context("epoll")?;
        let waker = Waker::new(poll.registry(), WAKER).context("eventfd")?;
        // Each thread and group draws for itself, from the one seed.
        let seed = |salt: usize| {
            let place = (thread as u64) << 32 | salt as u64;
            plan.scenario.run.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(place)
        };
        let groups = &plan.scenario.clients;
        let watchlists = groups.iter().enumerate().map(|(at, group)| {
            Watchlists::new(plan.symbols.len(), group.zipf_exponent, seed(at + 1))
        });
        let swarm = Self {
            watchlists: watchlists.collect(),
            random: ChaCha8Rng::seed_from_u64(seed(0)),
            tallies: groups.iter().map(|_| Tally::default()).collect(),
            plan,
            thread,
            clock,
            poll,
            orders,
            notes,
            clients: Vec::new(),
            timers: Timers::default(),
            again: Vec::new(),
            buffer: vec![0; BUFFER_BYTES],
            next_connect_us: i64::MIN,
            compared: Vec::new(),
            own: OwnInterval::new(clock),
            violations_told: 0,
        };
        Ok((swarm, waker))
    }

    /// Serves until it is told to stop, or nobody listens any more.
    pub(crate) fn run(mut self) {
        self.own.scheduled = Scheduled::of_this_thread();
        if let Err(error) = self.serve() {
            // Nobody to tell: the controller has gone first.
            let _ = self.notes.send(Note::Failed(error));
        }
    }

    fn serve(&mut self) -> Result<()> {
        let mut events = Events::with_capacity(EVENTS);
        // When the wait before the last one ended: nothing can have waited for longer.
        let mut looked_us = self.clock.unix_us();
        loop {
            let waiting_since_us = self.clock.unix_us();
            match self.poll.poll(&mut events, Some(self.wait())) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                outcome => outcome.context("epoll")?,
            }
            let began_us = self.clock.unix_us();
            let waited = began_us - waiting_since_us >= WAITED_US;
            let arrived_us = if waited { began_us } else { looked_us };
            looked_us = began_us;
            for event in &events {
                if event.token() == WAKER {
                    continue;
                }
                let Token(at) = event.token();
                let now_us = self.clock.unix_us();
                let delay_us = u64::try_from(now_us - arrived_us).unwrap_or(0);
                self.own.delay_us.saturating_record(delay_us);
                let directions = (
                    event.is_writable() || event.is_error(),
                    event.is_readable() || event.is_error(),
                );
                self.with(at, |client, buffer, clock, tally| {
                    client.on_event(directions, buffer, clock, tally)
                });
                if event.is_read_closed() {
                    self.with(at, |client, _, _, tally| client.on_hang_up(tally));
                }
            }
            for at in std::mem::take(&mut self.again) {
                self.clients[at].is_queued = false;
                self.with(at, |client, buffer, clock, tally| client.read(buffer, clock, tally));
            }
            self.fire();
            if !self.obey()? {
                return Ok(());
            }
            self.hand_over()?;
        }
    }

    /// How long nothing needs to be done.
    fn wait(&self) -> Duration {
        if !self.again.is_empty() {
            return Duration::ZERO;
        }
        let second_us = ((self.own.told as i64 + 1) * SECOND_US).max(self.own.again_us)
            + self.clock.began_unix_us();
        let next_us = self.timers.next_us().map_or(second_us, |next_us| next_us.min(second_us));
        self.clock.until(next_us).min(LONGEST_WAIT)
    }

    /// Does something with a client, and what follows from it.
    fn with(
        &mut self,
        at: usize,
        serve: impl FnOnce(&mut Client, &mut [u8], &dyn Fn() -> i64, &mut Tally) -> Change,
    ) {
        let clock = self.clock;
        let Some(client) = self.clients.get_mut(at) else { return };
        let tally = &mut self.tallies[client.group];
        let change = serve(client, &mut self.buffer, &move || clock.unix_us(), tally);
        if !tally.violations.is_empty() {
            self.tell_violations(at);
        }
        match change {
            Change::None => {}
            Change::Again => self.read_again(at),
            Change::Opened => self.opened(at),
            Change::Ready { is_opened } => {
                if is_opened {
                    self.opened(at);
                }
                self.ready(at);
            }
            Change::Left => self.come_anew(at),
            Change::Lost { stay_away: Some(stay_away) } => self.come_back(at, stay_away),
            Change::Lost { stay_away: None } if self.is_hostile(at) => {
                self.come_back(at, Duration::ZERO);
            }
            Change::Lost { stay_away: None } => {}
        }
        // What came with the news was not all: the kernel has told of it already.
        if matches!(change, Change::Opened | Change::Ready { .. }) && self.clients[at].reads_on() {
            self.read_again(at);
        }
    }

    /// Another turn of reading for a client, after the others had theirs.
    fn read_again(&mut self, at: usize) {
        if !std::mem::replace(&mut self.clients[at].is_queued, true) {
            self.again.push(at);
        }
    }

    fn tell_violations(&mut self, at: usize) {
        let client = &self.clients[at];
        let group = &self.plan.scenario.clients[client.group];
        for what in self.tallies[client.group].violations.drain(..) {
            if self.violations_told < VIOLATIONS_TOLD {
                self.violations_told += 1;
                self.own.violations.push(ViolationReport {
                    at_s: self.clock.elapsed_us() as f64 / 1e6,
                    client: client.number,
                    group: group.name.clone(),
                    what,
                    messages: client.speaker.recent(),
                });
            }
        }
    }

    fn is_hostile(&self, at: usize) -> bool {
        self.plan.scenario.clients[self.clients[at].group].hostile
    }

    fn set(&mut self, at: usize, timer: Timer, at_us: i64) {
        let connection = self.clients[at].connection;
        self.timers.set(Due { at_us, client: at, timer, connection });
    }

    fn set_in(&mut self, at: usize, timer: Timer, wait: Duration) {
        let at_us = self.clock.unix_us() + microseconds(wait);
        self.set(at, timer, at_us);
    }

    /// The conversation has begun: what goes by the clock begins as well.
    fn opened(&mut self, at: usize) {
        let plan = Arc::clone(&self.plan);
        let group = &plan.scenario.clients[self.clients[at].group];
        if group.publishes_per_second > 0.0 {
            let interval = Duration::from_secs_f64(1.0 / group.publishes_per_second);
            let phase = interval.mul_f64(self.random.random());
            self.set_in(at, Timer::Publish, phase);
        }
        if let Some(lifetime_s) = group.lifetime_s {
            let length: f64 = -lifetime_s * (1.0 - self.random.random::<f64>()).ln();
            self.set_in(at, Timer::Leave, Duration::from_secs_f64(length));
        }
        if let Some(every) = self.acts_every(at) {
            self.set_in(at, Timer::Act, every);
        }
    }

    fn ready(&mut self, at: usize) {
        let reads = self.plan.scenario.clients[self.clients[at].group].reads;
        self.clients[at].read_as(reads);
        if matches!(reads, Reads::BytesPerSecond(_)) {
            self.set_in(at, Timer::Read, SLOW_READ);
        }
    }

    fn acts_every(&self, at: usize) -> Option<Duration> {
        let group = &self.plan.scenario.clients[self.clients[at].group];
        match group.acknowledges {
            _ if group.hostile => Some(ATTACK_EVERY),
            Acknowledge::EveryMs(ms) if group.credit_frames.is_some() => {
                Some(Duration::from_millis(ms.into()))
            }
            _ => None,
        }
    }

    /// Comes back after a loss, full jitter.
    fn come_back(&mut self, at: usize, stay_away: Duration) {
        self.clients[at].state = State::Apart;
        let (first, most) = COME_BACK_MS;
        let doublings = (self.clients[at].losses.saturating_sub(1)).min(16);
        let bound = Duration::from_millis((first << doublings).min(most));
        let wait = bound.mul_f64(self.random.random()).max(stay_away);
        self.set_in(at, Timer::Connect, wait);
    }

    /// Comes as somebody else, at once.
    fn come_anew(&mut self, at: usize) {
        let (number, group) = (self.clients[at].number, self.clients[at].group);
        self.clients[at].speaker = self.speaker(number, group);
        self.set_in(at, Timer::Connect, Duration::ZERO);
    }

    fn speaker(&mut self, number: u32, group: usize) -> Box<dyn crate::speaker::Speaker> {
        let settings = &self.plan.scenario.clients[group];
        let count = if settings.wildcard { 0 } else { settings.symbols as usize };
        let drawn = self.watchlists[group].draw(count);
        let sampled_at_us = self.random.random_range(0..SECOND_US);
        self.plan.speaker(number, group, &drawn, sampled_at_us)
    }

    /// Does what is due.
    fn fire(&mut self) {
        let now_us = self.clock.unix_us();
        while let Some(due) = self.timers.pop(now_us) {
            let at = due.client;
            if due.connection == self.clients[at].connection {
                self.fire_one(due);
            }
        }
    }

    fn fire_one(&mut self, due: Due) {
        let at = due.client;
        match due.timer {
            Timer::Connect => self.connect(at),
            Timer::GiveUp => self.with(at, |client, _, _, tally| client.give_up(tally)),
            Timer::Read => {
                self.set_in(at, Timer::Read, SLOW_READ);
                self.read_on(at);
            }
            Timer::Resume => {
                self.clients[at].stall(false);
                self.read_on(at);
            }
            Timer::Act => {
                self.with(at, |client, _, _, tally| client.say(tally, |s, out| s.act(out)));
                if let Some(every) = self.acts_every(at) {
                    self.set(at, Timer::Act, due.at_us + microseconds(every));
                }
            }
            Timer::Publish => self.publish(at, due.at_us),
            Timer::Leave if matches!(self.clients[at].state, State::Asking | State::Ready) => {
                self.set_in(at, Timer::GiveUp, PATIENCE);
                self.with(at, |client, _, _, tally| client.leave(tally));
            }
            // It has lost its connection meanwhile, and is on its way back.
            Timer::Leave => {}
        }
    }

    /// Reads what came while it did not read.
    fn read_on(&mut self, at: usize) {
        if self.clients[at].has_unread() {
            self.with(at, |client, buffer, clock, tally| client.read(buffer, clock, tally));
        }
    }

    fn connect(&mut self, at: usize) {
        let plan = Arc::clone(&self.plan);
        let number = self.clients[at].number;
        let (route, request) = (plan.route(number), &plan.requests[self.clients[at].group]);
        let registry = self.poll.registry().try_clone();
        let now_us = self.clock.unix_us();
        self.with(at, |client, _, _, tally| match &registry {
            Ok(registry) => client.connect(&route, request, (registry, Token(at)), now_us, tally),
            Err(_) => Change::Lost { stay_away: Some(PATIENCE) },
        });
        self.set_in(at, Timer::GiveUp, PATIENCE);
    }

    /// Publishes what was due at `scheduled_us`, and plans the next; one that is late by more than
    /// a second does not catch up with what lies before.
    fn publish(&mut self, at: usize, scheduled_us: i64) {
        let group = self.clients[at].group;
        let interval = 1e6 / self.plan.scenario.clients[group].publishes_per_second;
        let mut published = false;
        self.with(at, |client, _, _, tally| {
            client.say(tally, |speaker, out| published = speaker.publish(scheduled_us, out))
        });
        self.tallies[group].counts.published += u64::from(published);
        let next_us = scheduled_us.max(self.clock.unix_us() - SECOND_US) + interval as i64;
        self.set(at, Timer::Publish, next_us);
    }
}

fn microseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}
