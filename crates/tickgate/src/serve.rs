//! Starts what was prepared, waits for the signal to stop, stops it in order.

use std::{
    hash::{BuildHasher, RandomState},
    sync::{Arc, LazyLock},
    time::Duration,
};

use anyhow::Context;
use tickgate_gateway::{AdminConfig, Asset, Listeners, Parts};
use tickgate_session::Shared;
use tokio::net::TcpListener;

use crate::{
    banner::{self, Addresses},
    config::FeedChoice,
    failure::Failure,
    feed_figures,
    feed_thread::{FeedClock, FeedThread, FeedTotals},
    liveness::{Herald, LOOK_EVERY_US, Liveness},
    log,
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

/// Runs until SIGINT or SIGTERM.
///
/// # Errors
/// [`Failure::Start`] when threads or sockets cannot be had, [`Failure::Running`] when a worker
/// died.
pub(crate) fn run(prepared: Prepared) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()
        .context("no runtime")
        .map_err(Failure::Start)?;
    runtime.block_on(serve(prepared))
}

async fn serve(prepared: Prepared) -> Result<(), Failure> {
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
    let stop = stop_signal().map_err(start)?;
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

    banner::started(&addresses, &description, examples);
    // Entropy without a dependency: the standard library seeds its hash maps with it.
    let seed = RandomState::new().hash_one(());
    let parts = Parts {
        config: settings.gateway,
        shared,
        listeners,
        assets: &ASSETS,
        admin: AdminConfig {
            token: settings.admin_token,
            effective: Box::new(move || settings.effective.clone()),
        },
        figures: Box::new(move || {
            let mut figures = feed_figures::figures(&totals.read(), clock.now());
            figures.push(log::suppressed_figure());
            figures
        }),
        seed,
    };
    let served = tickgate_gateway::run(parts, stop).await;
    watchdog.abort();
    drop(feed);
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

/// Completes at the first SIGINT or SIGTERM.
fn stop_signal() -> std::io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}
