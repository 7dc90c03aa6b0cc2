//! What is kept of a suite, so that another one can run again what failed.

use super::Ran;
use crate::scenario::Shape;
use crate::trouble::Trouble;
use rig_judge::Outcome;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Name of the file in the suite's folder.
pub const SUITE: &str = "suite.json";

/// A suite that was run.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct SuiteRecord {
    /// The kernel of all scenarios that name none; none: the rig's.
    pub kernel: Option<PathBuf>,
    /// What that kernel calls the parts of its update, where the rig does not know it.
    #[serde(default)]
    pub shape: Option<Shape>,
    /// What was brought for its scenarios.
    pub clients: Vec<PathBuf>,
    /// What came of each scenario, in the order of their ends.
    pub scenarios: Vec<Ran>,
    /// Scenarios that it did not get to.
    pub not_run: Vec<String>,
}

impl SuiteRecord {
    /// The one that was run in this folder.
    pub fn read(folder: &Path) -> Result<Self, Trouble> {
        let (path, help) = (folder.join(SUITE), "give the folder of a suite that `rig suite` ran, as with --out");
        let bytes =
            std::fs::read(&path).map_err(|e| Trouble::usage(format!("cannot read {}: {e}", path.display()), help))?;
        serde_json::from_slice(&bytes)
            .map_err(|e| Trouble::usage(format!("{} is no record of a suite: {e}", path.display()), help))
    }

    /// Scenarios of which it is not known that they end as they should: they failed, they were not judged, or not run.
    pub fn unfinished(&self) -> Vec<&str> {
        let failed = self.scenarios.iter().filter(|ran| ran.has_failed() || ran.verdict == Outcome::RigError);
        failed.map(|ran| ran.scenario.as_str()).chain(self.not_run.iter().map(String::as_str)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::example;
    use super::*;

    #[test]
    fn what_failed_or_was_not_run_is_known_afterwards() {
        let folder = tempfile::tempdir().unwrap();
        assert!(SuiteRecord::read(folder.path()).unwrap_err().cause.contains("suite.json"));
        let outcomes =
            [("a", Outcome::Passed), ("b", Outcome::Hung), ("c", Outcome::RigError), ("d", Outcome::Skipped)];
        let scenarios = outcomes.map(|(name, outcome)| example(name, outcome)).to_vec();
        let suite = SuiteRecord { scenarios, not_run: vec!["e".into()], ..SuiteRecord::default() };
        std::fs::write(folder.path().join(SUITE), serde_json::to_string(&suite).unwrap()).unwrap();
        assert_eq!(SuiteRecord::read(folder.path()).unwrap().unfinished(), ["b", "c", "e"]);
        std::fs::write(folder.path().join(SUITE), "[]").unwrap();
        assert!(SuiteRecord::read(folder.path()).unwrap_err().cause.contains("no record"));
    }
}
