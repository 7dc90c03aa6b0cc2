//! From the evidence of a run to its verdict: whether it ended as its scenario expects. Pure.

use super::check::check;
use super::checks::checks;
use super::evidence::Evidence;
use super::update_checks::possible_updates;
use crate::scenario::{Ending, Expect, Scenario};
use rig_judge::{Facts, Invariant, Outcome, Verdict};
use std::collections::BTreeSet;

/// The verdict on a run. `facts` has no checks yet.
pub(super) fn verdict(scenario: &Scenario, facts: Facts, evidence: &Evidence<'_>) -> Verdict {
    let (Some(defect), Some(repaired), false) =
        (&scenario.expect.known_defect, scenario.repaired(), evidence.exploring)
    else {
        return under(scenario, facts, evidence);
    };
    let facts = Facts { known_defect: Some(defect.clone()), ..facts };
    let with_defect = under(scenario, facts.clone(), evidence);
    match with_defect.verdict {
        Outcome::Passed => {
            let came = with_defect.facts.checks.iter().find(|check| check.name.contains("update"));
            let came = came.map_or_else(String::new, |check| format!(" ({}: {})", check.name, check.seen));
            with_outcome(with_defect, Outcome::Xfail, format!("the kernel has its known defect, {defect}{came}"))
        }
        Outcome::Failed | Outcome::Hung | Outcome::GuestCrashed => {
            let without = under(&repaired, facts, evidence);
            if without.verdict != Outcome::Passed {
                return with_defect;
            }
            let remedy = "make what `expect.repaired` says the scenario's expectation, and remove `known_defect`";
            let reason = format!("the kernel does not have its known defect, {defect}, any more");
            Verdict { remedy: Some(remedy.into()), ..with_outcome(without, Outcome::Xpass, reason) }
        }
        _ => with_defect,
    }
}

/// The verdict by what exactly this scenario expects.
fn under(scenario: &Scenario, facts: Facts, evidence: &Evidence<'_>) -> Verdict {
    let facts = Facts { checks: checks(scenario, evidence), ..facts };
    let verdict = Verdict::new(facts, evidence.findings, evidence.end);
    if let Some(reason) = unrecorded(scenario, &verdict, evidence) {
        return with_outcome(verdict, Outcome::RigError, reason);
    }
    match against(&scenario.expect, verdict) {
        verdict if verdict.verdict == Outcome::Passed && evidence.blind => {
            with_outcome(verdict, Outcome::Unjudged, "nothing was recorded, so no invariant was judged".into())
        }
        verdict => verdict,
    }
}

/// A scenario may expect another ending than a pass; then that ending is what passes, and a pass is what fails.
fn against(expect: &Expect, mut verdict: Verdict) -> Verdict {
    let wanted = match expect.verdict {
        Ending::Passed => return verdict,
        Ending::Failed => Outcome::Failed,
        Ending::Hung => Outcome::Hung,
        Ending::Crashed => Outcome::GuestCrashed,
    };
    if matches!(verdict.verdict, Outcome::RigError | Outcome::Skipped) {
        return verdict;
    }
    let names = |outcome: Outcome, broken: &BTreeSet<Invariant>| {
        let names: Vec<&str> = broken.iter().map(|invariant| invariant.name()).collect();
        if names.is_empty() { outcome.name().to_owned() } else { format!("{}: {}", outcome.name(), names.join(", ")) }
    };
    let expected: BTreeSet<Invariant> = expect.broken.iter().copied().collect();
    // What broke beside a hang or a crash only says that there was one.
    let broken = match expect.verdict {
        Ending::Failed => verdict.breaches.iter().map(|breach| breach.invariant).collect(),
        _ => BTreeSet::new(),
    };
    let check = check("verdict", &names(wanted, &expected), &names(verdict.verdict, &broken));
    verdict.facts.checks.insert(0, check);
    match verdict.facts.checks.iter().find(|check| !check.met) {
        None => passed(verdict),
        Some(unmet) => {
            let reason = format!("{}: expected {}, seen {}", unmet.name, unmet.expected, unmet.seen);
            with_outcome(verdict, Outcome::Failed, reason)
        }
    }
}

/// Another module runs, or none, and the recording has nothing of the update, not even SEAMCALLs: the recorder is to
/// blame. Where the module is the one of before, a kernel that says "done" may have done nothing, and that is its own fault.
fn unrecorded(scenario: &Scenario, verdict: &Verdict, evidence: &Evidence<'_>) -> Option<String> {
    let could_be = verdict.verdict == Outcome::Failed && verdict.breaches.is_empty() && !evidence.blind;
    let (least, _) = possible_updates(scenario, evidence.guest);
    let replaced = evidence.guest.after != evidence.guest.before;
    let lacks = could_be && least > 0 && replaced && evidence.recorded.update_calls == 0;
    lacks.then(|| {
        format!("the recording has no SEAMCALL of an update, and at least {least} were made: it cannot be trusted")
    })
}

/// The run ended as the scenario expects in place of a pass.
fn passed(verdict: Verdict) -> Verdict {
    let came_to = Some(verdict.verdict);
    Verdict { verdict: Outcome::Passed, came_to, exit_code: Outcome::Passed.exit_code(), reason: None, ..verdict }
}

fn with_outcome(verdict: Verdict, outcome: Outcome, reason: String) -> Verdict {
    Verdict { verdict: outcome, exit_code: outcome.exit_code(), reason: Some(reason), ..verdict }
}

#[cfg(test)]
#[path = "expected_tests.rs"]
mod tests;
