//! A subscription as a stream of updates.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::{Stream, StreamExt};
use tickgate_protocol::reply::Rejected;

use crate::{
    market::MemberKey,
    shared::{Hold, Shared},
    update::Update,
};

/// What a client subscribed to, as a stream of [`Update`]s.
///
/// Bounded whatever the consumer does: of quotes, figures, definitions, the feed and the
/// connection only the newest is told ([`Quote::merged`](crate::Quote::merged) counts what was
/// replaced); trades, corrections, losses and statuses wait up to
/// [`Interest::capacity`](crate::Interest::capacity), past which the oldest become a
/// [`Lost`](crate::Lost) range. It goes on through reconnects and ends (`None`) after
/// [`ConnectionState::Ended`](crate::ConnectionState::Ended) was told. Dropping it unsubscribes
/// what no other subscription of the client wants. It keeps the connection open, also without its
/// [`Client`](crate::Client).
#[derive(Debug)]
pub struct Subscription {
    pub(crate) hold: Arc<Hold>,
    pub(crate) key: MemberKey,
    pub(crate) rejected: Vec<Rejected>,
}

impl Subscription {
    /// Symbols that could not be had when it was made, each with why. They are not asked for again.
    #[must_use]
    pub fn rejected(&self) -> &[Rejected] {
        &self.rejected
    }

    /// The next update; `None` after the client has ended.
    ///
    /// Cancelling loses nothing.
    pub async fn next(&mut self) -> Option<Update> {
        StreamExt::next(self).await
    }

    fn shared(&self) -> &Shared {
        &self.hold.0
    }
}

impl Stream for Subscription {
    type Item = Update;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Update>> {
        let mut market = self.shared().market();
        let Some(update) = market.take(self.key) else {
            if self.shared().has_ended() {
                return Poll::Ready(None);
            }
            if let Some(member) = market.member_mut(self.key) {
                member.mailbox.waker = Some(context.waker().clone());
            }
            return Poll::Pending;
        };
        // The driver finds out what to acknowledge; without credit it need not be woken.
        if market.has_credit {
            drop(market);
            self.shared().wake.notify_one();
        }
        Poll::Ready(Some(update))
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.shared().market().remove(self.key);
        self.shared().wake.notify_one();
    }
}
