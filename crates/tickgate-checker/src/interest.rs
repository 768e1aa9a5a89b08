//! What a connection asked for and was granted: the checker's own account of its subscriptions.

use std::collections::BTreeMap;

use crate::{
    command::{Command, Subscribe},
    wire::Channel,
};

/// What was granted, as of the last reply.
#[derive(Debug, Clone)]
pub(crate) struct Interest {
    named: BTreeMap<String, Asked>,
    wildcard: Option<Asked>,
    connection_us: u64,
    default_us: u64,
}

#[derive(Debug, Clone, Default)]
struct Asked {
    channels: Vec<Channel>,
    throttle_us: Option<u64>,
    quote: Option<u16>,
    last: Option<u16>,
}

impl Interest {
    pub(crate) fn new(default_us: u64) -> Self {
        Self { named: BTreeMap::new(), wildcard: None, connection_us: default_us, default_us }
    }

    /// Applies a command that was granted, less the symbols that were rejected.
    pub(crate) fn grant(&mut self, command: &Command, rejected: &[String]) {
        let kept = |symbols: &[String]| -> Vec<String> {
            symbols.iter().filter(|symbol| !rejected.contains(symbol)).cloned().collect()
        };
        match command {
            Command::Subscribe(subscribe) => {
                for symbol in kept(&subscribe.symbols) {
                    self.entry(&symbol).ask(subscribe);
                }
            }
            Command::Unsubscribe { symbols, channels, .. } => {
                for symbol in kept(symbols) {
                    self.remove(&symbol, channels.as_deref().unwrap_or(&Channel::EVERY));
                }
            }
            Command::Throttle { symbols: None, throttle_ms: Some(interval), .. } => {
                self.connection_us = interval.map_or(self.default_us, |ms| ms * 1_000);
            }
            Command::Throttle { symbols: Some(symbols), throttle_ms: Some(interval), .. } => {
                for symbol in kept(symbols) {
                    if symbol == "*" {
                        if let Some(asked) = &mut self.wildcard {
                            asked.throttle_us = interval.map(|ms| ms * 1_000);
                        }
                    } else if let Some(asked) = self.named.get_mut(&symbol) {
                        asked.throttle_us = interval.map(|ms| ms * 1_000);
                    }
                }
            }
            _ => {}
        }
    }

    pub(crate) fn has_wildcard(&self) -> bool {
        self.wildcard.is_some()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.named.is_empty() && self.wildcard.is_none()
    }

    pub(crate) fn is_named(&self, symbol: &str) -> bool {
        self.named.contains_key(symbol)
    }

    pub(crate) fn covers_symbol(&self, symbol: &str) -> bool {
        self.wildcard.is_some() || self.named.contains_key(symbol)
    }

    pub(crate) fn covers(&self, symbol: &str, channel: Channel) -> bool {
        let has = |asked: &Asked| asked.channels.contains(&channel);
        self.named.get(symbol).is_some_and(has) || self.wildcard.as_ref().is_some_and(has)
    }

    /// Symbol over `*` over connection over default.
    pub(crate) fn interval_us(&self, symbol: &str) -> u64 {
        let named = self.named.get(symbol).and_then(|asked| asked.throttle_us);
        let wildcard = || self.wildcard.as_ref().and_then(|asked| asked.throttle_us);
        named.or_else(wildcard).unwrap_or(self.connection_us)
    }

    /// Selected fields, first field in bit 0; a symbol's own selection goes before that of `*`.
    pub(crate) fn selection(&self, symbol: &str, channel: Channel) -> u16 {
        let of = |asked: &Asked| match channel {
            Channel::Quote => asked.quote,
            Channel::Last => asked.last,
            Channel::Trade | Channel::Bar1s | Channel::Bar1m | Channel::Bar1d => None,
        };
        let named = self.named.get(symbol).and_then(of);
        named
            .or_else(|| self.wildcard.as_ref().and_then(of))
            .unwrap_or((1 << channel.fields().len()) - 1)
    }

    fn entry(&mut self, symbol: &str) -> &mut Asked {
        if symbol == "*" {
            return self.wildcard.get_or_insert_default();
        }
        // A symbol that is named starts with the selection it has, and keeps it from then on.
        let (quote, last) = (
            Some(self.selection(symbol, Channel::Quote)),
            Some(self.selection(symbol, Channel::Last)),
        );
        let named = self.named.entry(symbol.to_owned());
        named.or_insert_with(|| Asked { quote, last, ..Asked::default() })
    }

    fn remove(&mut self, symbol: &str, channels: &[Channel]) {
        let Some(asked) =
            (if symbol == "*" { self.wildcard.as_mut() } else { self.named.get_mut(symbol) })
        else {
            return;
        };
        asked.channels.retain(|channel| !channels.contains(channel));
        if asked.channels.is_empty() {
            if symbol == "*" {
                self.wildcard = None;
            } else {
                self.named.remove(symbol);
            }
        }
    }
}

impl Asked {
    fn ask(&mut self, subscribe: &Subscribe) {
        let default = [Channel::Quote, Channel::Last];
        // An existing subscription that names no channels keeps the ones it has.
        let keeps = subscribe.channels.is_none() && !self.channels.is_empty();
        if !keeps {
            for channel in subscribe.channels.as_deref().unwrap_or(&default) {
                if !self.channels.contains(channel) {
                    self.channels.push(*channel);
                }
            }
        }
        if let Some(interval) = subscribe.throttle_ms {
            self.throttle_us = interval.map(|ms| ms * 1_000);
        }
        if let Some(fields) = &subscribe.quote_fields {
            self.quote = Some(mask(Channel::Quote, fields));
        }
        if let Some(fields) = &subscribe.last_fields {
            self.last = Some(mask(Channel::Last, fields));
        }
    }
}

fn mask(channel: Channel, names: &[String]) -> u16 {
    let bits = channel.fields().iter().enumerate();
    bits.filter(|(_, field)| names.iter().any(|name| name == field.0))
        .fold(0, |mask, (bit, _)| mask | 1 << bit)
}

/// The intervals in force for a symbol over time.
#[derive(Debug, Clone, Default)]
pub(crate) struct Intervals {
    /// (asked at, granted at, interval), oldest first; each holds until the next.
    changes: Vec<(u64, u64, u64)>,
}

impl Intervals {
    pub(crate) fn set(&mut self, asked_us: u64, granted_us: u64, interval_us: u64) {
        if self.changes.last().is_none_or(|last| last.2 != interval_us) {
            self.changes.push((asked_us, granted_us, interval_us));
        }
    }

    /// The shortest that may have been in force at some time in the range.
    pub(crate) fn shortest(&self, from_us: u64, to_us: u64) -> u64 {
        self.overlapping(from_us, to_us).map(|(_, interval)| interval).min().unwrap_or(0)
    }

    /// The longest that may have been in force: an old one counts for its own length after a
    /// change, because a change takes effect within one old interval.
    pub(crate) fn longest(&self, from_us: u64, to_us: u64) -> u64 {
        self.overlapping(from_us, to_us).map(|(_, interval)| interval).max().unwrap_or(0)
    }

    /// True when one gave way to another around the range.
    pub(crate) fn changed(&self, from_us: u64, to_us: u64) -> bool {
        self.overlapping(from_us, to_us).count() > 1
    }

    fn overlapping(&self, from_us: u64, to_us: u64) -> impl Iterator<Item = (usize, u64)> {
        self.changes.iter().enumerate().filter_map(move |(at, (asked, _, interval))| {
            let until = self.changes.get(at + 1).map_or(u64::MAX, |next| next.1 + interval);
            (*asked <= to_us && from_us <= until).then_some((at, *interval))
        })
    }
}
