//! Every order of the machine code, for a claim.

use crate::claim::ProofResult;
use crate::prove::SearchThreads;
use crate::trouble::Trouble;
use rig_images::{Kernel, Progress};
use rig_interleave::image::ElfImage;
use rig_interleave::{FirmwareModel, Request};

/// Explores every order of the update's section in this kernel.
pub(super) fn every_order(
    cpus: u8,
    failures: bool,
    kernel: Option<&Kernel>,
    progress: &Progress,
) -> Result<ProofResult, Trouble> {
    let none = || {
        Trouble::usage(
            "the kernel has no vmlinux, so its code cannot be explored",
            "give a build tree, or leave out `prove_cpus`",
        )
    };
    let file = kernel.and_then(|kernel| kernel.vmlinux.as_ref()).ok_or_else(none)?;
    let bytes = std::fs::read(file).map_err(|error| Trouble::file("read", file, &error))?;
    let image = ElfImage::parse(&bytes).map_err(|error| Trouble::usage(error.to_string(), error.remedy()))?;
    let step = progress.step(&format!("every order on {cpus} CPUs"), 0);
    let mut show = |at: rig_interleave::search::Progress| step.at(at.states as u64, &format!("{} states", at.states));
    let request = Request { cpus: cpus.into(), failures, ..Request::default() };
    let report = rig_interleave::prove(image.into(), FirmwareModel::Small, request, &SearchThreads::new(None), &mut show);
    let report = report
        .map_err(|error| Trouble::environment(format!("the orders cannot be explored: {error}"), error.remedy()))?;
    step.done();
    let finding = report.finding.as_ref();
    Ok(ProofResult {
        cpus,
        failures,
        rules: report.rules.iter().map(|rule| rule.name.to_owned()).collect(),
        broken: finding.map(|found| found.rule.to_owned()),
        steps: finding.map_or_else(Vec::new, |found| found.steps.clone()),
        states: report.states,
        transitions: report.transitions,
    })
}
