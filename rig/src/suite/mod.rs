//! A suite: scenarios, the cheapest first, as many at once as the host has room for, and one report of all.
//!
//! Nothing is retried. A failure of the rig or of this machine is distinguished from one of the subject.

mod choice;
mod index;
mod pool;
mod proofs;
mod record;
mod report;
mod table;

pub use choice::named_so;
pub use index::index;
pub use pool::{Room, run_all};
pub use proofs::{proofs, run_proof};
pub use record::{SUITE, SuiteRecord};
pub use report::{junit, ktap};
pub use table::{line, summary};

use crate::milliseconds::milliseconds;
use crate::run::{self, Options};
use crate::scenario::Scenario;
use crate::trouble::{Exit, Trouble};
use rig_images::Progress;
use rig_judge::{Facts, Outcome, Verdict};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A scenario that was run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Ran {
    /// Its name.
    pub scenario: String,
    /// What came of it.
    pub verdict: Outcome,
    /// Why it did not pass.
    pub reason: Option<String>,
    /// Names of the invariants that broke, else of the checks that were not met.
    pub unmet: Vec<String>,
    /// The defect of the kernel that the scenario describes; none: it describes none.
    pub known_defect: Option<String>,
    /// What mends it, where the rig knows.
    pub remedy: Option<String>,
    /// Host time from the machine's start to the verdict, milliseconds.
    pub time_ms: u64,
    /// The scenario's budget of host time, milliseconds.
    pub budget_ms: Option<u64>,
    /// Its evidence; none when the run could not be prepared.
    pub run_dir: Option<PathBuf>,
}

impl Ran {
    /// Whether it took longer than its budget. The host may be to blame, so that alone fails nothing.
    pub fn is_over_budget(&self) -> bool {
        self.budget_ms.is_some_and(|budget| self.time_ms > budget)
    }

    /// Whether the subject is to blame.
    pub fn has_failed(&self) -> bool {
        matches!(self.verdict, Outcome::Failed | Outcome::Xpass | Outcome::Hung | Outcome::GuestCrashed)
    }
}

/// Runs a scenario with its evidence in a folder of its name in `out`.
pub fn run_one(scenario: Scenario, out: &Path, progress: &Progress) -> Ran {
    let (name, total_s) = (scenario.name.clone(), scenario.budget.total_s);
    let options = Options { out: Some(out.join(&name)), ..Options::default() };
    // What is built for the first time is no cost of the scenario.
    if let Some(nested) = &scenario.nested {
        let started = Instant::now();
        let verdict = run::run_nested(&scenario, nested, &options, started, progress);
        return ran(name, verdict, started.elapsed(), total_s);
    }
    let prepared = run::prepare(scenario, &options, progress);
    let started = Instant::now();
    let verdict = prepared.and_then(|prepared| run::run(prepared, started, progress));
    ran(name, verdict, started.elapsed(), total_s)
}

/// As [`run_one`], on a kernel that few other runs will have: in silence, from a boot, with the evidence in `folder`, made anew.
pub fn run_anew(scenario: Scenario, folder: &Path) -> Ran {
    let (name, total_s) = (scenario.name.clone(), scenario.budget.total_s);
    let started = Instant::now();
    let verdict = run::run_anew(scenario, folder);
    ran(name, verdict, started.elapsed(), total_s)
}

fn ran(scenario: String, verdict: Result<Verdict, Trouble>, time: Duration, total_s: Option<u32>) -> Ran {
    let unmet = verdict.as_ref().map(Verdict::unmet).unwrap_or_default();
    let (verdict, reason, remedy, facts) = match verdict {
        Ok(verdict) => (verdict.verdict, verdict.reason, verdict.remedy, verdict.facts),
        Err(trouble) => {
            let outcome = if trouble.exit == Exit::Skipped { Outcome::Skipped } else { Outcome::RigError };
            (outcome, Some(trouble.cause), Some(trouble.help), Facts::default())
        }
    };
    let (known_defect, run_dir) = (facts.known_defect, facts.run_dir);
    let time_ms = milliseconds(time);
    let budget_ms = total_s.map(|s| u64::from(s) * 1000);
    Ran { scenario, verdict, reason, unmet, known_defect, remedy, time_ms, budget_ms, run_dir }
}

/// How a suite ends: a failure of the subject outranks trouble of the rig; both outrank a pass.
pub fn exit(results: &[Ran]) -> Exit {
    if results.iter().any(Ran::has_failed) {
        Exit::Failed
    } else if results.iter().any(|ran| ran.verdict == Outcome::RigError) {
        Exit::Environment
    } else {
        Exit::Passed
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn example(name: &str, verdict: Outcome) -> Ran {
        let reason = (verdict != Outcome::Passed).then(|| "lockstep: <CPU 1> ran ahead".to_owned());
        let (time_ms, budget_ms) = (1234, Some(10_000));
        let is_defect = matches!(verdict, Outcome::Xfail | Outcome::Xpass);
        let known_defect = is_defect.then(|| "finding 2".to_owned());
        let unmet = reason.iter().map(|_| "lockstep".to_owned()).collect();
        Ran {
            scenario: name.into(),
            verdict,
            reason,
            unmet,
            known_defect,
            remedy: None,
            time_ms,
            budget_ms,
            run_dir: None,
        }
    }

    #[test]
    fn failures_outrank_trouble_and_trouble_outranks_passes() {
        let suite = |outcomes: &[Outcome]| exit(&outcomes.iter().map(|o| example("x", *o)).collect::<Vec<_>>());
        assert_eq!(suite(&[Outcome::Passed, Outcome::Passed]), Exit::Passed);
        assert_eq!(suite(&[Outcome::Passed, Outcome::RigError]), Exit::Environment);
        assert_eq!(suite(&[Outcome::Passed, Outcome::Xfail]), Exit::Passed);
        for failure in [Outcome::Failed, Outcome::Xpass, Outcome::Hung, Outcome::GuestCrashed] {
            assert_eq!(suite(&[failure, Outcome::RigError, Outcome::Passed]), Exit::Failed);
        }
    }

    #[test]
    fn what_cannot_be_run_here_is_skipped_and_fails_nothing() {
        let skip = Trouble { exit: Exit::Skipped, cause: "no client".into(), help: "bring one".into() };
        let ran = ran("x".into(), Err(skip), Duration::ZERO, None);
        assert_eq!((ran.verdict, ran.reason.as_deref()), (Outcome::Skipped, Some("no client")));
        assert_eq!(exit(&[ran]), Exit::Passed);
    }

    #[test]
    fn trouble_before_a_machine_starts_is_no_failure_of_the_subject() {
        let ran = ran("x".into(), Err(Trouble::environment("no disk", "buy one")), Duration::from_secs(3), Some(2));
        assert_eq!((ran.verdict, ran.reason.as_deref()), (Outcome::RigError, Some("no disk")));
        assert!(!ran.has_failed() && ran.is_over_budget());
        assert!(!example("x", Outcome::Passed).is_over_budget());
    }
}
