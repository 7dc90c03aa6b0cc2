//! Outside updates two or more LPs were seen inside the module at once, one from process and one from interrupt context.
//!
//! A demand on the scenario's load rather than on the kernel alone: it shows that the other invariants were judged under
//! the traffic that they are about.

use super::rule::{Rule, not_applicable};
use crate::Invariant;
use crate::finding::Finding;
use crate::run_end::RunEnd;
use crate::timeline::{Event, Leaf, What};
use crate::tracker::Tracker;
use rig_wire::event::{Record, flags};

#[derive(Debug, Default)]
pub(crate) struct Concurrency {
    overlaps: u64,
    /// Of these, the ones of a call from process context with one from interrupt context.
    mixed: u64,
    from_process: u64,
    from_interrupt: u64,
    unknown: u64,
    last: Option<Record>,
}

/// Whence a SEAMCALL is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Context {
    Process,
    Interrupt,
}

fn context(call: &Record) -> Option<Context> {
    let context = if call.flags & flags::HARDIRQ == 0 { Context::Process } else { Context::Interrupt };
    (call.flags & flags::CONTEXT_KNOWN != 0).then_some(context)
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
        let context = context(event.record);
        match context {
            None => self.unknown += 1,
            Some(Context::Process) => self.from_process += 1,
            Some(Context::Interrupt) => self.from_interrupt += 1,
        }
        let other = |call: &&Record| Some(call.lp) != event.lp() && !Leaf::of(call).is_seamldr();
        let others = || past.calls.iter().flatten().filter(other);
        let mixes = |call: &Record| self::context(call).zip(context).is_some_and(|(one, other)| one != other);
        self.overlaps += u64::from(others().next().is_some());
        self.mixed += u64::from(others().any(mixes));
        self.last = Some(*event.record);
        None
    }

    fn finish(&mut self, past: &Tracker, end: &RunEnd) -> Finding {
        if !past.setup.load.concurrency {
            return not_applicable("the scenario has no load of SEAMCALLs");
        }
        if self.mixed > 0 {
            return Finding::Held { updates: Vec::new() };
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
                "{} overlapping SEAMCALLs, {} of them from different contexts; {} calls from process context, {} from interrupt context",
                self.overlaps, self.mixed, self.from_process, self.from_interrupt
            ))
            .events(past.cite(self.last.iter()));
        Finding::Broken(Box::new(breach))
    }
}
