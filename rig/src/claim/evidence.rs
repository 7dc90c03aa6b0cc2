//! What was tried to show a claim.

use crate::scenario::Claim;
use crate::suite::Ran;
use rig_judge::Outcome;
use serde::Serialize;
use std::path::PathBuf;

/// What was tried to show a claim.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ClaimEvidence {
    /// Runs of the scenario as it is, up to the first that shows it.
    pub runs: Vec<Ran>,
    /// Of these, runs in which the invariant that would show it was not observed.
    pub unseen: usize,
    /// Schedules from seeds; none: not explored.
    pub seeds: Option<SeedsResult>,
    /// Every order of the machine code; none: not explored.
    pub proof: Option<ProofResult>,
}

/// What came of schedules from seeds.
#[derive(Clone, Debug, Serialize)]
pub struct SeedsResult {
    /// Schedules that were judged.
    pub judged: u64,
    /// Schedules that were not.
    pub not_judged: u64,
    /// Schedules that failed in some way.
    pub failed: u64,
    /// The first that shows the claim: its seed and its evidence.
    pub shown: Option<(u64, Option<PathBuf>)>,
}

/// What came of the exploration of every order.
#[derive(Clone, Debug, Serialize)]
pub struct ProofResult {
    /// CPUs.
    pub cpus: u8,
    /// Whether one SEAMCALL may fail.
    pub failures: bool,
    /// The names of what was judged.
    pub rules: Vec<String>,
    /// The rule that an order breaks; none: every order was explored, and none breaks one.
    pub broken: Option<String>,
    /// The order that breaks it, in words.
    pub steps: Vec<String>,
    /// States that were explored.
    pub states: usize,
    /// Operations from them.
    pub transitions: u64,
}

impl ClaimEvidence {
    /// The run that shows the claim, by its number from 1.
    pub fn shown_in_run(&self, claim: &Claim) -> Option<(usize, &Ran)> {
        let shows = |ran: &Ran| ran.unmet.iter().any(|unmet| claim.is_shown_by(unmet));
        (1..).zip(&self.runs).find(|(_, ran)| shows(ran))
    }

    /// Runs that were judged to their end, and could have shown it.
    pub fn judged_runs(&self) -> usize {
        let unjudged = [Outcome::RigError, Outcome::Skipped, Outcome::Unjudged];
        let judged = self.runs.iter().filter(|ran| !unjudged.contains(&ran.verdict)).count();
        judged.saturating_sub(self.unseen)
    }

    /// Runs that failed, hung or crashed in another way than is claimed.
    pub fn failed_otherwise(&self, claim: &Claim) -> Vec<&Ran> {
        let shows = |ran: &&Ran| ran.unmet.iter().any(|unmet| claim.is_shown_by(unmet));
        self.runs.iter().filter(|ran| ran.has_failed() && !shows(ran)).collect()
    }
}
