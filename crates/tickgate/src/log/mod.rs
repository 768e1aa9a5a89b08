//! Log lines on stderr, human or JSON: each kind limited by the second, each line one line.

mod flood;
mod line;

use std::io::{self, IsTerminal};

use tickgate_gateway::{Figure, FigureKind};
use tracing_subscriber::{EnvFilter, fmt::format};

use crate::{
    config::{LogFormat, LogSettings},
    failure::Failure,
};

use flood::Flood;
use line::{Limited, Style};

/// Installs the log for the life of the process.
///
/// # Errors
/// [`Failure::Running`] when one is installed already.
pub(crate) fn init(settings: &LogSettings) -> Result<(), Failure> {
    let filter = EnvFilter::try_new(&settings.filter).map_err(Failure::config)?;
    let colours = io::stderr().is_terminal();
    // A full disk behind stderr stops no worker: what cannot be written is lost.
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .log_internal_errors(false);
    let flood = Flood::new(settings.lines_per_second);
    let installed = match settings.format {
        LogFormat::Human => {
            let style = if colours { Style::Coloured } else { Style::Plain };
            let inner = format().with_ansi(colours).with_target(false);
            lines.with_ansi(colours).event_format(Limited::new(inner, flood, style)).try_init()
        }
        LogFormat::Json => {
            let inner = format().json().flatten_event(true).with_ansi(false);
            let lines = lines.with_ansi(false).fmt_fields(format::JsonFields::new());
            lines.event_format(Limited::new(inner, flood, Style::Json)).try_init()
        }
    };
    installed.map_err(|error| Failure::Running(anyhow::anyhow!(error)))
}

/// Lines that were not written since the start, for `/metrics`.
pub(crate) fn suppressed_figure() -> Figure {
    Figure {
        name: "tickgate_log_lines_suppressed_total",
        help: "Log lines not written because too many of their kind came in a second",
        label: None,
        kind: FigureKind::Counter,
        value: flood::suppressed() as f64,
    }
}
