//! Judges revisions one after another, and goes on where an earlier command was stopped.

use super::ScenarioResult;
use super::bench::{Bench, Built, Revision};
use super::known::KnownResults;
use crate::fingerprint::hash;
use crate::scenario::Scenario;
use crate::suite::{Room, run_all};
use crate::trouble::Trouble;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};

/// What the judging of all revisions has in common.
pub(super) struct Judging<'a, B> {
    pub(super) bench: &'a B,
    pub(super) store: Mutex<KnownResults>,
    pub(super) scenarios: Vec<Scenario>,
    /// Hash of the rig's own programs.
    pub(super) tools: String,
    /// Where the runs' folders are.
    pub(super) runs: PathBuf,
    pub(super) room: Room,
    /// Told of each run that ends.
    pub(super) on_result: &'a (dyn Fn(&Revision, &ScenarioResult) + Sync),
}

/// What came of a revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum RevisionResult {
    /// How each scenario ended, in their order.
    Judged(Vec<ScenarioResult>),
    /// It does not build.
    Refused(String),
    /// Somebody asked to end before all was run.
    Stopped,
}

impl<B: Bench> Judging<'_, B> {
    /// Builds the revision and runs the scenarios on it, as far as that is not known.
    pub(super) fn judge(&self, revision: &Revision) -> Result<RevisionResult, Trouble> {
        let missing: Vec<Scenario> =
            self.scenarios.iter().filter(|s| self.known(revision, s).is_none()).cloned().collect();
        let mut unjudged = Vec::new();
        if !missing.is_empty() {
            if let Some(error) = self.store().refused(&build_key(revision)) {
                return Ok(RevisionResult::Refused(error.to_owned()));
            }
            let kernel = match self.build(revision)? {
                Ok(kernel) => kernel,
                Err(other) => return Ok(other),
            };
            unjudged = self.run(revision, &kernel, missing)?;
        }
        let result = |scenario: &Scenario| {
            let unjudged = || unjudged.iter().find(|result| result.scenario == scenario.name).cloned();
            self.known(revision, scenario).or_else(unjudged)
        };
        let all: Vec<ScenarioResult> = self.scenarios.iter().filter_map(result).collect();
        Ok(if all.len() == self.scenarios.len() { RevisionResult::Judged(all) } else { RevisionResult::Stopped })
    }

    fn build(&self, revision: &Revision) -> Result<Result<PathBuf, RevisionResult>, Trouble> {
        if !self.bench.goes_on() {
            return Ok(Err(RevisionResult::Stopped));
        }
        let built = self.bench.build(revision);
        // Who asks the rig to end asks the compiler, too.
        if !self.bench.goes_on() {
            return Ok(Err(RevisionResult::Stopped));
        }
        Ok(match built? {
            Built::Kernel(kernel) => Ok(kernel),
            Built::Refused(error) => {
                self.store().add_refused(build_key(revision), error.clone())?;
                Err(RevisionResult::Refused(error))
            }
        })
    }

    /// Runs scenarios and keeps their verdicts; gives back the runs that have none.
    fn run(
        &self,
        revision: &Revision,
        kernel: &Path,
        scenarios: Vec<Scenario>,
    ) -> Result<Vec<ScenarioResult>, Trouble> {
        let folder = self.runs.join(&revision.source[..revision.source.len().min(12)]);
        let run = |scenario: Scenario| {
            let key = self.run_key(revision, &scenario);
            let folder = folder.join(&scenario.name);
            (key, self.bench.run(kernel, scenario, &folder))
        };
        let mut trouble = None;
        let report = |(key, result): &(String, ScenarioResult)| {
            // A run that was interrupted says nothing.
            if result.is_judged() || self.bench.goes_on() {
                (self.on_result)(revision, result);
                let added = self.store().add_run(key.clone(), result.clone());
                trouble = trouble.take().or(added.err());
            }
        };
        let ran = run_all(scenarios, self.room, || self.bench.goes_on(), run, report);
        match trouble {
            Some(trouble) => Err(trouble),
            None if self.bench.goes_on() => {
                Ok(ran.into_iter().map(|(_, result)| result).filter(|result| !result.is_judged()).collect())
            }
            None => Ok(Vec::new()),
        }
    }

    fn store(&self) -> MutexGuard<'_, KnownResults> {
        self.store.lock().expect("nobody panics with this lock")
    }

    fn known(&self, revision: &Revision, scenario: &Scenario) -> Option<ScenarioResult> {
        self.store().result(&self.run_key(revision, scenario)).cloned()
    }

    fn run_key(&self, revision: &Revision, scenario: &Scenario) -> String {
        hash(&[&revision.source, &self.tools, &serde_json::to_string(scenario).expect("scenarios are plain data")])
    }
}

fn build_key(revision: &Revision) -> String {
    hash(&[&revision.source, "build"])
}
