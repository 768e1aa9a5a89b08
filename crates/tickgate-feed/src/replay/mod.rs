//! Recordings, played again.
//!
//! [`Replay`] reads recordings once to find every symbol and its scale, then again to play them:
//! merged by time of receipt, at a pace, once or repeatedly. Both times it streams; memory does not
//! grow with a recording's length.

mod assets;
mod binance;
mod config;
mod dbn;
mod framing;
mod lines;
mod merge;
mod recorded;
mod symbols;

pub use config::ReplayConfig;

use tickgate_protocol::{
    number::ABSENT,
    tick::{Batch, Tick},
};

use crate::{
    error::FeedError,
    feed::{End, Feed, FeedStats, Next},
    timeline::Timeline,
};
use merge::{Merge, Reader};
use recorded::{Recorded, Report, Step};
use symbols::Symbols;

/// Pause between the last tick of a recording and the first of its repetition.
const REPEAT_PAUSE_NS: i64 = 1_000_000;

/// Recordings as a feed.
///
/// Paced by the time of receipt, on the recorder's clock; event times keep their distance to it
/// (see [`ReplayConfig::rebase`]), so that an age is as signed as it was. Nothing is left out to
/// catch up: a driver that comes too late makes the rest later.
pub struct Replay {
    config: ReplayConfig,
    symbols: Symbols,
    /// How many symbols were announced.
    listed: usize,
    merge: Merge,
    /// Time of receipt of the first tick, which is the zero of the timeline.
    first_ns: i64,
    /// The latest time of receipt so far; a recorder's clock may step back, playing does not.
    latest_ns: i64,
    /// Ticks of the running epoch.
    played: u64,
    timeline: Option<Timeline>,
    state: State,
    report: Report,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Playing,
    /// Everything was played; the next poll begins a new epoch.
    Repeating,
    Ended(End),
}

impl Replay {
    /// Opens the recordings and scans them, to the end, for symbols and scales.
    ///
    /// # Errors
    /// [`FeedError::Config`] when a setting is out of its range, [`FeedError::Read`] and
    /// [`FeedError::Format`] when a recording cannot be read, when one holds no quote, no trade and
    /// no definition, and when all hold definitions alone. One that breaks off is no error here: it
    /// is played as far as it goes.
    pub fn open(config: ReplayConfig) -> Result<Self, FeedError> {
        config.check()?;
        let mut symbols = Symbols::default();
        for path in &config.files {
            let before = (symbols.sightings(), symbols.definitions());
            // What is malformed is counted and warned of when it is played.
            let mut unheard = Report::default();
            let end = Reader::open(path)?.scan(&mut symbols, &mut unheard);
            let found = (symbols.sightings(), symbols.definitions());
            if found == before && end == Step::Finished {
                let rule = match unheard.warnings.take().first() {
                    Some(warning) => format!("holds no quote and no trade ({warning})"),
                    None => "holds no quote and no trade".to_owned(),
                };
                return Err(FeedError::Format { path: path.clone(), rule });
            }
        }
        if symbols.sightings() == 0 && symbols.definitions() > 0 {
            let rule = "holds definitions alone, of nothing that is traded".to_owned();
            return Err(FeedError::Format { path: config.files[0].clone(), rule });
        }
        symbols.settle();
        let mut report = Report::default();
        let merge = Merge::open(&config.files, &symbols, &mut report)?;
        let first_ns = merge.upcoming_ns().unwrap_or(0);
        Ok(Self {
            config,
            symbols,
            listed: 0,
            merge,
            first_ns,
            latest_ns: first_ns,
            played: 0,
            timeline: None,
            state: State::Playing,
            report,
        })
    }

    /// How long after the first tick a tick recorded at `at_ns` is due; `None` flat out.
    fn offset_ns(&self, at_ns: i64) -> Option<i64> {
        let recorded = at_ns.saturating_sub(self.first_ns);
        match self.config.speed {
            0.0 => None,
            1.0 => Some(recorded),
            // Exact to the nanosecond for 104 days, to less than a microsecond for 29 years.
            speed => Some((recorded as f64 / speed) as i64),
        }
    }

    /// Announces a bounded number of symbols; true when there were any. They make a batch of their
    /// own, so that a driver can let clients subscribe before the first tick.
    fn list(&mut self, batch: &mut Batch) -> bool {
        let unlisted = &self.symbols.listings()[self.listed..];
        let now = unlisted.len().min(self.config.ticks_per_poll as usize);
        batch.listings.extend_from_slice(&unlisted[..now]);
        self.listed += now;
        self.report.stats.listings += now as u64;
        now > 0
    }

    /// Opens the recordings again, for a new epoch.
    fn restart(&mut self) -> State {
        match Merge::open(&self.config.files, &self.symbols, &mut self.report) {
            Ok(merge) => {
                self.first_ns = merge.upcoming_ns().unwrap_or(0);
                self.latest_ns = self.first_ns;
                self.merge = merge;
                self.played = 0;
                self.timeline = None;
                self.report.stats.loops += 1;
                State::Playing
            }
            // Opened before, and gone since: as far as the clients are concerned, broken off.
            Err(error) => State::Ended(End::Truncated { message: error.to_string() }),
        }
    }

    /// What follows when everything was played.
    fn finish(&self) -> State {
        match self.merge.truncated() {
            _ if self.config.repeat && self.played > 0 => State::Repeating,
            Some(message) => State::Ended(End::Truncated { message: message.to_owned() }),
            None => State::Ended(End::Finished),
        }
    }

    fn play(&mut self, now_ns: i64, batch: &mut Batch) -> Next {
        let timeline = self.timeline.get_or_insert_with(|| Timeline::new(now_ns, now_ns));
        let mut timeline = *timeline;
        if let Some(upcoming_ns) = self.merge.upcoming_ns()
            && let Some(offset_ns) = self.offset_ns(upcoming_ns.max(self.latest_ns))
        {
            let Report { stats, warnings } = &mut self.report;
            timeline.follow(now_ns, offset_ns, stats, warnings);
            self.timeline = Some(timeline);
        }
        for _ in 0..self.config.ticks_per_poll {
            let Some(upcoming_ns) = self.merge.upcoming_ns() else {
                self.state = self.finish();
                return match &self.state {
                    State::Ended(end) => Next::Ended(end.clone()),
                    _ => Next::At(now_ns.saturating_add(REPEAT_PAUSE_NS)),
                };
            };
            let at_ns = upcoming_ns.max(self.latest_ns);
            let due_ns =
                self.offset_ns(at_ns).map_or(now_ns, |offset_ns| timeline.unix_ns(offset_ns));
            if due_ns > now_ns {
                batch.clock_ns = self.clock_ns(at_ns, due_ns, now_ns);
                return Next::At(due_ns);
            }
            self.latest_ns = at_ns;
            batch.clock_ns = if self.config.rebase { due_ns } else { at_ns };
            if let Some(recorded) = self.merge.take(&self.symbols, &mut self.report) {
                self.played += 1;
                self.report.stats.count(&recorded.body);
                batch.ticks.push(self.rebased(recorded, due_ns));
            }
        }
        Next::Again
    }

    /// The clock before the record of `at_ns`, which is due at `due_ns`: on the scale of the events'
    /// times, as they are published.
    fn clock_ns(&self, at_ns: i64, due_ns: i64, now_ns: i64) -> i64 {
        if self.config.rebase {
            return now_ns;
        }
        let wait_ns = due_ns.saturating_sub(now_ns) as f64 * self.config.speed;
        // Never behind what was played.
        at_ns.saturating_sub(wait_ns as i64).max(self.latest_ns)
    }

    fn rebased(&self, recorded: Recorded, due_ns: i64) -> Tick {
        let Recorded { at_ns, symbol, event_time_ns, body } = recorded;
        let event_time_ns = match event_time_ns {
            ABSENT => ABSENT,
            event_time_ns if self.config.rebase => {
                due_ns.saturating_add(event_time_ns.saturating_sub(at_ns))
            }
            event_time_ns => event_time_ns,
        };
        Tick { symbol, event_time_ns, body }
    }
}

impl Feed for Replay {
    fn poll(&mut self, now_ns: i64, batch: &mut Batch) -> Next {
        if self.list(batch) {
            return Next::At(now_ns);
        }
        if self.state == State::Repeating {
            batch.new_epoch = true;
            self.state = self.restart();
        }
        match &self.state {
            State::Ended(end) => Next::Ended(end.clone()),
            _ => self.play(now_ns, batch),
        }
    }

    fn describe(&self) -> String {
        let files = match self.config.files.as_slice() {
            [file] => file.display().to_string(),
            files => format!("{} recordings", files.len()),
        };
        let pace = match self.config.speed {
            0.0 => "flat out".to_owned(),
            speed => format!("{speed}x"),
        };
        let repeat = if self.config.repeat { "repeatedly" } else { "once" };
        let symbols = self.symbols.listings().len();
        format!("replay of {files}: {symbols} symbols, {pace}, {repeat}")
    }

    fn stats(&self) -> FeedStats {
        self.report.stats.clone()
    }

    fn take_warnings(&mut self) -> Vec<String> {
        self.report.warnings.take()
    }
}
