//! Reads a symbol's tape for one subscription: every trade once and in order, and the status
//! changes between the trades they came between.

use tickgate_hub::{Busy, StatusRead, StatusRecord, SymbolState, TapeRead};
use tickgate_protocol::{
    channel::Channel,
    definition::Definition,
    entry::{CorrectionEntry, Entry, LostEntry, LostOrigin, TradeEntry},
    number::ABSENT,
};

use crate::{
    places::Places,
    sampling::{Sampled, Sampler, Want, age_us, definition_for, status_entry},
    subscription::{NEVER, Subscription},
};

impl Sampler<'_> {
    /// Appends trades, corrections and statuses up to the heads, each kept or taken back whole.
    pub(crate) fn tape(
        &mut self,
        member: &mut Subscription,
        symbol: &SymbolState,
        want: Want,
    ) -> Sampled {
        let trades = member.channels.has(Channel::Trade);
        if trades && !member.joined && want != Want::Status {
            match self.join(member, symbol) {
                Sampled::Done => {}
                stopped => return stopped,
            }
        }
        loop {
            let next = member.trade_cursor.wrapping_add(1);
            // The trade is read before the status head: a shard publishes trade h, then the
            // status that follows h, then trade h + 1; who sees h + 1 also sees that status.
            let read = if trades { symbol.tape_read(next) } else { TapeRead::NotYet };
            let pending = match self.pending_status(member, symbol) {
                Ok(pending) => pending,
                Err(Busy) => return self.busy(),
            };
            if let Some(status) = pending
                && (!trades || status.after_trade < next)
            {
                match self.append_status(member, symbol, &status) {
                    Sampled::Done => continue,
                    stopped => return stopped,
                }
            }
            if want == Want::Status {
                return Sampled::Done;
            }
            let step = match read {
                TapeRead::NotYet => return Sampled::Done,
                TapeRead::Lapped => self.lost(member, symbol, next, pending.as_ref()),
                read => self.trade(member, symbol, next, read),
            };
            if step != Sampled::Done {
                return step;
            }
        }
    }

    /// Tells where the tape stood when this subscription began, or that it goes on.
    fn join(&mut self, member: &mut Subscription, symbol: &SymbolState) -> Sampled {
        let start = self.frame.checkpoint();
        let before = *member;
        let (sequence, volume) = match member.trade_cursor {
            NEVER => {
                let Ok(head) = symbol.tape_head() else { return self.busy() };
                // The volume is at the head's scale, once there has been a trade.
                if head.sequence > 0
                    && head.id != member.id
                    && let Err(Busy) = self.redefine(member, symbol, head.id)
                {
                    self.frame.undo(start);
                    *member = before;
                    return self.busy();
                }
                (head.sequence, head.volume)
            }
            after if member.resumed => (after, ABSENT),
            // Who was subscribed when the epoch began goes on from its beginning.
            epoch_start => (epoch_start, 0),
        };
        let entry = Entry::TradesJoined { id: member.id, sequence, volume };
        self.frame
            .entry(&entry, definition_for(self.frame.dialect(), symbol, member.id).as_deref());
        if !self.frame.keep(start) {
            *member = before;
            return Sampled::Full;
        }
        self.stats.left(before.forgotten(member), 0);
        self.stats.joined_at = self.stats.joined_at.wrapping_add(sequence);
        member.trade_cursor = sequence;
        member.joined = true;
        Sampled::Done
    }

    /// The next status change to be sent.
    fn pending_status(
        &mut self,
        member: &mut Subscription,
        symbol: &SymbolState,
    ) -> Result<Option<StatusRecord>, Busy> {
        let head = symbol.status_sequence();
        let next = u64::from(member.status_cursor) + 1;
        if next > head {
            return Ok(None);
        }
        match symbol.status_read(next) {
            StatusRead::Record(record) => Ok(Some(record)),
            StatusRead::NotYet => Ok(None),
            StatusRead::Lapped => self.oldest_status(member, symbol, head),
        }
    }

    /// The small tape has lapped the client: the oldest status still on it follows, and the jump
    /// in its sequence shows the hole.
    fn oldest_status(
        &mut self,
        member: &mut Subscription,
        symbol: &SymbolState,
        head: u64,
    ) -> Result<Option<StatusRecord>, Busy> {
        let next = u64::from(member.status_cursor) + 1;
        let oldest = (head + 1).saturating_sub(self.hub.config().status_capacity as u64);
        match symbol.status_read(oldest.max(next + 1)) {
            StatusRead::Record(record) => {
                self.stats.statuses_lost += record.sequence - next;
                member.status_cursor = (record.sequence - 1) as u32;
                Ok(Some(record))
            }
            StatusRead::Lapped | StatusRead::NotYet => Err(Busy),
        }
    }

    fn append_status(
        &mut self,
        member: &mut Subscription,
        symbol: &SymbolState,
        status: &StatusRecord,
    ) -> Sampled {
        let start = self.frame.checkpoint();
        let entry = match status.session_date {
            0 => status_entry(Some(member.id), status, self.sent_at_us),
            _ => match self.session_entry(member, symbol, status) {
                Ok(entry) => entry,
                Err(Busy) => return self.busy(),
            },
        };
        self.frame
            .entry(&entry, definition_for(self.frame.dialect(), symbol, member.id).as_deref());
        if !self.frame.keep(start) {
            return Sampled::Full;
        }
        self.oldest_us = self.oldest_us.max(age_us(self.sent_at_us, status.event_time_ns));
        member.status_cursor = status.sequence as u32;
        // A definition is counted with none of the entries.
        self.stats.statuses += u64::from(matches!(entry, Entry::Status(_)));
        Sampled::Done
    }

    /// A new trading session: the definition once more, with its date and the close before it; those of
    /// a later session, when that has begun as well.
    fn session_entry(
        &self,
        member: &Subscription,
        symbol: &SymbolState,
        status: &StatusRecord,
    ) -> Result<Entry, Busy> {
        // While a finer scale waits to be told, the old id can no longer be defined truly; it is
        // told with the new one.
        let definition = symbol.definition();
        if definition.id != member.id {
            return Ok(status_entry(Some(member.id), status, self.sent_at_us));
        }
        Ok(Entry::Definition(Definition {
            status: status.status,
            status_sequence: status.sequence,
            ..Definition::clone(&definition)
        }))
    }

    fn trade(
        &mut self,
        member: &mut Subscription,
        symbol: &SymbolState,
        sequence: u64,
        read: TapeRead,
    ) -> Sampled {
        let start = self.frame.checkpoint();
        let before = *member;
        let (recorded, event_time_ns) = match read {
            TapeRead::Trade { id, event_time_ns, .. }
            | TapeRead::Correction { id, event_time_ns, .. } => (id, event_time_ns),
            TapeRead::Lapped | TapeRead::NotYet => return Sampled::Done,
        };
        // The client is told the scale in force; what was recorded at a coarser one is brought to
        // it, since an id that was retired before the client heard of it is never defined.
        if recorded != member.id
            && member.id != symbol.id()
            && let Err(Busy) = self.redefine(member, symbol, symbol.id())
        {
            self.frame.undo(start);
            *member = before;
            return self.busy();
        }
        let id = member.id;
        let Some(places) = Places::between(symbol, recorded, id) else {
            self.frame.undo(start);
            *member = before;
            return self.busy();
        };
        let age_us = age_us(self.sent_at_us, event_time_ns);
        let scaled = match read {
            TapeRead::Trade { trade, .. } => (places.price(trade.price), places.size(trade.size)),
            TapeRead::Correction { price, size, .. } => (places.price(price), places.size(size)),
            TapeRead::Lapped | TapeRead::NotYet => return Sampled::Done,
        };
        let (Some(price), Some(size)) = scaled else {
            // Beyond 2^53 - 1 in the scale in force: it cannot be said any more.
            self.frame.undo(start);
            *member = before;
            return self.append_lost(member, symbol, sequence, sequence);
        };
        let entry = match read {
            TapeRead::Trade { trade, .. } => Entry::Trade(TradeEntry {
                id,
                sequence,
                age_us,
                price,
                size,
                flags: trade.flags,
                trade_id: trade.trade_id,
            }),
            TapeRead::Correction { corrects, what, .. } => {
                let correction =
                    CorrectionEntry { id, sequence, age_us, corrects, what, price, size };
                Entry::TradeCorrection(correction)
            }
            TapeRead::Lapped | TapeRead::NotYet => return Sampled::Done,
        };
        self.frame
            .entry(&entry, definition_for(self.frame.dialect(), symbol, member.id).as_deref());
        if !self.frame.keep(start) {
            *member = before;
            return Sampled::Full;
        }
        self.stats.left(before.forgotten(member), 0);
        self.oldest_us = self.oldest_us.max(age_us);
        member.trade_cursor = sequence;
        self.stats.trades += 1;
        Sampled::Done
    }

    /// The reader was lapped from `next` on: says exactly which sequences it will never get, up
    /// to where a pending status belongs.
    fn lost(
        &mut self,
        member: &mut Subscription,
        symbol: &SymbolState,
        next: u64,
        pending: Option<&StatusRecord>,
    ) -> Sampled {
        let mut to = (symbol.tape_oldest().saturating_sub(1)).max(next);
        if let Some(status) = pending {
            to = to.min(status.after_trade.max(next));
        }
        self.append_lost(member, symbol, next, to)
    }

    fn append_lost(
        &mut self,
        member: &mut Subscription,
        symbol: &SymbolState,
        from: u64,
        to: u64,
    ) -> Sampled {
        let start = self.frame.checkpoint();
        let entry = Entry::TradesLost(LostEntry {
            id: member.id,
            from: from as i64,
            to: to as i64,
            size: ABSENT,
            origin: LostOrigin::Connection,
        });
        self.frame
            .entry(&entry, definition_for(self.frame.dialect(), symbol, member.id).as_deref());
        if !self.frame.keep(start) {
            return Sampled::Full;
        }
        member.trade_cursor = to;
        self.stats.trades_lost += to - from + 1;
        Sampled::Done
    }
}
