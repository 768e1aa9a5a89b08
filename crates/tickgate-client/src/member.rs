//! A subscription, from the side of the connection: what it wants and what waits for it.

use std::collections::HashMap;

use tickgate_protocol::{
    channel::{Channel, Channels},
    reply::Rejected,
    symbol::{WILDCARD, check_name},
};
use tokio::sync::oneshot;

use crate::{
    error::{CommandError, Invalid},
    interest::Interest,
    mailbox::{Mailbox, Mark},
    update::Symbol,
};

/// How the first subscribe ended: the symbols that cannot be had, or why none can.
pub(crate) type Answer = Result<Vec<Rejected>, CommandError>;

/// A subscription.
#[derive(Debug)]
pub(crate) struct Member {
    /// Names in the order given, each once; the wildcard may be among them.
    pub(crate) symbols: Vec<Symbol>,
    pub(crate) channels: Channels,
    pub(crate) throttle_ms: Option<u32>,
    pub(crate) mailbox: Mailbox,
    /// Slots by name; of a wildcard those of every symbol defined so far.
    slots: HashMap<Symbol, usize>,
    pub(crate) wildcard: bool,
    /// Symbols of `symbols` that were asked for on this connection.
    pub(crate) asked: usize,
    /// Subscribes whose `ready` has not come.
    pub(crate) awaited: Vec<i64>,
    /// Whether `ready` was told on this connection.
    pub(crate) is_ready: bool,
    /// Told once, by the first subscribe.
    pub(crate) answer: Option<oneshot::Sender<Answer>>,
    pub(crate) rejected: Vec<Rejected>,
}

impl Member {
    /// # Errors
    /// [`Invalid`] for names and channels that no gateway would take.
    pub(crate) fn new(
        interest: &Interest,
        answer: oneshot::Sender<Answer>,
    ) -> Result<Self, Invalid> {
        let throttle_ms = interest.throttle_ms()?;
        if interest.channels.is_empty() {
            let (field, rule) = ("channels", "must have one at least");
            return Err(Invalid { field, rule, found: "none".into() });
        }
        let mut member = Self {
            symbols: Vec::new(),
            channels: interest.channels,
            throttle_ms,
            mailbox: Mailbox::new(interest.capacity),
            slots: HashMap::new(),
            wildcard: false,
            asked: 0,
            awaited: Vec::new(),
            is_ready: false,
            answer: Some(answer),
            rejected: Vec::new(),
        };
        for name in &interest.symbols {
            member.add(name)?;
        }
        if member.symbols.is_empty() {
            let (field, rule) = ("symbols", "must name one at least");
            return Err(Invalid { field, rule, found: "none".into() });
        }
        Ok(member)
    }

    fn add(&mut self, name: &str) -> Result<(), Invalid> {
        let symbol: Symbol = name.into();
        if name == WILDCARD {
            if !self.wildcard {
                self.wildcard = true;
                self.symbols.push(symbol);
            }
            return Ok(());
        }
        check_symbol(name)?;
        if !self.slots.contains_key(name) {
            let slot = self.mailbox.add_slot(symbol.clone());
            self.slots.insert(symbol.clone(), slot);
            self.symbols.push(symbol);
        }
        Ok(())
    }

    /// The slot of a symbol, if this subscription wants it; a wildcard's is made.
    pub(crate) fn slot(&mut self, symbol: &Symbol) -> Option<usize> {
        if let Some(slot) = self.slots.get(symbol) {
            return Some(*slot);
        }
        if !self.wildcard {
            return None;
        }
        let slot = self.mailbox.add_slot(symbol.clone());
        self.slots.insert(symbol.clone(), slot);
        Some(slot)
    }

    /// True when the symbol is named here, or is the wildcard and that is.
    pub(crate) fn names(&self, name: &str) -> bool {
        if name == WILDCARD { self.wildcard } else { self.is_named(name) }
    }

    /// A wildcard has slots of symbols that it does not name.
    fn is_named(&self, name: &str) -> bool {
        self.slots.contains_key(name)
            && (!self.wildcard || self.symbols.iter().any(|symbol| &**symbol == name))
    }

    pub(crate) fn wants(&self, channel: Channel) -> bool {
        self.channels.has(channel)
    }

    /// A symbol that was rejected before anything was told of it is wanted no more.
    pub(crate) fn remove(&mut self, name: &str) {
        if let Some(position) = self.symbols.iter().position(|symbol| &**symbol == name) {
            self.symbols.remove(position);
            self.asked -= usize::from(position < self.asked);
            self.wildcard &= name != WILDCARD;
            self.slots.remove(name);
        }
    }

    /// Tells `ready` once on a connection, when nothing is owed any more.
    pub(crate) fn tell_if_ready(&mut self, frame: u64) {
        if !self.is_ready && self.asked >= self.symbols.len() && self.awaited.is_empty() {
            self.is_ready = true;
            self.mailbox.mark(Mark::Ready, frame);
        }
    }

    /// Everything is to be asked for again.
    pub(crate) fn begin_connection(&mut self) {
        self.asked = 0;
        self.awaited.clear();
        self.is_ready = false;
        self.mailbox.begin_connection();
    }
}

/// # Errors
/// [`Invalid`] for what can name no symbol.
pub(crate) fn check_symbol(name: &str) -> Result<(), Invalid> {
    let rule = "a name is 1 to 32 bytes of printable ASCII without space, quote, backslash and \
                asterisk";
    let invalid = |_| Invalid { field: "symbols", rule, found: name.into() };
    check_name(name).map_err(invalid)
}
