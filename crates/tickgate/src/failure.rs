//! How the program ends badly: one clear line on stderr and an exit code that tells a script
//! what went wrong.

use std::process::ExitCode;

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
}

impl Failure {
    /// Wraps what broke a rule of the configuration.
    pub(crate) fn config(error: impl Into<anyhow::Error>) -> Self {
        Self::Config(error.into())
    }

    /// Prints the line, and gives the exit code.
    pub(crate) fn report(&self) -> ExitCode {
        let (error, code) = match self {
            Self::Running(error) => (error, 1),
            Self::Config(error) => (error, 2),
            Self::Start(error) => (error, 3),
            Self::Unreachable(error) => (error, 4),
            Self::NotAllowed(error) => (error, 5),
            Self::NotFound(error) => (error, 6),
        };
        // `{:#}` joins the causes with colons; a message of several lines becomes one.
        let line = format!("{error:#}").split_whitespace().collect::<Vec<_>>().join(" ");
        eprintln!("tickgate: {line}");
        ExitCode::from(code)
    }
}
