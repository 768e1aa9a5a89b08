//! A market that never was: seeded, lively, and the same again tick for tick.
//!
//! [`SimulatedMarket`] joins a schedule (when ticks happen) with a market (what happens then) and
//! keeps both to the clock it is given. The ticks are a pure function of seed and settings; how
//! often the market is polled changes nothing but how they are grouped.

mod config;
mod instrument;
mod market;
mod names;
mod random;
mod schedule;
mod zipf;

pub use config::SimulatedConfig;

use tickgate_protocol::{
    date::date_of,
    tick::{Batch, Listing, Tick},
};

use crate::{
    error::FeedError,
    feed::{Feed, FeedStats, Next},
    timeline::Timeline,
    warnings::Warnings,
};
use market::Market;
use schedule::Schedule;

/// The simulated market as a feed. It never ends.
///
/// Each tick's event time is the time it was scheduled for, not the time it was picked up, so that
/// whoever measures latency measures from when the tick was due. Late trades alone carry an
/// earlier one.
#[derive(Debug)]
pub struct SimulatedMarket {
    config: SimulatedConfig,
    schedule: Schedule,
    market: Market,
    /// What is still to be announced, last first; `None` before the first poll.
    unlisted: Option<Vec<Listing>>,
    timeline: Timeline,
    stats: FeedStats,
    warnings: Warnings,
}

impl SimulatedMarket {
    /// Prepares the market. Memory: about 250 bytes a symbol.
    ///
    /// # Errors
    /// [`FeedError::Config`] when a setting is out of its range.
    pub fn open(config: SimulatedConfig) -> Result<Self, FeedError> {
        config.check()?;
        Ok(Self {
            schedule: Schedule::new(&config),
            market: Market::new(&config),
            unlisted: None,
            timeline: Timeline::new(0, 0),
            stats: FeedStats::default(),
            warnings: Warnings::default(),
            config,
        })
    }

    fn begin(&mut self, now_ns: i64) -> Vec<Listing> {
        let start_ns = self.config.start_time_ns.unwrap_or(now_ns);
        self.timeline = Timeline::new(start_ns, now_ns);
        let mut listings: Vec<Listing> =
            self.market.listings(date_of(start_ns.div_euclid(1_000_000_000))).collect();
        listings.reverse();
        listings
    }
}

impl Feed for SimulatedMarket {
    fn poll(&mut self, now_ns: i64, batch: &mut Batch) -> Next {
        let limit = self.config.ticks_per_poll as usize;
        let mut unlisted = match self.unlisted.take() {
            Some(unlisted) => unlisted,
            None => self.begin(now_ns),
        };
        let kept = unlisted.len().saturating_sub(limit);
        self.stats.listings += (unlisted.len() - kept) as u64;
        batch.listings.extend(unlisted.drain(kept..).rev());
        self.unlisted = Some(unlisted);
        if kept > 0 {
            return Next::Again;
        }
        let upcoming_ns = self.schedule.upcoming_ns();
        self.timeline.follow(now_ns, upcoming_ns, &mut self.stats, &mut self.warnings);
        for _ in 0..limit {
            let scheduled_ns = self.schedule.upcoming_ns();
            if self.timeline.unix_ns(scheduled_ns) > now_ns {
                break;
            }
            let tick = self.market.next(scheduled_ns);
            self.schedule.advance();
            self.stats.count(&tick.body);
            let event_time_ns = self.timeline.unix_ns(tick.event_time_ns);
            batch.ticks.push(Tick { event_time_ns, ..tick });
        }
        let due_ns = self.timeline.unix_ns(self.schedule.upcoming_ns());
        // Nothing but late trades will be older than the next tick.
        batch.clock_ns = due_ns.min(now_ns);
        if due_ns > now_ns { Next::At(due_ns) } else { Next::Again }
    }

    fn describe(&self) -> String {
        let SimulatedConfig { symbols, ticks_per_second, seed, .. } = &self.config;
        format!("simulated market: {symbols} symbols, {ticks_per_second} ticks/s, seed {seed}")
    }

    fn stats(&self) -> FeedStats {
        self.stats.clone()
    }

    fn take_warnings(&mut self) -> Vec<String> {
        self.warnings.take()
    }
}
