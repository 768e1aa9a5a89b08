//! When something held a connection up, and what may therefore be late.

/// Stretches of time, oldest first, the last one perhaps without an end yet.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stretches {
    all: Vec<(u64, u64)>,
}

impl Stretches {
    pub(crate) fn begin(&mut self, now_us: u64) {
        if self.all.last().is_none_or(|last| last.1 != u64::MAX) {
            self.all.push((now_us, u64::MAX));
        }
    }

    pub(crate) fn end(&mut self, now_us: u64) {
        if let Some(last) = self.all.last_mut()
            && last.1 == u64::MAX
        {
            last.1 = now_us;
        }
    }

    pub(crate) fn overlaps(&self, from_us: u64, to_us: u64) -> bool {
        self.all.iter().rev().any(|(begin, end)| *begin <= to_us && from_us <= *end)
    }

    /// True when some time inside the range lies inside a stretch. A hold that begins with the
    /// frame that ends the range did not delay it.
    fn covers_some_of(&self, from_us: u64, to_us: u64) -> bool {
        self.all.iter().rev().any(|(begin, end)| *begin < to_us && from_us < *end)
    }

    /// When the last stretch that began before `to_us` ended: 0 without one, `u64::MAX` if it has
    /// not.
    pub(crate) fn last_end(&self, to_us: u64) -> u64 {
        let past = self.all.iter().rev().find(|(begin, _)| *begin < to_us);
        past.map_or(0, |(_, end)| *end)
    }
}

/// What can hold a connection up.
#[derive(Debug, Clone, Default)]
pub(crate) struct Holds {
    /// The transport did not take everything.
    pub(crate) socket: Stretches,
    /// A byte budget was in force.
    pub(crate) budget: Stretches,
    /// A credit was in force.
    pub(crate) credit: Stretches,
    /// The credit in force was used up.
    pub(crate) starved: Stretches,
    /// The engine was not called.
    pub(crate) load: Stretches,
}

/// Cause bits of a frame.
pub(crate) mod cause {
    pub(crate) const SOCKET: u64 = 1;
    pub(crate) const BUDGET: u64 = 2;
    pub(crate) const CREDIT: u64 = 4;
    pub(crate) const LOAD: u64 = 8;
}

impl Holds {
    /// True when a budget was in force at some time in the range, whose delays depend on bytes, or
    /// the engine was not called: times are not judged then.
    pub(crate) fn limited(&self, from_us: u64, to_us: u64) -> bool {
        self.budget.overlaps(from_us, to_us) || self.load.overlaps(from_us, to_us)
    }

    /// When frames could leave again, counting back from `to_us`: the end of the last blocked
    /// socket or used-up credit, 0 without one, `u64::MAX` while one lasts.
    pub(crate) fn open_since(&self, to_us: u64) -> u64 {
        let held_us = self.socket.last_end(to_us).max(self.starved.last_end(to_us));
        held_us.max(self.load.last_end(to_us))
    }

    /// The same, counting a budget in force as a hold too.
    pub(crate) fn free_since(&self, to_us: u64) -> u64 {
        self.open_since(to_us).max(self.budget.last_end(to_us))
    }

    /// Bits of what could have held up something that waited through the range.
    pub(crate) fn possible(&self, from_us: u64, to_us: u64) -> u64 {
        [
            (&self.socket, cause::SOCKET),
            (&self.budget, cause::BUDGET),
            (&self.credit, cause::CREDIT),
        ]
        .into_iter()
        .filter(|(hold, _)| hold.overlaps(from_us, to_us))
        .fold(0, |bits, (_, bit)| bits | bit)
    }

    /// True when the socket or the credit certainly held things up in the range.
    pub(crate) fn certain(&self, from_us: u64, to_us: u64) -> bool {
        [&self.socket, &self.starved].iter().any(|hold| hold.covers_some_of(from_us, to_us))
    }
}
