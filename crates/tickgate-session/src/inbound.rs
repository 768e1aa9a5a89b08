//! Reads what clients send, as far as their replies leave.

use std::io::{self, Read, Write};

use tickgate_protocol::{
    close::CloseReason,
    command::{ErrorCode, Refusal},
    reply::Reply,
};
use tungstenite::{Error, Message};

use crate::{
    engine::{Engine, Inbound, SessionKey},
    frame::write_message,
    intake::May,
    parser::READ_BUFFER_BYTES,
    session::Closing,
    transport::{Now, Transport},
};

/// Reads in a row before others have their turn.
const READS_IN_A_ROW: usize = 4;
/// Messages in a row before others have their turn: small ones, or one of the largest. The dearest
/// command, thousands of symbols to move, takes milliseconds.
const MESSAGES_IN_A_ROW: usize = 8;
/// A message counts as one more for each of these that it has in bytes.
const SMALL_MESSAGE_BYTES: usize = 512;
/// A message in pieces may take this many times its largest size with headers and all, so that
/// pieces of nothing end.
const ASSEMBLING_FACTOR: usize = 4;
/// How long the answer to a client's close frame may take to leave.
const LEAVE_US: u64 = 1_000_000;

/// The stream tungstenite sees: reads come from bytes already here, writes go to the session's
/// control bytes and never block.
pub(crate) struct Shim<'a, 'c> {
    input: &'a [u8],
    control: &'c mut Vec<u8>,
}

impl<'a, 'c> Shim<'a, 'c> {
    pub(crate) fn new(input: &'a [u8], control: &'c mut Vec<u8>) -> Self {
        Self { input, control }
    }

    pub(crate) fn for_writing(control: &'c mut Vec<u8>) -> Self {
        Self { input: &[], control }
    }

    /// Bytes that have not been taken.
    pub(crate) const fn unread(&self) -> usize {
        self.input.len()
    }
}

impl Read for Shim<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.input.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.input.read(buffer)
    }
}

impl Write for Shim<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.control.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// How far the bytes of one read were looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Taken {
    All,
    /// Others have their turn first.
    Part,
    /// Its replies have to leave before it is read on.
    Paused,
}

impl<T: Transport> Engine<T> {
    /// Reads what the socket has and acts on it; call it when the socket is ready as the last
    /// [`Inbound`] said.
    pub fn on_readable(&mut self, now: Now, key: SessionKey) -> Inbound {
        let Some(position) = self.position_of(key) else { return Inbound::Closed };
        if !self.spell.goes_on(now.monotonic_us) {
            return Inbound::Again;
        }
        let mut scratch = std::mem::take(&mut self.scratch);
        let result = self.read(now, position, &mut scratch);
        self.scratch = scratch;
        // The position may have been freed, and never by another session meanwhile.
        if self.position_of(key).is_none() {
            return Inbound::Closed;
        }
        let session = &mut self.sessions[position];
        if session.flush(now, &mut self.stats).is_err() {
            let reason = session.closing.map_or(CloseReason::ConnectionLost, |each| each.reason);
            self.end(now, position, reason);
            return Inbound::Closed;
        }
        if session.closing.is_some_and(|closing| closing.answered) && session.outbound.is_empty() {
            let reason = session.closing.map_or(CloseReason::ClientLeft, |each| each.reason);
            self.end(now, position, reason);
            return Inbound::Closed;
        }
        if session.is_due() {
            // What a command asked for waits with the flushes: the snapshots of a crowd that comes
            // back would hold up real-time sessions for all the time they take.
            let urgent = session.is_urgently_due();
            self.pass_is_over = true;
            self.make_ready(position as u32, urgent);
        } else if !session.outbound.is_empty() {
            self.make_wait(position as u32);
        }
        result
    }

    fn read(&mut self, now: Now, position: usize, scratch: &mut [u8]) -> Inbound {
        // What was left when replies did not leave comes first.
        let unread = std::mem::take(&mut self.sessions[position].unread);
        match self.take_in(now, position, &unread) {
            Taken::All => {}
            Taken::Part => return Inbound::Again,
            Taken::Paused => return self.pause(position),
        }
        for _ in 0..READS_IN_A_ROW {
            let Some(session) = self.sessions.get_mut(position) else { return Inbound::Closed };
            let most = match self.intake.ask(now.monotonic_us, &mut session.share, scratch.len()) {
                May::Read(most) => most,
                May::Wait => return self.hold(),
                May::Shed => {
                    self.begin_close(now, position, CloseReason::Overloaded);
                    return self.hold();
                }
            };
            match session.transport.try_read(&mut scratch[..most]) {
                Ok(0) => {
                    let reason =
                        session.closing.map_or(CloseReason::ConnectionLost, |each| each.reason);
                    self.end(now, position, reason);
                    return Inbound::Closed;
                }
                Ok(length) => {
                    session.heard_us = now.monotonic_us;
                    self.intake.took(&mut session.share, length);
                    self.stats.received_bytes += length as u64;
                    match self.take_in(now, position, &scratch[..length]) {
                        Taken::All => {}
                        Taken::Part => return Inbound::Again,
                        Taken::Paused => return self.pause(position),
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Inbound::Readable;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => {
                    let reason =
                        session.closing.map_or(CloseReason::ConnectionLost, |each| each.reason);
                    self.end(now, position, reason);
                    return Inbound::Closed;
                }
            }
        }
        Inbound::Again
    }

    /// Acts on bytes from the client; what is not looked at yet is kept.
    fn take_in(&mut self, now: Now, position: usize, input: &[u8]) -> Taken {
        let mut rest = input;
        let mut turn = MESSAGES_IN_A_ROW;
        while turn > 0 {
            let Some(session) = self.sessions.get_mut(position) else { return Taken::All };
            if session.deaf || session.closing.is_some_and(|closing| closing.answered) {
                return Taken::All;
            }
            if session.outbound.control_len() >= self.shared.config().control_limit_bytes {
                // An error shows again where the caller writes.
                let _ = session.flush(now, &mut self.stats);
                if session.outbound.control_len() > 0 {
                    session.unread = rest.to_vec();
                    return Taken::Paused;
                }
            }
            if rest.is_empty() && session.parser.is_none() {
                return Taken::All;
            }
            let queued = session.outbound.control.len();
            let mut shim = Shim::new(rest, &mut session.outbound.control);
            let parser = self.spare.lend(&mut session.parser, session.message_limit_bytes);
            let result = parser.read(&mut shim);
            rest = shim.input;
            let assembling = parser.assembling_bytes();
            self.spare.take_back(&mut session.parser);
            // Pongs, and the answer to a close.
            self.stats.control_bytes += (session.outbound.control.len() - queued) as u64;
            let limit = ASSEMBLING_FACTOR * self.shared.config().message_limit_bytes;
            if assembling > limit + READ_BUFFER_BYTES {
                session.deaf = true;
                self.begin_close(now, position, CloseReason::MessageTooBig);
                return Taken::All;
            }
            match result {
                Ok(message) => {
                    turn = turn.saturating_sub(1 + message.len() / SMALL_MESSAGE_BYTES);
                    self.take_message(now, position, message);
                }
                Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Taken::All;
                }
                Err(error) => {
                    self.take_error(now, position, &error);
                    return Taken::All;
                }
            }
        }
        if let Some(session) = self.sessions.get_mut(position) {
            session.unread = rest.to_vec();
        }
        Taken::Part
    }

    fn take_message(&mut self, now: Now, position: usize, message: Message) {
        let session = &mut self.sessions[position];
        if session.closing.is_some() {
            return;
        }
        let text = session.dialect.is_text();
        match message {
            Message::Text(payload) if text => self.take_command(now, position, payload.as_bytes()),
            Message::Binary(payload) if !text => self.take_command(now, position, &payload),
            Message::Text(_) | Message::Binary(_) => {
                let kind = if text { "text" } else { "binary" };
                let dialect = session.dialect.subprotocol();
                let refusal = Refusal {
                    code: ErrorCode::BadMessage,
                    message: format!("a session of {dialect} takes {kind} messages only"),
                    field: None,
                    id: None,
                };
                self.refuse(position, refusal);
            }
            Message::Ping(_) | Message::Pong(_) => self.take_control(now, position),
            Message::Close(_) | Message::Frame(_) => {}
        }
    }

    /// The client has closed, or what it sent is no WebSocket.
    fn take_error(&mut self, now: Now, position: usize, error: &Error) {
        let reason = match error {
            Error::ConnectionClosed | Error::AlreadyClosed => {
                let closing = self.sessions[position].closing;
                let reason = closing.map_or(CloseReason::ClientLeft, |each| each.reason);
                self.stop_sending(position);
                let until_us = now.monotonic_us + LEAVE_US;
                self.sessions[position].closing =
                    Some(Closing { reason, until_us, answered: true });
                return;
            }
            Error::Capacity(_) => CloseReason::MessageTooBig,
            _ => CloseReason::BadProtocol,
        };
        self.sessions[position].deaf = true;
        self.begin_close(now, position, reason);
    }

    /// Its replies do not leave, so it is not read.
    fn pause(&mut self, position: usize) -> Inbound {
        self.stats.reads_paused += 1;
        self.make_wait(position as u32);
        Inbound::Writable
    }

    /// The worker has read enough from all its clients.
    fn hold(&mut self) -> Inbound {
        self.stats.reads_held += 1;
        Inbound::Held
    }

    pub(crate) fn refuse(&mut self, position: usize, refusal: Refusal) {
        self.stats.count_refusal(refusal.code);
        self.reply_to(position, &Reply::Error(refusal));
    }

    /// Appends a reply to the session's control bytes, ahead of any data frame to come.
    pub(crate) fn reply_to(&mut self, position: usize, reply: &Reply) {
        let session = &mut self.sessions[position];
        self.reply.clear();
        session.dialect.write_reply(&mut self.reply, reply);
        let before = session.outbound.control.len();
        write_message(&mut session.outbound.control, session.dialect.is_text(), &self.reply);
        let bytes = session.outbound.control.len() - before;
        self.stats.control_bytes += bytes as u64;
        if let Some(budget) = session.budget.as_mut() {
            budget.debit(bytes);
        }
    }
}
