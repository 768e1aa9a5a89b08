//! Reads the configuration again and puts in force what can change while the gateway runs.

use std::sync::{Arc, Mutex, PoisonError};

use tickgate_gateway::Reload;
use tokio::sync::{mpsc, oneshot};

use crate::{
    cli::Options,
    config::{self, Changes, Loaded},
    failure::Failure,
    log::LogHandle,
};

/// The configuration in force as `/admin/config` shows it: JSON without secrets.
#[derive(Debug, Clone)]
pub(crate) struct Effective(Arc<Mutex<String>>);

impl Effective {
    pub(crate) fn new(text: String) -> Self {
        Self(Arc::new(Mutex::new(text)))
    }

    pub(crate) fn get(&self) -> String {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, text: String) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = text;
    }
}

/// What is in force, and where a new configuration comes from and goes to.
pub(crate) struct Reloader {
    options: Options,
    now: Loaded,
    log: LogHandle,
    gateway: mpsc::Sender<Reload>,
    effective: Effective,
}

/// What came of reading again.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    live: Vec<String>,
    after_restart: Vec<String>,
    /// The log's filter, when it changed.
    filter: Option<String>,
}

impl Reloader {
    /// `now` is the configuration in force; it came from `options`.
    pub(crate) fn new(
        options: Options,
        now: Loaded,
        log: LogHandle,
        gateway: mpsc::Sender<Reload>,
        effective: Effective,
    ) -> Self {
        Self { options, now, log, gateway, effective }
    }

    /// Reads the same file, environment and flags again. What is valid as a whole is put in force
    /// as a whole; of anything else nothing is. Says in one line which, and why.
    pub(crate) async fn reload(&mut self) {
        match self.try_reload().await {
            Ok(Outcome { live, after_restart, filter }) => {
                let (changed, waiting) = (live.join(" "), after_restart.join(" "));
                tracing::info!(changed, needs_restart = waiting, "configuration reloaded");
                // Last, so that a filter that lets less through lets this through.
                if let Some(filter) = filter {
                    self.log.set_filter(&filter);
                }
            }
            Err(failure) => {
                tracing::error!("configuration not reloaded, nothing changed: {}", failure.line());
            }
        }
    }

    async fn try_reload(&mut self) -> Result<Outcome, Failure> {
        let read = config::load(&self.options)?;
        // As it was written it must be valid, so that a restart would work, ...
        read.settings()?;
        let changes = Changes::between(&self.now, &read).map_err(Failure::config)?;
        // ... and as it will be in force: a new value may break a rule together with an old one.
        let settings = changes.effective.settings()?;
        let Changes { effective, live, after_restart } = changes;
        if !live.is_empty() {
            let (applied, done) = oneshot::channel();
            let reload = Reload { gateway: settings.gateway, engine: settings.engine, applied };
            let sent = self.gateway.send(reload).await;
            if sent.is_err() || done.await.is_err() {
                return Err(Failure::Running(anyhow::anyhow!("the gateway takes no settings")));
            }
            self.now = effective;
            self.effective.set(settings.effective);
        }
        let filter = live.iter().any(|key| key == "log.filter").then_some(settings.log.filter);
        Ok(Outcome { live, after_restart, filter })
    }
}
