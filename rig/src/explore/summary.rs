//! What many seeds say together.

use super::results::{Found, SeedResult};
use super::statistics::Rate;
use crate::trouble::Exit;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// What many seeds say together.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// Failures among what was judged.
    pub rate: Rate,
    /// Clean runs after which the bug counts as fixed (99 %); none without a failure.
    pub clean_runs_to_call_it_fixed: Option<u64>,
    /// Seeds that were not judged, since the rig itself failed.
    pub rig_errors: u64,
    /// Failures that belong to no one seed.
    pub unassigned: u64,
    /// Judged seeds up to and with the first failure, in the order in which they ran.
    pub tries_to_first_failure: Option<u64>,
    /// How often each way to fail occurred: the broken invariants, or the verdict.
    pub failures: BTreeMap<String, u64>,
    /// Holds of all schedules, those that began, and those whose condition came true.
    pub holds: [u64; 3],
}

impl Summary {
    /// Of results in the order in which they ran.
    pub fn of(found: &Found) -> Self {
        let results: Vec<&SeedResult> = found.latest().collect();
        let judged: Vec<&SeedResult> = results.iter().copied().filter(|r| r.is_judged()).collect();
        let failed = judged.iter().filter(|r| r.has_failed());
        let mut failures = BTreeMap::new();
        for result in failed.clone() {
            *failures.entry(kind(result)).or_insert(0) += 1;
        }
        let rate = Rate::wilson(failed.count() as u64, judged.len() as u64);
        let sum = |of: fn(&SeedResult) -> u64| judged.iter().map(|r| of(r)).sum();
        Self {
            rate,
            clean_runs_to_call_it_fixed: rate.clean_runs_to_call_it_fixed(),
            unassigned: found.guests.len() as u64,
            rig_errors: results.iter().filter(|r| !r.is_judged()).count() as u64,
            tries_to_first_failure: judged.iter().position(|r| r.has_failed()).map(|i| i as u64 + 1),
            failures,
            holds: [sum(|r| r.holds), sum(|r| r.begun), sum(|r| r.satisfied)],
        }
    }

    /// How an exploration that ran to its end exits: a failure outranks what was not judged, and only a judged pass passes.
    pub const fn exit(&self) -> Exit {
        if self.rate.failures > 0 || self.unassigned > 0 {
            Exit::Failed
        } else if self.rig_errors > 0 || self.rate.runs == 0 {
            Exit::Environment
        } else {
            Exit::Passed
        }
    }

    /// For people.
    pub fn text(&self) -> String {
        let Rate { failures, runs, low, high } = self.rate;
        let mut text = format!(
            "{failures} of {runs} schedules failed: {:.2} % to {:.2} % (Wilson, 95 %)\n",
            low * 100.0,
            high * 100.0
        );
        for (kind, count) in &self.failures {
            let _ = writeln!(text, "  {kind}: {count}");
        }
        if let Some(tries) = self.tries_to_first_failure {
            let _ = writeln!(text, "first failure in schedule number {tries}");
        }
        if let Some(clean) = self.clean_runs_to_call_it_fixed {
            let _ = writeln!(text, "{clean} clean schedules in a row will show it fixed (99 %)");
        }
        let [all, begun, satisfied] = self.holds;
        if all > 0 {
            let _ = writeln!(text, "holds: {all}, of which {begun} were reached and {satisfied} came true");
        }
        if self.unassigned > 0 {
            let _ = writeln!(text, "{} more failures cannot be assigned to one schedule", self.unassigned);
        }
        if self.rig_errors > 0 {
            let _ = writeln!(text, "{} more schedules were not judged: the rig failed", self.rig_errors);
        }
        text
    }
}

/// How it failed.
pub fn kind(result: &SeedResult) -> String {
    if result.broken.is_empty() { result.verdict.name().to_owned() } else { result.broken.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::super::results::tests::{guest, result};
    use super::*;
    use rig_judge::Outcome;

    fn found(outcomes: &[Outcome]) -> Found {
        let seeds = outcomes.iter().zip(0..).map(|(outcome, seed)| result(seed, *outcome)).collect();
        Found { seeds, ..Found::default() }
    }

    #[test]
    fn only_what_was_judged_to_its_end_passes() {
        use Outcome::{Failed, GuestCrashed, Passed, RigError};
        let exit = |outcomes: &[Outcome]| Summary::of(&found(outcomes)).exit();
        assert_eq!(exit(&[Passed, Passed]), Exit::Passed);
        assert_eq!(exit(&[Passed, RigError, Passed]), Exit::Environment, "a scattered error of the rig");
        assert_eq!(exit(&[]), Exit::Environment, "nothing was judged");
        assert_eq!(exit(&[Passed, RigError, Failed]), Exit::Failed);
        assert_eq!(exit(&[Passed, GuestCrashed]), Exit::Failed);
        let late = Summary::of(&Found { guests: vec![guest()], ..found(&[Passed, Passed]) });
        assert_eq!(late.exit(), Exit::Failed);
        assert!(late.text().contains("1 more failures cannot be assigned to one schedule"), "{}", late.text());
    }

    #[test]
    fn a_summary_counts_what_was_judged() {
        let outcomes = [Outcome::Passed, Outcome::RigError, Outcome::Failed, Outcome::Hung, Outcome::Passed];
        let summary = Summary::of(&found(&outcomes));
        assert_eq!((summary.rate.failures, summary.rate.runs, summary.rig_errors), (2, 4, 1));
        assert_eq!(summary.tries_to_first_failure, Some(2));
        assert_eq!(summary.failures, BTreeMap::from([("hung".into(), 1), ("lockstep".into(), 1)]));
        assert!(summary.text().contains("2 of 4 schedules failed"));
        assert!(summary.text().contains("first failure in schedule number 2"));
    }

    #[test]
    fn nothing_failed_is_no_proof() {
        let summary = Summary::of(&found(&[Outcome::Passed; 100]));
        assert_eq!(summary.clean_runs_to_call_it_fixed, None);
        assert!(summary.rate.high > 0.03 && summary.text().contains("0 of 100"));
    }
}
