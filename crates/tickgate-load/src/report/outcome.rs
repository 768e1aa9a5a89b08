//! What a run came to in one line.

use std::fmt;

use super::{Report, units};

/// What a run came to, with the reasons.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The figures stand, nothing broke the protocol and every objective was kept.
    Passed,
    /// Something broke the protocol or an objective.
    Failed(Vec<String>),
    /// The figures are worthless, whatever they say.
    Invalid(Vec<String>),
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Passed => f.write_str("passed"),
            Self::Failed(reasons) => write!(f, "failed: {}", reasons.join("; ")),
            Self::Invalid(reasons) => write!(f, "invalid: {}", reasons.join("; ")),
        }
    }
}

impl Report {
    /// What the run came to. Violations count for clients of every group.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        if !self.invalid.is_empty() {
            return Outcome::Invalid(
                self.invalid.iter().map(|why| units::printable(why)).collect(),
            );
        }
        let mut reasons = Vec::new();
        let violations = self.violation_count();
        if violations > 0 {
            reasons.push(format!("{} of the protocol", units::counted(violations, "violation")));
        }
        if self.absent > 0 {
            let absent = units::counted(self.absent.into(), "client");
            reasons.push(format!("{absent} not ready at the end"));
        }
        let refused = self.healthy.counts.commands_refused;
        if refused > 0 {
            reasons.push(format!("{} refused", units::counted(refused, "sound command")));
        }
        let differing = self.comparison.as_ref().map_or(0, |comparison| comparison.differing);
        if differing > 0 {
            let states = units::counted(differing, "state");
            reasons.push(format!("{states} not as the gateway answers"));
        }
        let broken = self.objectives.iter().filter(|verdict| !verdict.is_kept);
        reasons.extend(broken.map(|verdict| {
            let measured = units::printable(&verdict.measured);
            format!("{}: {measured}", units::printable(&verdict.objective))
        }));
        if reasons.is_empty() { Outcome::Passed } else { Outcome::Failed(reasons) }
    }

    /// True when [`Report::outcome`] is [`Outcome::Passed`].
    #[must_use]
    pub fn is_passed(&self) -> bool {
        self.outcome() == Outcome::Passed
    }

    /// Violations of all clients, those that are not judged otherwise included: as many as the
    /// window had and what lies outside it had, and at least those that are told in full.
    #[must_use]
    pub fn violation_count(&self) -> u64 {
        let groups = self.groups.iter().map(|group| group.figures.counts.violations).sum();
        let all = self.healthy.counts.violations.max(groups) + self.violations_outside;
        all.max(self.violations.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample;

    #[test]
    fn every_reason_is_named_and_invalid_outranks_failed() {
        let mut report = sample::bare();
        assert_eq!(report.outcome().to_string(), "passed");
        assert!(report.is_passed());

        report = sample::full();
        report.invalid.clear();
        assert_eq!(
            report.outcome().to_string(),
            "failed: 2 violations of the protocol; 1 state not as the gateway answers; \
             late.p99<5ms: 41.200 ms"
        );
        report.invalid.push("the load's own thread was busy for 96 % of a second".to_owned());
        assert_eq!(
            report.outcome().to_string(),
            "invalid: the load's own thread was busy for 96 % of a second"
        );
        assert!(!report.is_passed());
    }

    #[test]
    fn a_violation_seen_by_a_group_that_is_not_healthy_fails_the_run() {
        let mut report = sample::bare();
        report.groups[0].is_healthy = false;
        report.groups[0].figures.counts.violations = 1;
        assert_eq!(report.outcome().to_string(), "failed: 1 violation of the protocol");
    }
}
