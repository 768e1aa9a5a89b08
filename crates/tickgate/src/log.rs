//! Log lines on stderr, human or JSON.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;

use crate::{
    config::{LogFormat, LogSettings},
    failure::Failure,
};

/// Installs the log for the life of the process.
///
/// # Errors
/// [`Failure::Running`] when one is installed already.
pub(crate) fn init(settings: &LogSettings) -> Result<(), Failure> {
    let filter = EnvFilter::try_new(&settings.filter).map_err(Failure::config)?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    let colours = io::stderr().is_terminal();
    let installed = match settings.format {
        LogFormat::Human => lines.with_ansi(colours).with_target(false).try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
    installed.map_err(|error| Failure::Running(anyhow::anyhow!(error)))
}
