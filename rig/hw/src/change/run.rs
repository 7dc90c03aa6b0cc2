//! Updates, one after another, under observation.

use super::permission::{UploadRefusal, may_upload};
use super::recording::{Judged, ObservedUpdate, Recording};
use super::story::{Say, Story};
use super::{Plan, Request};
use crate::facts::{Facts, Module, UPLOAD, module};
use crate::failure::{Words, explain};
use crate::host::Host;
use crate::load::undo;
use crate::observe::{KernelLog, Observed, Observer, write_to_log};
use crate::restore::Restore;
use crate::signals::Signals;
use crate::trouble::Trouble;
use rig_agent::Loads;
use rig_wire::agent::{Failure, UploadOutcome};
use rig_wire::event;
use serde_json::json;
use std::ops::ControlFlow;
use std::time::Instant;

/// What observes the updates.
#[derive(Debug)]
pub(super) struct Tools {
    /// Probes; none with `--blind`.
    pub(super) observer: Option<Observer>,
    /// The kernel's log.
    pub(super) log: KernelLog,
    /// Where all goes.
    pub(super) recording: Recording,
}

/// Updates under way.
pub(super) struct Updates<'a> {
    pub(super) host: &'a Host,
    /// The host as it was when all this was planned.
    pub(super) facts: &'a Facts,
    pub(super) plan: Plan,
    pub(super) tools: Tools,
    pub(super) restore: &'a mut Restore,
    pub(super) story: Story,
    pub(super) say: Say<'a>,
}

impl Updates<'_> {
    /// All of them, beneath the loads. Whatever goes wrong is part of the story.
    pub(super) fn make(
        mut self,
        request: &Request,
        started: Instant,
        signals: &mut Signals,
    ) -> (Plan, Recording, Story) {
        let loads = Loads::on(self.host.machine());
        if let Err(trouble) = self.start(&loads) {
            self.story.troubles.push(trouble.into());
        } else {
            self.one_after_another(&loads, request, started, signals);
        }
        self.story.loads = loads.stop();
        let stopped = !self.story.troubles.is_empty();
        let idle: Vec<_> = self.story.loads.iter().filter(|report| report.operations == 0).cloned().collect();
        // Where something else stopped the updates, the report is about that, and not about idle loads.
        for report in idle.into_iter().filter(|_| !stopped) {
            let observation = report.first_error.unwrap_or_else(|| "none".into());
            self.story.check(&format!("load {}", report.name), "work", &observation);
        }
        (self.plan, self.tools.recording, self.story)
    }

    /// Starts the loads; what they change has its way back before.
    fn start(&mut self, loads: &Loads) -> Result<(), Trouble> {
        for load in &self.plan.loads {
            if let Some(undo) = undo(load, self.host, self.facts)? {
                self.restore.before(undo)?;
            }
            self.restore.note("start a load", json!(format!("{load:?}")))?;
            let help = "see what it says of this machine; or leave that load out";
            loads.start(load).map_err(|failure| Trouble::host(failure.what, help))?;
        }
        Ok(())
    }

    fn one_after_another(&mut self, loads: &Loads, request: &Request, started: Instant, signals: &mut Signals) {
        let mut begun = 0;
        for number in 1..=self.plan.updates {
            if request.within.is_some_and(|within| started.elapsed() >= within) {
                break;
            }
            if let Some(signal) = signals.received() {
                let cause = format!("stopped by {} after {begun} of {} updates", signal.as_str(), self.plan.updates);
                let help = "what was done until then is judged; begin again when you like".into();
                self.story.troubles.push(Words { cause, help });
                break;
            }
            begun = number;
            if self.update(loads, number).is_break() {
                break;
            }
        }
        if begun == 0 && self.story.troubles.is_empty() {
            self.story.check("updates", "1 at least", "none: the time was over before");
        }
    }

    /// One update; whether another may follow.
    fn update(&mut self, loads: &Loads, number: u32) -> ControlFlow<()> {
        (self.say)(&format!("update {number} of {}: {}", self.plan.updates, self.plan.image.path.display()));
        self.read_log()?;
        if let Err(error) = write_to_log(self.host, &format!("rig-hw: update {number} begins")) {
            (self.say)(&format!("warning: the kernel's log does not show where update {number} begins: {error}"));
        }
        let detail = json!({ "update": number, "image": self.plan.image.path, "sha256": self.plan.image.sha256 });
        if let Err(trouble) = self.restore.note("upload", detail) {
            return self.story.stop(trouble);
        }
        if let Some(Err(error)) = self.tools.observer.as_mut().map(Observer::begin) {
            return self.story.stop(Trouble::host(format!("the trace fails: {error}"), "go on without it: --blind"));
        }
        let began = Instant::now();
        let folder = self.host.path(UPLOAD);
        let uploaded = rig_agent::upload(loads, &folder, &self.plan.image.bytes, |missing| self.may_begin(missing));
        match uploaded {
            Ok(outcome) => {
                self.story.updating += began.elapsed();
                self.uploaded(number, &outcome)
            }
            Err(refusal) => self.not_begun(number, &refusal),
        }
    }

    /// Asked at the last moment: everything is ready, and only the write that begins the update follows.
    fn may_begin(&self, missing: &[String]) -> Result<(), UploadRefusal> {
        match missing {
            [] => may_upload(&Facts::of(self.host), &self.plan),
            [why, ..] => Err(UploadRefusal::TakenByLoad(why.clone())),
        }
    }

    fn not_begun(&mut self, number: u32, refusal: &UploadRefusal) -> ControlFlow<()> {
        // Nothing was begun, so nothing that was observed counts.
        drop(self.tools.observer.as_mut().map(Observer::end));
        let noted = self.restore.note("refused", json!({ "update": number, "why": refusal.to_string() }));
        let cause = format!("update {number} was not begun: {refusal}");
        (self.say)(&cause);
        let stopped = self.story.stop(Words { cause, help: refusal.help().into() });
        self.story.troubles.extend(noted.err().map(Words::from));
        stopped
    }

    /// What came of the upload. It is reported before any other step can fail.
    fn uploaded(&mut self, number: u32, outcome: &Result<UploadOutcome, Failure>) -> ControlFlow<()> {
        let after = module(self.host);
        self.plan.running = if let Module::Running(version) = after { Some(version) } else { None };
        (self.say)(&summary(number, outcome, &after));
        let observed = self.tools.observer.as_mut().map(Observer::end).unwrap_or_default();
        let detail = json!({ "update": number, "outcome": format!("{outcome:?}"), "module": format!("{after:?}") });
        let noted = self.restore.note("read the outcome", detail);
        self.story.troubles.extend(noted.err().map(Words::from));
        self.record(number, outcome, &observed, &after)
    }

    fn record(
        &mut self,
        number: u32,
        outcome: &Result<UploadOutcome, Failure>,
        observed: &Observed,
        after: &Module,
    ) -> ControlFlow<()> {
        let log = self.tools.log.lines();
        let result = match outcome {
            Ok(outcome) if succeeded(outcome) => event::UpdateOutcome::Succeeded,
            Ok(_) => event::UpdateOutcome::Failed,
            Err(_) => event::UpdateOutcome::Unknown,
        };
        let observation = ObservedUpdate { number, outcome: result, records: &observed.records, log: &log };
        let judged = self.tools.recording.update(&observation);
        let story = &mut self.story;
        story.lose(observed.lost.clone());
        story.lose(log.lost.clone());
        story.succeeded += u32::from(result == event::UpdateOutcome::Succeeded);
        story.after = if let Module::Running(version) = after { Some(version.to_string()) } else { None };
        let version = story.after.clone().unwrap_or_else(|| "no module".into());
        let update = format!("update {number}");
        match outcome {
            Ok(outcome) if succeeded(outcome) => {
                let wanted = self.plan.image.version.map(|version| version.to_string());
                match wanted {
                    Some(wanted) => story.check(&format!("module after {update}"), &wanted, &version),
                    None if story.after.is_none() => {
                        story.check(&format!("module after {update}"), "one that runs", &version);
                    }
                    None => {}
                }
            }
            Ok(outcome) => {
                story.check(&update, "succeeds", "fails");
                story.failure = Some(explain(outcome, &log.lines, &observed.records, after));
            }
            Err(failure) => {
                story.check(&update, "succeeds", "its outcome cannot be read");
                story.failure = Some(Words::unreadable(&failure.what, after));
            }
        }
        self.judged(judged)?;
        let story = &self.story;
        let may_follow = result == event::UpdateOutcome::Succeeded
            && story.checks.iter().all(|check| check.met)
            && story.lost.is_none()
            && story.troubles.is_empty();
        if may_follow { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    }

    /// Judges what the kernel's log says since the last time.
    fn read_log(&mut self) -> ControlFlow<()> {
        let log = self.tools.log.lines();
        let judged = self.tools.recording.log(&log, None);
        self.judged(judged)?;
        let is_whole = log.lost.is_none();
        self.story.lose(log.lost);
        if is_whole { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    }

    /// A breach, and a recording that cannot be written, are the end.
    fn judged(&mut self, judged: Judged) -> ControlFlow<()> {
        match judged {
            Judged::Sound => return ControlFlow::Continue(()),
            Judged::Broken(breach) => (self.say)(&format!("an invariant broke, no update follows: {breach}")),
            Judged::Unwritten(why) => self.story.lose(Some(why)),
        }
        ControlFlow::Break(())
    }
}

fn succeeded(outcome: &UploadOutcome) -> bool {
    outcome.error.is_empty() && outcome.errno.is_none()
}

/// An update's outcome in one line.
fn summary(number: u32, outcome: &Result<UploadOutcome, Failure>, after: &Module) -> String {
    let module = match after {
        Module::Running(version) => format!("module {version} runs"),
        Module::Lost => "this host has no TDX module now, reboot it".into(),
        Module::NoDevice => "the kernel's TDX device is gone".into(),
        Module::Unreadable(why) => format!("the module's version cannot be read: {why}"),
    };
    match outcome {
        Ok(outcome) if succeeded(outcome) => format!("update {number} succeeded: {module}"),
        Ok(_) => format!("update {number} FAILED: {module}"),
        Err(failure) => format!("update {number}: its outcome cannot be read ({}): {module}", failure.what),
    }
}
