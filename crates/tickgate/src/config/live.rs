//! Which keys a running gateway takes over from a configuration that was read again.

use std::collections::BTreeSet;

use toml::{Table, Value};

use super::{check::Loaded, error::Origin, layers::flatten};

/// Keys that change while the gateway runs. Every other key is built into something that lives as
/// long as the gateway (a port, a thread, a buffer, the hub, the feed) or was told to clients.
const LIVE: [&str; 19] = [
    "gateway.allowed_origins",
    "gateway.drain_within_ms",
    "gateway.memory_limit_bytes",
    "gateway.not_sent_limit_bytes",
    "gateway.send_buffer_bytes",
    "gateway.session_limit",
    "limits.command_burst",
    "limits.commands_per_second",
    "limits.control_limit_bytes",
    "limits.message_limit_bytes",
    "limits.subscription_limit",
    "limits.throttle_interval_limit",
    "limits.wildcard_limit",
    "log.filter",
    "session.client_silence_limit_ms",
    "session.drain_age_ms",
    "session.first_command_limit_ms",
    "session.ping_interval_ms",
    "session.throttle_interval_ms",
];

/// What a configuration that was read again changes.
#[derive(Debug)]
pub(crate) struct Changes {
    /// The configuration in force with the new values of the keys that change live; everything
    /// else is as it was. Not checked.
    pub(crate) effective: Loaded,
    /// The keys that change, in order.
    pub(crate) live: Vec<String>,
    /// Keys that differ and are left as they were, until a restart.
    pub(crate) after_restart: Vec<String>,
}

impl Changes {
    /// From the configuration in force to one that was read again.
    ///
    /// # Errors
    /// None that reading the two has not reported before.
    pub(crate) fn between(now: &Loaded, read: &Loaded) -> Result<Self, toml::de::Error> {
        let (mut table, new) = (leaves(now), leaves(read));
        let mut effective = now.clone();
        let (mut live, mut after_restart) = (Vec::new(), Vec::new());
        // A key without a default is in one of the two only when it was set there.
        let keys: BTreeSet<String> = table.keys().chain(new.keys()).cloned().collect();
        for key in keys {
            if table.get(&key) == new.get(&key) {
                continue;
            }
            match new.get(&key) {
                Some(value) if LIVE.contains(&&*key) => {
                    table.insert(key.clone(), value.clone());
                    let origin = read.origins.get(&key).cloned().unwrap_or(Origin::Default);
                    effective.origins.insert(key.clone(), origin);
                    live.push(key);
                }
                _ => after_restart.push(key),
            }
        }
        effective.config = nested(table).try_into()?;
        // What is not shown is not in the tables either.
        let secret = &mut effective.config.admin.token;
        secret.clone_from(&now.config.admin.token);
        if *secret != read.config.admin.token {
            after_restart.push("admin.token".to_owned());
            after_restart.sort_unstable();
            after_restart.dedup();
        }
        Ok(Self { effective, live, after_restart })
    }
}

type Leaves = std::collections::BTreeMap<String, Value>;

/// Each key in force, dotted, with its value.
fn leaves(loaded: &Loaded) -> Leaves {
    let mut leaves = Leaves::new();
    // A configuration is made of tables, numbers and text, all of which TOML has.
    if let Ok(table) = Table::try_from(&loaded.config) {
        flatten("", &table, &mut leaves);
    }
    leaves
}

fn nested(leaves: Leaves) -> Table {
    let mut table = Table::new();
    for (key, value) in leaves {
        super::layers::insert(&mut table, &key, value);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::layers::{self, Layers};

    fn loaded(pairs: &[(&str, &str)]) -> Loaded {
        let mut layers = Layers::new();
        for (key, value) in pairs {
            layers.flag("--set", key, value).expect("valid");
        }
        layers.finish().expect("valid")
    }

    #[test]
    fn a_secret_survives_and_a_changed_one_needs_a_restart() {
        let one = loaded(&[("admin.token", "0123456789abcdef")]);
        let two = loaded(&[("admin.token", "fedcba9876543210"), ("log.filter", "debug")]);
        let changes = Changes::between(&one, &two).expect("valid");
        assert_eq!(changes.live, ["log.filter"]);
        assert_eq!(changes.after_restart, ["admin.token"]);
        assert!(changes.effective.config.admin.token == one.config.admin.token);
        assert!(changes.effective.settings().is_ok());
    }

    #[test]
    fn every_live_key_exists() {
        let known = layers::known();
        for key in LIVE {
            assert!(known.contains_key(key), "{key}");
        }
    }

    #[test]
    fn the_same_configuration_changes_nothing() {
        let now = loaded(&[("gateway.session_limit", "7"), ("feed.simulated.start_time_ns", "5")]);
        let changes = Changes::between(&now, &now.clone()).expect("valid");
        assert_eq!(changes.effective.config, now.config);
        assert!(changes.live.is_empty() && changes.after_restart.is_empty(), "{changes:?}");
    }

    #[test]
    fn live_keys_change_and_the_others_stay_as_they_were() {
        let now = loaded(&[("gateway.session_limit", "7"), ("feed.simulated.start_time_ns", "5")]);
        let read = loaded(&[
            ("gateway.listen", "127.0.0.1:1"),
            ("log.filter", "debug"),
            ("hub.shards", "3"),
        ]);
        let changes = Changes::between(&now, &read).expect("valid");
        assert_eq!(changes.live, ["gateway.session_limit", "log.filter"]);
        let left = ["feed.simulated.start_time_ns", "gateway.listen", "hub.shards"];
        assert_eq!(changes.after_restart, left);
        let mut expected = now.config.clone();
        expected.gateway.session_limit = read.config.gateway.session_limit;
        expected.log.filter = "debug".to_owned();
        assert_eq!(changes.effective.config, expected);
        assert_eq!(changes.effective.origins.get("log.filter"), Some(&Origin::Flag("--set")));
    }
}
