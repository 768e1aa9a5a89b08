//! What is said to the gateway on one connection: the next command, and what its answer means.
//!
//! One command is under way at a time (acknowledgements go beside them), so nothing waits here but
//! what is wanted anyway. What to ask for is worked out from the subscriptions when it is their
//! turn, and cut into commands that every gateway takes whole. No I/O.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use tickgate_protocol::{
    channel::{Channel, Channels},
    command::{Command, ErrorCode, Op, Refusal, Resume, Subscribe},
    reply::{Rejected, Reply},
    symbol::WILDCARD,
};
use tokio::{sync::oneshot, time::Instant};

use crate::{
    error::{CommandError, Disconnect, ProtocolViolation, Refused},
    market::{Market, MemberKey, Want},
    update::{Instrument, Symbol},
};

/// Symbols in one command. A gateway refuses a command whole when its answer would reject more.
const SYMBOLS_LIMIT: usize = 256;

/// How long nothing is asked after the gateway found that too much was.
const TOO_MANY_WAIT: Duration = Duration::from_secs(1);

/// The connection's own settings, made again after each reconnect.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Settings {
    pub(crate) throttle_ms: Option<u32>,
    pub(crate) max_bytes_per_second: Option<u64>,
    pub(crate) credit: Option<u64>,
}

/// A change of one of them.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Setting {
    Throttle(Option<u32>),
    Budget(Option<u64>),
    Credit(Option<u64>),
}

/// Something whose answer somebody waits for.
#[derive(Debug)]
pub(crate) enum Request {
    /// A change of a setting.
    Set { setting: Setting, answer: Answer<()> },
    /// What a symbol stands for; its name is one that can be.
    Look { symbol: String, answer: Answer<Option<Instrument>> },
}

pub(crate) type Answer<T> = oneshot::Sender<Result<T, CommandError>>;

/// Why the connection cannot go on.
#[derive(Debug)]
pub(crate) enum Problem {
    /// The gateway broke the protocol.
    Violation(ProtocolViolation),
    /// One of the settings was refused.
    Setting(Refused),
}

/// One connection's commands.
#[derive(Debug)]
pub(crate) struct Conversation {
    message_bytes: usize,
    /// Settings to be made before anything else; the last is a ping, so that a first command is
    /// said within the gateway's limit also where nothing is set.
    setup: VecDeque<Op>,
    under_way: Option<(i64, Asked)>,
    request: Option<Request>,
    /// Channels subscribed on this connection.
    subscribed: HashMap<Symbol, Channels>,
    next_id: i64,
    held_until: Option<Instant>,
    acknowledged: u64,
    reconnect_after: Option<Duration>,
}

#[derive(Debug)]
enum Asked {
    Setup(Op),
    Request(Request),
    Join { member: MemberKey, symbols: Vec<Symbol>, channels: Channels },
    Leave { symbols: Vec<Symbol>, channels: Channels },
}

impl Conversation {
    /// `request` is one that an earlier connection did not get answered.
    pub(crate) fn new(settings: &Settings, message_bytes: u64, request: Option<Request>) -> Self {
        let mut setup = VecDeque::new();
        if settings.throttle_ms.is_some() || settings.max_bytes_per_second.is_some() {
            setup.push_back(Op::Throttle {
                symbols: None,
                throttle_ms: settings.throttle_ms.map(Some),
                max_bytes_per_second: settings.max_bytes_per_second.map(Some),
            });
        }
        if settings.credit.is_some() {
            setup.push_back(Op::Credit { frames: settings.credit });
        }
        setup.push_back(Op::Ping);
        Self {
            message_bytes: usize::try_from(message_bytes).unwrap_or(usize::MAX),
            setup,
            under_way: None,
            request,
            subscribed: HashMap::new(),
            next_id: 0,
            held_until: None,
            acknowledged: 0,
            reconnect_after: None,
        }
    }

    /// True when a request may be handed over.
    pub(crate) fn has_room(&self) -> bool {
        self.request.is_none()
    }

    pub(crate) fn hand_over(&mut self, request: Request) {
        self.request = Some(request);
    }

    /// A request without an answer, for the next connection.
    pub(crate) fn into_request(self) -> Option<Request> {
        match self.under_way {
            Some((_, Asked::Request(request))) => Some(request),
            _ => self.request,
        }
    }

    /// True when all settings are in force.
    pub(crate) fn is_set_up(&self) -> bool {
        self.setup.is_empty() && !matches!(self.under_way, Some((_, Asked::Setup(_))))
    }

    /// What `draining` asked for.
    pub(crate) fn reconnect_after(&self) -> Option<Duration> {
        self.reconnect_after
    }

    /// Until when nothing may be asked.
    pub(crate) fn held_until(&self) -> Option<Instant> {
        self.held_until
    }

    /// The acknowledgement that is due.
    pub(crate) fn ack(&mut self, market: &mut Market) -> Option<Command> {
        let frame = market.processed_frame();
        if !market.has_credit || frame <= self.acknowledged {
            return None;
        }
        self.acknowledged = frame;
        market.stats.acks += 1;
        Some(Command { id: None, op: Op::Ack { frame } })
    }

    /// The next command, if one may be said now.
    pub(crate) fn next(&mut self, market: &mut Market, now: Instant) -> Option<Command> {
        if self.held_until.is_some_and(|until| now < until) || self.under_way.is_some() {
            return None;
        }
        self.held_until = None;
        let id = self.next_id + 1;
        let (asked, op) = self
            .next_setup()
            .or_else(|| self.next_leave(market))
            .or_else(|| self.next_join(market, id))
            .or_else(|| self.next_request())?;
        self.next_id = id;
        self.under_way = Some((id, asked));
        Some(Command { id: Some(id), op })
    }

    /// Takes an answer, or what else the gateway says.
    pub(crate) fn answered(
        &mut self,
        reply: Reply,
        market: &mut Market,
        settings: &mut Settings,
        now: Instant,
    ) -> Result<(), Problem> {
        let (id, name) = match &reply {
            Reply::Draining { reconnect_after_ms } => {
                self.reconnect_after = Some(Duration::from_millis(*reconnect_after_ms));
                return Ok(());
            }
            Reply::Error(refusal) => {
                market.stats.commands_refused += 1;
                (refusal.id, "error")
            }
            Reply::Subscribed(subscribed) => (subscribed.id, "subscribed"),
            Reply::Unsubscribed { id, .. } => (*id, "unsubscribed"),
            Reply::Throttled { id, .. } => (*id, "throttled"),
            Reply::Credited { id, .. } => (*id, "credited"),
            Reply::Pong { id, .. } => (*id, "pong"),
            Reply::History { id, .. } => (*id, "history"),
            Reply::Symbols { id, .. } => (*id, "symbols"),
            Reply::Welcome(_) => (None, "welcome"),
        };
        let unexpected = || {
            let (expected, found) = ("the answer to the command under way", name.to_owned());
            Problem::Violation(ProtocolViolation::Unexpected { expected, found })
        };
        let Some((_, asked)) = self.under_way.take_if(|(asked, _)| Some(*asked) == id) else {
            return Err(unexpected());
        };
        match (asked, reply) {
            (asked, Reply::Error(refusal)) => {
                self.refused(asked, refusal, id, market, now)?;
            }
            (Asked::Join { member, symbols, channels }, Reply::Subscribed(subscribed)) => {
                self.joined(member, symbols, channels, subscribed.rejected, market);
            }
            (Asked::Leave { symbols, channels }, Reply::Unsubscribed { .. }) => {
                self.left(symbols, channels, market);
            }
            (Asked::Setup(Op::Throttle { .. }), Reply::Throttled { .. })
            | (Asked::Setup(Op::Credit { .. }), Reply::Credited { .. })
            | (Asked::Setup(Op::Ping), Reply::Pong { .. }) => {}
            (
                Asked::Request(Request::Set { setting, answer }),
                Reply::Throttled { .. } | Reply::Credited { .. },
            ) => {
                match setting {
                    Setting::Throttle(throttle_ms) => settings.throttle_ms = throttle_ms,
                    Setting::Budget(budget) => settings.max_bytes_per_second = budget,
                    Setting::Credit(frames) => {
                        settings.credit = frames;
                        market.has_credit = frames.is_some();
                    }
                }
                // Nobody may be waiting any more.
                let _ = answer.send(Ok(()));
            }
            (
                Asked::Request(Request::Look { symbol, answer }),
                Reply::Symbols { mut symbols, .. },
            ) => {
                symbols.retain(|info| info.name == symbol);
                let _ = answer.send(Ok(symbols.pop().map(Into::into)));
            }
            _ => return Err(unexpected()),
        }
        Ok(())
    }

    fn next_setup(&mut self) -> Option<(Asked, Op)> {
        let op = self.setup.pop_front()?;
        Some((Asked::Setup(op.clone()), op))
    }

    fn next_request(&mut self) -> Option<(Asked, Op)> {
        let request = self.request.take()?;
        let throttle = |throttle_ms, max_bytes_per_second| Op::Throttle {
            symbols: None,
            throttle_ms,
            max_bytes_per_second,
        };
        let op = match &request {
            Request::Set { setting: Setting::Throttle(throttle_ms), .. } => {
                throttle(Some(*throttle_ms), None)
            }
            Request::Set { setting: Setting::Budget(budget), .. } => throttle(None, Some(*budget)),
            Request::Set { setting: Setting::Credit(frames), .. } => Op::Credit { frames: *frames },
            // Of all names that begin so, the name itself comes first.
            Request::Look { symbol, .. } => {
                Op::Symbols { prefix: symbol.clone(), after: None, limit: Some(1) }
            }
        };
        Some((Asked::Request(request), op))
    }

    /// What nobody wants any more, of one set of channels.
    fn next_leave(&self, market: &mut Market) -> Option<(Asked, Op)> {
        let surplus = |market: &Market, symbol: &Symbol| {
            let wanted = market.want(symbol).map_or(Channels::NONE, |want| want.channels);
            self.subscribed.get(symbol).map_or(Channels::NONE, |has| has.without(wanted))
        };
        let mut channels = Channels::NONE;
        let mut symbols: Vec<Symbol> = Vec::new();
        let mut room = Room::of(self.message_bytes);
        while let Some(symbol) = market.leaving.first().cloned() {
            let of_this = surplus(market, &symbol);
            if !of_this.is_empty() {
                if channels.is_empty() {
                    channels = of_this;
                }
                if of_this != channels || !room.takes(&symbol, false) {
                    break;
                }
                symbols.push(symbol.clone());
            }
            market.leaving.remove(&symbol);
        }
        if symbols.is_empty() {
            return None;
        }
        let names = symbols.iter().map(|symbol| symbol.to_string()).collect();
        let op = Op::Unsubscribe { symbols: names, channels };
        Some((Asked::Leave { symbols, channels }, op))
    }

    /// The next symbols of the first subscription that has not asked for all of its own.
    fn next_join(&self, market: &mut Market, id: i64) -> Option<(Asked, Op)> {
        let mut waiting = market.members_mut();
        let (key, pending) = waiting.find_map(|(key, member)| {
            let pending = member.symbols.get(member.asked..).filter(|rest| !rest.is_empty())?;
            Some((key, pending[..pending.len().min(SYMBOLS_LIMIT)].to_vec()))
        })?;
        drop(waiting);
        let want = market.want(pending.first()?)?;
        let mut room = Room::of(self.message_bytes);
        let mut symbols: Vec<Symbol> = Vec::new();
        let mut trades: Vec<(String, u64)> = Vec::new();
        for symbol in pending {
            let left_at = self.left_at(&symbol, &want, market);
            if market.want(&symbol) != Some(want) || !room.takes(&symbol, left_at.is_some()) {
                break;
            }
            if let Some(sequence) = left_at {
                trades.push((symbol.to_string(), sequence));
            }
            symbols.push(symbol);
        }
        if symbols.iter().any(|symbol| &**symbol == WILDCARD) && want.channels.has(Channel::Trade) {
            // A wildcard resumes the tapes it covered; those that do not fit begin afresh, which
            // the consumer is told.
            let covered = market.heads().filter(|(symbol, _)| market.want(symbol).is_none());
            let fitting = covered.take_while(|(symbol, _)| room.takes(symbol, true));
            trades.extend(fitting.map(|(symbol, head)| (symbol.to_string(), head)));
        }
        let resume = market.epoch().filter(|_| !trades.is_empty());
        let op = Op::Subscribe(Subscribe {
            symbols: symbols.iter().map(|symbol| symbol.to_string()).collect(),
            channels: Some(want.channels),
            throttle_ms: Some(want.throttle_ms),
            resume: resume.map(|epoch| Resume { epoch, trades }),
            ..Subscribe::default()
        });
        let member = market.member_mut(key)?;
        member.asked += symbols.len();
        member.awaited.push(id);
        Some((Asked::Join { member: key, symbols, channels: want.channels }, op))
    }

    /// Where the symbol's tape goes on, if this subscribe is what joins it.
    fn left_at(&self, symbol: &Symbol, want: &Want, market: &Market) -> Option<u64> {
        let has_tape = |has: &Channels| has.has(Channel::Trade);
        if !want.channels.has(Channel::Trade) || self.subscribed.get(symbol).is_some_and(has_tape) {
            return None;
        }
        market.head(symbol)
    }

    fn joined(
        &mut self,
        key: MemberKey,
        symbols: Vec<Symbol>,
        channels: Channels,
        rejected: Vec<Rejected>,
        market: &mut Market,
    ) {
        for symbol in symbols {
            if !rejected.iter().any(|rejected| *rejected.symbol == *symbol) {
                let has = self.subscribed.entry(symbol).or_default();
                *has = has.with(channels);
            }
        }
        let Some(member) = market.member_mut(key) else { return };
        let is_first = member.answer.is_some();
        if is_first {
            rejected.iter().for_each(|rejected| member.remove(&rejected.symbol));
            member.rejected.extend(rejected);
        } else {
            for rejected in rejected {
                market.tell_rejected(key, &rejected.symbol, rejected.code);
            }
        }
        let Some(member) = market.member_mut(key) else { return };
        if member.asked < member.symbols.len() {
            return;
        }
        if let Some(answer) = member.answer.take() {
            let rejected = std::mem::take(&mut member.rejected);
            let none = member.symbols.is_empty();
            // Nobody may be waiting any more.
            let _ = answer.send(if none {
                Err(CommandError::Rejected { rejected })
            } else {
                Ok(rejected)
            });
        }
    }

    fn left(&mut self, symbols: Vec<Symbol>, channels: Channels, market: &mut Market) {
        for symbol in symbols {
            let Some(has) = self.subscribed.get_mut(&symbol) else { continue };
            *has = has.without(channels);
            if has.is_empty() {
                self.subscribed.remove(&symbol);
            }
            let held = |name: &str| self.subscribed.get(name).copied().unwrap_or_default();
            let covered = held(WILDCARD);
            if &*symbol == WILDCARD {
                for known in market.known_symbols() {
                    market.forget(&known, Channels::EVERY.without(held(&known).with(covered)));
                }
            } else {
                market.forget(&symbol, channels.without(covered));
            }
        }
    }

    fn refused(
        &mut self,
        asked: Asked,
        refusal: Refusal,
        id: Option<i64>,
        market: &mut Market,
        now: Instant,
    ) -> Result<(), Problem> {
        let again = refusal.code == ErrorCode::TooManyCommands;
        if again {
            self.held_until = Some(now + TOO_MANY_WAIT);
        }
        match asked {
            Asked::Setup(op) if again => self.setup.push_front(op),
            Asked::Setup(_) => return Err(Problem::Setting(refusal.into())),
            Asked::Request(request) if again => self.request = Some(request),
            Asked::Request(request) => request.refuse(CommandError::Refused(refusal.into())),
            Asked::Leave { symbols, .. } if again => market.leaving.extend(symbols),
            // What goes on coming is ignored; what was refused is counted.
            Asked::Leave { .. } => {}
            Asked::Join { member: key, symbols, .. } => {
                let Some(member) = market.member_mut(key) else { return Ok(()) };
                member.awaited.retain(|awaited| Some(*awaited) != id);
                if again {
                    member.asked = 0;
                } else if let Some(answer) = member.answer.take() {
                    let _ = answer.send(Err(CommandError::Refused(refusal.into())));
                } else {
                    for symbol in symbols {
                        market.tell_rejected(key, &symbol, refusal.code);
                    }
                    market.settle(key);
                }
            }
        }
        Ok(())
    }
}

impl Request {
    fn refuse(self, error: CommandError) {
        // Nobody may be waiting any more.
        let _ = match self {
            Self::Set { answer, .. } => answer.send(Err(error)).is_ok(),
            Self::Look { answer, .. } => answer.send(Err(error)).is_ok(),
        };
    }
}

/// What still fits into one command, estimated from above for both dialects.
struct Room {
    bytes: usize,
    symbols: usize,
}

impl Room {
    fn of(message_bytes: usize) -> Self {
        // 512 for everything but the names.
        Self { bytes: message_bytes.saturating_sub(512), symbols: SYMBOLS_LIMIT }
    }

    fn takes(&mut self, symbol: &str, resumed: bool) -> bool {
        // Quotes and a comma; in `resume` a colon and up to 16 digits as well.
        let name = symbol.len() + 4;
        let bytes = name + if resumed { name + 20 } else { 0 };
        // One always fits, or nothing would ever be asked.
        let fits = self.symbols == SYMBOLS_LIMIT || (self.symbols > 0 && bytes <= self.bytes);
        if fits {
            self.symbols -= 1;
            self.bytes = self.bytes.saturating_sub(bytes);
        }
        fits
    }
}

impl From<ProtocolViolation> for Disconnect {
    fn from(violation: ProtocolViolation) -> Self {
        Self::Violation(violation)
    }
}
