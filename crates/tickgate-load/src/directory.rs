//! What a gateway says before the run: its symbols, its clock.

use std::{
    net::{SocketAddr, TcpStream},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use tickgate_protocol::{
    command::{Command, Op},
    decode::{Decoder, Message},
    dialect::Dialect,
    reply::{Reply, SymbolInfo},
};
use tungstenite::{ClientRequestBuilder, WebSocket, http::Uri};

use crate::clock::Clock;

/// Longest wait for one answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Longest wait for a gateway that is still listing its symbols, and between two looks.
const LISTING: (Duration, Duration) = (Duration::from_secs(10), Duration::from_millis(200));

/// Times the clocks are compared; the quickest exchange counts.
const CLOCK_READINGS: usize = 8;

/// What a gateway says before the run.
#[derive(Debug)]
pub(crate) struct Directory {
    /// Its symbols by name.
    pub(crate) symbols: Vec<String>,
    /// How far its clock is ahead of ours, microseconds, and by how much that may be wrong.
    pub(crate) clock_ahead_us: (i64, i64),
}

impl Directory {
    /// Asks the gateway at `target`, whose URL is `uri`.
    ///
    /// # Errors
    /// When it does not answer as a gateway does, or lists nothing.
    pub(crate) fn ask(target: SocketAddr, uri: &Uri) -> Result<Self> {
        let mut connection = Connection::open(target, uri)?;
        let clock_ahead_us = connection.compare_clocks()?;
        let began = Instant::now();
        let mut before = 0;
        loop {
            let symbols = connection.symbols()?;
            // A gateway that has just started lists its symbols with the first ticks.
            if !symbols.is_empty() && symbols.len() == before {
                return Ok(Self { symbols, clock_ahead_us });
            }
            ensure!(
                before > 0 || began.elapsed() < LISTING.0,
                "the gateway lists no symbols: is its feed running? (target.symbols names them)"
            );
            before = symbols.len();
            thread::sleep(LISTING.1);
        }
    }
}

/// A connection that asks one thing at a time.
struct Connection {
    socket: WebSocket<TcpStream>,
    decoder: Decoder,
}

impl Connection {
    fn open(target: SocketAddr, uri: &Uri) -> Result<Self> {
        let stream = TcpStream::connect_timeout(&target, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        let request = ClientRequestBuilder::new(uri.clone())
            .with_sub_protocol(Dialect::MessagePack.subprotocol());
        let (socket, _) = tungstenite::client(request, stream)
            .map_err(|error| anyhow::anyhow!("{error}"))
            .context("the target does not speak tickgate.v1 (--speaks names what it speaks)")?;
        let mut connection = Self { socket, decoder: Decoder::new(Dialect::MessagePack) };
        match connection.reply()? {
            Reply::Welcome(_) => Ok(connection),
            other => bail!("expected welcome, the target said {other:?}"),
        }
    }

    fn compare_clocks(&mut self) -> Result<(i64, i64)> {
        let clock = Clock::start(0);
        let mut quickest = (0, i64::MAX);
        for _ in 0..CLOCK_READINGS {
            let asked_us = clock.unix_us();
            self.say(Op::Ping)?;
            let Reply::Pong { time_us, .. } = self.reply()? else { bail!("expected a pong") };
            let answered_us = clock.unix_us();
            // The answer was given somewhere between: half of the way there is the best guess.
            let half_us = (answered_us - asked_us) / 2;
            if half_us < quickest.1 {
                quickest = (time_us - asked_us - half_us, half_us);
            }
        }
        Ok(quickest)
    }

    fn symbols(&mut self) -> Result<Vec<String>> {
        let mut names: Vec<String> = Vec::new();
        loop {
            let after = names.last().cloned();
            self.say(Op::Symbols { prefix: String::new(), after, limit: None })?;
            let Reply::Symbols { symbols, more, .. } = self.reply()? else {
                bail!("expected a page of symbols");
            };
            let is_over = !more || symbols.is_empty();
            names.extend(symbols.into_iter().map(|SymbolInfo { name, .. }| name));
            if is_over {
                return Ok(names);
            }
        }
    }

    fn say(&mut self, op: Op) -> Result<()> {
        let mut payload = Vec::new();
        Dialect::MessagePack.write_command(&mut payload, &Command { id: None, op });
        self.socket.send(payload.into()).context("the gateway does not take a command")
    }

    /// The next reply; heartbeats are passed over.
    fn reply(&mut self) -> Result<Reply> {
        loop {
            let message = self.socket.read().context("the gateway does not answer")?;
            if !message.is_binary() {
                continue;
            }
            if let Message::Reply(reply) = self.decoder.decode(&message.into_data())? {
                return Ok(reply);
            }
        }
    }
}
