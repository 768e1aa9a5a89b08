//! What changed in the hub since the last look, and whose concern it is.

use crate::{engine::Engine, transport::Transport};

impl<T: Transport> Engine<T> {
    /// Takes the hub's dirty bits and marks the sessions they concern.
    pub(crate) fn collect(&mut self) {
        let shared = self.shared.clone();
        let hub = shared.hub();
        let view = hub.worker(self.worker);
        if view.take_notice() {
            let positions: Vec<u32> = self.sessions.iter().map(|(at, _)| at as u32).collect();
            for position in positions {
                self.sessions[position as usize].notice_due = true;
                self.make_ready(position, true);
            }
        }
        let symbols = hub.symbol_count();
        view.drain_dirty(|word, bits| self.changed(word, bits, symbols));
        self.dirty_statuses.clear();
        let dirty_statuses = &mut self.dirty_statuses;
        view.drain_status(|word, bits| {
            if dirty_statuses.len() <= word {
                dirty_statuses.resize(word + 1, 0);
            }
            dirty_statuses[word] |= bits;
        });
        if !self.dirty_statuses.is_empty() {
            self.statuses_changed();
        }
    }

    /// Marks real-time subscribers and wildcards of the symbols of one word.
    fn changed(&mut self, word: usize, mut bits: u64, symbols: u32) {
        for at in 0..self.schedule.interest.wildcards.len() {
            let position = self.schedule.interest.wildcards[at];
            let session = &mut self.sessions[position as usize];
            let Some(wildcard) = session.portfolio.wildcard.as_mut() else { continue };
            wildcard.grow(symbols);
            wildcard.mark(word, bits);
            if wildcard.group.is_realtime() {
                wildcard.group.state_due = true;
                self.make_ready(position, true);
            }
        }
        while bits != 0 {
            let symbol = word as u32 * 64 + bits.trailing_zeros();
            bits &= bits - 1;
            for at in 0..self.schedule.interest.of(symbol).len() {
                let position = self.schedule.interest.of(symbol)[at];
                let groups = &mut self.sessions[position as usize].portfolio.groups;
                if let Some(group) = groups.iter_mut().find(|group| group.is_realtime()) {
                    group.mark(symbol);
                }
                self.make_ready(position, true);
            }
        }
    }

    /// A status leaves at once, whatever the throttle, so every subscriber is looked for. It is
    /// rare: the cost is one walk over the worker's subscriptions for all changes of a pass.
    fn statuses_changed(&mut self) {
        let dirty = std::mem::take(&mut self.dirty_statuses);
        let concerns = |symbol: u32| {
            dirty.get(symbol as usize / 64).is_some_and(|bits| bits >> (symbol % 64) & 1 == 1)
        };
        let mut concerned = Vec::new();
        for (position, session) in &mut self.sessions {
            let portfolio = &session.portfolio;
            let named = portfolio.groups.iter().flat_map(|group| &group.members);
            if portfolio.wildcard.is_some() || named.into_iter().any(|each| concerns(each.symbol)) {
                session.status_due = true;
                concerned.push(position as u32);
            }
        }
        for position in concerned {
            self.make_ready(position, true);
        }
        self.dirty_statuses = dirty;
    }
}
