//! Updates, one after another, under observation.

use super::evidence::{Story, conclude, folder, recorder, unwritten};
use super::{Plan, Wish};
use crate::facts::{Facts, Module, UPLOAD, module};
use crate::failure::explain;
use crate::host::Host;
use crate::journal::Journal;
use crate::observe::{KernelLog, Observed, Observer};
use crate::trouble::Trouble;
use rig_agent::Loads;
use rig_judge::verdict::Check;
use rig_judge::{Recorder, Verdict};
use rig_wire::agent::UpdateOutcome;
use rig_wire::event::{self, Kind, Mark, NO_LP, Record, update_end};
use serde_json::json;
use std::io;
use std::time::Instant;

/// Changes the machine as planned; `say` is told what is under way.
pub fn run(host: &Host, wish: &Wish, facts: &Facts, plan: &Plan, say: &dyn Fn(&str)) -> Result<Verdict, Trouble> {
    let started = Instant::now();
    let mut journal = Journal::open(host)?;
    journal.note("begin", json!({ "command": wish.what, "image": plan.image.path, "sha256": plan.image.sha256,
        "from": plan.from.map(|v| v.to_string()), "to": plan.image.version.map(|v| v.to_string()), "updates": plan.updates }))?;
    let observer = observe(host, wish, facts, &mut journal)?;
    observer.iter().flat_map(|observer| &observer.notes).for_each(|note| say(note));
    let folder = folder(host, wish)?;
    let log = KernelLog::open(host).map_err(|e| Trouble::file("read", &host.path("/dev/kmsg"), &e))?;
    let recorder = recorder(&folder, host, facts, observer.as_ref())?;
    let mut change = Change { host, plan, journal, observer, log, recorder, story: Story::default(), say };
    let updated = change.all(wish, started);
    let Change { mut journal, mut observer, recorder, mut story, .. } = change;
    journal.note("stop observing", json!({}))?;
    drop(observer.take());
    updated?;
    story.total = started.elapsed();
    let verdict = conclude(recorder, (wish, plan, facts), story, &folder)?;
    journal
        .done(json!({ "verdict": verdict.verdict.name(), "module": verdict.facts.module_after, "evidence": folder }))?;
    Ok(verdict)
}

fn observe(host: &Host, wish: &Wish, facts: &Facts, journal: &mut Journal) -> Result<Option<Observer>, Trouble> {
    if wish.blind {
        return Ok(None);
    }
    journal.note("place probes in the kernel", json!({}))?;
    let cpus = facts.present.last().map_or(1, |last| usize::from(*last) + 1);
    Observer::start(host, cpus).map(Some)
}

/// A change under way.
struct Change<'a> {
    host: &'a Host,
    plan: &'a Plan,
    journal: Journal,
    observer: Option<Observer>,
    log: KernelLog,
    recorder: Recorder,
    story: Story,
    say: &'a dyn Fn(&str),
}

impl Change<'_> {
    /// All updates, beneath the loads.
    fn all(&mut self, wish: &Wish, started: Instant) -> Result<(), Trouble> {
        let loads = Loads::default();
        for load in &self.plan.loads {
            self.journal.note("start a load", json!(format!("{load:?}")))?;
            let help = "see what it says of this machine; or leave that load out";
            loads.start(load).map_err(|failure| Trouble::host(failure.what, help))?;
        }
        let mut updated = Ok(true);
        for number in 1..=self.plan.updates {
            let late = wish.within.is_some_and(|within| started.elapsed() >= within);
            if late || !matches!(updated, Ok(true)) {
                break;
            }
            updated = self.update(number);
        }
        self.story.loads = loads.stop();
        let idle = self.story.loads.iter().filter(|report| report.operations == 0);
        let idle: Vec<Check> = idle.map(|report| check(&format!("load {}", report.name), "work", "none")).collect();
        self.story.checks.extend(idle);
        updated.map(drop)
    }

    /// One update; whether another may follow.
    fn update(&mut self, number: u32) -> Result<bool, Trouble> {
        let (plan, began) = (self.plan, Instant::now());
        (self.say)(&format!("update {number} of {}: {}", plan.updates, plan.image.path.display()));
        self.mark(Mark::UpdateBegin, u64::from(number))?;
        self.log(&[])?;
        // Read back, it shows that the kernel's log is seen; and people find the update in it.
        let _ = self.host.append("/dev/kmsg", &format!("rig-hw: update {number} begins\n"));
        self.journal
            .note("upload", json!({ "update": number, "image": plan.image.path, "sha256": plan.image.sha256 }))?;
        let untraced = |e: io::Error| Trouble::host(format!("the trace fails: {e}"), "go on without it: --blind");
        self.observer.as_mut().map_or(Ok(()), Observer::begin).map_err(untraced)?;
        let outcome = rig_agent::upload(&self.host.path(UPLOAD), &plan.image.bytes);
        let observed = self.observer.as_mut().map_or(Ok(Observed::default()), Observer::end).map_err(untraced)?;
        let help = "read the kernel's log; `rig-hw check` tells whether the module lives";
        let outcome = outcome.map_err(|failure| Trouble::host(failure.what, help))?;
        self.story.updating += began.elapsed();
        let after = module(self.host);
        self.journal.note(
            "read the outcome",
            json!({ "update": number, "error": outcome.error, "errno": outcome.errno,
            "module": format!("{after:?}") }),
        )?;
        self.record(number, &outcome, &observed, &after)
    }

    fn record(
        &mut self,
        number: u32,
        outcome: &UpdateOutcome,
        observed: &Observed,
        after: &Module,
    ) -> Result<bool, Trouble> {
        for record in &observed.records {
            self.recorder.record(record).map_err(unwritten)?;
        }
        let log = self.log(&observed.records)?;
        let succeeded = outcome.error.is_empty() && outcome.errno.is_none();
        let told = if succeeded { event::UpdateOutcome::Succeeded } else { event::UpdateOutcome::Failed };
        self.mark(Mark::UpdateEnd, update_end(number, told))?;
        let story = &mut self.story;
        story.lost = story.lost.take().or_else(|| observed.lost.clone());
        story.succeeded += u32::from(succeeded);
        story.after = if let Module::Running(version) = after { Some(version.to_string()) } else { None };
        let seen = story.after.as_deref().unwrap_or("no module");
        if succeeded {
            let wanted = self.plan.image.version.map(|version| version.to_string());
            story.checks.extend(wanted.map(|wanted| check(&format!("module after update {number}"), &wanted, seen)));
        } else {
            story.checks.push(check(&format!("update {number}"), "succeeds", "fails"));
            story.failure = Some(explain(outcome, &log, &observed.records, after));
        }
        Ok(succeeded && story.checks.iter().all(|check| check.met) && story.lost.is_none())
    }

    /// Judges what the kernel's log says since the last time.
    fn log(&mut self, records: &[Record]) -> Result<Vec<String>, Trouble> {
        let lines = self.log.lines();
        let us = records.last().map(|record| record.guest_ns / 1000);
        for line in &lines {
            self.recorder.console_line(line, us).map_err(unwritten)?;
        }
        Ok(lines)
    }

    fn mark(&mut self, mark: Mark, argument: u64) -> Result<(), Trouble> {
        let record = Record { lp: NO_LP, kind: Kind::Mark as u16, a: mark as u64, b: argument, ..Record::default() };
        self.recorder.record(&record).map(drop).map_err(unwritten)
    }
}

fn check(name: &str, expected: &str, seen: &str) -> Check {
    Check { name: name.into(), expected: expected.into(), seen: seen.into(), met: expected == seen }
}

#[cfg(test)]
mod tests {
    use super::super::plan::plan;
    use super::*;
    use crate::fake::Fake;
    use crate::journal;
    use rig_judge::{Invariant, Outcome};
    use seam_emu::image::{ImageSpec, build};
    use std::fs;
    use std::path::PathBuf;
    use std::time::Duration;

    /// A picture of a host takes an image, and nothing comes of it: the module stays what it was.
    fn changed(to: u16, error: &str) -> (Fake, Verdict, PathBuf) {
        let fake = Fake::new();
        let spec = ImageSpec { major: 1, minor: 5, update: to, cpuids: vec![0x0008_06f0], ..ImageSpec::default() };
        let image = fake.host().path(&format!("/tdx_module_{}.blob", spec.version_string()));
        fs::write(&image, build(&spec)).unwrap();
        fake.put("/sys/class/firmware/tdx_module/error", error);
        let out = fake.host().path("/out");
        let wish = Wish {
            what: "update",
            image: Some(image.clone()),
            updates: 1,
            yes: true,
            blind: true,
            out: Some(out.clone()),
            ..Wish::default()
        };
        let facts = Facts::of(&fake.host());
        let plan = plan(&wish, &facts, None).unwrap();
        let verdict = run(&fake.host(), &wish, &facts, &plan, &|_| {}).unwrap();
        let uploaded = fs::read(fake.host().path("/sys/class/firmware/tdx_module/data")).unwrap();
        assert_eq!(uploaded, fs::read(image).unwrap());
        (fake, verdict, out)
    }

    #[test]
    fn the_journal_tells_each_step_before_it_is_taken() {
        let (fake, verdict, out) = changed(5, "");
        assert_eq!((verdict.verdict, verdict.facts.updates), (Outcome::Passed, 1), "{:?}", verdict.reason);
        let steps: Vec<String> = journal::entries(&fake.host()).into_iter().map(|entry| entry.step).collect();
        assert_eq!(steps, ["begin", "upload", "read the outcome", "stop observing", "done"]);
        for name in ["verdict.json", "events.bin", "junit.xml", "ktap.txt", "report.html"] {
            assert!(out.join(name).is_file(), "{name}");
        }
    }

    /// Nothing was observed, so nothing held.
    #[test]
    fn what_was_not_observed_did_not_hold() {
        let (_fake, verdict, _) = changed(5, "");
        assert!(
            verdict.invariants.values().all(|s| *s == rig_judge::Standing::NotApplicable),
            "{:?}",
            verdict.invariants
        );
        assert!(verdict.why_not_observed(Invariant::Lockstep).unwrap().contains("--blind"));
    }

    #[test]
    fn an_update_that_changes_nothing_has_failed() {
        let (_fake, verdict, _) = changed(6, "");
        assert_eq!(verdict.verdict, Outcome::Failed);
        assert!(verdict.reason.unwrap().contains("expected 1.5.06, seen 1.5.05"));
    }

    #[test]
    fn an_update_that_the_kernel_refuses_is_explained() {
        let (_fake, verdict, _) = changed(6, "transferring:firmware-invalid");
        assert_eq!((verdict.verdict, verdict.facts.updates), (Outcome::Failed, 0));
        assert!(verdict.reason.unwrap().contains("before any SEAMCALL") && verdict.remedy.is_some());
    }

    #[test]
    fn time_ends_a_stress() {
        let fake = Fake::new();
        let spec = ImageSpec { major: 1, minor: 5, update: 5, cpuids: vec![0x0008_06f0], ..ImageSpec::default() };
        let image = fake.host().path("/tdx_module_1.5.05.blob");
        fs::write(&image, build(&spec)).unwrap();
        let wish = Wish {
            what: "stress",
            image: Some(image),
            updates: 5,
            within: Some(Duration::ZERO),
            loads: vec!["page-fault".into()],
            yes: true,
            blind: true,
            ..Wish::default()
        };
        let facts = Facts::of(&fake.host());
        let plan = plan(&wish, &facts, None).unwrap();
        let verdict = run(&fake.host(), &wish, &facts, &plan, &|_| {}).unwrap();
        assert_eq!(verdict.facts.updates, 0);
        assert!(verdict.facts.load[0].counts["operations"] > 0, "{:?}", verdict.facts.load);
    }
}
