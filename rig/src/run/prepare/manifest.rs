//! `manifest.json`: what a run is made of.

use crate::run::folder::RunFolder;
use crate::scenario::Scenario;
use crate::trouble::Trouble;
use crate::version::rig_build;
use rig_images::Artifact;
use serde::Serialize;

/// `manifest.json`.
#[derive(Serialize)]
struct ManifestFile<'a> {
    rig: String,
    scenario: &'a Scenario,
    kernel_release: &'a str,
    artifacts: &'a [Artifact],
    warnings: Vec<String>,
}

/// Writes what the run is made of into its folder.
pub(super) fn write(
    folder: &RunFolder,
    scenario: &Scenario,
    kernel_release: &str,
    artifacts: &[Artifact],
    warnings: Vec<String>,
) -> Result<(), Trouble> {
    let rig = rig_build().summary();
    folder.write_json("manifest.json", &ManifestFile { rig, scenario, kernel_release, artifacts, warnings })
}
