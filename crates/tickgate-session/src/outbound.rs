//! What waits for one socket: the rest of one data frame, then control frames and replies.
//!
//! | waits | capacity | when full |
//! |---|---|---|
//! | `tail` | the rest of one data frame, at most `frame_limit_bytes` | no new frame is formed; past the drain age the session ends |
//! | `control` | `control_limit_bytes` and one reply | the client is not read until it drains (`reads_paused`) |
//!
//! Only [`Outbound`] writes to the socket, tail first, so nothing can come between the halves of
//! a frame.

use std::io;

use crate::transport::Transport;

/// Bytes a session owes its socket.
#[derive(Debug, Default)]
pub(crate) struct Outbound {
    tail: Vec<u8>,
    tail_at: usize,
    /// Replies, pongs, pings and the close frame, whole WebSocket frames.
    pub(crate) control: Vec<u8>,
    control_at: usize,
    /// Since when the socket has refused what is first in line.
    since_us: Option<u64>,
}

impl Outbound {
    /// True when neither the rest of a frame nor a reply waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.tail.is_empty() && self.control.is_empty()
    }

    /// True while a data frame has left in part only.
    pub(crate) fn is_mid_frame(&self) -> bool {
        !self.tail.is_empty()
    }

    /// Bytes of control frames that wait.
    pub(crate) fn control_len(&self) -> usize {
        self.control.len() - self.control_at
    }

    /// Bytes that wait.
    pub(crate) fn waiting_bytes(&self) -> usize {
        self.tail.len() - self.tail_at + self.control_len()
    }

    /// Memory held for what waits.
    pub(crate) fn allocated(&self) -> usize {
        self.tail.capacity() + self.control.capacity()
    }

    /// How long the frame, or the replies, that are first in line have not fully left.
    pub(crate) fn waiting_us(&self, now_us: u64) -> u64 {
        self.since_us.map_or(0, |since_us| now_us.saturating_sub(since_us))
    }

    /// Writes what waits, tail first. True when all of it has left.
    ///
    /// # Errors
    /// What the socket says, except that it would block.
    pub(crate) fn flush(&mut self, socket: &mut impl Transport, now_us: u64) -> io::Result<bool> {
        if !self.tail.is_empty() {
            if !drain(&mut self.tail, &mut self.tail_at, socket)? {
                return Ok(false);
            }
            // What comes after it has not been refused yet.
            self.since_us = None;
        }
        if self.control.is_empty() || drain(&mut self.control, &mut self.control_at, socket)? {
            self.since_us = None;
            return Ok(true);
        }
        self.since_us.get_or_insert(now_us);
        Ok(false)
    }

    /// Hands one whole data frame to the socket; what it does not take becomes the tail.
    /// Call only when nothing waits.
    ///
    /// # Errors
    /// What the socket says, except that it would block.
    pub(crate) fn send(
        &mut self,
        frame: &[u8],
        socket: &mut impl Transport,
        now_us: u64,
    ) -> io::Result<()> {
        debug_assert!(self.is_empty());
        let taken = write(socket, frame)?;
        if taken < frame.len() {
            self.tail.extend_from_slice(&frame[taken..]);
            self.since_us = Some(now_us);
        }
        Ok(())
    }
}

/// Writes from `at` on. Frees the memory once all has left, since most sessions never block, and
/// what has left of a long rest, since more may be appended before it has.
fn drain(bytes: &mut Vec<u8>, at: &mut usize, socket: &mut impl Transport) -> io::Result<bool> {
    while *at < bytes.len() {
        match write(socket, &bytes[*at..])? {
            0 => {
                if *at > bytes.len() / 2 {
                    bytes.drain(..*at);
                    *at = 0;
                }
                return Ok(false);
            }
            taken => *at += taken,
        }
    }
    *bytes = Vec::new();
    *at = 0;
    Ok(true)
}

/// One write; a socket that would block takes nothing.
fn write(socket: &mut impl Transport, bytes: &[u8]) -> io::Result<usize> {
    loop {
        match socket.try_write(bytes) {
            Ok(taken) => return Ok(taken),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(0),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes as many bytes a call as scripted, then blocks.
    #[derive(Default)]
    struct Script {
        takes: Vec<usize>,
        got: Vec<u8>,
        /// Calls that a signal comes between, first.
        interrupted: usize,
    }

    impl Transport for Script {
        fn try_read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::ErrorKind::WouldBlock.into())
        }
        fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.interrupted > 0 {
                self.interrupted -= 1;
                return Err(io::ErrorKind::Interrupted.into());
            }
            if self.takes.is_empty() {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            let taken = self.takes.remove(0).min(bytes.len());
            self.got.extend_from_slice(&bytes[..taken]);
            Ok(taken)
        }
        fn shutdown(&mut self) {}
    }

    #[test]
    fn a_reply_never_comes_between_the_halves_of_a_frame() {
        for first in 0..8 {
            let mut outbound = Outbound::default();
            let mut socket = Script { takes: vec![first], ..Script::default() };
            outbound.send(b"frame-1.", &mut socket, 5).expect("no error");
            outbound.control.extend_from_slice(b"pong");
            assert!(outbound.is_mid_frame());
            assert!(!outbound.flush(&mut socket, 6).expect("no error"));
            assert_eq!(outbound.waiting_us(105), 100);
            socket.takes = vec![1, 100, 2, 100];
            assert!(outbound.flush(&mut socket, 7).expect("no error"));
            assert_eq!(socket.got, b"frame-1.pong");
            assert!(outbound.is_empty());
            assert_eq!(outbound.waiting_us(1_000), 0);
        }
    }

    #[test]
    fn replies_begin_their_wait_when_they_are_refused() {
        let mut outbound = Outbound::default();
        let mut socket = Script { takes: vec![1, 100], ..Script::default() };
        outbound.send(b"frame", &mut socket, 10).expect("no error");
        assert!(outbound.flush(&mut socket, 20).expect("no error"));
        outbound.control.extend_from_slice(b"pong");
        assert!(!outbound.flush(&mut socket, 5_000).expect("no error"));
        assert_eq!(outbound.waiting_us(5_001), 1, "the frame before it has left long ago");
    }

    #[test]
    fn a_frame_that_left_whole_is_not_waited_for() {
        let mut outbound = Outbound::default();
        let mut socket = Script { takes: vec![100], ..Script::default() };
        outbound.send(b"whole", &mut socket, 0).unwrap();
        assert!(outbound.is_empty() && !outbound.is_mid_frame());
        outbound.control.extend_from_slice(b"reply");
        assert!(!outbound.is_empty() && !outbound.is_mid_frame());
        assert!(!outbound.flush(&mut socket, 9_000_000).unwrap());
        assert_eq!(outbound.waiting_us(9_000_007), 7, "the reply waits, and since now");
        assert_eq!((outbound.control_len(), outbound.allocated() >= 5), (5, true));
    }

    #[test]
    fn what_has_left_is_forgotten_though_more_keeps_coming() {
        let mut outbound = Outbound::default();
        let mut socket = Script::default();
        for round in 0..1_000 {
            outbound.control.extend_from_slice(&[round as u8; 100]);
            // All but one byte of what waits, so that it never empties.
            socket.takes = vec![outbound.control_len() - 1];
            assert!(!outbound.flush(&mut socket, round).expect("no error"));
            assert_eq!(outbound.control_len(), 1);
            assert!(outbound.control.len() <= 202, "{} bytes are kept", outbound.control.len());
        }
    }

    #[test]
    fn what_waits_is_counted_less_what_has_left_of_it() {
        let mut outbound = Outbound::default();
        let mut socket = Script { takes: vec![10], ..Script::default() };
        outbound.send(&[1; 100], &mut socket, 0).expect("no error");
        outbound.control.extend_from_slice(&[2; 50]);
        assert_eq!((outbound.waiting_bytes(), outbound.control_len()), (140, 50));
        socket.takes = vec![30];
        assert!(!outbound.flush(&mut socket, 1).expect("no error"));
        assert_eq!(outbound.waiting_bytes(), 110);
        socket.takes = vec![60, 20];
        assert!(!outbound.flush(&mut socket, 2).expect("no error"));
        assert_eq!((outbound.waiting_bytes(), outbound.control_len()), (30, 30));
    }

    #[test]
    fn a_write_that_a_signal_interrupts_is_tried_again() {
        let mut outbound = Outbound::default();
        let mut socket = Script { takes: vec![5, 5], interrupted: 3, ..Script::default() };
        outbound.send(b"frame", &mut socket, 0).expect("it is no error");
        assert!(outbound.is_empty());
        assert_eq!(socket.got, b"frame");
    }
}
