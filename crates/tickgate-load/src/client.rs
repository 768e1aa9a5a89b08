//! One client: connects, listens as its group does, comes back after a loss.

use std::time::Duration;

use mio::{Registry, Token};

use crate::{
    link::{Incoming, Link, Loss, Route, Turn},
    measure::{Tally, Timing, count_word},
    scenario::Reads,
    speaker::{Fault, Heard, Progress, Speaker},
};

/// Longest time from connecting to being ready, and from a goodbye to its end.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// Between two readings of a slow client.
pub(crate) const SLOW_READ: Duration = Duration::from_millis(50);

/// Close codes that ask a client not to come back (docs/PROTOCOL.md).
const FINAL_CODES: std::ops::RangeInclusive<u16> = 4500..=4999;

/// Where a client stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// Without a connection; a timer brings the next.
    Apart,
    /// Connecting or upgrading.
    Joining,
    /// Open, and not everything asked for is there.
    Asking,
    /// Everything asked for is there.
    Ready,
    /// It has said goodbye.
    Leaving,
    /// The target asked it not to come back.
    Gone,
}

/// How it reads now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Appetite {
    /// Whatever comes.
    All,
    /// Nothing.
    None,
    /// So many bytes until the next reading.
    Bytes(u32),
}

/// What a turn changed, for the swarm to act on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// Nothing that concerns others.
    None,
    /// The connection is open.
    Opened,
    /// It became ready, maybe at once with being opened.
    Ready { is_opened: bool },
    /// There is more to read, and no event will tell.
    Again,
    /// The connection is gone, and nobody here wanted it; come back after so long at the least, or
    /// never.
    Lost { stay_away: Option<Duration> },
    /// The connection is gone, after a goodbye.
    Left,
}

/// One client.
#[derive(Debug)]
pub(crate) struct Client {
    /// Number in the whole run, from 0.
    pub(crate) number: u32,
    /// Position of its group.
    pub(crate) group: usize,
    pub(crate) speaker: Box<dyn Speaker>,
    pub(crate) state: State,
    /// Connections so far; tells timers of an earlier one from those of this one.
    pub(crate) connection: u64,
    /// Losses since it was last ready.
    pub(crate) losses: u32,
    link: Option<Link>,
    appetite: Appetite,
    /// It reads nothing for now, whatever its appetite.
    is_stalled: bool,
    /// It waits in the swarm for another turn of reading.
    pub(crate) is_queued: bool,
    /// The kernel has something that was not read.
    has_unread: bool,
    /// When it first wanted what it has not got, Unix microseconds.
    wanted_since_us: i64,
    /// When a message last came, Unix microseconds.
    heard_us: i64,
}

impl Client {
    pub(crate) fn new(number: u32, group: usize, speaker: Box<dyn Speaker>) -> Self {
        Self {
            number,
            group,
            speaker,
            state: State::Apart,
            connection: 0,
            losses: 0,
            link: None,
            appetite: Appetite::All,
            is_stalled: false,
            is_queued: false,
            has_unread: false,
            wanted_since_us: i64::MAX,
            heard_us: 0,
        }
    }

    /// Begins to connect. `request` upgrades.
    pub(crate) fn connect(
        &mut self,
        route: &Route,
        request: &[u8],
        (registry, token): (&Registry, Token),
        now_us: i64,
        tally: &mut Tally,
    ) -> Change {
        tally.counts.connects += 1;
        self.connection += 1;
        self.appetite = Appetite::All;
        self.is_stalled = false;
        self.has_unread = false;
        self.wanted_since_us = self.wanted_since_us.min(now_us);
        self.state = State::Joining;
        match Link::open(route, request, registry, token) {
            Ok(link) => {
                self.link = Some(link);
                Change::None
            }
            Err(loss) => self.lose(loss, tally),
        }
    }

    /// The socket can be written or read.
    pub(crate) fn on_event(
        &mut self,
        (writable, readable): (bool, bool),
        buffer: &mut [u8],
        clock: impl Fn() -> i64,
        tally: &mut Tally,
    ) -> Change {
        let Some(link) = &mut self.link else { return Change::None };
        if writable && let Err(loss) = link.on_writable() {
            return self.lose(loss, tally);
        }
        self.has_unread |= readable;
        // A slow client reads by the clock, not whenever something comes.
        if self.reads_on() { self.read(buffer, clock, tally) } else { Change::None }
    }

    /// The target closed its side. Who reads learns it by reading; who does not, by this.
    pub(crate) fn on_hang_up(&mut self, tally: &mut Tally) -> Change {
        if self.link.is_none() || (self.appetite == Appetite::All && !self.is_stalled) {
            return Change::None;
        }
        self.lose(Loss::Broken("closed while it was not reading".to_owned()), tally)
    }

    /// Reads as much as it wants to.
    pub(crate) fn read(
        &mut self,
        buffer: &mut [u8],
        clock: impl Fn() -> i64,
        tally: &mut Tally,
    ) -> Change {
        let most = match self.appetite {
            Appetite::All => usize::MAX,
            Appetite::None => return Change::None,
            Appetite::Bytes(bytes) => bytes as usize,
        };
        if self.is_stalled {
            return Change::None;
        }
        let Some(link) = &mut self.link else { return Change::None };
        let (speaker, state) = (&mut self.speaker, &mut self.state);
        let (mut change, mut heard_us) = (Change::None, self.heard_us);
        let turn = link.read(buffer, most, |incoming, outbox| {
            let received_us = clock();
            heard_us = received_us;
            let progress = match incoming {
                Incoming::Upgraded => {
                    *state = State::Asking;
                    change = Change::Opened;
                    Ok(speaker.open(outbox))
                }
                Incoming::Message { .. } if *state == State::Leaving => Ok(Progress::Going),
                Incoming::Message { is_text, payload, bytes } => {
                    tally.counts.bytes += bytes as u64;
                    speaker.hear(Heard { is_text, payload, received_us }, outbox, tally)
                }
            };
            match progress {
                Ok(Progress::Going) => Ok(()),
                Ok(Progress::Ready) => {
                    change = Change::Ready { is_opened: change == Change::Opened };
                    Ok(())
                }
                Err(Fault::Violation(what)) => Err(Loss::Violation(what)),
                Err(Fault::Refused(what)) => Err(Loss::Objection(what)),
            }
        });
        self.heard_us = heard_us;
        if matches!(change, Change::Ready { .. }) {
            self.become_ready(tally);
        }
        // Answers leave also when the connection is over: the close frame is one.
        let flushed = self.link.as_mut().map_or(Ok(()), Link::flush);
        match (turn, flushed) {
            (Ok(turn), Ok(())) => {
                self.has_unread = turn == Turn::More;
                match change {
                    Change::None if self.has_unread && most == usize::MAX => Change::Again,
                    change => change,
                }
            }
            (Err(loss), _) | (Ok(_), Err(loss)) => self.lose(loss, tally),
        }
    }

    fn become_ready(&mut self, tally: &mut Tally) {
        tally.counts.readies += 1;
        tally.timings.record(Timing::Ready, self.heard_us.saturating_sub(self.wanted_since_us), 1);
        self.wanted_since_us = i64::MAX;
        self.losses = 0;
        self.state = State::Ready;
    }

    /// Reads from now on as its group does.
    pub(crate) fn read_as(&mut self, reads: Reads) {
        self.appetite = match reads {
            Reads::Everything => Appetite::All,
            Reads::Nothing => Appetite::None,
            Reads::BytesPerSecond(bytes) => {
                // At least a byte a reading, or it would be a stalled one.
                let readings = (1_000 / SLOW_READ.as_millis()) as u32;
                Appetite::Bytes((bytes / readings).max(1))
            }
        };
    }

    /// There may be more to read, and no event will tell.
    pub(crate) fn reads_on(&self) -> bool {
        self.has_unread && self.appetite == Appetite::All && !self.is_stalled
    }

    /// Stops reading, or reads on.
    pub(crate) fn stall(&mut self, is_stalled: bool) {
        self.is_stalled = is_stalled;
    }

    /// True when it has everything it asked for and reads.
    pub(crate) fn is_served(&self) -> bool {
        self.state == State::Ready && !self.is_stalled
    }

    /// Something was not read when it could have been.
    pub(crate) fn has_unread(&self) -> bool {
        self.has_unread
    }

    /// Lets the speaker say something by itself.
    pub(crate) fn say(
        &mut self,
        tally: &mut Tally,
        say: impl FnOnce(&mut dyn Speaker, &mut crate::outbox::Outbox),
    ) -> Change {
        let Some(link) = &mut self.link else { return Change::None };
        say(&mut *self.speaker, &mut link.outbox);
        match link.flush() {
            Ok(()) => Change::None,
            Err(loss) => self.lose(loss, tally),
        }
    }

    /// Says goodbye, and is gone when the target has answered.
    pub(crate) fn leave(&mut self, tally: &mut Tally) -> Change {
        self.state = State::Leaving;
        self.say(tally, |_, outbox| {
            outbox.control(crate::wire::CLOSE, &1000_u16.to_be_bytes());
        })
    }

    /// Breaks the connection without a word. It wants another when it next connects: until then it
    /// stays away by itself.
    pub(crate) fn break_off(&mut self) {
        self.link = None;
        self.state = State::Apart;
        self.wanted_since_us = i64::MAX;
    }

    /// It has waited for too long: counts that, and the connection is gone.
    pub(crate) fn give_up(&mut self, tally: &mut Tally) -> Change {
        match self.state {
            State::Joining => {
                let what = format!("no answer to the upgrade within {PATIENCE:?}");
                self.lose(Loss::Broken(what), tally)
            }
            State::Asking => {
                let what = format!("not ready within {PATIENCE:?} of the upgrade");
                self.lose(Loss::Broken(what), tally)
            }
            State::Leaving => self.lose(Loss::Broken("no answer to a goodbye".to_owned()), tally),
            _ => Change::None,
        }
    }

    /// True when it listens and has heard nothing for so long: what waits for it meanwhile is not
    /// timed yet.
    pub(crate) fn is_unheard_for(&self, length: Duration, now_us: i64) -> bool {
        let silence_us = now_us.saturating_sub(self.heard_us);
        self.is_served()
            && self.appetite == Appetite::All
            && u128::try_from(silence_us).is_ok_and(|us| us > length.as_micros())
    }

    /// True once when the target has been silent for longer than it promised.
    pub(crate) fn is_silent_too_long(&self, now_us: i64) -> bool {
        let is_open = matches!(self.state, State::Asking | State::Ready);
        let is_listening = is_open && self.appetite == Appetite::All && !self.is_stalled;
        let limit_us = self.speaker.silence_limit_us().filter(|_| is_listening && !self.has_unread);
        limit_us.is_some_and(|limit_us| now_us.saturating_sub(self.heard_us) > limit_us)
    }

    /// Drops a connection that has gone silent.
    pub(crate) fn drop_silent(&mut self, tally: &mut Tally) -> Change {
        tally.counts.silent += 1;
        self.lose(Loss::Broken("silent for longer than promised".to_owned()), tally)
    }

    fn lose(&mut self, loss: Loss, tally: &mut Tally) -> Change {
        let was = std::mem::replace(&mut self.state, State::Apart);
        self.link = None;
        self.losses += 1;
        let counts = &mut tally.counts;
        if was == State::Leaving {
            self.losses = 0;
            return Change::Left;
        }
        if was == State::Ready {
            // What it wants again was last there when it last heard something.
            self.wanted_since_us = self.heard_us;
        }
        // What was said in a conversation holds for its end.
        let is_told = was != State::Joining;
        let mut stay_away = Some(if is_told { self.speaker.stays_away() } else { Duration::ZERO });
        match loss {
            Loss::Broken(what) if was == State::Joining => {
                counts.refused += 1;
                count_word(&mut counts.refusals, &what, 1);
            }
            Loss::Refused { status, retry_after_s } => {
                counts.refused += 1;
                count_word(&mut counts.refusals, &status, 1);
                stay_away = retry_after_s.map(|s| Duration::from_secs(s.into())).or(stay_away);
            }
            Loss::Broken(what) => {
                counts.closed += 1;
                count_word(&mut counts.closes, &what, 1);
            }
            Loss::Closed { code, reason } => {
                counts.closed += 1;
                count_word(&mut counts.closes, format!("{code} {reason}").trim_end(), 1);
                if FINAL_CODES.contains(&code) {
                    stay_away = None;
                }
            }
            Loss::Violation(what) => {
                tally.violation(what);
                tally.counts.closed += 1;
            }
            Loss::Objection(what) => {
                counts.closed += 1;
                count_word(&mut counts.closes, &what, 1);
            }
        }
        if stay_away.is_none() {
            self.state = State::Gone;
        }
        Change::Lost { stay_away }
    }
}
