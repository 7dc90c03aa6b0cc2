//! Each online CPU does each all-CPU step exactly once per update.

use super::{NO_UPDATE, Rule, held_if};
use crate::finding::{Breach, Finding};
use crate::judge::RunEnd;
use crate::timeline::{Event, Leaf, What};
use crate::tracker::Tracker;
use crate::update::Update;
use crate::{Invariant, Step};
use rig_wire::event::Record;

#[derive(Debug, Default)]
pub(crate) struct Participation {
    judged_steps: u32,
}

impl Rule for Participation {
    fn invariant(&self) -> Invariant {
        Invariant::Participation
    }

    fn observe(&mut self, past: &Tracker, event: &Event<'_>) -> Option<Breach> {
        let What::CallEnter(leaf) = event.what else { return None };
        let lp = event.lp()?;
        let update = past.update_of(lp)?;
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
        let failed_in = update.failure.as_ref().map(|f| f.step.unwrap_or(Step::Start));
        let behind = match (failed_in, update.completed) {
            (Some(step), _) => step,
            (None, Some(_)) => Step::Done,
            (None, None) => update.step.unwrap_or(Step::Start),
        };
        for step in [Step::CpuInstall, Step::CpuInit].into_iter().filter(|s| *s < behind) {
            self.judged_steps += 1;
            if let Some(breach) = absentees(past, update, step) {
                return Some(breach);
            }
        }
        None
    }

    fn finish(&mut self, past: &Tracker, end: &RunEnd) -> Finding {
        if let (RunEnd::Hung { .. }, Some(update)) = (end, past.under_way())
            && let Some(breach) = never_came(past, update).or_else(|| self.update_ended(past, update))
        {
            return Finding::Broken(Box::new(breach));
        }
        let otherwise = if past.updates() == 0 { NO_UPDATE } else { "no update got past a step of all CPUs" };
        held_if(self.judged_steps > 0, otherwise)
    }
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
        if step == Step::CpuInstall { did.install.is_some() } else { did.init.is_some() }
    };
    let expected = update.expected();
    let missing: Vec<u16> = expected.iter().filter(|lp| !called(lp)).collect();
    let acks: Vec<Record> = missing.iter().filter_map(|lp| update.part(*lp).ack).collect();
    let mut breach = past.breach(Invariant::Participation, &missing, Some(step));
    breach.update = Some(update.number);
    (!missing.is_empty()).then(|| {
        breach
            .expected(format!("each of the {} online CPUs runs {} once", expected.len(), leaf.name()))
            .seen(format!("{} CPU(s) never ran {} though the update went on", missing.len(), leaf.name()))
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
