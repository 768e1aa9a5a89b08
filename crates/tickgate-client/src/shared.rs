//! What the handles and the driver share.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, watch};

use crate::market::Market;

/// Behind every handle of a client.
#[derive(Debug)]
pub(crate) struct Shared {
    market: Mutex<Market>,
    /// Tells the driver that there is something to say to the gateway.
    pub(crate) wake: Notify,
    /// Set once, by whoever wants no more.
    pub(crate) closing: watch::Sender<bool>,
    /// Set once, by the driver, when nothing follows.
    pub(crate) ended: watch::Sender<bool>,
}

impl Shared {
    pub(crate) fn new(market: Market) -> Self {
        Self {
            market: Mutex::new(market),
            wake: Notify::new(),
            closing: watch::Sender::new(false),
            ended: watch::Sender::new(false),
        }
    }

    /// Guards memory work; never held across an await. A panic under it leaves the market as it
    /// is: half of a frame at worst, which the next connection puts right.
    pub(crate) fn market(&self) -> MutexGuard<'_, Market> {
        self.market.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn has_ended(&self) -> bool {
        *self.ended.borrow()
    }

    /// Resolves when somebody wants no more.
    pub(crate) async fn closed(&self) {
        // The sender lives as long as `self`.
        let _ = self.closing.subscribe().wait_for(|closing| *closing).await;
    }
}

/// The last of these to go closes the connection.
#[derive(Debug)]
pub(crate) struct Hold(pub(crate) std::sync::Arc<Shared>);

impl Drop for Hold {
    fn drop(&mut self) {
        self.0.closing.send_replace(true);
    }
}
