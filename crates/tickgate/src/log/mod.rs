//! Log lines on stderr, human or JSON: each kind limited by the second, each line one line.
//!
//! A thread of its own writes them, so that a reader that does not keep up, a full disk or a closed
//! pipe never holds up whoever has something to say.
//!
//! | waits | capacity | when full | counter |
//! |---|---|---|---|
//! | lines for stderr | 4,096 lines | the newest is lost | `tickgate_log_lines_lost_total` |
//!
//! A line that stderr refuses (a full disk, a closed pipe) is gone without being counted: the
//! system took it from the buffer.

mod flood;
mod line;

use std::{
    io::{self, IsTerminal},
    sync::Arc,
};

use tickgate_gateway::{Figure, FigureKind};
use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::{EnvFilter, fmt::format};

use crate::{
    config::{LogFormat, LogSettings},
    failure::Failure,
};

use flood::Flood;
use line::{Limited, Style};

/// Lines that may wait for stderr.
const LINES_LIMIT: usize = 4_096;

/// Sets another filter; a function because its type names every layer.
type Refilter = Arc<dyn Fn(EnvFilter) -> bool + Send + Sync>;

/// The log of the process. Dropped, it gives what waits a second to be written.
pub(crate) struct Log {
    refilter: Refilter,
    lost: ErrorCounter,
    _guard: WorkerGuard,
}

/// Changes and watches a running log.
pub(crate) struct LogHandle {
    refilter: Refilter,
    lost: ErrorCounter,
}

impl Log {
    /// Installs the log for the life of the process.
    ///
    /// # Errors
    /// [`Failure::Config`] for a filter that is none, [`Failure::Running`] when a log is installed
    /// already.
    pub(crate) fn init(settings: &LogSettings) -> Result<Self, Failure> {
        let filter = EnvFilter::try_new(&settings.filter).map_err(Failure::config)?;
        let (writer, guard) = NonBlockingBuilder::default()
            .buffered_lines_limit(LINES_LIMIT)
            .lossy(true)
            .thread_name("tickgate-log")
            .finish(io::stderr());
        let lost = writer.error_counter();
        let lines = tracing_subscriber::fmt()
            .with_writer(writer)
            .with_env_filter(filter)
            .log_internal_errors(false);
        let flood = Flood::new(settings.lines_per_second);
        let colours = io::stderr().is_terminal();
        let (refilter, installed): (Refilter, _) = match settings.format {
            LogFormat::Human => {
                let style = if colours { Style::Coloured } else { Style::Plain };
                let inner = format().with_ansi(colours).with_target(false);
                let lines = lines
                    .with_ansi(colours)
                    .event_format(Limited::new(inner, flood, style))
                    .with_filter_reloading();
                let handle = lines.reload_handle();
                (Arc::new(move |filter| handle.reload(filter).is_ok()), lines.try_init())
            }
            LogFormat::Json => {
                let inner = format().json().flatten_event(true).with_ansi(false);
                let lines = lines
                    .with_ansi(false)
                    .fmt_fields(format::JsonFields::new())
                    .event_format(Limited::new(inner, flood, Style::Json))
                    .with_filter_reloading();
                let handle = lines.reload_handle();
                (Arc::new(move |filter| handle.reload(filter).is_ok()), lines.try_init())
            }
        };
        installed.map_err(|error| Failure::Running(anyhow::anyhow!(error)))?;
        // A panic's own way to stderr would hold its thread up there, and look unlike a log line.
        std::panic::set_hook(Box::new(|panic| tracing::error!("{panic}")));
        Ok(Self { refilter, lost, _guard: guard })
    }

    /// For whoever changes or watches it.
    pub(crate) fn handle(&self) -> LogHandle {
        LogHandle { refilter: Arc::clone(&self.refilter), lost: self.lost.clone() }
    }
}

impl LogHandle {
    /// Sets another filter, known to be valid.
    pub(crate) fn set_filter(&self, filter: &str) {
        let set = EnvFilter::try_new(filter).is_ok_and(|filter| (self.refilter)(filter));
        if !set {
            tracing::error!(filter, "the log's filter could not be set");
        }
    }

    /// Lines lost since the start.
    pub(crate) fn lost(&self) -> u64 {
        self.lost.dropped_lines() as u64
    }

    /// Lines that were not written since the start, and why, for `/metrics`.
    pub(crate) fn figures(&self) -> [Figure; 2] {
        let figure = |name, help, value: u64| Figure {
            name,
            help,
            label: None,
            kind: FigureKind::Counter,
            value: value as f64,
        };
        [
            figure(
                "tickgate_log_lines_lost_total",
                "Log lines lost because stderr did not take them in time",
                self.lost(),
            ),
            figure(
                "tickgate_log_lines_suppressed_total",
                "Log lines not written because too many of their kind came in a second",
                flood::suppressed(),
            ),
        ]
    }
}
