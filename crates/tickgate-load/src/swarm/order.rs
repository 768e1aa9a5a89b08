//! What a swarm is told, and what it tells.

use std::{sync::Arc, time::Duration};

use hdrhistogram::Histogram;

use crate::{measure::Tally, process::Scheduled, report::ViolationReport, speaker::Seen};

/// What the controller asks of a swarm.
#[derive(Debug)]
pub(crate) enum Order {
    /// More clients of a group, numbered from `first`; they connect one after the other.
    Grow {
        /// Position of the group.
        group: usize,
        /// Number of the first.
        first: u32,
        /// How many.
        count: u32,
    },
    /// Connections break without a word and come back.
    Disconnect {
        /// Positions of groups.
        groups: Vec<usize>,
        /// Share of each group's clients.
        share: f64,
        /// The last is back within this.
        back_within: Duration,
    },
    /// Clients stop reading for a while.
    Stall {
        /// Positions of groups.
        groups: Vec<usize>,
        /// Share of each group's clients.
        share: f64,
        /// For how long.
        length: Duration,
    },
    /// So many healthy clients ask for everything as it happens and note it; answered by
    /// [`Note::Comparing`].
    BeginComparison {
        /// How many.
        clients: u32,
    },
    /// They stop noting; answered by [`Note::Compared`].
    EndComparison,
    /// Drop all connections and end.
    Stop,
}

/// What a swarm tells.
#[derive(Debug)]
pub(crate) enum Note {
    /// A second is over.
    Interval(Box<Interval>),
    /// Symbols of the clients that compare.
    Comparing(Vec<Arc<str>>),
    /// What each noted, by the client's number, and violations that were not told yet.
    Compared(Vec<(u32, Vec<Seen>)>, Vec<ViolationReport>),
    /// The thread cannot go on.
    Failed(anyhow::Error),
}

/// What a swarm received in a second, or in several when the controller did not take it in time.
#[derive(Debug)]
pub(crate) struct Interval {
    /// The thread.
    pub(crate) thread: usize,
    /// The second since the run began that is over, and all before it that were not told yet.
    pub(crate) through: u64,
    /// Of each group.
    pub(crate) groups: Vec<GroupInterval>,
    /// What the scheduler gave the thread, where the kernel says.
    pub(crate) scheduled: Option<Scheduled>,
    /// How long it was by the clock.
    pub(crate) length: Duration,
    /// How long what had arrived may have waited to be read, microseconds.
    pub(crate) delay_us: Histogram<u64>,
    /// The first violations in full; `at_s` counts from the run's beginning.
    pub(crate) violations: Vec<ViolationReport>,
}

/// A group's part of an interval.
#[derive(Debug)]
pub(crate) struct GroupInterval {
    /// What was measured.
    pub(crate) tally: Tally,
    /// Clients there are.
    pub(crate) clients: u32,
    /// Clients that are ready at its end.
    pub(crate) ready: u32,
    /// Clients of these that have heard nothing for longer than a heartbeat, though they listen.
    pub(crate) unheard: u32,
}
