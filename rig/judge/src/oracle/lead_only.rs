//! The steps of one CPU run once, on the lead CPU.

use super::{NO_UPDATE, Rule, held_if};
use crate::finding::{Breach, Finding};
use crate::judge::RunEnd;
use crate::timeline::{Event, Leaf, What};
use crate::tracker::Tracker;
use crate::{Invariant, Step};
use rig_wire::event::Record;

#[derive(Debug, Default)]
pub(crate) struct LeadOnly {
    update: u32,
    shutdown: Option<Record>,
    run_update: Option<Record>,
    seen: bool,
}

impl Rule for LeadOnly {
    fn invariant(&self) -> Invariant {
        Invariant::LeadOnly
    }

    fn observe(&mut self, past: &Tracker, event: &Event<'_>) -> Option<Breach> {
        let lp = event.lp()?;
        let update = past.update_of(lp)?;
        if self.update != update.number {
            *self = Self { update: update.number, seen: self.seen, ..Self::default() };
        }
        match event.what {
            What::CallEnter(leaf @ (Leaf::SHUTDOWN | Leaf::UPDATE)) => self.lead_call(past, event, lp, leaf),
            What::CallEnter(leaf @ Leaf::SYS_RD) if lp != past.setup.lead && is_lead_step(past, lp) => {
                Some(on_another(past, event, lp, leaf, past.step_of(lp)))
            }
            What::CallExit(leaf, status) if status.is_retried() => {
                *self.slot(leaf)? = None;
                None
            }
            _ => None,
        }
    }

    fn finish(&mut self, past: &Tracker, _end: &RunEnd) -> Finding {
        held_if(self.seen, if past.updates() == 0 { NO_UPDATE } else { "no update reached SHUTDOWN" })
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
        self.seen = true;
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
