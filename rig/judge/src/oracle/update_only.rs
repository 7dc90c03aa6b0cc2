//! From SHUTDOWN's start to UPDATE's end no other SEAMCALL runs; reads of handoff and version fields by the lead are part of
//! the update.

use super::lead_only::is_lead_step;
use super::rule::{Rule, held_in};
use crate::Invariant;
use crate::finding::{Breach, Finding};
use crate::run_end::RunEnd;
use crate::timeline::{Event, Leaf, Place, What};
use crate::tracker::Tracker;
use crate::update::Update;
use rig_wire::event::Record;

#[derive(Debug, Default)]
pub(crate) struct UpdateOnly {
    held: Vec<u32>,
}

impl Rule for UpdateOnly {
    fn invariant(&self) -> Invariant {
        Invariant::UpdateOnly
    }

    fn observe(&mut self, past: &Tracker, event: &Event<'_>) -> Option<Breach> {
        let What::CallEnter(leaf) = event.what else { return None };
        let (lp, update) = (event.lp()?, past.under_way()?);
        if leaf == Leaf::SHUTDOWN && update.shutdown.is_none() && past.update_of(lp).is_some() {
            return caught_inside(past, event, lp);
        }
        let shutdown = update.shutdown?;
        if update.lead_done.is_some() || belongs(past, update, event.record, lp, leaf) {
            return None;
        }
        let whose = if past.update_of(lp).is_some() { "inside the section" } else { "outside the section" };
        Some(
            past.breach(Invariant::UpdateOnly, &[lp], None)
                .expected("from SHUTDOWN's start to UPDATE's end only the update's own SEAMCALLs run")
                .seen(format!("CPU {lp}, {whose}, runs {}", leaf.name()))
                .events(past.cite([&shutdown, event.record])),
        )
    }

    fn update_ended(&mut self, _past: &Tracker, update: &Update) -> Option<Breach> {
        self.held.extend(update.tried_shutdown.then_some(update.number));
        None
    }

    fn finish(&mut self, past: &Tracker, _end: &RunEnd) -> Finding {
        held_in(past, &mut self.held, "no update reached SHUTDOWN")
    }
}

/// Another LP is inside a SEAMCALL when SHUTDOWN begins.
fn caught_inside(past: &Tracker, event: &Event<'_>, lp: u16) -> Option<Breach> {
    let foreign = |call: &&Record| call.lp != lp && !is_leads_work(past, call.lp, Leaf::of(call));
    let call = past.calls.iter().flatten().find(foreign)?;
    Some(
        past.breach(Invariant::UpdateOnly, &[call.lp], None)
            .expected("no SEAMCALL is under way when SHUTDOWN begins")
            .seen(format!("CPU {} is inside {}", call.lp, Leaf::of(call).name()))
            .events(past.cite([call, event.record])),
    )
}

/// Whether a call between SHUTDOWN and UPDATE is part of the update, or another invariant's business.
fn belongs(past: &Tracker, update: &Update, record: &Record, lp: u16, leaf: Leaf) -> bool {
    let inside = !past.decoder.follows(Place::Install) || update.inside.contains(lp);
    let read_by_lead =
        leaf == Leaf::SYS_RD && lp == past.setup.lead && is_lead_step(past, lp) && is_update_field(record.c);
    inside && (leaf.step().is_some() || read_by_lead || is_leads_work(past, lp, leaf))
}

/// The lead's reads on another LP break `lead-only`, not this invariant.
fn is_leads_work(past: &Tracker, lp: u16, leaf: Leaf) -> bool {
    let is_leads_read = leaf == Leaf::SYS_RD && is_lead_step(past, lp);
    is_leads_read && lp != past.setup.lead && past.decoder.follows(Place::Install) && past.update_of(lp).is_some()
}

/// Class codes (bits 61:56 of a field's identifier) of the module's version and handoff fields.
fn is_update_field(field: u64) -> bool {
    matches!(field >> 56 & 0x3f, 8 | 9)
}
