//! What of a scenario's demands a run did not meet.

use crate::finding::Standing;
use crate::verdict::Verdict;

impl Verdict {
    /// Names of the invariants that broke, else of the checks that were not met, each with what was seen; empty: the outcome says
    /// all.
    pub fn unmet(&self) -> Vec<String> {
        let broken = self.invariants.iter().filter(|(_, standing)| **standing == Standing::Broken);
        let broken: Vec<String> = broken.map(|(invariant, _)| invariant.name().to_owned()).collect();
        if !broken.is_empty() {
            return broken;
        }
        let unmet = self.facts.checks.iter().filter(|check| !check.met);
        unmet.map(|check| format!("{} is {}, not {}", check.name, check.seen, check.expected)).collect()
    }
}
