//! Builds everything that can fail before anything starts: the feed's recordings are opened and
//! both ports bound, and only then do threads begin.

use std::{
    fmt::Display,
    net::{SocketAddr, TcpListener as StdListener},
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::Context;
use socket2::{Domain, Protocol, Socket, Type};
use tickgate_feed::{Feed, replay::Replay, simulated::SimulatedMarket};
use tickgate_hub::Hub;

use crate::{
    config::{FeedChoice, Settings},
    failure::Failure,
};

/// Everything that runs, ready to start.
pub(crate) struct Prepared {
    pub(crate) settings: Settings,
    pub(crate) hub: Arc<Hub>,
    pub(crate) feed: Box<dyn Feed>,
    pub(crate) public: StdListener,
    pub(crate) admin: StdListener,
}

/// Connections the kernel may hold for the acceptor; it takes the lesser of this and its own
/// limit. Past it, clients wait and try again by themselves.
const BACKLOG: i32 = 1_024;

/// Opens, binds and allocates.
///
/// # Errors
/// [`Failure::Start`]: a recording that cannot be read, a port that cannot be had. Nothing is left
/// running.
pub(crate) fn prepare(settings: Settings) -> Result<Prepared, Failure> {
    let feed = open(&settings.feed).map_err(Failure::Start)?;
    let public = bind(settings.listen, "gateway.listen").map_err(Failure::Start)?;
    let admin = bind(settings.admin_listen, "admin.listen").map_err(Failure::Start)?;
    let hub = Hub::new(settings.hub.clone(), first_epoch()).map_err(Failure::config)?;
    Ok(Prepared { settings, hub, feed, public, admin })
}

fn open(feed: &FeedChoice) -> Result<Box<dyn Feed>, anyhow::Error> {
    match feed {
        FeedChoice::Simulated(config) => Ok(Box::new(SimulatedMarket::open(config.clone())?)),
        FeedChoice::Replay(config) => Ok(Box::new(Replay::open(config.clone())?)),
    }
}

/// A listening socket. A port that was just left can be had again at once (`SO_REUSEADDR`); one
/// that is in use cannot.
fn bind(address: SocketAddr, key: impl Display) -> Result<StdListener, anyhow::Error> {
    let listening = || {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        socket.set_nonblocking(true)?;
        Ok::<_, std::io::Error>(socket.into())
    };
    listening().with_context(|| format!("{key} = {address}: cannot listen"))
}

/// Milliseconds of Unix time: rises from start to start, and stays below 2^53.
fn first_epoch() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(1).max(1)
}
