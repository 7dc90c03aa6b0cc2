//! The steps of one CPU run exactly once: SHUTDOWN and UPDATE on the lead CPU, SYS.INIT on whichever CPU comes first.

use super::rule::{Rule, held_in};
use crate::finding::{Breach, Finding};
use crate::run_end::RunEnd;
use crate::timeline::{Event, Leaf, Place, What};
use crate::tracker::Tracker;
use crate::update::Update;
use crate::{Invariant, Step};
use rig_wire::event::Record;

#[derive(Debug, Default)]
pub(crate) struct LeadOnly {
    /// The update to which the calls belong.
    serial: u32,
    shutdown: Option<Record>,
    run_update: Option<Record>,
    held: Vec<u32>,
}

impl Rule for LeadOnly {
    fn invariant(&self) -> Invariant {
        Invariant::LeadOnly
    }

    fn observe(&mut self, past: &Tracker, event: &Event<'_>) -> Option<Breach> {
        let lp = event.lp()?;
        let Some(update) = past.update_of(lp) else { return outside(past, event, lp) };
        if self.serial != update.serial {
            (self.serial, self.shutdown, self.run_update) = (update.serial, None, None);
        }
        match event.what {
            What::CallEnter(leaf @ (Leaf::SHUTDOWN | Leaf::UPDATE)) => self.lead_call(past, event, lp, leaf),
            // Where the section's function is not recorded nobody knows whether a read belongs to a step.
            What::CallEnter(leaf @ Leaf::SYS_RD)
                if lp != past.setup.lead && is_lead_step(past, lp) && past.decoder.follows(Place::Install) =>
            {
                Some(on_another(past, event, lp, leaf, past.step_of(lp)))
            }
            What::CallExit(leaf, status) if status.is_retried() => {
                *self.slot(leaf)? = None;
                None
            }
            _ => None,
        }
    }

    /// What everybody has behind them was done, and with success.
    fn update_ended(&mut self, past: &Tracker, update: &Update) -> Option<Breach> {
        let behind = update.behind(past.decoder.follows(Place::Install));
        let owed = [
            (Leaf::SHUTDOWN, update.shut_down),
            (Leaf::SYS_INIT, update.initialised),
            (Leaf::UPDATE, update.completed),
        ];
        let mut owed = owed.into_iter().filter(|(leaf, _)| leaf.step().is_some_and(|step| step < behind)).peekable();
        owed.peek()?;
        let missing = owed.find(|(_, done)| done.is_none());
        if missing.is_none() {
            self.held.push(update.number);
        }
        missing.map(|(leaf, _)| never_ran(past, update, leaf))
    }

    fn finish(&mut self, past: &Tracker, _end: &RunEnd) -> Finding {
        held_in(past, &mut self.held, "no update got past SHUTDOWN")
    }
}

impl LeadOnly {
    fn slot(&mut self, leaf: Leaf) -> Option<&mut Option<Record>> {
        match leaf {
            Leaf::SHUTDOWN => Some(&mut self.shutdown),
            Leaf::UPDATE => Some(&mut self.run_update),
            _ => None,
        }
    }

    fn lead_call(&mut self, past: &Tracker, event: &Event<'_>, lp: u16, leaf: Leaf) -> Option<Breach> {
        if lp != past.setup.lead {
            return Some(on_another(past, event, lp, leaf, leaf.step()));
        }
        let before = self.slot(leaf)?.replace(*event.record)?;
        Some(
            past.breach(Invariant::LeadOnly, &[lp], leaf.step())
                .expected(format!("{} runs once in an update", leaf.name()))
                .seen(format!("{} runs a second time in the same update", leaf.name()))
                .events(past.cite([&before, event.record])),
        )
    }
}

/// The lead's calls belong to an update, wherever they are made.
fn outside(past: &Tracker, event: &Event<'_>, lp: u16) -> Option<Breach> {
    let What::CallEnter(leaf @ (Leaf::SHUTDOWN | Leaf::UPDATE)) = event.what else { return None };
    Some(
        past.breach(Invariant::LeadOnly, &[lp], leaf.step())
            .expected(format!("{} runs inside the lockstep section of an update", leaf.name()))
            .seen(format!("CPU {lp} runs {} outside", leaf.name()))
            .events(past.cite([event.record])),
    )
}

fn never_ran(past: &Tracker, update: &Update, leaf: Leaf) -> Breach {
    let whose =
        if leaf == Leaf::SYS_INIT { "on one CPU".into() } else { format!("on CPU {}, the lead", past.setup.lead) };
    let mut breach = past.breach(Invariant::LeadOnly, &[], leaf.step());
    breach.update = Some(update.number);
    breach
        .expected(format!("{} runs once, {whose}, and succeeds", leaf.name()))
        .seen(format!("{} did not run to its end, though the update went on", leaf.name()))
        .events(past.cite([&update.begun, &update.step_begun]))
}

/// Whether this LP is in a step whose work, reads included, is the lead's.
pub(super) fn is_lead_step(past: &Tracker, lp: u16) -> bool {
    let step = past.step_of(lp).or_else(|| past.under_way().and_then(|u| u.step)).unwrap_or(Step::Shutdown);
    matches!(step, Step::Shutdown | Step::RunUpdate | Step::Done)
}

fn on_another(past: &Tracker, event: &Event<'_>, lp: u16, leaf: Leaf, step: Option<Step>) -> Breach {
    past.breach(Invariant::LeadOnly, &[lp], step)
        .expected(format!("{} runs on CPU {}, the lead, and on no other", leaf.name(), past.setup.lead))
        .seen(format!("CPU {lp} runs {}", leaf.name()))
        .events(past.cite([event.record]))
}
