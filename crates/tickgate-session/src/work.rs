//! What commands cost: members looked at, compared or moved, and entries of `owed`. Counted in
//! tests, so that they can say it without a clock.

#[cfg(test)]
thread_local! {
    static LOOKED_AT: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

pub(crate) fn look_at(members: usize) {
    #[cfg(test)]
    LOOKED_AT.set(LOOKED_AT.get() + members);
    let _ = members;
}

/// Since the last call, on this thread.
#[cfg(test)]
pub(crate) fn take() -> usize {
    LOOKED_AT.replace(0)
}
