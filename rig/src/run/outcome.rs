//! From what was seen to the verdict, and the files that tell it.

use super::drive::{Told, Tried};
use super::prepare::Prepared;
use crate::scenario::{Ending, Scenario, UpdateEnding};
use crate::trouble::Trouble;
use rig_judge::report::{Look, junit, ktap, terminal};
use rig_judge::verdict::{Artifact, Backend, Check, Diagnosis, LoadReport, Timing};
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
    /// What the judge found.
    pub(crate) findings: Findings,
    /// Where everything was, after a hang.
    pub(crate) diagnosis: Option<Diagnosis>,
    /// Host time of the whole command.
    pub(crate) total: Duration,
}

/// Makes the verdict and writes it.
pub(crate) fn conclude(prepared: &Prepared, evidence: Evidence) -> Result<Verdict, Trouble> {
    let finished = evidence.end == RunEnd::Finished;
    let mut facts = facts(prepared, &evidence);
    if finished {
        facts.checks = checks(&prepared.scenario, &evidence.told, &prepared.kernel_log());
    }
    let verdict = Verdict::new(facts, &evidence.findings, &evidence.end);
    let verdict = against_expectation(&prepared.scenario, verdict);
    prepared.folder.write_json("verdict.json", &verdict)?;
    prepared.folder.write("verdict.txt", terminal(&verdict, Look::PLAIN))?;
    prepared.folder.write("junit.xml", junit(&verdict))?;
    prepared.folder.write("ktap.txt", ktap(&verdict))?;
    if verdict.verdict == Outcome::Passed && !prepared.keep {
        // What a passed run leaves should be small; what is gone already needs no removing.
        LARGE_FILES.iter().for_each(|name| drop(std::fs::remove_file(prepared.folder.file(name))));
    }
    Ok(verdict)
}

fn facts(prepared: &Prepared, evidence: &Evidence) -> Facts {
    let told = &evidence.told;
    let some = |text: &str| Some(text.to_owned()).filter(|t| !t.is_empty());
    Facts {
        scenario: prepared.scenario.name.clone(),
        cpus: u16::try_from(prepared.scenario.cpus).unwrap_or(u16::MAX),
        updates: told.updates.iter().filter(|t| t.succeeded()).count() as u32,
        module_before: told.before.clone(),
        module_after: told.after.clone(),
        kernel: told.ready.as_ref().map(|r| r.kernel.clone()),
        backend: Backend { name: "tcg".into(), reason: prepared.backend_reason().into() },
        subject: prepared.setup.subject.subject.clone(),
        clock: "parallel".into(),
        timing_ms: Timing { boot: ms(told.boot), update: ms(told.update), total: ms(evidence.total) },
        run_dir: Some(prepared.folder.path().to_owned()),
        load: told.loads.iter().map(load_report).collect(),
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

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn load_report(report: &rig_wire::agent::LoadReport) -> LoadReport {
    let counts = [("operations", report.operations), ("errors", report.errors), ("elapsed_ms", report.elapsed_ms)];
    LoadReport { name: report.name.clone(), counts: counts.map(|(name, n)| (name.to_owned(), n)).into() }
}

/// What the scenario expects of the updates, and what came.
fn checks(scenario: &Scenario, told: &Told, log: &str) -> Vec<Check> {
    let expect = &scenario.expect;
    let mut checks = Vec::new();
    if let Some(last) = told.updates.last() {
        checks.push(check("last update", ending_name(expect.update), &ending_of(last, told)));
        if expect.update == UpdateEnding::Updated {
            checks.push(check("updates", &scenario.updates.to_string(), &succeeded(told).to_string()));
            checks.push(check("module_after", &last.wanted, last.seen.as_deref().unwrap_or("no module")));
            checks.extend(remaining_check(told));
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
    for load in &told.loads {
        let seen = if load.operations > 0 { "work done" } else { "no work done" };
        checks.push(check(&format!("load {}", load.name), "work done", seen));
    }
    checks
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

fn ending_of(tried: &Tried, told: &Told) -> String {
    let failure = match (&tried.outcome.errno, tried.outcome.error.as_str()) {
        (Some(errno), _) => format!("errno {errno}"),
        (None, error) => error.to_owned(),
    };
    match (tried.succeeded(), &tried.seen) {
        (true, Some(_)) => ending_name(UpdateEnding::Updated).into(),
        (true, None) => "reported as done, but no module runs".into(),
        (false, None) => ending_name(UpdateEnding::Lost).into(),
        (false, Some(seen)) if *seen == tried.wanted => format!("reported as failed ({failure}), but updated"),
        (false, Some(_)) if told.before.is_some() => ending_name(UpdateEnding::Unchanged).into(),
        (false, Some(_)) => format!("failed ({failure})"),
    }
}

const fn ending_name(ending: UpdateEnding) -> &'static str {
    match ending {
        UpdateEnding::Updated => "updated",
        UpdateEnding::Unchanged => "failed, old module still runs",
        UpdateEnding::Lost => "failed, no module runs",
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
