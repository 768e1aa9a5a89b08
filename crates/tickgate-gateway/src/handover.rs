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
    socket,
    worker::Handover,
};

/// The way from the listener to the workers.
pub(crate) struct Dispatcher {
    config: GatewayConfig,
    counters: Arc<Counters>,
    doors: Vec<Door>,
    /// Sessions over all workers, those on their way included; at most `session_limit`.
    total: Arc<AtomicUsize>,
    sessions: AtomicU64,
    draining: AtomicBool,
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
        config: GatewayConfig,
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
        }
    }

    /// From now on every reservation is refused.
    pub(crate) fn drain(&self) {
        self.draining.store(true, Relaxed);
    }

    pub(crate) fn config(&self) -> &GatewayConfig {
        &self.config
    }

    pub(crate) fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Reserves a place at the least loaded worker that has room. Everything that can be full is
    /// found out here, while there still is an HTTP answer to say so.
    ///
    /// # Errors
    /// [`Refusal::Full`] at the session limit or when no channel has room; [`Refusal::Draining`].
    pub(crate) fn reserve(&self) -> Result<Reservation, Refusal> {
        if self.draining.load(Relaxed) {
            return Err(Refusal::Draining);
        }
        let below_limit = |n| (n < self.config.session_limit).then_some(n + 1);
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
        user_agent: Option<Box<str>>,
    ) {
        let Reservation { seat, permit } = reservation;
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
        socket::prepare(&stream, &self.config).map_err(|error| error.to_string())?;
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
    use super::*;

    fn dispatcher(
        workers: usize,
        handover_limit: usize,
        session_limit: usize,
    ) -> (Dispatcher, Vec<mpsc::Receiver<Handover>>) {
        let (senders, receivers) = (0..workers).map(|_| mpsc::channel(handover_limit)).unzip();
        let config = GatewayConfig { session_limit, handover_limit, ..GatewayConfig::default() };
        (Dispatcher::new(config, Arc::default(), senders), receivers)
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
    fn a_draining_gateway_takes_nobody() {
        let (dispatcher, _receivers) = dispatcher(1, 8, 100);
        dispatcher.drain();
        assert_eq!(dispatcher.reserve().err(), Some(Refusal::Draining));
    }
}
