//! The rules of the configuration, and the typed values that come out of it.

use std::{collections::BTreeMap, net::SocketAddr, thread::available_parallelism, time::Duration};

use tickgate_feed::{FeedError, replay::ReplayConfig, simulated::SimulatedConfig};
use tickgate_gateway::{GatewayConfig, Network, Token};
use tickgate_hub::{Hub, HubConfig, HubError};
use tickgate_session::EngineConfig;
use tracing_subscriber::EnvFilter;

use super::{
    Config, ConfigError,
    error::Origin,
    layers,
    sections::{FeedKind, LogFormat},
};
use crate::failure::Failure;

/// What everything is built from; checked, immutable.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) listen: SocketAddr,
    pub(crate) admin_listen: SocketAddr,
    pub(crate) admin_token: Option<Token>,
    /// What is in force and where it came from, as JSON without secrets.
    pub(crate) effective: String,
    pub(crate) gateway: GatewayConfig,
    pub(crate) engine: EngineConfig,
    pub(crate) hub: HubConfig,
    pub(crate) feed: FeedChoice,
    /// Least time between two polls of a feed that has nothing due at once.
    pub(crate) feed_pace: Duration,
    /// Subscribes answered in full before the feed goes on from its listings.
    pub(crate) feed_start_after_subscribes: u64,
    pub(crate) log: LogSettings,
}

/// The feed that runs, with its settings.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum FeedChoice {
    Simulated(SimulatedConfig),
    Replay(ReplayConfig),
}

/// How the log looks; `filter` is known to be valid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LogSettings {
    pub(crate) filter: String,
    pub(crate) format: LogFormat,
    /// Lines of one kind written in a second; the rest is counted.
    pub(crate) lines_per_second: u32,
}

/// A configuration with where each of its values came from.
#[derive(Debug, Clone)]
pub(crate) struct Loaded {
    pub(crate) config: Config,
    pub(crate) origins: BTreeMap<String, Origin>,
}

impl Loaded {
    /// Checks every rule and turns sections into what the parts take.
    ///
    /// # Errors
    /// [`Failure::Config`]: key, value and rule of the first that is broken.
    pub(crate) fn settings(&self) -> Result<Settings, Failure> {
        self.checked().map_err(Failure::config)
    }

    fn checked(&self) -> Result<Settings, ConfigError> {
        let config = &self.config;
        let settings = Settings {
            listen: self.address("gateway.listen", &config.gateway.listen)?,
            admin_listen: self.address("admin.listen", &config.admin.listen)?,
            admin_token: self.admin_token()?,
            effective: self.effective(),
            gateway: self.gateway()?,
            engine: engine(config),
            hub: hub(config),
            feed: self.feed()?,
            feed_pace: Duration::from_micros(config.feed.pace_us),
            feed_start_after_subscribes: config.feed.start_after_subscribes,
            log: self.log()?,
        };
        let (public, admin) = (settings.listen, settings.admin_listen);
        if public == admin && public.port() != 0 {
            return Err(self.broken("admin.listen", "must differ from gateway.listen"));
        }
        if !admin.ip().is_loopback() && settings.admin_token.is_none() {
            let rule = "must be a loopback address, unless admin.token or admin.token_file is set";
            return Err(self.broken("admin.listen", rule));
        }
        self.range("feed.pace_us", config.feed.pace_us, 50, 100_000)?;
        settings.engine.check().map_err(|error| self.engine_error(&error))?;
        // Making a hub checks its rules and allocates little; the one that runs is made later.
        let start_s = u64::from(self.config.hub.session_start_s);
        self.range("hub.session_start_s", start_s, 0, 86_400)?;
        Hub::new(settings.hub.clone(), 1).map_err(|error| self.hub_error(&error))?;
        Ok(settings)
    }

    fn gateway(&self) -> Result<GatewayConfig, ConfigError> {
        let gateway = &self.config.gateway;
        let size = |value: usize| value as u64;
        self.range("gateway.workers", size(gateway.workers), 0, 256)?;
        self.range("gateway.session_limit", size(gateway.session_limit), 1, 10_000_000)?;
        self.range("gateway.handover_limit", size(gateway.handover_limit), 1, 1_000_000)?;
        let http = size(gateway.http_connection_limit);
        self.range("gateway.http_connection_limit", http, 1, 1_000_000)?;
        self.range("gateway.handover_wait_ms", gateway.handover_wait_ms, 0, 60_000)?;
        let rate = u64::from(gateway.connections_per_second);
        self.range("gateway.connections_per_second", rate, 1, 1_000_000)?;
        let burst = u64::from(gateway.connection_burst);
        self.range("gateway.connection_burst", burst, 1, 10_000_000)?;
        let address = size(gateway.address_connection_limit);
        self.range("gateway.address_connection_limit", address, 0, 10_000_000)?;
        let networks = gateway.trusted_networks.iter().map(|text| text.parse::<Network>());
        let trusted_networks = networks.collect::<Result<_, _>>().map_err(|_| {
            let rule = "must be addresses or networks: 192.0.2.7, 10.0.0.0/8, 2001:db8::/32";
            self.broken("gateway.trusted_networks", rule)
        })?;
        let head = size(gateway.request_head_limit_bytes);
        self.range("gateway.request_head_limit_bytes", head, 8_192, 1 << 20)?;
        self.range("gateway.request_head_age_ms", gateway.request_head_age_ms, 100, 60_000)?;
        let buffer = size(gateway.send_buffer_bytes);
        self.range("gateway.send_buffer_bytes", buffer, 4_096, 16 << 20)?;
        let not_sent = u64::from(gateway.not_sent_limit_bytes);
        self.range("gateway.not_sent_limit_bytes", not_sent, 1_024, 16 << 20)?;
        self.range("gateway.drain_within_ms", gateway.drain_within_ms, 0, 600_000)?;
        for origin in &gateway.allowed_origins {
            let is_origin = origin.split_once("://").is_some_and(|(scheme, host)| {
                !scheme.is_empty() && !host.is_empty() && !host.contains('/')
            });
            if !is_origin {
                let rule =
                    "must be origins as browsers send them: scheme://host or scheme://host:port";
                return Err(self.broken("gateway.allowed_origins", rule));
            }
        }
        Ok(GatewayConfig {
            allowed_origins: gateway.allowed_origins.clone(),
            session_limit: gateway.session_limit,
            handover_limit: gateway.handover_limit,
            handover_wait: Duration::from_millis(gateway.handover_wait_ms),
            http_connection_limit: gateway.http_connection_limit,
            connections_per_second: gateway.connections_per_second,
            connection_burst: gateway.connection_burst,
            address_connection_limit: gateway.address_connection_limit,
            trusted_networks,
            echo_route: gateway.echo_route,
            request_head_limit_bytes: gateway.request_head_limit_bytes,
            request_head_age: Duration::from_millis(gateway.request_head_age_ms),
            send_buffer_bytes: gateway.send_buffer_bytes,
            not_sent_limit_bytes: gateway.not_sent_limit_bytes,
            drain_within: Duration::from_millis(gateway.drain_within_ms),
            memory_limit_bytes: gateway.memory_limit_bytes,
        })
    }

    fn feed(&self) -> Result<FeedChoice, ConfigError> {
        let feed = &self.config.feed;
        let refused = |section: &str, error: &FeedError| match error {
            FeedError::Config { key, rule, .. } => self.broken(&format!("{section}.{key}"), rule),
            other => self.broken(section, &other.to_string()),
        };
        // Of the feed that does not run, whatever can be checked without files.
        feed.simulated.check().map_err(|error| refused("feed.simulated", &error))?;
        match feed.kind {
            FeedKind::Simulated => Ok(FeedChoice::Simulated(feed.simulated.clone())),
            FeedKind::Replay => {
                feed.replay.check().map_err(|error| refused("feed.replay", &error))?;
                Ok(FeedChoice::Replay(feed.replay.clone()))
            }
        }
    }

    /// The token itself, or the one in its file.
    fn admin_token(&self) -> Result<Option<Token>, ConfigError> {
        let admin = &self.config.admin;
        let (key, text) = match (admin.token.0.is_empty(), admin.token_file.as_os_str()) {
            (true, file) if file.is_empty() => return Ok(None),
            (false, file) if file.is_empty() => ("admin.token", admin.token.0.clone()),
            (false, _) => {
                return Err(self.broken("admin.token_file", "excludes admin.token: set one"));
            }
            (true, file) => {
                let text = std::fs::read_to_string(file).map_err(|error| {
                    self.broken("admin.token_file", &format!("cannot be read: {error}"))
                })?;
                ("admin.token_file", text.trim().to_owned())
            }
        };
        let token = Token::new(text).map_err(|rule| self.broken(key, &rule.to_string()))?;
        Ok(Some(token))
    }

    /// Every key with its value in force, and where those came from that somebody set.
    fn effective(&self) -> String {
        let origins: BTreeMap<&String, String> =
            self.origins.iter().map(|(key, origin)| (key, origin.to_string())).collect();
        serde_json::json!({ "config": self.config, "set_by": origins }).to_string()
    }

    fn log(&self) -> Result<LogSettings, ConfigError> {
        let log = &self.config.log;
        if EnvFilter::try_new(&log.filter).is_err() {
            let rule = "must be a level (error, warn, info, debug, trace) or target=level pairs";
            return Err(self.broken("log.filter", rule));
        }
        self.range("log.lines_per_second", u64::from(log.lines_per_second), 1, 1_000_000)?;
        Ok(LogSettings {
            filter: log.filter.clone(),
            format: log.format,
            lines_per_second: log.lines_per_second,
        })
    }

    fn address(&self, key: &str, text: &str) -> Result<SocketAddr, ConfigError> {
        text.parse().map_err(|_| self.broken(key, "must be address:port, as 127.0.0.1:7400"))
    }

    fn range(&self, key: &str, value: u64, least: u64, most: u64) -> Result<(), ConfigError> {
        if (least..=most).contains(&value) {
            return Ok(());
        }
        Err(self.broken(key, &format!("must be {least} to {most}")))
    }

    /// The engine names its fields, which are our keys less the unit.
    fn engine_error(&self, error: &tickgate_session::ConfigError) -> ConfigError {
        let known = layers::known();
        let key = ["limits", "session"]
            .into_iter()
            .flat_map(|section| {
                [format!("{section}.{}", error.key), format!("{section}.{}_ms", error.key)]
            })
            .find(|key| known.contains_key(key))
            .unwrap_or_else(|| error.key.to_owned());
        self.broken(&key, error.rule)
    }

    fn hub_error(&self, error: &HubError) -> ConfigError {
        match error {
            HubError::OutOfBounds { key, limit, .. } => {
                self.broken(&format!("hub.{key}"), &format!("must be 1 to {limit}"))
            }
            HubError::NotPowerOfTwo { key, .. } => {
                self.broken(&format!("hub.{key}"), "must be a power of two")
            }
            HubError::Memory { needed, .. } => self.broken(
                "hub.memory_limit_bytes",
                &format!("must be at least the {needed} bytes that the other sizes can take"),
            ),
        }
    }

    /// A rule broken by a key, with its value in force and where that came from.
    fn broken(&self, key: &str, rule: &str) -> ConfigError {
        let value = toml::Value::try_from(&self.config).ok().and_then(|config| {
            key.split('.').try_fold(config, |table, name| table.get(name).cloned())
        });
        ConfigError::Value {
            key: key.to_owned(),
            value: value.map_or_else(|| "as configured".to_owned(), |value| value.to_string()),
            rule: rule.to_owned(),
            origin: self.origins.get(key).cloned().unwrap_or(Origin::Default),
        }
    }
}

fn engine(config: &Config) -> EngineConfig {
    let (session, limits) = (&config.session, &config.limits);
    let ms = Duration::from_millis;
    EngineConfig {
        flush_tick: ms(session.flush_tick_ms),
        throttle_interval: ms(session.throttle_interval_ms),
        tape_interval: ms(session.tape_interval_ms),
        heartbeat_interval: ms(session.heartbeat_interval_ms),
        ping_interval: ms(session.ping_interval_ms),
        client_silence_limit: ms(session.client_silence_limit_ms),
        first_command_limit: ms(session.first_command_limit_ms),
        drain_age: ms(session.drain_age_ms),
        slice_sessions: session.slice_sessions,
        frame_limit_bytes: limits.frame_limit_bytes,
        message_limit_bytes: limits.message_limit_bytes,
        control_limit_bytes: limits.control_limit_bytes,
        subscription_limit: limits.subscription_limit,
        throttle_interval_limit: limits.throttle_interval_limit,
        commands_per_second: limits.commands_per_second,
        command_burst: limits.command_burst,
        command_bytes_per_second: limits.command_bytes_per_second,
        wildcard_limit: limits.wildcard_limit,
    }
}

fn hub(config: &Config) -> HubConfig {
    let hub = &config.hub;
    // One core is left to the feed and its shard.
    let automatic = || available_parallelism().map_or(1, |cores| (cores.get() - 1).clamp(1, 256));
    let workers = config.gateway.workers;
    HubConfig {
        shards: hub.shards,
        workers: if workers == 0 { automatic() } else { workers },
        symbol_limit: hub.symbol_limit,
        tape_capacity: hub.tape_capacity,
        status_capacity: hub.status_capacity,
        bar_1s_capacity: hub.bar_1s_capacity,
        bar_1m_capacity: hub.bar_1m_capacity,
        bar_1d_capacity: hub.bar_1d_capacity,
        session_start_s: (hub.session_start_s < 86_400).then_some(hub.session_start_s),
        memory_limit_bytes: hub.memory_limit_bytes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::layers::Layers;

    fn with(pairs: &[(&str, &str)]) -> Result<Settings, String> {
        let mut layers = Layers::new();
        for (key, value) in pairs {
            layers.flag("--set", key, value).map_err(|error| error.to_string())?;
        }
        let loaded = layers.finish().map_err(|error| error.to_string())?;
        loaded.checked().map_err(|error| error.to_string())
    }

    #[test]
    fn the_defaults_are_those_of_the_parts() {
        let settings = with(&[]).expect("valid");
        assert_eq!(settings.gateway, GatewayConfig::default());
        assert_eq!(settings.engine, EngineConfig::default());
        let workers = settings.hub.workers;
        assert_eq!(settings.hub, HubConfig { workers, ..HubConfig::default() });
        assert_eq!(settings.feed, FeedChoice::Simulated(SimulatedConfig::default()));
        assert!(settings.admin_listen.ip().is_loopback());
    }

    #[test]
    fn a_token_opens_the_admin_listener_and_is_shown_nowhere() {
        const SECRET: &str = "correct-horse-battery";
        let settings = with(&[("admin.listen", "0.0.0.0:7401"), ("admin.token", SECRET)]);
        let settings = settings.expect("valid");
        assert!(settings.admin_token.is_some());
        assert!(!settings.effective.contains(SECRET), "{}", settings.effective);
        assert!(settings.effective.contains("\"token\":\"***\""), "{}", settings.effective);
        assert!(!format!("{settings:?}").contains(SECRET));
        let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
        std::io::Write::write_all(&mut file, b"  correct-horse-battery\n").expect("written");
        let path = file.path().to_str().expect("UTF-8");
        let from_file = with(&[("admin.token_file", path)]).expect("valid");
        assert_eq!(from_file.admin_token, settings.admin_token);
    }

    #[test]
    fn each_broken_rule_names_key_value_and_rule() {
        for (key, value, message) in [
            (
                "gateway.listen",
                "nowhere",
                "gateway.listen = \"nowhere\": must be address:port, as 127.0.0.1:7400",
            ),
            ("gateway.workers", "257", "gateway.workers = 257: must be 0 to 256"),
            (
                "admin.listen",
                "127.0.0.1:7400",
                "admin.listen = \"127.0.0.1:7400\": must differ from gateway.listen",
            ),
            (
                "admin.listen",
                "0.0.0.0:7401",
                "admin.listen = \"0.0.0.0:7401\": must be a loopback address, unless admin.token or admin.token_file is set",
            ),
            (
                "admin.token",
                "hunter2",
                "admin.token = \"***\": must be 16 to 256 printable ASCII characters without spaces",
            ),
            ("log.lines_per_second", "0", "log.lines_per_second = 0: must be 1 to 1000000"),
            (
                "limits.frame_limit_bytes",
                "70000",
                "limits.frame_limit_bytes = 70000: must be 2048 to 65535",
            ),
            ("session.flush_tick_ms", "0", "session.flush_tick_ms = 0: must be 1 ms to 100 ms"),
            ("hub.session_start_s", "86401", "hub.session_start_s = 86401: must be 0 to 86400"),
            ("hub.tape_capacity", "1000", "hub.tape_capacity = 1000: must be a power of two"),
            (
                "feed.simulated.ticks_per_second",
                "9",
                "feed.simulated.ticks_per_second = 9: must be 10 to 2,000,000",
            ),
            ("feed.kind", "replay", "feed.replay.files = []: must name 1 to 256 recordings"),
            (
                "log.filter",
                "tickgate=loud",
                "log.filter = \"tickgate=loud\": must be a level (error, warn, info, debug, trace) or target=level pairs",
            ),
            (
                "gateway.connections_per_second",
                "0",
                "gateway.connections_per_second = 0: must be 1 to 1000000",
            ),
            (
                "gateway.connection_burst",
                "0",
                "gateway.connection_burst = 0: must be 1 to 10000000",
            ),
            (
                "gateway.trusted_networks",
                "10.0.0.0/33",
                "gateway.trusted_networks = [\"10.0.0.0/33\"]: must be addresses or networks: 192.0.2.7, 10.0.0.0/8, 2001:db8::/32",
            ),
            (
                "limits.command_bytes_per_second",
                "65535",
                "limits.command_bytes_per_second = 65535: must be 65536 to 17179869184",
            ),
            (
                "session.client_silence_limit_ms",
                "20999",
                "session.client_silence_limit_ms = 20999: must exceed ping_interval by at least 1 s and be at most 3600 s",
            ),
            (
                "gateway.allowed_origins",
                "example.org",
                "gateway.allowed_origins = [\"example.org\"]: must be origins as browsers send them: scheme://host or scheme://host:port",
            ),
        ] {
            let error = with(&[(key, value)]).expect_err(key);
            assert!(error.starts_with(message), "{error}");
            let from = if key == "feed.kind" { "default" } else { "--set" };
            assert!(error.ends_with(&format!("(from {from})")), "{error}");
        }
        let both = [("admin.token", "0123456789abcdef"), ("admin.token_file", "/nowhere")];
        let error = with(&both).expect_err("both");
        assert!(error.starts_with("admin.token_file = \"/nowhere\": excludes"), "{error}");
        let error = with(&both[1..]).expect_err("no such file");
        assert!(error.starts_with("admin.token_file = \"/nowhere\": cannot be read"), "{error}");
        let error = with(&[("hub.memory_limit_bytes", "1")]).expect_err("memory");
        assert!(error.starts_with("hub.memory_limit_bytes = 1: must be at least the "), "{error}");
    }
}
