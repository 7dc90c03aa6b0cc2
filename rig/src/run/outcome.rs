//! From what was seen to the verdict, and the files that tell it.

use super::attempts::attempts;
use super::drive::{Told, Tried};
use super::holds;
use super::loads;
use super::prepare::Prepared;
use super::snapshot::Start;
use crate::scenario::{Act, CpuState, CpuSwitch, Ending, Scenario, UpdateEnding};
use crate::trouble::Trouble;
use rig_judge::origin::{KernelImage, RigBuild, build_of_log};
use rig_judge::report;
use rig_judge::timeline::EventsReader;
use rig_judge::verdict::{Artifact, Backend, Check, Diagnosis, HoldReport, LoadReport, Timing};
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
    let finished = evidence.end == RunEnd::Finished;
    let mut facts = facts(prepared, evidence);
    facts.holds = hold_reports(prepared);
    if finished {
        facts.checks = checks(&prepared.scenario, &evidence.told, &prepared.kernel_log());
    }
    if finished {
        // Who wrote holds into a scenario wants them to come true; those of an exploration and of a shrunk schedule may expire.
        let unmet = holds::unmet(&prepared.scenario, &facts.holds);
        let unmet: Vec<Check> = unmet.iter().map(|hold| check(&hold.what, holds::SATISFIED, &hold.end)).collect();
        facts.checks.extend(unmet);
    }
    let mut verdict = Verdict::new(facts, &evidence.findings, &evidence.end);
    verdict.remedy = remedy(&verdict, evidence.interrupted).map(Into::into);
    let verdict = against_expectation(&prepared.scenario, verdict);
    write_reports(prepared, &verdict)?;
    super::hw::keep(&prepared.folder, &evidence.told.hw)?;
    super::client::keep(&prepared.folder, &evidence.told.clients)?;
    if verdict.verdict == Outcome::Passed && !prepared.keep {
        // What a passed run leaves should be small; what is gone already needs no removing.
        for name in LARGE_FILES {
            let _ = std::fs::remove_file(prepared.folder.file(name));
        }
    }
    Ok(verdict)
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
        updates: (succeeded(told) + super::client::updates(told.before.as_deref(), &told.clients)) as u32,
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
        rig: rig_build(),
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

/// This build of the rig.
pub(super) fn rig_build() -> RigBuild {
    RigBuild { version: env!("CARGO_PKG_VERSION").into(), revision: env!("RIG_REVISION").into() }
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

/// What the scenario expects of the updates, and what came.
fn checks(scenario: &Scenario, told: &Told, log: &str) -> Vec<Check> {
    let expect = &scenario.expect;
    let mut checks = Vec::new();
    if let Some(errno) = expect.refused {
        checks.push(check("loading the subject", &words_of(Some(errno)), &words_of(told.refused)));
    } else if told.absent || expect.update == UpdateEnding::Absent {
        let offered = |absent| if absent { "absent" } else { "offered" };
        checks.push(check("update interface", offered(expect.update == UpdateEnding::Absent), offered(told.absent)));
    } else if let Some(last) = told.updates.last() {
        checks.push(ending_check(expect.update, last));
        if expect.update == UpdateEnding::Updated {
            let version = last.seen.as_deref().unwrap_or("no module");
            checks.extend(last.wanted.as_deref().map(|wanted| check("module_after", wanted, version)));
            checks.extend(remaining_check(told));
        }
        let all = (expect.update == UpdateEnding::Updated).then_some(scenario.updates);
        if let Some(number) = expect.succeeded.or(all) {
            checks.push(check("updates", &number.to_string(), &succeeded(told).to_string()));
        }
        if let Some(error) = &expect.update_error {
            let seen = if last.outcome.error.contains(error.as_str()) { error } else { &last.outcome.error };
            checks.push(check("upload error", error, seen));
        }
    }
    for line in &expect.console {
        let seen = if log.contains(line.as_str()) { line.as_str() } else { "no such line" };
        checks.push(check("kernel log", line, seen));
    }
    checks.extend(during_checks(scenario, told));
    checks.extend(told.switches.iter().map(|(switch, errno)| switch_check(switch, *errno)));
    if let Some(asked) = &scenario.tds {
        checks.extend(super::tds::checks(asked, &told.tds));
    }
    checks.extend(super::hw::checks(&scenario.hw, &told.hw));
    checks.extend(super::client::checks(&scenario.clients, &told.clients));
    checks.extend(loads::checks(scenario, &told.loads, told.after.is_some()));
    checks
}

fn switch_check(switch: &CpuSwitch, errno: Option<i32>) -> Check {
    let to = if switch.to == CpuState::Online { "online" } else { "offline" };
    check(&format!("CPU {} {to}", switch.cpu), &words_of(switch.errno), &words_of(errno))
}

fn words_of(errno: Option<i32>) -> String {
    errno.map_or("done".to_owned(), |e| format!("refused with errno {e}"))
}

/// What others tried during the first update; nothing is known of what came too late to be tried.
fn during_checks(scenario: &Scenario, told: &Told) -> Vec<Check> {
    let seen = |at: usize| told.during.get(at).map_or("not tried".into(), |errno| words_of(*errno));
    let name = |act: Act| if act == Act::Upload { "another upload" } else { "unloading" };
    let asked = scenario.during.iter().enumerate();
    asked.map(|(at, during)| check(name(during.act), &words_of(Some(during.errno)), &seen(at))).collect()
}

fn check(name: &str, expected: &str, seen: &str) -> Check {
    Check { name: name.into(), expected: expected.into(), seen: seen.into(), met: expected == seen }
}

fn succeeded(told: &Told) -> usize {
    told.updates.iter().filter(|t| t.succeeded()).count()
}

fn remaining_check(told: &Told) -> Option<Check> {
    let (before, after) = (told.remaining.0?, told.remaining.1?);
    let expected = before.saturating_sub(succeeded(told) as u32);
    Some(check("num_remaining_updates", &expected.to_string(), &after.to_string()))
}

fn ending_check(expected: UpdateEnding, tried: &Tried) -> Check {
    let (ending, seen) = ending_of(tried);
    let expected_name = ending_name(expected).to_owned();
    Check { name: "last update".into(), expected: expected_name, seen, met: ending == Some(expected) }
}

/// What an update came to, in kind and in words; no kind when the kernel's report contradicts what runs.
fn ending_of(tried: &Tried) -> (Option<UpdateEnding>, String) {
    let brought = tried.seen.is_some() && tried.seen == tried.wanted;
    let ending = match (tried.succeeded(), &tried.seen) {
        (true, Some(_)) => UpdateEnding::Updated,
        (true, None) => return (None, "reported as done, but no module runs".into()),
        (false, Some(_)) if brought => return (None, "reported as failed, but the new module runs".into()),
        (false, Some(_)) => UpdateEnding::Unchanged,
        (false, None) => UpdateEnding::Lost,
    };
    let why = match (tried.outcome.errno, tried.outcome.error.as_str()) {
        (Some(errno), _) => format!(" (errno {errno})"),
        (None, "") => String::new(),
        (None, error) => format!(" ({error})"),
    };
    (Some(ending), format!("{}{why}", ending_name(ending)))
}

const fn ending_name(ending: UpdateEnding) -> &'static str {
    match ending {
        UpdateEnding::Updated => "updated",
        UpdateEnding::Unchanged => "failed, old module still runs",
        UpdateEnding::Lost => "failed, no module runs",
        UpdateEnding::Absent => "no update offered",
    }
}

/// A scenario may expect another ending than a pass; then that ending is what passes, and a pass is what fails.
fn against_expectation(scenario: &Scenario, mut verdict: Verdict) -> Verdict {
    let wanted = match scenario.expect.verdict {
        Ending::Passed => return verdict,
        Ending::Failed => Outcome::Failed,
        Ending::Hung => Outcome::Hung,
        Ending::Crashed => Outcome::GuestCrashed,
    };
    if matches!(verdict.verdict, Outcome::RigError | Outcome::Skipped) {
        return verdict;
    }
    let broken: Vec<&str> = verdict.breaches.iter().map(|b| b.invariant.name()).collect();
    let named = |outcome: Outcome, broken: &[&str]| {
        if broken.is_empty() { outcome.name().to_owned() } else { format!("{}: {}", outcome.name(), broken.join(", ")) }
    };
    let expected: Vec<&str> = scenario.expect.broken.iter().map(String::as_str).collect();
    let met = verdict.verdict == wanted && (expected.is_empty() || expected == broken);
    let seen = if expected.is_empty() { named(verdict.verdict, &[]) } else { named(verdict.verdict, &broken) };
    let check = Check { name: "verdict".into(), expected: named(wanted, &expected), seen, met };
    verdict.came_to = met.then_some(verdict.verdict);
    verdict.reason = (!met).then(|| format!("verdict: expected {}, seen {}", check.expected, check.seen));
    verdict.verdict = if met { Outcome::Passed } else { Outcome::Failed };
    verdict.exit_code = verdict.verdict.exit_code();
    verdict.facts.checks.push(check);
    verdict
}

/// The line of a console that tells why the kernel went down.
pub(crate) fn panic_line(console: &str) -> Option<String> {
    let signs = ["Kernel panic - not syncing", "BUG: ", "Oops: ", "triple fault"];
    let line = signs.iter().find_map(|sign| console.lines().find(|line| line.contains(sign)))?;
    Some(line.trim().to_owned())
}

#[cfg(test)]
#[path = "outcome_tests.rs"]
mod tests;
