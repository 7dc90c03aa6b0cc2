//! From what was seen to a verdict and its files.

use super::{Plan, Wish};
use crate::facts::Facts;
use crate::failure::Words;
use crate::host::Host;
use crate::journal::FOLDER;
use crate::observe::{Observer, setup};
use crate::trouble::Trouble;
use rig_judge::timeline::EventsReader;
use rig_judge::verdict::{Artifact, Backend, Check, LoadReport, Start, Timing};
use rig_judge::{Examined, Facts as RunFacts, Outcome, Recorder, RunEnd, Verdict, report};
use std::fmt::Display;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

const EVENTS: &str = "events.bin";
const LOG: &str = "kmsg.log";

/// What happened, beside the events.
#[derive(Debug, Default)]
pub(super) struct Story {
    /// Updates that succeeded.
    pub(super) succeeded: u32,
    /// What was wanted and what came.
    pub(super) checks: Vec<Check>,
    /// Why an update failed.
    pub(super) failure: Option<Words>,
    /// Why not all events were recorded.
    pub(super) lost: Option<String>,
    /// The module at the end.
    pub(super) after: Option<String>,
    /// All uploads.
    pub(super) updating: Duration,
    /// The whole command.
    pub(super) total: Duration,
    /// What the loads did.
    pub(super) loads: Vec<rig_wire::agent::LoadReport>,
}

/// Makes the folder for the evidence.
pub(super) fn folder(host: &Host, wish: &Wish) -> Result<PathBuf, Trouble> {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let name = format!("{FOLDER}/runs/{}-{}", since.as_millis(), wish.what);
    let folder = wish.out.clone().unwrap_or_else(|| host.path(&name));
    fs::create_dir_all(&folder).map_err(|e| Trouble::file("make", &folder, &e))?;
    Ok(folder)
}

/// Starts to record.
pub(super) fn recorder(
    folder: &Path,
    host: &Host,
    facts: &Facts,
    observer: Option<&Observer>,
) -> Result<Recorder, Trouble> {
    Recorder::create(&folder.join(EVENTS), &folder.join(LOG), setup(host, facts, observer)).map_err(unwritten)
}

/// A failure of the recording.
pub(super) fn unwritten(error: impl Display) -> Trouble {
    Trouble::host(error.to_string(), "free some space on that file system, or choose another place with --out")
}

/// Judges, and writes every file that shows the verdict.
pub(super) fn conclude(
    recorder: Recorder,
    (wish, plan, facts): (&Wish, &Plan, &Facts),
    story: Story,
    folder: &Path,
) -> Result<Verdict, Trouble> {
    let end = story.lost.clone().map_or(RunEnd::Finished, |cause| RunEnd::Lost { cause });
    let Examined { findings, end, .. } = recorder.finish(&end).map_err(unwritten)?;
    let failure = story.failure.clone();
    let mut verdict = Verdict::new(run_facts(wish, plan, facts, story, folder), &findings, &end);
    if let (Some(words), true) = (failure, verdict.verdict == Outcome::Failed && verdict.breaches.is_empty()) {
        (verdict.reason, verdict.remedy) = (Some(words.cause), Some(words.help));
    } else if verdict.verdict == Outcome::RigError {
        verdict.remedy = Some("make the update again with fewer loads, or without observation (--blind)".into());
    }
    let console = fs::read_to_string(folder.join(LOG)).unwrap_or_default();
    let console: Vec<String> = console.lines().map(str::to_owned).collect();
    let reader = EventsReader::open(&folder.join(EVENTS)).map_err(unwritten)?;
    let setup = reader.setup().clone();
    for (name, bytes) in report::files(&setup, reader.map_while(Result::ok), &console, &verdict) {
        let path = folder.join(name);
        fs::write(&path, bytes).map_err(|e| Trouble::file("write", &path, &e))?;
    }
    Ok(verdict)
}

fn run_facts(wish: &Wish, plan: &Plan, facts: &Facts, story: Story, folder: &Path) -> RunFacts {
    let ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let image = Artifact {
        name: plan.image.path.display().to_string(),
        version: plan.image.version.map(|v| v.to_string()),
        sha256: Some(plan.image.sha256.clone()),
    };
    RunFacts {
        scenario: format!("hw-{}", wish.what),
        cpus: facts.online.len() as u16,
        updates: story.succeeded,
        module_before: plan.from.map(|v| v.to_string()),
        module_after: story.after,
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
        checks: story.checks,
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
