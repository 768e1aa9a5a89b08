//! Takes the raw socket out of HTTP and gives it to the least loaded worker.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
};

use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tickgate_protocol::dialect::Dialect;
use tokio::{
    net::TcpStream,
    sync::mpsc::{self, OwnedPermit},
    time::timeout,
};

use crate::{
    admission::AddressSeat,
    config::GatewayConfig,
    counters::{Counters, count},
    handshake::Refusal,
    listener::Peer,
    live::Live,
    retry::RetryAfter,
    socket,
    worker::Handover,
};

/// The way from the listener to the workers.
pub(crate) struct Dispatcher {
    config: Arc<Live>,
    counters: Arc<Counters>,
    retry: Arc<RetryAfter>,
    doors: Vec<Door>,
    /// Sessions over all workers, those on their way included; at most `session_limit`.
    total: Arc<AtomicUsize>,
    sessions: AtomicU64,
    draining: AtomicBool,
    short_of_memory: AtomicBool,
}

/// One worker as the dispatcher sees it.
struct Door {
    sender: mpsc::Sender<Handover>,
    /// Sessions it has, those on their way included.
    load: Arc<AtomicUsize>,
}

/// One of a number that is counted until dropped.
#[derive(Debug)]
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn add(counter: &Arc<AtomicUsize>) -> Self {
        counter.fetch_add(1, Relaxed);
        Self(Arc::clone(counter))
    }

    /// One more, if there are fewer than `limit`.
    fn below(counter: &Arc<AtomicUsize>, limit: usize) -> Option<Self> {
        let below_limit = |n| (n < limit).then_some(n + 1);
        counter.fetch_update(Relaxed, Relaxed, below_limit).ok()?;
        Some(Self(Arc::clone(counter)))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// A session's place among the worker's, the gateway's and its address's; given back when dropped.
#[derive(Debug)]
pub(crate) struct Seat {
    _load: Counted,
    _total: Counted,
    _address: Option<Arc<AddressSeat>>,
}

/// A reserved place: among the worker's sessions and the gateway's, and room in the worker's
/// channel.
pub(crate) struct Reservation {
    load: Counted,
    total: Counted,
    permit: OwnedPermit<Handover>,
}

impl Dispatcher {
    pub(crate) fn new(
        config: Arc<Live>,
        counters: Arc<Counters>,
        senders: Vec<mpsc::Sender<Handover>>,
        retry: Arc<RetryAfter>,
    ) -> Self {
        let door = |sender| Door { sender, load: Arc::default() };
        Self {
            config,
            counters,
            retry,
            doors: senders.into_iter().map(door).collect(),
            total: Arc::default(),
            sessions: AtomicU64::new(0),
            draining: AtomicBool::new(false),
            short_of_memory: AtomicBool::new(false),
        }
    }

    /// From now on every reservation is refused.
    pub(crate) fn drain(&self) {
        self.draining.store(true, Relaxed);
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Relaxed)
    }

    pub(crate) fn is_short_of_memory(&self) -> bool {
        self.short_of_memory.load(Relaxed)
    }

    /// While short of memory every reservation is refused.
    pub(crate) fn set_short_of_memory(&self, is_short: bool) {
        self.short_of_memory.store(is_short, Relaxed);
    }

    pub(crate) fn config(&self) -> Arc<GatewayConfig> {
        self.config.now()
    }

    pub(crate) fn counters(&self) -> &Counters {
        &self.counters
    }

    pub(crate) fn retry(&self) -> &RetryAfter {
        &self.retry
    }

    /// Reserves a place at the least loaded worker that has room, and waits up to
    /// [`GatewayConfig::handover_wait`] for one to have some. Everything that can be full is found
    /// out here, while there still is an HTTP answer to say so.
    ///
    /// Cancelled, it holds no place.
    ///
    /// # Errors
    /// [`Refusal::Full`] at the session limit and [`Refusal::Memory`], at once; [`Refusal::Busy`]
    /// when no worker took one in time; [`Refusal::Draining`].
    pub(crate) async fn reserve(&self) -> Result<Reservation, Refusal> {
        if self.is_draining() {
            return Err(Refusal::Draining);
        }
        if self.is_short_of_memory() {
            return Err(Refusal::Memory);
        }
        let config = self.config.now();
        let total = Counted::below(&self.total, config.session_limit).ok_or(Refusal::Full)?;
        let mut doors: Vec<&Door> = self.doors.iter().collect();
        doors.sort_by_key(|door| door.load.load(Relaxed));
        for door in &doors {
            if let Ok(permit) = door.sender.clone().try_reserve_owned() {
                return Ok(Reservation { load: Counted::add(&door.load), total, permit });
            }
        }
        // All are full, or their workers gone: in line at the least loaded that is there.
        let open = doors.into_iter().find(|door| !door.sender.is_closed()).ok_or(Refusal::Busy)?;
        let load = Counted::add(&open.load);
        let room = timeout(config.handover_wait, open.sender.clone().reserve_owned()).await;
        match room {
            Ok(Ok(permit)) => Ok(Reservation { load, total, permit }),
            // It stopped taking sessions meanwhile.
            Ok(Err(_)) => Err(Refusal::Draining),
            Err(_) => Err(Refusal::Busy),
        }
    }

    /// Waits for the upgrade to complete, prepares the socket and passes it on.
    ///
    /// Cancelled or failed, the connection closes and its place is given back.
    pub(crate) async fn hand_over(
        &self,
        upgrade: OnUpgrade,
        reservation: Reservation,
        dialect: Dialect,
        peer: Peer,
        user_agent: Option<Box<str>>,
    ) {
        let Reservation { load, total, permit } = reservation;
        let Peer { address: peer, seat } = peer;
        let seat = Seat { _load: load, _total: total, _address: seat };
        let handover = match upgrade.await {
            Ok(upgraded) => self
                .unwrap(upgraded, seat, dialect, peer)
                .map(|handover| Handover { user_agent, ..handover }),
            Err(error) => Err(error.to_string()),
        };
        match handover {
            Ok(handover) => {
                permit.send(handover);
            }
            Err(error) => {
                count(&self.counters.upgrades_lost);
                tracing::debug!(%peer, error, "connection lost between handshake and session");
            }
        }
    }

    /// The socket under an upgraded connection, with what hyper read beyond the request.
    fn unwrap(
        &self,
        upgraded: Upgraded,
        seat: Seat,
        dialect: Dialect,
        peer: SocketAddr,
    ) -> Result<Handover, String> {
        let parts = upgraded
            .downcast::<TokioIo<TcpStream>>()
            .map_err(|_| "the connection is not a plain socket".to_owned())?;
        let stream = parts.io.into_inner();
        socket::prepare(&stream, &self.config.now()).map_err(|error| error.to_string())?;
        // Leaves this runtime's reactor; the worker registers it with its own.
        let stream = stream.into_std().map_err(|error| error.to_string())?;
        let session = self.sessions.fetch_add(1, Relaxed) + 1;
        let read_ahead = parts.read_buf.to_vec();
        let user_agent = None;
        Ok(Handover { stream, read_ahead, dialect, session, peer, user_agent, seat })
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::Read,
        net::{TcpListener as StdListener, TcpStream as StdStream},
        thread,
        time::Duration,
    };

    use tickgate_hub::{Hub, HubConfig};
    use tickgate_protocol::close::CloseReason;
    use tickgate_session::{EngineConfig, Shared};
    use tokio::{runtime::Builder, sync::oneshot};

    use super::*;
    use crate::{
        clock::Clock,
        worker::{self, Control, Inbox, WorkerSetup},
    };

    fn dispatcher(
        workers: usize,
        handover_limit: usize,
        session_limit: usize,
    ) -> (Dispatcher, Vec<mpsc::Receiver<Handover>>) {
        let (senders, receivers) = (0..workers).map(|_| mpsc::channel(handover_limit)).unzip();
        let config = GatewayConfig { session_limit, handover_limit, ..GatewayConfig::default() };
        let live = Arc::new(Live::new(config));
        let retry = Arc::new(RetryAfter::new(1));
        (Dispatcher::new(live, Arc::default(), senders, retry), receivers)
    }

    async fn places(dispatcher: &Dispatcher, count: usize) -> Vec<Reservation> {
        let mut places = Vec::new();
        for _ in 0..count {
            places.push(dispatcher.reserve().await.expect("room"));
        }
        places
    }

    fn loads(dispatcher: &Dispatcher) -> Vec<usize> {
        dispatcher.doors.iter().map(|door| door.load.load(Relaxed)).collect()
    }

    #[tokio::test]
    async fn places_go_to_the_least_loaded_worker() {
        let (dispatcher, _receivers) = dispatcher(3, 8, 100);
        let mut places = places(&dispatcher, 6).await;
        assert_eq!(loads(&dispatcher), [2, 2, 2]);
        drop(places.remove(0));
        assert_eq!(loads(&dispatcher).iter().sum::<usize>(), 5);
        places.push(dispatcher.reserve().await.expect("room"));
        assert_eq!(loads(&dispatcher), [2, 2, 2], "the worker that lost one got the next");
    }

    #[tokio::test]
    async fn the_session_limit_refuses_and_places_are_given_back() {
        let (limited, _receivers) = dispatcher(2, 8, 3);
        let places = places(&limited, 3).await;
        assert_eq!(limited.reserve().await.err(), Some(Refusal::Full));
        drop(places);
        assert!(limited.reserve().await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn full_channels_are_waited_for_and_then_refuse() {
        let (crowded, _receivers) = dispatcher(2, 1, 100);
        let _places = places(&crowded, 2).await;
        let start = tokio::time::Instant::now();
        assert_eq!(crowded.reserve().await.err(), Some(Refusal::Busy));
        assert_eq!(start.elapsed(), crowded.config.now().handover_wait);
        assert_eq!(crowded.total.load(Relaxed), 2, "a refusal holds no place");
        assert_eq!(loads(&crowded), [1, 1]);
    }

    #[tokio::test(start_paused = true)]
    async fn room_that_comes_in_time_is_taken() {
        let (crowded, _receivers) = dispatcher(1, 1, 100);
        let mut places = places(&crowded, 1).await;
        let (taken, ()) = tokio::join!(crowded.reserve(), async {
            tokio::time::sleep(crowded.config.now().handover_wait / 2).await;
            places.clear();
        });
        assert!(taken.is_ok());
        assert_eq!(loads(&crowded), [1]);
    }

    #[tokio::test]
    async fn a_dead_worker_is_passed_over() {
        let (dispatcher, mut receivers) = dispatcher(2, 8, 100);
        drop(receivers.remove(0));
        let _places = places(&dispatcher, 4).await;
        assert_eq!(loads(&dispatcher), [0, 4]);
        receivers.clear();
        assert_eq!(dispatcher.reserve().await.err(), Some(Refusal::Busy), "all are dead");
    }

    #[tokio::test]
    async fn a_gateway_short_of_memory_takes_nobody_until_it_has_some() {
        let (dispatcher, _receivers) = dispatcher(1, 8, 100);
        dispatcher.set_short_of_memory(true);
        assert_eq!(dispatcher.reserve().await.err(), Some(Refusal::Memory));
        dispatcher.set_short_of_memory(false);
        assert!(dispatcher.reserve().await.is_ok());
    }

    #[tokio::test]
    async fn a_session_limit_that_was_lowered_holds_for_who_comes_next() {
        let (dispatcher, _receivers) = dispatcher(1, 8, 100);
        let mut places = places(&dispatcher, 3).await;
        let lower = GatewayConfig { session_limit: 2, ..GatewayConfig::default() };
        dispatcher.config.replace(lower);
        assert_eq!(dispatcher.reserve().await.err(), Some(Refusal::Full));
        places.truncate(1);
        assert!(dispatcher.reserve().await.is_ok(), "who is there stays, and one more has room");
    }

    #[tokio::test]
    async fn a_draining_gateway_takes_nobody() {
        let (dispatcher, _receivers) = dispatcher(1, 8, 100);
        dispatcher.drain();
        assert_eq!(dispatcher.reserve().await.err(), Some(Refusal::Draining));
    }

    /// Such a client was answered 101 already, and would else see its connection end unexplained.
    #[test]
    fn who_was_let_in_before_a_drain_is_told_of_it_by_a_worker_that_drains_already() {
        let hub = HubConfig { workers: 1, symbol_limit: 4, ..HubConfig::default() };
        let hub = Hub::new(hub, 1).expect("sizes are valid");
        let shared = Shared::new(hub, EngineConfig::default()).expect("valid");
        let (door, handovers) = mpsc::channel(1);
        let (control, controls) = mpsc::channel(1);
        let live = Arc::new(Live::new(GatewayConfig::default()));
        let retry = Arc::new(RetryAfter::new(1));
        let dispatcher = Dispatcher::new(live, Arc::default(), vec![door], retry);
        let setup = WorkerSetup {
            shared,
            index: 0,
            seed: 1,
            clock: Clock::start(),
            inbox: Inbox { handovers, controls },
            handover_batch: 1,
        };
        let running = thread::spawn(move || worker::run(setup, oneshot::channel().0));
        let runtime = Builder::new_current_thread().build().expect("a runtime");
        let Reservation { load, total, permit } =
            runtime.block_on(dispatcher.reserve()).expect("room");
        let seat = Seat { _load: load, _total: total, _address: None };

        // Long enough for its turn to be looked at, which comes every quarter of a second.
        control.blocking_send(Control::Drain(Duration::from_secs(1))).expect("it runs");
        let (ask, answer) = oneshot::channel();
        control.blocking_send(Control::Stats(ask)).expect("it runs");
        assert_eq!(answer.blocking_recv().expect("it waits for who was let in").sessions, 0);

        let listener = StdListener::bind("127.0.0.1:0").expect("a port");
        let mut far = StdStream::connect(listener.local_addr().expect("bound")).expect("connects");
        let (stream, peer) = listener.accept().expect("it connects");
        stream.set_nonblocking(true).expect("an option");
        let (read_ahead, dialect) = (Vec::new(), Dialect::Json);
        let user_agent = None;
        permit.send(Handover { stream, read_ahead, dialect, session: 1, peer, user_agent, seat });
        far.set_read_timeout(Some(Duration::from_secs(60))).expect("a timeout can be set");
        let mut heard = Vec::new();
        far.read_to_end(&mut heard).expect("an end");
        running.join().expect("it ends in order");
        let position = |bytes: &[u8]| heard.windows(bytes.len()).position(|part| part == bytes);
        let code = CloseReason::Draining.code().to_be_bytes();
        let close = [&code[..], CloseReason::Draining.name().as_bytes()].concat();
        let places = [&br#""welcome""#[..], br#""draining""#, &close].map(position);
        assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{places:?}");
    }
}
