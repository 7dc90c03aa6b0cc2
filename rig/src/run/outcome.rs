//! From what was seen to the verdict, and the files that tell it.

use super::attempts::attempts;
use super::checks::Seen;
use super::drive::Told;
use super::expected;
use super::holds;
use super::prepare::Prepared;
use super::recorded::Recorded;
use super::snapshot::Start;
use crate::trouble::Trouble;
use rig_judge::origin::{KernelImage, build_of_log};
use rig_judge::report;
use rig_judge::timeline::{EventsError, EventsReader};
use rig_judge::verdict::{Artifact, Backend, Diagnosis, HoldReport, LoadReport, Timing};
use rig_judge::{Facts, Findings, Outcome, RunEnd, Verdict};
use std::time::Duration;

/// Artifacts that a verdict names; the manifest has all of them.
const PRINCIPAL: [&str; 5] = ["qemu-system-x86", "bzImage", "initramfs.cpio", "rig-agent", "libseam_plugin.so"];

/// Files that only the study of a failure needs.
const LARGE_FILES: [&str; 1] = ["module.bin"];

/// All that is known when a run has ended.
pub(crate) struct Evidence {
    /// What the guest told.
    pub(crate) told: Told,
    /// How it ended.
    pub(crate) end: RunEnd,
    /// Whether a person ended it.
    pub(crate) interrupted: bool,
    /// What the judge found.
    pub(crate) findings: Findings,
    /// Digest of the timeline, where a repetition has the same.
    pub(crate) digest: Option<String>,
    /// Where everything was, after a hang.
    pub(crate) diagnosis: Option<Diagnosis>,
    /// What the emulated firmware said of its module, where the machine was ended early.
    pub(crate) module_in_firmware: Option<String>,
    /// Host time from the machine's start to its judged end.
    pub(crate) machine: Duration,
    /// Host time of the whole command.
    pub(crate) total: Duration,
}

/// Makes the verdict and writes it.
pub(crate) fn conclude(prepared: &Prepared, evidence: &Evidence) -> Result<Verdict, Trouble> {
    let blind = prepared.plan.ring.is_none();
    let (recorded, end) = match recorded(prepared) {
        Ok(recorded) => (recorded, evidence.end.clone()),
        // There is none to read, or the run has ended for a reason of its own that comes first.
        Err(_) if blind || matches!(evidence.end, RunEnd::Lost { .. }) => (Recorded::default(), evidence.end.clone()),
        Err(cause) => (Recorded::default(), RunEnd::Lost { cause }),
    };
    let mut facts = facts(prepared, evidence);
    facts.holds = hold_reports(prepared);
    let (holds, log) = (facts.holds.clone(), prepared.kernel_log());
    let seen = Seen {
        told: &evidence.told,
        end: &end,
        findings: &evidence.findings,
        recorded: &recorded,
        holds: &holds,
        log: &log,
        blind,
        exploring: prepared.orders.is_some(),
    };
    let mut verdict = expected::verdict(&prepared.scenario, facts, &seen);
    verdict.remedy = verdict.remedy.take().or_else(|| remedy(&verdict, evidence.interrupted).map(Into::into));
    write_reports(prepared, &verdict)?;
    super::hw::keep(&prepared.folder, &evidence.told.hw)?;
    super::client::keep(&prepared.folder, &evidence.told.clients)?;
    if matches!(verdict.verdict, Outcome::Passed | Outcome::Xfail) && !prepared.keep {
        // What a passed run leaves should be small; what is gone already needs no removing.
        for name in LARGE_FILES {
            let _ = std::fs::remove_file(prepared.folder.file(name));
        }
    }
    Ok(verdict)
}

/// What the recording shows beside what the judge found in it, or why it cannot be read. One that ends in the middle of a record is
/// read so far: how the run ended tells that already.
fn recorded(prepared: &Prepared) -> Result<Recorded, String> {
    let cannot = |error: EventsError| format!("the recording cannot be read: {error}");
    let mut failure = None;
    let events = EventsReader::open(&prepared.folder.file("events.bin")).map_err(cannot)?;
    let records = events.map_while(|record| match record {
        Ok(record) => Some(record),
        Err(EventsError::Truncated { .. }) => None,
        Err(error) => {
            failure = Some(error);
            None
        }
    });
    let recorded = Recorded::of(&prepared.scenario.faults, records);
    failure.map_or(Ok(recorded), |error| Err(cannot(error)))
}

/// What became of the holds, from the recorded events.
fn hold_reports(prepared: &Prepared) -> Vec<HoldReport> {
    let schedules = &prepared.plan.schedules;
    if schedules.iter().all(Vec::is_empty) {
        return Vec::new();
    }
    match EventsReader::open(&prepared.folder.file("events.bin")) {
        Ok(events) => holds::report(schedules, &prepared.setup.watches, events.map_while(Result::ok)),
        Err(_) => holds::report(schedules, &prepared.setup.watches, []),
    }
}

/// Every file that shows the verdict. Pictures are drawn from the recorded events, to the last one that was recorded.
fn write_reports(prepared: &Prepared, verdict: &Verdict) -> Result<(), Trouble> {
    let log = std::fs::read(prepared.folder.file("kmsg.log")).unwrap_or_default();
    let console: Vec<String> = String::from_utf8_lossy(&log).lines().map(str::to_owned).collect();
    let events = prepared.folder.file("events.bin");
    let files = match EventsReader::open(&events) {
        Ok(reader) => {
            let setup = reader.setup().clone();
            report::files(&setup, reader.map_while(Result::ok), &console, verdict)
        }
        Err(_) => report::files(&prepared.setup, [], &console, verdict),
    };
    files.into_iter().try_for_each(|(name, bytes)| prepared.folder.write(name, bytes))
}

/// What a person can do about a run that did not come to a judgement.
fn remedy(verdict: &Verdict, interrupted: bool) -> Option<&'static str> {
    let reason = verdict.reason.as_deref().unwrap_or_default();
    match (verdict.verdict, interrupted) {
        (Outcome::Hung, _) => Some("the diagnosis says where each CPU stood; a longer budget is `budget.stall_cpu_s`"),
        (Outcome::GuestCrashed, _) => Some("read console.log in the run folder"),
        (Outcome::RigError, true) => Some("run it again"),
        (Outcome::RigError, _) if reason.contains(" host ") => Some(
            "run it again when the host has cores to spare; `docs/hangs.md` says how this is told from a hang of the guest",
        ),
        (Outcome::RigError, _) => Some("read qemu.log and console.log in the run folder"),
        _ => None,
    }
}

fn facts(prepared: &Prepared, evidence: &Evidence) -> Facts {
    let told = &evidence.told;
    let some = |text: &str| Some(text.to_owned()).filter(|t| !t.is_empty());
    let unread = unread(&evidence.end);
    Facts {
        scenario: prepared.scenario.name.clone(),
        cpus: u16::try_from(prepared.scenario.cpus).unwrap_or(u16::MAX),
        updates: (told.updates.iter().filter(|made| made.succeeded()).count()
            + super::client::updates(told.before.as_deref(), &told.clients)) as u32,
        module_before: told.before.clone(),
        module_after: told.after.clone().filter(|_| unread.is_none()),
        module_unread: unread.map(Into::into),
        module_in_firmware: evidence.module_in_firmware.clone(),
        attempts: attempts(&told.updates, told.before.as_deref(), &evidence.findings.statistics.updates),
        not_offered: not_offered(told),
        kernel_image: Some(KernelImage {
            build: build_of_log(&prepared.kernel_log()),
            ..prepared.kernel_image.clone()
        }),
        rig: crate::version::rig_build(),
        kernel: Some(told.ready.as_ref().map_or(&prepared.release, |r| &r.kernel).clone()),
        backend: Backend { name: prepared.backing.name().into(), reason: prepared.backing.reason.clone() },
        subject: prepared.setup.subject.subject.clone(),
        clock: prepared.scenario.clock.name().into(),
        digest: evidence.digest.clone(),
        start: start(&prepared.start),
        timing_ms: Timing {
            boot: ms(told.boot),
            update: ms(told.update),
            machine: ms(evidence.machine),
            total: ms(evidence.total),
        },
        run_dir: Some(prepared.folder.path().to_owned()),
        load: told.loads.iter().map(load_report).chain(told.tds.loads()).collect(),
        artifacts: prepared
            .artifacts
            .iter()
            .filter(|a| PRINCIPAL.contains(&a.name.as_str()))
            .map(|a| Artifact { name: a.name.clone(), version: some(&a.version), sha256: some(&a.sha256) })
            .collect(),
        diagnosis: evidence.diagnosis.clone(),
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
fn not_offered(told: &Told) -> Option<String> {
    match (told.refused, told.absent) {
        (Some(errno), _) => Some(format!("the subject refused to load (errno {errno})")),
        (None, true) => Some("the kernel offers no update".into()),
        (None, false) => None,
    }
}

fn start(start: &Start) -> rig_judge::verdict::Start {
    let (from, reason) = match start {
        Start::Boot(reason) => ("boot", reason.as_str()),
        Start::Restore(_) => (rig_judge::verdict::Start::SNAPSHOT, "one of a machine that booted in the same way"),
    };
    rig_judge::verdict::Start { from: from.into(), reason: reason.into() }
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn load_report(report: &rig_wire::agent::LoadReport) -> LoadReport {
    let counts = [("operations", report.operations), ("errors", report.errors), ("elapsed_ms", report.elapsed_ms)];
    let counts = counts.map(|(name, n)| (name.to_owned(), n)).into_iter().chain(report.counts.iter().cloned());
    LoadReport { name: report.name.clone(), counts: counts.collect() }
}
