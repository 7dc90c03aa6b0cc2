//! Outside updates two or more LPs were seen inside the module at once, from process and from interrupt context.
//!
//! A demand on the scenario's load rather than on the kernel alone: it shows that the other invariants were judged under
//! the traffic that they are about.

use super::Rule;
use crate::Invariant;
use crate::finding::Finding;
use crate::judge::RunEnd;
use crate::timeline::{Event, Leaf, What};
use crate::tracker::Tracker;
use rig_wire::event::{Record, flags};

#[derive(Debug, Default)]
pub(crate) struct Concurrency {
    overlaps: u64,
    from_process: u64,
    from_interrupt: u64,
    unknown: u64,
    last: Option<Record>,
}

impl Rule for Concurrency {
    fn invariant(&self) -> Invariant {
        Invariant::Concurrency
    }

    fn observe(&mut self, past: &Tracker, event: &Event<'_>) -> Option<crate::Breach> {
        let What::CallEnter(leaf) = event.what else { return None };
        if leaf.is_seamldr() || past.under_way().is_some() {
            return None;
        }
        match event.record.flags & (flags::CONTEXT_KNOWN | flags::HARDIRQ) {
            f if f & flags::CONTEXT_KNOWN == 0 => self.unknown += 1,
            flags::CONTEXT_KNOWN => self.from_process += 1,
            _ => self.from_interrupt += 1,
        }
        let other = |call: &&Record| Some(call.lp) != event.lp() && !Leaf::of(call).is_seamldr();
        self.overlaps += u64::from(past.calls.iter().flatten().any(|call| other(&call)));
        self.last = Some(*event.record);
        None
    }

    fn finish(&mut self, past: &Tracker, end: &RunEnd) -> Finding {
        let not_applicable = |reason: &str| Finding::NotApplicable { reason: reason.into() };
        if !past.setup.load.concurrency {
            return not_applicable("the scenario has no load of SEAMCALLs");
        }
        if self.overlaps > 0 && self.from_process > 0 && self.from_interrupt > 0 {
            return Finding::Held;
        }
        if *end != RunEnd::Finished {
            return not_applicable("the run ended before the load could show it");
        }
        if self.from_process + self.from_interrupt == 0 && self.unknown > 0 {
            return not_applicable("the context of SEAMCALLs was not recorded");
        }
        let breach = past
            .breach(Invariant::Concurrency, &[], None)
            .expected("outside updates LPs are inside the module at once, from process and from interrupt context")
            .seen(format!(
                "{} overlapping SEAMCALLs, {} from process context, {} from interrupt context",
                self.overlaps, self.from_process, self.from_interrupt
            ))
            .events(past.cite(self.last.iter()));
        Finding::Broken(Box::new(breach))
    }
}
