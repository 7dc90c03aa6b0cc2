//! Compares each patch of a series with the kernel before it.

use super::bench::{Bench, Revision};
use super::judging::{Judging, RevisionResult};
use super::row::judged;
use super::{PatchRow, PatchStanding, ScenarioResult, SeriesReport};
use crate::trouble::Trouble;

/// One patch, as it is to be tried.
#[derive(Clone, Debug)]
pub(super) struct Patch {
    pub(super) title: String,
    /// The commit, where it comes out of somebody's tree.
    pub(super) commit: Option<String>,
    /// SHA-256 of the patch, where it was given as one.
    pub(super) sha256: Option<String>,
    /// The source with it, or why it does not apply.
    pub(super) applied: Result<Revision, String>,
}

/// What is to be tried.
#[derive(Clone, Debug)]
pub(super) struct Series {
    pub(super) base: Revision,
    /// The commit of that, in somebody's tree.
    pub(super) base_commit: Option<String>,
    pub(super) patches: Vec<Patch>,
    /// Whether each is tried alone on the base, and not on those before it.
    pub(super) each_alone: bool,
    pub(super) left_out: Vec<String>,
}

/// Judges the base and each patch. `on_row` is told of each patch as soon as it is known, and how many there are.
pub(super) fn compare<B: Bench>(
    judging: &Judging<'_, B>,
    series: &Series,
    mut on_row: impl FnMut(&PatchRow, usize),
) -> Result<SeriesReport, Trouble> {
    let number = series.patches.len();
    let mut report = SeriesReport {
        base: series.base.title.clone(),
        base_commit: series.base_commit.clone(),
        each_alone: series.each_alone,
        base_results: Vec::new(),
        left_out: series.left_out.clone(),
        rows: Vec::new(),
        left: number,
    };
    let Some(base) = of_base(judging, &series.base)? else { return Ok(report) };
    report.base_results.clone_from(&base);
    let mut before = base;
    for (at, patch) in (1..).zip(&series.patches) {
        let mut row = row(at, patch);
        match &patch.applied {
            Err(why) => (row.standing, row.reason) = (PatchStanding::DoesNotApply, Some(why.clone())),
            Ok(revision) => match judging.judge(revision)? {
                RevisionResult::Stopped => break,
                RevisionResult::Refused(error) => {
                    (row.standing, row.reason) = (PatchStanding::DoesNotBuild, Some(error));
                }
                RevisionResult::Judged(results) => {
                    (row.standing, row.differences) = judged(&before, &results);
                    row.reason = row.first().and_then(|first| first.reason()).map(str::to_owned);
                    row.results.clone_from(&results);
                    if !series.each_alone {
                        last_judged(&mut before, results);
                    }
                }
            },
        }
        report.left -= 1;
        on_row(&row, number);
        report.rows.push(row);
    }
    Ok(report)
}

/// What the next patch is compared with: where this one was not judged, what is known of those before it.
fn last_judged(before: &mut [ScenarioResult], results: Vec<ScenarioResult>) {
    for result in results.into_iter().filter(ScenarioResult::is_judged) {
        if let Some(known) = before.iter_mut().find(|known| known.scenario == result.scenario) {
            *known = result;
        }
    }
}

/// None: it was interrupted.
fn of_base<B: Bench>(judging: &Judging<'_, B>, base: &Revision) -> Result<Option<Vec<ScenarioResult>>, Trouble> {
    match judging.judge(base)? {
        RevisionResult::Judged(results) => Ok(Some(results)),
        RevisionResult::Stopped => Ok(None),
        RevisionResult::Refused(error) => {
            let cause = format!("{}, with which the series is to be compared, does not build: {error}", base.title);
            Err(Trouble::environment(cause, "name a base that builds with the rig's configuration"))
        }
    }
}

fn row(number: usize, patch: &Patch) -> PatchRow {
    PatchRow {
        number,
        title: patch.title.clone(),
        commit: patch.commit.clone(),
        patch_sha256: patch.sha256.clone(),
        standing: PatchStanding::Same,
        reason: None,
        differences: Vec::new(),
        results: Vec::new(),
    }
}
