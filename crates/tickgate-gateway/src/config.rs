//! What the caller of a gateway decides; checked by the caller, immutable afterwards.

use std::{fmt, time::Duration};

use crate::admin::Token;

use crate::network::Network;

/// Limits and socket options of a gateway.
///
/// How many workers there are is the hub's to say: each has dirty bits of its own there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewayConfig {
    /// `Origin` headers a browser may come with, exactly as it sends them
    /// (`https://example.org`). Default empty: any. Clients that send no `Origin` always pass.
    pub allowed_origins: Vec<String>,
    /// Most sessions over all workers; default 50,000. Past it a handshake is refused with 503.
    pub session_limit: usize,
    /// Upgraded connections that may wait for one worker to take them over; default 1,024. Past
    /// it a handshake is refused with 503.
    pub handover_limit: usize,
    /// Longest time a handshake waits for room in a worker's channel; default 1 s. Then it is
    /// refused with 503.
    pub handover_wait: Duration,
    /// Connections that may be in HTTP (not yet upgraded) at once, for each listener; default
    /// 512. Past it nothing is accepted: connections wait in the kernel's backlog.
    pub http_connection_limit: usize,
    /// New connections a second on the public listener; default 2,000. Past it they are answered
    /// with 503 and a `Retry-After` that differs from client to client.
    pub connections_per_second: u32,
    /// New connections that may come at once; default 10,000.
    pub connection_burst: u32,
    /// Open connections of one address, sessions included; of IPv6 a /64 counts as one. Default
    /// 1,024; 0 is no limit. Past it a connection is answered with 429.
    pub address_connection_limit: usize,
    /// Networks whose addresses have no such limit: proxies, load generators. Default loopback.
    pub trusted_networks: Vec<Network>,
    /// Whether `/echo` sends every message back, up to 16 MiB, for conformance suites. Default
    /// off: it has none of the limits of a session. At most 64 connections at once.
    pub echo_route: bool,
    /// Longest request head, bytes; default 8 KiB, which is also the least. A longer one is
    /// answered with 431.
    pub request_head_limit_bytes: usize,
    /// Longest time a request head may take to arrive; default 5 s. Then the connection closes.
    pub request_head_age: Duration,
    /// `SO_SNDBUF` of a session's socket, bytes; default 16 KiB (the kernel doubles it). Small,
    /// so that a stalled client pushes back early instead of after megabytes.
    pub send_buffer_bytes: usize,
    /// `TCP_NOTSENT_LOWAT` of a session's socket, bytes; default 16 KiB. Above it the kernel
    /// takes nothing more, whatever its buffer could hold.
    pub not_sent_limit_bytes: u32,
    /// Longest time sessions get to leave when the gateway stops; default 5 s. Closes are spread
    /// over all but the last 1.25 s of it, which is what the last of them needs to be answered.
    pub drain_within: Duration,
    /// Memory the gateway may use, bytes; default 0: that of its control group, where there is
    /// one with a limit. Above 85 % of it handshakes are refused with 503, above 92 % the slowest
    /// sessions are closed as overloaded until it is below.
    pub memory_limit_bytes: u64,
}

impl Default for GatewayConfig {
    fn default() -> Self {
        Self {
            allowed_origins: Vec::new(),
            session_limit: 50_000,
            handover_limit: 1_024,
            handover_wait: Duration::from_secs(1),
            http_connection_limit: 512,
            connections_per_second: 2_000,
            connection_burst: 10_000,
            address_connection_limit: 1_024,
            trusted_networks: Network::LOOPBACK.to_vec(),
            echo_route: false,
            request_head_limit_bytes: 8 * 1024,
            request_head_age: Duration::from_secs(5),
            send_buffer_bytes: 16 * 1024,
            not_sent_limit_bytes: 16 * 1024,
            drain_within: Duration::from_secs(5),
            memory_limit_bytes: 0,
        }
    }
}

/// How the admin listener treats who asks.
pub struct AdminConfig {
    /// Bearer token that every request needs but those for `/healthz` and `/readyz`. Without one
    /// anybody is answered who reaches the listener: bind it to loopback then.
    pub token: Option<Token>,
    /// Asked for the answer of `/admin/config`.
    pub effective: ConfigSource,
}

impl Default for AdminConfig {
    /// No token, and nothing told of the configuration.
    fn default() -> Self {
        Self { token: None, effective: Box::new(|| "{}".to_owned()) }
    }
}

impl fmt::Debug for AdminConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AdminConfig").field("token", &self.token).finish_non_exhaustive()
    }
}

/// Asked for the configuration in force, as a JSON object without secrets; must answer at once.
pub type ConfigSource = Box<dyn Fn() -> String + Send + Sync>;

/// A file of the page, served by the public listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asset {
    /// Where it is served, beginning with `/`.
    pub path: &'static str,
    /// Its `Content-Type`.
    pub content_type: &'static str,
    /// Its content.
    pub body: &'static [u8],
}

/// A figure of somebody else's, shown in `/metrics` beside the gateway's own.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Figure {
    /// Prometheus name, with unit and, for a counter, `_total`.
    pub name: &'static str,
    /// What it is, in a line. That of the first figure of a name counts.
    pub help: &'static str,
    /// A label and its value, from a closed list. Figures of one name all have one or none has.
    pub label: Option<(&'static str, &'static str)>,
    /// Whether it only rises.
    pub kind: FigureKind,
    /// The value.
    pub value: f64,
}

/// How a figure behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FigureKind {
    /// Only rises.
    Counter,
    /// Goes up and down.
    Gauge,
}

/// Asked for figures at each scrape; must answer at once.
pub type FigureSource = Box<dyn Fn() -> Vec<Figure> + Send + Sync>;
