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
    sync::mpsc::{self, OwnedPermit, error::TrySendError},
};

use crate::{
    config::GatewayConfig,
    counters::{Counters, count},
    handshake::Refusal,
    live::Live,
    socket,
    worker::Handover,
};

/// The way from the listener to the workers.
pub(crate) struct Dispatcher {
    config: Arc<Live>,
    counters: Arc<Counters>,
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

/// A session's place among the gateway's; given back when dropped.
#[derive(Debug)]
pub(crate) struct Seat {
    load: Arc<AtomicUsize>,
    total: Arc<AtomicUsize>,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.load.fetch_sub(1, Relaxed);
        self.total.fetch_sub(1, Relaxed);
    }
}

/// A reserved place: a seat, and room in the worker's channel.
pub(crate) struct Reservation {
    seat: Seat,
    permit: OwnedPermit<Handover>,
}

impl Dispatcher {
    pub(crate) fn new(
        config: Arc<Live>,
        counters: Arc<Counters>,
        senders: Vec<mpsc::Sender<Handover>>,
    ) -> Self {
        let door = |sender| Door { sender, load: Arc::default() };
        Self {
            config,
            counters,
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

    /// Reserves a place at the least loaded worker that has room. Everything that can be full is
    /// found out here, while there still is an HTTP answer to say so.
    ///
    /// # Errors
    /// [`Refusal::Full`] at the session limit or when no channel has room; [`Refusal::Memory`];
    /// [`Refusal::Draining`].
    pub(crate) fn reserve(&self) -> Result<Reservation, Refusal> {
        if self.is_draining() {
            return Err(Refusal::Draining);
        }
        if self.is_short_of_memory() {
            return Err(Refusal::Memory);
        }
        let limit = self.config.now().session_limit;
        let below_limit = |n| (n < limit).then_some(n + 1);
        if self.total.fetch_update(Relaxed, Relaxed, below_limit).is_err() {
            return Err(Refusal::Full);
        }
        let mut doors: Vec<&Door> = self.doors.iter().collect();
        doors.sort_by_key(|door| door.load.load(Relaxed));
        for door in doors {
            match door.sender.clone().try_reserve_owned() {
                Ok(permit) => {
                    door.load.fetch_add(1, Relaxed);
                    let (load, total) = (Arc::clone(&door.load), Arc::clone(&self.total));
                    return Ok(Reservation { seat: Seat { load, total }, permit });
                }
                Err(TrySendError::Full(_) | TrySendError::Closed(_)) => {}
            }
        }
        self.total.fetch_sub(1, Relaxed);
        Err(Refusal::Full)
    }

    /// Waits for the upgrade to complete, prepares the socket and passes it on.
    ///
    /// Cancelled or failed, the connection closes and its place is given back.
    pub(crate) async fn hand_over(
        &self,
        upgrade: OnUpgrade,
        reservation: Reservation,
        dialect: Dialect,
        peer: SocketAddr,
    ) {
        let Reservation { seat, permit } = reservation;
        let handover = match upgrade.await {
            Ok(upgraded) => self.unwrap(upgraded, seat, dialect, peer),
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
        Ok(Handover { stream, read_ahead: parts.read_buf.to_vec(), dialect, session, peer, seat })
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
    use tokio::sync::oneshot;

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
        (Dispatcher::new(live, Arc::default(), senders), receivers)
    }

    #[test]
    fn places_go_to_the_least_loaded_worker() {
        let (dispatcher, _receivers) = dispatcher(3, 8, 100);
        let mut places: Vec<_> = (0..6).map(|_| dispatcher.reserve().expect("room")).collect();
        let loads = || dispatcher.doors.iter().map(|d| d.load.load(Relaxed)).collect::<Vec<_>>();
        assert_eq!(loads(), [2, 2, 2]);
        drop(places.remove(0));
        assert_eq!(loads().iter().sum::<usize>(), 5);
        places.push(dispatcher.reserve().expect("room"));
        assert_eq!(loads(), [2, 2, 2], "the worker that lost one got the next");
    }

    #[test]
    fn full_channels_and_the_session_limit_refuse() {
        let (limited, _receivers) = dispatcher(2, 8, 3);
        let places: Vec<_> = (0..3).map(|_| limited.reserve().expect("room")).collect();
        assert_eq!(limited.reserve().err(), Some(Refusal::Full));
        drop(places);
        assert!(limited.reserve().is_ok(), "places are given back");

        let (crowded, _receivers) = dispatcher(2, 1, 100);
        let _places: Vec<_> = (0..2).map(|_| crowded.reserve().expect("room")).collect();
        assert_eq!(crowded.reserve().err(), Some(Refusal::Full));
        assert_eq!(crowded.total.load(Relaxed), 2, "a refusal holds no place");
    }

    #[test]
    fn a_dead_worker_is_passed_over() {
        let (dispatcher, mut receivers) = dispatcher(2, 8, 100);
        drop(receivers.remove(0));
        let _places: Vec<_> = (0..4).map(|_| dispatcher.reserve().expect("room")).collect();
        assert_eq!(dispatcher.doors[0].load.load(Relaxed), 0);
        assert_eq!(dispatcher.doors[1].load.load(Relaxed), 4);
    }

    #[test]
    fn a_gateway_short_of_memory_takes_nobody_until_it_has_some() {
        let (dispatcher, _receivers) = dispatcher(1, 8, 100);
        dispatcher.set_short_of_memory(true);
        assert_eq!(dispatcher.reserve().err(), Some(Refusal::Memory));
        dispatcher.set_short_of_memory(false);
        assert!(dispatcher.reserve().is_ok());
    }

    #[test]
    fn a_session_limit_that_was_lowered_holds_for_who_comes_next() {
        let (dispatcher, _receivers) = dispatcher(1, 8, 100);
        let mut places: Vec<_> = (0..3).map(|_| dispatcher.reserve().expect("room")).collect();
        let lower = GatewayConfig { session_limit: 2, ..GatewayConfig::default() };
        dispatcher.config.replace(lower);
        assert_eq!(dispatcher.reserve().err(), Some(Refusal::Full));
        places.truncate(1);
        assert!(dispatcher.reserve().is_ok(), "who is there stays, and one more has room");
    }

    #[test]
    fn a_draining_gateway_takes_nobody() {
        let (dispatcher, _receivers) = dispatcher(1, 8, 100);
        dispatcher.drain();
        assert_eq!(dispatcher.reserve().err(), Some(Refusal::Draining));
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
        let dispatcher = Dispatcher::new(live, Arc::default(), vec![door]);
        let setup = WorkerSetup {
            shared,
            index: 0,
            seed: 1,
            clock: Clock::start(),
            inbox: Inbox { handovers, controls },
            handover_batch: 1,
        };
        let running = thread::spawn(move || worker::run(setup, oneshot::channel().0));
        let Reservation { seat, permit } = dispatcher.reserve().expect("room");

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
        permit.send(Handover { stream, read_ahead, dialect, session: 1, peer, seat });
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
