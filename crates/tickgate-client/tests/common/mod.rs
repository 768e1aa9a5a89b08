//! What the tests share: a gateway in this process, and a server that follows a script.

#![allow(dead_code, reason = "each test program uses its part")]

pub(crate) mod gateway;
pub(crate) mod script;

use std::time::Duration;

use tickgate_client::{Subscription, Update};

/// Long enough for anything that happens at all: reached only by a test that fails.
pub(crate) const HANG: Duration = Duration::from_secs(30);

/// The next update.
pub(crate) async fn next(updates: &mut Subscription) -> Update {
    let next = tokio::time::timeout(HANG, updates.next()).await.expect("an update comes");
    next.expect("the client goes on")
}

/// The next update that `pick` takes; others are passed over.
pub(crate) async fn until<T>(
    updates: &mut Subscription,
    mut pick: impl FnMut(Update) -> Option<T>,
) -> T {
    loop {
        if let Some(picked) = pick(next(updates).await) {
            return picked;
        }
    }
}

/// Reads up to and with `ready`.
pub(crate) async fn ready(updates: &mut Subscription) -> Vec<Update> {
    let mut before = Vec::new();
    loop {
        match next(updates).await {
            Update::Ready => return before,
            update => before.push(update),
        }
    }
}
