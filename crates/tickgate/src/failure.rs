//! How the program ends badly: one clear line on stderr and an exit code that tells a script
//! what went wrong.

use std::{
    io::{self, Write},
    process::ExitCode,
};

/// Why the program ends. Nothing is left half-started.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Exit code 2, as for a wrong flag: the configuration breaks a rule.
    Config(anyhow::Error),
    /// Exit code 3: the configuration is fine, the machine is not (a port in use, a recording
    /// that cannot be read).
    Start(anyhow::Error),
    /// Exit code 4: nobody answers where the gateway was said to be.
    Unreachable(anyhow::Error),
    /// Exit code 5: it answers, but not us: no token, or a wrong one.
    NotAllowed(anyhow::Error),
    /// Exit code 6: what was asked for is not there.
    NotFound(anyhow::Error),
    /// Exit code 1: anything later.
    Running(anyhow::Error),
    /// Exit code 1: a load run broke an objective, or the gateway the protocol.
    LoadFailed,
    /// Exit code 7: a load run's figures are worthless.
    LoadInvalid,
    /// Exit code 128 and the signal's number, as a shell shows it: a second signal to stop.
    Signal {
        /// `SIGINT` or `SIGTERM`.
        name: &'static str,
        /// 2 or 15.
        number: u8,
    },
}

impl Failure {
    /// Wraps what broke a rule of the configuration.
    pub(crate) fn config(error: impl Into<anyhow::Error>) -> Self {
        Self::Config(error.into())
    }

    /// Prints the line, and gives the exit code.
    pub(crate) fn report(&self) -> ExitCode {
        let code = match self {
            Self::Running(_) | Self::LoadFailed => 1,
            Self::Config(_) => 2,
            Self::Start(_) => 3,
            Self::Unreachable(_) => 4,
            Self::NotAllowed(_) => 5,
            Self::NotFound(_) => 6,
            Self::LoadInvalid => 7,
            Self::Signal { number, .. } => 128 + number,
        };
        // Nobody may be able to read it; the exit code says it too.
        let _ = writeln!(io::stderr(), "tickgate: {}", self.line());
        ExitCode::from(code)
    }

    /// What is wrong, in one line.
    pub(crate) fn line(&self) -> String {
        match self {
            // `{:#}` joins the causes with colons; a message of several lines becomes one.
            Self::Config(error)
            | Self::Start(error)
            | Self::Unreachable(error)
            | Self::NotAllowed(error)
            | Self::NotFound(error)
            | Self::Running(error) => {
                format!("{error:#}").split_whitespace().collect::<Vec<_>>().join(" ")
            }
            Self::LoadFailed => "the run failed: see the report".to_owned(),
            Self::LoadInvalid => "the run is invalid: see the report".to_owned(),
            Self::Signal { name, .. } => format!("stopped at once by a second signal, {name}"),
        }
    }
}
