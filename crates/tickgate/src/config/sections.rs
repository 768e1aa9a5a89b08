//! The sections of the configuration, each at its defaults.
//!
//! Numbers are as wide as TOML's; ranges are checked in [`super::check`].

use std::{fmt, path::PathBuf};

use serde::{Deserialize, Serialize, Serializer};
use tickgate_feed::{replay::ReplayConfig, simulated::SimulatedConfig};

/// `[gateway]`: the public listener and its workers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct GatewaySection {
    pub(crate) listen: String,
    /// 0: one for each core, less one for the feed, at least one.
    pub(crate) workers: usize,
    pub(crate) allowed_origins: Vec<String>,
    pub(crate) session_limit: usize,
    pub(crate) handover_limit: usize,
    pub(crate) handover_wait_ms: u64,
    pub(crate) http_connection_limit: usize,
    pub(crate) connections_per_second: u32,
    pub(crate) connection_burst: u32,
    pub(crate) address_connection_limit: usize,
    pub(crate) trusted_networks: Vec<String>,
    pub(crate) echo_route: bool,
    pub(crate) request_head_limit_bytes: usize,
    pub(crate) request_head_age_ms: u64,
    pub(crate) send_buffer_bytes: usize,
    pub(crate) not_sent_limit_bytes: u32,
    pub(crate) drain_within_ms: u64,
    pub(crate) memory_limit_bytes: u64,
}

impl Default for GatewaySection {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:7400".to_owned(),
            workers: 0,
            allowed_origins: Vec::new(),
            session_limit: 50_000,
            handover_limit: 1_024,
            handover_wait_ms: 1_000,
            http_connection_limit: 512,
            connections_per_second: 2_000,
            connection_burst: 10_000,
            address_connection_limit: 1_024,
            trusted_networks: vec!["127.0.0.0/8".to_owned(), "::1/128".to_owned()],
            echo_route: false,
            request_head_limit_bytes: 8_192,
            request_head_age_ms: 5_000,
            send_buffer_bytes: 16_384,
            not_sent_limit_bytes: 16_384,
            drain_within_ms: 5_000,
            memory_limit_bytes: 0,
        }
    }
}

/// `[session]`: when a session's frames leave, and when it is over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct SessionSection {
    pub(crate) flush_tick_ms: u64,
    pub(crate) throttle_interval_ms: u64,
    pub(crate) tape_interval_ms: u64,
    pub(crate) heartbeat_interval_ms: u64,
    pub(crate) ping_interval_ms: u64,
    pub(crate) client_silence_limit_ms: u64,
    pub(crate) first_command_limit_ms: u64,
    pub(crate) drain_age_ms: u64,
    pub(crate) slice_sessions: usize,
}

impl Default for SessionSection {
    fn default() -> Self {
        Self {
            flush_tick_ms: 5,
            throttle_interval_ms: 100,
            tape_interval_ms: 100,
            heartbeat_interval_ms: 1_000,
            ping_interval_ms: 20_000,
            client_silence_limit_ms: 40_000,
            first_command_limit_ms: 10_000,
            drain_age_ms: 5_000,
            slice_sessions: 64,
        }
    }
}

/// `[limits]`: how much a session may ask for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct LimitsSection {
    pub(crate) frame_limit_bytes: usize,
    pub(crate) message_limit_bytes: usize,
    pub(crate) control_limit_bytes: usize,
    pub(crate) subscription_limit: usize,
    pub(crate) throttle_interval_limit: usize,
    pub(crate) commands_per_second: u32,
    pub(crate) command_burst: u32,
    pub(crate) command_bytes_per_second: usize,
    pub(crate) wildcard_limit: usize,
}

impl Default for LimitsSection {
    fn default() -> Self {
        Self {
            frame_limit_bytes: 16_384,
            message_limit_bytes: 16_384,
            control_limit_bytes: 16_384,
            subscription_limit: 4_096,
            throttle_interval_limit: 16,
            commands_per_second: 50,
            command_burst: 200,
            command_bytes_per_second: 4_194_304,
            wildcard_limit: 256,
        }
    }
}

/// `[hub]`: the state all sessions read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct HubSection {
    pub(crate) shards: usize,
    pub(crate) symbol_limit: usize,
    pub(crate) tape_capacity: usize,
    pub(crate) status_capacity: usize,
    pub(crate) bar_1s_capacity: usize,
    pub(crate) bar_1m_capacity: usize,
    pub(crate) bar_1d_capacity: usize,
    pub(crate) session_start_s: u32,
    pub(crate) memory_limit_bytes: u64,
}

impl Default for HubSection {
    fn default() -> Self {
        Self {
            shards: 1,
            symbol_limit: 16_384,
            tape_capacity: 1_024,
            status_capacity: 16,
            bar_1s_capacity: 128,
            bar_1m_capacity: 256,
            bar_1d_capacity: 16,
            session_start_s: 0,
            memory_limit_bytes: 2 << 30,
        }
    }
}

/// `[feed]`: where ticks come from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct FeedSection {
    pub(crate) kind: FeedKind,
    pub(crate) pace_us: u64,
    pub(crate) start_after_subscribes: u64,
    pub(crate) simulated: SimulatedConfig,
    pub(crate) replay: ReplayConfig,
}

impl Default for FeedSection {
    fn default() -> Self {
        Self {
            kind: FeedKind::Simulated,
            pace_us: 1_000,
            start_after_subscribes: 0,
            simulated: SimulatedConfig::default(),
            replay: ReplayConfig::default(),
        }
    }
}

/// Which feed runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum FeedKind {
    Simulated,
    Replay,
}

/// `[admin]`: the listener for operators.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct AdminSection {
    pub(crate) listen: String,
    /// Empty: none.
    pub(crate) token: Secret,
    /// Empty: none.
    pub(crate) token_file: PathBuf,
}

impl Default for AdminSection {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:7401".to_owned(),
            token: Secret::default(),
            token_file: PathBuf::new(),
        }
    }
}

/// A text that is read but never shown: it is written as asterisks wherever it is not empty.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub(crate) struct Secret(pub(crate) String);

impl Secret {
    /// What is shown instead.
    pub(crate) const MASK: &'static str = "***";

    fn shown(&self) -> &str {
        if self.0.is_empty() { "" } else { Self::MASK }
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.shown())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.shown())
    }
}

/// `[log]`: lines on stderr.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct LogSection {
    pub(crate) filter: String,
    pub(crate) format: LogFormat,
    pub(crate) lines_per_second: u32,
}

impl Default for LogSection {
    fn default() -> Self {
        Self { filter: "info".to_owned(), format: LogFormat::Human, lines_per_second: 100 }
    }
}

/// How a log line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    Human,
    Json,
}
