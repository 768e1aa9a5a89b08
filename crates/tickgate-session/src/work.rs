//! What commands cost: members looked at, compared or moved, entries of `owed`, and names looked up
//! in the directory. Counted in tests, so that they can say it without a clock.

use tickgate_hub::Hub;
use tickgate_protocol::symbol::SymbolIndex;

#[cfg(test)]
thread_local! {
    static LOOKED_AT: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
    static LOOKED_UP: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

pub(crate) fn look_at(members: usize) {
    #[cfg(test)]
    LOOKED_AT.set(LOOKED_AT.get() + members);
    let _ = members;
}

/// Looks names up in the hub's directory.
pub(crate) fn look_up(hub: &Hub, names: &[String]) -> Vec<Option<SymbolIndex>> {
    #[cfg(test)]
    LOOKED_UP.set(LOOKED_UP.get() + names.len());
    hub.lookup_all(names)
}

/// Names looked up since the last call, on this thread.
#[cfg(test)]
pub(crate) fn take_names() -> usize {
    LOOKED_UP.replace(0)
}

/// Since the last call, on this thread.
#[cfg(test)]
pub(crate) fn take() -> usize {
    LOOKED_AT.replace(0)
}
