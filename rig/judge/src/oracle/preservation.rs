//! Every TD's state digest is the same before and after an update; its virtual CPUs run again.

use super::rule::{Rule, held_in};
use crate::Invariant;
use crate::finding::{Breach, Finding};
use crate::run_end::RunEnd;
use crate::timeline::{Event, Leaf, Status, What};
use crate::tracker::Tracker;
use crate::update::Update;
use rig_wire::event::{Kind, Record};
use std::collections::BTreeMap;

/// [`Kind::TdDigest`]'s `c` for a digest that SHUTDOWN took.
const AT_SHUTDOWN: u64 = 1;
/// [`Kind::TdDigest`]'s `c` for a digest that UPDATE took.
const AT_UPDATE: u64 = 2;

#[derive(Debug, Default)]
pub(crate) struct Preservation {
    /// Digest of each TD at SHUTDOWN, by its TDR.
    before: BTreeMap<u64, Record>,
    /// Digest of each TD at UPDATE.
    after: BTreeMap<u64, Record>,
    /// Digests that were compared since the last update's end, and the updates in which all were the same.
    compared: u32,
    held: Vec<u32>,
    /// Virtual CPUs that ran and can run again, by their TDVPR, with the last entry.
    ran: BTreeMap<u64, Record>,
    /// Of those, the ones that were not entered with success since the last update.
    waiting: BTreeMap<u64, Record>,
}

impl Rule for Preservation {
    fn invariant(&self) -> Invariant {
        Invariant::Preservation
    }

    fn observe(&mut self, past: &Tracker, event: &Event<'_>) -> Option<Breach> {
        let record = event.record;
        match event.what {
            What::CallExit(Leaf::VP_ENTER, status) => self.entered(past, event.lp()?, status),
            What::CallExit(Leaf::PAGE_RECLAIM, status) if status.is_success() => self.reclaimed(past, event.lp()?),
            What::Other if record.kind == Kind::TdDigest as u16 => return self.digest(past, record),
            _ => {}
        }
        None
    }

    fn update_ended(&mut self, past: &Tracker, update: &Update) -> Option<Breach> {
        let (before, after) = (std::mem::take(&mut self.before), std::mem::take(&mut self.after));
        let compared = std::mem::take(&mut self.compared);
        let completed = update.completed?;
        if let Some(breach) = slept_through(past, &self.waiting).filter(|_| past.setup.load.tds_run_again) {
            return Some(breach);
        }
        self.waiting = self.ran.clone();
        self.held.extend((compared > 0).then_some(update.number));
        let lost = before.iter().find(|(td, _)| !after.contains_key(td)).map(|(_, record)| record)?;
        let mut breach = past.breach(Invariant::Preservation, &[], None);
        breach.update = Some(update.number);
        Some(
            breach
                .expected("every TD of the old module is there in the new one")
                .seen(format!("TD {:#x} is gone", lost.a))
                .events(past.cite([lost, &completed])),
        )
    }

    fn finish(&mut self, past: &Tracker, end: &RunEnd) -> Finding {
        let judged = past.setup.load.tds_run_again && *end == RunEnd::Finished;
        if let Some(breach) = slept_through(past, &self.waiting).filter(|_| judged) {
            return Finding::Broken(Box::new(breach));
        }
        held_in(past, &mut self.held, "no TD lived through an update")
    }
}

impl Preservation {
    fn entered(&mut self, past: &Tracker, lp: u16, status: Status) {
        // TD exits are statuses of their own. ERROR (bit 63) means that the virtual CPU did not run, NON_RECOVERABLE (bit 62)
        // without it that its TD ran and never will again; with it, it is set in many a refusal that has nothing to do with the
        // TD (TDX Module ABI specification, "Function Completion Status Codes").
        let Some(call) = past.calls.get(usize::from(lp)).copied().flatten() else { return };
        let Status::Returned(value) = status else { return };
        let vp = page(call.b);
        match value >> 62 {
            0 => {
                self.ran.insert(vp, call);
                self.waiting.remove(&vp);
            }
            // Its TD died. If that was seen first behind an update, it stays among those that the update kept waiting.
            0b01 => drop(self.ran.remove(&vp)),
            _ => {}
        }
    }

    /// A virtual CPU whose page is taken back was torn down on purpose.
    fn reclaimed(&mut self, past: &Tracker, lp: u16) {
        if let Some(call) = past.calls.get(usize::from(lp)).copied().flatten() {
            self.ran.remove(&page(call.b));
            self.waiting.remove(&page(call.b));
        }
    }

    fn digest(&mut self, past: &Tracker, record: &Record) -> Option<Breach> {
        match record.c {
            AT_SHUTDOWN => drop(self.before.insert(record.a, *record)),
            AT_UPDATE => drop(self.after.insert(record.a, *record)),
            _ => {}
        }
        let (before, after) = (self.before.get(&record.a), self.after.get(&record.a)?);
        self.compared += 1;
        let seen = match before {
            None => format!("TD {:#x} appears from nowhere", record.a),
            Some(before) if before.b != after.b => {
                format!("TD {:#x} changed: {:016x} became {:016x}", record.a, before.b, after.b)
            }
            Some(_) => return None,
        };
        Some(
            past.breach(Invariant::Preservation, &[], None)
                .expected("every TD is the same at UPDATE as at SHUTDOWN")
                .seen(seen)
                .events(past.cite(before.into_iter().chain([after]))),
        )
    }
}

/// A virtual CPU that was entered before the last update and not since.
fn slept_through(past: &Tracker, waiting: &BTreeMap<u64, Record>) -> Option<Breach> {
    let (vp, record) = waiting.first_key_value()?;
    Some(
        past.breach(Invariant::Preservation, &[record.lp], None)
            .expected("every virtual CPU that ran before an update runs again after it")
            .seen(format!("virtual CPU {vp:#x} was not entered with success since the update"))
            .events(past.cite([record])),
    )
}

/// The page in an operand whose other bits are flags.
fn page(operand: u64) -> u64 {
    operand & 0x000f_ffff_ffff_f000
}
