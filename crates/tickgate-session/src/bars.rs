//! Reads a symbol's bars for one subscription: every closed bar and every revision, and the bar in
//! progress as it is when its interval has passed.
//!
//! One cursor a channel does for both: bars come in the order of their last changes, so whatever is
//! sent takes along what changed before it. That is how the bar in progress may come before its
//! interval has passed: with a closed bar that changed after it.

use tickgate_hub::{BarRecord, Busy, SymbolState};
use tickgate_protocol::{
    bar::BarInterval,
    channel::Channel,
    entry::{BarEntry, Entry, bar_flag},
    number::ABSENT,
    symbol::WireId,
};

use crate::{
    bar_cache::BarRead,
    bar_cursors::BarCursor,
    places::Places,
    sampling::{Sampled, Sampler, Want, definition_for},
    subscription::Subscription,
};

impl Sampler<'_> {
    /// Appends the bars that are due of each length, each kept or taken back whole.
    pub(crate) fn bars(
        &mut self,
        member: &mut Subscription,
        symbol: &SymbolState,
        want: Want,
    ) -> Sampled {
        for interval in BarInterval::ALL {
            if !member.channels.has(Channel::Bar(interval)) {
                continue;
            }
            match self.bars_of(member, symbol, interval, want) {
                Sampled::Done => {}
                stopped => return stopped,
            }
        }
        Sampled::Done
    }

    fn bars_of(
        &mut self,
        member: &mut Subscription,
        symbol: &SymbolState,
        interval: BarInterval,
        want: Want,
    ) -> Sampled {
        let mut at = self.bars.get_or_insert_default().get(member.symbol, interval);
        if !at.joined {
            match self.join_bars(member, symbol, interval, &mut at) {
                Sampled::Done => {}
                stopped => return stopped,
            }
        }
        // What a snapshot asks for has been sent.
        if want == Want::Snapshot && at.caught_up {
            return Sampled::Done;
        }
        let head = symbol.bar_sequence(interval);
        if head > at.cursor {
            match self.new_bars(member, symbol, interval, &mut at, want) {
                Sampled::Done => {}
                stopped => return stopped,
            }
        }
        if !at.caught_up {
            at.caught_up = true;
            self.put_bars(member, interval, at);
        }
        Sampled::Done
    }

    /// What changed behind the cursor: all of it, or as far as a closed bar needs it.
    fn new_bars(
        &mut self,
        member: &mut Subscription,
        symbol: &SymbolState,
        interval: BarInterval,
        at: &mut BarCursor,
        want: Want,
    ) -> Sampled {
        let newest = self.newest.then(|| symbol.bar_sequence(interval));
        let key = (member.symbol, interval);
        let cursor = at.cursor;
        let read = || symbol.bars_since(interval, cursor);
        let BarRead { bars, lost } = match self.cache.bars.get_or_read(key, cursor, newest, read) {
            Ok(read) => read,
            Err(Busy) => return self.busy(),
        };
        at.lost |= lost;
        let all = !at.caught_up || self.is_allowed(cursor, at.tick, want);
        let bars = bars.as_slice();
        let due = if all {
            bars.len()
        } else {
            let last_closed = bars.iter().rposition(is_closed);
            last_closed.map_or(0, |last| last + 1)
        };
        for bar in &bars[..due] {
            match self.append_bar(member, symbol, interval, bar, at, all) {
                Sampled::Done => {}
                stopped => return stopped,
            }
        }
        self.left_bars |= due < bars.len();
        Sampled::Done
    }

    /// What there was when the channel was asked for: the newest closed bar, the closed one that
    /// changed last, which may be another, and the one in progress; as far as they have not changed
    /// since, for then they follow. All or nothing of it.
    fn join_bars(
        &mut self,
        member: &mut Subscription,
        symbol: &SymbolState,
        interval: BarInterval,
        at: &mut BarCursor,
    ) -> Sampled {
        let Ok(snapshot) = snapshot(symbol, interval, at) else { return self.busy() };
        let start = self.frame.checkpoint();
        let before = *member;
        let mut tick = at.tick;
        let mut count = 0;
        for bar in &snapshot {
            match self.write_bar(member, symbol, interval, bar, 0) {
                Ok(true) => count += 1,
                // It cannot be said at this scale any more.
                Ok(false) => continue,
                Err(Busy) => {
                    self.frame.undo(start);
                    *member = before;
                    return self.busy();
                }
            }
            if !is_closed(bar) {
                tick = self.tick as u32;
            }
        }
        if !self.frame.keep(start) {
            *member = before;
            return Sampled::Full;
        }
        self.stats.left(before.forgotten(member), 0);
        self.stats.bars += count;
        self.stats.snapshots += count;
        self.stats.joined_at = self.stats.joined_at.wrapping_add(at.cursor);
        (at.joined, at.tick) = (true, tick);
        self.put_bars(member, interval, *at);
        Sampled::Done
    }

    /// One bar that changed behind the cursor. `all`: also the one in progress is due; where a closed
    /// one takes it along, its own interval runs on.
    fn append_bar(
        &mut self,
        member: &mut Subscription,
        symbol: &SymbolState,
        interval: BarInterval,
        bar: &BarRecord,
        at: &mut BarCursor,
        all: bool,
    ) -> Sampled {
        let start = self.frame.checkpoint();
        let before = *member;
        let flags = if at.lost { bar_flag::LOST } else { 0 };
        let was_said = match self.write_bar(member, symbol, interval, bar, flags) {
            Ok(was_said) => was_said,
            Err(Busy) => {
                self.frame.undo(start);
                *member = before;
                return self.busy();
            }
        };
        if !self.frame.keep(start) {
            *member = before;
            return Sampled::Full;
        }
        self.stats.left(before.forgotten(member), 0);
        let passed = bar.sequence - at.cursor - u64::from(was_said);
        if at.lost && was_said {
            self.stats.bars_lost += passed;
            at.lost = false;
        } else {
            self.tally.merge(passed);
        }
        self.stats.bars += u64::from(was_said);
        at.cursor = bar.sequence;
        if !is_closed(bar) && all {
            at.tick = self.tick as u32;
        }
        self.put_bars(member, interval, *at);
        Sampled::Done
    }

    /// Writes a bar at the scale that the client was told, which may have to be told anew. False
    /// where it cannot be said in it.
    fn write_bar(
        &mut self,
        member: &mut Subscription,
        symbol: &SymbolState,
        interval: BarInterval,
        bar: &BarRecord,
        flags: u8,
    ) -> Result<bool, Busy> {
        // As with trades: an id that was retired before the client heard of it is never defined.
        if bar.id != member.id && member.id != symbol.id() {
            self.redefine(member, symbol, symbol.id())?;
        }
        let dialect = self.frame.dialect();
        let key = (dialect, member.symbol, interval);
        if flags == 0
            && let Some(bytes) = self.cache.bars.entry(key, member.id, bar)
        {
            self.frame.append(bytes);
            self.stats.shared_entries += 1;
            return Ok(true);
        }
        let places = Places::between(symbol, bar.id, member.id).ok_or(Busy)?;
        let Some(mut entry) = bar_entry(bar, interval, member.id, places) else {
            return Ok(false);
        };
        entry.flags |= flags;
        let definition = definition_for(dialect, symbol, member.id);
        let bytes = self.frame.entry(&Entry::Bar(entry), definition.as_deref());
        if flags == 0 {
            self.cache.bars.put(key, member.id, bar, bytes);
        }
        Ok(true)
    }

    fn put_bars(&mut self, member: &Subscription, interval: BarInterval, at: BarCursor) {
        self.bars.get_or_insert_default().set(member.symbol, interval, at);
    }
}

/// A bar at the scale of the definition `id`, which is `places` finer; `None` where it cannot be
/// said in it.
pub(crate) fn bar_entry(
    bar: &BarRecord,
    interval: BarInterval,
    id: WireId,
    places: Places,
) -> Option<BarEntry> {
    Some(BarEntry {
        id,
        sequence: bar.sequence,
        interval_s: interval.seconds(),
        start_s: bar.start_s,
        open: places.price(bar.open)?,
        high: places.price(bar.high)?,
        low: places.price(bar.low)?,
        close: places.price(bar.close)?,
        volume: places.size(bar.volume)?,
        vwap: places.price(bar.vwap).unwrap_or(ABSENT),
        trade_count: bar.trade_count.into(),
        flags: bar.flags,
    })
}

/// The bars of a snapshot that have not changed behind the cursor, in the order of their sequences.
///
/// None where the channel is joined from its beginning, or that of its epoch: then the cursor is
/// brought to just before the first bar there is.
fn snapshot(
    symbol: &SymbolState,
    interval: BarInterval,
    at: &mut BarCursor,
) -> Result<Vec<BarRecord>, Busy> {
    if at.cursor == 0 {
        let all = symbol.bars_since(interval, 0)?;
        at.lost = all.lost;
        at.cursor = all.bars.first().map_or(all.sequence, |first| first.sequence - 1);
        return Ok(Vec::new());
    }
    let cursor = at.cursor;
    let (newest, _) = symbol.bars_before(interval, i64::MAX, 2)?;
    let closed = newest.iter().find(|bar| is_closed(bar)).copied();
    let changed_after = closed.map_or(0, |closed| closed.sequence);
    let later = symbol.bars_since(interval, changed_after)?.bars;
    let revised = later.into_iter().rfind(|bar| is_closed(bar) && bar.sequence <= cursor);
    let open = newest.into_iter().find(|bar| !is_closed(bar));
    let mut bars: Vec<BarRecord> = [closed, revised, open].into_iter().flatten().collect();
    // What changed behind it, also while this was read, is read once more, and sent then.
    bars.retain(|bar| bar.sequence <= cursor);
    bars.sort_unstable_by_key(|bar| bar.sequence);
    Ok(bars)
}

fn is_closed(bar: &BarRecord) -> bool {
    bar.flags & bar_flag::CLOSED != 0
}
