//! A gateway on a port of its own, with a feed that the test plays, and a cable that it can cut.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use tickgate_client::{Builder, Client};
use tickgate_gateway::{AdminConfig, GatewayConfig, GatewayError, Listeners, Parts, run};
use tickgate_hub::{Hub, HubConfig, Publisher};
use tickgate_protocol::{
    number::ABSENT,
    tick::{Batch, Listing, Quote, Tick, TickBody, Trade},
};
use tickgate_session::{EngineConfig, Shared};
use tokio::{
    io::{DuplexStream, copy_bidirectional, duplex},
    net::{TcpListener, TcpStream},
    sync::{mpsc, oneshot},
    task::{AbortHandle, JoinHandle},
};

/// A test that has seen what it came for does not wait for its sessions to leave in turn.
pub(crate) const DRAIN: Duration = Duration::from_millis(20);

pub(crate) struct Gateway {
    pub(crate) address: String,
    pub(crate) publisher: Publisher,
    stop: oneshot::Sender<()>,
    running: JoinHandle<Result<(), GatewayError>>,
}

impl Gateway {
    pub(crate) async fn start() -> Self {
        Self::start_with(GatewayConfig { drain_within: DRAIN, ..GatewayConfig::default() }, 1).await
    }

    pub(crate) async fn start_with(config: GatewayConfig, epoch: u64) -> Self {
        let sizes = HubConfig { workers: 1, symbol_limit: 64, ..HubConfig::default() };
        let hub = Hub::new(sizes, epoch).expect("sizes are valid");
        let shared = Shared::new(Arc::clone(&hub), EngineConfig::default()).expect("valid");
        let public = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let admin = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = public.local_addr().expect("bound").to_string();
        let (stop, stopped) = oneshot::channel();
        let parts = Parts {
            config,
            shared,
            listeners: Listeners { public, admin },
            assets: &[],
            admin: AdminConfig::default(),
            figures: Box::new(Vec::new),
            seed: 7,
            reloads: mpsc::channel(1).1,
        };
        let running = tokio::spawn(run(parts, async {
            // Also when the test ends without a word.
            let _ = stopped.await;
        }));
        Self { address, publisher: hub.publisher(), stop, running }
    }

    pub(crate) async fn stop(self) -> Result<(), GatewayError> {
        self.stop.send(()).expect("it runs");
        self.running.await.expect("no panic")
    }

    pub(crate) fn builder(&self) -> Builder {
        Client::builder(&format!("ws://{}/v1/stream", self.address))
    }

    pub(crate) fn list(&mut self, names: &[&str]) {
        let listing = |name: &&str| Listing::new(*name, -2, 0);
        let listings = names.iter().map(listing).collect();
        self.publisher.publish(&Batch { listings, ..Batch::default() });
    }

    /// Trades of a symbol whose prices (in cents) and venue's numbers are these.
    pub(crate) fn trade(&mut self, symbol: u32, numbers: impl IntoIterator<Item = i64>) {
        let tick = |number: i64| Tick {
            symbol,
            event_time_ns: ABSENT,
            body: TickBody::Trade(Trade { price: number, size: 10, flags: 0, trade_id: number }),
        };
        let ticks = numbers.into_iter().map(tick).collect();
        self.publisher.publish(&Batch { ticks, ..Batch::default() });
    }

    /// Quotes one after the other, each with this bid in cents.
    pub(crate) fn quote(&mut self, symbol: u32, bids: impl IntoIterator<Item = i64>) {
        let tick = |bid: i64| Tick {
            symbol,
            event_time_ns: ABSENT,
            body: TickBody::Quote(Quote {
                bid_price: bid,
                bid_size: 1,
                ask_price: bid + 1,
                ask_size: 1,
                suspect: false,
            }),
        };
        let ticks = bids.into_iter().map(tick).collect();
        self.publisher.publish(&Batch { ticks, ..Batch::default() });
    }

    pub(crate) fn new_epoch(&mut self) {
        self.publisher.publish(&Batch { new_epoch: true, ..Batch::default() });
    }
}

/// Carries a client's connections to wherever it leads; cutting it breaks the one in use.
#[derive(Clone, Default)]
pub(crate) struct Cable(Arc<Mutex<Plugged>>);

#[derive(Default)]
struct Plugged {
    address: String,
    in_use: Option<AbortHandle>,
}

impl Cable {
    pub(crate) fn to(gateway: &Gateway) -> Self {
        let cable = Self::default();
        cable.lead_to(gateway);
        cable
    }

    pub(crate) fn lead_to(&self, gateway: &Gateway) {
        self.0.lock().expect("no panic").address = gateway.address.clone();
    }

    pub(crate) fn cut(&self) {
        let in_use = self.0.lock().expect("no panic").in_use.take();
        in_use.expect("it is in use").abort();
    }

    pub(crate) async fn open(self) -> std::io::Result<DuplexStream> {
        let address = self.0.lock().expect("no panic").address.clone();
        let mut stream = TcpStream::connect(address).await?;
        let (ours, mut theirs) = duplex(64 * 1024);
        let carrying = tokio::spawn(async move {
            let _ = copy_bidirectional(&mut theirs, &mut stream).await;
        });
        self.0.lock().expect("no panic").in_use = Some(carrying.abort_handle());
        Ok(ours)
    }
}
