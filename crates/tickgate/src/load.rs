//! `tickgate load`: the load generator's way in and out.

use tickgate_load::{
    cli::{Ended, Options, load},
    run::LoadError,
};

use crate::failure::Failure;

/// Runs a load, and tells how it ended.
pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    match load(options) {
        Ok(Ended::Passed) => Ok(()),
        Ok(Ended::Failed) => Err(Failure::LoadFailed),
        Ok(Ended::Invalid) => Err(Failure::LoadInvalid),
        Err(LoadError::Scenario(error)) => Err(Failure::Config(error)),
        Err(LoadError::Start(error)) => Err(Failure::Start(error)),
        Err(LoadError::Running(error)) => Err(Failure::Running(error)),
    }
}
