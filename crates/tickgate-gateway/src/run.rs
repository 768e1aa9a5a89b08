//! The life of a gateway: start workers, accept, drain, stop.

use std::{
    io,
    sync::{Arc, Mutex},
    thread,
};

use tickgate_session::Shared;
use tokio::{
    net::TcpListener,
    sync::{mpsc, oneshot},
    task::JoinSet,
};

use crate::{
    admin::{self, Admin, drain_workers},
    clock::Clock,
    config::{AdminConfig, Asset, FigureSource, GatewayConfig},
    counters::Counters,
    handover::Dispatcher,
    listener, public,
    worker::{self, Control, Inbox, WorkerSetup},
};

/// Bound sockets, from the caller; port 0 in tests.
#[derive(Debug)]
pub struct Listeners {
    /// For clients.
    pub public: TcpListener,
    /// For operators. Without [`AdminConfig::token`] anybody who reaches it sees everything and may
    /// close sessions: keep it on loopback.
    pub admin: TcpListener,
}

/// What a gateway is made of.
pub struct Parts {
    /// Its limits.
    pub config: GatewayConfig,
    /// The hub and the settings of the engines; one worker for each that the hub has.
    pub shared: Arc<Shared>,
    /// Bound sockets.
    pub listeners: Listeners,
    /// The page.
    pub assets: &'static [Asset],
    /// Who may ask the admin listener.
    pub admin: AdminConfig,
    /// Asked for more figures at each scrape.
    pub figures: FigureSource,
    /// Spreads the phases of sessions.
    pub seed: u64,
}

/// Why a gateway did not start, or stopped by itself.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// A worker's thread or runtime could not be made.
    #[error("worker {index} could not be started")]
    WorkerStart {
        /// Which one.
        index: usize,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A worker's thread ended though nobody asked: a defect. The others were drained.
    #[error("worker {index} died")]
    WorkerDied {
        /// Which one.
        index: usize,
    },
}

/// Messages that may wait for one worker; each is answered within one turn of its loop.
const CONTROL_LIMIT: usize = 16;

/// New connections that a worker takes over between two polls of its engine.
const HANDOVER_BATCH: usize = 32;

/// Serves until `shutdown` completes, then lets everybody leave within
/// [`GatewayConfig::drain_within`] and returns with all threads joined.
///
/// Starts one worker thread for each worker of the hub; accepting and HTTP run on the caller's
/// runtime, which needs I/O and time.
///
/// Cancelled (dropped), it stops accepting at once and the workers close their sessions by
/// themselves; nobody joins them.
///
/// # Errors
/// [`GatewayError`]; after [`GatewayError::WorkerStart`] no thread is left behind.
pub async fn run(parts: Parts, shutdown: impl Future<Output = ()>) -> Result<(), GatewayError> {
    let Parts { config, shared, listeners, assets, admin, figures, seed } = parts;
    let counters = Arc::new(Counters::default());
    let mut team = Team::start(&config, &shared, seed).await?;
    let dispatcher =
        Arc::new(Dispatcher::new(config.clone(), Arc::clone(&counters), team.take_doors()));
    let public = public::router(Arc::clone(&dispatcher), assets);
    let admin = admin::router(Arc::new(Admin {
        shared: Arc::clone(&shared),
        controls: team.controls.clone(),
        counters: Arc::clone(&counters),
        foreign: figures,
        last: Mutex::default(),
        token: admin.token,
        effective: admin.effective,
    }));

    let accept_public = listener::accept(listeners.public, public, &config, Arc::clone(&counters));
    let accept_admin = listener::accept(listeners.admin, admin, &config, counters);
    tokio::pin!(accept_admin);
    let died = tokio::select! {
        () = accept_public => None,
        () = &mut accept_admin => None,
        () = shutdown => None,
        index = team.first_to_end() => index,
    };

    // The public listener is closed by now; operators may watch the rest.
    dispatcher.drain();
    tracing::info!(within_s = config.drain_within.as_secs_f64(), "draining");
    let drained = async {
        drain_workers(&team.controls, config.drain_within).await;
        team.all_to_end().await
    };
    let died_draining = tokio::select! {
        () = accept_admin => None,
        died = drained => died,
    };
    match died.or(died_draining) {
        Some(index) => Err(GatewayError::WorkerDied { index }),
        None => Ok(()),
    }
}

/// The worker threads.
struct Team {
    controls: Vec<mpsc::Sender<Control>>,
    doors: Vec<mpsc::Sender<worker::Handover>>,
    /// One for each thread that has not ended: its index, and whether it panicked.
    threads: JoinSet<(usize, bool)>,
}

impl Team {
    async fn start(
        config: &GatewayConfig,
        shared: &Arc<Shared>,
        seed: u64,
    ) -> Result<Self, GatewayError> {
        let clock = Clock::start();
        let mut team = Self { controls: Vec::new(), doors: Vec::new(), threads: JoinSet::new() };
        for index in 0..shared.hub().config().workers {
            let (door, handovers) = mpsc::channel(config.handover_limit);
            let (control, controls) = mpsc::channel(CONTROL_LIMIT);
            let setup = WorkerSetup {
                shared: Arc::clone(shared),
                index,
                // Any two workers' seeds differ; the engine mixes them.
                seed: seed.wrapping_add(index as u64),
                clock,
                inbox: Inbox { handovers, controls },
                handover_batch: HANDOVER_BATCH,
            };
            team.controls.push(control);
            team.doors.push(door);
            let started = team.spawn(index, setup);
            if let Err(source) = started.await {
                // Dropping the senders ends the workers that did start.
                team.controls.clear();
                team.doors.clear();
                team.all_to_end().await;
                return Err(GatewayError::WorkerStart { index, source });
            }
        }
        Ok(team)
    }

    /// Spawns the thread; resolves when it runs or failed to.
    async fn spawn(&mut self, index: usize, setup: WorkerSetup) -> io::Result<()> {
        let (started, starting) = oneshot::channel();
        let (ended, ending) = oneshot::channel::<()>();
        let thread =
            thread::Builder::new().name(format!("tickgate-worker-{index}")).spawn(move || {
                // Dropped when the thread ends, also by a panic.
                let _ended = ended;
                worker::run(setup, started);
            })?;
        self.threads.spawn(async move {
            // Resolves, by the sender being dropped, at the very end of the thread: the join that
            // follows waits for nothing but its last instructions.
            let _ = ending.await;
            (index, thread.join().is_err())
        });
        // The thread answers unless it panicked.
        starting.await.unwrap_or_else(|_| Err(io::Error::other("the thread panicked")))
    }

    fn take_doors(&mut self) -> Vec<mpsc::Sender<worker::Handover>> {
        std::mem::take(&mut self.doors)
    }

    /// The first worker to end, which none should before it is told to.
    async fn first_to_end(&mut self) -> Option<usize> {
        match self.threads.join_next().await {
            Some(Ok((index, _))) => Some(index),
            // The waiting tasks neither panic nor are aborted; without workers there is none.
            Some(Err(_)) | None => None,
        }
    }

    /// Waits for the rest; the index of one that panicked, if any did.
    async fn all_to_end(&mut self) -> Option<usize> {
        let mut died = None;
        while let Some(ended) = self.threads.join_next().await {
            if let Ok((index, true)) = ended {
                died = Some(index);
            }
        }
        died
    }
}
