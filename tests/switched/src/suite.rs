//! The tests of a crate, which judge one mutant after the other.

use crate::compile::TargetName;
use crate::record::{Outcome, Witness};
use crate::run::Ended;
use crate::runner::Runner;
use crate::sites::NONE;
use crate::survey::Test;
use crate::trouble::Trouble;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How much processor time a test may use.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// The limit is the time of the slowest of the tests that are run together, without a mutant, this many times.
    pub factor: u32,
    /// It is no less than that.
    pub at_least: Duration,
}

/// What the tests make of a mutant, with the test that noticed it.
pub type Judged = (Outcome, Option<Witness>);

/// Test programs, with what was found of their tests.
#[derive(Debug)]
pub struct Suite<'s> {
    /// What runs them.
    pub runner: &'s Runner,
    /// The programs.
    pub programs: &'s [(TargetName, PathBuf)],
    /// Their tests, the quickest first.
    pub tests: &'s [Test],
    /// How long each may take.
    pub patience: Patience,
}

/// How many tests are run at a time: first few, since one of the first notices most mutants.
const BATCHES: [usize; 4] = [4, 16, 64, usize::MAX];

impl Suite<'_> {
    /// What the tests make of the program with this switch on. Only those that reach the mutant's site are run. `hint` noticed
    /// the mutant in an earlier program, so it is asked first.
    pub fn judge(&self, switch: u32, site: u32, hint: Option<&Witness>) -> Result<Judged, Trouble> {
        let reaching: Vec<&Test> = self.tests.iter().filter(|test| test.sites.contains(&site)).collect();
        let is_hint = |test: &&Test| hint.is_some_and(|hint| hint.is(test));
        let (first, mut rest): (Vec<&Test>, Vec<&Test>) = reaching.into_iter().partition(is_hint);
        let mut batches = vec![first];
        for size in BATCHES {
            let after = rest.split_off(size.min(rest.len()));
            batches.push(std::mem::replace(&mut rest, after));
        }
        for batch in batches {
            for (target, path) in self.programs {
                let own: Vec<&Test> = batch.iter().copied().filter(|test| test.target == target.name).collect();
                if own.is_empty() {
                    continue;
                }
                let names: Vec<&str> = own.iter().map(|test| test.name.as_str()).collect();
                let limit = self.limit(own.iter().copied());
                if let Some(judged) = self.ask(target, path, &names, switch, limit)? {
                    return Ok(judged);
                }
            }
        }
        Ok((Outcome::Missed, None))
    }

    /// What all tests make of programs without switches. `hint` is asked first, too.
    pub fn judge_programs(
        &self,
        programs: &[(TargetName, PathBuf)],
        hint: Option<&Witness>,
    ) -> Result<Judged, Trouble> {
        if let Some(test) = self.tests.iter().find(|test| hint.is_some_and(|hint| hint.is(test)))
            && let Some((target, path)) = programs.iter().find(|(target, _)| target.name == test.target)
            && let Some(judged) = self.ask(target, path, &[&test.name], NONE, self.limit([test].into_iter()))?
        {
            return Ok(judged);
        }
        for (target, path) in programs {
            let own = self.tests.iter().filter(|test| test.target == target.name);
            let limit = self.limit(own);
            if let Some(judged) = self.ask(target, path, &[], NONE, limit)? {
                return Ok(judged);
            }
        }
        Ok((Outcome::Missed, None))
    }

    /// None if the tests pass.
    fn ask(
        &self,
        target: &TargetName,
        program: &Path,
        tests: &[&str],
        switch: u32,
        limit: Duration,
    ) -> Result<Option<Judged>, Trouble> {
        let (outcome, test) = match self.runner.run(program, tests, switch, limit)? {
            Ended::Passed => return Ok(None),
            Ended::Failed(test) => (Outcome::Noticed, test),
            Ended::TimedOut(test) => (Outcome::TimedOut, test),
        };
        Ok(Some((outcome, Some(Witness { target: target.name.clone(), test }))))
    }

    /// How long each of these may take.
    fn limit<'t>(&self, tests: impl Iterator<Item = &'t Test>) -> Duration {
        let usual_ms = tests.map(|test| test.time_ms).max().unwrap_or_default();
        self.patience.at_least.max(Duration::from_millis(usual_ms).saturating_mul(self.patience.factor))
    }
}

impl Witness {
    fn is(&self, test: &Test) -> bool {
        self.target == test.target && self.test.as_ref() == Some(&test.name)
    }
}
