//! What is known of a run before its machine is started.

use crate::run::folder::RunFolder;
use crate::scenario::Scenario;
use rig_images::Artifact;
use rig_judge::Setup;
use rig_judge::origin::KernelImage;
use rig_judge::verdict::Backend;

/// What a run is, as far as its verdict says.
#[derive(Clone, Debug)]
pub(crate) struct RunDescription {
    /// What to run.
    pub(crate) scenario: Scenario,
    /// Where its evidence goes.
    pub(crate) folder: RunFolder,
    /// The setup of the judge.
    pub(crate) setup: Setup,
    /// The kernel's release, as its image says.
    pub(crate) kernel_release: String,
    /// The kernel's image.
    pub(crate) kernel_image: KernelImage,
    /// How SEAMCALLs reach the firmware, and why so.
    pub(crate) backend: Backend,
    /// What the run is made of.
    pub(crate) artifacts: Vec<Artifact>,
    /// Keep the large files of a run that passed.
    pub(crate) keep: bool,
}
