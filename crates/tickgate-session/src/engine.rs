//! One worker's sessions and the loop that serves them.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use rand::{SeedableRng, rngs::StdRng};
use slab::Slab;
use tickgate_hub::Hub;
use tickgate_protocol::{
    close::CloseReason,
    dialect::Dialect,
    reply::{Limits, Reply, SequenceSource, Welcome},
};

use crate::{
    age::Turn,
    cache::EntryCache,
    config::{ConfigError, EngineConfig},
    frame::FrameBuilder,
    housekeeping::LAST_CLOSE_US,
    intake::{Intake, Spell},
    parser::Spare,
    schedule::{Due, Schedule},
    session::Session,
    stats::{Ended, EngineStats},
    transport::{Now, Transport},
};

/// Names in one `symbols` page.
pub(crate) const SYMBOLS_PAGE_LIMIT: u64 = 250;

/// Bytes read from a socket at once, and so the most that may wait unread in a session.
const READ_BYTES: usize = 4 * 1024;

/// What all engines of a gateway share.
#[derive(Debug)]
pub struct Shared {
    hub: Arc<Hub>,
    config: EngineConfig,
    /// Counted on across [`Shared::with_config`], hence shared themselves.
    wildcards: Arc<AtomicUsize>,
    readies: Arc<AtomicU64>,
}

impl Shared {
    /// For engines that read `hub`.
    ///
    /// # Errors
    /// A setting that breaks its rule.
    pub fn new(hub: Arc<Hub>, config: EngineConfig) -> Result<Arc<Self>, ConfigError> {
        config.check()?;
        Ok(Arc::new(Self { hub, config, wildcards: Arc::default(), readies: Arc::default() }))
    }

    /// The same hub and counts with other settings, for [`Engine::reconfigure`]. What an engine is
    /// built around stays as it was: `flush_tick`, `tape_interval` and `frame_limit_bytes`.
    ///
    /// # Errors
    /// A setting that breaks its rule.
    pub fn with_config(&self, config: EngineConfig) -> Result<Arc<Self>, ConfigError> {
        let config = EngineConfig {
            flush_tick: self.config.flush_tick,
            tape_interval: self.config.tape_interval,
            frame_limit_bytes: self.config.frame_limit_bytes,
            ..config
        };
        config.check()?;
        Ok(Arc::new(Self {
            hub: Arc::clone(&self.hub),
            config,
            wildcards: Arc::clone(&self.wildcards),
            readies: Arc::clone(&self.readies),
        }))
    }

    /// The hub they sample.
    #[must_use]
    pub fn hub(&self) -> &Arc<Hub> {
        &self.hub
    }

    /// Their settings.
    #[must_use]
    pub fn config(&self) -> &EngineConfig {
        &self.config
    }

    /// Subscribes answered in full (their `ready` was sent) since the start, over all engines.
    #[must_use]
    pub fn readies(&self) -> u64 {
        self.readies.load(Ordering::Relaxed)
    }

    pub(crate) fn count_readies(&self, count: u64) {
        self.readies.fetch_add(count, Ordering::Relaxed);
    }

    /// Takes one of the gateway's wildcard places; false when all are taken.
    pub(crate) fn take_wildcard(&self) -> bool {
        let limit = self.config.wildcard_limit;
        let taken = |taken: usize| (taken < limit).then_some(taken + 1);
        self.wildcards.fetch_update(Ordering::Relaxed, Ordering::Relaxed, taken).is_ok()
    }

    pub(crate) fn give_wildcard_back(&self) {
        self.wildcards.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A session of one engine; never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionKey(u64);

impl SessionKey {
    pub(crate) fn new(position: usize, generation: u32) -> Self {
        Self(u64::from(generation) << 32 | position as u64)
    }

    pub(crate) fn position(self) -> usize {
        (self.0 & u64::from(u32::MAX)) as usize
    }

    pub(crate) fn generation(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

/// What to do with a connection after it was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inbound {
    /// Wait until the socket is readable, then call [`Engine::on_readable`] again.
    Readable,
    /// Its replies do not leave: wait until the socket is *writable*, then call it again.
    Writable,
    /// The worker has read what it may from all clients together: wait until
    /// [`Engine::takes_more`] says so, then call it again.
    Held,
    /// There may be more to read, but others wait too: let them run and call [`Engine::poll`], then
    /// call it again.
    Again,
    /// The session is over: drop the socket.
    Closed,
}

/// What the engine wants next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Work is left: call [`Engine::poll`] again after letting others run.
    pub more: bool,
    /// Call [`Engine::poll`] at this monotonic time at the latest, microseconds; `None` while
    /// there is nothing to time.
    pub next_us: Option<u64>,
    /// The hub's doorbell should wake it: real-time sessions exist.
    pub wants_doorbell: bool,
}

/// One worker's sessions. The only writer of their sockets.
#[derive(Debug)]
pub struct Engine<T> {
    pub(crate) shared: Arc<Shared>,
    /// Index of the worker in the hub.
    pub(crate) worker: usize,
    pub(crate) sessions: Slab<Session<T>>,
    pub(crate) schedule: Schedule,
    pub(crate) frame: FrameBuilder,
    pub(crate) cache: EntryCache,
    pub(crate) stats: EngineStats,
    /// Positions with real-time work. Each of the two queues holds a session at most once, so its
    /// capacity is the number of sessions.
    pub(crate) urgent: VecDeque<u32>,
    /// Positions with work.
    pub(crate) ready: VecDeque<u32>,
    /// Positions to try again at the next tick: a full socket, a spent budget, an unreadable cell.
    pub(crate) waiting: Vec<u32>,
    pub(crate) fired: Vec<(Due, u64)>,
    pub(crate) dirty_statuses: Vec<u64>,
    pub(crate) pass: Pass,
    /// Somebody is owed an answer that is newer than the pass.
    pub(crate) pass_is_over: bool,
    pub(crate) scratch: Vec<u8>,
    pub(crate) reply: Vec<u8>,
    pub(crate) spare: Spare,
    pub(crate) intake: Intake,
    /// How long clients have been read since the last poll.
    pub(crate) spell: Spell,
    /// Which frame's age is counted next.
    pub(crate) timed: Turn,
    ended: Vec<Ended>,
    generation: u32,
    pub(crate) draining: Option<Draining>,
}

/// Frames of one pass share a time, and so their encoded entries.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pass {
    pub(crate) sent_at_us: i64,
}

/// An orderly end of all sessions.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Draining {
    pub(crate) began_us: u64,
    /// The closes begin within this.
    pub(crate) spread_us: u64,
    /// What clients are told to wait for, less their own share of chance.
    pub(crate) within_us: u64,
}

impl<T: Transport> Engine<T> {
    /// An engine without sessions. `worker` is its index in the hub, `seed` spreads phases, and
    /// `now` begins its ticks.
    #[must_use]
    pub fn new(shared: Arc<Shared>, worker: usize, seed: u64, now: Now) -> Self {
        let config = shared.config();
        let rng = StdRng::seed_from_u64(seed);
        Self {
            worker,
            sessions: Slab::new(),
            schedule: Schedule::new(config, rng, now.monotonic_us),
            frame: FrameBuilder::new(config.frame_limit_bytes),
            cache: EntryCache::default(),
            stats: EngineStats::default(),
            urgent: VecDeque::new(),
            ready: VecDeque::new(),
            waiting: Vec::new(),
            fired: Vec::new(),
            dirty_statuses: Vec::new(),
            pass: Pass { sent_at_us: now.unix_us },
            pass_is_over: false,
            scratch: vec![0; READ_BYTES],
            reply: Vec::new(),
            spare: Spare::default(),
            intake: Intake::new(config.command_bytes_per_second),
            spell: Spell::default(),
            timed: Turn::default(),
            ended: Vec::new(),
            generation: 0,
            draining: None,
            shared,
        }
    }

    /// Takes over an upgraded connection and welcomes it. `number` is the gateway-wide number told
    /// in `welcome`; `read_ahead` are bytes that came with the upgrade request.
    ///
    /// Call [`Self::on_readable`] next, and [`Self::poll`] soon.
    pub fn open(
        &mut self,
        now: Now,
        transport: T,
        dialect: Dialect,
        number: u64,
        read_ahead: Vec<u8>,
    ) -> SessionKey {
        self.generation = self.generation.wrapping_add(1);
        let generation = self.generation;
        let entry = self.sessions.vacant_entry();
        let position = entry.key();
        let epoch = self.shared.hub().epoch();
        let config = self.shared.config();
        let mut session = Session::new(
            transport,
            dialect,
            generation,
            number,
            position as u32,
            config,
            epoch,
            now,
        );
        session.unread = read_ahead;
        entry.insert(session);
        self.stats.sessions += 1;
        let drain_and_beats = config.drain_age + 2 * config.heartbeat_interval;
        let welcome = Reply::Welcome(Welcome {
            epoch,
            session: number,
            time_us: now.unix_us,
            heartbeat_ms: millis(config.heartbeat_interval),
            silence_limit_ms: millis(drain_and_beats),
            limits: limits(config),
            sequence_source: SequenceSource::Hub,
        });
        self.reply_to(position, &welcome);
        self.make_ready(position as u32, false);
        // It was let in just before the drain began.
        self.tell_draining(position);
        SessionKey::new(position, generation)
    }

    /// Goes on with other settings; `shared` comes from [`Shared::with_config`] of its present one.
    ///
    /// They hold at once, but for `throttle_interval` and `message_limit_bytes`, which are those of
    /// a session's beginning. Nobody is told: what a `welcome` said of the limits was true then.
    pub fn reconfigure(&mut self, shared: Arc<Shared>) {
        self.shared = shared;
    }

    /// Ends one session, with a close frame where the rest of a data frame does not stand before
    /// it.
    pub fn close(&mut self, now: Now, key: SessionKey, reason: CloseReason) {
        if self.position_of(key).is_some() {
            self.begin_close(now, key.position(), reason);
        }
    }

    /// Begins an orderly end: `draining` to everyone at once, then closes.
    ///
    /// They are spread over `within` less the time that the last of them needs, 1.25 s, so that
    /// everybody who answers has left by then. Where that leaves nothing to spread over they close
    /// at once. Sessions opened from now on are told and closed likewise.
    pub fn drain(&mut self, now: Now, within: Duration) {
        let within_us = within.as_micros() as u64;
        let spread_us = within_us.saturating_sub(LAST_CLOSE_US);
        self.draining = Some(Draining { began_us: now.monotonic_us, spread_us, within_us });
        let open = self.sessions.iter().filter(|(_, session)| session.closing.is_none());
        let positions: Vec<usize> = open.map(|(position, _)| position).collect();
        for position in positions {
            self.tell_draining(position);
            if spread_us == 0 {
                self.begin_close(now, position, CloseReason::Draining);
            }
        }
    }

    /// True when those that were told [`Inbound::Held`] should try again: all of them, once. Ask
    /// after each [`Self::poll`].
    pub fn takes_more(&mut self, now: Now) -> bool {
        self.intake.release(now.monotonic_us)
    }

    /// While draining: says so to a session, and when to come back.
    fn tell_draining(&mut self, position: usize) {
        let Some(draining) = self.draining else { return };
        let chance_ms = self.schedule.phase(1_000) - self.schedule.tick;
        let reconnect_after_ms = draining.within_us / 1_000 + chance_ms;
        self.reply_to(position, &Reply::Draining { reconnect_after_ms });
        self.make_ready(position as u32, false);
    }

    /// Sessions open now.
    #[must_use]
    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    /// True without sessions.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    /// True while the session is open.
    #[must_use]
    pub fn contains(&self, key: SessionKey) -> bool {
        self.position_of(key).is_some()
    }

    /// Sessions that ended since the last call; call it after every other call.
    pub fn take_ended(&mut self) -> Vec<Ended> {
        std::mem::take(&mut self.ended)
    }

    /// What it has counted.
    #[must_use]
    pub fn stats(&self) -> &EngineStats {
        &self.stats
    }

    pub(crate) fn position_of(&self, key: SessionKey) -> Option<usize> {
        let session = self.sessions.get(key.position())?;
        (session.generation == key.generation()).then_some(key.position())
    }

    /// Queues a session to be served, once.
    pub(crate) fn make_ready(&mut self, position: u32, urgent: bool) {
        let Some(session) = self.sessions.get_mut(position as usize) else { return };
        if session.is_urgent || (session.is_ready && !urgent) {
            return;
        }
        if !session.is_ready {
            session.ready_tick = self.schedule.tick;
        }
        if urgent {
            // Its place in the other queue stays; being looked at there once more costs nothing.
            session.is_urgent = true;
            self.urgent.push_back(position);
        } else {
            session.is_ready = true;
            self.ready.push_back(position);
        }
    }

    /// The next session to serve, and whether it comes from the urgent ones.
    pub(crate) fn next_ready(&mut self, urgent_first: bool) -> Option<(u32, bool)> {
        if (urgent_first || self.ready.is_empty()) && !self.urgent.is_empty() {
            return self.urgent.pop_front().map(|position| (position, true));
        }
        self.ready.pop_front().map(|position| (position, false))
    }

    /// Has a session tried again at the next tick, once.
    pub(crate) fn make_wait(&mut self, position: u32) {
        let session = &mut self.sessions[position as usize];
        if !session.is_waiting {
            session.is_waiting = true;
            self.waiting.push(position);
        }
    }

    /// Removes a session: nothing is written any more.
    pub(crate) fn end(&mut self, now: Now, position: usize, reason: CloseReason) {
        if !self.sessions.contains(position) {
            return;
        }
        self.count_pending(position);
        let mut session = self.sessions.remove(position);
        let held = session.portfolio.count() as u64;
        if session.portfolio.wildcard.is_some() {
            self.shared.give_wildcard_back();
        }
        session.portfolio.clear(&mut self.schedule);
        session.transport.shutdown();
        self.stats.sessions -= 1;
        self.stats.subscriptions -= held;
        self.stats.count_close(reason);
        // Queues may still name the position; a new session there has flags of its own, and being
        // served once for nothing harms nobody, but being queued twice would.
        if session.is_urgent {
            self.urgent.retain(|each| *each != position as u32);
        }
        if session.is_ready {
            self.ready.retain(|each| *each != position as u32);
        }
        if session.is_waiting {
            self.waiting.retain(|each| *each != position as u32);
        }
        self.ended.push(Ended {
            key: SessionKey::new(position, session.generation),
            session: session.number,
            reason,
            frames: session.frame_sequence,
            bytes: session.frame_bytes,
            merged: session.totals.merged,
            lost: session.totals.lost,
            age_us: now.monotonic_us.saturating_sub(session.opened_us),
        });
    }
}

pub(crate) fn millis(duration: Duration) -> u64 {
    duration.as_millis() as u64
}

fn limits(config: &EngineConfig) -> Limits {
    Limits {
        subscriptions: config.subscription_limit as u64,
        message_bytes: config.message_limit_bytes as u64,
        frame_bytes: config.frame_limit_bytes as u64,
        commands_per_second: u64::from(config.commands_per_second),
        throttle_intervals: config.throttle_interval_limit as u64,
        throttle_ms: millis(config.throttle_interval),
        history: crate::history::PAGE_LIMIT,
        symbols: SYMBOLS_PAGE_LIMIT,
    }
}

#[cfg(test)]
mod tests;
