//! One session worker's view of the hub: what changed since it last looked, and how it is woken.

use crate::{
    dirty::{DirtyBits, Touched},
    doorbell::Doorbell,
    sync::{AtomicBool, Ordering},
};

/// One worker's dirty bits and doorbell. On cache lines of its own, so that draining one worker's
/// does not slow another's.
#[derive(Debug)]
#[repr(align(128))]
pub struct WorkerView {
    /// Rung once per batch that touched anything.
    pub doorbell: Doorbell,
    dirty: DirtyBits,
    /// Status and definition changes, which are rare.
    status: DirtyBits,
    notice: AtomicBool,
}

impl WorkerView {
    pub(crate) fn new(symbols: usize) -> Self {
        Self {
            doorbell: Doorbell::new(),
            dirty: DirtyBits::new(symbols),
            status: DirtyBits::new(symbols),
            notice: AtomicBool::new(false),
        }
    }

    /// Bytes one view takes.
    pub(crate) const fn memory_bytes(symbols: usize) -> usize {
        size_of::<Self>() + 2 * DirtyBits::memory_bytes(symbols)
    }

    /// Takes the dirty bits: calls `visit(word_index, bits)` for each word that has some; the
    /// symbol is `word_index * 64 + bit`. What is read of a symbol after its bit was taken is at
    /// least as new as what set the bit.
    pub fn drain_dirty(&self, visit: impl FnMut(usize, u64)) {
        self.dirty.drain(visit);
    }

    /// The same for symbols whose status or definition changed, or that are new.
    pub fn drain_status(&self, visit: impl FnMut(usize, u64)) {
        self.status.drain(visit);
    }

    /// True once after the feed's status or the epoch changed.
    pub fn take_notice(&self) -> bool {
        self.notice.swap(false, Ordering::AcqRel)
    }

    /// Publisher: marks what a batch touched, then rings. In this order: whoever is woken, or
    /// refused to sleep, finds the marks.
    pub(crate) fn tell(&self, dirty: &Touched, status: &Touched, notice: bool) {
        self.status.mark(status);
        self.dirty.mark(dirty);
        if notice {
            // A read-modify-write, so that a worker's swap either takes it or comes before it.
            self.notice.swap(true, Ordering::AcqRel);
        }
        self.doorbell.ring();
    }
}
