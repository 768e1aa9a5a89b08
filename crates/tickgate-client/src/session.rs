//! One connection, from its handshake to its end.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tickgate_protocol::{
    command::Command,
    decode::{Decoder, Message as Told},
    dialect::Dialect,
    reply::{Reply, Welcome},
};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until, timeout, timeout_at},
};
use tokio_tungstenite::tungstenite::{
    self, Message,
    protocol::{CloseFrame, frame::coding::CloseCode},
};

use crate::{
    connection::Trouble,
    conversation::{Conversation, Problem, Request, Settings},
    dial::{Socket, Target, open},
    error::{ConnectError, Disconnect, ProtocolViolation},
    shared::Shared,
};

/// Longest wait for the gateway's part of a close.
const CLOSE_WITHIN: Duration = Duration::from_secs(1);

/// A connection whose `welcome` was read.
pub(crate) struct Session {
    socket: Socket,
    dialect: Dialect,
    decoder: Decoder,
    pub(crate) welcome: Welcome,
}

/// How a session ended.
pub(crate) enum Over {
    /// Its owner wants no more; the gateway was told.
    Closed,
    /// By itself.
    Broken(Trouble),
}

/// What came out of the socket.
enum Arrival {
    Message(Vec<u8>),
    /// A ping, a pong.
    Sign,
}

impl Session {
    /// Opens the stream, upgrades it and reads `welcome`, within `limit` in all.
    pub(crate) async fn open(target: &Target, limit: Duration) -> Result<Self, ConnectError> {
        let opening = async {
            let mut socket = open(target).await?;
            let mut decoder = Decoder::new(target.dialect);
            let welcome = loop {
                let arrived = socket.next().await;
                let ended = |disconnect| ConnectError::Ended(Box::new(disconnect));
                let Arrival::Message(bytes) =
                    arrival(arrived, target.dialect, None).map_err(ended)?
                else {
                    continue;
                };
                break match decoder.decode(&bytes) {
                    Ok(Told::Reply(Reply::Welcome(welcome))) => welcome,
                    Ok(other) => {
                        let found = format!("{other:?}").chars().take(60).collect();
                        let violation =
                            ProtocolViolation::Unexpected { expected: "welcome", found };
                        return Err(ended(violation.into()));
                    }
                    Err(error) => return Err(ended(ProtocolViolation::from(error).into())),
                };
            };
            Ok(Self { socket, dialect: target.dialect, decoder, welcome })
        };
        timeout(limit, opening).await.unwrap_or(Err(ConnectError::TimedOut { limit }))
    }

    /// Talks until the end. `set_up` is called once, when all settings are in force; `carried` is
    /// a request that an earlier connection left without an answer, and leaves here likewise.
    pub(crate) async fn talk(
        mut self,
        shared: &Shared,
        settings: &mut Settings,
        requests: &mut mpsc::Receiver<Request>,
        carried: &mut Option<Request>,
        set_up: impl FnOnce(),
    ) -> Over {
        let limits = &self.welcome.limits;
        let mut conversation = Conversation::new(settings, limits.message_bytes, carried.take());
        let mut set_up = Some(set_up);
        let closed = shared.closed();
        tokio::pin!(closed);
        let broken = loop {
            let said = tokio::select! {
                said = self.say_what_is_due(shared, &mut conversation) => said,
                () = &mut closed => {
                    self.close().await;
                    return Over::Closed;
                }
            };
            if let Err(disconnect) = said {
                break disconnect.into();
            }
            if conversation.is_set_up()
                && let Some(set_up) = set_up.take()
            {
                set_up();
            }
            let silence = self.silence_limit();
            let silent_at = Instant::now() + silence;
            let held_until = conversation.held_until();
            let listening = !requests.is_closed() || !requests.is_empty();
            tokio::select! {
                arrived = hear(&mut self.socket, silent_at) => {
                    let Some(arrived) = arrived else {
                        break Disconnect::Silent { limit: silence }.into();
                    };
                    let told = conversation.reconnect_after();
                    let heard = arrival(arrived, self.dialect, told)
                        .map_err(Trouble::from)
                        .and_then(|arrival| {
                            self.take_in(arrival, shared, &mut conversation, settings)
                        });
                    if let Err(trouble) = heard {
                        break trouble;
                    }
                }
                request = requests.recv(), if listening && conversation.has_room() => {
                    if let Some(request) = request {
                        conversation.hand_over(request);
                    }
                }
                () = shared.wake.notified() => {}
                () = sleep_until(held_until.unwrap_or(silent_at)), if held_until.is_some() => {}
                () = &mut closed => {
                    self.close().await;
                    return Over::Closed;
                }
            }
        };
        *carried = conversation.into_request();
        if matches!(broken, Trouble::Disconnected(Disconnect::Violation(_))) {
            shared.market().stats.violations += 1;
        }
        // Best effort: a close frame that is due is let out, a broken connection is let go.
        let _ = timeout(CLOSE_WITHIN, self.socket.flush()).await;
        Over::Broken(broken)
    }

    async fn say_what_is_due(
        &mut self,
        shared: &Shared,
        conversation: &mut Conversation,
    ) -> Result<(), Disconnect> {
        loop {
            let due = {
                let mut market = shared.market();
                let ack = conversation.ack(&mut market);
                ack.or_else(|| conversation.next(&mut market, Instant::now()))
            };
            let Some(command) = due else { return Ok(()) };
            self.say(&command, conversation).await?;
        }
    }

    async fn say(
        &mut self,
        command: &Command,
        conversation: &Conversation,
    ) -> Result<(), Disconnect> {
        let mut bytes = Vec::new();
        self.dialect.write_command(&mut bytes, command);
        let message = if self.dialect.is_text() {
            // The JSON writer makes UTF-8 of `&str`s and digits.
            Message::text(String::from_utf8(bytes).unwrap_or_default())
        } else {
            Message::binary(bytes)
        };
        let limit = self.silence_limit();
        match timeout(limit, self.socket.send(message)).await {
            Err(_) => Err(Disconnect::Silent { limit }),
            Ok(sent) => sent.map_err(|error| lost(&error, conversation.reconnect_after())),
        }
    }

    fn take_in(
        &mut self,
        arrival: Arrival,
        shared: &Shared,
        conversation: &mut Conversation,
        settings: &mut Settings,
    ) -> Result<(), Trouble> {
        let Arrival::Message(bytes) = arrival else { return Ok(()) };
        let told = self.decoder.decode(&bytes);
        let now = Instant::now();
        let mut market = shared.market();
        market.stats.received_bytes += bytes.len() as u64;
        let problem = match told.map_err(ProtocolViolation::from) {
            Err(violation) => Problem::Violation(violation),
            Ok(Told::Unknown) => return Ok(()),
            Ok(Told::Frame(frame)) => match market.apply(&frame, now) {
                Ok(()) => return Ok(()),
                Err(violation) => Problem::Violation(violation.into()),
            },
            Ok(Told::Reply(reply)) => {
                match conversation.answered(reply, &mut market, settings, now) {
                    Ok(()) => return Ok(()),
                    Err(problem) => problem,
                }
            }
        };
        Err(match problem {
            Problem::Violation(violation) => Disconnect::Violation(violation).into(),
            Problem::Setting(refused) => ConnectError::Setting(refused).into(),
        })
    }

    /// In order: our close, then the gateway's, past whatever was on its way.
    async fn close(&mut self) {
        let frame = CloseFrame { code: CloseCode::Normal, reason: "client_left".into() };
        let closing = async {
            self.socket.close(Some(frame)).await?;
            while self.socket.next().await.transpose()?.is_some() {}
            Ok::<_, tungstenite::Error>(())
        };
        // Who leaves has nothing left to complain about.
        let _ = timeout(CLOSE_WITHIN, closing).await;
    }

    fn silence_limit(&self) -> Duration {
        Duration::from_millis(self.welcome.silence_limit_ms)
    }
}

type Arrived = Option<Result<Message, tungstenite::Error>>;

/// The next message; `None` when there was silence until `silent_at`.
async fn hear(socket: &mut Socket, silent_at: Instant) -> Option<Arrived> {
    timeout_at(silent_at, socket.next()).await.ok()
}

/// Sorts out what came; `told` is what `draining` asked for.
fn arrival(
    arrived: Arrived,
    dialect: Dialect,
    told: Option<Duration>,
) -> Result<Arrival, Disconnect> {
    let wrong = |found: &str| {
        let expected = if dialect.is_text() { "a text message" } else { "a binary message" };
        let found = found.to_owned();
        Disconnect::Violation(ProtocolViolation::Unexpected { expected, found })
    };
    match arrived {
        Some(Ok(Message::Binary(_))) if dialect.is_text() => Err(wrong("a binary message")),
        Some(Ok(Message::Text(_))) if !dialect.is_text() => Err(wrong("a text message")),
        Some(Ok(Message::Binary(bytes))) => Ok(Arrival::Message(bytes.into())),
        Some(Ok(Message::Text(text))) => Ok(Arrival::Message(text.as_bytes().to_vec())),
        Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => Ok(Arrival::Sign),
        Some(Ok(Message::Close(frame))) => {
            let (code, reason) = match frame {
                Some(frame) => (frame.code.into(), frame.reason.to_string()),
                None => (1005, String::new()),
            };
            Err(Disconnect::Closed { code, reason, reconnect_after: told })
        }
        Some(Err(error)) => Err(lost(&error, told)),
        None => {
            let message = "it ended without a close frame".to_owned();
            Err(Disconnect::Lost { message, reconnect_after: told })
        }
    }
}

fn lost(error: &tungstenite::Error, reconnect_after: Option<Duration>) -> Disconnect {
    Disconnect::Lost { message: error.to_string(), reconnect_after }
}
