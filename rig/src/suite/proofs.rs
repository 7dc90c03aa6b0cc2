//! Proofs that belong to a suite, about the rig's own kernel: a suite with another kernel has none, since a proof ends without a
//! verdict where that kernel's code has something that the interpreter does not know.

use super::Ran;
use crate::milliseconds::milliseconds;
use crate::prove::prove;
use crate::scenario::Tag;
use rig_images::Progress;
use rig_interleave::kernel::Subject;
use rig_interleave::report::Verdict;
use rig_interleave::{Answers, InitialState, Request};
use rig_judge::Outcome;
use std::time::Instant;

/// The proofs of a suite, by name: each suite has all of the smaller ones, too.
pub fn proofs(tag: Tag) -> Vec<(&'static str, Request)> {
    let machine = Request { state: InitialState::Machine, firmware: Answers::Emulated, ..Request::default() };
    let three = Request { cpus: 3, ..machine };
    let all = [
        (Tag::Quick, "prove-3", three),
        (Tag::Full, "prove-3-failure", Request { failures: true, ..three }),
        (Tag::Full, "prove-3-after-failed", Request { after_failed: true, ..three }),
        (Tag::Full, "prove-3-kmod-lock", Request { subject: Subject::KmodLock, ..three }),
        (Tag::Full, "prove-3-kmod-atomic", Request { subject: Subject::KmodAtomic, ..three }),
    ];
    all.into_iter().filter(|(own, ..)| *own <= tag).map(|(_, name, request)| (name, request)).collect()
}

/// Makes a proof, as a line of a suite.
pub fn run_proof(name: &str, request: Request, progress: &Progress) -> Ran {
    let begun = Instant::now();
    let (verdict, reason, unmet, remedy) = match prove(request, None, None, progress) {
        Ok(proof) if proof.report.verdict == Verdict::Holds => (Outcome::Passed, None, None, None),
        Ok(proof) => {
            let finding = proof.report.finding.expect("what is refuted has a counterexample");
            (Outcome::Failed, Some(format!("{}: {}", finding.rule, finding.meaning)), Some(finding.rule), None)
        }
        Err(trouble) => (Outcome::RigError, Some(trouble.cause), None, Some(trouble.help)),
    };
    Ran {
        scenario: name.to_owned(),
        verdict,
        reason,
        unmet: unmet.into_iter().map(str::to_owned).collect(),
        known_defect: None,
        remedy,
        time_ms: milliseconds(begun.elapsed()),
        budget_ms: None,
        run_dir: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn larger_suites_have_the_proofs_of_the_smaller_ones() {
        let names = |tag| proofs(tag).into_iter().map(|(name, _)| name).collect::<Vec<_>>();
        assert_eq!(names(Tag::Quick), ["prove-3"]);
        assert!(names(Tag::Full).starts_with(&names(Tag::Quick)) && names(Tag::Night).starts_with(&names(Tag::Full)));
    }
}
