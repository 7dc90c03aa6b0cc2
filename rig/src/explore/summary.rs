//! What many seeds say together.

use super::results::SeedResult;
use super::statistics::Rate;
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
    /// Seeds for which the rig itself failed.
    pub rig_errors: u64,
    /// Judged seeds up to and with the first failure, in the order in which they ran.
    pub tries_to_first_failure: Option<u64>,
    /// How often each way to fail was seen: the broken invariants, or the verdict.
    pub failures: BTreeMap<String, u64>,
    /// Holds of all schedules, those that began, and those whose condition came true.
    pub holds: [u64; 3],
}

impl Summary {
    /// Of results in the order in which they ran.
    pub fn of(results: &[SeedResult]) -> Self {
        let judged: Vec<&SeedResult> = results.iter().filter(|r| r.is_judged()).collect();
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
            rig_errors: results.iter().filter(|r| !r.is_judged()).count() as u64,
            tries_to_first_failure: judged.iter().position(|r| r.has_failed()).map(|i| i as u64 + 1),
            failures,
            holds: [sum(|r| r.holds), sum(|r| r.begun), sum(|r| r.satisfied)],
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
        if self.rig_errors > 0 {
            let _ = writeln!(text, "{} more came to no judgement: the rig failed", self.rig_errors);
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
    use super::super::results::tests::result;
    use super::*;
    use rig_judge::Outcome;

    #[test]
    fn a_summary_counts_what_was_judged() {
        let outcomes = [Outcome::Passed, Outcome::RigError, Outcome::Failed, Outcome::Hung, Outcome::Passed];
        let results: Vec<_> = outcomes.iter().enumerate().map(|(i, o)| result(i as u64, *o)).collect();
        let summary = Summary::of(&results);
        assert_eq!((summary.rate.failures, summary.rate.runs, summary.rig_errors), (2, 4, 1));
        assert_eq!(summary.tries_to_first_failure, Some(2));
        assert_eq!(summary.failures, BTreeMap::from([("hung".into(), 1), ("lockstep".into(), 1)]));
        assert!(summary.text().contains("2 of 4 schedules failed"));
        assert!(summary.text().contains("first failure in schedule number 2"));
    }

    #[test]
    fn nothing_failed_is_no_proof() {
        let results: Vec<_> = (0..100).map(|seed| result(seed, Outcome::Passed)).collect();
        let summary = Summary::of(&results);
        assert_eq!(summary.clean_runs_to_call_it_fixed, None);
        assert!(summary.rate.high > 0.03 && summary.text().contains("0 of 100"));
    }
}
