//! A scripted socket: takes so many bytes, then blocks until told otherwise.

use std::{cell::RefCell, collections::VecDeque, io, rc::Rc};

use tickgate_session::Transport;

/// Both ends of one connection.
#[derive(Debug, Default)]
struct Both {
    to_server: VecDeque<u8>,
    to_client: Vec<u8>,
    /// Bytes the socket still takes; `None` is as many as there are.
    room: Option<usize>,
    /// Most bytes one call moves.
    step: usize,
    shut: bool,
    /// What the next reads find instead of bytes.
    errors: VecDeque<io::ErrorKind>,
}

/// One connection; the engine holds one handle, the scripted client the other.
#[derive(Debug, Clone)]
pub(crate) struct Pipe(Rc<RefCell<Both>>);

impl Pipe {
    pub(crate) fn new(step: usize) -> Self {
        Self(Rc::new(RefCell::new(Both { step, ..Both::default() })))
    }

    pub(crate) fn send(&self, bytes: &[u8]) {
        self.0.borrow_mut().to_server.extend(bytes);
    }

    pub(crate) fn has_input(&self) -> bool {
        !self.0.borrow().to_server.is_empty()
    }

    /// Bytes of the client that the engine has not read.
    pub(crate) fn unread(&self) -> usize {
        self.0.borrow().to_server.len()
    }

    pub(crate) fn take(&self) -> Vec<u8> {
        std::mem::take(&mut self.0.borrow_mut().to_client)
    }

    /// Takes `room` more bytes, then blocks.
    pub(crate) fn block_after(&self, room: usize) {
        self.0.borrow_mut().room = Some(room);
    }

    pub(crate) fn unblock(&self) {
        self.0.borrow_mut().room = None;
    }

    /// Has the next reads fail.
    pub(crate) fn fail_reads(&self, kinds: impl IntoIterator<Item = io::ErrorKind>) {
        self.0.borrow_mut().errors.extend(kinds);
    }

    /// Breaks the connection: reads find its end, writes fail.
    pub(crate) fn cut(&self) {
        self.0.borrow_mut().shut = true;
    }

    pub(crate) fn is_shut(&self) -> bool {
        self.0.borrow().shut
    }
}

impl Transport for Pipe {
    fn try_read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut both = self.0.borrow_mut();
        if let Some(kind) = both.errors.pop_front() {
            return Err(kind.into());
        }
        if both.to_server.is_empty() {
            return if both.shut { Ok(0) } else { Err(io::ErrorKind::WouldBlock.into()) };
        }
        let length = both.to_server.len().min(buffer.len()).min(both.step);
        for (slot, byte) in buffer.iter_mut().zip(both.to_server.drain(..length)) {
            *slot = byte;
        }
        Ok(length)
    }

    fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut both = self.0.borrow_mut();
        if both.shut {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let room = both.room.unwrap_or(usize::MAX);
        if room == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        // A stalling socket takes what fits and no more; a healthy one takes all.
        let length = bytes.len().min(room);
        both.to_client.extend_from_slice(&bytes[..length]);
        if let Some(room) = both.room.as_mut() {
            *room -= length;
        }
        Ok(length)
    }

    fn shutdown(&mut self) {
        self.0.borrow_mut().shut = true;
    }
}
