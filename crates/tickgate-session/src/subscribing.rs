//! Carries out `subscribe`, `unsubscribe` and `throttle`.

use tickgate_protocol::{
    channel::Channels,
    command::{ErrorCode, Refusal, Subscribe},
    reply::{Rejected, Reply, Resumed, Subscribed},
    symbol::{SymbolIndex, WILDCARD},
};

use crate::{
    commands::{bad_field, shortened},
    engine::Engine,
    joining::{Joining, Tapes},
    portfolio::covered_channels,
    session::{Owed, READY_LIMIT},
    subscription::{INHERIT, Subscription},
    transport::Transport,
    work,
};

/// A name of a command, and the symbol that has it.
struct Named<'a> {
    name: &'a str,
    index: Option<SymbolIndex>,
}

/// Symbols one answer may list as rejected.
const REJECTED_LIMIT: usize = 256;

impl<T: Transport> Engine<T> {
    pub(crate) fn subscribe(
        &mut self,
        position: usize,
        id: Option<i64>,
        wanted: &Subscribe,
    ) -> Result<Reply, Refusal> {
        // Once for all that follows: by far the most of what refusing a name costs.
        let indices = work::look_up(self.shared.hub(), &wanted.symbols);
        self.check_room(position, id, wanted, &indices)?;
        let held = self.sessions[position].portfolio.count();
        let mut answer = Subscribed {
            id,
            count: 0,
            subscriptions: 0,
            channels: wanted.channels.unwrap_or(Channels::DEFAULT),
            throttle_ms: u32::from(self.sessions[position].portfolio.connection_interval()),
            quote_fields: wanted.quote_fields.unwrap_or(crate::subscription::ALL_QUOTE_FIELDS),
            last_fields: wanted.last_fields.unwrap_or(crate::subscription::ALL_LAST_FIELDS),
            resumed: wanted.resume.as_ref().map(|_| Resumed { count: 0, fresh: 0 }),
            rejected: Vec::new(),
        };
        let tapes = wanted.resume.as_ref().map(Tapes::new);
        let mut joining = Joining::default();
        let mut refused_wildcard = false;
        for (name, index) in wanted.symbols.iter().zip(indices) {
            let result = if name == WILDCARD {
                self.subscribe_all(position, wanted, tapes.as_ref(), &mut joining, &mut answer)
            } else {
                let tapes = tapes.as_ref();
                let one = Named { name, index };
                self.subscribe_one(position, one, wanted, tapes, &mut joining, &mut answer)
            };
            match result {
                Ok(()) => answer.count += 1,
                // `check_names` bounds the others, but nobody knows before whether `*` can be had.
                Err(_) if name == WILDCARD && std::mem::replace(&mut refused_wildcard, true) => {}
                Err(code) => answer.rejected.push(Rejected { symbol: shortened(name), code }),
            }
        }
        self.join(position, &mut joining, wanted);
        let session = &mut self.sessions[position];
        if wanted.throttle_ms.is_some() {
            session.portfolio.regroup(&mut self.schedule);
        }
        session.portfolio.shrink();
        session.owed.push_back(Owed::Ready(id));
        let now_held = session.portfolio.count();
        self.stats.subscriptions += (now_held - held) as u64;
        answer.subscriptions = now_held as u64;
        Ok(Reply::Subscribed(answer))
    }

    /// What no part of a subscribe can be carried out without.
    fn check_room(
        &self,
        position: usize,
        id: Option<i64>,
        wanted: &Subscribe,
        indices: &[Option<SymbolIndex>],
    ) -> Result<(), Refusal> {
        let session = &self.sessions[position];
        if session.readies() >= READY_LIMIT {
            let message = format!("{READY_LIMIT} subscribes wait for their ready: read them first");
            return Err(Refusal { code: ErrorCode::TooManyCommands, message, field: None, id });
        }
        self.check_names(position, id, &wanted.symbols, indices)?;
        let portfolio = &session.portfolio;
        let is_held = |(name, index): (&String, &Option<SymbolIndex>)| match index {
            Some(index) => portfolio.is_named(index.0),
            None => name != WILDCARD || portfolio.wildcard.is_some(),
        };
        match wanted.throttle_ms {
            Some(throttle_ms) => self.check_interval(position, id, own(throttle_ms)),
            // Those that are held keep their interval, new ones inherit.
            None if !wanted.symbols.iter().zip(indices).all(is_held) => {
                self.check_interval(position, id, INHERIT)
            }
            None => Ok(()),
        }
    }

    /// An answer lists what it rejects, so a command that would have much rejected is refused
    /// whole: nothing of it is carried out, and the answer stays short.
    fn check_names(
        &self,
        position: usize,
        id: Option<i64>,
        names: &[String],
        indices: &[Option<SymbolIndex>],
    ) -> Result<(), Refusal> {
        let limit = self.shared.config().subscription_limit;
        let refusal =
            |code, message| Err(Refusal { code, message, field: Some("symbols".into()), id });
        let portfolio = &self.sessions[position].portfolio;
        let (mut unknown, mut added) = (0, 0);
        for (_, index) in names.iter().zip(indices).filter(|(name, _)| *name != WILDCARD) {
            match index {
                None => unknown += 1,
                Some(index) => added += usize::from(!portfolio.is_named(index.0)),
            }
        }
        if unknown > REJECTED_LIMIT {
            let message = format!("{unknown} of the names are unknown: at most {REJECTED_LIMIT}");
            return refusal(ErrorCode::UnknownSymbol, message);
        }
        if (portfolio.count() + added).saturating_sub(limit) > REJECTED_LIMIT {
            let message = format!("{added} more subscriptions exceed the limit of {limit}");
            return refusal(ErrorCode::TooManySubscriptions, message);
        }
        Ok(())
    }

    /// A session has a bounded number of distinct intervals.
    fn check_interval(&self, position: usize, id: Option<i64>, own: u16) -> Result<(), Refusal> {
        let limit = self.shared.config().throttle_interval_limit;
        let portfolio = &self.sessions[position].portfolio;
        if portfolio.intervals_with(portfolio.interval_of(own)) > limit {
            let message = format!("a connection holds at most {limit} distinct throttle intervals");
            return Err(bad_field(id, "throttle_ms", message));
        }
        Ok(())
    }

    fn subscribe_one(
        &mut self,
        position: usize,
        Named { name, index }: Named<'_>,
        wanted: &Subscribe,
        tapes: Option<&Tapes<'_>>,
        joining: &mut Joining,
        answer: &mut Subscribed,
    ) -> Result<(), ErrorCode> {
        let hub = self.shared.hub();
        let index = index.ok_or(ErrorCode::UnknownSymbol)?;
        let limit = self.shared.config().subscription_limit;
        let portfolio = &mut self.sessions[position].portfolio;
        let known = portfolio.named_mut(index.0).copied().or_else(|| joining.get(index.0));
        let mut member = match known {
            Some(member) => member,
            None if portfolio.count() + joining.count() >= limit => {
                return Err(ErrorCode::TooManySubscriptions);
            }
            None => match portfolio.wildcard.as_mut() {
                Some(wildcard) => {
                    // It may have been listed a moment ago.
                    wildcard.grow(hub.symbol_count());
                    wildcard.vacate(index.0).unwrap_or_else(|| Subscription::new(index.0))
                }
                None => Subscription::new(index.0),
            },
        };
        let held = member.held();
        let named = member.named.with(wanted.channels.unwrap_or(match member.named.is_empty() {
            true => Channels::DEFAULT,
            false => Channels::NONE,
        }));
        member.named = named;
        member.set_channels(named.with(covered_channels(portfolio.wildcard.as_deref())));
        if let Some(throttle_ms) = wanted.throttle_ms {
            member.own_throttle_ms = own(throttle_ms);
        }
        member.select(
            wanted.quote_fields.unwrap_or(member.quote_fields),
            wanted.last_fields.unwrap_or(member.last_fields),
        );
        if wanted.snapshot {
            member.forget_state();
        }
        self.resume(position, name, tapes, &mut member, answer);
        self.stats.left(held, member.held());
        answer.channels = member.channels;
        answer.quote_fields = member.quote_fields;
        answer.last_fields = member.last_fields;
        let session = &mut self.sessions[position];
        answer.throttle_ms = u32::from(session.portfolio.interval_of(member.own_throttle_ms));
        // One that was subscribed stays where it is, and a new one waits, until all have been looked
        // at.
        if !session.portfolio.write_back(member, &mut self.schedule) {
            joining.put(member);
        }
        joining.name(index.0);
        Ok(())
    }

    /// Puts new subscriptions into their groups, and owes what was named its snapshots.
    fn join(&mut self, position: usize, joining: &mut Joining, wanted: &Subscribe) {
        let has_bars = names_bars(wanted);
        let (members, named) = joining.take();
        let session = &mut self.sessions[position];
        session.portfolio.join(members, &mut self.schedule);
        self.settle_bars(position, has_bars);
        self.sessions[position].owe(&named);
    }

    /// Goes on with a tape where the client left it, if this is still the same tape.
    fn resume(
        &self,
        position: usize,
        name: &str,
        tapes: Option<&Tapes<'_>>,
        member: &mut Subscription,
        answer: &mut Subscribed,
    ) {
        let (Some(tapes), Some(resumed)) = (tapes, answer.resumed.as_mut()) else { return };
        let Some(sequence) = tapes.sequence(name) else { return };
        // A tape that is already being read goes on as it is.
        if member.joined || !member.channels.has(tickgate_protocol::channel::Channel::Trade) {
            return;
        }
        let symbol = self.shared.hub().symbol(SymbolIndex(member.symbol));
        // Below where the tape stood when the epoch began, it is another epoch's.
        let known = symbol.map_or(0..=0, |each| each.tape_epoch_start()..=each.tape_sequence());
        if tapes.epoch == self.sessions[position].epoch && known.contains(&sequence) {
            member.trade_cursor = sequence;
            member.resumed = true;
            resumed.count += 1;
        } else {
            member.leave_tape();
            resumed.fresh += 1;
        }
    }

    /// The same for the tapes that the wildcard covers.
    fn resume_covered(
        &mut self,
        position: usize,
        tapes: Option<&Tapes<'_>>,
        answer: &mut Subscribed,
    ) {
        for name in tapes.into_iter().flat_map(Tapes::names) {
            let Some(index) = self.shared.hub().lookup(name) else { continue };
            let wildcard = self.sessions[position].portfolio.wildcard.as_ref();
            let covered = wildcard.and_then(|each| each.group.members.get(index.position()));
            let Some(mut member) = covered.copied().filter(|each| !each.channels.is_empty()) else {
                continue;
            };
            self.resume(position, name, tapes, &mut member, answer);
            if let Some(wildcard) = self.sessions[position].portfolio.wildcard.as_mut() {
                wildcard.group.members[index.position()] = member;
            }
        }
    }

    fn subscribe_all(
        &mut self,
        position: usize,
        wanted: &Subscribe,
        tapes: Option<&Tapes<'_>>,
        joining: &mut Joining,
        answer: &mut Subscribed,
    ) -> Result<(), ErrorCode> {
        let portfolio = &mut self.sessions[position].portfolio;
        if portfolio.wildcard.is_none() {
            if portfolio.count() + joining.count() >= self.shared.config().subscription_limit {
                return Err(ErrorCode::TooManySubscriptions);
            }
            if !self.shared.take_wildcard() {
                return Err(ErrorCode::Unavailable);
            }
        }
        if !std::mem::replace(&mut joining.is_covered, true) {
            // It takes in the names before it.
            self.join(position, joining, wanted);
            self.cover(position, wanted, tapes, answer);
        }
        let portfolio = &self.sessions[position].portfolio;
        if let Some(wildcard) = &portfolio.wildcard {
            answer.channels = wildcard.channels;
            answer.quote_fields = wildcard.quote_fields;
            answer.last_fields = wildcard.last_fields;
            answer.throttle_ms = u32::from(portfolio.interval_of(INHERIT));
        }
        Ok(())
    }

    /// Opens the wildcard or changes it; one place of the gateway's has been taken for it.
    fn cover(
        &mut self,
        position: usize,
        wanted: &Subscribe,
        tapes: Option<&Tapes<'_>>,
        answer: &mut Subscribed,
    ) {
        let count = self.shared.hub().symbol_count();
        let portfolio = &mut self.sessions[position].portfolio;
        let held = portfolio.held();
        let wildcard = portfolio.open_wildcard(&mut self.schedule);
        wildcard.grow(count);
        let added = wanted.channels.unwrap_or(match wildcard.channels.is_empty() {
            true => Channels::DEFAULT,
            false => Channels::NONE,
        });
        wildcard.channels = wildcard.channels.with(added);
        if let Some(throttle_ms) = wanted.throttle_ms {
            wildcard.own_throttle_ms = own(throttle_ms);
        }
        wildcard.quote_fields = wanted.quote_fields.unwrap_or(wildcard.quote_fields);
        wildcard.last_fields = wanted.last_fields.unwrap_or(wildcard.last_fields);
        let (channels, quote_fields, last_fields) =
            (wildcard.channels, wildcard.quote_fields, wildcard.last_fields);
        work::look_at(wildcard.group.members.len());
        for member in &mut wildcard.group.members {
            member.set_channels(channels);
            member.select(quote_fields, last_fields);
            if wanted.snapshot {
                member.forget_state();
            }
        }
        portfolio.spread_wildcard(count, &mut self.schedule);
        self.resume_covered(position, tapes, answer);
        // Names whose channels grew owe a snapshot of their own.
        self.sessions[position].portfolio.regroup(&mut self.schedule);
        self.settle_bars(position, names_bars(wanted));
        let session = &mut self.sessions[position];
        self.stats.left(held, session.portfolio.held());
        let portfolio = &session.portfolio;
        let grown: Vec<u32> = portfolio
            .groups
            .iter()
            .flat_map(|group| &group.members)
            .filter(|member| portfolio.wants_snapshot(member))
            .map(|member| member.symbol)
            .collect();
        session.owe(&grown);
        session.owe_covered(count);
    }

    pub(crate) fn unsubscribe(
        &mut self,
        position: usize,
        id: Option<i64>,
        symbols: &[String],
        channels: Channels,
    ) -> Result<Reply, Refusal> {
        let held = self.sessions[position].portfolio.count();
        let (mut count, mut still_covered) = (0, Vec::new());
        let indices = work::look_up(self.shared.hub(), symbols);
        for (name, index) in symbols.iter().zip(indices) {
            if name == WILDCARD {
                count += u64::from(self.unsubscribe_all(position, channels));
            } else if let Some(index) = index
                && let Some(covered) = self.unsubscribe_one(position, index, channels)
            {
                count += 1;
                if covered {
                    still_covered.push(name.clone());
                }
            }
        }
        let session = &mut self.sessions[position];
        let sent = session.portfolio.held();
        session.portfolio.release(&mut self.schedule);
        self.stats.left(sent, session.portfolio.held());
        session.forget_owed();
        self.settle_bars(position, false);
        let subscriptions = self.sessions[position].portfolio.count();
        self.stats.subscriptions -= (held - subscriptions) as u64;
        let subscriptions = subscriptions as u64;
        Ok(Reply::Unsubscribed { id, count, still_covered, subscriptions })
    }

    /// `None` when it was not subscribed; else whether the wildcard still covers it.
    fn unsubscribe_one(
        &mut self,
        position: usize,
        index: SymbolIndex,
        channels: Channels,
    ) -> Option<bool> {
        let portfolio = &mut self.sessions[position].portfolio;
        let covered = covered_channels(portfolio.wildcard.as_deref());
        // Those whose name is gone stay where they are until all have been looked at.
        let member = portfolio.named_mut(index.0).filter(|member| !member.named.is_empty())?;
        let held = member.held();
        member.named = member.named.without(channels);
        if !member.named.is_empty() {
            member.set_channels(member.named.with(covered));
            self.stats.left(held, member.held());
        }
        Some(!covered.is_empty())
    }

    fn unsubscribe_all(&mut self, position: usize, channels: Channels) -> bool {
        let portfolio = &mut self.sessions[position].portfolio;
        let Some(wildcard) = portfolio.wildcard.as_ref() else { return false };
        let left = wildcard.channels.without(channels);
        if left == wildcard.channels {
            return true;
        }
        let held = portfolio.held();
        let Some(wildcard) = portfolio.wildcard.as_mut() else { return false };
        wildcard.channels = left;
        work::look_at(wildcard.group.members.len());
        for member in &mut wildcard.group.members {
            if !member.channels.is_empty() {
                member.set_channels(left);
            }
        }
        if left.is_empty() {
            portfolio.close_wildcard(&mut self.schedule);
            self.shared.give_wildcard_back();
        } else {
            let count = self.shared.hub().symbol_count();
            portfolio.spread_wildcard(count, &mut self.schedule);
        }
        self.stats.left(held, self.sessions[position].portfolio.held());
        true
    }

    pub(crate) fn throttle(
        &mut self,
        position: usize,
        id: Option<i64>,
        symbols: Option<&[String]>,
        throttle_ms: Option<Option<u32>>,
    ) -> Result<Reply, Refusal> {
        let (mut count, mut rejected) = (0, Vec::new());
        let portfolio = &self.sessions[position].portfolio;
        let indices = work::look_up(self.shared.hub(), symbols.unwrap_or(&[]));
        let is_named =
            |index: &&Option<SymbolIndex>| index.is_some_and(|index| portfolio.is_named(index.0));
        let unnamed = indices.iter().filter(|index| !is_named(index)).count();
        if unnamed > REJECTED_LIMIT {
            let message =
                format!("{unnamed} of the names are not subscribed: at most {REJECTED_LIMIT}");
            return Err(bad_field(id, "symbols", message));
        }
        if let Some(throttle_ms) = throttle_ms {
            let own = own(throttle_ms);
            self.check_interval(position, id, own)?;
            match symbols {
                None => {
                    self.sessions[position].portfolio.connection_throttle_ms = own;
                }
                Some(names) => {
                    for (name, index) in names.iter().zip(indices) {
                        if self.bind(position, Named { name, index }, own) {
                            count += 1;
                        } else {
                            let code = ErrorCode::UnknownSymbol;
                            rejected.push(Rejected { symbol: shortened(name), code });
                        }
                    }
                }
            }
            self.sessions[position].portfolio.regroup(&mut self.schedule);
        }
        let portfolio = &self.sessions[position].portfolio;
        let throttle_ms = u32::from(portfolio.connection_interval());
        Ok(Reply::Throttled { id, throttle_ms, max_bytes_per_second: None, count, rejected })
    }

    /// Binds an interval to a subscription; false where there is none of that name.
    fn bind(&mut self, position: usize, Named { name, index }: Named<'_>, own: u16) -> bool {
        let portfolio = &mut self.sessions[position].portfolio;
        if name == WILDCARD {
            let Some(wildcard) = portfolio.wildcard.as_mut() else { return false };
            wildcard.own_throttle_ms = own;
            return true;
        }
        let Some(index) = index else { return false };
        let Some(member) = portfolio.named_mut(index.0) else { return false };
        member.own_throttle_ms = own;
        true
    }
}

fn names_bars(wanted: &Subscribe) -> bool {
    wanted.channels.is_some_and(|channels| channels.has_any(Channels::BARS))
}

/// A throttle as a subscription holds it; the parser keeps it within 60,000.
fn own(throttle_ms: Option<u32>) -> u16 {
    throttle_ms.map_or(INHERIT, |ms| u16::try_from(ms).unwrap_or(INHERIT - 1))
}

#[cfg(test)]
mod tests;
