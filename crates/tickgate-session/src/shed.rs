//! Shedding: when memory is short, the slowest sessions go first.

use std::cmp::Reverse;

use tickgate_protocol::close::CloseReason;

use crate::{
    engine::{Engine, SessionKey},
    transport::{Now, Transport},
};

impl<T: Transport> Engine<T> {
    /// Closes the `count` slowest sessions as [`CloseReason::Overloaded`]: first those whose socket
    /// has refused bytes for longest, then those that hold most memory.
    ///
    /// One whose last frame has left in part only ends without a close frame, because none can
    /// follow half a frame. Looks at each session once; fewer sessions than `count` all close.
    pub fn shed(&mut self, now: Now, count: usize) {
        let mut open: Vec<_> = self
            .sessions
            .iter()
            .filter(|(_, session)| session.closing.is_none())
            .map(|(position, session)| {
                let key = SessionKey::new(position, session.generation);
                let held = self.footprint(key).map_or(0, |footprint| footprint.total());
                Reverse((session.outbound.waiting_us(now.monotonic_us), held, position))
            })
            .collect();
        let count = count.min(open.len());
        if count < open.len() {
            open.select_nth_unstable(count);
        }
        for Reverse((_, _, position)) in open.into_iter().take(count) {
            if self.sessions[position].outbound.is_mid_frame() {
                self.end(now, position, CloseReason::Overloaded);
            } else {
                self.begin_close(now, position, CloseReason::Overloaded);
            }
        }
    }
}
