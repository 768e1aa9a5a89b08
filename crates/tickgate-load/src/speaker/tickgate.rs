//! `tickgate.v1`: everything is decoded, applied with the protocol's own client side, timed and
//! checked.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use rustc_hash::FxHashMap;
use tickgate_protocol::{
    book::Book,
    channel::{Channel, Channels},
    command::{Command, Op, Resume, Subscribe},
    decode::{Decoder, Message},
    dialect::Dialect,
    entry::{Entry, Frame, LostOrigin, Step, trade_flag},
    number::ABSENT,
    reply::{Reply, Subscribed},
    symbol::{WILDCARD, WireId},
};

use super::{Fault, Heard, Progress, Seen, Speaker, recent::Recent};
use crate::{
    measure::{
        Tally,
        held::{Asked, Held, Rhythm},
    },
    outbox::Outbox,
    scenario::{Acknowledge, Group},
};

/// Longest a subscribe command may get, bytes: three quarters of what a gateway takes by default.
const COMMAND_BYTES: usize = 12 * 1024;

/// Bytes that a name takes in a command beside its letters, in either encoding.
const NAME_BYTES: usize = 4;

/// Longest a gateway lets a trade wait, whatever the throttle interval, microseconds
/// (docs/PROTOCOL.md).
const TAPE_INTERVAL_US: i64 = 100_000;

/// Most states that a client notes for the comparison; later ones are not noted.
const SEEN_LIMIT: usize = 20_000;

/// How a client of Tickgate conducts itself; the same for all of a group.
#[derive(Debug)]
pub(crate) struct Conduct {
    pub(crate) dialect: Dialect,
    channels: Channels,
    throttle_ms: Option<u32>,
    max_bytes_per_second: Option<u64>,
    credit_frames: Option<u64>,
    acknowledges: Acknowledge,
}

impl Conduct {
    pub(crate) fn of(group: &Group) -> Self {
        Self {
            dialect: group.format.dialect(),
            channels: group.channels.iter().filter_map(|name| Channel::from_name(name)).collect(),
            throttle_ms: group.throttle_ms,
            max_bytes_per_second: group.max_bytes_per_second,
            credit_frames: group.credit_frames,
            acknowledges: group.acknowledges,
        }
    }
}

/// Times of a frame, Unix microseconds.
#[derive(Debug, Clone, Copy)]
struct Times {
    /// Its stamp.
    stamp_us: i64,
    /// Since when what is merged in it happened.
    since_us: i64,
    /// When it was read.
    received_us: i64,
}

impl Times {
    /// When an event of this age happened.
    const fn tick_us(self, age_us: i64) -> i64 {
        if age_us == ABSENT { ABSENT } else { self.stamp_us - age_us }
    }
}

/// One client's side.
#[derive(Debug)]
pub(crate) struct Tickgate {
    conduct: Arc<Conduct>,
    /// What it asks for, in order of names; `*` alone for everything.
    symbols: Vec<Arc<str>>,
    decoder: Decoder,
    book: Book,
    recent: Recent,
    /// Newest tick of each symbol's state channel: at most two a symbol.
    held: FxHashMap<(WireId, Channel), (u64, Held)>,
    asked: Asked,
    rhythm: Rhythm,
    silence_limit_us: Option<i64>,
    /// What `draining` asked for.
    stays_away: Duration,
    /// Subscribe commands whose `ready` has not come.
    unready: u64,
    subscribes: u64,
    /// Where the tapes stood when the connection before ended; each until it is joined again.
    resumed: BTreeMap<Box<str>, u64>,
    /// Newest frame that was acknowledged.
    acknowledged: u64,
    /// States noted for the comparison, while it goes on.
    seen: Option<Vec<Seen>>,
}

impl Tickgate {
    /// `sampled_at_us` is when in each second what it holds is sampled.
    pub(crate) fn new(
        conduct: Arc<Conduct>,
        mut symbols: Vec<Arc<str>>,
        sampled_at_us: i64,
    ) -> Self {
        symbols.sort_unstable();
        Self {
            decoder: Decoder::new(conduct.dialect),
            conduct,
            symbols,
            book: Book::new(),
            recent: Recent::default(),
            held: FxHashMap::default(),
            asked: Asked { throttle_us: 0, sampled_at_us },
            rhythm: Rhythm::default(),
            silence_limit_us: None,
            stays_away: Duration::ZERO,
            unready: 0,
            subscribes: 0,
            resumed: BTreeMap::new(),
            acknowledged: 0,
            seen: None,
        }
    }

    fn is_wildcard(&self) -> bool {
        matches!(&*self.symbols, [only] if &**only == WILDCARD)
    }

    fn say(&self, out: &mut Outbox, id: Option<i64>, op: Op) {
        let mut payload = Vec::new();
        self.conduct.dialect.write_command(&mut payload, &Command { id, op });
        if self.conduct.dialect.is_text() { out.text(&payload) } else { out.binary(&payload) }
    }

    fn ask_for_everything(&mut self, out: &mut Outbox) {
        if let Some(bytes) = self.conduct.max_bytes_per_second {
            let max_bytes_per_second = Some(Some(bytes));
            let op = Op::Throttle { symbols: None, throttle_ms: None, max_bytes_per_second };
            self.say(out, None, op);
        }
        if let Some(frames) = self.conduct.credit_frames {
            self.say(out, None, Op::Credit { frames: Some(frames) });
        }
        let epoch = self.book.epoch();
        for names in pages(&self.symbols) {
            self.subscribes += 1;
            let trades = names.iter().filter_map(|name| {
                let (name, sequence) = self.resumed.get_key_value(&**name)?;
                Some((name.to_string(), *sequence))
            });
            let trades: Vec<_> = trades.collect();
            let resume = epoch.filter(|_| !trades.is_empty());
            let subscribe = Subscribe {
                symbols: names.iter().map(|name| name.to_string()).collect(),
                channels: Some(self.conduct.channels),
                throttle_ms: self.conduct.throttle_ms.map(Some),
                resume: resume.map(|epoch| Resume { epoch, trades }),
                ..Subscribe::default()
            };
            // Never more than the symbols, which are far fewer than 2^63.
            self.say(out, Some(self.subscribes.cast_signed()), Op::Subscribe(subscribe));
        }
        self.unready = self.subscribes;
    }

    fn reply(&mut self, reply: Reply, out: &mut Outbox, tally: &mut Tally) -> Result<(), Fault> {
        match reply {
            Reply::Welcome(welcome) => {
                let milliseconds = i64::try_from(welcome.silence_limit_ms).unwrap_or(i64::MAX);
                self.silence_limit_us = Some(milliseconds.saturating_mul(1_000));
                if self.resumed_epoch() != Some(welcome.epoch) {
                    self.resumed.clear();
                }
                self.book = Book::new();
                self.book.begin(welcome.epoch);
                self.ask_for_everything(out);
            }
            Reply::Subscribed(answer) => self.subscribed(&answer, tally),
            Reply::Error(refusal) => {
                tally.counts.commands_refused += 1;
                return Err(Fault::Refused(format!(
                    "{}: {}",
                    refusal.code.name(),
                    refusal.message
                )));
            }
            // It closes soon; that is told when it does.
            Reply::Draining { reconnect_after_ms } => {
                self.stays_away = Duration::from_millis(reconnect_after_ms);
            }
            Reply::Throttled { .. } | Reply::Credited { .. } => {}
            other => tally.violation(format!("an answer to what was not asked: {other:?}")),
        }
        Ok(())
    }

    /// The epoch in which tapes were left.
    fn resumed_epoch(&self) -> Option<u64> {
        self.book.epoch().filter(|_| !self.resumed.is_empty())
    }

    fn subscribed(&mut self, answer: &Subscribed, tally: &mut Tally) {
        self.asked.throttle_us = i64::from(answer.throttle_ms) * 1_000;
        for rejected in &answer.rejected {
            tally.counts.commands_refused += 1;
            self.symbols.retain(|name| **name != *rejected.symbol);
        }
        if answer.channels != self.conduct.channels && answer.rejected.is_empty() {
            tally.violation(format!("subscribed to {:?} instead", answer.channels));
        }
    }

    fn frame(
        &mut self,
        frame: &Frame,
        heard: Heard<'_>,
        out: &mut Outbox,
        tally: &mut Tally,
    ) -> Progress {
        tally.frame(frame.entries.len(), frame.cause, frame.sent_at_us, heard.received_us);
        let channels = self.conduct.channels;
        let violations =
            self.book.apply_expecting(frame, |_, channel| channel.is_none_or(|c| channels.has(c)));
        for violation in &violations {
            tally.violation(violation.to_string());
        }
        let mut progress = Progress::Going;
        let times = Times {
            stamp_us: frame.sent_at_us,
            since_us: self.rhythm.frame(frame.sent_at_us, self.asked.throttle_us),
            received_us: heard.received_us,
        };
        for entry in &frame.entries {
            let became = self.entry(entry, times, tally);
            if became == Progress::Ready {
                progress = became;
            }
        }
        if self.conduct.credit_frames.is_some()
            && self.conduct.acknowledges == Acknowledge::AtOnce
            && !frame.entries.is_empty()
        {
            self.acknowledged = frame.sequence;
            self.say(out, None, Op::Ack { frame: frame.sequence });
        }
        progress
    }

    fn entry(&mut self, entry: &Entry, times: Times, tally: &mut Tally) -> Progress {
        let received_us = times.received_us;
        let tape_us = self.asked.throttle_us.min(TAPE_INTERVAL_US);
        match entry {
            Entry::Quote(quote) => {
                let next = Held { tick_us: times.tick_us(quote.age_us), received_us };
                self.state((quote.id, Channel::Quote), quote.step, next, times, tally);
                self.note(quote.id, Channel::Quote);
            }
            Entry::Last(last) => {
                let next = Held { tick_us: times.tick_us(last.age_us), received_us };
                self.state((last.id, Channel::Last), last.step, next, times, tally);
                self.note(last.id, Channel::Last);
            }
            Entry::Trade(trade) => {
                tally.counts.trades += 1;
                // A trade that the venue reported late is as old as that.
                let is_late = trade.flags & trade_flag::LATE != 0;
                let tick_us = if is_late { ABSENT } else { times.tick_us(trade.age_us) };
                tally.event(tick_us, received_us, tape_us);
            }
            Entry::TradeCorrection(correction) => {
                tally.counts.trades += 1;
                tally.event(times.tick_us(correction.age_us), received_us, tape_us);
            }
            Entry::TradesJoined { id, sequence, .. } => self.joined(*id, *sequence, tally),
            Entry::TradesLost(lost) => {
                let is_known = lost.from != ABSENT && lost.to != ABSENT;
                let more = u64::try_from(lost.to.saturating_sub(lost.from)).ok();
                let count = more.filter(|_| is_known).map_or(0, |more| more.saturating_add(1));
                match lost.origin {
                    LostOrigin::Connection => tally.counts.lost += count,
                    LostOrigin::Feed => tally.counts.lost_by_feed += count,
                }
            }
            Entry::Definition(definition) => {
                let is_asked = self.is_wildcard()
                    || self.symbols.binary_search_by(|name| (**name).cmp(&definition.name)).is_ok();
                if !is_asked {
                    tally.violation(format!("{} was not asked for", definition.name));
                }
            }
            Entry::Epoch { .. } => {
                self.held.clear();
                self.resumed.clear();
            }
            Entry::Ready { command_id } => return self.ready(*command_id, tally),
            Entry::Status(_) | Entry::Bar(_) => {}
        }
        Progress::Going
    }

    /// Times a state entry against what was held; the first of a conversation is a snapshot, which
    /// is as old as it is.
    fn state(
        &mut self,
        key: (WireId, Channel),
        step: Step,
        next: Held,
        times: Times,
        tally: &mut Tally,
    ) {
        use std::collections::hash_map::Entry::{Occupied, Vacant};
        match self.held.entry(key) {
            Vacant(place) => {
                if let Step::Full { sequence } = step {
                    place.insert((sequence, next));
                }
            }
            Occupied(mut known) => {
                let (head, held) = known.get_mut();
                let advance = match step {
                    Step::Full { sequence } => sequence.saturating_sub(*head),
                    Step::Delta { advance } => advance,
                };
                if advance > 0 {
                    *head += advance;
                    held.replace(next, advance, times.since_us, self.asked, tally);
                }
            }
        }
    }

    /// A tape that is resumed goes on where it was; one that does not has lost what lies between.
    fn joined(&mut self, id: WireId, sequence: u64, tally: &mut Tally) {
        let Some(symbol) = self.book.symbol_of(id) else { return };
        if let Some(left) = self.resumed.remove(&symbol.definition.name) {
            tally.counts.lost += sequence.saturating_sub(left);
            if sequence < left {
                tally.violation(format!(
                    "{} resumed at {sequence}, left at {left}",
                    symbol.definition.name
                ));
            }
        }
    }

    fn ready(&mut self, command_id: Option<i64>, tally: &mut Tally) -> Progress {
        let is_mine = command_id
            .and_then(|id| u64::try_from(id).ok())
            .is_some_and(|id| (1..=self.subscribes).contains(&id));
        if !is_mine || self.unready == 0 {
            if self.seen.is_none() {
                tally.violation(format!("ready of command {command_id:?}, which was not waiting"));
            }
            return Progress::Going;
        }
        self.unready -= 1;
        if self.unready > 0 {
            return Progress::Going;
        }
        for name in self.symbols.iter().filter(|name| &***name != WILDCARD) {
            let channels = self.conduct.channels;
            let is_complete = self.book.symbol(name).is_some_and(|symbol| {
                (!channels.has(Channel::Quote) || symbol.quote.fields.is_some())
                    && (!channels.has(Channel::Last) || symbol.last.fields.is_some())
                    && (!channels.has(Channel::Trade) || symbol.tape.head.is_some())
            });
            if !is_complete {
                tally.violation(format!("ready, and {name} has not come in full"));
            }
        }
        Progress::Ready
    }

    fn note(&mut self, id: WireId, channel: Channel) {
        let Some(seen) = &mut self.seen else { return };
        let Some(symbol) = self.book.symbol_of(id) else { return };
        if seen.len() < SEEN_LIMIT {
            seen.extend(Seen::of(symbol, channel));
        }
    }
}

impl Speaker for Tickgate {
    fn open(&mut self, _: &mut Outbox) -> Progress {
        // The gateway speaks first. The book is kept until `welcome` says which epoch it is. Tapes
        // that the connection before did not come to join are still where they were left.
        let tapes = self.book.symbols();
        self.resumed.extend(
            tapes.filter_map(|symbol| Some((symbol.definition.name.clone(), symbol.tape.head?))),
        );
        self.decoder = Decoder::new(self.conduct.dialect);
        self.held.clear();
        self.rhythm = Rhythm::default();
        (self.silence_limit_us, self.stays_away) = (None, Duration::ZERO);
        (self.subscribes, self.unready, self.acknowledged) = (0, 0, 0);
        Progress::Going
    }

    fn hear(
        &mut self,
        heard: Heard<'_>,
        out: &mut Outbox,
        tally: &mut Tally,
    ) -> Result<Progress, Fault> {
        self.recent.keep(heard.payload);
        if heard.is_text != self.conduct.dialect.is_text() {
            return Err(Fault::Violation("a message of the other kind, text or binary".to_owned()));
        }
        match self.decoder.decode(heard.payload) {
            Ok(Message::Frame(frame)) => Ok(self.frame(&frame, heard, out, tally)),
            Ok(Message::Reply(reply)) => {
                self.reply(reply, out, tally)?;
                Ok(Progress::Going)
            }
            Ok(Message::Unknown) => Ok(Progress::Going),
            Err(error) => Err(Fault::Violation(error.to_string())),
        }
    }

    fn act(&mut self, out: &mut Outbox) {
        if self.acknowledged < self.book.frame_sequence() {
            self.acknowledged += 1;
            self.say(out, None, Op::Ack { frame: self.acknowledged });
        }
    }

    fn silence_limit_us(&self) -> Option<i64> {
        self.silence_limit_us
    }

    fn stays_away(&self) -> Duration {
        self.stays_away
    }

    fn recent(&self) -> Vec<String> {
        self.recent.shown(self.conduct.dialect)
    }

    fn begin_comparison(&mut self, out: &mut Outbox) -> Vec<Arc<str>> {
        // What it holds now counts as well: a quiet symbol may not change again in time.
        let channels = self.conduct.channels;
        let holds = |symbol| channels.iter().filter_map(move |channel| Seen::of(symbol, channel));
        self.seen = Some(self.book.symbols().flat_map(holds).take(SEEN_LIMIT).collect());
        for names in pages(&self.symbols) {
            let subscribe = Subscribe {
                symbols: names.iter().map(|name| name.to_string()).collect(),
                channels: Some(self.conduct.channels),
                throttle_ms: Some(Some(0)),
                ..Subscribe::default()
            };
            self.say(out, None, Op::Subscribe(subscribe));
        }
        self.symbols.clone()
    }

    fn end_comparison(&mut self) -> Vec<Seen> {
        self.seen.take().unwrap_or_default()
    }
}

/// Names in parts that each fit a command.
fn pages(names: &[Arc<str>]) -> impl Iterator<Item = &[Arc<str>]> {
    let mut rest = names;
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let fits = rest.iter().take_while(|name| {
            bytes += name.len() + NAME_BYTES;
            bytes <= COMMAND_BYTES
        });
        let count = fits.count();
        let (page, behind) = rest.split_at(count);
        rest = behind;
        (!page.is_empty()).then_some(page)
    })
}
