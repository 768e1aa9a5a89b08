//! Who makes messages of what clients send: tungstenite, lent by the worker.
//!
//! A session holds a [`Parser`] only while one holds something of the session's: the beginning of
//! a message, or that a close frame has come or gone. Nearly all are between two messages nearly
//! always, and tungstenite with its read buffer is larger than the rest of the session.

use std::io;

use tungstenite::{
    Error, Message,
    protocol::{CloseFrame, Role, WebSocketConfig, WebSocketContext},
};

use crate::inbound::Shim;

/// tungstenite's read buffer: zeroed at each poll.
pub(crate) const READ_BUFFER_BYTES: usize = 256;
/// Header and mask of a client's control frame, or of the smallest message.
const HEADER_BYTES: usize = 6;

/// tungstenite, and how far it has come.
#[derive(Debug)]
pub(crate) struct Parser {
    websocket: WebSocketContext,
    /// Bytes of the message that is being put together, headers and all, and what is buffered
    /// behind them.
    assembling_bytes: usize,
    /// Bytes it was given less those of the messages they became, counted in one piece and with
    /// the shortest header. Nothing is left inside when that is 0. A client that spends more on
    /// headers is never seen there and keeps its parser.
    left_bytes: usize,
    /// The last read ended for want of bytes: what it had to answer has been written.
    is_at_rest: bool,
    /// A close frame has come or gone, or what came is no WebSocket.
    is_over: bool,
}

impl Parser {
    fn new() -> Self {
        let config =
            WebSocketConfig::default().read_buffer_size(READ_BUFFER_BYTES).write_buffer_size(0);
        Self {
            websocket: WebSocketContext::new(Role::Server, Some(config)),
            assembling_bytes: 0,
            left_bytes: 0,
            is_at_rest: true,
            is_over: false,
        }
    }

    /// The next message; an I/O error that would block once there is none.
    pub(crate) fn read(&mut self, shim: &mut Shim<'_, '_>) -> Result<Message, Error> {
        let before = shim.unread();
        let result = self.websocket.read(shim);
        let taken = before - shim.unread();
        self.assembling_bytes = assembling(self.assembling_bytes + taken, &result);
        self.left_bytes += taken;
        self.is_at_rest = false;
        match &result {
            Ok(message) => {
                // What came is never shorter than the least it can have been.
                self.left_bytes = self.left_bytes.saturating_sub(least_bytes(message.len()));
                self.is_over |= message.is_close();
            }
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                self.is_at_rest = true;
            }
            Err(_) => self.is_over = true,
        }
        result
    }

    /// Bytes of the message that is being put together, headers and all.
    pub(crate) const fn assembling_bytes(&self) -> usize {
        self.assembling_bytes
    }

    /// Writes a ping. The shim takes everything; a closing WebSocket sends no pings, which is no loss.
    pub(crate) fn ping(&mut self, shim: &mut Shim<'_, '_>) {
        let _ = self.websocket.write(shim, Message::Ping(bytes::Bytes::new()));
        let _ = self.websocket.flush(shim);
    }

    /// Writes a close frame.
    pub(crate) fn close(&mut self, shim: &mut Shim<'_, '_>, frame: CloseFrame) {
        // A pong that is owed comes first: nothing may follow a close frame.
        let _ = self.websocket.flush(shim);
        // The shim takes everything; a connection that is closing already has its frame.
        let _ = self.websocket.close(shim, Some(frame));
        self.is_over = true;
    }

    /// It holds nothing of whose messages it read.
    const fn is_free(&self) -> bool {
        self.left_bytes == 0 && self.is_at_rest && !self.is_over
    }
}

/// The parser that nobody holds.
#[derive(Debug, Default)]
pub(crate) struct Spare(Option<Box<Parser>>);

impl Spare {
    /// The parser a session holds; the spare one where it holds none.
    ///
    /// `message_limit_bytes` is the session's, and does not change while it holds one.
    pub(crate) fn lend<'a>(
        &mut self,
        held: &'a mut Option<Box<Parser>>,
        message_limit_bytes: usize,
    ) -> &'a mut Parser {
        held.get_or_insert_with(|| {
            let mut parser = self.0.take().unwrap_or_else(|| Box::new(Parser::new()));
            parser.assembling_bytes = 0;
            parser.websocket.set_config(|config| {
                config.max_message_size = Some(message_limit_bytes);
                config.max_frame_size = Some(message_limit_bytes);
            });
            parser
        })
    }

    /// Takes a session's parser back, if it holds nothing of the session's.
    pub(crate) fn take_back(&mut self, held: &mut Option<Box<Parser>>) {
        if held.as_ref().is_some_and(|parser| parser.is_free()) {
            self.0 = held.take();
        }
    }
}

/// Bytes of the message being put together, after a read that brought its parser to `bytes`.
/// Control frames may come between its pieces and are none of it.
fn assembling(bytes: usize, read: &Result<Message, Error>) -> usize {
    match read {
        Ok(Message::Ping(payload) | Message::Pong(payload)) => {
            bytes.saturating_sub(HEADER_BYTES + payload.len())
        }
        Ok(_) => 0,
        Err(_) => bytes,
    }
}

/// The fewest bytes that a client's message can have come in: RFC 6455, section 5.2.
const fn least_bytes(payload: usize) -> usize {
    let extended = match payload {
        0..=125 => 0,
        126..=0xFFFF => 2,
        _ => 8,
    };
    HEADER_BYTES + extended + payload
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: usize = 70_000;

    /// A client's frame under a mask of zeros.
    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let length = payload.len();
        let mut bytes = vec![first];
        match length {
            0..=125 => bytes.push(0x80 | length as u8),
            126..=0xFFFF => {
                bytes.push(0x80 | 126);
                bytes.extend((length as u16).to_be_bytes());
            }
            _ => {
                bytes.push(0x80 | 127);
                bytes.extend((length as u64).to_be_bytes());
            }
        }
        bytes.extend([0; 4]);
        bytes.extend(payload);
        bytes
    }

    fn binary(payload: &[u8]) -> Vec<u8> {
        frame(0x82, payload)
    }

    /// A session as the parser sees it.
    #[derive(Default)]
    struct Client {
        held: Option<Box<Parser>>,
        control: Vec<u8>,
    }

    impl Client {
        /// The messages that some bytes complete, and what ended the reading if it was not their end.
        fn read(&mut self, spare: &mut Spare, bytes: &[u8]) -> (Vec<Vec<u8>>, Option<Error>) {
            let mut shim = Shim::new(bytes, &mut self.control);
            let mut messages = Vec::new();
            loop {
                let result = spare.lend(&mut self.held, LIMIT).read(&mut shim);
                spare.take_back(&mut self.held);
                match result {
                    Ok(message) => messages.push(message.into_data().to_vec()),
                    Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                        return (messages, None);
                    }
                    Err(error) => return (messages, Some(error)),
                }
            }
        }
    }

    #[test]
    fn whoever_is_between_two_messages_holds_no_parser() {
        let (mut spare, mut client) = (Spare::default(), Client::default());
        for length in [0, 1, 125, 126, 127, 255, 256, 300, 65_535, 65_536] {
            let payload = vec![7; length];
            let bytes = [binary(&payload), binary(b"next")].concat();
            let (messages, error) = client.read(&mut spare, &bytes);
            assert!(error.is_none());
            assert_eq!(messages, [payload, b"next".to_vec()]);
            assert!(client.held.is_none(), "after {length} bytes");
        }
    }

    #[test]
    fn clients_that_are_cut_anywhere_do_not_get_into_each_others_messages() {
        let bytes = [binary(&[1; 130]), frame(0x89, b"ping"), binary(b"end")].concat();
        for cut in 0..=bytes.len() {
            let mut spare = Spare::default();
            let (mut slow, mut other) = (Client::default(), Client::default());
            let (mut messages, _) = slow.read(&mut spare, &bytes[..cut]);
            let at_an_end = [0, 138, 148, bytes.len()].contains(&cut);
            assert_eq!(slow.held.is_none(), at_an_end, "cut at {cut}");
            assert_eq!(other.read(&mut spare, &binary(b"other")).0, [b"other"]);
            assert!(other.held.is_none() && other.control.is_empty());
            messages.extend(slow.read(&mut spare, &bytes[cut..]).0);
            assert_eq!(messages, [&[1; 130][..], b"ping", b"end"], "cut at {cut}");
            assert!(slow.held.is_none());
            assert_eq!(slow.control, [&[0x8A, 4][..], b"ping"].concat(), "its pong has left");
        }
    }

    /// One byte of headers more than need be, and it cannot be told that nothing is left inside.
    #[test]
    fn a_client_that_sends_in_pieces_keeps_its_parser_and_is_understood() {
        let (mut spare, mut client) = (Spare::default(), Client::default());
        let pieces = [frame(0x02, b"in "), frame(0x80, b"pieces")].concat();
        let long_header = [&[0x82, 0x80 | 126, 0, 1, 0, 0, 0, 0][..], b"x"].concat();
        for (bytes, message) in [(pieces, &b"in pieces"[..]), (long_header, b"x")] {
            for _ in 0..3 {
                assert_eq!(client.read(&mut spare, &bytes).0, [message]);
                assert!(client.held.is_some());
            }
            assert_eq!(client.read(&mut spare, &binary(b"whole")).0, [b"whole"]);
            client.held = None;
        }
    }

    #[test]
    fn a_parser_that_is_over_serves_nobody_else() {
        let endings = [frame(0x88, &1_000u16.to_be_bytes()), b"no WebSocket".to_vec()];
        for ending in endings {
            let (mut spare, mut client) = (Spare::default(), Client::default());
            assert!(client.read(&mut spare, &ending).1.is_some());
            assert!(client.held.is_some());
            assert_eq!(Client::default().read(&mut spare, &binary(b"new")).0, [b"new"]);
        }
    }

    #[test]
    fn who_was_sent_a_close_frame_is_not_sent_it_again_by_another_parser() {
        let (mut spare, mut client) = (Spare::default(), Client::default());
        let close = || CloseFrame { code: 1_001.into(), reason: "draining".into() };
        for _ in 0..2 {
            let mut shim = Shim::for_writing(&mut client.control);
            spare.lend(&mut client.held, LIMIT).close(&mut shim, close());
            spare.take_back(&mut client.held);
        }
        assert_eq!(client.control, [&[0x88, 10, 0x03, 0xE9][..], b"draining"].concat());
        let answer = frame(0x88, &1_001u16.to_be_bytes());
        assert!(matches!(client.read(&mut spare, &answer).1, Some(Error::ConnectionClosed)));
    }

    #[test]
    fn each_session_has_the_limit_it_was_told() {
        let mut spare = Spare::default();
        let mut control = Vec::new();
        for (limit, fits) in [(10, true), (9, false), (10, true)] {
            let mut held = None;
            let bytes = binary(&[0; 10]);
            let mut shim = Shim::new(&bytes, &mut control);
            let result = spare.lend(&mut held, limit).read(&mut shim);
            assert_eq!(result.is_ok(), fits, "a limit of {limit}");
            spare.lend(&mut held, limit).read(&mut shim).expect_err("that was all");
            spare.take_back(&mut held);
        }
    }
}
