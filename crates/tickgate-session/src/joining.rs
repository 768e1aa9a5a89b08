//! What one `subscribe` collects, so that many names cost one sorting: its new subscriptions, which
//! join their groups together, and where an earlier connection left their tapes.

use std::collections::BTreeMap;

use tickgate_protocol::command::Resume;

use crate::subscription::Subscription;

/// The names of one `subscribe`, until they are put where they belong. No more of them than the
/// command has, and gone when it has been answered.
#[derive(Debug, Default)]
pub(crate) struct Joining {
    /// New subscriptions, each once, in the order of the command.
    members: Vec<Subscription>,
    /// Where a symbol stands among them.
    places: BTreeMap<u32, usize>,
    /// Every symbol that was named and may owe a snapshot, in the order of the command.
    named: Vec<u32>,
    /// `*` has been carried out: a second one has nothing left to do.
    pub(crate) is_covered: bool,
}

impl Joining {
    /// New subscriptions so far.
    pub(crate) fn count(&self) -> usize {
        self.members.len()
    }

    /// A new subscription, where its name came before in this command.
    pub(crate) fn get(&self, symbol: u32) -> Option<Subscription> {
        self.places.get(&symbol).map(|at| self.members[*at])
    }

    /// Adds a new subscription, or what has become of it.
    pub(crate) fn put(&mut self, member: Subscription) {
        let at = *self.places.entry(member.symbol).or_insert(self.members.len());
        match self.members.get_mut(at) {
            Some(known) => *known = member,
            None => self.members.push(member),
        }
    }

    /// A symbol was named that may owe a snapshot.
    pub(crate) fn name(&mut self, symbol: u32) {
        self.named.push(symbol);
    }

    /// Takes what was collected: new subscriptions, and all that were named.
    pub(crate) fn take(&mut self) -> (Vec<Subscription>, Vec<u32>) {
        self.places.clear();
        (std::mem::take(&mut self.members), std::mem::take(&mut self.named))
    }
}

/// Where an earlier connection left the tapes, by name.
#[derive(Debug)]
pub(crate) struct Tapes<'a> {
    pub(crate) epoch: u64,
    sequences: BTreeMap<&'a str, u64>,
}

impl<'a> Tapes<'a> {
    pub(crate) fn new(resume: &'a Resume) -> Self {
        let sequences = resume.trades.iter().map(|(name, sequence)| (name.as_str(), *sequence));
        Self { epoch: resume.epoch, sequences: sequences.collect() }
    }

    pub(crate) fn sequence(&self, name: &str) -> Option<u64> {
        self.sequences.get(name).copied()
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &'a str> {
        self.sequences.keys().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_comes_twice_joins_once_as_it_came_last() {
        let mut joining = Joining::default();
        for (symbol, own_throttle_ms) in [(9, 0), (4, 0), (9, 50)] {
            joining.put(Subscription { own_throttle_ms, ..Subscription::new(symbol) });
            joining.name(symbol);
        }
        assert_eq!(joining.get(9).map(|member| member.own_throttle_ms), Some(50));
        assert!(joining.get(1).is_none());
        let (members, named) = joining.take();
        assert_eq!(members.iter().map(|member| member.symbol).collect::<Vec<_>>(), [9, 4]);
        assert_eq!(named, [9, 4, 9]);
        assert_eq!(joining.count(), 0);
        assert!(joining.get(9).is_none());
    }
}
