//! Questions to the workers, all asked at once and none waited for too long.

use std::time::Duration;

use tickgate_session::EngineStats;
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, timeout, timeout_at},
};

use crate::worker::{Control, survey::Answer};

/// How long a worker may take to answer before it counts as down. Its loop comes round every few
/// milliseconds.
const ANSWER_WITHIN: Duration = Duration::from_millis(500);

/// How long it may take to look at all its sessions, which it does in slices between flushes.
/// Half of what Prometheus waits for a scrape by default.
const SURVEY_WITHIN: Duration = Duration::from_secs(5);

/// The way to the workers.
pub(crate) type Controls = [mpsc::Sender<Control>];

/// The figures of those that answer.
pub(super) async fn stats(controls: &Controls) -> Vec<EngineStats> {
    let answers = ask(controls, ANSWER_WITHIN, Control::Stats).await;
    answers.into_iter().flatten().collect()
}

/// A survey by each worker; `None` for one that does not answer. `top` sessions are named by each.
pub(super) async fn survey(controls: &Controls, top: usize) -> Vec<Option<Answer>> {
    ask(controls, SURVEY_WITHIN, |answer| Control::Survey { top, answer }).await
}

/// What became of the order to close a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kick {
    /// It is being closed.
    Done,
    /// No worker has it.
    Unknown,
    /// No worker that answered has it, and some did not answer.
    Unanswered,
}

/// Closes a session, whoever has it.
pub(super) async fn kick(controls: &Controls, session: u64) -> Kick {
    let answers = ask(controls, ANSWER_WITHIN, |answer| Control::Kick { session, answer }).await;
    if answers.contains(&Some(true)) {
        Kick::Done
    } else if answers.contains(&None) {
        Kick::Unanswered
    } else {
        Kick::Unknown
    }
}

/// Gives every worker an order. One that cannot be told has ended already.
pub(crate) async fn tell(controls: &Controls, order: impl Fn() -> Control) {
    for (worker, control) in controls.iter().enumerate() {
        if timeout(ANSWER_WITHIN, control.send(order())).await.is_err() {
            tracing::warn!(worker, "a worker does not take its orders");
        }
    }
}

async fn ask<A>(
    controls: &Controls,
    within: Duration,
    question: impl Fn(oneshot::Sender<A>) -> Control,
) -> Vec<Option<A>> {
    let deadline = Instant::now() + within;
    let mut waiting = Vec::with_capacity(controls.len());
    for control in controls {
        let (answer, answered) = oneshot::channel();
        // A full channel means that the worker has not answered for sixteen askers.
        waiting.push(control.try_send(question(answer)).is_ok().then_some(answered));
    }
    let mut answers = Vec::with_capacity(waiting.len());
    for answered in waiting {
        answers.push(match answered {
            Some(answered) => timeout_at(deadline, answered).await.ok().and_then(Result::ok),
            None => None,
        });
    }
    answers
}
