//! What cannot be run, by name.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
};

use tickgate_protocol::{channel::Channel, command::THROTTLE_LIMIT_MS, symbol};

use super::{Acknowledge, Event, Group, Scenario, Speaks, What, built_in};
use crate::slo::Objectives;

/// Most clients of a run.
const CLIENT_LIMIT: u32 = 1_000_000;

/// Most threads of a run.
const THREAD_LIMIT: u16 = 256;

/// Longest window or warm-up: a week.
const LONGEST_S: f64 = 7.0 * 86_400.0;

/// A value that cannot be run: which, what it is, which rule it breaks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key} = {found} {rule}")]
pub struct Invalid {
    /// The key, with its place.
    pub key: String,
    /// What it is.
    pub found: String,
    /// What it must be.
    pub rule: &'static str,
}

/// A scenario that cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    /// Neither a built-in name nor a file that can be read.
    #[error("scenario `{path}` is neither built in ({names}) nor a file that can be read", names = super::BUILT_IN.join(", "))]
    Unknown {
        /// As it was given.
        path: PathBuf,
        /// Why the file cannot be read.
        #[source]
        source: std::io::Error,
    },
    /// Not the TOML of a scenario.
    #[error("scenario `{name}`: {source}")]
    Toml {
        /// File or built-in name.
        name: String,
        /// What the reader says, with line and column.
        #[source]
        source: Box<toml::de::Error>,
    },
    /// A value that breaks a rule.
    #[error(transparent)]
    Invalid(#[from] Invalid),
}

impl Scenario {
    /// A built-in scenario by its name, or one from a file. Not checked.
    ///
    /// # Errors
    /// [`ScenarioError`] when there is neither, or it cannot be read.
    pub fn find(name: &str) -> Result<Self, ScenarioError> {
        let text = match built_in(name) {
            Some(text) => text.to_owned(),
            None => std::fs::read_to_string(Path::new(name))
                .map_err(|source| ScenarioError::Unknown { path: name.into(), source })?,
        };
        Self::parse(name, &text)
    }

    /// From the text of a file. Not checked.
    ///
    /// # Errors
    /// [`ScenarioError::Toml`].
    pub fn parse(name: &str, text: &str) -> Result<Self, ScenarioError> {
        toml::from_str(text)
            .map_err(|source| ScenarioError::Toml { name: name.to_owned(), source: source.into() })
    }

    /// Names the first value that breaks a rule.
    ///
    /// # Errors
    /// [`Invalid`].
    pub fn check(&self) -> Result<(), Invalid> {
        let run = &self.run;
        within("run.warm_up_s", run.warm_up_s, 0.0, LONGEST_S)?;
        within("run.duration_s", run.duration_s, 1.0, LONGEST_S)?;
        within("run.ready_within_s", run.ready_within_s, 1.0, LONGEST_S)?;
        within("run.connects_per_second", run.connects_per_second, 0.1, 1e6)?;
        rule(
            "run.threads",
            run.threads,
            (1..=THREAD_LIMIT).contains(&run.threads),
            "must be from 1 to 256",
        )?;
        self.check_target()?;
        rule("clients", "[]", !self.clients.is_empty(), "must have a group at least")?;
        let mut names = HashSet::new();
        for (at, group) in self.clients.iter().enumerate() {
            let fresh = names.insert(&*group.name);
            rule(
                &format!("clients[{at}].name"),
                &group.name,
                fresh,
                "must differ from the other groups'",
            )?;
            group.check(&format!("clients[{at}]"), self.target.speaks)?;
        }
        let clients: u64 = self.clients.iter().map(|group| u64::from(group.count)).sum();
        let ramp_to = self.ramp.map_or(0, |ramp| u64::from(ramp.to));
        let all = clients.max(ramp_to);
        rule("clients.count", all, all <= CLIENT_LIMIT.into(), "must be 1,000,000 in all at most")?;
        for (at, event) in self.events.iter().enumerate() {
            event.check(&format!("events[{at}]"), &names)?;
        }
        for (at, event) in self.events.iter().enumerate() {
            let key = format!("events[{at}].at_s");
            let is_within = event.at_s < run.duration_s.ceil();
            rule(&key, event.at_s, is_within, "must lie in the window (run.duration_s)")?;
            rule(&key, event.at_s, self.ramp.is_none(), "means nothing to a ramp")?;
        }
        let objectives = Objectives::parse(&self.slo).map_err(|error| Invalid {
            key: "slo".to_owned(),
            found: format!("{:?}", self.slo),
            rule: error.rule,
        })?;
        if let Some(ramp) = self.ramp {
            let grows = ramp.from >= 1 && ramp.step >= 1 && ramp.to >= ramp.from;
            let found = format!("{} by {} to {}", ramp.from, ramp.step, ramp.to);
            rule("ramp", found, grows, "must grow: from 1 at least, by 1 at least, to no less")?;
            within("ramp.every_s", ramp.every_s, 1.0, LONGEST_S)?;
            let any = !objectives.is_empty();
            rule("slo", "\"\"", any, "must have an objective for the ramp to break")?;
        }
        Ok(())
    }

    fn check_target(&self) -> Result<(), Invalid> {
        let target = &self.target;
        rule("target.url", &target.url, target.url.starts_with("ws://"), "must begin with ws://")?;
        for name in &target.symbols {
            let valid = symbol::check_name(name).is_ok();
            rule(
                "target.symbols",
                name,
                valid,
                "must be a symbol name: 1 to 32 bytes of printable ASCII without space, quote, backslash or asterisk",
            )?;
        }
        let count = target.made_up_symbols;
        rule(
            "target.made_up_symbols",
            count,
            (1..=1_000_000).contains(&count),
            "must be from 1 to 1000000",
        )
    }
}

impl Group {
    fn check(&self, at: &str, speaks: Speaks) -> Result<(), Invalid> {
        let key = |name: &str| format!("{at}.{name}");
        within(&key("zipf_exponent"), self.zipf_exponent, 0.0, 4.0)?;
        for channel in &self.channels {
            let known = Channel::from_name(channel).is_some();
            rule(
                &key("channels"),
                channel,
                known,
                "must be a channel: quote, last, trade or of bars",
            )?;
        }
        rule(&key("channels"), "[]", !self.channels.is_empty(), "must have one channel at least")?;
        if let Some(throttle_ms) = self.throttle_ms {
            let valid = throttle_ms <= THROTTLE_LIMIT_MS;
            rule(&key("throttle_ms"), throttle_ms, valid, "must be 60000 at most")?;
        }
        if let Some(frames) = self.credit_frames {
            let valid = (1..=256).contains(&frames);
            rule(&key("credit_frames"), frames, valid, "must be from 1 to 256")?;
        }
        if let Acknowledge::EveryMs(ms) = self.acknowledges {
            rule(&key("acknowledges.every_ms"), ms, ms >= 1, "must be 1 at least")?;
        }
        if let Some(lifetime_s) = self.lifetime_s {
            within(&key("lifetime_s"), lifetime_s, 0.1, LONGEST_S)?;
        }
        within(&key("publishes_per_second"), self.publishes_per_second, 0.0, 1e6)?;
        if speaks == Speaks::Tickgate {
            let silent = self.publishes_per_second == 0.0;
            return rule(
                &key("publishes_per_second"),
                self.publishes_per_second,
                silent,
                "must be 0: Tickgate's ticks come from its feed",
            );
        }
        for (name, is_used) in [
            ("credit_frames", self.credit_frames.is_some()),
            ("max_bytes_per_second", self.max_bytes_per_second.is_some()),
            ("hostile", self.hostile),
            ("wildcard", self.wildcard),
        ] {
            rule(&key(name), "set", !is_used, "means something to Tickgate only")?;
        }
        Ok(())
    }
}

impl Event {
    fn check(&self, at: &str, groups: &HashSet<&str>) -> Result<(), Invalid> {
        within(&format!("{at}.at_s"), self.at_s, 0.0, LONGEST_S)?;
        within(&format!("{at}.share"), self.share, 0.0, 1.0)?;
        for name in &self.groups {
            let known = groups.contains(&**name);
            rule(&format!("{at}.groups"), name, known, "must be the name of a group")?;
        }
        match self.what {
            What::Disconnect { back_within_s } => within(
                &format!("{at}.what.disconnect.back_within_s"),
                back_within_s,
                0.0,
                LONGEST_S,
            ),
            What::Stall { for_s } => {
                within(&format!("{at}.what.stall.for_s"), for_s, 0.0, LONGEST_S)
            }
        }
    }
}

fn rule(key: &str, found: impl ToString, holds: bool, rule: &'static str) -> Result<(), Invalid> {
    if holds {
        return Ok(());
    }
    Err(Invalid { key: key.to_owned(), found: found.to_string(), rule })
}

fn within(key: &str, found: f64, least: f64, most: f64) -> Result<(), Invalid> {
    if (least..=most).contains(&found) {
        return Ok(());
    }
    // The bounds are part of what is said, since they differ from key to key.
    let found = format!("{found} (bounds {least} to {most})");
    Err(Invalid { key: key.to_owned(), found, rule: "must lie within its bounds" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::BUILT_IN;

    const LEAST: &str = "name = \"x\"\n[[clients]]\n";

    fn refused(text: &str) -> Invalid {
        let scenario = Scenario::parse("x", text).expect("TOML of a scenario");
        scenario.check().expect_err("a rule is broken")
    }

    #[test]
    fn what_is_built_in_can_be_run() {
        for name in BUILT_IN {
            let scenario = Scenario::find(name).expect("it is there");
            assert_eq!(&scenario.name, name);
            assert!(!scenario.description.is_empty(), "{name}");
            assert_eq!(scenario.check(), Ok(()), "{name}");
        }
    }

    #[test]
    fn the_least_scenario_has_defaults_for_the_rest() {
        let scenario = Scenario::parse("x", LEAST).expect("a scenario");
        assert_eq!(scenario.check(), Ok(()));
        assert_eq!(scenario.clients, [Group::default()]);
    }

    #[test]
    fn each_rule_names_its_key() {
        for (line, key) in [
            ("count = 2000000", "clients.count"),
            ("channels = [\"bid\"]", "clients[0].channels"),
            ("channels = []", "clients[0].channels"),
            ("throttle_ms = 60001", "clients[0].throttle_ms"),
            ("credit_frames = 0", "clients[0].credit_frames"),
            ("zipf_exponent = -1.0", "clients[0].zipf_exponent"),
            ("publishes_per_second = 1.0", "clients[0].publishes_per_second"),
            ("[run]\nduration_s = 0.5", "run.duration_s"),
            ("[run]\nthreads = 0", "run.threads"),
            ("[target]\nurl = \"http://x\"", "target.url"),
            ("[target]\nsymbols = [\"A B\"]", "target.symbols"),
            (
                "[target]\nspeaks = \"nats\"\n[[clients]]\nname=\"y\"\nhostile = true",
                "clients[1].hostile",
            ),
            ("[[clients]]", "clients[1].name"),
            ("[ramp]\nfrom = 1\nstep = 1\nto = 2\nevery_s = 2", "slo"),
            (
                "[[events]]\nat_s = 1\ngroups = [\"y\"]\nwhat = { stall = { for_s = 1 } }",
                "events[0].groups",
            ),
            (
                "[run]\nduration_s = 2\n[[events]]\nat_s = 2\nwhat = { stall = { for_s = 1 } }",
                "events[0].at_s",
            ),
            (
                "[[events]]\nat_s = 1\nshare = 1.1\nwhat = { stall = { for_s = 1 } }",
                "events[0].share",
            ),
        ] {
            let invalid = refused(&format!("{LEAST}{line}"));
            assert_eq!(invalid.key, key, "{invalid}");
        }
    }

    #[test]
    fn unknown_keys_and_words_are_refused_by_name() {
        for (line, word) in
            [("cuont = 1", "cuont"), ("format = \"xml\"", "xml"), ("reads = \"some\"", "some")]
        {
            let error = Scenario::parse("x", &format!("{LEAST}{line}")).expect_err("refused");
            assert!(error.to_string().contains(word), "{error}");
        }
    }

    #[test]
    fn a_scenario_that_is_nowhere_is_named_with_those_there_are() {
        let error = Scenario::find("staedy").expect_err("nowhere").to_string();
        assert!(error.contains("staedy") && error.contains("steady"), "{error}");
    }
}
