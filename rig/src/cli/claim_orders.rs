//! Every order of the machine code, for a claim.

use crate::claim::ProofResult;
use crate::prove::prove;
use crate::trouble::Trouble;
use rig_images::{Kernel, Progress};
use rig_interleave::Request;

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
    let request = Request { cpus: cpus.into(), failures, ..Request::default() };
    let report = prove(request, Some(file), None, progress)?.report;
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
