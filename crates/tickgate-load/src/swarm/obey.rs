//! Carrying out what the controller orders.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use rand::RngExt;

use super::{Note, Order, Swarm};
use crate::{
    client::{Client, State},
    timers::Timer,
};

impl Swarm {
    /// Carries out what was ordered; false when it is to stop.
    pub(super) fn obey(&mut self) -> Result<bool> {
        while let Ok(order) = self.orders.try_recv() {
            match order {
                Order::Grow { group, first, count } => self.grow(group, first, count),
                Order::Disconnect { groups, share, back_within } => {
                    for at in self.some_of(&groups, share) {
                        self.clients[at].break_off();
                        let wait = back_within.mul_f64(self.random.random());
                        self.set_in(at, Timer::Connect, wait);
                    }
                }
                Order::Stall { groups, share, length } => {
                    for at in self.some_of(&groups, share) {
                        self.clients[at].stall(true);
                        self.set_in(at, Timer::Resume, length);
                    }
                }
                Order::BeginComparison { clients } => self.begin_comparison(clients)?,
                Order::EndComparison => {
                    let compared = std::mem::take(&mut self.compared).into_iter().map(|at| {
                        let client = &mut self.clients[at];
                        (client.number, client.speaker.end_comparison())
                    });
                    let note = Note::Compared(
                        compared.collect(),
                        std::mem::take(&mut self.own.violations),
                    );
                    self.notes.send(note).context("nobody listens")?;
                }
                Order::Stop => return Ok(false),
            }
        }
        Ok(true)
    }

    /// The first so many clients of each group that have a connection to lose.
    fn some_of(&self, groups: &[usize], share: f64) -> Vec<usize> {
        let of = |group: usize| {
            let members = self.clients.iter().enumerate().filter(move |(_, c)| c.group == group);
            let members: Vec<usize> = members.map(|(at, _)| at).collect();
            let count = (members.len() as f64 * share).round() as usize;
            members.into_iter().take(count)
        };
        let chosen = groups.iter().flat_map(|group| of(*group));
        chosen.filter(|at| self.clients[*at].state == State::Ready).collect()
    }

    fn grow(&mut self, group: usize, first: u32, count: u32) {
        let run = &self.plan.scenario.run;
        let rate = run.connects_per_second / f64::from(run.threads);
        let interval_us = (1e6 / rate) as i64;
        self.next_connect_us = self.next_connect_us.max(self.clock.unix_us());
        for number in first..first + count {
            let speaker = self.speaker(number, group);
            self.clients.push(Client::new(number, group, speaker));
            let at = self.clients.len() - 1;
            let at_us = self.next_connect_us;
            self.set(at, Timer::Connect, at_us);
            self.next_connect_us += interval_us;
        }
    }

    fn begin_comparison(&mut self, clients: u32) -> Result<()> {
        let groups = &self.plan.scenario.clients;
        let suitable = self.clients.iter().enumerate().filter(|(_, client)| {
            let group = &groups[client.group];
            client.state == State::Ready && group.is_healthy() && !group.wildcard
        });
        self.compared = suitable.map(|(at, _)| at).take(clients as usize).collect();
        let mut symbols = BTreeSet::new();
        for at in self.compared.clone() {
            self.with(at, |client, _, _, tally| {
                client.say(tally, |speaker, out| symbols.extend(speaker.begin_comparison(out)))
            });
        }
        let symbols = symbols.into_iter().collect();
        self.notes.send(Note::Comparing(symbols)).context("nobody listens")
    }
}
