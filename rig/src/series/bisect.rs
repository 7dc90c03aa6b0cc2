//! Finds the first commit of a history that makes a scenario end worse. Git chooses which commit is tried next.

use super::bench::{Bench, Revision};
use super::judging::{Judging, RevisionResult};
use super::row::judged;
use super::{Difference, PatchStanding, ScenarioResult};
use crate::trouble::{Exit, Trouble};
use serde::Serialize;

/// What a bisection tells git of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    Good,
    Bad,
    Skip,
}

/// What comes next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// This is to be tried.
    Try(Revision),
    /// One of these is the first bad one: more than one if what is between them cannot be tried. Each with its subject.
    Found(Vec<(String, String)>),
}

/// A history that is cut in halves.
pub(super) trait History {
    /// Begins between two revisions.
    fn start(&mut self, good: &Revision, bad: &Revision) -> Result<Next, Trouble>;
    /// Takes what is known of a revision.
    fn mark(&mut self, revision: &Revision, mark: Mark) -> Result<Next, Trouble>;
}

/// One commit that was tried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    /// The commit.
    pub commit: String,
    /// Its subject.
    pub title: String,
    /// How it stands against the good one.
    pub standing: PatchStanding,
    /// What is different, or why it could not be tried.
    pub what: Option<String>,
}

/// Where a bisection ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FirstBad {
    /// The first bad commit and its subject; several: those between which nothing could be tried; none: it was interrupted.
    pub commits: Vec<(String, String)>,
    /// What is worse in the bad commit that was given.
    pub worse: Vec<Difference>,
    /// Each commit that was tried, in order.
    pub steps: Vec<Step>,
}

impl FirstBad {
    /// One commit was found, or not.
    pub fn exit(&self) -> Exit {
        if self.commits.len() == 1 { Exit::Passed } else { Exit::Untestable }
    }
}

/// Cuts the history between `good` and `bad` in halves until the first bad commit is found. `on_step` is told of each commit that
/// was tried.
pub(super) fn bisect<B: Bench>(
    judging: &mut Judging<'_, B>,
    history: &mut impl History,
    [good, bad]: [&Revision; 2],
    mut on_step: impl FnMut(&Step),
) -> Result<FirstBad, Trouble> {
    let mut found = FirstBad { commits: Vec::new(), worse: Vec::new(), steps: Vec::new() };
    let Some(reference) = end(judging, good)? else { return Ok(found) };
    let Some(results) = end(judging, bad)? else { return Ok(found) };
    found.worse = worse(&reference, &results, good, bad)?;
    // Elsewhere other commits may be worse, too, and better again.
    judging.scenarios.retain(|scenario| found.worse.iter().any(|worse| worse.after.scenario == scenario.name));
    let mut next = history.start(good, bad)?;
    loop {
        let revision = match next {
            Next::Found(commits) => return Ok(FirstBad { commits, ..found }),
            Next::Try(revision) => revision,
        };
        let Some(step) = step(judging.judge(&revision)?, &revision, &reference) else { return Ok(found) };
        on_step(&step);
        next = history.mark(&revision, mark(step.standing))?;
        found.steps.push(step);
    }
}

/// How one end of the history comes out; none: it was interrupted.
fn end<B: Bench>(judging: &Judging<'_, B>, revision: &Revision) -> Result<Option<Vec<ScenarioResult>>, Trouble> {
    match judging.judge(revision)? {
        RevisionResult::Judged(results) => Ok(Some(results)),
        RevisionResult::Stopped => Ok(None),
        RevisionResult::Refused(error) => {
            let cause = format!("{} does not build, so there is nothing to begin with: {error}", revision.title);
            Err(Trouble::environment(cause, "name a commit beside it that builds"))
        }
    }
}

fn worse(
    reference: &[ScenarioResult],
    results: &[ScenarioResult],
    good: &Revision,
    bad: &Revision,
) -> Result<Vec<Difference>, Trouble> {
    let (standing, differences) = judged(reference, results);
    let worse: Vec<Difference> =
        differences.into_iter().filter(|difference| difference.change == super::Change::Worse).collect();
    if !worse.is_empty() {
        return Ok(worse);
    }
    let cause = format!(
        "{} is no worse than {} in the scenarios that were run ({}), so there is nothing to find",
        bad.title,
        good.title,
        standing.words()
    );
    Err(Trouble::usage(cause, "name a scenario in which they differ with --scenario, or other commits"))
}

/// None: it was interrupted.
fn step(judged_as: RevisionResult, revision: &Revision, reference: &[ScenarioResult]) -> Option<Step> {
    let (standing, what) = match judged_as {
        RevisionResult::Stopped => return None,
        RevisionResult::Refused(error) => (PatchStanding::DoesNotBuild, Some(error)),
        RevisionResult::Judged(results) => {
            let (standing, differences) = judged(reference, &results);
            (standing, differences.first().map(Difference::words))
        }
    };
    Some(Step { commit: revision.commit.clone(), title: revision.title.clone(), standing, what })
}

const fn mark(standing: PatchStanding) -> Mark {
    match standing {
        PatchStanding::Worse => Mark::Bad,
        PatchStanding::Better | PatchStanding::Same => Mark::Good,
        PatchStanding::DoesNotApply | PatchStanding::DoesNotBuild | PatchStanding::NotJudged => Mark::Skip,
    }
}
