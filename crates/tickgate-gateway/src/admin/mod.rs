//! The admin listener: metrics, health, sessions, symbols, configuration. On loopback anybody may
//! ask; with a token only who has it ([`guard`]).

mod answer;
mod ask;
mod guard;
mod routes;
mod token;

use std::sync::{Arc, Mutex};

use tickgate_session::Shared;
use tokio::sync::mpsc;

pub(crate) use ask::tell as tell_workers;
pub(crate) use routes::router;
pub use token::{Token, TokenError};

use crate::{
    config::{ConfigSource, FigureSource},
    counters::Counters,
    handover::Dispatcher,
    metrics::WorkerFigures,
    worker::Control,
};

/// What the routes look at.
pub(crate) struct Admin {
    pub(crate) shared: Arc<Shared>,
    pub(crate) controls: Vec<mpsc::Sender<Control>>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) foreign: FigureSource,
    pub(crate) dispatcher: Arc<Dispatcher>,
    /// What the workers answered last, so that a counter never falls because one is silent.
    pub(crate) last: Mutex<Vec<WorkerFigures>>,
    /// Without one, the listener is on loopback and asks nobody.
    pub(crate) token: Option<Token>,
    pub(crate) effective: ConfigSource,
}
