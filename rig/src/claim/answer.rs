//! The answer to a claim, by what was tried. Pure.

use super::evidence::{ClaimEvidence, ProofResult};
use crate::scenario::Claim;
use crate::trouble::Exit;
use serde::Serialize;

/// The answer to a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// What is claimed was seen.
    Reproduced,
    /// What is claimed breaks a rule that no order of the machine code breaks, and every order was explored.
    Refuted,
    /// It was not seen in what was tried, which is no proof.
    NotReproduced,
    /// Nothing was judged.
    NotJudged,
}

impl Answer {
    /// What the evidence says. One sight of it outweighs all else, also a proof: then one of the two is wrong, and both are shown.
    pub fn of(claim: &Claim, evidence: &ClaimEvidence) -> Self {
        let by_seed = evidence.seeds.as_ref().is_some_and(|seeds| seeds.shown.is_some());
        let broken = evidence.proof.as_ref().and_then(|proof| proof.broken.as_ref());
        if evidence.shown_in_run(claim).is_some() || by_seed || broken.is_some_and(|rule| *rule == claim.shown_by) {
            return Self::Reproduced;
        }
        if evidence.proof.as_ref().is_some_and(|proof| refutes(proof, claim)) {
            return Self::Refuted;
        }
        let judged = evidence.judged_runs() as u64 + evidence.seeds.as_ref().map_or(0, |seeds| seeds.judged);
        if judged == 0 { Self::NotJudged } else { Self::NotReproduced }
    }

    /// The command's exit code.
    pub const fn exit(self) -> Exit {
        match self {
            Self::Reproduced => Exit::Failed,
            Self::Refuted => Exit::Passed,
            Self::NotReproduced => Exit::NotReproduced,
            Self::NotJudged => Exit::Environment,
        }
    }

    /// In capitals, as reports begin.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Reproduced => "REPRODUCED",
            Self::Refuted => "REFUTED",
            Self::NotReproduced => "NOT REPRODUCED",
            Self::NotJudged => "NOT JUDGED",
        }
    }
}

/// Whether every order was explored, and the rule that the claim names was among those that were judged.
fn refutes(proof: &ProofResult, claim: &Claim) -> bool {
    proof.broken.is_none() && proof.rules.contains(&claim.shown_by)
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::evidence::SeedsResult;
    use super::*;
    use crate::suite::tests::example;
    use rig_judge::Outcome;

    pub(in super::super) fn claim() -> Claim {
        Claim { says: "CPUs race.".into(), shown_by: "lockstep".into(), runs: 2, ..Claim::default() }
    }

    pub(in super::super) fn proof(broken: Option<&str>) -> ProofResult {
        ProofResult {
            cpus: 3,
            failures: false,
            rules: vec!["lockstep".into(), "progress".into()],
            broken: broken.map(Into::into),
            steps: Vec::new(),
            states: 100,
            transitions: 300,
        }
    }

    fn seeds(judged: u64, shown: bool) -> SeedsResult {
        SeedsResult { judged, not_judged: 0, failed: u64::from(shown), shown: shown.then_some((7, None)) }
    }

    #[test]
    fn one_sight_of_it_is_enough() {
        let runs = vec![example("x", Outcome::Passed), example("x", Outcome::Failed)];
        let seen = ClaimEvidence { runs, ..ClaimEvidence::default() };
        assert_eq!(Answer::of(&claim(), &seen), Answer::Reproduced);
        assert_eq!(seen.shown_in_run(&claim()).map(|(number, _)| number), Some(2));
        let seen = ClaimEvidence { proof: Some(proof(None)), ..seen };
        assert_eq!(Answer::of(&claim(), &seen), Answer::Reproduced, "a proof does not talk it away");
        let seen = ClaimEvidence { seeds: Some(seeds(9, true)), ..ClaimEvidence::default() };
        assert_eq!(Answer::of(&claim(), &seen), Answer::Reproduced);
        let seen = ClaimEvidence { proof: Some(proof(Some("lockstep"))), ..ClaimEvidence::default() };
        assert_eq!(Answer::of(&claim(), &seen), Answer::Reproduced);
    }

    #[test]
    fn only_a_proof_of_what_is_claimed_refutes_it() {
        let runs = vec![example("x", Outcome::Passed)];
        let none = ClaimEvidence { runs, ..ClaimEvidence::default() };
        assert_eq!(Answer::of(&claim(), &none), Answer::NotReproduced);
        let proved = ClaimEvidence { proof: Some(proof(None)), ..none.clone() };
        assert_eq!(Answer::of(&claim(), &proved), Answer::Refuted);
        let other = Claim { shown_by: "load reader".into(), ..claim() };
        assert_eq!(Answer::of(&other, &proved), Answer::NotReproduced, "the proof does not judge readers");
        let broken = ClaimEvidence { proof: Some(proof(Some("progress"))), ..none };
        assert_eq!(Answer::of(&claim(), &broken), Answer::NotReproduced, "another rule breaks");
    }

    #[test]
    fn what_was_not_judged_is_no_answer() {
        let runs = vec![example("x", Outcome::RigError), example("x", Outcome::Skipped)];
        // The example's error names an invariant, which an error of the rig never does.
        let runs = runs.into_iter().map(|ran| crate::suite::Ran { unmet: Vec::new(), ..ran }).collect();
        let evidence = ClaimEvidence { runs, ..ClaimEvidence::default() };
        assert_eq!(Answer::of(&claim(), &evidence), Answer::NotJudged);
        let evidence = ClaimEvidence { seeds: Some(seeds(5, false)), ..evidence };
        assert_eq!(Answer::of(&claim(), &evidence), Answer::NotReproduced);
        let runs = vec![example("x", Outcome::Passed)];
        let evidence = ClaimEvidence { runs, unseen: 1, ..ClaimEvidence::default() };
        assert_eq!(Answer::of(&claim(), &evidence), Answer::NotJudged, "the invariant was not observed");
        let codes = [Answer::Refuted, Answer::Reproduced, Answer::NotReproduced, Answer::NotJudged];
        assert_eq!(codes.map(|answer| answer.exit() as u8), [0, 1, 6, 5]);
    }
}
