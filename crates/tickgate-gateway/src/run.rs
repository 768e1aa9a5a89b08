//! The life of a gateway: start workers, accept, drain, stop.

use std::{
    future::pending,
    io,
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use tickgate_session::Shared;
use tokio::{
    net::TcpListener,
    sync::{mpsc, oneshot},
    task::JoinSet,
    time::timeout,
};

use crate::{
    admin::{self, Admin, tell_workers},
    admission::Admission,
    clock::Clock,
    config::{AdminConfig, Asset, FigureSource, GatewayConfig},
    counters::Counters,
    handover::Dispatcher,
    listener,
    live::{Live, Reload},
    memory, public,
    retry::RetryAfter,
    turn_away::Doorman,
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
    /// New settings while it runs; each is applied before the next is taken. Once there is no
    /// sender, none come.
    pub reloads: mpsc::Receiver<Reload>,
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

/// How long handshakes are still answered, with a refusal, after the order to stop.
const LAST_ACCEPTS: Duration = Duration::from_millis(100);

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
    let Parts { config, shared, listeners, assets, admin, figures, seed, mut reloads } = parts;
    let counters = Arc::new(Counters::default());
    let mut team = Team::start(&config, &shared, seed).await?;
    let live = Arc::new(Live::new(config.clone()));
    let retry = Arc::new(RetryAfter::new(seed));
    let dispatcher = Arc::new(Dispatcher::new(
        Arc::clone(&live),
        Arc::clone(&counters),
        team.take_doors(),
        Arc::clone(&retry),
    ));
    let public = public::router(Arc::clone(&dispatcher), assets);
    let admin = admin::router(Arc::new(Admin {
        shared: Arc::clone(&shared),
        controls: team.controls.clone(),
        counters: Arc::clone(&counters),
        foreign: figures,
        dispatcher: Arc::clone(&dispatcher),
        last: Mutex::default(),
        token: admin.token,
        effective: admin.effective,
    }));

    let accept_public = listener::accept(
        listeners.public,
        public,
        &config,
        Some(Admission::new(&config)),
        Doorman::new(Arc::clone(&retry)),
        Arc::clone(&counters),
    );
    let doorman = Doorman::new(retry);
    let counted = Arc::clone(&counters);
    let accept_admin = listener::accept(listeners.admin, admin, &config, None, doorman, counted);
    let controls = team.controls.clone();
    let reloading = async {
        while let Some(reload) = reloads.recv().await {
            apply(reload, &live, &shared, &controls).await;
        }
        // Nobody can send another: that ends nothing else.
        pending::<()>().await;
    };
    let memory = memory::guard(&live, &dispatcher, &counters, &controls);
    tokio::pin!(accept_public, accept_admin);
    let died = tokio::select! {
        () = &mut accept_public => None,
        () = &mut accept_admin => None,
        () = shutdown => None,
        () = reloading => None,
        () = memory => None,
        index = team.first_to_end() => index,
    };

    // From here on every handshake is refused, and `/readyz` says so.
    dispatcher.drain();
    let within = live.now().drain_within;
    tracing::info!(within_s = within.as_secs_f64(), "draining");
    let drained = async {
        // Who stands in the kernel's queue is answered, and then the port is free for another
        // gateway, while operators may watch this one.
        let last_answers = timeout(LAST_ACCEPTS, accept_public);
        tell_workers(&team.controls, || Control::Drain(within)).await;
        let _ = last_answers.await;
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

/// Puts new settings in force: for handshakes at once, for each worker at its next turn.
async fn apply(
    reload: Reload,
    live: &Live,
    shared: &Arc<Shared>,
    controls: &[mpsc::Sender<Control>],
) {
    let Reload { gateway, engine, applied } = reload;
    match shared.with_config(engine) {
        Ok(shared) => {
            live.replace(gateway);
            tell_workers(controls, || Control::Reconfigure(Arc::clone(&shared))).await;
            // Who does not wait for it has no use for the answer.
            let _ = applied.send(());
        }
        // Dropping `applied` says that nothing was.
        Err(error) => tracing::error!(%error, "new settings break a rule"),
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
