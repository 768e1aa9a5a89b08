//! Settings that can change while the gateway runs.

use std::sync::Arc;

use arc_swap::ArcSwap;
use tickgate_session::EngineConfig;
use tokio::sync::oneshot;

use crate::config::GatewayConfig;

/// New settings for a running gateway, all of them at once.
///
/// Of [`GatewayConfig`] these hold from then on: `allowed_origins`, `session_limit` (sessions above
/// a lower one stay), `send_buffer_bytes` and `not_sent_limit_bytes` (for new sessions),
/// `drain_within` and `memory_limit_bytes`. The others were built into the listeners. Of
/// [`EngineConfig`] what [`tickgate_session::Shared::with_config`] says.
#[derive(Debug)]
pub struct Reload {
    /// Of the gateway.
    pub gateway: GatewayConfig,
    /// Of its engines; checked by the caller.
    pub engine: EngineConfig,
    /// Told once every worker has been sent them.
    pub applied: oneshot::Sender<()>,
}

/// The gateway's settings as they are now: read at each handshake, replaced as a whole.
#[derive(Debug)]
pub(crate) struct Live(ArcSwap<GatewayConfig>);

impl Live {
    pub(crate) fn new(config: GatewayConfig) -> Self {
        Self(ArcSwap::from_pointee(config))
    }

    /// Read once for each decision, so that a decision is not made of two configurations.
    pub(crate) fn now(&self) -> Arc<GatewayConfig> {
        self.0.load_full()
    }

    pub(crate) fn replace(&self, config: GatewayConfig) {
        self.0.store(Arc::new(config));
    }
}
