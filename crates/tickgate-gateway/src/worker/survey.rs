//! Looks at a worker's sessions for an operator, in slices between its flushes.

use std::net::SocketAddr;

use tickgate_session::{SessionKey, SessionReport, Survey};
use tokio::{runtime::Handle, sync::oneshot};

use super::Local;
use crate::metrics::WorkerFigures;

/// Subscriptions looked at before the engine has its turn again: some 100 µs, a fiftieth of a
/// flush tick.
const SLICE: usize = 2_048;

/// Who is at the other end of a session.
pub(super) struct Client {
    pub(super) key: SessionKey,
    pub(super) peer: SocketAddr,
    /// As it called itself, cleaned and cut.
    pub(super) user_agent: Option<Box<str>>,
}

/// What a survey found.
pub(crate) struct Answer {
    pub(crate) figures: WorkerFigures,
    /// The slowest sessions, the slowest first.
    pub(crate) slowest: Vec<Surveyed>,
}

/// A session, and who it is.
pub(crate) struct Surveyed {
    pub(crate) report: SessionReport,
    pub(crate) address: String,
    pub(crate) user_agent: Option<String>,
}

/// Surveys that may wait for one another; a further one is not answered.
const SURVEY_LIMIT: usize = 16;

/// A survey to be made or under way, and who waits for it.
pub(super) struct Running {
    survey: Survey,
    answer: oneshot::Sender<Answer>,
}

impl Local {
    /// Queues a survey behind those that wait.
    pub(super) fn begin_survey(&self, top: usize, answer: oneshot::Sender<Answer>) {
        let mut surveys = self.surveys.borrow_mut();
        if surveys.len() < SURVEY_LIMIT {
            surveys.push_back(Running { survey: Survey::new(top), answer });
        }
    }

    /// Goes on with the first survey by a slice, and answers when it is complete. False when there
    /// is none.
    pub(super) fn survey(&self) -> bool {
        let mut surveys = self.surveys.borrow_mut();
        let Some(Running { survey, answer }) = surveys.front_mut() else { return false };
        let engine = self.engine.borrow();
        // An asker that stopped waiting needs no answer.
        if !answer.is_closed() && !engine.survey(self.clock.now(), survey, SLICE) {
            return true;
        }
        let Some(Running { survey, answer }) = surveys.pop_front() else { return false };
        if answer.is_closed() {
            return true;
        }
        let (held, slowest) = survey.finish();
        // Taken with the last slice: a survey of one slice agrees with them to the last update.
        let stats = engine.stats().clone();
        let busy = Handle::current().metrics().worker_total_busy_duration(0);
        let clients = self.clients.borrow();
        let surveyed = |report: SessionReport| {
            let client = clients.get(&report.session);
            Surveyed {
                address: client.map_or_else(String::new, |client| client.peer.to_string()),
                user_agent: client.and_then(|client| client.user_agent.as_deref().map(Into::into)),
                report,
            }
        };
        let slowest = slowest.into_iter().map(surveyed).collect();
        let _ = answer.send(Answer { figures: WorkerFigures { stats, held, busy }, slowest });
        true
    }
}
