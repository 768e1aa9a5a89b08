//! A scenario with everything found out that it left open: what every thread works from.

use std::sync::Arc;

use tickgate_protocol::symbol::WILDCARD;

use crate::{
    link::Route,
    preflight::Target,
    scenario::{Group, Scenario, Speaks},
    speaker::{Centrifugo, Conduct, Hostile, Nats, Speaker, Stamped, Tickgate},
    wire,
};

/// What every thread works from.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) scenario: Scenario,
    /// Where the target is, and from where to connect.
    target: Target,
    /// The upgrade request of each group.
    pub(crate) requests: Vec<Vec<u8>>,
    /// What clients draw from, the most popular first.
    pub(crate) symbols: Vec<Arc<str>>,
    conducts: Vec<Arc<Conduct>>,
    /// What was found out that should be known when reading the report.
    pub(crate) remarks: Vec<String>,
}

impl Plan {
    pub(crate) fn new(
        scenario: Scenario,
        target: Target,
        symbols: Vec<Arc<str>>,
        remarks: Vec<String>,
    ) -> Self {
        let speaks = scenario.target.speaks;
        let request = |group: &Group| {
            wire::handshake_request(&target.host, &target.path, subprotocol(speaks, group))
        };
        Self {
            requests: scenario.clients.iter().map(request).collect(),
            target,
            symbols,
            conducts: scenario.clients.iter().map(|group| Conduct::of(group).into()).collect(),
            scenario,
            remarks,
        }
    }

    /// From where client `number` connects to the target.
    pub(crate) fn route(&self, number: u32) -> Route {
        Route {
            target: self.target.address,
            source: self.target.sources.of(number),
            receive_buffer_bytes: self.scenario.run.receive_buffer_bytes,
        }
    }

    /// A speaker for a client of a group. `drawn` are positions of its symbols.
    pub(crate) fn speaker(
        &self,
        number: u32,
        group: usize,
        drawn: &[usize],
        sampled_at_us: i64,
    ) -> Box<dyn Speaker> {
        let settings = &self.scenario.clients[group];
        let drawn = drawn.iter().map(|at| &self.symbols[*at]);
        let names = || drawn.clone().map(|name| name.to_string()).collect::<Vec<_>>();
        match self.scenario.target.speaks {
            Speaks::Tickgate if settings.hostile => Box::new(Hostile::new(number)),
            Speaks::Tickgate => {
                let conduct = Arc::clone(&self.conducts[group]);
                let symbols = if settings.wildcard {
                    vec![WILDCARD.into()]
                } else {
                    drawn.cloned().collect()
                };
                Box::new(Tickgate::new(conduct, symbols, sampled_at_us))
            }
            Speaks::Stamped => Box::new(Stamped::new(names())),
            Speaks::Nats => Box::new(Nats::new(names())),
            Speaks::Centrifugo => Box::new(Centrifugo::new(names())),
        }
    }
}

/// What the upgrade asks to speak.
pub(crate) fn subprotocol(speaks: Speaks, group: &Group) -> Option<&'static str> {
    match speaks {
        Speaks::Tickgate => Some(group.format.dialect().subprotocol()),
        Speaks::Stamped | Speaks::Nats | Speaks::Centrifugo => None,
    }
}
