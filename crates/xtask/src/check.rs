//! What a check is, and how it can end.

use std::fmt;

/// One thing that is checked.
pub(crate) struct Check {
    /// What `--only` takes.
    pub(crate) name: &'static str,
    /// What is true when it passes, in one line.
    pub(crate) proves: &'static str,
    /// Runs it, from the project's root.
    pub(crate) run: fn() -> Result<(), Trouble>,
}

/// Why a check did not pass.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// It ran and found something wrong.
    Failed(String),
    /// It could not run here: the tool that is missing, and why it could not be got.
    Missing(String),
}

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Passed,
    Failed,
    /// Did not run for want of a tool. Where every tool is expected to be present this counts as
    /// a failure instead.
    Unproved,
}

impl Verdict {
    /// `strict` is for machines on which nothing may be missing.
    pub(crate) fn of(result: &Result<(), Trouble>, strict: bool) -> Self {
        match result {
            Ok(()) => Self::Passed,
            Err(Trouble::Missing(_)) if !strict => Self::Unproved,
            Err(_) => Self::Failed,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Passed => "passed",
            Self::Failed => "FAILED",
            Self::Unproved => "unproved",
        })
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(why) => f.write_str(why),
            Self::Missing(what) => write!(f, "not run: {what}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_tool_fails_only_where_nothing_may_be_missing() {
        let missing = Err(Trouble::Missing("node".to_owned()));
        assert_eq!(Verdict::of(&missing, false), Verdict::Unproved);
        assert_eq!(Verdict::of(&missing, true), Verdict::Failed);
        let failed = Err(Trouble::Failed("exit code 1".to_owned()));
        assert_eq!(Verdict::of(&failed, false), Verdict::Failed);
        assert_eq!(Verdict::of(&Ok(()), true), Verdict::Passed);
    }
}
