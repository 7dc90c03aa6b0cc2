//! From what was observed to a verdict and its files.
//!
//! There is always a verdict, whatever failed: with no events, without a trace, on a full disk.

use super::recording::{EVENTS, Recording, console};
use super::story::{Say, Story};
use super::{Plan, Request};
use crate::facts::Facts;
use crate::failure::Words;
use crate::host::Host;
use crate::lock::FOLDER;
use crate::restore::REPAIR;
use crate::trouble::Trouble;
use rig_judge::timeline::EventsReader;
use rig_judge::verdict::{Artifact, Backend, LoadReport, Start, Timing};
use rig_judge::{Examined, Facts as RunFacts, Outcome, RunEnd, Verdict, report};
use rig_wire::event::Record;
use std::fmt::Display;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Makes the folder for the evidence.
pub(super) fn folder(host: &Host, request: &Request) -> Result<PathBuf, Trouble> {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let name = format!("{FOLDER}/runs/{}-{}", since.as_millis(), request.what);
    let folder = request.out.clone().unwrap_or_else(|| host.path(&name));
    fs::create_dir_all(&folder).map_err(|e| Trouble::file("make", &folder, &e))?;
    Ok(folder)
}

/// A failure of the recording.
pub(super) fn unwritten(error: impl Display) -> Trouble {
    Trouble::host(error.to_string(), "free some space on that file system, or choose another place with --out")
}

/// Judges, and writes every file that shows the verdict.
pub(super) fn conclude(
    recording: Recording,
    (request, plan, facts): (&Request, &Plan, &Facts),
    story: &Story,
    folder: &Path,
    say: Say<'_>,
) -> Verdict {
    let end = story.lost.clone().map_or(RunEnd::Finished, |cause| RunEnd::Lost { cause });
    let setup = recording.setup.clone();
    let run = run_facts(request, plan, facts, story, folder);
    let mut verdict = match recording.finish(&end) {
        Ok(Examined { findings, end, .. }) => Verdict::new(run, &findings, &end),
        Err(error) => {
            let Trouble { cause, help, .. } = unwritten(error);
            Verdict::unjudged(run, Outcome::RigError, &format!("the recording cannot be written: {cause}"), Some(help))
        }
    };
    settle(&mut verdict, story);
    let console = console(folder).unwrap_or_else(|error| {
        say(&format!("warning: the recorded log cannot be read back: {error}"));
        Vec::new()
    });
    write(folder, report::files(&setup, records(folder, say), &console, &verdict), say);
    verdict
}

/// The verdict of a change that made no update, because something that it needs was not there. It has no results for
/// JUnit and KTAP: to those who run tests, nothing was tested.
pub(super) fn refused(
    (request, plan, facts): (&Request, &Plan, &Facts),
    trouble: &Trouble,
    folder: &Path,
    say: Say<'_>,
) {
    let run = run_facts(request, plan, facts, &Story::default(), folder);
    let help = Some(trouble.help.clone());
    let mut verdict = Verdict::unjudged(run, Outcome::RigError, &trouble.cause, help);
    verdict.exit_code = trouble.exit as u8;
    let json = serde_json::to_string_pretty(&verdict).expect("a verdict is plain data") + "\n";
    write(folder, vec![("verdict.json", json.into_bytes())], say);
}

/// What counts most comes first: a module that failed to update, then a broken invariant, then an outcome that is not the
/// wanted one, then what is still changed on the host, and only then what went wrong with the looking. The rest follows it.
fn settle(verdict: &mut Verdict, story: &Story) {
    let breach = verdict.breaches.first().map(|breach| Words {
        cause: breach.summary(),
        help: "read report.html in the folder with the evidence".into(),
    });
    let unmet = verdict.facts.checks.iter().find(|check| !check.met).map(|check| Words {
        cause: format!("{}: expected {}, seen {}", check.name, check.expected, check.seen),
        help: "read report.html in the folder with the evidence".into(),
    });
    // Events or lines were lost, or the recording cannot be trusted or was not written.
    let reason = verdict.reason.clone().filter(|_| verdict.verdict == Outcome::RigError);
    let lost = reason.map(|cause| Words {
        cause,
        help: "make the update again with fewer loads, or without observation (--blind)".into(),
    });
    let unrestored =
        story.unrestored.iter().map(|what| Words { cause: format!("not restored: {what}"), help: REPAIR.into() });
    let unmet = if story.failure.is_some() { None } else { unmet };
    let subject: Vec<Words> = story.failure.clone().into_iter().chain(breach).chain(unmet).collect();
    let around: Vec<Words> = unrestored.chain(lost).chain(story.troubles.iter().cloned()).collect();
    let outcome = match (subject.is_empty(), around.is_empty()) {
        (false, _) => Outcome::Failed,
        (true, false) => Outcome::RigError,
        (true, true) => return,
    };
    let mut all = subject.into_iter().chain(around);
    let first = all.next().expect("one of them is not empty");
    let reason = all.fold(first.cause, |reason, words| format!("{reason}; also: {}", words.cause));
    (verdict.verdict, verdict.exit_code) = (outcome, outcome.exit_code());
    (verdict.reason, verdict.remedy) = (Some(reason), Some(first.help));
}

/// The events as they were written; damage to the recording is reported.
fn records(folder: &Path, say: Say<'_>) -> Vec<Record> {
    let mut records = Vec::new();
    let damaged = |error: &dyn Display| say(&format!("warning: the reports do not show all events: {error}"));
    match EventsReader::open(&folder.join(EVENTS)) {
        Err(error) => damaged(&error),
        Ok(reader) => {
            for record in reader {
                match record {
                    Ok(record) => records.push(record),
                    Err(error) => {
                        damaged(&error);
                        break;
                    }
                }
            }
        }
    }
    records
}

fn write(folder: &Path, files: Vec<(&'static str, Vec<u8>)>, say: Say<'_>) {
    for (name, bytes) in files {
        let path = folder.join(name);
        if let Err(error) = fs::write(&path, bytes) {
            say(&format!("warning: {}", Trouble::file("write", &path, &error).cause));
        }
    }
}

fn run_facts(request: &Request, plan: &Plan, facts: &Facts, story: &Story, folder: &Path) -> RunFacts {
    let ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let image = Artifact {
        name: plan.image.path.display().to_string(),
        version: plan.image.version.map(|v| v.to_string()),
        sha256: Some(plan.image.sha256.clone()),
    };
    RunFacts {
        scenario: format!("hw-{}", request.what),
        cpus: facts.online.len() as u16,
        updates: story.succeeded,
        module_before: plan.from.map(|v| v.to_string()),
        module_after: story.after.clone(),
        kernel: facts.release.clone(),
        backend: Backend {
            name: "hw".into(),
            reason: "SEAMCALLs of this host's own kernel reach its own firmware".into(),
        },
        subject: "in-tree".into(),
        clock: "parallel".into(),
        start: Start { from: "boot".into(), reason: "the host ran already".into() },
        timing_ms: Timing { boot: 0, update: ms(story.updating), machine: 0, total: ms(story.total) },
        run_dir: Some(folder.to_owned()),
        checks: story.checks.clone(),
        load: story.loads.iter().map(load_report).collect(),
        artifacts: vec![image],
        ..RunFacts::default()
    }
}

fn load_report(report: &rig_wire::agent::LoadReport) -> LoadReport {
    let counts = [("operations", report.operations), ("errors", report.errors), ("elapsed_ms", report.elapsed_ms)];
    let counts = counts.map(|(name, n)| (name.to_owned(), n)).into_iter().chain(report.counts.iter().cloned());
    LoadReport { name: report.name.clone(), counts: counts.collect() }
}
