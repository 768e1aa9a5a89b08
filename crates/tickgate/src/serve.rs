//! Starts what was prepared, waits for the signal to stop, stops it in order.

use std::{
    hash::{BuildHasher, RandomState},
    sync::{Arc, LazyLock},
    time::Duration,
};

use anyhow::Context;
use tickgate_gateway::{AdminConfig, Asset, Listeners, Parts, Reload};
use tickgate_session::Shared;
use tokio::{
    net::TcpListener,
    sync::{mpsc, oneshot},
};

use crate::{
    banner::{self, Addresses},
    config::FeedChoice,
    failure::Failure,
    feed_figures,
    feed_thread::{FeedClock, FeedThread, FeedTotals},
    liveness::{Herald, LOOK_EVERY_US, Liveness},
    log::LogHandle,
    reload::{Effective, Reloader},
    signals::{Signals, Told},
    start::Prepared,
};

/// The page, as the gateway serves it.
static ASSETS: LazyLock<Vec<Asset>> = LazyLock::new(|| {
    let asset = |file: tickgate_dashboards_web::File| Asset {
        path: file.path,
        content_type: file.content_type,
        body: file.body,
    };
    tickgate_dashboards_web::FILES.map(asset).to_vec()
});

/// New settings on their way to the gateway; the next are read only once these are in force.
const RELOADS_LIMIT: usize = 1;

/// How long the feed may take to stop when everybody has left.
const FEED_STOP_LIMIT: Duration = Duration::from_secs(1);

/// How often the log is looked at for gaps.
const TELL_GAPS_EVERY: Duration = Duration::from_secs(1);

/// Runs until SIGINT or SIGTERM, and obeys SIGHUP with the reloader that is made from where new
/// settings go.
///
/// # Errors
/// [`Failure::Start`] when threads or sockets cannot be had, [`Failure::Running`] when a worker
/// died, [`Failure::Signal`] when a second signal did not let it stop in order.
pub(crate) fn run(
    prepared: Prepared,
    log: LogHandle,
    reloader: impl FnOnce(mpsc::Sender<Reload>, Effective) -> Reloader,
) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()
        .context("no runtime")
        .map_err(Failure::Start)?;
    runtime.block_on(serve(prepared, log, reloader))
}

async fn serve(
    prepared: Prepared,
    log: LogHandle,
    reloader: impl FnOnce(mpsc::Sender<Reload>, Effective) -> Reloader,
) -> Result<(), Failure> {
    let Prepared { settings, hub, feed, public, admin } = prepared;
    let start = |error: std::io::Error| Failure::Start(error.into());
    let addresses = Addresses {
        public: public.local_addr().map_err(start)?,
        admin: admin.local_addr().map_err(start)?,
    };
    let listeners = Listeners {
        public: TcpListener::from_std(public).map_err(start)?,
        admin: TcpListener::from_std(admin).map_err(start)?,
    };
    // Registered before anything starts, so that no signal is missed.
    let mut signals = Signals::listen().map_err(start)?;
    let description = feed.describe();
    let examples = match settings.feed {
        FeedChoice::Simulated(_) => "AAPL MSFT",
        FeedChoice::Replay(_) => "'*'",
    };

    let mut teller = hub.publisher();
    let liveness = Arc::new(Liveness::new(move |status, reason, unix_ns| {
        teller.set_feed_status(status, reason, unix_ns);
    }));
    let clock = FeedClock::start();
    let pace = settings.feed_pace;
    let totals = FeedTotals::default();
    let publisher = hub.publisher();
    let shared = Shared::new(hub, settings.engine).map_err(Failure::config)?;
    let (subscribers, wanted) = (Arc::clone(&shared), settings.feed_start_after_subscribes);
    let may_start = move || subscribers.readies() >= wanted;
    let liveness_of_feed = Arc::clone(&liveness);
    let feed = FeedThread::spawn(
        feed,
        publisher,
        liveness_of_feed,
        totals.clone(),
        clock,
        pace,
        may_start,
    )
    .map_err(start)?;
    let watchdog = tokio::spawn(watch(liveness, clock));
    let log = Arc::new(log);
    let gaps = tokio::spawn(tell_gaps(Arc::clone(&log)));

    banner::started(&addresses, &description, examples);
    // Entropy without a dependency: the standard library seeds its hash maps with it.
    let seed = RandomState::new().hash_one(());
    let (gateway, reloads) = mpsc::channel(RELOADS_LIMIT);
    let effective = Effective::new(settings.effective);
    let shown = effective.clone();
    let mut reloader = reloader(gateway, effective);
    let parts = Parts {
        config: settings.gateway,
        shared,
        listeners,
        assets: &ASSETS,
        admin: AdminConfig {
            token: settings.admin_token,
            effective: Box::new(move || shown.get()),
        },
        figures: Box::new(move || {
            let mut figures = feed_figures::figures(&totals.read(), clock.now());
            figures.extend(log.figures());
            figures
        }),
        seed,
        reloads,
    };
    let (stop, stopped) = oneshot::channel();
    let obeying = async move {
        while signals.next().await == Told::Reload {
            reloader.reload().await;
        }
        // Nobody to tell means that the gateway stops by itself.
        let _ = stop.send(());
        signals.next_stop().await
    };
    let stopped = async {
        // Nobody to hear from means that the program ends at once.
        let _ = stopped.await;
    };
    let served = tokio::select! {
        served = tickgate_gateway::run(parts, stopped) => served,
        second = obeying => {
            // Joining it could take as long as whatever it reads from.
            std::mem::forget(feed);
            return Err(second.failure());
        }
    };
    watchdog.abort();
    gaps.abort();
    if !feed.stop_within(FEED_STOP_LIMIT) {
        tracing::warn!("the feed hangs; the process ends without it");
    }
    served.map_err(|error| match error {
        tickgate_gateway::GatewayError::WorkerStart { .. } => Failure::Start(error.into()),
        tickgate_gateway::GatewayError::WorkerDied { .. } => Failure::Running(error.into()),
    })?;
    tracing::info!("stopped");
    Ok(())
}

/// Looks after the feed until it is over.
async fn watch<H: Herald>(liveness: Arc<Liveness<H>>, clock: FeedClock) {
    while liveness.look(clock.now()) {
        tokio::time::sleep(Duration::from_micros(LOOK_EVERY_US)).await;
    }
}

/// Says in the log that it has gaps, once there is room for a line again.
async fn tell_gaps(log: Arc<LogHandle>) {
    let mut told = 0;
    loop {
        tokio::time::sleep(TELL_GAPS_EVERY).await;
        let lost = log.lost();
        if lost > told {
            tracing::warn!(
                lines = lost - told,
                "log lines were lost here: nobody read them in time"
            );
            told = lost;
        }
    }
}
