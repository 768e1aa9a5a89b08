//! The bars of one symbol and one interval: the one in progress, and a ring of those closed.
//!
//! Every change takes the next sequence of the series, and each bar remembers the sequence at which
//! it last changed. So a reader needs one cursor, and the series remembers no reader: whatever
//! changed behind the cursor is what the reader has not seen. Closed bars stand in the ring in the
//! order in which they were closed; a late trade or a correction changes one in its place. When the
//! ring is full the oldest gives way, and a reader that had not seen it is told so.
//!
//! A closed bar is written before the head that announces it.

use tickgate_protocol::{entry::bar_flag, number::LIMIT, symbol::WireId};

use crate::{
    bar::{BAR_WORDS, Bar, Fill, Prices},
    cell::{Busy, Cell},
};

const NS: i64 = 1_000_000_000;

/// Words of the head: the bar in progress, and six about the ring.
const HEAD_WORDS: usize = BAR_WORDS + 6;

/// One closed bar; the version is the sequence at which it last changed.
type Slot = Cell<BAR_WORDS>;

/// The bars of one interval.
#[derive(Debug)]
pub(crate) struct Series {
    length_s: i64,
    /// Its version is the sequence of the series.
    head: Cell<HEAD_WORDS>,
    closed: Box<[Slot]>,
}

/// Where a series stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Head {
    sequence: u64,
    /// The bar in progress, and the sequence at which it last changed.
    open: Option<(u64, Bar)>,
    /// Closed bars so far; the newest has this number.
    number: u32,
    /// Bars up to this number belong to an earlier epoch.
    voided: u32,
    /// The largest sequence among the changes of bars that gave way.
    evicted: u64,
    /// The latest beginning of a bar that gave way; [`i64::MIN`] before the first.
    evicted_start_s: i64,
    /// Sequence of the last change of a closed bar.
    revised: u64,
    /// The latest beginning of a closed bar; [`i64::MIN`] before the first.
    last_start_s: i64,
}

/// What became of a trade.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Folded {
    /// It is in the bar in progress, which it may have begun.
    Open,
    /// It changed a bar that was closed, or made one.
    Revised,
    /// Its bar has given way already, or it would exceed what a bar can hold.
    Unplaced,
}

/// What changed behind a cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Since {
    /// The cursor from now on.
    pub(crate) sequence: u64,
    /// Bars that changed behind the cursor gave way before they were read.
    pub(crate) lost: bool,
}

impl Series {
    /// Bytes of one closed bar.
    pub(crate) const SLOT_BYTES: usize = size_of::<Slot>();

    /// Without bars; `capacity` is a power of two, which the configuration's check ensures.
    pub(crate) fn new(length_s: u32, capacity: usize) -> Self {
        debug_assert!(capacity.is_power_of_two(), "positions are taken by a mask");
        let closed = (0..capacity).map(|_| Cell::new()).collect();
        Self { length_s: length_s.into(), head: Cell::new(), closed }
    }

    /// Sequence of the newest change: one load.
    pub(crate) fn sequence(&self) -> u64 {
        self.head.version()
    }

    /// Loads a word of each cache line of the head.
    pub(crate) fn touch(&self) -> u64 {
        self.head.version() ^ self.head.word(7) ^ self.head.word(HEAD_WORDS - 1)
    }

    /// Appends the bars that changed behind `cursor`, each with the sequence of its last change, in
    /// the order of these.
    ///
    /// # Errors
    /// [`Busy`] when the shard was mid-write at each of four tries: stay due and count it.
    pub(crate) fn since(&self, cursor: u64, out: &mut Vec<(u64, Bar)>) -> Result<Since, Busy> {
        let head = self.read_head()?;
        if head.sequence <= cursor {
            return Ok(Since { sequence: cursor, lost: false });
        }
        let (first, mut gave_way) = (out.len(), false);
        for number in self.held(&head).rev() {
            match self.slot_of(number)? {
                // It has changed since the head was read, and will be read behind it.
                Some((changed, _)) if changed > head.sequence => {}
                Some((changed, bar)) if changed > cursor => out.push((changed, bar)),
                // Without revisions those before it are older still.
                Some(_) if head.revised <= cursor => break,
                Some(_) => {}
                // It gave way since, perhaps before the head that says so.
                None => {
                    gave_way = true;
                    break;
                }
            }
        }
        out.extend(head.open.filter(|(changed, _)| *changed > cursor));
        out[first..].sort_unstable_by_key(|(changed, _)| *changed);
        let lost = gave_way || head.evicted > cursor;
        Ok(Since { sequence: head.sequence, lost })
    }

    /// The newest bars that begin before `before_s`, newest first, at most `limit`; and whether
    /// there are more.
    ///
    /// # Errors
    /// [`Busy`] when the shard was mid-write at each of four tries: ask again.
    pub(crate) fn before(
        &self,
        before_s: i64,
        limit: usize,
    ) -> Result<(Vec<(u64, Bar)>, bool), Busy> {
        let head = self.read_head()?;
        let mut bars: Vec<(u64, Bar)> = head.open.into_iter().collect();
        for number in self.held(&head).rev() {
            let Some(closed) = self.slot_of(number)? else { break };
            bars.push(closed);
        }
        bars.retain(|(_, bar)| bar.start_s < before_s);
        bars.sort_unstable_by_key(|(_, bar)| std::cmp::Reverse(bar.start_s));
        let more = bars.len() > limit;
        bars.truncate(limit);
        Ok((bars, more))
    }

    /// Writer: one trade more, at the scale of the definition `id`; all bars that end up to `clock_ns`
    /// are closed. `place` brings a bar to that scale, where it fits.
    pub(crate) fn fold(
        &self,
        fill: &Fill,
        clock_ns: i64,
        place: impl Fn(&Bar) -> Option<Bar>,
        id: WireId,
    ) -> Folded {
        let mut head = self.own_head();
        if head.is_at_its_end() {
            return Folded::Unplaced;
        }
        let (start_s, offset_ns) = self.place(fill.time_ns);
        let is_over = start_s + self.length_s <= clock_ns.div_euclid(NS);
        match head.open {
            Some((_, mut bar)) if bar.start_s == start_s => {
                if !bar.add(offset_ns, fill.price, fill.size) {
                    return Folded::Unplaced;
                }
                head.advance_open(bar);
            }
            None if !is_over && start_s > head.last_start_s => {
                let Some(bar) = begin(id, start_s, offset_ns, fill) else {
                    return Folded::Unplaced;
                };
                head.advance_open(bar);
            }
            Some((_, open)) if !is_over && start_s > open.start_s => {
                let Some(bar) = begin(id, start_s, offset_ns, fill) else {
                    return Folded::Unplaced;
                };
                self.append(&mut head, open);
                head.advance_open(bar);
            }
            _ => return self.fold_late(&mut head, start_s, offset_ns, fill, place, id),
        }
        self.publish(&head);
        Folded::Open
    }

    /// Writer: a trade of an interval that is over.
    fn fold_late(
        &self,
        head: &mut Head,
        start_s: i64,
        offset_ns: u64,
        fill: &Fill,
        place: impl Fn(&Bar) -> Option<Bar>,
        id: WireId,
    ) -> Folded {
        let newer = start_s > head.last_start_s;
        if let Some((number, bar)) = if newer { None } else { self.find(head, start_s) } {
            let Some(mut bar) = place(&bar) else { return Folded::Unplaced };
            if !bar.add(offset_ns, fill.price, fill.size) {
                return Folded::Unplaced;
            }
            self.revise(head, number, bar);
        } else if start_s > head.evicted_start_s {
            let Some(mut bar) = begin(id, start_s, offset_ns, fill) else {
                return Folded::Unplaced;
            };
            bar.flags |= bar_flag::REVISED;
            self.append(head, bar);
        } else {
            return Folded::Unplaced;
        }
        self.publish(head);
        Folded::Revised
    }

    /// Writer: true when the bar of that time could hold `more` of size, or is not there, or does not
    /// fit the scale in force any more; of the last two nothing can be corrected.
    pub(crate) fn can_hold(
        &self,
        time_ns: i64,
        more: i64,
        place: impl Fn(&Bar) -> Option<Bar>,
    ) -> bool {
        let (start_s, _) = self.place(time_ns);
        let bar = self.bar_at(&self.own_head(), start_s).and_then(|(_, bar)| place(&bar));
        bar.is_none_or(|bar| bar.volume + more <= LIMIT)
    }

    /// Writer: `old` is taken back, and `new` put in its place. `refold` finds the bar's prices
    /// anew, where all of its trades can still be looked at. False when it is in no bar any more.
    pub(crate) fn correct(
        &self,
        old: &Fill,
        new: Option<&Fill>,
        place: impl Fn(&Bar) -> Option<Bar>,
        refold: impl FnOnce(&Bar) -> Option<Prices>,
    ) -> bool {
        let mut head = self.own_head();
        if head.is_at_its_end() {
            return false;
        }
        let (start_s, offset_ns) = self.place(old.time_ns);
        let Some((number, bar)) = self.bar_at(&head, start_s) else { return false };
        let Some(mut bar) = place(&bar) else { return false };
        if bar.trade_count == 0 {
            return false;
        }
        let touched = bar.take_back(offset_ns, old.price, old.size);
        if let Some(new) = new
            && !bar.add(offset_ns, new.price, new.size)
        {
            return false;
        }
        if bar.trade_count == 0 {
            bar.prices = Prices::NONE;
        } else if touched {
            match refold(&bar) {
                Some(prices) => bar.prices = prices,
                None => bar.flags |= bar_flag::INEXACT,
            }
        }
        match number {
            None => head.advance_open(bar),
            Some(number) => self.revise(&mut head, number, bar),
        }
        self.publish(&head);
        true
    }

    /// Writer: the prices of all bars that begin in `from_s..to_s`, folded, and how many trades they
    /// have; open and close only mean something where the two are less than 500 years apart. `None`
    /// where one of them is not there any more, or not exact itself.
    pub(crate) fn prices_between(
        &self,
        from_s: i64,
        to_s: i64,
        place: impl Fn(&Bar) -> Option<Bar>,
    ) -> Option<(Prices, u64)> {
        let head = self.own_head();
        if head.evicted_start_s >= from_s && head.evicted_start_s != i64::MIN {
            return None;
        }
        let closed = self.held(&head).filter_map(|number| self.own_slot(number));
        let (mut prices, mut count) = (Prices::NONE, 0);
        for bar in closed.chain(head.open.map(|(_, bar)| bar)) {
            if (from_s..to_s).contains(&bar.start_s) {
                let bar = place(&bar).filter(|bar| bar.flags & bar_flag::INEXACT == 0)?;
                let later_s = bar.start_s.saturating_sub(from_s).unsigned_abs();
                prices.merge(&bar.prices, later_s.saturating_mul(NS as u64));
                count += u64::from(bar.trade_count);
            }
        }
        Some((prices, count))
    }

    /// Writer: closes the bar in progress when its interval is over at `clock_ns`.
    pub(crate) fn close_at(&self, clock_ns: i64) -> Closing {
        let mut head = self.own_head();
        let Some((_, open)) = head.open else { return Closing::None };
        if clock_ns.div_euclid(NS) < open.start_s + self.length_s || head.is_at_its_end() {
            return Closing::InProgress;
        }
        self.append(&mut head, open);
        head.open = None;
        self.publish(&head);
        Closing::Closed
    }

    /// Writer: the bar in progress at the scale of a new definition.
    pub(crate) fn open_bar(&self) -> Option<Bar> {
        self.own_head().open.map(|(_, bar)| bar)
    }

    /// Writer: replaces the bar in progress by itself at another scale.
    pub(crate) fn restate_open(&self, bar: Bar) {
        let mut head = self.own_head();
        head.advance_open(bar);
        self.publish(&head);
    }

    /// Writer: a new epoch, without bars.
    pub(crate) fn void(&self) {
        let mut head = self.own_head();
        if head.sequence == 0 {
            return;
        }
        head.sequence += 1;
        (head.open, head.voided, head.last_start_s) = (None, head.number, i64::MIN);
        // Bars of the old epoch are nobody's loss: those that give way from now on, and those that
        // have given way.
        (head.evicted, head.evicted_start_s) = (0, i64::MIN);
        self.publish(&head);
    }

    /// Adds a closed bar to the ring as the newest, over the oldest.
    fn append(&self, head: &mut Head, bar: Bar) {
        let slot = self.slot(head.number + 1);
        let (changed, words) = slot.own();
        if changed > 0 {
            let (old, number) = Bar::decode(words);
            if number > head.voided {
                head.evicted = head.evicted.max(changed);
                head.evicted_start_s = head.evicted_start_s.max(old.start_s);
            }
        }
        head.sequence += 1;
        head.number += 1;
        head.last_start_s = head.last_start_s.max(bar.start_s);
        let bar = Bar { flags: bar.flags | bar_flag::CLOSED, ..bar };
        slot.write(head.sequence, &bar.encode(head.number));
    }

    fn revise(&self, head: &mut Head, number: u32, bar: Bar) {
        head.sequence += 1;
        head.revised = head.sequence;
        let bar = Bar { flags: bar.flags | bar_flag::REVISED, ..bar };
        self.slot(number).write(head.sequence, &bar.encode(number));
    }

    /// The bar that begins at `start_s`; with its number, if it is closed.
    fn bar_at(&self, head: &Head, start_s: i64) -> Option<(Option<u32>, Bar)> {
        match head.open {
            Some((_, bar)) if bar.start_s == start_s => Some((None, bar)),
            _ => self.find(head, start_s).map(|(number, bar)| (Some(number), bar)),
        }
    }

    /// The closed bar that begins at `start_s`; the newest are looked at first.
    fn find(&self, head: &Head, start_s: i64) -> Option<(u32, Bar)> {
        let mut held = self.held(head).rev();
        held.find_map(|number| {
            let bar = self.own_slot(number)?;
            (bar.start_s == start_s).then_some((number, bar))
        })
    }

    /// Numbers of the bars in the ring.
    fn held(&self, head: &Head) -> std::ops::RangeInclusive<u32> {
        let oldest = head.number.saturating_sub(self.closed.len() as u32 - 1);
        oldest.max(head.voided + 1)..=head.number
    }

    /// The beginning of the interval of a time, seconds, and how far into it the time is.
    fn place(&self, time_ns: i64) -> (i64, u64) {
        let length_ns = self.length_s * NS;
        let start_s = time_ns.div_euclid(length_ns) * self.length_s;
        (start_s, time_ns.rem_euclid(length_ns).unsigned_abs())
    }

    fn slot(&self, number: u32) -> &Slot {
        &self.closed[number as usize & (self.closed.len() - 1)]
    }

    /// A closed bar with the sequence of its last change; `None` when another took its place.
    fn slot_of(&self, number: u32) -> Result<Option<(u64, Bar)>, Busy> {
        let (changed, words) = self.slot(number).read()?;
        let (bar, held) = Bar::decode(words);
        Ok((held == number).then_some((changed, bar)))
    }

    fn own_slot(&self, number: u32) -> Option<Bar> {
        let (bar, held) = Bar::decode(self.slot(number).own().1);
        (held == number).then_some(bar)
    }

    fn read_head(&self) -> Result<Head, Busy> {
        self.head.read().map(|(sequence, words)| Head::decode(sequence, &words))
    }

    fn own_head(&self) -> Head {
        let (sequence, words) = self.head.own();
        Head::decode(sequence, &words)
    }

    fn publish(&self, head: &Head) {
        self.head.write(head.sequence, &head.encode());
    }
}

/// What the clock did to the bar in progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Closing {
    /// There is none.
    None,
    /// Its interval is not over.
    InProgress,
    /// It is closed now.
    Closed,
}

/// A bar of one trade.
fn begin(id: WireId, start_s: i64, offset_ns: u64, fill: &Fill) -> Option<Bar> {
    let mut bar = Bar::new(id, start_s, fill.sequence);
    bar.add(offset_ns, fill.price, fill.size).then_some(bar)
}

impl Head {
    const NEW: Self = Self {
        sequence: 0,
        open: None,
        number: 0,
        voided: 0,
        evicted: 0,
        evicted_start_s: i64::MIN,
        revised: 0,
        last_start_s: i64::MIN,
    };

    /// True when there may be no number left for what comes next.
    fn is_at_its_end(&self) -> bool {
        self.sequence + 2 > LIMIT as u64 || self.number == u32::MAX
    }

    /// The bar in progress changed.
    fn advance_open(&mut self, bar: Bar) {
        self.sequence += 1;
        self.open = Some((self.sequence, bar));
    }

    fn encode(&self) -> [u64; HEAD_WORDS] {
        let mut words = [0; HEAD_WORDS];
        if let Some((changed, bar)) = self.open {
            words[..BAR_WORDS].copy_from_slice(&bar.encode(0));
            words[BAR_WORDS] = changed;
        }
        words[BAR_WORDS + 1..].copy_from_slice(&[
            u64::from(self.number) | u64::from(self.voided) << 32,
            self.evicted,
            self.evicted_start_s as u64,
            self.revised,
            self.last_start_s as u64,
        ]);
        words
    }

    fn decode(sequence: u64, words: &[u64; HEAD_WORDS]) -> Self {
        if sequence == 0 {
            return Self::NEW;
        }
        let mut bar = [0; BAR_WORDS];
        bar.copy_from_slice(&words[..BAR_WORDS]);
        let changed = words[BAR_WORDS];
        Self {
            sequence,
            open: (changed > 0).then(|| (changed, Bar::decode(bar).0)),
            number: words[BAR_WORDS + 1] as u32,
            voided: (words[BAR_WORDS + 1] >> 32) as u32,
            evicted: words[BAR_WORDS + 2],
            evicted_start_s: words[BAR_WORDS + 3] as i64,
            revised: words[BAR_WORDS + 4],
            last_start_s: words[BAR_WORDS + 5] as i64,
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// The writer stands between the slot and the head that announces it: what was in the slot is
    /// gone, and no head says so yet.
    #[test]
    fn a_reader_whose_bar_gives_way_while_it_reads_is_told_of_a_loss() {
        let series = Series::new(1, 2);
        for second in 1..=3 {
            let fill = Fill { time_ns: second * NS, price: 5, size: 1, sequence: second as u64 };
            series.fold(&fill, i64::MIN, |bar| Some(*bar), 0);
        }
        let mut bars = Vec::new();
        assert_eq!(series.since(0, &mut bars), Ok(Since { sequence: 5, lost: false }));
        assert_eq!(bars.iter().map(|(_, bar)| bar.start_s).collect::<Vec<_>>(), [1, 2, 3]);

        let mut head = series.own_head();
        let (_, open) = head.open.expect("in progress");
        series.append(&mut head, open);
        bars.clear();
        assert_eq!(series.since(0, &mut bars), Ok(Since { sequence: 5, lost: true }));
        assert_eq!(bars.iter().map(|(_, bar)| bar.start_s).collect::<Vec<_>>(), [2, 3]);
        head.open = None;
        series.publish(&head);
        assert_eq!(series.since(0, &mut Vec::new()), Ok(Since { sequence: 6, lost: true }));
    }
}
