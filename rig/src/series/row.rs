//! How one patch stands.

use super::difference::differences;
use super::{Change, Difference, ScenarioResult};
use serde::Serialize;

/// How one patch stands against the kernel before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PatchStanding {
    /// Scenarios end better, and none worse.
    Better,
    /// A scenario ends worse.
    Worse,
    /// All scenarios end as before.
    Same,
    /// It does not apply; what follows is built without it.
    DoesNotApply,
    /// The kernel with it does not build.
    DoesNotBuild,
    /// The rig or this machine failed, so nothing can be said.
    NotJudged,
}

impl PatchStanding {
    /// All, in the order of summaries.
    pub const ALL: [Self; 6] =
        [Self::Worse, Self::Better, Self::Same, Self::DoesNotApply, Self::DoesNotBuild, Self::NotJudged];

    /// In a word or two.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Better => "better",
            Self::Worse => "worse",
            Self::Same => "same",
            Self::DoesNotApply => "does not apply",
            Self::DoesNotBuild => "does not build",
            Self::NotJudged => "not judged",
        }
    }
}

/// One patch, and what it did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PatchRow {
    /// Its place in the series, from 1.
    pub number: usize,
    /// Its subject.
    pub title: String,
    /// The commit, where it comes out of somebody's tree.
    pub commit: Option<String>,
    /// SHA-256 of the patch, where it was given as one.
    pub patch_sha256: Option<String>,
    /// How it stands.
    pub standing: PatchStanding,
    /// Why it was not judged, did not build or did not apply.
    pub reason: Option<String>,
    /// Each scenario whose outcome changed; those that explain the standing come first.
    pub differences: Vec<Difference>,
    /// How each scenario ended with it.
    pub results: Vec<ScenarioResult>,
}

impl PatchRow {
    /// The difference that explains the standing.
    pub fn first(&self) -> Option<&Difference> {
        self.differences.first()
    }
}

/// How a patch stands whose scenarios ended as `after`, and `before` without it.
pub(super) fn judged(before: &[ScenarioResult], after: &[ScenarioResult]) -> (PatchStanding, Vec<Difference>) {
    let mut differences = differences(before, after);
    let has = |change| differences.iter().any(|difference: &Difference| difference.change == change);
    let standing = if has(Change::Worse) {
        PatchStanding::Worse
    } else if has(Change::Unjudged) {
        PatchStanding::NotJudged
    } else if has(Change::Better) {
        PatchStanding::Better
    } else {
        PatchStanding::Same
    };
    differences.sort_by_key(|difference| match difference.change {
        Change::Worse => 0,
        Change::Unjudged => 1,
        Change::Better | Change::Same => 2,
    });
    (standing, differences)
}

#[cfg(test)]
mod tests {
    use super::super::difference::tests::result;
    use super::*;
    use rig_judge::Outcome::{Failed, Passed, RigError, Xfail, Xpass};

    #[test]
    fn what_is_worse_outranks_what_was_not_judged_and_both_outrank_what_is_better() {
        let before = [result("a", Passed, &[]), result("b", Xfail, &[]), result("c", Passed, &[])];
        let standing = |outcomes: [rig_judge::Outcome; 3]| {
            let after: Vec<ScenarioResult> =
                ["a", "b", "c"].iter().zip(outcomes).map(|(name, o)| result(name, o, &[])).collect();
            let (standing, differences) = judged(&before, &after);
            (standing, differences.first().map(Difference::words))
        };
        assert_eq!(standing([Passed, Xfail, Passed]), (PatchStanding::Same, None));
        assert_eq!(standing([Passed, Xpass, Passed]), (PatchStanding::Better, Some("b: xfail -> xpass".into())));
        let lost = (PatchStanding::NotJudged, Some("c: passed -> rig-error".into()));
        assert_eq!(standing([Passed, Xpass, RigError]), lost);
        assert_eq!(standing([Failed, Xpass, RigError]), (PatchStanding::Worse, Some("a: passed -> failed".into())));
    }
}
