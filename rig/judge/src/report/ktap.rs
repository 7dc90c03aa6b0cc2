//! `ktap.txt`: the Kernel Test Anything Protocol, version 1 (`Documentation/dev-tools/ktap.rst`).

use crate::Invariant;
use crate::finding::Standing;
use crate::verdict::{Outcome, Verdict};
use std::fmt::Write as _;

/// The verdict as KTAP: the run is one test, the invariants are its subtests.
pub fn ktap(verdict: &Verdict) -> String {
    let mut text = format!("KTAP version 1\n1..1\n  KTAP version 1\n  1..{}\n", Invariant::ALL.len());
    for (n, invariant) in (1..).zip(Invariant::ALL) {
        verdict
            .breach(invariant)
            .into_iter()
            .flat_map(|b| b.to_string().lines().map(str::to_string).collect::<Vec<_>>())
            .for_each(|line| {
                let _ = writeln!(text, "  # {line}");
            });
        let (word, directive) = match verdict.standing(invariant) {
            Standing::Held => ("ok", String::new()),
            Standing::Broken if verdict.is_expected_breach(invariant) => {
                ("ok", " # XFAIL broke, as the scenario expects".to_owned())
            }
            Standing::Broken => ("not ok", String::new()),
            Standing::NotApplicable => {
                ("ok", format!(" # SKIP {}", verdict.why_not_observed(invariant).unwrap_or("not observed")))
            }
        };
        let _ = writeln!(text, "  {word} {n} {invariant}{directive}");
    }
    let expected = verdict.is_as_expected().then(|| format!("as expected: {}", verdict.headline().what));
    verdict.reason.iter().chain(&expected).flat_map(|words| words.lines()).for_each(|line| {
        let _ = writeln!(text, "# {line}");
    });
    let name = if verdict.facts.scenario.is_empty() { "run" } else { &verdict.facts.scenario };
    let last = match verdict.verdict {
        Outcome::Passed => format!("ok 1 {name}"),
        Outcome::Skipped | Outcome::Unjudged => {
            format!("ok 1 {name} # SKIP {}", one_line(verdict.reason.as_deref().unwrap_or("")))
        }
        Outcome::Xfail => format!("ok 1 {name} # XFAIL {}", defect(verdict)),
        Outcome::Xpass => format!("not ok 1 {name} # XPASS {}", defect(verdict)),
        Outcome::Hung => format!("not ok 1 {name} # TIMEOUT"),
        Outcome::GuestCrashed | Outcome::RigError => format!("not ok 1 {name} # ERROR"),
        Outcome::Failed => format!("not ok 1 {name}"),
    };
    text + &last + "\n"
}

fn defect(verdict: &Verdict) -> String {
    one_line(verdict.facts.known_defect.as_deref().unwrap_or_default())
}

fn one_line(text: &str) -> String {
    text.lines().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Facts;

    /// The last line is one line whatever is said in it, and says how the run ended.
    #[test]
    fn the_last_line_says_how_the_run_ended() {
        let defect = "finding 2:\nno CPU waits";
        let table = [
            (Outcome::Passed, "ok 1 plain"),
            (Outcome::Skipped, "ok 1 plain # SKIP no KVM and no QEMU"),
            (Outcome::Unjudged, "ok 1 plain # SKIP no KVM and no QEMU"),
            (Outcome::Xfail, "ok 1 plain # XFAIL finding 2: no CPU waits"),
            (Outcome::Xpass, "not ok 1 plain # XPASS finding 2: no CPU waits"),
            (Outcome::Hung, "not ok 1 plain # TIMEOUT"),
            (Outcome::GuestCrashed, "not ok 1 plain # ERROR"),
            (Outcome::RigError, "not ok 1 plain # ERROR"),
            (Outcome::Failed, "not ok 1 plain"),
        ];
        for (outcome, expected) in table {
            let facts = Facts { scenario: "plain".into(), known_defect: Some(defect.into()), ..Facts::default() };
            let text = ktap(&Verdict::unjudged(facts, outcome, "no KVM\nand no QEMU", None));
            assert_eq!(text.lines().last(), Some(expected));
            assert!(text.contains("\n# no KVM\n# and no QEMU\n"), "{text}");
        }
    }

    #[test]
    fn a_run_without_a_name_is_called_run() {
        let text = ktap(&Verdict::unjudged(Facts::default(), Outcome::Failed, "x", None));
        assert_eq!(text.lines().last(), Some("not ok 1 run"));
    }
}
