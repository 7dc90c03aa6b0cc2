//! A whole series.

use super::{PatchRow, PatchStanding, ScenarioResult};
use crate::trouble::Exit;
use serde::Serialize;

/// A series, patch by patch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SeriesReport {
    /// What the first patch is compared with, in words.
    pub base: String,
    /// The commit of that, in somebody's tree.
    pub base_commit: Option<String>,
    /// Whether each patch was tried alone on the base, and not on those before it.
    pub each_alone: bool,
    /// How each scenario ended without any patch.
    pub base_results: Vec<ScenarioResult>,
    /// Scenarios of the suite that were left out, with the reason.
    pub left_out: Vec<String>,
    /// Each patch that was reached.
    pub rows: Vec<PatchRow>,
    /// Patches that were not reached.
    pub left: usize,
}

impl SeriesReport {
    /// How many patches stand so.
    pub fn count(&self, standing: PatchStanding) -> usize {
        self.rows.iter().filter(|row| row.standing == standing).count()
    }

    /// As `git bisect run` takes it: a patch that is worse outranks all; what cannot be judged outranks a pass.
    pub fn exit(&self) -> Exit {
        use PatchStanding::{DoesNotApply, DoesNotBuild, NotJudged, Worse};
        if self.count(Worse) > 0 {
            Exit::Failed
        } else if self.left > 0 || [DoesNotApply, DoesNotBuild, NotJudged].iter().any(|s| self.count(*s) > 0) {
            Exit::Untestable
        } else {
            Exit::Passed
        }
    }

    /// How many of what, in one line.
    pub fn summary(&self) -> String {
        let counts = PatchStanding::ALL.iter().map(|standing| (self.count(*standing), standing.words()));
        let mut counts: Vec<String> =
            counts.filter(|(count, _)| *count > 0).map(|(count, words)| format!("{count} {words}")).collect();
        if self.left > 0 {
            counts.push(format!("{} not reached", self.left));
        }
        let patches = if self.rows.len() == 1 { "patch" } else { "patches" };
        format!("{} {patches} against {}: {}", self.rows.len(), self.base, counts.join(", "))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::difference::tests::result;
    use super::super::row::judged;
    use super::*;
    use rig_judge::Outcome::{Failed, Passed, Xfail, Xpass};

    pub(in super::super) fn row(
        number: usize,
        title: &str,
        before: &[ScenarioResult],
        after: &[ScenarioResult],
    ) -> PatchRow {
        let (standing, differences) = judged(before, after);
        let patch_sha256 = Some(format!("{number:064}"));
        let (title, results) = (title.to_owned(), after.to_vec());
        PatchRow { number, title, commit: None, patch_sha256, standing, reason: None, differences, results }
    }

    /// A patch that repairs, one that breaks, one that changes nothing, and one that does not build.
    pub(in super::super) fn example() -> SeriesReport {
        let base = [result("plain", Passed, &[]), result("no-sigstruct", Xfail, &[])];
        let repaired = [result("plain", Passed, &[]), result("no-sigstruct", Xpass, &[])];
        let broken = [result("plain", Failed, &["lockstep"]), result("no-sigstruct", Xpass, &[])];
        let mut unbuilt = row(4, "Build nothing", &broken, &broken);
        (unbuilt.standing, unbuilt.reason) = (PatchStanding::DoesNotBuild, Some("x.c:1: error: no".into()));
        unbuilt.results = Vec::new();
        let rows = vec![
            row(1, "Refuse <empty> lists", &base, &repaired),
            row(2, "Drop the lock", &repaired, &broken),
            row(3, "Mend a comment", &broken, &broken),
            unbuilt,
        ];
        let base_results = base.to_vec();
        let base = "Linux 7.3.4".to_owned();
        SeriesReport { base, base_commit: None, each_alone: false, base_results, left_out: Vec::new(), rows, left: 0 }
    }

    #[test]
    fn exit_codes_are_those_of_git_bisect_run() {
        let mut report = example();
        assert_eq!(report.exit() as u8, 1);
        report.rows.remove(1);
        assert_eq!(report.exit() as u8, 125);
        report.rows.pop();
        assert_eq!(report.exit() as u8, 0);
        report.left = 1;
        assert_eq!(report.exit() as u8, 125);
    }

    #[test]
    fn the_summary_counts() {
        assert_eq!(example().summary(), "4 patches against Linux 7.3.4: 1 worse, 1 better, 1 same, 1 does not build");
    }
}
