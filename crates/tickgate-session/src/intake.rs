//! What a worker reads from all its clients together.
//!
//! | waits | capacity | when full |
//! |---|---|---|
//! | bytes clients sent, in their sockets | `command_bytes_per_second` of the worker, in windows of a quarter second | the client is not read until the next window (`reads_held`); one that had its part and was held in more than 20 windows in a row ends as `overloaded` |
//!
//! Half of a window is kept for sessions that have sent little in it. So a few that send as much as
//! they can wait for each other, and a client that only acknowledges frames or subscribes now and
//! then does not notice them.

/// Length of a window, microseconds.
pub(crate) const WINDOW_US: u64 = 250_000;
/// Below this a session has sent little in a window, bytes. It is enough for 4 KiB a second, or
/// some fifty commands.
const LITTLE_BYTES: u32 = 1_024;
/// A session that had its part and was held in more windows in a row than this is shed: elsewhere,
/// or later, it may be read. One that sends a largest message (16 KiB) now and then is through with
/// it in 16.
const HELD_LIMIT: u32 = 20;

/// How long clients are read between two polls of the engine, microseconds; the one whose turn it
/// is then is still read to the end of its turn. So whoever is due a frame waits no longer than
/// this and one turn, however many clients send at once, and a poll serves a slice for each such
/// spell, so neither side starves the other.
const SPELL_US: u64 = 200;

/// The time that reading clients takes between two polls.
#[derive(Debug, Default)]
pub(crate) struct Spell {
    /// When the first of them was read.
    began_us: Option<u64>,
}

impl Spell {
    /// True when another client may be read: always for the first.
    pub(crate) fn goes_on(&mut self, now_us: u64) -> bool {
        let began_us = *self.began_us.get_or_insert(now_us);
        now_us.saturating_sub(began_us) < SPELL_US
    }
}

/// The allowance of one worker.
#[derive(Debug)]
pub(crate) struct Intake {
    /// Most bytes read in a window.
    window_bytes: u64,
    /// The window in force, by number.
    window: u64,
    /// Read in it.
    spent_bytes: u64,
    /// The window in which somebody was first held and not yet told to try again.
    held_since: Option<u64>,
}

/// What one session has taken of it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Share {
    window: u64,
    bytes: u32,
    /// The last window in which it was held, and how many in a row that makes.
    held_window: u64,
    held: u32,
}

/// Whether a session may be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum May {
    /// So many bytes at once.
    Read(usize),
    /// Not before the next window.
    Wait,
    /// It has waited in too many windows in a row.
    Shed,
}

impl Intake {
    pub(crate) fn new(bytes_per_second: usize) -> Self {
        let window_bytes = bytes_per_second as u64 * WINDOW_US / 1_000_000;
        Self { window_bytes, window: 0, spent_bytes: 0, held_since: None }
    }

    /// Asks for `most` bytes on behalf of a session.
    pub(crate) fn ask(&mut self, now_us: u64, share: &mut Share, most: usize) -> May {
        let window = now_us / WINDOW_US;
        if window != self.window {
            self.window = window;
            self.spent_bytes = 0;
        }
        if window != share.window {
            share.window = window;
            share.bytes = 0;
        }
        if self.spent_bytes < self.window_bytes / 2 {
            return May::Read(most);
        }
        if share.bytes < LITTLE_BYTES && self.spent_bytes < self.window_bytes {
            return May::Read(most.min(LITTLE_BYTES as usize));
        }
        self.held_since.get_or_insert(window);
        if share.bytes < LITTLE_BYTES {
            // It waits because of others, however long.
            return May::Wait;
        }
        if share.held == 0 || share.held_window != window {
            let in_a_row = share.held > 0 && share.held_window + 1 == window;
            share.held = if in_a_row { share.held + 1 } else { 1 };
            share.held_window = window;
        }
        if share.held > HELD_LIMIT { May::Shed } else { May::Wait }
    }

    /// So many bytes were read.
    pub(crate) fn took(&mut self, share: &mut Share, bytes: usize) {
        self.spent_bytes += bytes as u64;
        share.bytes = share.bytes.saturating_add(bytes as u32);
    }

    /// True once for each window at the end of which somebody waited.
    pub(crate) fn release(&mut self, now_us: u64) -> bool {
        match self.held_since {
            Some(since) if since != now_us / WINDOW_US => {
                self.held_since = None;
                true
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 4,000 bytes a window.
    fn intake() -> Intake {
        Intake::new(16_000)
    }

    #[test]
    fn half_a_window_is_for_everybody_and_the_rest_for_those_who_send_little() {
        let mut intake = intake();
        let (mut loud, mut quiet) = (Share::default(), Share::default());
        assert_eq!(intake.ask(0, &mut loud, 4_096), May::Read(4_096));
        intake.took(&mut loud, 1_999);
        assert_eq!(intake.ask(0, &mut loud, 4_096), May::Read(4_096), "one below half");
        intake.took(&mut loud, 1);
        assert_eq!(intake.ask(0, &mut loud, 4_096), May::Wait, "at half");
        assert_eq!(intake.ask(0, &mut quiet, 4_096), May::Read(1_024));
        intake.took(&mut quiet, 1_023);
        assert_eq!(intake.ask(0, &mut quiet, 4_096), May::Read(1_024), "one below little");
        intake.took(&mut quiet, 1);
        assert_eq!(intake.ask(0, &mut quiet, 4_096), May::Wait, "at little");
    }

    #[test]
    fn a_full_window_holds_everybody_and_the_next_one_nobody() {
        let mut intake = intake();
        let mut other = Share::default();
        intake.ask(0, &mut other, 1);
        intake.took(&mut other, 3_999);
        assert_eq!(intake.ask(0, &mut Share::default(), 9), May::Read(9), "one below all");
        intake.took(&mut other, 1);
        assert_eq!(intake.ask(WINDOW_US - 1, &mut Share::default(), 9), May::Wait, "all");
        assert!(!intake.release(WINDOW_US - 1), "the window is not over");
        assert!(intake.release(WINDOW_US));
        assert!(!intake.release(WINDOW_US), "those who waited were told");
        assert_eq!(intake.ask(WINDOW_US, &mut other, 9), May::Read(9));
    }

    #[test]
    fn who_is_held_in_every_window_is_shed_and_who_was_not_in_one_is_not() {
        let held_through = |windows: u64, gap: Option<u64>| {
            let mut intake = intake();
            let mut share = Share::default();
            let mut last = May::Wait;
            for window in 0..windows {
                let now_us = window * WINDOW_US;
                intake.ask(now_us, &mut share, 9);
                if Some(window) != gap {
                    intake.took(&mut share, 4_000);
                }
                // However often it tries within one.
                for _ in 0..3 {
                    last = intake.ask(now_us, &mut share, 9);
                }
            }
            last
        };
        assert_eq!(held_through(20, None), May::Wait);
        assert_eq!(held_through(21, None), May::Shed);
        assert_eq!(held_through(21, Some(10)), May::Wait);
        assert_eq!(held_through(31, Some(10)), May::Wait, "twenty since the gap");
        assert_eq!(held_through(32, Some(10)), May::Shed);
    }

    #[test]
    fn who_had_just_its_part_is_shed_and_who_had_less_is_not() {
        for (bytes, expected) in [(1_023, May::Wait), (1_024, May::Shed)] {
            let mut intake = intake();
            let mut share = Share::default();
            let mut last = May::Wait;
            for window in 0..21 {
                let (now_us, mut other) = (window * WINDOW_US, Share::default());
                intake.ask(now_us, &mut share, 9);
                intake.took(&mut share, bytes);
                intake.took(&mut other, 4_000);
                last = intake.ask(now_us, &mut share, 9);
            }
            assert_eq!(last, expected, "{bytes} bytes a window");
        }
    }

    #[test]
    fn a_spell_begins_with_whoever_is_read_first_and_ends_in_time() {
        let mut spell = Spell::default();
        for (now_us, goes_on) in [(7_000, true), (7_199, true), (7_200, false), (9_000, false)] {
            assert_eq!(spell.goes_on(now_us), goes_on, "{now_us}");
        }
        assert!(Spell::default().goes_on(9_000), "after a poll");
    }

    #[test]
    fn who_waits_because_of_others_is_never_shed() {
        let mut intake = intake();
        let mut share = Share::default();
        for window in 0..100 {
            let mut other = Share::default();
            let now_us = window * WINDOW_US;
            intake.ask(now_us, &mut other, 9);
            intake.took(&mut other, 4_000);
            assert_eq!(intake.ask(now_us, &mut share, 9), May::Wait);
        }
    }
}
