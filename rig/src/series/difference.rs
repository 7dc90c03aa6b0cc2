//! What a change of the kernel did to one scenario.

use super::ScenarioResult;
use rig_judge::Outcome;
use serde::Serialize;
use std::collections::BTreeSet;

/// In which direction an outcome changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// The kernel does better.
    Better,
    /// The kernel does worse, or breaks something else.
    Worse,
    /// Nothing changed.
    Same,
    /// One of the two runs says nothing of its kernel.
    Unjudged,
}

/// A scenario whose outcome changed, or could not be compared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// In which direction.
    pub change: Change,
    /// How the scenario ended without the patch.
    pub before: ScenarioResult,
    /// How it ended with it.
    pub after: ScenarioResult,
}

impl Difference {
    /// The scenario, and both outcomes: `plain: passed -> failed (lockstep)`.
    pub fn words(&self) -> String {
        format!("{}: {} -> {}", self.after.scenario, self.before.words(), self.after.words())
    }

    /// Why the run with the patch did not pass; where it did, why the one without the patch did not.
    pub fn reason(&self) -> Option<&str> {
        let without = self.before.reason.as_deref().filter(|_| self.change != Change::Worse);
        self.after.reason.as_deref().or(without)
    }
}

/// Compares the outcomes of one scenario.
pub(super) fn change(before: &ScenarioResult, after: &ScenarioResult) -> Change {
    match (before.is_judged(), after.is_judged()) {
        // What cannot be run here is skipped with and without the patch.
        (false, false) if before.outcome == Outcome::Skipped && after.outcome == Outcome::Skipped => Change::Same,
        (true, true) => match rank(after.outcome).cmp(&rank(before.outcome)) {
            std::cmp::Ordering::Greater => Change::Better,
            std::cmp::Ordering::Less => Change::Worse,
            std::cmp::Ordering::Equal => of_causes(&before.by, &after.by),
        },
        _ => Change::Unjudged,
    }
}

/// The better, the higher. A kernel without the known defect of a scenario does better than one with it.
const fn rank(outcome: Outcome) -> u8 {
    match outcome {
        Outcome::Passed | Outcome::Xpass => 4,
        Outcome::Xfail => 3,
        Outcome::Failed => 2,
        Outcome::Hung => 1,
        Outcome::GuestCrashed | Outcome::RigError | Outcome::Unjudged | Outcome::Skipped => 0,
    }
}

/// Of two runs that ended alike: what broke in the one and in the other.
fn of_causes(before: &[String], after: &[String]) -> Change {
    // A check's name stands before what was observed, which may differ from run to run.
    let name = |cause: &String| cause.split(' ').next().unwrap_or_default().to_owned();
    let [before, after] = [before, after].map(|causes| causes.iter().map(name).collect::<BTreeSet<_>>());
    if before == after {
        Change::Same
    } else if after.is_subset(&before) {
        Change::Better
    } else {
        Change::Worse
    }
}

/// What changed between the runs of two kernels, in the order of `after`. A scenario that only one of them ran is not compared.
pub(super) fn differences(before: &[ScenarioResult], after: &[ScenarioResult]) -> Vec<Difference> {
    let pair = |after: &ScenarioResult| {
        let before = before.iter().find(|before| before.scenario == after.scenario)?;
        let change = change(before, after);
        (change != Change::Same).then(|| Difference { change, before: before.clone(), after: after.clone() })
    };
    after.iter().filter_map(pair).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) fn result(scenario: &str, outcome: Outcome, by: &[&str]) -> ScenarioResult {
        let reason = (outcome != Outcome::Passed).then(|| format!("{scenario} <{}>", outcome.name()));
        let by = by.iter().map(|cause| (*cause).to_owned()).collect();
        ScenarioResult {
            scenario: scenario.into(),
            outcome,
            by,
            reason,
            time_ms: 1500,
            run_dir: Some(format!("/r/{scenario}").into()),
        }
    }

    fn of(before: (Outcome, &[&str]), after: (Outcome, &[&str])) -> Change {
        change(&result("x", before.0, before.1), &result("x", after.0, after.1))
    }

    #[test]
    fn outcomes_have_an_order() {
        use Outcome::{Failed, GuestCrashed, Hung, Passed, Xfail, Xpass};
        for (worse, better) in
            [(Failed, Passed), (Xfail, Xpass), (Hung, Failed), (GuestCrashed, Hung), (Failed, Xpass), (Failed, Xfail)]
        {
            assert_eq!(of((worse, &[]), (better, &[])), Change::Better, "{worse:?} -> {better:?}");
            assert_eq!(of((better, &[]), (worse, &[])), Change::Worse, "{better:?} -> {worse:?}");
            assert_eq!(of((worse, &[]), (worse, &[])), Change::Same);
        }
    }

    #[test]
    fn of_two_failures_what_broke_decides() {
        let failed =
            |causes: [&'static [&'static str]; 2]| of((Outcome::Failed, causes[0]), (Outcome::Failed, causes[1]));
        assert_eq!(failed([&["lockstep"], &["lockstep", "progress"]]), Change::Worse);
        assert_eq!(failed([&["lockstep", "progress"], &["progress"]]), Change::Better);
        assert_eq!(failed([&["lockstep"], &["progress"]]), Change::Worse);
        assert_eq!(failed([&["errno is 5, not 19"], &["errno is 6, not 19"]]), Change::Same);
    }

    #[test]
    fn a_run_without_a_verdict_is_neither_better_nor_worse() {
        use Outcome::{Passed, RigError, Skipped};
        assert_eq!(of((Passed, &[]), (RigError, &[])), Change::Unjudged);
        assert_eq!(of((RigError, &[]), (Passed, &[])), Change::Unjudged);
        assert_eq!(of((RigError, &[]), (RigError, &[])), Change::Unjudged);
        assert_eq!(of((Skipped, &[]), (Skipped, &[])), Change::Same);
    }

    #[test]
    fn only_what_changed_is_listed_by_its_scenario() {
        let before = [result("a", Outcome::Passed, &[]), result("b", Outcome::Xfail, &[])];
        let after =
            [result("b", Outcome::Xpass, &[]), result("a", Outcome::Passed, &[]), result("c", Outcome::Failed, &[])];
        let found = differences(&before, &after);
        assert_eq!(found.iter().map(Difference::words).collect::<Vec<_>>(), ["b: xfail -> xpass"]);
    }
}
