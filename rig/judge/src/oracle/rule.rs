//! What each invariant is to the judge, and how it says what it found.

use crate::Invariant;
use crate::finding::{Breach, Finding};
use crate::run_end::RunEnd;
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

/// Held when it was observed at least once, else not applicable.
pub(super) fn held_if(observed: bool, otherwise: &str) -> Finding {
    if observed { Finding::Held { updates: Vec::new() } } else { not_applicable(otherwise) }
}

/// Held in these updates, else not applicable: `otherwise` says why, of updates that came to their end.
pub(super) fn held_in(past: &Tracker, updates: &mut Vec<u32>, otherwise: &str) -> Finding {
    let updates = std::mem::take(updates);
    match (updates.is_empty(), past.updates(), past.under_way()) {
        (false, ..) => Finding::Held { updates },
        (true, 0, _) => not_applicable("no update was seen"),
        (true, 1, Some(_)) => not_applicable("the update was not seen to its end"),
        (true, ..) => not_applicable(otherwise),
    }
}

pub(super) fn not_applicable(reason: &str) -> Finding {
    Finding::NotApplicable { reason: reason.to_string() }
}
