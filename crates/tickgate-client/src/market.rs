//! What is known, and who wants to know: frames come in, mailboxes fill. No I/O.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use tickgate_protocol::{
    book::Violation,
    channel::{Channel, Channels},
    command::ErrorCode,
    definition::Definition,
    entry::{Entry, Frame},
    number::ABSENT,
    reply::Welcome,
    symbol::{WILDCARD, WireId},
};
use tokio::time::Instant;

use crate::{
    books::Books,
    connection::ConnectionState,
    latest::Latest,
    mailbox::{Event, Mark, State, Taken},
    member::Member,
    stats::Stats,
    update::{FeedStatus, Joined, LossOrigin, Lost, Scale, Symbol, Update},
};

/// Number of a subscription within its client.
pub(crate) type MemberKey = u64;

/// Everything behind the client's lock.
#[derive(Debug)]
pub(crate) struct Market {
    books: Books,
    routes: HashMap<WireId, Route>,
    ids: HashMap<Symbol, WireId>,
    /// Where tapes were left by earlier connections of this epoch.
    heads: HashMap<Symbol, u64>,
    epoch: Option<u64>,
    members: BTreeMap<MemberKey, Member>,
    next_member: MemberKey,
    /// Symbols of subscriptions that were dropped, until the gateway was told.
    pub(crate) leaving: BTreeSet<Symbol>,
    connection: ConnectionState,
    /// The newest frame that carried something.
    data_frame: u64,
    pub(crate) stats: Stats,
    /// Processed frames are acknowledged.
    pub(crate) has_credit: bool,
}

/// Who is told of an id.
#[derive(Debug)]
struct Route {
    scale: Scale,
    listeners: Vec<(MemberKey, usize)>,
    /// The last sequence of the tape that was delivered.
    head: Option<u64>,
    status_sequence: u64,
}

/// What a symbol is to be subscribed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Want {
    pub(crate) channels: Channels,
    pub(crate) throttle_ms: Option<u32>,
}

impl Market {
    pub(crate) fn new() -> Self {
        Self {
            books: Books::new(),
            routes: HashMap::new(),
            ids: HashMap::new(),
            heads: HashMap::new(),
            epoch: None,
            members: BTreeMap::new(),
            next_member: 0,
            leaving: BTreeSet::new(),
            connection: ConnectionState::Connecting,
            data_frame: 0,
            stats: Stats::default(),
            has_credit: false,
        }
    }

    /// Takes a subscription in; what is known already is told to it at once.
    pub(crate) fn register(&mut self, mut member: Member) -> MemberKey {
        self.next_member += 1;
        let key = self.next_member;
        member.mailbox.mark(Mark::Connection, 0);
        if self.books.feed().is_some() {
            member.mailbox.mark(Mark::Feed, 0);
        }
        if member.wildcard {
            // Named symbols keep their own settings beside a wildcard: they take its channels.
            self.members.values_mut().for_each(|other| other.asked = 0);
        }
        let frame = self.books.frame_sequence();
        for route in self.routes.values_mut() {
            route.admit(key, &mut member, &self.books, frame);
        }
        self.members.insert(key, member);
        key
    }

    /// Lets a subscription go; the gateway is told by whoever drains [`Self::leaving`].
    pub(crate) fn remove(&mut self, key: MemberKey) {
        let Some(member) = self.members.remove(&key) else { return };
        self.stats.events_dropped += member.mailbox.dropped;
        for route in self.routes.values_mut() {
            route.listeners.retain(|(listener, _)| *listener != key);
        }
        for other in self.members.values_mut() {
            // Its pace may have been this one's.
            let shared = |symbol: &Symbol| other.names(symbol);
            if member.throttle_ms.is_some() && member.symbols.iter().any(shared) {
                other.asked = 0;
            }
        }
        self.leaving.extend(member.symbols);
    }

    pub(crate) fn member_mut(&mut self, key: MemberKey) -> Option<&mut Member> {
        self.members.get_mut(&key)
    }

    pub(crate) fn members_mut(&mut self) -> impl Iterator<Item = (MemberKey, &mut Member)> {
        self.members.iter_mut().map(|(key, member)| (*key, member))
    }

    pub(crate) fn stats(&self) -> Stats {
        let mut stats = self.stats;
        stats.events_dropped +=
            self.members.values().map(|member| member.mailbox.dropped).sum::<u64>();
        stats
    }

    /// What all subscriptions together want of a symbol, or of `*`.
    pub(crate) fn want(&self, name: &str) -> Option<Want> {
        let mut want: Option<Want> = None;
        for member in self.members.values().filter(|member| member.names(name)) {
            let known = want.get_or_insert(Want { channels: Channels::NONE, throttle_ms: None });
            known.channels = known.channels.with(member.channels);
            known.throttle_ms = known.throttle_ms.into_iter().chain(member.throttle_ms).min();
        }
        if let (Some(want), false) = (&mut want, name == WILDCARD) {
            let wildcards = self.members.values().filter(|member| member.wildcard);
            want.channels = wildcards.fold(want.channels, |all, one| all.with(one.channels));
        }
        want
    }

    /// Where a tape was left, if it can be resumed.
    pub(crate) fn head(&self, name: &str) -> Option<u64> {
        self.heads.get(name).copied()
    }

    /// All tapes that were left, by name.
    pub(crate) fn heads(&self) -> impl Iterator<Item = (&Symbol, u64)> {
        self.heads.iter().map(|(symbol, head)| (symbol, *head))
    }

    pub(crate) fn epoch(&self) -> Option<u64> {
        self.epoch
    }

    pub(crate) fn connection(&self) -> &ConnectionState {
        &self.connection
    }

    pub(crate) fn set_connection(&mut self, state: ConnectionState) {
        self.connection = state;
        let frame = self.books.frame_sequence();
        for member in self.members.values_mut() {
            member.mailbox.mark(Mark::Connection, frame);
        }
    }

    /// `welcome` was read. States of the same epoch stay on show; of another, all is void.
    pub(crate) fn begin_connection(&mut self, welcome: &Welcome, now: Instant) {
        self.books.begin(welcome.epoch, welcome.time_us, now);
        self.members.values_mut().for_each(Member::begin_connection);
        self.leaving.clear();
        self.data_frame = 0;
        let before = self.epoch.replace(welcome.epoch);
        if before.is_some_and(|before| before != welcome.epoch) {
            self.void();
        }
        self.stats.connections += 1;
        self.set_connection(ConnectionState::Connected {
            connections: self.stats.connections,
            session: welcome.session,
            epoch: welcome.epoch,
        });
    }

    /// The connection is over: notes where the tapes stand.
    pub(crate) fn end_connection(&mut self) {
        for (_, route) in self.routes.drain() {
            if let Some(head) = route.head {
                self.heads.insert(route.scale.symbol, head);
            }
        }
        self.ids.clear();
    }

    /// Takes a frame. One that breaks the protocol is not delivered, in whole or in part.
    pub(crate) fn apply(&mut self, frame: &Frame, now: Instant) -> Result<(), Violation> {
        self.books.apply(frame, now)?;
        self.stats.frames += 1;
        self.stats.entries += frame.entries.len() as u64;
        if !frame.entries.is_empty() {
            self.data_frame = frame.sequence;
        }
        for entry in &frame.entries {
            self.deliver(entry, frame);
        }
        Ok(())
    }

    /// The newest frame of which nothing waits for a consumer any more.
    pub(crate) fn processed_frame(&self) -> u64 {
        let earliest = self.members.values().filter_map(|member| member.mailbox.earliest_frame());
        earliest.min().map_or(self.data_frame, |frame| frame.saturating_sub(1).min(self.data_frame))
    }

    /// The next update of a subscription, by the newest values.
    pub(crate) fn take(&mut self, key: MemberKey) -> Option<Update> {
        loop {
            let taken = self.members.get_mut(&key)?.mailbox.take()?;
            match taken {
                Taken::Event(event) => return Some(event.into()),
                Taken::Mark(mark) => {
                    // Nothing to read: the value went with its connection or epoch.
                    if let Some(update) = self.read(key, mark) {
                        return Some(update);
                    }
                }
            }
        }
    }

    /// What is known of a symbol now.
    pub(crate) fn latest(&self, name: &str, now: Instant) -> Option<Latest> {
        self.books.latest(name, self.connection.is_connected(), now)
    }

    /// The gateway says what of a symbol follows no more; `channels` are void.
    pub(crate) fn forget(&mut self, name: &str, channels: Channels) {
        self.books.forget(name, channels);
        if channels.has(Channel::Trade) {
            self.heads.remove(name);
            if let Some(route) = self.ids.get(name).and_then(|id| self.routes.get_mut(id)) {
                route.head = None;
            }
        }
    }

    /// Names of all symbols defined now.
    pub(crate) fn known_symbols(&self) -> Vec<Symbol> {
        self.ids.keys().cloned().collect()
    }

    /// A symbol that was had before and is refused now.
    pub(crate) fn tell_rejected(&mut self, key: MemberKey, name: &str, code: ErrorCode) {
        let frame = self.books.frame_sequence();
        let Some(member) = self.members.get_mut(&key) else { return };
        let name: Symbol = name.into();
        if let Some(slot) = member.slot(&name) {
            member.mailbox.slots[slot].rejected = Some(code);
            member.mailbox.mark(Mark::Slot(slot, State::Rejected), frame);
        }
    }

    /// Looks again whether a subscription has been told everything.
    pub(crate) fn settle(&mut self, key: MemberKey) {
        let frame = self.books.frame_sequence();
        if let Some(member) = self.members.get_mut(&key) {
            member.tell_if_ready(frame);
        }
    }

    fn deliver(&mut self, entry: &Entry, frame: &Frame) {
        match entry {
            Entry::Definition(definition) => self.define(definition),
            Entry::Epoch { epoch } => {
                self.epoch = Some(*epoch);
                self.void();
            }
            Entry::Ready { command_id } => self.ready(*command_id),
            Entry::Status(status) => match status.id {
                None => {
                    for member in self.members.values_mut() {
                        member.mailbox.mark(Mark::Feed, frame.sequence);
                    }
                }
                Some(id) => {
                    let Some(route) = self.routes.get_mut(&id) else { return };
                    // Repeated as it was.
                    if status.status_sequence <= route.status_sequence {
                        return;
                    }
                    route.status_sequence = status.status_sequence;
                    self.push(id, None, frame.sequence, |scale| Event::status(scale, status));
                }
            },
            Entry::Quote(quote) => {
                self.mark(quote.id, Channel::Quote, State::Quote, frame.sequence);
            }
            Entry::Last(last) => self.mark(last.id, Channel::Last, State::Last, frame.sequence),
            Entry::Trade(trade) => {
                self.move_head(trade.id, trade.sequence);
                self.push(trade.id, Some(Channel::Trade), frame.sequence, |scale| {
                    Event::Trade(scale.trade(trade, frame.sent_at_us))
                });
            }
            Entry::TradeCorrection(correction) => {
                self.move_head(correction.id, correction.sequence);
                self.push(correction.id, Some(Channel::Trade), frame.sequence, |scale| {
                    Event::Correction(scale.correction(correction, frame.sent_at_us))
                });
            }
            Entry::TradesJoined { id, sequence, volume } => {
                self.join(*id, *sequence, *volume, frame.sequence);
            }
            Entry::TradesLost(lost) => {
                if let Ok(to) = u64::try_from(lost.to) {
                    self.move_head(lost.id, to);
                }
                self.push(lost.id, Some(Channel::Trade), frame.sequence, |scale| {
                    Event::Lost(scale.lost(lost))
                });
            }
            // The book has them; a subscription is told of none.
            Entry::Bar(_) => {}
        }
    }

    fn define(&mut self, definition: &Definition) {
        let frame = self.books.frame_sequence();
        let symbol: Symbol = Arc::from(&*definition.name);
        let retired = self.ids.insert(symbol.clone(), definition.id);
        let before = retired.and_then(|id| self.routes.remove(&id));
        let mut route = Route {
            scale: Scale::of(symbol.clone(), definition),
            listeners: Vec::new(),
            head: None,
            status_sequence: definition.status_sequence,
        };
        if let Some(before) = before {
            route.listeners = before.listeners;
            route.head = before.head;
            // A status that the definition overtakes is still told on its own.
            route.status_sequence = before.status_sequence;
        } else {
            for (key, member) in &mut self.members {
                if let Some(slot) = member.slot(&symbol) {
                    route.listeners.push((*key, slot));
                }
            }
        }
        for (key, slot) in &route.listeners {
            if let Some(member) = self.members.get_mut(key) {
                member.mailbox.mark(Mark::Slot(*slot, State::Definition), frame);
            }
        }
        self.routes.insert(definition.id, route);
    }

    fn join(&mut self, id: WireId, sequence: u64, volume: i64, frame: u64) {
        let Some(route) = self.routes.get_mut(&id) else { return };
        let left_at = self.heads.remove(&route.scale.symbol);
        route.head = Some(sequence);
        let resumed = volume == ABSENT;
        let gap = left_at.filter(|left_at| !resumed && *left_at < sequence);
        if let Some(left_at) = gap {
            self.push(id, Some(Channel::Trade), frame, |scale| {
                let (from, to) = (Some(left_at + 1), Some(sequence));
                let symbol = scale.symbol.clone();
                Event::Lost(Lost { symbol, from, to, size: None, origin: LossOrigin::Resume })
            });
        }
        self.push(id, Some(Channel::Trade), frame, |scale| {
            let (symbol, volume) = (scale.symbol.clone(), scale.at_size(volume));
            Event::Joined(Joined { symbol, sequence, volume, resumed })
        });
    }

    fn move_head(&mut self, id: WireId, sequence: u64) {
        if let Some(route) = self.routes.get_mut(&id) {
            route.head = Some(sequence);
        }
    }

    fn mark(&mut self, id: WireId, channel: Channel, state: State, frame: u64) {
        let Some(route) = self.routes.get(&id) else { return };
        for (key, slot) in &route.listeners {
            let member = self.members.get_mut(key).filter(|member| member.wants(channel));
            if let Some(member) = member {
                member.mailbox.mark(Mark::Slot(*slot, state), frame);
            }
        }
    }

    fn push(
        &mut self,
        id: WireId,
        channel: Option<Channel>,
        frame: u64,
        event: impl Fn(&Scale) -> Event,
    ) {
        let Some(route) = self.routes.get(&id) else { return };
        for (key, slot) in &route.listeners {
            let Some(member) = self.members.get_mut(key) else { continue };
            if channel.is_none_or(|channel| member.wants(channel)) {
                member.mailbox.push(*slot, event(&route.scale), frame);
            }
        }
    }

    fn ready(&mut self, id: Option<i64>) {
        let frame = self.books.frame_sequence();
        for member in self.members.values_mut() {
            let awaited = member.awaited.len();
            member.awaited.retain(|awaited| Some(*awaited) != id);
            if awaited != member.awaited.len() {
                member.tell_if_ready(frame);
            }
        }
        // All have come again: nothing old is on show any more.
        if self.members.values().all(|member| member.is_ready) {
            self.books.drop_previous();
            self.heads.clear();
        }
    }

    fn void(&mut self) {
        let frame = self.books.frame_sequence();
        self.books.drop_previous();
        self.routes.clear();
        self.ids.clear();
        self.heads.clear();
        for member in self.members.values_mut() {
            member.mailbox.begin_epoch(frame);
        }
    }

    fn read(&mut self, key: MemberKey, mark: Mark) -> Option<Update> {
        let member = self.members.get_mut(&key)?;
        match mark {
            Mark::Ready => Some(Update::Ready),
            Mark::Connection => Some(Update::Connection(self.connection.clone())),
            Mark::Feed => self.books.feed().map(|feed| {
                let (sequence, status, reason) = (feed.sequence, feed.status, feed.reason);
                Update::Feed(FeedStatus { sequence, status, reason })
            }),
            Mark::Epoch => {
                let discarded = std::mem::take(&mut member.mailbox.discarded);
                Some(Update::Epoch { epoch: self.epoch?, discarded })
            }
            Mark::Slot(slot, State::Rejected) => {
                let slot = &mut member.mailbox.slots[slot];
                let code = slot.rejected.take()?;
                Some(Update::Rejected { symbol: slot.symbol.clone(), code })
            }
            Mark::Slot(slot, state) => {
                let slot = &mut member.mailbox.slots[slot];
                // What waited when the connection was lost is told from what it had said.
                let known = self.books.newest(&slot.symbol)?;
                let scale = Scale::of(slot.symbol.clone(), &known.definition);
                match state {
                    State::Quote => {
                        let merged = advance(&mut slot.seen_quote, known.quote.head?);
                        scale.quote(&known.quote, merged).map(Update::Quote)
                    }
                    State::Last => {
                        let merged = advance(&mut slot.seen_last, known.last.head?);
                        scale.last(&known.last, merged).map(Update::Last)
                    }
                    _ => Some(Update::Definition(scale.listing(&known.definition))),
                }
            }
        }
    }
}

impl Route {
    /// A subscription that came later hears what is known.
    fn admit(&mut self, key: MemberKey, member: &mut Member, books: &Books, frame: u64) {
        let Some(slot) = member.slot(&self.scale.symbol) else { return };
        self.listeners.push((key, slot));
        let Some(known) = books.current(&self.scale.symbol) else { return };
        member.mailbox.mark(Mark::Slot(slot, State::Definition), frame);
        if member.wants(Channel::Quote) && known.quote.fields.is_some() {
            member.mailbox.mark(Mark::Slot(slot, State::Quote), frame);
        }
        if member.wants(Channel::Last) && known.last.fields.is_some() {
            member.mailbox.mark(Mark::Slot(slot, State::Last), frame);
        }
        if let (true, Some(sequence)) = (member.wants(Channel::Trade), self.head) {
            let symbol = self.scale.symbol.clone();
            let joined = Joined { symbol, sequence, volume: None, resumed: false };
            member.mailbox.push(slot, Event::Joined(joined), frame);
        }
    }
}

/// Moves on; the updates between.
fn advance(seen: &mut Option<u64>, sequence: u64) -> u64 {
    let before = seen.replace(sequence).unwrap_or(sequence);
    sequence.saturating_sub(before).saturating_sub(1)
}
