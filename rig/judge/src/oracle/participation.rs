//! Each online CPU does each all-CPU step exactly once per update, and one upload makes one update.

use super::rule::{Rule, held_in};
use crate::finding::{Breach, Finding};
use crate::run_end::RunEnd;
use crate::timeline::{Event, Leaf, Place, What};
use crate::tracker::Tracker;
use crate::update::Update;
use crate::{Invariant, Step};
use rig_wire::event::Record;
use std::collections::BTreeMap;

/// A call that firmware answers with `TDX_RND_NO_ENTROPY` is made this often, the first time included (`RDRAND_RETRY_LOOPS` of
/// `arch/x86/include/asm/archrandom.h`, in `sc_retry()` of `arch/x86/include/asm/tdx.h`, Linux 7.3).
const CALLS_WITHOUT_ENTROPY: u32 = 10;

#[derive(Debug, Default)]
pub(crate) struct Participation {
    /// The update to which `unlucky` belongs.
    serial: u32,
    /// How often each LP's call of a leaf found no entropy, and the last time.
    unlucky: BTreeMap<(u16, Leaf), (u32, Record)>,
    held: Vec<u32>,
}

impl Rule for Participation {
    fn invariant(&self) -> Invariant {
        Invariant::Participation
    }

    fn observe(&mut self, past: &Tracker, event: &Event<'_>) -> Option<Breach> {
        let lp = event.lp()?;
        if let Some(breach) = self.retried_too_often(past, event, lp).or_else(|| second_update(past, event)) {
            return Some(breach);
        }
        let What::CallEnter(leaf) = event.what else { return None };
        let Some(update) = past.update_of(lp) else { return outside(past, event, lp, leaf) };
        let did = update.part(lp);
        let before = match leaf {
            Leaf::INSTALL => did.install,
            Leaf::LP_INIT => did.init,
            Leaf::SYS_INIT => update.sys_init,
            _ => return None,
        };
        if !update.expected().contains(lp) && !update.entered.contains(lp) {
            return Some(stranger(past, update, event, lp, leaf));
        }
        before.map(|before| twice(past, event, lp, leaf, &before))
    }

    /// Steps that everybody has behind them must have been done by everybody.
    fn update_ended(&mut self, past: &Tracker, update: &Update) -> Option<Breach> {
        self.judge_steps(past, update, update.behind(past.decoder.follows(Place::Install)))
    }

    fn finish(&mut self, past: &Tracker, end: &RunEnd) -> Finding {
        if let (RunEnd::Hung { .. }, Some(update)) = (end, past.under_way())
            && let Some(breach) = never_came(past, update).or_else(|| {
                let behind = update.failure.as_ref().map_or(update.step, |f| f.step);
                self.judge_steps(past, update, behind.unwrap_or(Step::Start))
            })
        {
            return Finding::Broken(Box::new(breach));
        }
        held_in(past, &mut self.held, "no update got past a step of all CPUs")
    }
}

impl Participation {
    /// Whether everybody did the steps that lie before this one.
    fn judge_steps(&mut self, past: &Tracker, update: &Update, behind: Step) -> Option<Breach> {
        let mut steps = [Step::CpuInstall, Step::CpuInit].into_iter().filter(|step| *step < behind).peekable();
        steps.peek()?;
        let breach = steps.find_map(|step| absentees(past, update, step));
        if breach.is_none() {
            self.held.push(update.number);
        }
        breach
    }

    /// The kernel calls again when firmware found no entropy, but not for ever.
    fn retried_too_often(&mut self, past: &Tracker, event: &Event<'_>, lp: u16) -> Option<Breach> {
        let update = past.update_of(lp)?;
        if self.serial != update.serial {
            (self.serial, self.unlucky) = (update.serial, BTreeMap::new());
        }
        match event.what {
            What::CallExit(leaf, status) if leaf.step().is_some() && status.is_retried() => {
                let (times, last) = self.unlucky.entry((lp, leaf)).or_default();
                (*times, *last) = (*times + 1, *event.record);
                None
            }
            What::CallEnter(leaf) => {
                let (_, last) = self.unlucky.get(&(lp, leaf)).filter(|(times, _)| *times >= CALLS_WITHOUT_ENTROPY)?;
                Some(
                    past.breach(Invariant::Participation, &[lp], leaf.step())
                        .expected(format!(
                            "{} is given up after {CALLS_WITHOUT_ENTROPY} calls without entropy",
                            leaf.name()
                        ))
                        .seen(format!("CPU {lp} calls {} once more", leaf.name()))
                        .events(past.cite([last, event.record])),
                )
            }
            _ => None,
        }
    }
}

/// A second section in one upload: the first CPU of it enters after the update ended.
fn second_update(past: &Tracker, event: &Event<'_>) -> Option<Breach> {
    let update = past.under_way()?;
    let begins = past.upload.is_some() && past.updates_in_upload > 1 && update.begun.seq == event.record.seq;
    begins.then(|| {
        past.breach(Invariant::Participation, &[event.record.lp], None)
            .expected("one upload makes one update")
            .seen("another update begins in the same upload")
            .events(past.cite([event.record]))
    })
}

/// INSTALL belongs to an update, wherever it is made.
fn outside(past: &Tracker, event: &Event<'_>, lp: u16, leaf: Leaf) -> Option<Breach> {
    (leaf == Leaf::INSTALL).then(|| {
        past.breach(Invariant::Participation, &[lp], leaf.step())
            .expected("INSTALL runs inside the lockstep section of an update")
            .seen(format!("CPU {lp} runs INSTALL outside"))
            .events(past.cite([event.record]))
    })
}

fn twice(past: &Tracker, event: &Event<'_>, lp: u16, leaf: Leaf, before: &Record) -> Breach {
    past.breach(Invariant::Participation, &[lp], leaf.step())
        .expected(format!("{} runs once {} in an update", leaf.name(), whose(leaf)))
        .seen(format!("{} runs a second time in the same update", leaf.name()))
        .events(past.cite([before, event.record]))
}

fn whose(leaf: Leaf) -> &'static str {
    if leaf == Leaf::SYS_INIT { "on one CPU" } else { "on each CPU" }
}

fn stranger(past: &Tracker, update: &Update, event: &Event<'_>, lp: u16, leaf: Leaf) -> Breach {
    past.breach(Invariant::Participation, &[lp], leaf.step())
        .expected("the CPUs that were online at the update's start take part, and no other")
        .seen(format!("CPU {lp}, which was not online, runs {}", leaf.name()))
        .events(past.cite([&update.begun, event.record]))
}

fn absentees(past: &Tracker, update: &Update, step: Step) -> Option<Breach> {
    let leaf = if step == Step::CpuInstall { Leaf::INSTALL } else { Leaf::LP_INIT };
    let called = |lp: &u16| {
        let did = update.part(*lp);
        if step == Step::CpuInstall { did.installed } else { did.initialised }
    };
    let expected = update.expected();
    let missing: Vec<u16> = expected.iter().filter(|lp| !called(lp)).collect();
    let acks: Vec<Record> = missing.iter().filter_map(|lp| update.part(*lp).ack).collect();
    let mut breach = past.breach(Invariant::Participation, &missing, Some(step));
    breach.update = Some(update.number);
    (!missing.is_empty()).then(|| {
        breach
            .expected(format!("each of the {} online CPUs runs {} once", expected.len(), leaf.name()))
            .seen(format!("{} CPU(s) did not run {} to its end though the update went on", missing.len(), leaf.name()))
            .events(past.cite(acks.iter().chain([&update.begun, &update.step_begun])))
    })
}

/// In a hang: CPUs that never entered the section although others already acknowledged a step in it.
fn never_came(past: &Tracker, update: &Update) -> Option<Breach> {
    let missing = update.expected().without(&update.entered);
    let acks: Vec<Record> = update.parts.iter().filter_map(|p| p.ack).collect();
    let came = !update.entered.is_empty() && !acks.is_empty() && update.failure.is_none();
    (came && !missing.is_empty()).then(|| {
        past.breach(Invariant::Participation, &missing, update.step)
            .expected("every online CPU enters the lockstep section")
            .seen("they never entered it, while others wait inside for their acknowledgement")
            .events(past.cite(acks.iter().chain([&update.begun])))
    })
}
