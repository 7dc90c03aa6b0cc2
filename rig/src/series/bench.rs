//! What the work needs of the world: kernels and machines.

use super::ScenarioResult;
use crate::scenario::Scenario;
use crate::trouble::Trouble;
use std::path::{Path, PathBuf};

/// A state of the kernel's source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Revision {
    /// Its subject.
    pub title: String,
    /// What git calls it in the repository that the bench checks out.
    pub commit: String,
    /// Names its source: no other text has it.
    pub source: String,
}

/// What came of a build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Built {
    /// Its build tree.
    Kernel(PathBuf),
    /// The source does not build; the first error.
    Refused(String),
}

/// Builds kernels and runs them.
pub(super) trait Bench: Sync {
    /// Builds the kernel of a revision, or finds it built.
    fn build(&self, revision: &Revision) -> Result<Built, Trouble>;

    /// Runs a scenario on a kernel, with its evidence in a folder of this name.
    fn run(&self, kernel: &Path, scenario: Scenario, folder: &Path) -> ScenarioResult;

    /// Whether to begin anything more; no: somebody asked to end.
    fn goes_on(&self) -> bool;
}
