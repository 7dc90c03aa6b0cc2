//! The judge: every event goes in, breaches and findings come out.

use crate::finding::{Breach, Finding};
use crate::verdict::Unmodelled;
use crate::{Invariant, Setup};
use rig_wire::event::Record;
use std::collections::BTreeMap;

/// How a run came to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunEnd {
    /// All that the scenario asked for was done, and its outcome read back.
    Finished,
    /// The rig stopped the run at the first breach.
    Stopped,
    /// The guest made no progress within its budget.
    Hung {
        /// What the rig was waiting for, in one line.
        what: String,
    },
    /// The guest's kernel crashed.
    Crashed {
        /// What the console says, in one line.
        what: String,
    },
    /// Events were lost or the emulator died, so that nothing can be said of the subject.
    Lost {
        /// Why, in one line.
        cause: String,
    },
}

/// What was found at the end of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Findings {
    /// Each invariant.
    pub invariants: BTreeMap<Invariant, Finding>,
    /// Leaves that the emulated firmware does not model but the guest called.
    pub unmodelled: Vec<Unmodelled>,
    /// Events that were judged.
    pub events: u64,
}

/// Judges a run while it is under way. It holds a state per LP and per invariant, never the events themselves.
#[derive(Debug)]
pub struct Judge {
    #[expect(dead_code, reason = "the oracle is still to come")]
    setup: Setup,
    events: u64,
}

impl Judge {
    /// A judge of a run that has not begun.
    pub fn new(setup: Setup) -> Self {
        Self { setup, events: 0 }
    }

    /// Judges the next event in the global order. Returns the first breach of an invariant that it shows.
    pub fn observe(&mut self, _record: &Record) -> Option<Breach> {
        self.events += 1;
        None
    }

    /// Judges one line of the guest's console, without its line end.
    pub fn console_line(&mut self, _line: &str, _guest_us: Option<u64>) -> Option<Breach> {
        None
    }

    /// Judges what can only be judged at the end.
    pub fn finish(self, _end: &RunEnd) -> Findings {
        let reason = "not judged yet".to_string();
        let none = |i| (i, Finding::NotApplicable { reason: reason.clone() });
        Findings {
            invariants: Invariant::ALL.into_iter().map(none).collect(),
            unmodelled: Vec::new(),
            events: self.events,
        }
    }
}
