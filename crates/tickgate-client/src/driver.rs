//! The life of a client: connect, talk, wait, again.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep},
};

use crate::{
    backoff::Backoff,
    connection::{ConnectionState, Trouble},
    conversation::{Request, Settings},
    dial::Target,
    error::{CommandError, ConnectError, EndReason},
    session::{Over, Session},
    shared::Shared,
};

/// Uniform numbers from 0 to 1.
pub(crate) type Random = Box<dyn FnMut() -> f64 + Send>;

/// Who waits for the first connection.
pub(crate) type First = oneshot::Sender<Result<(), ConnectError>>;

/// A client's task.
pub(crate) struct Driver {
    pub(crate) target: Target,
    pub(crate) settings: Settings,
    pub(crate) backoff: Backoff,
    pub(crate) random: Random,
    pub(crate) handshake_limit: Duration,
    pub(crate) shared: Arc<Shared>,
    pub(crate) requests: mpsc::Receiver<Request>,
    /// Given when the first attempt is to decide.
    pub(crate) first: Option<First>,
}

impl Driver {
    /// Runs until the client is closed or gives up.
    pub(crate) async fn run(mut self) {
        let end = self.connect_again_and_again().await;
        tracing::debug!(reason = %end, "client ended");
        let mut market = self.shared.market();
        market.set_connection(ConnectionState::Ended(Arc::new(end)));
        for (_, member) in market.members_mut() {
            if let Some(answer) = member.answer.take() {
                let _ = answer.send(Err(CommandError::Closed));
            }
        }
        // Under the lock: whoever registers after it sees the end.
        self.shared.ended.send_replace(true);
    }

    async fn connect_again_and_again(&mut self) -> EndReason {
        let mut attempt = 0;
        let mut carried = None;
        loop {
            let begun = Instant::now();
            let Some(trouble) = self.connect_once(&mut carried).await else {
                return EndReason::Closed;
            };
            if begun.elapsed() >= self.backoff.cap {
                attempt = 0;
            }
            if let Some(first) = self.first.take() {
                let error = match &trouble {
                    Trouble::Connect(error) => error.clone(),
                    Trouble::Disconnected(disconnect) => {
                        ConnectError::Ended(Box::new(disconnect.clone()))
                    }
                };
                // Whoever gave up waiting wants no client either.
                let _ = first.send(Err(error));
                return trouble.into_end();
            }
            if !trouble.is_worth_retrying() {
                tracing::warn!(error = %trouble, "gave up");
                return trouble.into_end();
            }
            let told = trouble.told_wait();
            let retry_in = self.backoff.wait(attempt, told, (self.random)());
            tracing::info!(error = %trouble, ?retry_in, attempt, "no connection");
            let why = Arc::new(trouble);
            let waiting = ConnectionState::Waiting { why, retry_in, attempt };
            self.shared.market().set_connection(waiting);
            attempt = attempt.saturating_add(1);
            tokio::select! {
                () = sleep(retry_in) => {}
                () = self.shared.closed() => return EndReason::Closed,
            }
            self.shared.market().set_connection(ConnectionState::Connecting);
        }
    }

    /// One connection to its end; `None` when the owner wants no more.
    async fn connect_once(&mut self, carried: &mut Option<Request>) -> Option<Trouble> {
        self.shared.market().stats.attempts += 1;
        let opened = tokio::select! {
            opened = Session::open(&self.target, self.handshake_limit) => opened,
            () = self.shared.closed() => return None,
        };
        let session = match opened {
            Ok(session) => session,
            Err(error) => {
                if is_violation(&error) {
                    self.shared.market().stats.violations += 1;
                }
                return Some(error.into());
            }
        };
        {
            let mut market = self.shared.market();
            market.has_credit = self.settings.credit.is_some();
            market.begin_connection(&session.welcome, Instant::now());
        }
        tracing::debug!(session = session.welcome.session, "connected");
        let first = &mut self.first;
        let set_up = || {
            if let Some(first) = first.take() {
                let _ = first.send(Ok(()));
            }
        };
        let over = session
            .talk(&self.shared, &mut self.settings, &mut self.requests, carried, set_up)
            .await;
        self.shared.market().end_connection();
        match over {
            Over::Closed => None,
            Over::Broken(trouble) => Some(trouble),
        }
    }
}

fn is_violation(error: &ConnectError) -> bool {
    use crate::error::Disconnect;
    matches!(error, ConnectError::Ended(disconnect) if matches!(**disconnect, Disconnect::Violation(_)))
}
