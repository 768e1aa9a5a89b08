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
        let code = match self {
            Self::Running(_) => 1,
            Self::Config(_) => 2,
            Self::Start(_) => 3,
        };
        eprintln!("tickgate: {}", self.line());
        ExitCode::from(code)
    }

    /// What is wrong, in a line.
    pub(crate) fn line(&self) -> String {
        let (Self::Config(error) | Self::Start(error) | Self::Running(error)) = self;
        // `{:#}` joins the causes with colons; a message of several lines becomes one.
        format!("{error:#}").split_whitespace().collect::<Vec<_>>().join(" ")
    }
}
