//! What a client is made of.

use std::{
    fmt,
    hash::{BuildHasher, RandomState},
    io,
    sync::Arc,
    time::Duration,
};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use tickgate_protocol::dialect::Dialect;
use tokio::sync::{mpsc, oneshot};

use crate::{
    backoff::Backoff,
    client::Client,
    conversation::Settings,
    dial::{ByteStream, Dial, Endpoint, Target, endpoint, tcp},
    driver::{Driver, First, Random},
    error::{ConnectError, Invalid},
    interest::whole_milliseconds,
    market::Market,
    shared::{Hold, Shared},
};

/// Most unacknowledged frames that a gateway grants.
const CREDIT_LIMIT: u64 = 256;

/// Changes of settings and questions that may wait for the connection; past it their callers wait.
const REQUEST_LIMIT: usize = 16;

/// Settings of a client; see each method for its default.
pub struct Builder {
    url: String,
    dialect: Dialect,
    throttle: Option<Duration>,
    byte_budget: Option<u64>,
    credit: Option<u64>,
    backoff: Backoff,
    random: Random,
    user_agent: String,
    handshake_limit: Duration,
    dial: Option<Dial>,
}

impl Builder {
    pub(crate) fn new(url: &str) -> Self {
        let mut rng = StdRng::seed_from_u64(RandomState::new().hash_one(url));
        Self {
            url: url.to_owned(),
            dialect: Dialect::MessagePack,
            throttle: None,
            byte_budget: None,
            credit: None,
            backoff: Backoff::default(),
            random: Box::new(move || rng.random::<f64>()),
            user_agent: concat!("tickgate-client/", env!("CARGO_PKG_VERSION")).to_owned(),
            handshake_limit: Duration::from_secs(10),
            dial: None,
        }
    }

    /// How messages are encoded. Default [`Dialect::MessagePack`], which is smaller and faster;
    /// JSON carries the same and can be read on the way.
    #[must_use]
    pub fn dialect(mut self, dialect: Dialect) -> Self {
        self.dialect = dialect;
        self
    }

    /// Least time between two entries of a symbol's state channel, where a subscription asks for
    /// nothing else: whole milliseconds, at most 60 s; 0 is as it happens. Default: the gateway's,
    /// usually 100 ms.
    #[must_use]
    pub fn throttle(mut self, interval: Duration) -> Self {
        self.throttle = Some(interval);
        self
    }

    /// WebSocket bytes a second that the gateway may send, at least 1; past them it sends newer
    /// values less often. Default: no budget.
    #[must_use]
    pub fn byte_budget(mut self, bytes_per_second: u64) -> Self {
        self.byte_budget = Some(bytes_per_second);
        self
    }

    /// Frames that the gateway may have sent and consumers not taken, 1 to 256. Default: no limit.
    ///
    /// This is backpressure from the consumer to the gateway: a frame is acknowledged when every
    /// subscription has yielded all of it, or something newer in its place. Until then the gateway
    /// keeps no queue either, but merges states, and its tapes bridge a while. One subscription
    /// that is not read holds up all of the client's.
    #[must_use]
    pub fn credit(mut self, frames: u64) -> Self {
        self.credit = Some(frames);
        self
    }

    /// How long to wait before connecting again. Default: full jitter from 500 ms to 30 s.
    #[must_use]
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = backoff;
        self
    }

    /// Where the jitter comes from: uniform numbers from 0 to 1. Default: a generator that the
    /// operating system seeds. Tests give their own.
    #[must_use]
    pub fn random(mut self, random: impl FnMut() -> f64 + Send + 'static) -> Self {
        self.random = Box::new(random);
        self
    }

    /// The `User-Agent` of the handshake. Default `tickgate-client/` and the version.
    #[must_use]
    pub fn user_agent(mut self, user_agent: &str) -> Self {
        self.user_agent = user_agent.to_owned();
        self
    }

    /// Longest time from the first packet to `welcome`. Default 10 s. Silence afterwards is
    /// limited by what `welcome` says.
    #[must_use]
    pub fn handshake_timeout(mut self, limit: Duration) -> Self {
        self.handshake_limit = limit;
        self
    }

    /// How the byte stream is opened. Default: TCP, for `ws` only. For `wss` give one that speaks
    /// TLS; a proxy or a Unix socket goes in the same place.
    #[must_use]
    pub fn dial<F, Opening, Stream>(mut self, dial: F) -> Self
    where
        F: Fn(Endpoint) -> Opening + Send + Sync + 'static,
        Opening: Future<Output = io::Result<Stream>> + Send + 'static,
        Stream: ByteStream + 'static,
    {
        self.dial = Some(Arc::new(move |endpoint| {
            let opening = dial(endpoint);
            Box::pin(async move { Ok(Box::new(opening.await?) as Box<dyn ByteStream>) })
        }));
        self
    }

    /// Connects, and returns when the gateway has welcomed the client and taken its settings. A
    /// connection that is lost *later* is made again by itself.
    ///
    /// Needs a tokio runtime with I/O and time, on which it spawns one task. Cancelling closes
    /// what was begun.
    ///
    /// # Errors
    /// [`ConnectError`] of the first attempt, which is the only one.
    pub async fn connect(self) -> Result<Client, ConnectError> {
        let (first, answered) = oneshot::channel();
        let client = self.spawn(Some(first))?;
        match answered.await {
            Ok(answer) => answer.map(|()| client),
            // The task was stopped with its runtime.
            Err(_) => Err(ConnectError::Io(Arc::new(io::Error::other("the runtime stopped")))),
        }
    }

    /// As [`Self::connect`], but returns at once and goes on trying also when the first attempt
    /// fails. Commands wait until there is a connection.
    ///
    /// # Errors
    /// [`ConnectError::Invalid`] for a URL or a setting that breaks a rule.
    pub fn start(self) -> Result<Client, ConnectError> {
        self.spawn(None)
    }

    fn spawn(self, first: Option<First>) -> Result<Client, ConnectError> {
        let (target, settings) = self.check()?;
        let shared = Arc::new(Shared::new(Market::new()));
        let (sender, requests) = mpsc::channel(REQUEST_LIMIT);
        let driver = Driver {
            target,
            settings,
            backoff: self.backoff,
            random: self.random,
            handshake_limit: self.handshake_limit,
            shared: Arc::clone(&shared),
            requests,
            first,
        };
        tokio::spawn(driver.run());
        Ok(Client { hold: Arc::new(Hold(shared)), requests: sender })
    }

    fn check(&self) -> Result<(Target, Settings), Invalid> {
        let invalid = |field, rule, found: &dyn fmt::Debug| Invalid {
            field,
            rule,
            found: format!("{found:?}"),
        };
        let (uri, endpoint) = endpoint(&self.url)?;
        if endpoint.is_secure && self.dial.is_none() {
            return Err(invalid("url", "wss needs a dial that speaks TLS", &self.url));
        }
        if !self.user_agent.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()) {
            return Err(invalid("user_agent", "must be printable ASCII", &self.user_agent));
        }
        let target = Target {
            uri,
            endpoint,
            dialect: self.dialect,
            user_agent: self.user_agent.clone(),
            dial: self.dial.clone().unwrap_or_else(|| Arc::new(tcp)),
        };
        let settings = Settings {
            throttle_ms: self.throttle.map(whole_milliseconds).transpose()?,
            max_bytes_per_second: self.byte_budget.map(check_budget).transpose()?,
            credit: self.credit.map(check_credit).transpose()?,
        };
        Ok((target, settings))
    }
}

/// # Errors
/// [`Invalid`] for a budget of nothing.
pub(crate) fn check_budget(bytes_per_second: u64) -> Result<u64, Invalid> {
    let rule = "must be 1 at least, and at most 2^53 - 1";
    let found = bytes_per_second.to_string();
    let valid = (1..1 << 53).contains(&bytes_per_second);
    valid.then_some(bytes_per_second).ok_or(Invalid { field: "byte_budget", rule, found })
}

/// # Errors
/// [`Invalid`] for what no gateway grants.
pub(crate) fn check_credit(frames: u64) -> Result<u64, Invalid> {
    let (rule, found) = ("must be from 1 to 256", frames.to_string());
    let valid = (1..=CREDIT_LIMIT).contains(&frames);
    valid.then_some(frames).ok_or(Invalid { field: "credit", rule, found })
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder").field("url", &self.url).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_breaks_a_rule_is_refused_before_anything_is_tried() {
        let builder = || Builder::new("ws://127.0.0.1:1/v1/stream");
        let field = |builder: Builder| builder.check().expect_err("invalid").field;
        assert_eq!(field(Builder::new("http://127.0.0.1/")), "url");
        assert_eq!(field(Builder::new("wss://127.0.0.1/")), "url");
        assert_eq!(field(builder().user_agent("a\r\nX: b")), "user_agent");
        assert_eq!(field(builder().throttle(Duration::from_secs(61))), "throttle");
        assert_eq!(field(builder().byte_budget(0)), "byte_budget");
        assert_eq!(field(builder().credit(0)), "credit");
        assert_eq!(field(builder().credit(257)), "credit");
        assert!(builder().throttle(Duration::ZERO).byte_budget(1).credit(256).check().is_ok());
    }

    #[test]
    fn the_default_jitter_is_uniform_enough_and_differs_between_clients() {
        let drawn =
            |mut builder: Builder| -> Vec<f64> { (0..100).map(|_| (builder.random)()).collect() };
        let [one, other] = [0, 1].map(|_| drawn(Builder::new("ws://127.0.0.1:1/")));
        assert!(one.iter().all(|number| (0.0..1.0).contains(number)), "{one:?}");
        assert!(one.iter().any(|number| *number < 0.5) && one.iter().any(|number| *number > 0.5));
        assert_ne!(one, other);
    }
}
