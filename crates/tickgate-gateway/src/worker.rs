//! One worker: a thread, a runtime of its own, one session engine, and one tiny task for each
//! connection.
//!
//! The engine is borrowed only between awaits. The loop in [`serve`] drives it by time and by the
//! hub's doorbell; the tasks drive it by what clients send.

pub(crate) mod survey;

use std::{
    cell::{Cell, RefCell},
    collections::{HashMap, VecDeque},
    io,
    net::{SocketAddr, TcpStream as StdStream},
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
    time::{Duration, Instant},
};

use survey::{Answer, Client, Running};
use tickgate_protocol::{close::CloseReason, dialect::Dialect};
use tickgate_session::{Ended, Engine, EngineStats, Inbound, SessionKey, Shared};
use tokio::{
    net::TcpStream,
    runtime::{Builder, LocalOptions},
    sync::{Notify, mpsc, oneshot},
    time::{Instant as TokioInstant, sleep_until},
};

use crate::{clock::Clock, handover::Seat, socket::SocketTransport};

/// An upgraded connection on its way to a worker.
pub(crate) struct Handover {
    pub(crate) stream: StdStream,
    /// What the client sent on the heels of its handshake.
    pub(crate) read_ahead: Vec<u8>,
    pub(crate) dialect: Dialect,
    /// The gateway-wide number of the session.
    pub(crate) session: u64,
    pub(crate) peer: SocketAddr,
    /// What the client called itself, cleaned and cut.
    pub(crate) user_agent: Option<Box<str>>,
    /// Counts it as this worker's until dropped.
    pub(crate) seat: Seat,
}

/// What the gateway asks of a worker.
pub(crate) enum Control {
    /// Take nobody new, tell everybody, end when the last one left or this long has passed.
    Drain(Duration),
    /// Answer with the figures now.
    Stats(oneshot::Sender<EngineStats>),
    /// Close this share of the sessions, in a thousand, the slowest first and at least one.
    Shed(usize),
    /// Go on with other settings.
    Reconfigure(Arc<Shared>),
    /// Look at all sessions, in slices, then answer with what they hold and the `top` slowest.
    Survey { top: usize, answer: oneshot::Sender<Answer> },
    /// Close a session, if it is here; answer whether it is.
    Kick { session: u64, answer: oneshot::Sender<bool> },
}

/// Where a worker takes its work from.
pub(crate) struct Inbox {
    /// Capacity: `handover_limit` connections; when full the handshake is refused with 503.
    pub(crate) handovers: mpsc::Receiver<Handover>,
    /// Capacity: 16 messages; when full the asker waits.
    pub(crate) controls: mpsc::Receiver<Control>,
}

/// Everything a worker is made from.
pub(crate) struct WorkerSetup {
    pub(crate) shared: Arc<Shared>,
    pub(crate) index: usize,
    pub(crate) seed: u64,
    pub(crate) clock: Clock,
    pub(crate) inbox: Inbox,
    pub(crate) handover_batch: usize,
}

/// What sessions get to leave when the gateway is gone without a word: enough for a close frame
/// to be answered.
const ABANDONED_DRAIN: Duration = Duration::from_millis(1_250);

/// Runs a worker to its end on the calling thread. `started` is told once whether it could begin.
pub(crate) fn run(setup: WorkerSetup, started: oneshot::Sender<io::Result<()>>) {
    let runtime = Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build_local(LocalOptions::default());
    match runtime {
        Ok(runtime) => {
            // Nobody listening means the gateway gave up starting: then the inbox is closed too.
            let _ = started.send(Ok(()));
            runtime.block_on(serve(setup));
        }
        Err(error) => {
            let _ = started.send(Err(error));
        }
    }
}

/// What the loop and the connection tasks share.
struct Local {
    engine: RefCell<Engine<SocketTransport>>,
    /// By the gateway-wide number of their session.
    clients: RefCell<HashMap<u64, Client>>,
    /// What an operator waits for.
    surveys: RefCell<VecDeque<Running>>,
    /// Connections taken over that are not the engine's yet.
    arriving: Cell<usize>,
    clock: Clock,
    /// Those that wait for the worker to read on, each once.
    held: RefCell<HashMap<SessionKey, Waker>>,
    /// Rung by the hub's doorbell, and by connection tasks after the engine was given something.
    wake: Arc<Notify>,
}

/// What a message meant for the loop.
enum Turn {
    Go,
    /// Begin to drain, or the gateway is gone.
    Drain(Duration),
}

async fn serve(setup: WorkerSetup) {
    let WorkerSetup { shared, index, seed, clock, mut inbox, handover_batch } = setup;
    let hub = Arc::clone(shared.hub());
    let doorbell = &hub.worker(index).doorbell;
    let wake = Arc::new(Notify::new());
    let ring = Arc::clone(&wake);
    doorbell.install(Box::new(move || ring.notify_one()));
    let local = Rc::new(Local {
        engine: RefCell::new(Engine::new(shared, index, seed, clock.now())),
        clients: RefCell::default(),
        surveys: RefCell::default(),
        arriving: Cell::new(0),
        held: RefCell::default(),
        clock,
        wake,
    });
    let mut give_up: Option<Instant> = None;
    // False once the gateway can hand over nothing more, not even what it had reserved a place for.
    let mut more_to_come = true;
    let mut more_orders = true;

    loop {
        let progress = local.engine.borrow_mut().poll(clock.now());
        local.bury();
        local.release();
        if let Some(deadline) = give_up
            && ((local.is_empty() && !more_to_come) || Instant::now() >= deadline)
        {
            break;
        }

        // New connections are taken in batches between polls, so that a storm of them delays a
        // flush by a batch at most.
        for _ in 0..handover_batch {
            match inbox.handovers.try_recv() {
                Ok(handover) => local.open(handover),
                Err(_) => break,
            }
        }
        let mut turn = Turn::Go;
        if let Ok(control) = inbox.controls.try_recv() {
            turn = local.obey(control);
        } else if local.survey() {
            // Tasks and flushes first.
            tokio::task::yield_now().await;
        } else if progress.more {
            tokio::task::yield_now().await;
        } else if progress.wants_doorbell && !doorbell.arm() {
            // The hub published while we looked away: look again, after the tasks had a turn.
            tokio::task::yield_now().await;
        } else {
            tokio::select! {
                biased;
                control = inbox.controls.recv(), if more_orders => {
                    more_orders = control.is_some();
                    // No sender left: the gateway is gone without a word.
                    turn = control.map_or(Turn::Drain(ABANDONED_DRAIN), |c| local.obey(c));
                }
                handover = inbox.handovers.recv(), if more_to_come => match handover {
                    Some(handover) => local.open(handover),
                    None => more_to_come = false,
                },
                () = local.wake.notified() => {}
                () = until(earlier(progress.next_us.map(|us| clock.instant(us)), give_up)) => {}
            }
            if progress.wants_doorbell {
                doorbell.disarm();
            }
        }
        if let (Turn::Drain(within), None) = (turn, give_up) {
            // Who was promised a session with a 101 gets one, to be told what happens.
            inbox.handovers.close();
            local.engine.borrow_mut().drain(clock.now(), within);
            give_up = Some(Instant::now() + within);
        }
    }
    let left = local.engine.borrow().len();
    if left > 0 {
        tracing::warn!(worker = index, sessions = left, "sessions dropped at the drain deadline");
    }
}

/// Waits for an instant, or for ever.
async fn until(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(TokioInstant::from_std(instant)).await,
        None => std::future::pending().await,
    }
}

fn earlier(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (one, other) => one.or(other),
    }
}

impl Local {
    /// Registers a connection with this runtime, and gives it a task.
    fn open(self: &Rc<Self>, handover: Handover) {
        let Handover { stream, read_ahead, dialect, session, peer, user_agent, seat } = handover;
        let stream = match TcpStream::from_std(stream) {
            Ok(stream) => Rc::new(stream),
            Err(error) => {
                tracing::warn!(session, %peer, %error, "connection could not be registered");
                return;
            }
        };
        self.arriving.set(self.arriving.get() + 1);
        let arrival = Arrival { read_ahead, dialect, session, peer, user_agent };
        let state = State::Arriving(Box::new(arrival));
        let local = Rc::clone(self);
        // Dropping the handle detaches the task; it ends with its session.
        drop(tokio::task::spawn_local(Connection { local, stream, state, _seat: seat }));
    }

    /// Gives a connection to the engine.
    fn admit(&self, stream: Rc<TcpStream>, arrival: &mut Arrival) -> SessionKey {
        self.arriving.set(self.arriving.get() - 1);
        let &mut Arrival { dialect, session, peer, .. } = arrival;
        let read_ahead = std::mem::take(&mut arrival.read_ahead);
        let user_agent = arrival.user_agent.take();
        let transport = SocketTransport::new(stream);
        let now = self.clock.now();
        let key = self.engine.borrow_mut().open(now, transport, dialect, session, read_ahead);
        self.clients.borrow_mut().insert(session, Client { key, peer, user_agent });
        tracing::debug!(session, %peer, dialect = dialect.subprotocol(), "session opened");
        key
    }

    /// No session, and none on its way from its socket to the engine.
    fn is_empty(&self) -> bool {
        self.engine.borrow().is_empty() && self.arriving.get() == 0
    }

    fn obey(&self, control: Control) -> Turn {
        match control {
            Control::Drain(within) => return Turn::Drain(within),
            Control::Stats(answer) => {
                // An asker that stopped waiting needs no answer.
                let _ = answer.send(self.engine.borrow().stats().clone());
            }
            Control::Shed(per_mille) => {
                let mut engine = self.engine.borrow_mut();
                let count = (engine.len() * per_mille).div_ceil(1_000);
                engine.shed(self.clock.now(), count);
            }
            Control::Reconfigure(shared) => self.engine.borrow_mut().reconfigure(shared),
            Control::Survey { top, answer } => self.begin_survey(top, answer),
            Control::Kick { session, answer } => {
                let key = self.clients.borrow().get(&session).map(|client| client.key);
                if let Some(key) = key {
                    let now = self.clock.now();
                    self.engine.borrow_mut().close(now, key, CloseReason::Kicked);
                }
                let _ = answer.send(key.is_some());
            }
        }
        Turn::Go
    }

    /// Wakes those that were not read, once the engine reads on.
    fn release(&self) {
        if self.engine.borrow_mut().takes_more(self.clock.now()) {
            self.held.borrow_mut().drain().for_each(|(_, waker)| waker.wake());
        }
    }

    /// Logs the sessions that ended since the last call: one line each, with its reason.
    fn bury(&self) {
        let ended = self.engine.borrow_mut().take_ended();
        for Ended { key, session, reason, frames, bytes, merged, lost, age_us } in ended {
            let client = self.clients.borrow_mut().remove(&session);
            // Held or not, its task has to see the end.
            if let Some(waker) = self.held.borrow_mut().remove(&key) {
                waker.wake();
            }
            tracing::info!(
                session,
                peer = client.as_ref().map(|client| tracing::field::display(client.peer)),
                user_agent = client.as_ref().and_then(|client| client.user_agent.as_deref()),
                reason = reason.name(),
                code = reason.code(),
                duration_s = age_us as f64 / 1e6,
                frames,
                bytes,
                merged,
                lost,
                "session ended"
            );
        }
    }
}

/// The task of one connection: awaits what the engine asked for and tells it. Written by hand so
/// that it stays a few words large; there is one for every client.
struct Connection {
    local: Rc<Local>,
    stream: Rc<TcpStream>,
    state: State,
    _seat: Seat,
}

enum State {
    /// The runtime has not yet seen the socket ready; until it has, a write would be refused, and
    /// the welcome would wait for the next tick.
    Arriving(Box<Arrival>),
    /// The engine has it, and said this last.
    Open(SessionKey, Inbound),
}

/// What the engine is told of a new connection.
struct Arrival {
    read_ahead: Vec<u8>,
    dialect: Dialect,
    session: u64,
    peer: SocketAddr,
    user_agent: Option<Box<str>>,
}

impl Future for Connection {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        loop {
            // A failed wait is left to the engine: its read fails likewise and ends the session.
            let key = match &mut this.state {
                State::Arriving(arrival) => {
                    let _ = ready!(this.stream.poll_write_ready(context));
                    this.local.admit(Rc::clone(&this.stream), arrival)
                }
                State::Open(key, wait) => {
                    match wait {
                        Inbound::Again | Inbound::Held => {}
                        Inbound::Readable => {
                            let _ = ready!(this.stream.poll_read_ready(context));
                        }
                        Inbound::Writable => {
                            let _ = ready!(this.stream.poll_write_ready(context));
                        }
                        Inbound::Closed => return Poll::Ready(()),
                    }
                    *key
                }
            };
            let now = this.local.clock.now();
            let next = this.local.engine.borrow_mut().on_readable(now, key);
            this.state = State::Open(key, next);
            // A command may have made something due sooner than the loop expects.
            this.local.wake.notify_one();
            match next {
                Inbound::Again => {
                    // Others first.
                    context.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Inbound::Held => {
                    this.local.held.borrow_mut().insert(key, context.waker().clone());
                    return Poll::Pending;
                }
                Inbound::Readable | Inbound::Writable | Inbound::Closed => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_task_stays_a_few_words_large() {
        assert!(size_of::<Connection>() <= 64, "{} bytes", size_of::<Connection>());
    }

    #[test]
    fn the_earlier_of_two_times_is_waited_for() {
        let (a, b) = (Instant::now(), Instant::now() + Duration::from_secs(1));
        assert_eq!(earlier(Some(a), Some(b)), Some(a));
        assert_eq!(earlier(Some(b), None), Some(b));
        assert_eq!(earlier(None, Some(b)), Some(b));
        assert_eq!(earlier(None, None), None);
    }
}
