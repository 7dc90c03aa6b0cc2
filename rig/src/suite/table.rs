//! A suite as a person at a terminal reads it.

use super::Ran;
use rig_judge::Outcome;
use std::fmt::Write as _;

/// One scenario's line.
pub fn line(ran: &Ran, width: usize) -> String {
    let reason = match &ran.reason {
        Some(reason) => format!("  {reason}"),
        None => String::new(),
    };
    let budget = match ran.budget_ms {
        Some(budget) if ran.is_over_budget() => format!("  (over its budget of {} s)", budget / 1000),
        _ => String::new(),
    };
    let seconds = ran.time_ms / 1000;
    let tenths = ran.time_ms % 1000 / 100;
    format!("{:13}  {:width$}  {seconds:4}.{tenths} s{budget}{reason}", ran.verdict.name(), ran.scenario)
}

/// The last line: how many of what.
pub fn summary(results: &[Ran]) -> String {
    let count = |outcome: Outcome| results.iter().filter(|ran| ran.verdict == outcome).count();
    let failed = results.iter().filter(|ran| ran.has_failed()).count();
    let over = results.iter().filter(|ran| ran.is_over_budget()).count();
    let seconds = results.iter().map(|ran| ran.time_ms).sum::<u64>() / 1000;
    let seldom = [
        (count(Outcome::Xfail), "with a known defect of the kernel (xfail)"),
        (count(Outcome::Xpass), "failed by not showing its known defect (xpass)"),
        (count(Outcome::Unjudged), "not judged"),
        (count(Outcome::Skipped), "skipped"),
    ];
    let seldom = seldom.into_iter().filter(|(number, _)| *number > 0);
    let seldom = seldom.fold(String::new(), |mut text, (number, what)| {
        let _ = write!(text, ", {number} {what}");
        text
    });
    format!(
        "{} scenarios in {seconds} s: {} passed, {failed} failed, {} with trouble of the rig or this machine, {over} over budget{seldom}",
        results.len(),
        count(Outcome::Passed),
        count(Outcome::RigError),
    )
}

#[cfg(test)]
mod tests {
    use super::super::tests::example;
    use super::*;

    #[test]
    fn a_line_has_outcome_name_time_and_reason() {
        assert_eq!(line(&example("plain", Outcome::Passed), 6), "passed         plain      1.2 s");
        let mut slow = example("repeat", Outcome::Failed);
        slow.time_ms = 10_100;
        let expected = "failed         repeat    10.1 s  (over its budget of 10 s)  lockstep: <CPU 1> ran ahead";
        assert_eq!(line(&slow, 6), expected);
    }

    #[test]
    fn the_summary_counts_each_kind() {
        let outcomes = [Outcome::Passed, Outcome::Hung, Outcome::RigError, Outcome::Skipped];
        let text = summary(&outcomes.map(|outcome| example("x", outcome)));
        assert!(text.contains("4 scenarios in 4 s: 1 passed, 1 failed, 1 with trouble"), "{text}");
        assert!(text.ends_with(", 1 skipped"), "{text}");
        let defects = [Outcome::Xfail, Outcome::Xfail, Outcome::Xpass];
        let text = summary(&defects.map(|outcome| example("x", outcome)));
        assert!(text.contains("0 passed, 1 failed") && text.contains("2 with a known defect"), "{text}");
        assert!(text.ends_with("1 failed by not showing its known defect (xpass)"), "{text}");
    }
}
