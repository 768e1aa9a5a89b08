//! What a session holds: its memory, and what it has not sent.
//!
//! Memory has a formula in subscriptions and limits; time, rate and slowness are not in it:
//!
//! | part | at most |
//! |---|---|
//! | `waiting` | `frame_limit_bytes`, twice `control_limit_bytes` and one reply, one read (4 KiB) |
//! | `subscriptions` | twice 76 bytes a name (56 of it the subscription), 72 a symbol covered by `*`; a group an interval |
//! | of them, bar channels | 40 bytes, and twice 48 a symbol that has some |
//! | `owed` | 16 bytes for each name and each of 256 `ready`, rounded up to a power of two |
//!
//! Twice, because vectors double. The session itself, which is of fixed size, comes on top, and its
//! parser while it holds one.

use crate::{
    engine::{Engine, SessionKey},
    group::{Group, Moved},
    session::{Owed, Session},
    subscription::Subscription,
    transport::Transport,
};

/// Memory one session has allocated, bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Footprint {
    /// The rest of a frame, replies, and input that waits for replies to leave.
    pub waiting: usize,
    /// Subscriptions, their cursors, and which of them to look at.
    pub subscriptions: usize,
    /// Snapshots and readies to come.
    pub owed: usize,
}

impl Footprint {
    /// All of it.
    #[must_use]
    pub const fn total(&self) -> usize {
        self.waiting + self.subscriptions + self.owed
    }
}

impl<T: Transport> Engine<T> {
    /// Memory of an open session.
    #[must_use]
    pub fn footprint(&self, key: SessionKey) -> Option<Footprint> {
        Some(self.footprint_of(&self.sessions[self.position_of(key)?]))
    }

    pub(crate) fn footprint_of(&self, session: &Session<T>) -> Footprint {
        let portfolio = &session.portfolio;
        let groups: usize = portfolio.groups.iter().map(group_bytes).sum();
        let places = portfolio.groups.capacity() * size_of::<Group>();
        let wildcard = portfolio.wildcard.as_ref();
        let wildcard = wildcard.map_or(0, |each| group_bytes(&each.group) + each.mark_bytes());
        let bars = portfolio.bars.as_ref().map_or(0, |bars| bars.bytes());
        Footprint {
            waiting: session.outbound.allocated() + session.unread.capacity(),
            subscriptions: groups + places + wildcard + bars,
            owed: session.owed.capacity() * size_of::<Owed>(),
        }
    }

    /// Counts what a session that closes was not sent.
    pub(crate) fn count_pending(&mut self, position: usize) {
        let standing = self.sessions[position].portfolio.standing(self.shared.hub());
        self.stats.pending += standing.pending;
        self.stats.left(standing.heads, 0);
    }
}

fn group_bytes(group: &Group) -> usize {
    group.members.capacity() * size_of::<Subscription>()
        + group.changed.capacity() * size_of::<u32>()
        + group.moved.capacity() * size_of::<Moved>()
}

#[cfg(test)]
mod tests {
    use std::io;

    use tickgate_hub::{Hub, HubConfig};
    use tickgate_protocol::{channel::Channels, dialect::Dialect};

    use super::*;
    use crate::{
        bar_cursors::BarCursors, config::EngineConfig, engine::Shared, schedule::GroupId,
        transport::Now, wildcard::Wildcard,
    };

    struct Nowhere;

    impl Transport for Nowhere {
        fn try_read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::ErrorKind::WouldBlock.into())
        }

        fn try_write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::WouldBlock.into())
        }

        fn shutdown(&mut self) {}
    }

    fn group(members: usize, changed: usize, moved: usize) -> Group {
        let mut group = Group::new(GroupId::WILDCARD, 0);
        group.members = Vec::with_capacity(members);
        group.changed = Vec::with_capacity(changed);
        group.moved = Vec::with_capacity(moved);
        group
    }

    #[test]
    fn a_footprint_is_what_its_terms_add_up_to() {
        assert_eq!(group_bytes(&group(3, 5, 7)), 3 * 56 + 5 * 4 + 7 * 16);

        let hub = Hub::new(HubConfig::default(), 1).expect("the sizes are good");
        let shared = Shared::new(hub, EngineConfig::default()).expect("the settings are good");
        let now = Now { monotonic_us: 0, unix_us: 0 };
        let mut engine = Engine::new(shared, 0, 1, now);
        let key = engine.open(now, Nowhere, Dialect::Json, 1, Vec::with_capacity(300));
        let session = &mut engine.sessions[key.position()];
        session.outbound.control = Vec::with_capacity(1_000);
        session.owed.reserve_exact(11);
        session.portfolio.groups = Vec::with_capacity(3);
        session.portfolio.groups.extend([group(3, 5, 7), group(2, 3, 4)]);
        let mut wildcard = Wildcard::new(0);
        wildcard.grow(1_000);
        wildcard.group = group(13, 0, 0);
        let marks = wildcard.mark_bytes();
        assert!(marks >= 250);
        session.portfolio.wildcard = Some(Box::new(wildcard));
        let all: Vec<_> = (0..5).map(|symbol| (symbol, Channels::BARS)).collect();
        let mut bars = Box::<BarCursors>::default();
        bars.settle(&all, (Channels::NONE, 0), engine.shared.hub());
        session.portfolio.bars = Some(bars);
        let places = 3 * size_of::<Group>();
        let expected = Footprint {
            waiting: 1_000 + 300,
            subscriptions: 300 + (2 * 56 + 3 * 4 + 4 * 16) + places + 13 * 56 + marks + 40 + 5 * 48,
            owed: 11 * 16,
        };
        let footprint = engine.footprint(key).expect("it is open");
        assert_eq!(footprint, expected);
        assert_eq!(footprint.total(), 1_300 + expected.subscriptions + 176);
    }

    #[test]
    fn the_formula_states_the_sizes_there_are() {
        let subscription = size_of::<Subscription>();
        assert_eq!(subscription, 56);
        assert_eq!(subscription + size_of::<u32>() + size_of::<Moved>(), 76);
        assert_eq!(subscription + size_of::<Moved>(), 72);
        assert_eq!(size_of::<Owed>(), 16);
        assert_eq!(size_of::<BarCursors>(), 40);
    }

    #[test]
    fn a_session_stays_small_beside_its_subscriptions() {
        // The gateway's transport is two words.
        let session = size_of::<Session<[usize; 2]>>();
        assert!(session <= 456, "{session} bytes");
    }
}
