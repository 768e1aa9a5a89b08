//! The thread that drives the feed: polls it, publishes what it gave, sleeps until it is due.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
        mpsc::{self, RecvTimeoutError},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use tickgate_feed::{End, Feed, FeedStats, Next};
use tickgate_hub::Publisher;
use tickgate_protocol::tick::Batch;

use crate::liveness::{Herald, Liveness, Moment};

/// Longest sleep: a feed with nothing to say for a while still shows that it lives.
const NAP_LIMIT: Duration = Duration::from_millis(200);

/// How often a feed that waits for subscribers looks whether they came.
const START_POLL: Duration = Duration::from_millis(5);

/// Warnings of the feed written to the log in one second; the rest of them is counted.
const WARNINGS_PER_SECOND: u32 = 5;

/// What the feed and its thread have done, as of the last poll.
#[derive(Debug, Clone, Default)]
pub(crate) struct Totals {
    pub(crate) stats: FeedStats,
    pub(crate) polls: u64,
    /// Time spent in them, microseconds.
    pub(crate) poll_us: u64,
    /// Time spent applying to the hub what they gave, microseconds.
    pub(crate) publish_us: u64,
    /// When the last one came back, on the feed's monotonic clock; 0 before the first.
    pub(crate) polled_us: u64,
}

/// The totals, for whoever scrapes.
#[derive(Debug, Clone, Default)]
pub(crate) struct FeedTotals(Arc<Mutex<Totals>>);

impl FeedTotals {
    pub(crate) fn read(&self) -> Totals {
        // Totals are whole whatever happened to whoever held the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// One more poll: began, came back with its ticks, had them applied.
    fn polled(&self, [began, polled, published]: [Moment; 3], stats: FeedStats) {
        let mut totals = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        totals.stats = stats;
        totals.polls += 1;
        totals.poll_us += polled.monotonic_us - began.monotonic_us;
        totals.publish_us += published.monotonic_us - polled.monotonic_us;
        totals.polled_us = published.monotonic_us;
    }
}

/// A running feed. Dropped, it stops and is joined.
pub(crate) struct FeedThread {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl FeedThread {
    /// Starts driving. `pace` is the least time between two polls when nothing is due at once:
    /// what became due meanwhile leaves together. After its first poll, which lists symbols, the
    /// feed waits until `may_start`.
    ///
    /// # Errors
    /// What the system says when it gives no thread.
    pub(crate) fn spawn<H: Herald + 'static>(
        feed: Box<dyn Feed>,
        publisher: Publisher,
        liveness: Arc<Liveness<H>>,
        totals: FeedTotals,
        clock: FeedClock,
        pace: Duration,
        may_start: impl Fn() -> bool + Send + 'static,
    ) -> std::io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::Builder::new().name("tickgate-feed".to_owned()).spawn(move || {
            let guard = DeathNotice { liveness, clock };
            let mut driver = Driver { feed, publisher, liveness: &guard.liveness, totals, clock };
            driver.drive(pace, may_start, &stopped);
        })?;
        Ok(Self { stop, thread: Some(thread) })
    }

    /// Stops it, and waits for it no longer than `limit`: it may hang in a read. True when it has
    /// ended; otherwise it ends with the process.
    pub(crate) fn stop_within(self, limit: Duration) -> bool {
        let (ended, ending) = mpsc::channel::<()>();
        let joiner = thread::Builder::new().name("tickgate-join".to_owned()).spawn(move || {
            drop(self);
            drop(ended);
        });
        // Nothing is ever sent: it hangs up when it is done.
        joiner.is_ok() && ending.recv_timeout(limit) == Err(RecvTimeoutError::Disconnected)
    }
}

impl Drop for FeedThread {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            if thread.join().is_err() {
                tracing::error!("the feed's thread had panicked");
            }
        }
    }
}

/// The clock that feed and watchdog share.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FeedClock {
    base: Instant,
}

impl FeedClock {
    pub(crate) fn start() -> Self {
        Self { base: Instant::now() }
    }

    pub(crate) fn now(self) -> Moment {
        let monotonic_us = u64::try_from(self.base.elapsed().as_micros()).unwrap_or(u64::MAX);
        // Clocks before 1970 or after 2262 are beyond what a feed can mean.
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let unix_ns = i64::try_from(since.as_nanos()).unwrap_or(i64::MAX);
        Moment { monotonic_us, unix_ns }
    }
}

/// Tells of the feed's death when its thread unwinds; after an orderly end there is nothing left
/// to tell.
struct DeathNotice<H: Herald> {
    liveness: Arc<Liveness<H>>,
    clock: FeedClock,
}

impl<H: Herald> Drop for DeathNotice<H> {
    fn drop(&mut self) {
        self.liveness.died(self.clock.now());
    }
}

/// What the thread works with.
struct Driver<'a, H> {
    feed: Box<dyn Feed>,
    publisher: Publisher,
    liveness: &'a Liveness<H>,
    totals: FeedTotals,
    clock: FeedClock,
}

impl<H: Herald> Driver<'_, H> {
    fn drive(&mut self, pace: Duration, may_start: impl Fn() -> bool, stop: &AtomicBool) {
        let mut started = false;
        let mut batch = Batch::default();
        let mut gate = LogGate::default();
        while !stop.load(Relaxed) {
            let polled = self.clock.now();
            batch.clear();
            let next = self.feed.poll(polled.unix_ns, &mut batch);
            let delivered = self.clock.now();
            // With nothing in it, its clock may still close bars.
            self.publisher.publish(&batch);
            let published = self.clock.now();
            self.liveness.beat(published);
            self.totals.polled([polled, delivered, published], self.feed.stats());
            // The first batch lists the symbols, so that there is something to subscribe to.
            while !started && !stop.load(Relaxed) {
                started = may_start();
                if !started {
                    thread::park_timeout(START_POLL);
                    self.liveness.beat(self.clock.now());
                }
            }
            for warning in self.feed.take_warnings() {
                gate.warn(polled.monotonic_us, &warning);
            }
            match next {
                Next::Again => {}
                Next::At(due_ns) => {
                    let wait = u64::try_from(due_ns.saturating_sub(polled.unix_ns)).unwrap_or(0);
                    // The feed's clock goes on while it has nothing to say.
                    let wait = Duration::from_nanos(wait).min(NAP_LIMIT).max(pace);
                    let until = Instant::now() + wait;
                    sleep_until(until, self.liveness, self.clock, stop);
                }
                Next::Ended(end) => {
                    self.liveness.ended(self.clock.now());
                    match end {
                        End::Finished => tracing::info!("the feed ended"),
                        End::Truncated { .. } => tracing::warn!("the feed ended: {end}"),
                    }
                    return;
                }
            }
        }
    }
}

/// Sleeps in naps, beating in between, until the time has come or it is to stop.
fn sleep_until<H: Herald>(
    until: Instant,
    liveness: &Liveness<H>,
    clock: FeedClock,
    stop: &AtomicBool,
) {
    while !stop.load(Relaxed) {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        thread::park_timeout(left.min(NAP_LIMIT));
        liveness.beat(clock.now());
    }
}

/// Lets a bounded number of warnings a second into the log.
#[derive(Debug, Default)]
struct LogGate {
    second: u64,
    written: u32,
    held_back: u64,
}

impl LogGate {
    fn warn(&mut self, monotonic_us: u64, warning: &str) {
        if self.admit(monotonic_us / 1_000_000) {
            let held_back = std::mem::take(&mut self.held_back);
            if held_back > 0 {
                tracing::warn!(held_back, "feed: {warning}");
            } else {
                tracing::warn!("feed: {warning}");
            }
        }
    }

    fn admit(&mut self, second: u64) -> bool {
        if second != self.second {
            (self.second, self.written) = (second, 0);
        }
        if self.written < WARNINGS_PER_SECOND {
            self.written += 1;
            return true;
        }
        self.held_back += 1;
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tickgate_hub::{Hub, HubConfig};
    use tickgate_protocol::tick::{Listing, Reason, Status};

    /// Announces one symbol, then does what it was made for.
    struct Scripted {
        polls: u32,
        then: fn() -> Next,
    }

    impl Feed for Scripted {
        fn poll(&mut self, _: i64, batch: &mut Batch) -> Next {
            self.polls += 1;
            if self.polls > 1 {
                return (self.then)();
            }
            batch.listings.push(Listing::new("AAPL", -2, 0));
            Next::Again
        }

        fn describe(&self) -> String {
            "scripted".to_owned()
        }

        fn stats(&self) -> FeedStats {
            FeedStats { listings: 1, ..FeedStats::default() }
        }

        fn take_warnings(&mut self) -> Vec<String> {
            Vec::new()
        }
    }

    /// Drives a scripted feed to its end; what the hub says of the feed then.
    fn end_of(then: fn() -> Next) -> (Status, Reason) {
        let sizes = HubConfig { symbol_limit: 4, ..HubConfig::default() };
        let hub = Hub::new(sizes, 1).expect("sizes are valid");
        let mut teller = hub.publisher();
        let liveness = Arc::new(Liveness::new(move |status, reason, unix_ns| {
            teller.set_feed_status(status, reason, unix_ns);
        }));
        let totals = FeedTotals::default();
        let feed = Box::new(Scripted { polls: 0, then });
        let (publisher, clock) = (hub.publisher(), FeedClock::start());
        let pace = Duration::from_millis(1);
        let shown = totals.clone();
        let mut running = FeedThread::spawn(feed, publisher, liveness, shown, clock, pace, || true)
            .expect("a thread");
        let thread = running.thread.take().expect("it runs");
        // A feed that panics is meant to here.
        let _ = thread.join();
        assert!(hub.lookup("AAPL").is_some(), "the batch was published");
        assert_eq!(totals.read().stats.listings, 1);
        let feed = hub.feed_status();
        assert_eq!(feed.sequence, 2, "live first");
        (feed.status, feed.reason)
    }

    #[test]
    fn a_feed_that_ends_is_stale_because_it_ended() {
        assert_eq!(end_of(|| Next::Ended(End::Finished)), (Status::Stale, Reason::Ended));
    }

    #[test]
    fn a_feed_that_dies_is_stale_at_once() {
        let died = end_of(|| panic!("a feed with a defect"));
        assert_eq!(died, (Status::Stale, Reason::Disconnected));
    }

    #[test]
    fn a_feed_with_nothing_to_say_stops_when_told() {
        let hub = Hub::new(HubConfig { symbol_limit: 4, ..HubConfig::default() }, 1);
        let publisher = hub.expect("sizes are valid").publisher();
        let feed = Box::new(Scripted { polls: 0, then: || Next::At(i64::MAX) });
        let liveness = Arc::new(Liveness::new(|_, _, _| {}));
        let (totals, clock) = (FeedTotals::default(), FeedClock::start());
        let pace = Duration::from_millis(1);
        let running = FeedThread::spawn(feed, publisher, liveness, totals, clock, pace, || true);
        // Joins: it would hang, not fail.
        drop(running.expect("a thread"));
    }

    #[test]
    fn a_feed_that_hangs_in_a_poll_is_not_waited_for() {
        struct Hanging {
            polled: mpsc::Sender<()>,
            held: mpsc::Receiver<()>,
        }
        impl Feed for Hanging {
            fn poll(&mut self, _: i64, _: &mut Batch) -> Next {
                let _ = self.polled.send(());
                let _ = self.held.recv();
                Next::Ended(End::Finished)
            }
            fn describe(&self) -> String {
                "hanging".to_owned()
            }
            fn stats(&self) -> FeedStats {
                FeedStats::default()
            }
            fn take_warnings(&mut self) -> Vec<String> {
                Vec::new()
            }
        }
        let hub = Hub::new(HubConfig { symbol_limit: 4, ..HubConfig::default() }, 1);
        let hub = hub.expect("sizes are valid");
        let run = |feed| {
            let liveness = Arc::new(Liveness::new(|_, _, _| {}));
            let (totals, clock) = (FeedTotals::default(), FeedClock::start());
            let (publisher, pace) = (hub.publisher(), Duration::from_millis(1));
            FeedThread::spawn(feed, publisher, liveness, totals, clock, pace, || true)
                .expect("a thread")
        };
        let (release, held) = mpsc::channel();
        let (polled, hangs) = mpsc::channel();
        let hanging = run(Box::new(Hanging { polled, held }));
        // One told to stop before its first poll would not hang.
        hangs.recv().expect("it is polled");
        assert!(!hanging.stop_within(Duration::from_millis(20)));
        drop(release);
        let scripted = Scripted { polls: 0, then: || Next::At(i64::MAX) };
        assert!(run(Box::new(scripted)).stop_within(Duration::from_secs(60)));
    }

    #[test]
    fn a_feed_waits_with_its_symbols_listed_until_it_may_start() {
        let hub = Hub::new(HubConfig { symbol_limit: 4, ..HubConfig::default() }, 1);
        let hub = hub.expect("sizes are valid");
        let mut teller = hub.publisher();
        let liveness = Arc::new(Liveness::new(move |status, reason, unix_ns| {
            teller.set_feed_status(status, reason, unix_ns);
        }));
        let feed = Box::new(Scripted { polls: 0, then: || Next::Ended(End::Finished) });
        let (totals, clock) = (FeedTotals::default(), FeedClock::start());
        let (asked, questions) = std::sync::mpsc::channel();
        let allowed = Arc::new(AtomicBool::new(false));
        let may_start = {
            let allowed = Arc::clone(&allowed);
            move || {
                // Nobody listens any more once it was allowed.
                let _ = asked.send(());
                allowed.load(Relaxed)
            }
        };
        let (publisher, pace) = (hub.publisher(), Duration::from_millis(1));
        let mut running =
            FeedThread::spawn(feed, publisher, liveness, totals, clock, pace, may_start)
                .expect("a thread");
        for _ in 0..3 {
            questions.recv().expect("it asks again");
            assert!(hub.lookup("AAPL").is_some(), "clients can subscribe meanwhile");
            assert_eq!(hub.feed_status().status, Status::Live, "its second poll would end it");
        }
        allowed.store(true, Relaxed);
        running.thread.take().expect("it runs").join().expect("it ends in order");
        assert_eq!(hub.feed_status().reason, Reason::Ended);
    }

    #[test]
    fn warnings_are_limited_by_the_second_and_the_rest_is_counted() {
        let mut gate = LogGate::default();
        let admitted = (0..100).filter(|_| gate.admit(7)).count();
        assert_eq!(admitted, WARNINGS_PER_SECOND as usize);
        assert_eq!(gate.held_back, 100 - u64::from(WARNINGS_PER_SECOND));
        assert!(gate.admit(8), "a new second begins afresh");
    }
}
