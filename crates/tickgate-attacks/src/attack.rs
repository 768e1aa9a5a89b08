//! What an attack is, and how the answers to it are judged.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use tickgate_protocol::{close::CloseReason, dialect::Dialect};

use crate::link::{End, Link};

/// Addresses that offenders come from, in turns.
const OFFENDING_ADDRESSES: u32 = 200;

/// How long an offender waits for an answer before the lack of one is its answer.
pub const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// One attack.
pub struct Attack {
    /// What `--only` takes.
    pub name: &'static str,
    /// What the offender does, in one line.
    pub does: &'static str,
    /// Answers that must come, in any case of it: what [`End`] prints, or `error` and a code.
    pub must: &'static [&'static str],
    /// Other answers that may come.
    pub may: &'static [&'static str],
    /// The gateway's own figures must name this reason at least once: for offenders that would not
    /// see a close.
    pub closes: Option<CloseReason>,
    /// Attacks until the arena's window ends.
    pub run: fn(&Arena<'_>, &mut Tally),
}

/// Where an attack takes place.
pub struct Arena<'a> {
    /// The gateway's public listener.
    pub address: SocketAddr,
    /// The gateway's symbols.
    pub symbols: &'a [String],
    /// Connections that the descriptors of this process and of the gateway allow.
    pub connection_limit: usize,
    /// End of the window.
    pub until: Instant,
    /// Counts connections, for their addresses.
    pub sources: &'a AtomicU32,
}

impl Arena<'_> {
    /// True once the window is over.
    #[must_use]
    pub fn is_over(&self) -> bool {
        Instant::now() >= self.until
    }

    /// An address for the next offender, `127.66.0.0` and up.
    #[must_use]
    pub fn source(&self) -> IpAddr {
        let number = self.sources.fetch_add(1, Relaxed) % OFFENDING_ADDRESSES;
        Ipv4Addr::new(127, 66, 0, number as u8 + 1).into()
    }

    /// Connects; a gateway that turns away is tallied.
    pub fn connect(&self, tally: &mut Tally) -> Option<Link> {
        let link = Link::open(self.address, self.source(), None).ok();
        tally.connections += 1;
        tally.turned_away += u64::from(link.is_none());
        link
    }

    /// Connects and upgrades; a gateway that turns away is tallied.
    pub fn session(&self, tally: &mut Tally, dialect: Dialect) -> Option<Link> {
        let mut link = self.connect(tally)?;
        if link.upgrade(dialect, Instant::now() + ANSWER_LIMIT) {
            return Some(link);
        }
        tally.turned_away += 1;
        None
    }

    /// Waits so that `count` things done since `start` are at most `per_second`.
    pub fn pace(&self, start: Instant, count: u64, per_second: u64) {
        let due = start + Duration::from_micros(count.saturating_mul(1_000_000) / per_second);
        thread::sleep(due.min(self.until).saturating_duration_since(Instant::now()));
    }
}

/// What came of an attack so far.
#[derive(Debug, Default)]
pub struct Tally {
    /// Connections tried.
    pub connections: u64,
    /// Those that were not let in, whatever they meant to do: full, or too many at once.
    pub turned_away: u64,
    /// Bytes the gateway's kernel took.
    pub sent_bytes: u64,
    /// How often each case of the attack was answered how.
    pub answers: BTreeMap<(&'static str, String), u64>,
}

impl Tally {
    /// Takes account of a connection that is done with: its errors, and how it ended; `open` when
    /// it has not. Replies that are no errors count as `answered`.
    pub fn take(&mut self, case: &'static str, link: &Link) {
        self.sent_bytes += link.sent_bytes;
        for (code, count) in &link.errors {
            *self.answers.entry((case, format!("error {code}"))).or_default() += count;
        }
        if link.replies > 0 {
            *self.answers.entry((case, "answered".to_owned())).or_default() += link.replies;
        }
        let end = link.end().map_or_else(|| "open".to_owned(), |end| end.to_string());
        *self.answers.entry((case, end)).or_default() += 1;
    }

    /// Takes account of a connection whose end is the whole answer to `case`.
    pub fn take_end(&mut self, case: &'static str, link: &mut Link) -> Option<End> {
        let end = link.wait_end(Instant::now() + ANSWER_LIMIT);
        self.take(case, link);
        end
    }
}

impl Attack {
    /// What is wrong with the answers: an answer that is neither required nor allowed, a case that
    /// got none of either, a required answer that never came.
    #[must_use]
    pub fn judge(&self, tally: &Tally) -> Vec<String> {
        let mut faults = Vec::new();
        let known = |answer: &str| self.must.contains(&answer) || self.may.contains(&answer);
        for ((case, answer), count) in &tally.answers {
            if !known(answer) {
                faults.push(format!("{case}: {answer} ({count} times), {}", self.documented()));
            }
        }
        let cases: BTreeSet<_> = tally.answers.keys().map(|(case, _)| *case).collect();
        for case in cases {
            let answered = tally
                .answers
                .keys()
                .any(|(of, answer)| *of == case && answer != "open" && known(answer));
            if !answered && self.closes.is_none() {
                faults.push(format!("{case}: no documented answer came, {}", self.documented()));
            }
        }
        for must in self.must {
            if !tally.answers.keys().any(|(_, answer)| answer == must) {
                faults.push(format!("nobody was told `{must}`"));
            }
        }
        if tally.connections == tally.turned_away {
            faults.push(format!("all {} connections were turned away", tally.connections));
        }
        faults
    }

    fn documented(&self) -> String {
        let all: Vec<&str> = self.must.iter().chain(self.may).copied().collect();
        format!("documented: {}", all.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ATTACK: Attack = Attack {
        name: "test",
        does: "nothing",
        must: &["http 400"],
        may: &["reset"],
        closes: None,
        run: |_, _| {},
    };

    fn tally(answers: &[(&'static str, &str)]) -> Tally {
        let answers = answers.iter().map(|(case, answer)| ((*case, (*answer).to_owned()), 1));
        Tally { connections: 1, answers: answers.collect(), ..Tally::default() }
    }

    #[test]
    fn documented_answers_pass() {
        assert!(ATTACK.judge(&tally(&[("a", "http 400"), ("b", "reset")])).is_empty());
    }

    #[test]
    fn any_other_answer_fails_and_is_named() {
        let faults = ATTACK.judge(&tally(&[("a", "http 400"), ("b", "http 101")]));
        assert!(faults.iter().any(|fault| fault.starts_with("b: http 101")), "{faults:?}");
    }

    #[test]
    fn silence_and_being_turned_away_are_no_answers() {
        assert!(!ATTACK.judge(&tally(&[])).is_empty());
        assert!(!ATTACK.judge(&tally(&[("a", "http 400"), ("b", "open")])).is_empty());
        let mut away = tally(&[("a", "http 400")]);
        away.turned_away = 1;
        assert!(!ATTACK.judge(&away).is_empty());
    }
}
