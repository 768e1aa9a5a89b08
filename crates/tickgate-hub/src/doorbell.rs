//! Wakes a worker at most once for each time it went to sleep.
//!
//! | from | [`Doorbell::arm`] | [`Doorbell::ring`] | [`Doorbell::disarm`] |
//! |---|---|---|---|
//! | idle | armed, may sleep | rung | idle |
//! | armed | armed, may sleep | rung, **wakes** | idle |
//! | rung | idle, must look again | rung | idle |
//!
//! Every transition is one read-modify-write, which acts on the newest state, so none can be
//! missed: a publisher marks its dirty bits and then rings; a worker drains them and then arms. If
//! the ring comes first, arming fails and the worker looks again (and sees the bits: its operation
//! acquires what the ring released). If arming comes first, the ring finds it armed and wakes.

use std::{fmt, sync::OnceLock};

use crate::sync::{AtomicU8, Ordering};

const IDLE: u8 = 0;
const ARMED: u8 = 1;
const RUNG: u8 = 2;

/// One worker's bell.
pub struct Doorbell {
    state: AtomicU8,
    wake: OnceLock<Wake>,
}

/// How to wake the worker's thread.
type Wake = Box<dyn Fn() + Send + Sync>;

impl Doorbell {
    pub(crate) fn new() -> Self {
        Self { state: AtomicU8::new(IDLE), wake: OnceLock::new() }
    }

    /// How to wake the worker's thread; set once, before the first [`Doorbell::arm`]. The first one
    /// stays. It is called by the publisher, so it must be quick and must not block.
    pub fn install(&self, wake: Box<dyn Fn() + Send + Sync>) {
        // A second one is dropped: a ring under way may be calling the first.
        let _ = self.wake.set(wake);
    }

    /// Worker, before sleeping: true when it may sleep; false when something came in: look again.
    pub fn arm(&self) -> bool {
        match self.state.compare_exchange(IDLE, ARMED, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) | Err(ARMED) => true,
            Err(_) => {
                self.disarm();
                false
            }
        }
    }

    /// Worker, after waking and before it looks: what is rung from here on is for the next arming.
    pub fn disarm(&self) {
        self.state.swap(IDLE, Ordering::AcqRel);
    }

    /// Publisher, after marking its dirty bits: wakes the worker if it was armed.
    pub fn ring(&self) {
        if self.state.swap(RUNG, Ordering::AcqRel) == ARMED
            && let Some(wake) = self.wake.get()
        {
            wake();
        }
    }
}

impl fmt::Debug for Doorbell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Doorbell").field("state", &self.state).finish_non_exhaustive()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    };

    use super::*;

    fn counted() -> (Doorbell, Arc<AtomicU32>) {
        let (bell, wakes) = (Doorbell::new(), Arc::new(AtomicU32::new(0)));
        let counter = Arc::clone(&wakes);
        bell.install(Box::new(move || {
            counter.fetch_add(1, Relaxed);
        }));
        (bell, wakes)
    }

    #[test]
    fn an_armed_bell_wakes_once() {
        let (bell, wakes) = counted();
        bell.ring();
        assert_eq!(wakes.load(Relaxed), 0, "nobody slept");
        assert!(!bell.arm(), "rung before: look again");
        assert!(bell.arm());
        assert!(bell.arm(), "armed already");
        bell.ring();
        bell.ring();
        assert_eq!(wakes.load(Relaxed), 1);
        bell.disarm();
        assert!(bell.arm());
        bell.disarm();
        bell.ring();
        assert_eq!(wakes.load(Relaxed), 1, "disarmed");
    }

    #[test]
    fn without_a_waker_ringing_only_remembers() {
        let bell = Doorbell::new();
        assert!(bell.arm());
        bell.ring();
        assert!(!bell.arm());
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use loom::{sync::Arc, thread};

    use super::*;
    use crate::sync::AtomicU64;

    #[test]
    fn loom_a_sleeper_is_woken_exactly_once_and_sees_what_was_rung_for() {
        loom::model(|| {
            let bell = Arc::new(Doorbell::new());
            let (value, wakes) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
            let counter = Arc::clone(&wakes);
            bell.install(Box::new(move || {
                counter.fetch_add(1, Ordering::AcqRel);
            }));
            let publishers: Vec<_> = [1, 2]
                .map(|bit| {
                    let (bell, value) = (Arc::clone(&bell), Arc::clone(&value));
                    thread::spawn(move || {
                        value.fetch_or(bit, Ordering::Relaxed);
                        bell.ring();
                    })
                })
                .into();
            // One round of a worker: look, then sleep if nothing came in since.
            let mut seen = value.load(Ordering::Relaxed);
            let mut armed = bell.arm();
            if !armed {
                seen = value.load(Ordering::Relaxed);
                assert_ne!(seen, 0, "rung, so there is something to see");
                armed = bell.arm();
            }
            for publisher in publishers {
                publisher.join().unwrap();
            }
            let woken = wakes.load(Ordering::Acquire);
            assert!(woken <= 1, "once per arming");
            if armed && seen != 3 {
                assert_eq!(woken, 1, "asleep with something unseen");
            }
            if !armed {
                assert_eq!(woken, 0);
            }
        });
    }
}
