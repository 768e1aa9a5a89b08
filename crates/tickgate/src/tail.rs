//! `tickgate tail`: a client for the terminal, that shows what a gateway sends.

mod lines;

use std::{
    io::{self, ErrorKind, Write},
    time::Duration,
};

use anyhow::{Context, anyhow, bail};
use futures_util::{Sink, SinkExt, StreamExt};
use tickgate_protocol::{
    book::Book,
    channel::{Channel, Channels},
    command::{Command, Op, Subscribe},
    decode::{Decoder, Message as Told},
    dialect::Dialect,
    reply::Reply,
};
use tokio::signal::ctrl_c;
use tokio_tungstenite::{
    connect_async,
    tungstenite::{self, ClientRequestBuilder, Message, http::Uri},
};

use crate::{cli::TailOptions, failure::Failure};

/// Longest wait for the connection and its handshake.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);

/// Longest silence when the gateway has not said what is too long.
const SILENCE: Duration = Duration::from_secs(10);

/// Symbols that are described at the beginning, at most; a gateway takes 200 commands at once.
const DESCRIBED_LIMIT: usize = 64;

/// Of the first command; those of the questions follow.
const SUBSCRIBE_ID: i64 = 1;

/// Longest wait for the gateway's answer to our close.
const CLOSE_WITHIN: Duration = Duration::from_secs(1);

/// Shows data until interrupted, or until nobody reads our output any more; both are a good end.
///
/// # Errors
/// [`Failure::Running`]: no connection, none of the symbols known, closed by the gateway, silence.
pub(crate) fn run(options: &TailOptions) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()
        .context("no runtime")
        .map_err(Failure::Start)?;
    match runtime.block_on(tail(options)) {
        Err(error) if is_closed_pipe(&error) => Ok(()),
        done => done.map_err(Failure::Running),
    }
}

async fn tail(options: &TailOptions) -> anyhow::Result<()> {
    let dialect = if options.json { Dialect::Json } else { Dialect::MessagePack };
    let uri: Uri = options.url.parse().with_context(|| format!("--url {}", options.url))?;
    let request = ClientRequestBuilder::new(uri).with_sub_protocol(dialect.subprotocol());
    let (mut socket, _) = tokio::time::timeout(CONNECT_WITHIN, connect_async(request))
        .await
        .map_err(|_| anyhow!("no answer within {} s", CONNECT_WITHIN.as_secs()))
        .and_then(|connected| connected.map_err(refusal))
        .with_context(|| format!("cannot connect to {}", options.url))?;
    let symbols = symbols(options);
    subscribe(&mut socket, options, &symbols, dialect).await?;

    let mut viewer = Viewer::new(dialect, options.json, symbols);
    let stop = ctrl_c();
    tokio::pin!(stop);
    loop {
        let message = tokio::select! {
            _ = &mut stop => break,
            message = tokio::time::timeout(viewer.silence_limit, socket.next()) => message,
        };
        let Ok(message) = message else {
            bail!("nothing was heard for {} s", viewer.silence_limit.as_secs_f64());
        };
        match message {
            Some(Ok(Message::Binary(bytes))) => viewer.show(&bytes)?,
            Some(Ok(Message::Text(text))) => viewer.show(text.as_bytes())?,
            Some(Ok(Message::Close(frame))) => {
                let reason = frame.map(|frame| format!("{} ({})", frame.reason, frame.code));
                bail!("closed by the gateway: {}", reason.unwrap_or_else(|| "no reason".into()));
            }
            Some(Ok(_)) => {}
            Some(Err(error)) => return Err(error).context("connection lost"),
            None => bail!("connection lost"),
        }
    }
    // In order: our close, then the gateway's, past whatever was on its way.
    let close = async {
        socket.close(None).await?;
        while socket.next().await.transpose()?.is_some() {}
        Ok::<_, tungstenite::Error>(())
    };
    // An interrupted program has nothing left to complain about.
    let _ = tokio::time::timeout(CLOSE_WITHIN, close).await;
    Ok(())
}

fn symbols(options: &TailOptions) -> Vec<String> {
    let split = options.symbols.iter().flat_map(|symbols| symbols.split(','));
    split.filter(|symbol| !symbol.is_empty()).map(str::to_owned).collect()
}

/// Subscribes, and asks what the symbols stand for, unless messages are shown as they come.
async fn subscribe<S>(
    socket: &mut S,
    options: &TailOptions,
    symbols: &[String],
    dialect: Dialect,
) -> anyhow::Result<()>
where
    S: Sink<Message, Error = tungstenite::Error> + Unpin,
{
    let trades = if options.trades { Channels::only(Channel::Trade) } else { Channels::NONE };
    let subscribe = Op::Subscribe(Subscribe {
        symbols: symbols.to_vec(),
        channels: Some(Channels::DEFAULT.with(trades)),
        throttle_ms: Some(Some(options.throttle_ms)),
        ..Subscribe::default()
    });
    let described = if options.json { 0 } else { DESCRIBED_LIMIT };
    // Of all names that begin so, the symbol's own comes first.
    let questions = symbols.iter().take(described).map(|symbol| Op::Symbols {
        prefix: symbol.clone(),
        after: None,
        limit: Some(1),
    });
    for (id, op) in (SUBSCRIBE_ID..).zip(std::iter::once(subscribe).chain(questions)) {
        let mut message = Vec::new();
        dialect.write_command(&mut message, &Command { id: Some(id), op });
        let message = match dialect {
            Dialect::MessagePack => Message::binary(message),
            Dialect::Json => Message::text(String::from_utf8(message)?),
        };
        socket.send(message).await.context("connection lost")?;
    }
    Ok(())
}

/// What the gateway answered in words, where it did.
fn refusal(error: tungstenite::Error) -> anyhow::Error {
    match error {
        tungstenite::Error::Http(response) => {
            let words = response.body().as_deref().map(String::from_utf8_lossy);
            anyhow!("{}: {}", response.status(), words.unwrap_or_default().trim())
        }
        // Bare: tungstenite's own text repeats its cause.
        tungstenite::Error::Io(error) => error.into(),
        other => other.into(),
    }
}

fn is_closed_pipe(error: &anyhow::Error) -> bool {
    let io = error.downcast_ref::<io::Error>();
    io.is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
}

/// Turns messages into lines on stdout.
struct Viewer {
    decoder: Decoder,
    book: Book,
    /// Print messages as they came.
    verbatim: bool,
    /// Those that were asked for.
    symbols: Vec<String>,
    silence_limit: Duration,
    text: String,
}

impl Viewer {
    fn new(dialect: Dialect, verbatim: bool, symbols: Vec<String>) -> Self {
        Self {
            decoder: Decoder::new(dialect),
            book: Book::new(),
            verbatim,
            symbols,
            silence_limit: SILENCE,
            text: String::new(),
        }
    }

    fn show(&mut self, message: &[u8]) -> anyhow::Result<()> {
        self.text.clear();
        match self.decoder.decode(message).context("unreadable message")? {
            Told::Frame(frame) => {
                for violation in self.book.apply(&frame) {
                    eprintln!("tickgate: the gateway broke the protocol: {violation}");
                }
                if !self.verbatim {
                    lines::write_frame(&mut self.text, &frame, &self.book);
                }
            }
            Told::Reply(reply) => self.answer(reply)?,
            Told::Unknown => {}
        }
        if self.verbatim {
            self.text.push_str(std::str::from_utf8(message).context("JSON is UTF-8")?);
            self.text.push('\n');
        }
        // Bare, so that a closed pipe is recognised.
        let mut stdout = io::stdout().lock();
        stdout.write_all(self.text.as_bytes())?;
        Ok(stdout.flush()?)
    }

    fn answer(&mut self, reply: Reply) -> anyhow::Result<()> {
        match reply {
            Reply::Welcome(welcome) => {
                self.book.begin(welcome.epoch);
                self.silence_limit = Duration::from_millis(welcome.silence_limit_ms);
            }
            Reply::Subscribed(subscribed) => {
                for rejected in &subscribed.rejected {
                    eprintln!("tickgate: {}: {}", rejected.symbol, rejected.code.name());
                }
                if subscribed.count == 0 && !subscribed.rejected.is_empty() {
                    bail!("none of these symbols can be had");
                }
            }
            Reply::Symbols { id, symbols, .. } => {
                let place = id.and_then(|id| usize::try_from(id - SUBSCRIBE_ID - 1).ok());
                let asked = place.and_then(|place| self.symbols.get(place));
                for info in symbols.iter().filter(|info| Some(&info.name) == asked) {
                    lines::write_instrument(&mut self.text, info);
                }
            }
            // A question that is not answered costs a line of words, no more.
            Reply::Error(refusal) if refusal.id.is_some_and(|id| id > SUBSCRIBE_ID) => {}
            Reply::Error(refusal) => bail!("refused: {}", refusal.message),
            Reply::Draining { .. } => eprintln!("tickgate: the gateway is shutting down"),
            _ => {}
        }
        Ok(())
    }
}
