//! What a verdict says of a run beside the findings of the judge.

use super::attempts::attempts;
use super::client_checks;
use crate::milliseconds::milliseconds;
use crate::run::record::guest_report::GuestReport;
use crate::run::record::run_record::RunRecord;
use crate::version::rig_build;
use rig_judge::origin::{KernelImage, build_of_log};
use rig_judge::verdict::{Artifact, LoadReport, Timing};
use rig_judge::{Facts, RunEnd};

/// Artifacts that a verdict names; the manifest has all of them.
const PRINCIPAL: [&str; 5] = ["qemu-system-x86", "bzImage", "initramfs.cpio", "rig-agent", "libseam_plugin.so"];

/// What a verdict says of a run beside the findings of the judge; `kernel_log` is all that the kernel said.
pub(super) fn facts(run: &RunRecord, kernel_log: &str) -> Facts {
    let RunRecord { description, conditions, guest, examined, times, .. } = run;
    let some = |text: &str| Some(text.to_owned()).filter(|t| !t.is_empty());
    let unread = unread(&run.end);
    Facts {
        scenario: description.scenario.name.clone(),
        cpus: u16::try_from(description.scenario.cpus).unwrap_or(u16::MAX),
        updates: (guest.updates.iter().filter(|made| made.succeeded()).count()
            + client_checks::updates(guest.before.as_deref(), &guest.clients)) as u32,
        module_before: guest.before.clone(),
        module_after: guest.after.clone().filter(|_| unread.is_none()),
        module_unread: unread.map(Into::into),
        module_in_firmware: examined.module_in_firmware.clone(),
        attempts: attempts(&guest.updates, guest.before.as_deref(), &run.findings.statistics.updates),
        not_offered: not_offered(guest),
        kernel_image: Some(KernelImage { build: build_of_log(kernel_log), ..description.kernel_image.clone() }),
        rig: rig_build(),
        kernel: Some(guest.ready.as_ref().map_or(&description.kernel_release, |r| &r.kernel).clone()),
        backend: description.backend.clone(),
        subject: description.setup.subject.subject.clone(),
        clock: description.scenario.clock.name().into(),
        digest: run.digest.clone(),
        start: conditions.start.clone(),
        timing_ms: Timing {
            boot: milliseconds(guest.boot),
            update: milliseconds(guest.update),
            machine: milliseconds(times.machine),
            total: milliseconds(times.total),
        },
        run_dir: Some(description.folder.path().to_owned()),
        load: guest.loads.iter().map(load_report).chain(guest.tds.loads()).collect(),
        artifacts: description
            .artifacts
            .iter()
            .filter(|a| PRINCIPAL.contains(&a.name.as_str()))
            .map(|a| Artifact { name: a.name.clone(), version: some(&a.version), sha256: some(&a.sha256) })
            .collect(),
        diagnosis: examined.diagnosis.clone(),
        ..Facts::default()
    }
}

/// Why the module that runs at the end was not read back; none: it was.
fn unread(end: &RunEnd) -> Option<&'static str> {
    match end {
        RunEnd::Finished => None,
        RunEnd::Stopped => Some("the machine was ended at the breach"),
        RunEnd::Hung { .. } => Some("the guest hangs"),
        RunEnd::Crashed { .. } => Some("the guest crashed"),
        RunEnd::Lost { .. } => Some("the run was cut off"),
    }
}

/// Why there was nothing to update.
fn not_offered(guest: &GuestReport) -> Option<String> {
    match (guest.refused, guest.absent) {
        (Some(errno), _) => Some(format!("the subject refused to load (errno {errno})")),
        (None, true) => Some("the kernel offers no update".into()),
        (None, false) => None,
    }
}

fn load_report(report: &rig_wire::agent::LoadReport) -> LoadReport {
    let counts = [("operations", report.operations), ("errors", report.errors), ("elapsed_ms", report.elapsed_ms)];
    let counts = counts.map(|(name, n)| (name.to_owned(), n)).into_iter().chain(report.counts.iter().cloned());
    LoadReport { name: report.name.clone(), counts: counts.collect() }
}
