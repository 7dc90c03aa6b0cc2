//! The bench of real kernels and machines.

use super::ScenarioResult;
use super::bench::{Bench, Built, Revision};
use super::repository::Repository;
use crate::fingerprint::hash;
use crate::run::Interrupts;
use crate::scenario::Scenario;
use crate::suite;
use crate::trouble::Trouble;
use rig_images::{Images, KernelBench, KernelRequest, Remade};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// Builds in one folder, and runs on this machine.
pub(super) struct Workshop<'a> {
    images: &'a Images,
    repository: &'a Repository,
    folder: PathBuf,
    /// The name of the rig's own source without a change; none: the source is somebody's tree.
    own: Option<String>,
    /// Opened when the first kernel must be built.
    bench: Mutex<Option<KernelBench>>,
    interrupts: Interrupts,
}

/// Names the rig's own source.
pub(super) fn own_source(images: &Images) -> Result<String, Trouble> {
    Ok(hash(&["own", &images.kernel_source_folder()?.to_string_lossy()]))
}

impl<'a> Workshop<'a> {
    /// `own`: see [`Workshop::own`].
    pub(super) fn new(
        images: &'a Images,
        repository: &'a Repository,
        folder: &Path,
        own: Option<String>,
    ) -> Result<Self, Trouble> {
        let interrupts = Interrupts::listen().map_err(|e| {
            Trouble::environment(format!("cannot listen to signals: {e}"), "report this with the message above")
        })?;
        Ok(Self { images, repository, folder: folder.to_owned(), own, bench: Mutex::default(), interrupts })
    }
}

impl Bench for Workshop<'_> {
    fn build(&self, revision: &Revision) -> Result<Built, Trouble> {
        let tree = |kernel: rig_images::Kernel| Built::Kernel(kernel.tree.expect("it was built as one"));
        if self.own.as_ref() == Some(&revision.source) {
            return Ok(tree(self.images.kernel(&KernelRequest::default())?));
        }
        if let Some(kernel) = self.images.remade(&revision.source)? {
            return Ok(tree(kernel));
        }
        let mut bench = self.bench.lock().expect("nobody panics with this lock");
        if bench.is_none() {
            *bench = Some(self.images.kernel_bench(&self.folder, self.own.is_some())?);
        }
        let bench = bench.as_ref().expect("it was opened");
        self.repository.check_out(&revision.commit)?;
        Ok(match self.images.remake(bench, &revision.source)? {
            Remade::Kernel(kernel) => tree(kernel),
            Remade::Refused(error) => Built::Refused(error),
        })
    }

    fn run(&self, kernel: &Path, mut scenario: Scenario, folder: &Path) -> ScenarioResult {
        scenario.kernel = Some(kernel.to_owned());
        suite::run_anew(scenario, folder).into()
    }

    fn goes_on(&self) -> bool {
        !self.interrupts.happened()
    }
}
