//! The engine's settings, and the rules they must keep.

use std::time::Duration;

use tickgate_protocol::command::THROTTLE_LIMIT_MS;

/// Settings of every engine of a gateway; fixed for its life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineConfig {
    /// Grid on which throttled sessions are flushed. Default 5 ms: a wake-up costs about 28 µs.
    /// A throttle interval is rounded up to a whole number of these.
    pub flush_tick: Duration,
    /// Throttle interval of a client that asked for none. Default 100 ms.
    pub throttle_interval: Duration,
    /// Longest wait of a trade or correction, whatever the throttle interval. Default 100 ms.
    pub tape_interval: Duration,
    /// An empty frame leaves once none has left for this long. Default 1 s. Looked at four times
    /// a second, like the other limits of silence below, so up to 250 ms later.
    pub heartbeat_interval: Duration,
    /// A WebSocket ping goes out this often. Default 20 s.
    pub ping_interval: Duration,
    /// A client that has sent nothing, not even a pong, for so long is gone. Default 40 s.
    pub client_silence_limit: Duration,
    /// The first command must come within this. Default 10 s.
    pub first_command_limit: Duration,
    /// Longest time one frame may take to leave for the socket. Default 5 s. Past it the session
    /// ends as a slow consumer, however steadily the frame trickles.
    pub drain_age: Duration,
    /// Largest data frame in bytes, WebSocket header included. Default 16 KiB; a larger state
    /// goes out as several frames.
    pub frame_limit_bytes: usize,
    /// Largest message from a client in bytes. Default 16 KiB; a larger one ends the session.
    pub message_limit_bytes: usize,
    /// Replies and pongs that wait for the socket, in bytes. Default 16 KiB; past it the client
    /// is not read until they have left. One reply may overshoot it.
    pub control_limit_bytes: usize,
    /// Subscriptions of one session. Default 4,096; more are rejected. A wildcard counts as one.
    pub subscription_limit: usize,
    /// Distinct throttle intervals of one session. Default 16; more are refused.
    pub throttle_interval_limit: usize,
    /// Commands a second a session may sustain. Default 50; more are refused. Each KiB of a command
    /// counts as one more, and so do WebSocket pings and pongs.
    pub commands_per_second: u32,
    /// Commands a session may send at once. Default 200. As many refusals again end the session.
    pub command_burst: u32,
    /// Bytes a second that one worker reads from all its clients together. Default 4 MiB: ten
    /// thousand clients that come back and subscribe a hundred symbols each are read within a few
    /// seconds. Past half of it, a client that has sent more than 1 KiB within the quarter second
    /// is not read until the next one; one that had its 1 KiB and was still held each time for
    /// five seconds ends as overloaded.
    pub command_bytes_per_second: usize,
    /// Wildcard subscriptions of all sessions of the gateway. Default 256; more are refused.
    pub wildcard_limit: usize,
    /// Sessions served between two yields, fewer once they have been sent 128 KiB. Default 64: about
    /// half a millisecond.
    pub slice_sessions: usize,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            flush_tick: Duration::from_millis(5),
            throttle_interval: Duration::from_millis(100),
            tape_interval: Duration::from_millis(100),
            heartbeat_interval: Duration::from_secs(1),
            ping_interval: Duration::from_secs(20),
            client_silence_limit: Duration::from_secs(40),
            first_command_limit: Duration::from_secs(10),
            drain_age: Duration::from_secs(5),
            frame_limit_bytes: 16 * 1024,
            message_limit_bytes: 16 * 1024,
            control_limit_bytes: 16 * 1024,
            subscription_limit: 4_096,
            throttle_interval_limit: 16,
            commands_per_second: 50,
            command_burst: 200,
            command_bytes_per_second: 4 << 20,
            wildcard_limit: 256,
            slice_sessions: 64,
        }
    }
}

/// A setting that breaks its rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key} = {value}: {rule}")]
pub struct ConfigError {
    /// The field of [`EngineConfig`].
    pub key: &'static str,
    /// What it was.
    pub value: String,
    /// What it must be.
    pub rule: &'static str,
}

impl EngineConfig {
    /// Checks every rule.
    ///
    /// # Errors
    /// The first [`ConfigError`]: key, value and rule.
    pub fn check(&self) -> Result<(), ConfigError> {
        let minute = Duration::from_secs(60);
        let second = Duration::from_secs(1);
        let ms = Duration::from_millis(1);
        let longest = Duration::from_millis(THROTTLE_LIMIT_MS.into());
        duration("flush_tick", self.flush_tick, ms, ms * 100, "must be 1 ms to 100 ms")?;
        duration(
            "throttle_interval",
            self.throttle_interval,
            Duration::ZERO,
            longest,
            "must be 0 to 60 s",
        )?;
        duration("tape_interval", self.tape_interval, ms, second, "must be 1 ms to 1 s")?;
        let heartbeat = self.heartbeat_interval;
        duration("heartbeat_interval", heartbeat, ms * 100, minute, "must be 100 ms to 60 s")?;
        duration("ping_interval", self.ping_interval, second, minute * 10, "must be 1 s to 600 s")?;
        let above_ping = self.ping_interval + second;
        duration(
            "client_silence_limit",
            self.client_silence_limit,
            above_ping,
            minute * 60,
            "must exceed ping_interval by at least 1 s and be at most 3600 s",
        )?;
        let first = self.first_command_limit;
        duration("first_command_limit", first, second, minute * 10, "must be 1 s to 600 s")?;
        duration("drain_age", self.drain_age, ms * 100, minute * 10, "must be 100 ms to 600 s")?;
        // 65,535 is what the WebSocket header's 16-bit length holds; 2 KiB always holds the
        // largest single symbol's state.
        let frame = self.frame_limit_bytes;
        number("frame_limit_bytes", frame, 2_048, 65_535, "must be 2048 to 65535")?;
        let message = self.message_limit_bytes;
        number("message_limit_bytes", message, 1_024, 1 << 24, "must be 1024 to 16777216")?;
        let control = self.control_limit_bytes;
        number("control_limit_bytes", control, 1_024, 1 << 24, "must be 1024 to 16777216")?;
        let subscriptions = self.subscription_limit;
        number("subscription_limit", subscriptions, 1, 1 << 20, "must be 1 to 1048576")?;
        let intervals = self.throttle_interval_limit;
        number("throttle_interval_limit", intervals, 1, 256, "must be 1 to 256")?;
        let rate = self.commands_per_second as usize;
        number("commands_per_second", rate, 1, 1_000_000, "must be 1 to 1000000")?;
        number("command_burst", self.command_burst as usize, 1, 1 << 20, "must be 1 to 1048576")?;
        let bytes = self.command_bytes_per_second;
        number(
            "command_bytes_per_second",
            bytes,
            1 << 16,
            1 << 34,
            "must be 65536 to 17179869184",
        )?;
        number("wildcard_limit", self.wildcard_limit, 0, 1 << 20, "must be 0 to 1048576")?;
        // Of one, real-time sessions and the others could not take turns.
        number("slice_sessions", self.slice_sessions, 2, 1 << 16, "must be 2 to 65536")
    }
}

fn duration(
    key: &'static str,
    value: Duration,
    least: Duration,
    most: Duration,
    rule: &'static str,
) -> Result<(), ConfigError> {
    if value >= least && value <= most {
        return Ok(());
    }
    Err(ConfigError { key, value: format!("{value:?}"), rule })
}

fn number(
    key: &'static str,
    value: usize,
    least: usize,
    most: usize,
    rule: &'static str,
) -> Result<(), ConfigError> {
    if value >= least && value <= most {
        return Ok(());
    }
    Err(ConfigError { key, value: value.to_string(), rule })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_keep_their_own_rules() {
        assert_eq!(EngineConfig::default().check(), Ok(()));
    }

    /// The rule a changed setting breaks.
    fn broken(change: impl FnOnce(&mut EngineConfig)) -> Option<&'static str> {
        let mut config = EngineConfig::default();
        change(&mut config);
        config.check().err().map(|error| error.key)
    }

    #[test]
    fn each_duration_may_be_its_bounds_and_nothing_beyond() {
        type Setting = fn(&mut EngineConfig) -> &mut Duration;
        let ms = Duration::from_millis(1);
        let rules: [(&str, Setting, Duration, Duration); 8] = [
            ("flush_tick", |c| &mut c.flush_tick, ms, ms * 100),
            ("throttle_interval", |c| &mut c.throttle_interval, Duration::ZERO, ms * 60_000),
            ("tape_interval", |c| &mut c.tape_interval, ms, ms * 1_000),
            ("heartbeat_interval", |c| &mut c.heartbeat_interval, ms * 100, ms * 60_000),
            // One second below the default silence limit, which its own rule names first.
            ("ping_interval", |c| &mut c.ping_interval, ms * 1_000, ms * 39_000),
            ("client_silence_limit", |c| &mut c.client_silence_limit, ms * 21_000, ms * 3_600_000),
            ("first_command_limit", |c| &mut c.first_command_limit, ms * 1_000, ms * 600_000),
            ("drain_age", |c| &mut c.drain_age, ms * 100, ms * 600_000),
        ];
        for (key, setting, least, most) in rules {
            for value in [least, most] {
                assert_eq!(broken(|config| *setting(config) = value), None, "{key} {value:?}");
            }
            let expected = Some(if key == "ping_interval" { "client_silence_limit" } else { key });
            assert_eq!(broken(|config| *setting(config) = most + ms), expected, "{key}");
            if !least.is_zero() {
                assert_eq!(broken(|config| *setting(config) = least - ms), Some(key), "{key}");
            }
        }
        let pings = |ping_interval| {
            broken(|config| {
                (config.ping_interval, config.client_silence_limit) =
                    (ping_interval, ms * 3_600_000);
            })
        };
        assert_eq!(pings(ms * 600_000), None);
        assert_eq!(pings(ms * 600_001), Some("ping_interval"));
    }

    #[test]
    fn each_number_may_be_its_bounds_and_nothing_beyond() {
        type Setting = fn(&mut EngineConfig, usize);
        let rules: [(&str, Setting, usize, usize); 10] = [
            ("frame_limit_bytes", |c, n| c.frame_limit_bytes = n, 2_048, 65_535),
            ("message_limit_bytes", |c, n| c.message_limit_bytes = n, 1_024, 16_777_216),
            ("control_limit_bytes", |c, n| c.control_limit_bytes = n, 1_024, 16_777_216),
            ("subscription_limit", |c, n| c.subscription_limit = n, 1, 1_048_576),
            ("throttle_interval_limit", |c, n| c.throttle_interval_limit = n, 1, 256),
            ("commands_per_second", |c, n| c.commands_per_second = n as u32, 1, 1_000_000),
            ("command_burst", |c, n| c.command_burst = n as u32, 1, 1_048_576),
            (
                "command_bytes_per_second",
                |c, n| c.command_bytes_per_second = n,
                65_536,
                17_179_869_184,
            ),
            ("wildcard_limit", |c, n| c.wildcard_limit = n, 0, 1_048_576),
            ("slice_sessions", |c, n| c.slice_sessions = n, 2, 65_536),
        ];
        for (key, set, least, most) in rules {
            for value in [least, most] {
                assert_eq!(broken(|config| set(config, value)), None, "{key} {value}");
            }
            assert_eq!(broken(|config| set(config, most + 1)), Some(key));
            if least > 0 {
                assert_eq!(broken(|config| set(config, least - 1)), Some(key));
            }
        }
    }

    #[test]
    fn a_broken_rule_names_key_value_and_rule() {
        let config = EngineConfig { frame_limit_bytes: 70_000, ..EngineConfig::default() };
        let error = config.check().expect_err("out of range");
        assert_eq!(error.to_string(), "frame_limit_bytes = 70000: must be 2048 to 65535");
        let config = EngineConfig {
            client_silence_limit: Duration::from_secs(20),
            ..EngineConfig::default()
        };
        assert_eq!(config.check().expect_err("not above ping").key, "client_silence_limit");
    }
}
