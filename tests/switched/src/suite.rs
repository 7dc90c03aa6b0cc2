//! The tests of a crate, as programs that judge one mutant after the other.

use crate::compile::{self, Recipe, TargetName};
use crate::record::{Outcome, Witness};
use crate::render::VARIABLE;
use crate::run::{Call, Ended, run};
use crate::sites::NONE;
use crate::tree::Tree;
use crate::trouble::Trouble;
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// How long tests may take, and which come last.
#[derive(Clone, Debug)]
pub struct Patience {
    /// The limit is the time without a mutant this many times.
    pub factor: u32,
    /// It is no less than that.
    pub at_least: Duration,
    /// Parts of the names of slow tests, which are run only with mutants that all others miss.
    pub last: Vec<String>,
}

/// Test programs that pass without a mutant.
#[derive(Debug)]
pub struct Suite {
    folder: PathBuf,
    environment: BTreeMap<String, String>,
    /// Each with the time of its tests, and that of those that come last.
    programs: Vec<Program>,
    patience: Patience,
}

#[derive(Debug)]
struct Program {
    target: TargetName,
    path: PathBuf,
    usual: Duration,
    last: Duration,
}

/// What the tests make of a mutant, with the test that noticed it.
pub type Judged = (Outcome, Option<Witness>);

#[derive(Clone, Copy)]
enum Which<'t> {
    Usual,
    Last,
    One(&'t str),
}

impl Suite {
    /// Runs all tests without a mutant. They must pass; the time that they take is the measure of all others.
    pub fn new(
        tree: &Tree,
        recipe: &Recipe,
        programs: Vec<(TargetName, PathBuf)>,
        patience: Patience,
    ) -> Result<Self, Trouble> {
        let manifest = compile::package(tree, &recipe.package)?.manifest_path;
        let folder = manifest.parent().expect("it is a file").as_std_path().to_owned();
        let temporary = tree.root.with_extension("temporary");
        let _ = fs::remove_dir_all(&temporary);
        fs::create_dir_all(&temporary).map_err(Trouble::file("make", &temporary))?;
        let mut environment = compile::environment(tree);
        let ours = [
            ("CARGO_MANIFEST_DIR", folder.display().to_string()),
            ("CARGO_PKG_NAME", recipe.package.clone()),
            // A failure is a result here and nothing to look into: it is neither made smaller nor kept.
            ("PROPTEST_MAX_SHRINK_ITERS", "0".to_owned()),
            ("PROPTEST_DISABLE_FAILURE_PERSISTENCE", "1".to_owned()),
            ("INSTA_UPDATE", "no".to_owned()),
            ("INSTA_WORKSPACE_ROOT", tree.root.display().to_string()),
            ("RUST_BACKTRACE", "0".to_owned()),
            // Programs that are ended leave their folders.
            ("TMPDIR", temporary.display().to_string()),
        ];
        environment.extend(ours.map(|(name, value)| (name.to_owned(), value)));
        let timed = |(target, path)| Program { target, path, usual: Duration::MAX, last: Duration::ZERO };
        let mut suite =
            Self { folder, environment, programs: programs.into_iter().map(timed).collect(), patience };
        for index in 0..suite.programs.len() {
            suite.programs[index].usual = suite.time(index, Which::Usual)?;
            if !suite.patience.last.is_empty() {
                suite.programs[index].last = suite.time(index, Which::Last)?;
            }
        }
        suite.programs.sort_by_key(|program| (program.target.is_integration, program.usual));
        Ok(suite)
    }

    /// The time that all tests but the last take without a mutant.
    pub fn usual(&self) -> Duration {
        self.programs.iter().map(|program| program.usual).sum()
    }

    /// Puts other programs of the same targets in the place of its own.
    pub fn replace(&mut self, programs: Vec<(TargetName, PathBuf)>) {
        for (target, path) in programs {
            if let Some(program) = self.programs.iter_mut().find(|program| program.target == target) {
                program.path = path;
            }
        }
    }

    /// What the tests make of the program with this switch on. `hint` noticed the mutant in an earlier program, so it is asked
    /// first.
    pub fn judge(&self, switch: u32, hint: Option<&Witness>) -> Result<Judged, Trouble> {
        if let Some((program, test)) = hint.and_then(|hint| self.find(hint)) {
            // A name that is no longer there is no failure.
            if let Some(judged) = self.try_one(program, switch, Which::One(test))? {
                return Ok(judged);
            }
        }
        for which in [Which::Usual, Which::Last] {
            if matches!(which, Which::Last) && self.patience.last.is_empty() {
                continue;
            }
            for program in &self.programs {
                if let Some(judged) = self.try_one(program, switch, which)? {
                    return Ok(judged);
                }
            }
        }
        Ok((Outcome::Missed, None))
    }

    fn find<'s, 'h>(&'s self, hint: &'h Witness) -> Option<(&'s Program, &'h str)> {
        let program = self.programs.iter().find(|program| program.target.name == hint.target)?;
        Some((program, hint.test.as_deref()?))
    }

    /// None if the tests pass.
    fn try_one(&self, program: &Program, switch: u32, which: Which<'_>) -> Result<Option<Judged>, Trouble> {
        let usual = match which {
            Which::Usual => program.usual,
            Which::Last => program.last,
            Which::One(_) => program.usual.max(program.last),
        };
        let limit = self.patience.at_least.max(usual.saturating_mul(self.patience.factor));
        let (outcome, test) = match self.call(program, switch, which, limit)? {
            Ended::Passed => return Ok(None),
            Ended::Failed(test) => (Outcome::Noticed, test),
            Ended::ByTime(test) => (Outcome::EndedByTime, test),
        };
        Ok(Some((outcome, Some(Witness { target: program.target.name.clone(), test }))))
    }

    fn time(&self, index: usize, which: Which<'_>) -> Result<Duration, Trouble> {
        let program = &self.programs[index];
        let start = Instant::now();
        let name = &program.target.name;
        match self.call(program, NONE, which, Duration::from_secs(1800))? {
            Ended::Passed => Ok(start.elapsed()),
            Ended::Failed(test) => Err(Trouble::Baseline(format!("{name} {}", test.unwrap_or_default()))),
            Ended::ByTime(test) => {
                Err(Trouble::Baseline(format!("{name} {} takes half an hour", test.unwrap_or_default())))
            }
        }
    }

    fn call(&self, program: &Program, switch: u32, which: Which<'_>, limit: Duration) -> Result<Ended, Trouble> {
        let last = self.patience.last.iter();
        let arguments = match which {
            Which::Usual => last.flat_map(|name| ["--skip".to_owned(), name.clone()]).collect(),
            Which::Last => last.cloned().collect(),
            Which::One(test) => vec![test.to_owned(), "--exact".to_owned()],
        };
        let mut environment = self.environment.clone();
        environment.insert(VARIABLE.to_owned(), switch.to_string());
        run(&Call { program: &program.path, arguments, environment: &environment, folder: &self.folder, limit })
    }
}
