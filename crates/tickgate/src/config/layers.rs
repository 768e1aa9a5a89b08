//! Layers a file, the environment and flags over the defaults, key by key.
//!
//! Each value is checked as it is set, so that an error names the key and where it came from.

use std::{collections::BTreeMap, ffi::OsString, fs, path::Path};

use toml::{Table, Value};

use super::{
    Config,
    check::Loaded,
    error::{ConfigError, Origin},
    sections::Secret,
    suggest::nearest,
};

/// Environment variables that begin so are ours; an unknown one is refused like any unknown key.
const PREFIX: &str = "TICKGATE_";

/// The variable that names the file, read by the command line itself.
const FILE_VARIABLE: &str = "TICKGATE_CONFIG";

/// Whole numbers that have no default, so that the default configuration does not show them.
pub(super) const OPTIONAL: [&str; 1] = ["feed.simulated.start_time_ns"];

/// A key whose value no message shows.
const SECRET: &str = "admin.token";

/// The configuration so far.
pub(crate) struct Layers {
    /// Every key there is, with its default, dotted: `feed.simulated.seed`.
    known: BTreeMap<String, Value>,
    set: BTreeMap<String, (Value, Origin)>,
}

impl Layers {
    pub(crate) fn new() -> Self {
        Self { known: known(), set: BTreeMap::new() }
    }

    /// Every key with its default.
    #[cfg(test)]
    pub(super) fn known(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.known.iter().map(|(key, value)| (key.as_str(), value))
    }

    /// Reads a TOML file.
    ///
    /// # Errors
    /// A file that cannot be read or is no TOML, and whatever [`Layers::set`] refuses.
    pub(crate) fn file(&mut self, path: &Path) -> Result<(), ConfigError> {
        let text = fs::read_to_string(path)
            .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        self.text(path, &text)
    }

    /// Takes the text of a TOML file that lies at `path`.
    ///
    /// # Errors
    /// Text that is no TOML, and whatever [`Layers::set`] refuses.
    pub(crate) fn text(&mut self, path: &Path, text: &str) -> Result<(), ConfigError> {
        let table: Table = text.parse().map_err(|error: toml::de::Error| {
            let line = error.span().map(|span| text[..span.start].lines().count().max(1));
            let place = line.map(|line| format!("line {line}: ")).unwrap_or_default();
            ConfigError::Syntax { path: path.to_owned(), rule: place + error.message() }
        })?;
        let mut leaves = BTreeMap::new();
        flatten("", &table, &mut leaves);
        for (key, value) in leaves {
            self.set(&key, value, Origin::File(path.to_owned()))?;
        }
        Ok(())
    }

    /// Takes every `TICKGATE_<SECTION>_<KEY>`.
    ///
    /// # Errors
    /// An unknown name behind the prefix, and whatever [`Layers::set`] refuses.
    pub(crate) fn environment(
        &mut self,
        variables: impl Iterator<Item = (OsString, OsString)>,
    ) -> Result<(), ConfigError> {
        let names: BTreeMap<String, String> =
            self.known.keys().map(|key| (variable(key), key.clone())).collect();
        let ours = variables.filter_map(|(name, value)| {
            let name = name.into_string().ok().filter(|name| name.starts_with(PREFIX))?;
            (name != FILE_VARIABLE).then(|| (name, value.to_string_lossy().into_owned()))
        });
        for (name, text) in ours {
            let origin = Origin::Environment(name.clone());
            let Some(key) = names.get(&name) else {
                let suggestion = nearest(&name, names.keys().map(String::as_str));
                return Err(ConfigError::UnknownKey {
                    origin: Origin::Environment("environment".to_owned()),
                    key: name,
                    suggestion,
                });
            };
            self.set_text(key, &text, origin)?;
        }
        Ok(())
    }

    /// Takes a flag's value for a key.
    ///
    /// # Errors
    /// Whatever [`Layers::set`] refuses.
    pub(crate) fn flag(
        &mut self,
        flag: &'static str,
        key: &str,
        text: &str,
    ) -> Result<(), ConfigError> {
        self.set_text(key, text, Origin::Flag(flag))
    }

    /// All layers together.
    ///
    /// # Errors
    /// None that [`Layers::set`] has not reported before.
    pub(crate) fn finish(self) -> Result<Loaded, ConfigError> {
        let mut table = Table::new();
        let mut origins = BTreeMap::new();
        for (key, (value, origin)) in self.set {
            insert(&mut table, &key, value);
            origins.insert(key, origin);
        }
        let config = table.try_into().map_err(|error: toml::de::Error| ConfigError::Value {
            key: "configuration".to_owned(),
            value: "as a whole".to_owned(),
            rule: error.message().to_owned(),
            origin: Origin::Default,
        })?;
        Ok(Loaded { config, origins })
    }

    /// Sets a key from text, which is read as its default's kind is.
    fn set_text(&mut self, key: &str, text: &str, origin: Origin) -> Result<(), ConfigError> {
        let value = match self.known.get(key) {
            // An unknown key, which `set` reports.
            None => Value::String(text.to_owned()),
            Some(default) => read(text, default).unwrap_or_else(|| Value::String(text.to_owned())),
        };
        self.set(key, value, origin)
    }

    /// Sets a key.
    ///
    /// # Errors
    /// An unknown key (with the nearest that exists), a value of another kind than the default,
    /// a negative number, a number too large, a word that is none of those allowed.
    fn set(&mut self, key: &str, value: Value, origin: Origin) -> Result<(), ConfigError> {
        let Some(default) = self.known.get(key) else {
            let suggestion = nearest(key, self.known.keys().map(String::as_str));
            return Err(ConfigError::UnknownKey { origin, key: key.to_owned(), suggestion });
        };
        let value = match (default, value) {
            // `speed = 2` means 2.0.
            (Value::Float(_), Value::Integer(whole)) => Value::Float(whole as f64),
            (_, value) => value,
        };
        let refuse = |rule: String, value: &Value| ConfigError::Value {
            key: key.to_owned(),
            value: if key == SECRET { Secret::MASK.to_owned() } else { value.to_string() },
            rule,
            origin: origin.clone(),
        };
        if !default.same_type(&value) {
            return Err(refuse(format!("must be {}", kind(key, default)), &value));
        }
        if value.as_integer().is_some_and(|number| number < 0) {
            return Err(refuse(format!("must be {}, 0 or more", kind(key, default)), &value));
        }
        // Read alone, so that whatever serde refuses is this key's fault.
        let mut alone = Table::new();
        insert(&mut alone, key, value.clone());
        if let Err(error) = alone.try_into::<Config>() {
            return Err(refuse(error.message().to_owned(), &value));
        }
        self.set.insert(key.to_owned(), (value, origin));
        Ok(())
    }
}

/// Every key at its default.
pub(super) fn known() -> BTreeMap<String, Value> {
    let mut leaves = BTreeMap::new();
    if let Ok(Value::Table(table)) = Value::try_from(Config::default()) {
        flatten("", &table, &mut leaves);
    }
    for key in OPTIONAL {
        leaves.insert(key.to_owned(), Value::Integer(0));
    }
    leaves
}

/// The variable of a key: `feed.simulated.seed` is `TICKGATE_FEED_SIMULATED_SEED`.
fn variable(key: &str) -> String {
    format!("{PREFIX}{}", key.replace('.', "_").to_uppercase())
}

/// Dotted keys of all values in nested tables; an empty table counts as a value, so that an
/// unknown section does not go unnoticed for having nothing in it.
pub(super) fn flatten(prefix: &str, table: &Table, leaves: &mut BTreeMap<String, Value>) {
    for (name, value) in table {
        let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
        match value {
            Value::Table(inner) if !inner.is_empty() => flatten(&key, inner, leaves),
            Value::Table(_) if is_section(&key) => {}
            other => {
                leaves.insert(key, other.clone());
            }
        }
    }
}

/// True for the sections, which a file may leave empty.
fn is_section(key: &str) -> bool {
    let sections = ["gateway", "session", "limits", "hub", "feed", "admin", "log"];
    sections.contains(&key) || matches!(key, "feed.simulated" | "feed.replay")
}

/// Puts a value under a dotted key.
pub(super) fn insert(table: &mut Table, key: &str, value: Value) {
    match key.split_once('.') {
        None => {
            table.insert(key.to_owned(), value);
        }
        Some((section, rest)) => {
            let inner = table.entry(section).or_insert_with(|| Value::Table(Table::new()));
            if let Value::Table(inner) = inner {
                insert(inner, rest, value);
            }
        }
    }
}

/// Text as a value of the default's kind; `None` when it is none.
fn read(text: &str, default: &Value) -> Option<Value> {
    let text = text.trim();
    match default {
        Value::Integer(_) => text.replace('_', "").parse().ok().map(Value::Integer),
        Value::Float(_) => text.parse().ok().map(Value::Float),
        Value::Boolean(_) => text.parse().ok().map(Value::Boolean),
        Value::Array(_) => {
            let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
            Some(Value::Array(items.map(|item| Value::String(item.to_owned())).collect()))
        }
        _ => Some(Value::String(text.to_owned())),
    }
}

/// What a key wants, in words; its unit is the end of its name.
fn kind(key: &str, default: &Value) -> String {
    let units = [
        ("_ms", "milliseconds"),
        ("_us", "microseconds"),
        ("_ns", "nanoseconds"),
        ("_bytes", "bytes"),
        ("_per_second", "events a second"),
    ];
    match default {
        Value::Integer(_) => match units.iter().find(|(suffix, _)| key.ends_with(suffix)) {
            Some((_, unit)) => format!("a whole number of {unit}"),
            None => "a whole number".to_owned(),
        },
        Value::Float(_) => "a number".to_owned(),
        Value::Boolean(_) => "true or false".to_owned(),
        Value::Array(_) => "a list of texts".to_owned(),
        _ => "a text".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn from_file(text: &str) -> Result<Config, String> {
        let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
        file.write_all(text.as_bytes()).expect("written");
        let mut layers = Layers::new();
        layers.file(file.path()).map_err(|error| {
            error.to_string().replace(&file.path().display().to_string(), "FILE")
        })?;
        layers.finish().map(|loaded| loaded.config).map_err(|error| error.to_string())
    }

    fn variables(pairs: &[(&str, &str)]) -> impl Iterator<Item = (OsString, OsString)> {
        let own = |(name, value): &(&str, &str)| (OsString::from(name), OsString::from(value));
        pairs.iter().map(own).collect::<Vec<_>>().into_iter()
    }

    #[test]
    fn each_wrong_value_is_named_with_its_rule() {
        for (text, message) in [
            (
                "[gateway]\nlistn = \"x\"",
                "FILE: unknown key `gateway.listn`; did you mean `gateway.listen`?",
            ),
            ("[database]", "FILE: unknown key `database`"),
            ("gateway = 5", "FILE: unknown key `gateway`"),
            (
                "[session]\nthrottle_interval_ms = \"100ms\"",
                "session.throttle_interval_ms = \"100ms\": must be a whole number of milliseconds (from FILE)",
            ),
            (
                "[session]\nthrottle_interval_s = 1",
                "FILE: unknown key `session.throttle_interval_s`; did you mean `session.throttle_interval_ms`?",
            ),
            (
                "[limits]\nframe_limit_bytes = -1",
                "limits.frame_limit_bytes = -1: must be a whole number of bytes, 0 or more (from FILE)",
            ),
            ("[admin]\ntoken = 1234567890123456", "admin.token = ***: must be a text (from FILE)"),
            ("[hub]\nshards = 1.5", "hub.shards = 1.5: must be a whole number (from FILE)"),
            (
                "[feed]\nkind = \"magic\"",
                "feed.kind = \"magic\": unknown variant `magic`, expected `simulated` or `replay` (from FILE)",
            ),
        ] {
            assert_eq!(from_file(text).expect_err(text), message);
        }
        let error = from_file("[gateway]\nlisten = \n").expect_err("syntax");
        assert!(error.starts_with("FILE: line 2: "), "{error}");
    }

    #[test]
    fn flags_override_environment_overrides_file_overrides_defaults() {
        let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
        write!(file, "[hub]\nshards = 2\ntape_capacity = 2\nstatus_capacity = 2").expect("written");
        let mut layers = Layers::new();
        layers.file(file.path()).expect("file");
        let environment =
            [("TICKGATE_HUB_TAPE_CAPACITY", "4"), ("TICKGATE_HUB_STATUS_CAPACITY", "4")];
        layers.environment(variables(&environment)).expect("environment");
        layers.flag("--set", "hub.status_capacity", "8").expect("flag");
        let config = layers.finish().expect("valid").config;
        assert_eq!(config.hub.shards, 2);
        assert_eq!(config.hub.tape_capacity, 4);
        assert_eq!(config.hub.status_capacity, 8);
        assert_eq!(config.hub.symbol_limit, Config::default().hub.symbol_limit);
    }

    #[test]
    fn every_kind_of_value_can_come_as_text() {
        let mut layers = Layers::new();
        layers
            .environment(variables(&[
                ("TICKGATE_GATEWAY_LISTEN", "0.0.0.0:1"),
                ("TICKGATE_FEED_SIMULATED_TICKS_PER_SECOND", "1_000"),
                ("TICKGATE_FEED_REPLAY_SPEED", "10"),
                ("TICKGATE_FEED_REPLAY_REPEAT", "true"),
                ("TICKGATE_FEED_REPLAY_FILES", "a.zst, b.zst"),
                ("PATH", "/bin"),
                ("TICKGATE_CONFIG", "read elsewhere"),
            ]))
            .expect("valid");
        let config = layers.finish().expect("valid").config;
        assert_eq!(config.gateway.listen, "0.0.0.0:1");
        assert_eq!(config.feed.simulated.ticks_per_second, 1_000);
        assert!((config.feed.replay.speed - 10.0).abs() < f64::EPSILON);
        assert!(config.feed.replay.repeat);
        assert_eq!(config.feed.replay.files, [Path::new("a.zst"), Path::new("b.zst")]);
    }

    #[test]
    fn an_unknown_variable_of_ours_is_refused() {
        let error = Layers::new()
            .environment(variables(&[("TICKGATE_GATEWAY_LISTN", "x")]))
            .expect_err("unknown");
        assert_eq!(
            error.to_string(),
            "environment: unknown key `TICKGATE_GATEWAY_LISTN`; did you mean `TICKGATE_GATEWAY_LISTEN`?"
        );
        let error = Layers::new()
            .environment(variables(&[("TICKGATE_HUB_SHARDS", "two")]))
            .expect_err("no number");
        assert_eq!(
            error.to_string(),
            "hub.shards = \"two\": must be a whole number (from TICKGATE_HUB_SHARDS)"
        );
    }

    #[test]
    fn variables_are_unambiguous() {
        let keys = known();
        let variables: std::collections::BTreeSet<String> =
            keys.keys().map(|k| variable(k)).collect();
        assert_eq!(variables.len(), keys.len());
    }
}
