//! The client's handle.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};

use crate::{
    builder::{Builder, check_budget, check_credit},
    connection::ConnectionState,
    conversation::{Request, Setting},
    error::{CommandError, ConnectError},
    interest::{Interest, whole_milliseconds},
    latest::Latest,
    member::{Member, check_symbol},
    shared::{Hold, Shared},
    stats::Stats,
    subscription::Subscription,
    update::Instrument,
};

/// A connection to a gateway, made again whenever it is lost. Clones share it.
///
/// The connection closes with [`Self::close`], or when the last clone and the last
/// [`Subscription`] are dropped.
#[derive(Debug, Clone)]
pub struct Client {
    pub(crate) hold: Arc<Hold>,
    pub(crate) requests: mpsc::Sender<Request>,
}

impl Client {
    /// Connects with default settings; see [`Builder::connect`].
    ///
    /// # Errors
    /// [`ConnectError`].
    pub async fn connect(url: &str) -> Result<Self, ConnectError> {
        Self::builder(url).connect().await
    }

    /// Settings for a gateway, whose stream is at `ws://host:port/v1/stream`.
    #[must_use]
    pub fn builder(url: &str) -> Builder {
        Builder::new(url)
    }

    /// Subscribes; returns when the gateway has answered. Data may wait in the subscription by then.
    ///
    /// Without a connection it waits for one. What it names is kept through reconnects. Cancelling
    /// unsubscribes what was begun.
    ///
    /// # Errors
    /// [`CommandError`]: none of the symbols can be had, or the gateway refuses. Symbols that
    /// cannot be had beside others that can are in [`Subscription::rejected`].
    pub async fn subscribe(&self, interest: Interest) -> Result<Subscription, CommandError> {
        let (answer, answered) = oneshot::channel();
        let member = Member::new(&interest, answer)?;
        let mut subscription = {
            let mut market = self.shared().market();
            if self.shared().has_ended() {
                return Err(CommandError::Closed);
            }
            let key = market.register(member);
            Subscription { hold: Arc::clone(&self.hold), key, rejected: Vec::new() }
        };
        self.shared().wake.notify_one();
        subscription.rejected = answered.await.map_err(|_| CommandError::Closed)??;
        Ok(subscription)
    }

    /// What is known of a symbol now; `None` for one that no subscription has told of in this
    /// epoch.
    #[must_use]
    pub fn latest(&self, symbol: &str) -> Option<Latest> {
        self.shared().market().latest(symbol, Instant::now())
    }

    /// What a symbol stands for, asked of the gateway; `None` for one that it does not have. The
    /// symbol need not be subscribed.
    ///
    /// Without a connection it waits for one. What a feed knows of a symbol hardly ever changes: ask
    /// once, keep the answer. Cancelling asks for nothing or ignores the answer.
    ///
    /// # Errors
    /// [`CommandError`].
    pub async fn instrument(&self, symbol: &str) -> Result<Option<Instrument>, CommandError> {
        check_symbol(symbol)?;
        let (answer, answered) = oneshot::channel();
        self.request(Request::Look { symbol: symbol.to_owned(), answer }, answered).await
    }

    /// Changes the connection's throttle interval, as [`Builder::throttle`]; `None` takes the
    /// gateway's again. Kept through reconnects.
    ///
    /// Cancelling leaves open whether it takes effect.
    ///
    /// # Errors
    /// [`CommandError`].
    pub async fn set_throttle(&self, interval: Option<Duration>) -> Result<(), CommandError> {
        let throttle_ms = interval.map(whole_milliseconds).transpose()?;
        self.set(Setting::Throttle(throttle_ms)).await
    }

    /// Changes the byte budget, as [`Builder::byte_budget`]; `None` lifts it. Kept through
    /// reconnects.
    ///
    /// Cancelling leaves open whether it takes effect.
    ///
    /// # Errors
    /// [`CommandError`].
    pub async fn set_budget(&self, bytes_per_second: Option<u64>) -> Result<(), CommandError> {
        self.set(Setting::Budget(bytes_per_second.map(check_budget).transpose()?)).await
    }

    /// Changes the credit, as [`Builder::credit`]; `None` turns it off. Kept through reconnects.
    ///
    /// Cancelling leaves open whether it takes effect.
    ///
    /// # Errors
    /// [`CommandError`].
    pub async fn set_credit(&self, frames: Option<u64>) -> Result<(), CommandError> {
        self.set(Setting::Credit(frames.map(check_credit).transpose()?)).await
    }

    /// Where the connection stands.
    #[must_use]
    pub fn connection(&self) -> ConnectionState {
        self.shared().market().connection().clone()
    }

    /// Figures since the start.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.shared().market().stats()
    }

    /// Closes the connection in order and returns when it is closed, at most a second later. All
    /// subscriptions end, those of other clones too.
    ///
    /// Cancelling does not keep it open.
    pub async fn close(self) {
        self.shared().closing.send_replace(true);
        let mut ended = self.shared().ended.subscribe();
        // The sender lives as long as `self`.
        let _ = ended.wait_for(|ended| *ended).await;
    }

    async fn set(&self, setting: Setting) -> Result<(), CommandError> {
        let (answer, answered) = oneshot::channel();
        self.request(Request::Set { setting, answer }, answered).await
    }

    async fn request<T>(
        &self,
        request: Request,
        answered: oneshot::Receiver<Result<T, CommandError>>,
    ) -> Result<T, CommandError> {
        self.requests.send(request).await.map_err(|_| CommandError::Closed)?;
        answered.await.map_err(|_| CommandError::Closed)?
    }

    fn shared(&self) -> &Shared {
        &self.hold.0
    }
}
