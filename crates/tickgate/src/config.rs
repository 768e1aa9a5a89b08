//! The configuration: sections with defaults, layered from file, environment and flags, checked
//! before anything starts, then passed on as typed values.
//!
//! Keys end in their unit. `config/tickgate.toml` shows each at its default and says what it does.

mod check;
#[cfg(test)]
mod document;
mod error;
mod layers;
mod live;
mod sections;
mod suggest;

pub(crate) use check::{FeedChoice, Loaded, LogSettings, Settings};
pub(crate) use error::ConfigError;
pub(crate) use live::Changes;
pub(crate) use sections::LogFormat;

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::{cli::Options, failure::Failure};
use layers::Layers;
use sections::{
    AdminSection, FeedSection, GatewaySection, HubSection, LimitsSection, LogSection,
    SessionSection,
};

/// Everything that can be configured.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    pub(crate) gateway: GatewaySection,
    pub(crate) session: SessionSection,
    pub(crate) limits: LimitsSection,
    pub(crate) hub: HubSection,
    pub(crate) feed: FeedSection,
    pub(crate) admin: AdminSection,
    pub(crate) log: LogSection,
}

/// Reads file, environment and flags, in that order; the later wins.
///
/// # Errors
/// [`Failure::Config`]: the first key that is unknown or of the wrong kind, with where it came
/// from.
pub(crate) fn load(options: &Options) -> Result<Loaded, Failure> {
    let mut layers = Layers::new();
    if let Some(path) = &options.config {
        layers.file(path).map_err(Failure::config)?;
    }
    layers.environment(std::env::vars_os()).map_err(Failure::config)?;
    for (flag, key, value) in options.overrides() {
        layers.flag(flag, &key, &value).map_err(Failure::config)?;
    }
    layers.finish().map_err(Failure::config)
}

/// Reads a file's text alone.
///
/// # Errors
/// As [`load`].
pub(crate) fn from_text(text: &str) -> Result<Loaded, Failure> {
    let mut layers = Layers::new();
    layers.text(Path::new("configuration"), text).map_err(Failure::config)?;
    layers.finish().map_err(Failure::config)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = include_str!("../../../config/tickgate.toml");

    #[test]
    fn the_commented_file_loads_to_exactly_the_defaults() {
        let config: Config = toml::from_str(FILE).expect("valid");
        assert_eq!(config, Config::default());
    }

    #[test]
    fn every_key_stands_in_the_commented_file_under_a_comment() {
        let shown: toml::Table = FILE.parse().expect("valid");
        for key in layers::known().keys() {
            let found =
                key.split('.').try_fold(toml::Value::Table(shown.clone()), |table, name| {
                    table.get(name).cloned()
                });
            let name = key.rsplit('.').next().unwrap_or(key);
            let optional = FILE.lines().any(|line| line.starts_with(&format!("# {name} = ")));
            assert!(found.is_some() || optional, "{key} is missing");
        }
        let mut commented = false;
        for line in FILE.lines() {
            commented = line.starts_with('#') || (commented && !line.is_empty());
            assert!(commented || line.is_empty() || line.starts_with('['), "no comment on {line}");
        }
    }
}
