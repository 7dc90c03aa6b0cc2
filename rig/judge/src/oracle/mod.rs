//! The invariants, one file each.
//!
//! A rule sees every event once, in order, with the past in the [`Tracker`]; it never sees the future and never keeps the
//! events. It reports its first breach and is then done.

mod ack_trail;
mod concurrency;
mod interrupts_off;
mod lead_only;
mod lockstep;
mod participation;
mod preservation;
mod progress;
mod quiet_kernel;
mod serial_loader;
mod stable_cpus;
mod stop_on_failure;
mod update_only;

use crate::Invariant;
pub(crate) use quiet_kernel::{is_report, is_unexpected};

use crate::finding::{Breach, Finding};
use crate::judge::RunEnd;
use crate::timeline::Event;
use crate::tracker::Tracker;
use crate::update::Update;
use std::fmt::Debug;

/// One invariant under observation.
pub(crate) trait Rule: Debug + Send {
    /// Which one.
    fn invariant(&self) -> Invariant;

    /// Judges an event. What the tracker knows is what was true just before it.
    fn observe(&mut self, _past: &Tracker, _event: &Event<'_>) -> Option<Breach> {
        None
    }

    /// Judges an update that ended, or that will never end because the run did.
    fn update_ended(&mut self, _past: &Tracker, _update: &Update) -> Option<Breach> {
        None
    }

    /// Judges a line of the console.
    fn console_line(&mut self, _past: &Tracker, _line: &str) -> Option<Breach> {
        None
    }

    /// Judges the run as a whole, unless it was broken before.
    fn finish(&mut self, past: &Tracker, end: &RunEnd) -> Finding;
}

/// All rules, in the order of reports.
pub(crate) fn all() -> Vec<Box<dyn Rule>> {
    vec![
        Box::<participation::Participation>::default(),
        Box::<lockstep::Lockstep>::default(),
        Box::<lead_only::LeadOnly>::default(),
        Box::<update_only::UpdateOnly>::default(),
        Box::<interrupts_off::InterruptsOff>::default(),
        Box::<serial_loader::SerialLoader>::default(),
        Box::<progress::Progress>::default(),
        Box::<stop_on_failure::StopOnFailure>::default(),
        Box::<preservation::Preservation>::default(),
        Box::<concurrency::Concurrency>::default(),
        Box::<stable_cpus::StableCpus>::default(),
        Box::<quiet_kernel::QuietKernel>::default(),
    ]
}

/// Held when it was observed at least once, else not applicable.
fn held_if(observed: bool, otherwise: &str) -> Finding {
    if observed { Finding::Held { updates: Vec::new() } } else { not_applicable(otherwise) }
}

/// Held in these updates, else not applicable: `otherwise` says why, of updates that came to their end.
fn held_in(past: &Tracker, updates: &mut Vec<u32>, otherwise: &str) -> Finding {
    let updates = std::mem::take(updates);
    match (updates.is_empty(), past.updates(), past.under_way()) {
        (false, ..) => Finding::Held { updates },
        (true, 0, _) => not_applicable("no update was seen"),
        (true, 1, Some(_)) => not_applicable("the update was not seen to its end"),
        (true, ..) => not_applicable(otherwise),
    }
}

fn not_applicable(reason: &str) -> Finding {
    Finding::NotApplicable { reason: reason.to_string() }
}
