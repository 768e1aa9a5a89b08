//! The healthy clients: they read everything at once, and judge every message.

use std::{
    collections::BTreeSet,
    io::{ErrorKind, Read, Write},
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, anyhow, ensure};
use mio::{Events, Interest, Poll, Token, net::TcpStream};
use socket2::{Domain, Socket, Type};
use tickgate_benches::wire;
use tickgate_protocol::{
    book::Book,
    channel::{Channel, Channels},
    command::{Op, Subscribe},
    decode::{Decoder, Message},
    dialect::Dialect,
    entry::Entry,
    number::ABSENT,
    reply::Reply,
};

use crate::{frames, gateway::SYMBOLS};

/// How long everybody may take to be served, on a machine that is busy building.
const READY_LIMIT: Duration = Duration::from_secs(60);

/// Every so-manieth client asks for everything as it happens, the others at 100 ms.
const REAL_TIME_EVERY: usize = 10;

/// Symbols of a throttled client and of a real-time one.
const WATCHED: (usize, usize) = (20, 10);

/// Most faults that are kept; what follows says the same.
const FAULTS_KEPT: usize = 20;

/// What was received in a window.
#[derive(Debug, Default)]
pub struct Window {
    /// From `sent_at_us` of each data frame with entries to its receipt, microseconds.
    pub transit_us: Vec<u64>,
    /// From the venue's time of the newest quote in a frame to its receipt, for clients that ask
    /// for it as it happens, microseconds.
    pub tick_us: Vec<u64>,
    /// Clients that received at least one data frame.
    pub served: BTreeSet<usize>,
}

/// What the fleet's thread and the trial share.
#[derive(Debug, Default)]
struct Board {
    window: Mutex<Window>,
    faults: Mutex<Vec<String>>,
    symbols: Mutex<Vec<String>>,
    ready: AtomicUsize,
    stop: AtomicBool,
}

/// The healthy clients of one gateway, in a thread of their own; they leave when this is dropped.
#[derive(Debug)]
pub struct Fleet {
    board: Arc<Board>,
    clients: usize,
    thread: Option<JoinHandle<()>>,
}

impl Fleet {
    /// Connects `clients` clients, each from its own loopback address, subscribes, and waits until
    /// each was answered in full.
    ///
    /// # Errors
    /// When one cannot connect, is refused or is not served.
    pub fn start(address: SocketAddr, clients: usize) -> Result<Self> {
        let board = Arc::new(Board::default());
        let mut crew = Crew::connect(address, clients, Arc::clone(&board))?;
        let thread = thread::Builder::new().name("healthy".to_owned()).spawn(move || crew.run())?;
        let fleet = Self { board, clients, thread: Some(thread) };
        let start = Instant::now();
        while fleet.board.ready.load(Relaxed) < clients {
            let faults = fleet.faults();
            ensure!(faults.is_empty(), "healthy clients were not served: {faults:?}");
            let ready = fleet.board.ready.load(Relaxed);
            ensure!(
                start.elapsed() < READY_LIMIT,
                "{ready} of {clients} healthy clients were served within {READY_LIMIT:?}"
            );
            thread::sleep(Duration::from_millis(10));
        }
        fleet.take_window();
        Ok(fleet)
    }

    /// How many there are.
    #[must_use]
    pub fn clients(&self) -> usize {
        self.clients
    }

    /// What was received since the last call.
    pub fn take_window(&self) -> Window {
        std::mem::take(&mut *lock(&self.board.window))
    }

    /// What was wrong so far; empty is what it should be.
    #[must_use]
    pub fn faults(&self) -> Vec<String> {
        lock(&self.board.faults).clone()
    }

    /// The gateway's symbols.
    #[must_use]
    pub fn symbols(&self) -> Vec<String> {
        lock(&self.board.symbols).clone()
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        self.board.stop.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            // Its panic was printed when it happened, and shows as silence.
            let _ = thread.join();
        }
    }
}

/// Nothing half-done is ever left under these locks.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The thread's side.
struct Crew {
    board: Arc<Board>,
    poll: Poll,
    clients: Vec<Client>,
}

impl Crew {
    fn connect(address: SocketAddr, clients: usize, board: Arc<Board>) -> Result<Self> {
        let poll = Poll::new()?;
        let mut crew = Self { board, poll, clients: Vec::with_capacity(clients) };
        for number in 0..clients {
            let mut client = Client::connect(address, number)
                .with_context(|| format!("healthy client {number}"))?;
            let interest = Interest::READABLE | Interest::WRITABLE;
            crew.poll.registry().register(&mut client.stream, Token(number), interest)?;
            crew.clients.push(client);
        }
        Ok(crew)
    }

    fn run(&mut self) {
        let mut events = Events::with_capacity(1024);
        let mut buffer = vec![0; 64 * 1024];
        while !self.board.stop.load(Relaxed) {
            // An interrupted wait is a short one.
            let _ = self.poll.poll(&mut events, Some(Duration::from_millis(50)));
            for event in &events {
                let Token(number) = event.token();
                self.serve(number, &mut buffer);
            }
        }
    }

    fn serve(&mut self, number: usize, buffer: &mut [u8]) {
        let client = &mut self.clients[number];
        if client.over {
            return;
        }
        if let Err(error) = client.serve(&self.board, buffer) {
            client.over = true;
            let mut faults = lock(&self.board.faults);
            if faults.len() < FAULTS_KEPT {
                faults.push(format!("healthy client {number}: {error:#}"));
            }
        }
        if self.clients[number].listed {
            self.clients[number].listed = false;
            let symbols = lock(&self.board.symbols).clone();
            for client in &mut self.clients {
                client.subscribe(&symbols);
            }
        }
    }
}

/// One healthy client.
struct Client {
    number: usize,
    stream: TcpStream,
    upgraded: bool,
    carry: Vec<u8>,
    /// What the socket has not taken: commands and pongs.
    outbox: Vec<u8>,
    decoder: Decoder,
    book: Book,
    /// The directory has just arrived: everybody can subscribe.
    listed: bool,
    over: bool,
}

impl Client {
    fn connect(address: SocketAddr, number: usize) -> Result<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        // 127.0.1.0 and up: an address for each.
        let (high, low) = (number / 250 + 1, number % 250 + 1);
        let source = Ipv4Addr::new(127, 0, high as u8, low as u8);
        socket.bind(&SocketAddr::from((source, 0)).into())?;
        socket.connect_timeout(&address.into(), READY_LIMIT)?;
        socket.set_tcp_nodelay(true)?;
        socket.set_nonblocking(true)?;
        let subprotocol = Some(Dialect::MessagePack.subprotocol());
        Ok(Self {
            number,
            stream: TcpStream::from_std(socket.into()),
            upgraded: false,
            carry: Vec::new(),
            outbox: wire::handshake_request("healthy", "/v1/stream", subprotocol),
            decoder: Decoder::new(Dialect::MessagePack),
            book: Book::new(),
            listed: false,
            over: false,
        })
    }

    fn is_real_time(&self) -> bool {
        self.number.is_multiple_of(REAL_TIME_EVERY)
    }

    fn subscribe(&mut self, symbols: &[String]) {
        let count = if self.is_real_time() { WATCHED.1 } else { WATCHED.0 };
        // Each begins at another symbol, so that all of them are watched evenly.
        let mine = symbols.iter().cycle().skip(self.number * 7 % symbols.len().max(1)).take(count);
        let real_time = self.is_real_time();
        let subscribe = Subscribe {
            symbols: mine.cloned().collect(),
            channels: Some(if real_time { Channels::only(Channel::Quote) } else { Channels::ALL }),
            throttle_ms: Some(Some(if real_time { 0 } else { 100 })),
            ..Subscribe::default()
        };
        self.outbox.extend(frames::command(Op::Subscribe(subscribe)));
        // An error shows again at the next read.
        let _ = self.flush();
    }

    fn serve(&mut self, board: &Board, buffer: &mut [u8]) -> Result<()> {
        self.flush()?;
        loop {
            match self.stream.read(buffer) {
                Ok(0) => return Err(anyhow!("closed without a word")),
                Ok(count) => {
                    self.carry.extend_from_slice(&buffer[..count]);
                    self.take(board)?;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error).context("read"),
            }
        }
        self.flush()
    }

    fn flush(&mut self) -> Result<()> {
        while !self.outbox.is_empty() {
            match self.stream.write(&self.outbox) {
                Ok(count) => drop(self.outbox.drain(..count)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::NotConnected => break,
                Err(error) => return Err(error).context("write"),
            }
        }
        Ok(())
    }

    /// Handles what is complete in `carry`.
    fn take(&mut self, board: &Board) -> Result<()> {
        if !self.upgraded {
            let Some(head) = wire::http_head_bytes(&self.carry) else { return Ok(()) };
            let text = String::from_utf8_lossy(&self.carry[..head]).into_owned();
            ensure!(text.starts_with("HTTP/1.1 101"), "refused: {}", text.trim_end());
            self.carry.drain(..head);
            self.upgraded = true;
        }
        let carry = std::mem::take(&mut self.carry);
        let mut rest = &carry[..];
        while let Some(header) = wire::parse_header(rest)
            && rest.len() >= header.header_bytes + header.payload_bytes
        {
            let (frame, behind) = rest.split_at(header.header_bytes + header.payload_bytes);
            self.take_frame(header.opcode, &frame[header.header_bytes..], board)?;
            rest = behind;
        }
        self.carry = rest.to_vec();
        Ok(())
    }

    fn take_frame(&mut self, opcode: u8, payload: &[u8], board: &Board) -> Result<()> {
        match opcode {
            wire::PING => {
                wire::write_client_frame(&mut self.outbox, wire::PONG, payload);
                return Ok(());
            }
            wire::CLOSE => {
                let reason = String::from_utf8_lossy(payload.get(2..).unwrap_or_default());
                return Err(anyhow!("closed with {reason:?}"));
            }
            _ => {}
        }
        match self.decoder.decode(payload)? {
            Message::Reply(Reply::Welcome(welcome)) => {
                self.book.begin(welcome.epoch);
                if self.number == 0 {
                    self.list();
                }
            }
            Message::Reply(Reply::Symbols { symbols, .. }) if symbols.len() < SYMBOLS => {
                // The feed is still listing.
                self.list();
            }
            Message::Reply(Reply::Symbols { symbols, .. }) => {
                let names = symbols.into_iter().map(|symbol| symbol.name.to_string());
                *lock(&board.symbols) = names.collect();
                self.listed = true;
            }
            Message::Reply(Reply::Subscribed(answer)) => {
                ensure!(answer.rejected.is_empty(), "rejected: {:?}", answer.rejected);
            }
            Message::Reply(other) => return Err(anyhow!("unexpected: {other:?}")),
            Message::Frame(frame) => {
                let now_us = unix_us();
                let violations = self.book.apply(&frame);
                ensure!(violations.is_empty(), "frame {}: {violations:?}", frame.sequence);
                self.record(&frame, now_us, board);
            }
            Message::Unknown => return Err(anyhow!("a message of no known kind")),
        }
        Ok(())
    }

    fn list(&mut self) {
        let op = Op::Symbols { prefix: String::new(), after: None, limit: Some(SYMBOLS as u64) };
        self.outbox.extend(frames::command(op));
    }

    fn record(&self, frame: &tickgate_protocol::entry::Frame, now_us: i64, board: &Board) {
        let mut window = lock(&board.window);
        window.served.insert(self.number);
        let since = |then_us: i64| u64::try_from(now_us.saturating_sub(then_us)).unwrap_or(0);
        let mut newest_us = None;
        for entry in &frame.entries {
            match entry {
                Entry::Ready { .. } => drop(board.ready.fetch_add(1, Relaxed)),
                Entry::Quote(quote) if self.is_real_time() && quote.age_us != ABSENT => {
                    newest_us = newest_us.max(Some(frame.sent_at_us - quote.age_us));
                }
                _ => {}
            }
        }
        if !frame.entries.is_empty() {
            window.transit_us.push(since(frame.sent_at_us));
        }
        if let Some(newest_us) = newest_us {
            window.tick_us.push(since(newest_us));
        }
    }
}

fn unix_us() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// What a client makes of these messages; each is a whole payload.
    fn judge(messages: &[(u8, Vec<u8>)]) -> Result<Window> {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        let mut client = Client::connect(address, 1).expect("connects");
        let board = Board::default();
        for (opcode, payload) in messages {
            client.take_frame(*opcode, payload, &board)?;
        }
        Ok(board.window.into_inner().expect("nobody panicked"))
    }

    fn frame(sequence: u64, entries: &[Entry]) -> (u8, Vec<u8>) {
        let mut bytes = Vec::new();
        let mark = Dialect::MessagePack.begin_frame(&mut bytes, sequence, unix_us());
        for entry in entries {
            Dialect::MessagePack.write_entry(&mut bytes, entry, None);
        }
        Dialect::MessagePack.finish_frame(&mut bytes, mark, 0, entries.len());
        (wire::BINARY, bytes)
    }

    #[test]
    fn a_sound_stream_is_recorded() {
        let ready = Entry::Ready { command_id: Some(1) };
        let window = judge(&[frame(1, &[ready]), frame(2, &[])]).expect("sound");
        assert_eq!(window.transit_us.len(), 1, "heartbeats are not timed");
        assert_eq!(window.served, BTreeSet::from([1]));
    }

    #[test]
    fn a_hole_between_frames_is_a_fault() {
        let error = judge(&[frame(1, &[]), frame(3, &[])]).expect_err("frame 2 is missing");
        assert!(error.to_string().contains("frame 3"), "{error}");
    }

    #[test]
    fn a_close_and_an_error_are_faults() {
        assert!(judge(&[(wire::CLOSE, b"\x0f\xa0draining".to_vec())]).is_err());
        let error = b"\x83\xa4type\xa5error\xa4code\xa9bad_field\xa7message\xa0";
        assert!(judge(&[(wire::BINARY, error.to_vec())]).is_err());
    }
}
