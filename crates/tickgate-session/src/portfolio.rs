//! All subscriptions of one session: groups by throttle interval, and the wildcard.

use tickgate_protocol::channel::Channels;

use crate::{
    bar_cursors::BarCursors,
    group::Group,
    schedule::{GroupId, Schedule},
    subscription::{INHERIT, PROMPT, Subscription},
    wildcard::Wildcard,
    work,
};

/// What one session is subscribed to.
#[derive(Debug)]
pub(crate) struct Portfolio {
    /// Position of the session in the engine, for timers and the interest index.
    session: u32,
    pub(crate) groups: Vec<Group>,
    pub(crate) wildcard: Option<Box<Wildcard>>,
    /// Where it stands in bar channels; `None` without such.
    pub(crate) bars: Option<Box<BarCursors>>,
    /// The connection's own throttle interval, or [`INHERIT`].
    pub(crate) connection_throttle_ms: u16,
    default_throttle_ms: u16,
    next_group: u32,
    /// Place of the group that the next frame begins with; the wildcard's is behind the last.
    pub(crate) from: u32,
}

impl Portfolio {
    pub(crate) fn new(session: u32, default_throttle_ms: u16) -> Self {
        Self {
            session,
            groups: Vec::new(),
            wildcard: None,
            bars: None,
            connection_throttle_ms: INHERIT,
            default_throttle_ms,
            next_group: GroupId::WILDCARD.0 + 1,
            from: 0,
        }
    }

    /// Subscriptions held; a wildcard counts as one.
    pub(crate) fn count(&self) -> usize {
        self.groups.iter().map(|group| group.members.len()).sum::<usize>()
            + usize::from(self.wildcard.is_some())
    }

    /// The interval in force for a symbol bound to `own`, symbol over `*` over connection over
    /// default.
    pub(crate) fn interval_of(&self, own: u16) -> u16 {
        let wildcard = self.wildcard.as_ref().map_or(INHERIT, |each| each.own_throttle_ms);
        [own, wildcard, self.connection_throttle_ms]
            .into_iter()
            .find(|each| *each != INHERIT)
            .unwrap_or(self.default_throttle_ms)
    }

    /// The connection's interval in force.
    pub(crate) fn connection_interval(&self) -> u16 {
        match self.connection_throttle_ms {
            INHERIT => self.default_throttle_ms,
            own => own,
        }
    }

    /// Distinct intervals if a subscription with `interval_ms` were added.
    pub(crate) fn intervals_with(&self, interval_ms: u16) -> usize {
        let is_named = |wanted| self.groups.iter().any(|group| group.interval_ms == wanted);
        let covered = self.wildcard.as_ref().map(|each| each.group.interval_ms);
        let own_of_wildcard = covered.is_some_and(|covered| !is_named(covered));
        let is_new = !is_named(interval_ms) && covered != Some(interval_ms);
        self.groups.len() + usize::from(own_of_wildcard) + usize::from(is_new)
    }

    /// A subscription by name.
    pub(crate) fn named_mut(&mut self, symbol: u32) -> Option<&mut Subscription> {
        self.groups.iter_mut().find_map(|group| {
            let at = group.position(symbol).ok()?;
            group.members.get_mut(at)
        })
    }

    /// A subscription by name, or the wildcard's place of it.
    pub(crate) fn find_mut(&mut self, symbol: u32) -> Option<&mut Subscription> {
        // Two looks, because the borrow of the first cannot be given back conditionally.
        if self.is_named(symbol) {
            return self.named_mut(symbol);
        }
        let members = &mut self.wildcard.as_mut()?.group.members;
        members.get_mut(symbol as usize).filter(|member| !member.channels.is_empty())
    }

    pub(crate) fn is_named(&self, symbol: u32) -> bool {
        self.groups.iter().any(|group| group.position(symbol).is_ok())
    }

    pub(crate) fn group_mut(&mut self, id: GroupId) -> Option<&mut Group> {
        if id == GroupId::WILDCARD {
            return self.wildcard.as_mut().map(|each| &mut each.group);
        }
        self.groups.iter_mut().find(|group| group.id == id)
    }

    /// Takes those subscriptions by name out of their groups that leave, cursors and all, each with
    /// its group's interval. One look at each, however many leave.
    fn take_all(
        &mut self,
        leaves: impl Fn(&Subscription, u16) -> bool,
        schedule: &mut Schedule,
    ) -> Vec<(Subscription, u16)> {
        let mut taken = Vec::new();
        for group in &mut self.groups {
            work::look_at(group.members.len());
            let first = taken.len();
            let interval_ms = group.interval_ms;
            let leaving = group.members.extract_if(.., |member| leaves(member, interval_ms));
            taken.extend(leaving.map(|member| (member, interval_ms)));
            let leaving = &taken[first..];
            if leaving.is_empty() {
                continue;
            }
            let has_left = |symbol| leaving.binary_search_by_key(&symbol, |each| each.0.symbol);
            group.moved.retain(|each| has_left(each.symbol).is_err());
            if group.is_realtime() {
                for (member, _) in leaving {
                    schedule.interest.remove(member.symbol, self.session);
                }
            }
            if group.members.is_empty() {
                group.cancel(schedule);
            }
        }
        self.groups.retain(|group| !group.members.is_empty());
        taken
    }

    /// The place of the group of an interval, made if need be.
    fn group_at(&mut self, interval_ms: u16) -> usize {
        if let Some(at) = self.groups.iter().position(|group| group.interval_ms == interval_ms) {
            return at;
        }
        // Nearly every session has one interval; a vector of its own accord would make room for four.
        self.groups.reserve_exact(1);
        self.groups.push(Group::new(GroupId(self.next_group), interval_ms));
        self.next_group += 1;
        self.groups.len() - 1
    }

    /// Puts subscriptions by name into the groups of their intervals, each with the interval it had
    /// if it was sent anything under one. Costs one sorting of them and, in each group that gains,
    /// one look at its members.
    fn put_all(&mut self, mut joining: Vec<(Subscription, Option<u16>)>, schedule: &mut Schedule) {
        let place = |(member, _): &(Subscription, Option<u16>)| {
            (self.interval_of(member.own_throttle_ms), member.symbol)
        };
        joining.sort_by(|left, right| {
            work::look_at(1);
            place(left).cmp(&place(right))
        });
        let mut rest = &joining[..];
        while let Some((first, _)) = rest.first() {
            let interval_ms = self.interval_of(first.own_throttle_ms);
            let same = |(member, _): &(Subscription, Option<u16>)| {
                self.interval_of(member.own_throttle_ms) == interval_ms
            };
            let (joining, others) = rest.split_at(rest.partition_point(same));
            rest = others;
            let at = self.group_at(interval_ms);
            let group = &mut self.groups[at];
            group.insert_all(joining.iter().map(|(member, _)| *member));
            for (member, left_ms) in joining {
                if group.is_realtime() {
                    schedule.interest.add(member.symbol, self.session);
                    // What changed while it was throttled is due now.
                    group.mark(member.symbol);
                } else if let Some(left_ms) = left_ms {
                    let moved = group.moved(member.symbol, *left_ms, schedule);
                    group.moved.push(moved);
                }
            }
            group.settle_moved();
            let prompt = joining.iter().any(|(member, _)| member.channels.has_any(PROMPT));
            group.ensure_timers(self.session, prompt, schedule);
        }
    }

    /// Adds subscriptions by name, each of a symbol that has none. Those that the wildcard covered
    /// bring their cursors.
    pub(crate) fn join(&mut self, members: Vec<Subscription>, schedule: &mut Schedule) {
        let covered_ms = self.wildcard.as_ref().map(|each| each.group.interval_ms);
        let joining = members.into_iter().map(|member| (member, covered_ms));
        self.put_all(joining.collect(), schedule);
    }

    /// Writes a changed subscription by name back where it is; [`Self::regroup`] has to follow if
    /// its interval changed, and moves any number of them at the cost of one sorting. False where it
    /// is not subscribed.
    pub(crate) fn write_back(&mut self, member: Subscription, schedule: &mut Schedule) -> bool {
        for group in &mut self.groups {
            if let Ok(at) = group.position(member.symbol) {
                group.members[at] = member;
                let prompt = member.channels.has_any(PROMPT);
                group.ensure_timers(self.session, prompt, schedule);
                return true;
            }
        }
        false
    }

    /// Ends the subscriptions whose names are gone; the wildcard has back what it covers.
    pub(crate) fn release(&mut self, schedule: &mut Schedule) {
        let released = self.take_all(|member, _| member.named.is_empty(), schedule);
        let Some(wildcard) = self.wildcard.as_mut().filter(|_| !released.is_empty()) else {
            return;
        };
        for (member, left_ms) in released {
            wildcard.take_back(member, left_ms, schedule);
        }
        let prompt = wildcard.channels.has_any(PROMPT);
        wildcard.group.ensure_timers(self.session, prompt, schedule);
    }

    /// Moves every subscription whose interval in force has changed to the group it belongs to.
    pub(crate) fn regroup(&mut self, schedule: &mut Schedule) {
        let inherited_ms = self.interval_of(INHERIT);
        let has_moved = |member: &Subscription, interval_ms| match member.own_throttle_ms {
            INHERIT => interval_ms != inherited_ms,
            own => interval_ms != own,
        };
        let moving = self.take_all(has_moved, schedule);
        let moving = moving.into_iter().map(|(member, left_ms)| (member, Some(left_ms)));
        self.put_all(moving.collect(), schedule);
        self.regroup_wildcard(schedule);
    }

    /// Adds the wildcard, covering `count` symbols; those subscribed by name stay with their name.
    pub(crate) fn open_wildcard(&mut self, schedule: &mut Schedule) -> &mut Wildcard {
        if self.wildcard.is_none() {
            let interval_ms = self.interval_of(INHERIT);
            schedule.interest.wildcards.push(self.session);
            schedule.interest.realtime_wildcards += usize::from(interval_ms == 0);
            self.wildcard = Some(Box::new(Wildcard::new(interval_ms)));
        }
        self.wildcard.as_mut().expect("it was made above")
    }

    /// Covers the symbols listed so far and brings every name's channels in force up to date.
    pub(crate) fn spread_wildcard(&mut self, count: u32, schedule: &mut Schedule) {
        let Some(wildcard) = self.wildcard.as_mut() else { return };
        wildcard.grow(count);
        for group in &mut self.groups {
            work::look_at(group.members.len());
            for member in &mut group.members {
                wildcard.vacate(member.symbol);
                member.set_channels(member.named.with(wildcard.channels));
            }
            // The tape or bars may be among the channels they gained.
            let prompt = group.members.iter().any(|member| member.channels.has_any(PROMPT));
            group.ensure_timers(self.session, prompt, schedule);
        }
        let prompt = wildcard.channels.has_any(PROMPT);
        wildcard.group.ensure_timers(self.session, prompt, schedule);
    }

    /// Ends the wildcard; names keep what they named.
    pub(crate) fn close_wildcard(&mut self, schedule: &mut Schedule) {
        let Some(mut wildcard) = self.wildcard.take() else { return };
        wildcard.group.cancel(schedule);
        schedule.interest.wildcards.retain(|each| *each != self.session);
        schedule.interest.realtime_wildcards -= usize::from(wildcard.group.is_realtime());
        for member in self.groups.iter_mut().flat_map(|group| &mut group.members) {
            work::look_at(1);
            member.set_channels(member.named);
        }
        self.regroup(schedule);
    }

    /// Ends everything; the session is over.
    pub(crate) fn clear(&mut self, schedule: &mut Schedule) {
        self.close_wildcard(schedule);
        for mut group in self.groups.drain(..) {
            group.cancel(schedule);
            if group.is_realtime() {
                for member in &group.members {
                    schedule.interest.remove(member.symbol, self.session);
                }
            }
        }
    }

    /// Gives spare memory back: most sessions subscribe once and stream for hours.
    pub(crate) fn shrink(&mut self) {
        for group in &mut self.groups {
            group.members.shrink_to_fit();
        }
        self.groups.shrink_to_fit();
    }

    /// Every subscription in force, names first.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Subscription> {
        let covered = self.wildcard.iter_mut().flat_map(|each| &mut each.group.members);
        self.groups
            .iter_mut()
            .flat_map(|group| &mut group.members)
            .chain(covered)
            .filter(|member| !member.channels.is_empty())
    }

    fn regroup_wildcard(&mut self, schedule: &mut Schedule) {
        let interval_ms = self.interval_of(INHERIT);
        let session = self.session;
        let Some(wildcard) = self.wildcard.as_mut() else { return };
        let group = &mut wildcard.group;
        if group.interval_ms == interval_ms {
            return;
        }
        group.cancel(schedule);
        schedule.interest.realtime_wildcards -= usize::from(group.interval_ms == 0);
        schedule.interest.realtime_wildcards += usize::from(interval_ms == 0);
        wildcard.set_interval(interval_ms, schedule);
        let prompt = wildcard.channels.has_any(PROMPT);
        wildcard.group.ensure_timers(session, prompt, schedule);
    }
}

/// The wildcard's channels of a name, for a name that loses some of its own.
pub(crate) fn covered_channels(wildcard: Option<&Wildcard>) -> Channels {
    wildcard.map_or(Channels::NONE, |each| each.channels)
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;
    use crate::config::EngineConfig;

    const MEMBERS: usize = 1_000;

    /// A session with so many symbols at 100 ms, sent something before.
    fn portfolio(schedule: &mut Schedule) -> Portfolio {
        let mut portfolio = Portfolio::new(0, 100);
        let member = |symbol| Subscription { quote_cursor: 1, ..Subscription::new(symbol) };
        portfolio.join((0..MEMBERS as u32).map(member).collect(), schedule);
        portfolio
    }

    fn schedule() -> Schedule {
        Schedule::new(&EngineConfig::default(), StdRng::seed_from_u64(1), 0)
    }

    #[test]
    fn spare_memory_is_given_back() {
        let mut portfolio = portfolio(&mut schedule());
        portfolio.groups.reserve(10);
        portfolio.groups[0].members.reserve(500);
        portfolio.shrink();
        let capacities = (portfolio.groups.capacity(), portfolio.groups[0].members.capacity());
        assert_eq!(capacities, (1, MEMBERS));
    }

    #[test]
    fn alternating_the_throttle_of_all_costs_the_same_the_thousandth_time() {
        let mut schedule = schedule();
        let mut portfolio = portfolio(&mut schedule);
        work::take();
        for round in 0..1_000 {
            portfolio.connection_throttle_ms = [200, 100, 0][round % 3];
            portfolio.regroup(&mut schedule);
            let looked_at = work::take();
            // Each is looked at, sorted, put in, settled among those that moved, and asked by a
            // new group when it was sent something.
            assert!(looked_at <= 5 * MEMBERS, "{looked_at} in round {round}");
            let held: usize = portfolio.groups.iter().map(|each| each.moved.capacity()).sum();
            assert!(held <= 4 * MEMBERS, "{held} kept after round {round}");
            assert_eq!((portfolio.count(), portfolio.groups.len()), (MEMBERS, 1));
        }
    }

    #[test]
    fn alternating_the_throttle_of_one_looks_at_the_others_once() {
        let mut schedule = schedule();
        let mut portfolio = portfolio(&mut schedule);
        work::take();
        for round in 0..1_000 {
            let own = [200, INHERIT][round % 2];
            portfolio.named_mut(7).expect("subscribed").own_throttle_ms = own;
            portfolio.regroup(&mut schedule);
            let looked_at = work::take();
            assert!(looked_at <= 2 * MEMBERS + 10, "{looked_at} in round {round}");
        }
    }

    #[test]
    fn who_leaves_is_forgotten_among_those_that_moved() {
        let mut schedule = schedule();
        let mut portfolio = portfolio(&mut schedule);
        portfolio.connection_throttle_ms = 200;
        portfolio.regroup(&mut schedule);
        assert_eq!(portfolio.groups[0].moved.len(), MEMBERS);
        for member in &mut portfolio.groups[0].members {
            member.named = if member.symbol % 2 == 0 { Channels::DEFAULT } else { Channels::NONE };
        }
        portfolio.release(&mut schedule);
        assert_eq!(portfolio.count(), MEMBERS / 2);
        let moved = &portfolio.groups[0].moved;
        assert_eq!(moved.len(), MEMBERS / 2);
        assert!(moved.iter().all(|each| each.symbol % 2 == 0));
    }

    #[test]
    fn moving_each_by_name_costs_one_look_at_all() {
        let mut schedule = schedule();
        let mut portfolio = portfolio(&mut schedule);
        work::take();
        for round in 0..100 {
            let own = [200, 300][round % 2];
            for symbol in 0..MEMBERS as u32 {
                let mut member = *portfolio.named_mut(symbol).expect("subscribed");
                member.own_throttle_ms = own;
                assert!(portfolio.write_back(member, &mut schedule));
            }
            portfolio.regroup(&mut schedule);
            let looked_at = work::take();
            assert!(looked_at <= 5 * MEMBERS, "{looked_at} in round {round}");
            let intervals = portfolio.groups.iter().map(|group| group.interval_ms);
            assert_eq!(intervals.collect::<Vec<_>>(), [own]);
        }
        assert!(!portfolio.write_back(Subscription::new(MEMBERS as u32), &mut schedule));
    }

    fn member(symbol: u32, throttle_ms: u16) -> Subscription {
        let mut member = Subscription::new(symbol);
        member.named = Channels::ALL;
        member.set_channels(Channels::ALL);
        member.own_throttle_ms = throttle_ms;
        member
    }

    /// What a command of one name does.
    fn put(portfolio: &mut Portfolio, member: Subscription, schedule: &mut Schedule) {
        if portfolio.write_back(member, schedule) {
            portfolio.regroup(schedule);
        } else {
            portfolio.join(vec![member], schedule);
        }
    }

    /// Timers of the session that fire up to the tick `to`, none of which is started anew.
    fn fired(schedule: &mut Schedule, to: u64) -> (usize, usize) {
        let mut fired = Vec::new();
        schedule.wheel.advance(to, &mut fired);
        let tapes = fired.iter().filter(|(due, _)| due.tape_only).count();
        (fired.len() - tapes, tapes)
    }

    #[test]
    fn a_group_has_two_timers_however_often_its_members_are_changed() {
        let mut schedule = schedule();
        let mut portfolio = Portfolio::new(0, 100);
        for round in 0..50 {
            for symbol in 0..4 {
                put(&mut portfolio, member(symbol, 60_000), &mut schedule);
            }
            if round % 7 == 0 {
                portfolio.regroup(&mut schedule);
            }
        }
        assert_eq!(fired(&mut schedule, 12_000), (1, 1));
    }

    #[test]
    fn what_ends_takes_its_timers_and_its_interest_along() {
        let mut schedule = schedule();
        let mut portfolio = Portfolio::new(0, 100);
        put(&mut portfolio, member(1, 60_000), &mut schedule);
        put(&mut portfolio, member(2, 50), &mut schedule);
        put(&mut portfolio, member(3, 0), &mut schedule);
        portfolio.open_wildcard(&mut schedule);
        portfolio.spread_wildcard(9, &mut schedule);
        assert_eq!(portfolio.count(), 4);
        assert!(schedule.interest.is_realtime());
        assert_eq!(portfolio.intervals_with(50), 4, "50 ms is held already");
        assert_eq!(portfolio.intervals_with(51), 5);
        put(&mut portfolio, member(1, 50), &mut schedule);
        assert_eq!(portfolio.intervals_with(50), 3, "the emptied group is gone");
        portfolio.clear(&mut schedule);
        assert_eq!(fired(&mut schedule, 12_000), (0, 0));
        assert!(!schedule.interest.is_realtime());
        assert_eq!(schedule.interest.of(3), [0; 0]);
        assert_eq!(schedule.interest.wildcards, [0; 0]);
    }
}
