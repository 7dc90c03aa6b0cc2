//! The series in KTAP (`Documentation/dev-tools/ktap.rst`): a test for each patch, with a subtest for each scenario.

use super::{Change, PatchRow, PatchStanding, SeriesReport};
use std::fmt::Write;

/// One test for each patch. A patch that is worse is not ok, and so is one that was not judged, as an error.
pub fn ktap(report: &SeriesReport) -> String {
    let mut text = format!("KTAP version 1\n1..{}\n", report.rows.len());
    for row in &report.rows {
        subtests(&mut text, row);
        for line in row.reason.iter().flat_map(|reason| reason.lines()) {
            let _ = writeln!(text, "# {line}");
        }
        let (word, directive) = match row.standing {
            PatchStanding::Better | PatchStanding::Same => ("ok", ""),
            PatchStanding::Worse => ("not ok", ""),
            PatchStanding::DoesNotApply | PatchStanding::DoesNotBuild | PatchStanding::NotJudged => {
                ("not ok", " # ERROR")
            }
        };
        // What follows a "#" would be a directive.
        let _ = writeln!(text, "{word} {} {}{directive}", row.number, row.title.replace('#', ""));
    }
    text
}

fn subtests(text: &mut String, row: &PatchRow) {
    if row.results.is_empty() {
        return;
    }
    let _ = writeln!(text, "  KTAP version 1\n  1..{}", row.results.len());
    for (number, result) in (1..).zip(&row.results) {
        let difference = row.differences.iter().find(|difference| difference.after.scenario == result.scenario);
        if let Some(difference) = difference {
            let _ = writeln!(text, "  # {}", difference.words());
        }
        let (word, directive) = match difference.map(|difference| difference.change) {
            Some(Change::Worse) => ("not ok", ""),
            Some(Change::Unjudged) => ("not ok", " # ERROR"),
            Some(Change::Better | Change::Same) | None => ("ok", ""),
        };
        let _ = writeln!(text, "  {word} {number} {}{directive}", result.scenario);
    }
}

#[cfg(test)]
mod tests {
    use super::super::report::tests::example;
    use super::*;

    #[test]
    fn a_patch_is_a_test_and_a_scenario_a_subtest() {
        let text = ktap(&example());
        let expected = "KTAP version 1
1..4
  KTAP version 1
  1..2
  ok 1 plain
  # no-sigstruct: xfail -> xpass
  ok 2 no-sigstruct
ok 1 Refuse <empty> lists
  KTAP version 1
  1..2
  # plain: passed -> failed (lockstep)
  not ok 1 plain
  ok 2 no-sigstruct
not ok 2 Drop the lock
";
        assert!(text.starts_with(expected), "{text}");
        assert!(text.ends_with("ok 3 Mend a comment\n# x.c:1: error: no\nnot ok 4 Build nothing # ERROR\n"), "{text}");
    }
}
