//! Runs test programs of one tree in the surroundings that cargo would give them.

use crate::compile::{self, Recipe};
use crate::render::VARIABLE;
use crate::run::{Call, Ended, run};
use crate::tree::Tree;
use crate::trouble::Trouble;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// The surroundings of a tree's tests.
#[derive(Debug)]
pub struct Runner {
    folder: PathBuf,
    environment: BTreeMap<String, String>,
}

impl Runner {
    /// For the tests of a package in this tree.
    pub fn new(tree: &Tree, recipe: &Recipe) -> Result<Self, Trouble> {
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
        Ok(Self { folder, environment })
    }

    /// Runs the tests of a program with these names, or all of them, with this switch on.
    pub fn run(&self, program: &Path, tests: &[&str], switch: u32, limit: Duration) -> Result<Ended, Trouble> {
        let mut environment = self.environment.clone();
        environment.insert(VARIABLE.to_owned(), switch.to_string());
        Ok(self.call(program, tests, &environment, limit)?.0)
    }

    /// The same with one test, and with these variables in place of a switch. Returns the processor time as well.
    pub fn run_with(
        &self,
        program: &Path,
        test: &str,
        variables: &[(&str, String)],
        limit: Duration,
    ) -> Result<(Ended, Duration), Trouble> {
        let mut environment = self.environment.clone();
        environment.extend(variables.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        self.call(program, &[test], &environment, limit)
    }

    fn call(
        &self,
        program: &Path,
        tests: &[&str],
        environment: &BTreeMap<String, String>,
        limit: Duration,
    ) -> Result<(Ended, Duration), Trouble> {
        let exact = (!tests.is_empty()).then(|| "--exact".to_owned());
        let arguments = tests.iter().map(|test| (*test).to_owned()).chain(exact).collect();
        run(&Call { program, arguments, environment, folder: &self.folder, limit })
    }

    /// The names of a program's tests.
    pub fn tests(&self, program: &Path) -> Result<Vec<String>, Trouble> {
        let failed = |cause| Trouble::Command { command: format!("{} --list", program.display()), cause };
        let mut command = Command::new(program);
        command.args(["--list", "--format", "terse"]).envs(&self.environment).current_dir(&self.folder);
        let output = command.output().map_err(|error| failed(error.to_string()))?;
        if !output.status.success() {
            return Err(failed(String::from_utf8_lossy(&output.stderr).into_owned()));
        }
        let text = String::from_utf8_lossy(&output.stdout);
        Ok(text.lines().filter_map(|line| line.strip_suffix(": test")).map(str::to_owned).collect())
    }
}
