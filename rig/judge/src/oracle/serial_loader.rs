//! Never two LPs inside P-SEAMLDR.

use super::{Rule, held_if};
use crate::Invariant;
use crate::finding::{Breach, Finding};
use crate::judge::RunEnd;
use crate::timeline::{Event, Leaf, Status, What};
use crate::tracker::Tracker;
use rig_wire::event::flags;

#[derive(Debug, Default)]
pub(crate) struct SerialLoader {
    calls: u64,
}

impl Rule for SerialLoader {
    fn invariant(&self) -> Invariant {
        Invariant::SerialLoader
    }

    fn observe(&mut self, past: &Tracker, event: &Event<'_>) -> Option<Breach> {
        let lp = event.lp()?;
        match event.what {
            What::CallEnter(leaf) if leaf.is_seamldr() => {
                self.calls += 1;
                overlap(past, event, lp)
            }
            What::CallExit(leaf, Status::VmFailInvalid)
                if leaf.is_seamldr() && event.record.flags & flags::CONTENDED != 0 =>
            {
                Some(refused(past, event, lp, leaf))
            }
            _ => None,
        }
    }

    fn finish(&mut self, _past: &Tracker, _end: &RunEnd) -> Finding {
        held_if(self.calls > 0, "P-SEAMLDR was never called")
    }
}

fn overlap(past: &Tracker, event: &Event<'_>, lp: u16) -> Option<Breach> {
    let call = past.calls.iter().flatten().find(|call| call.lp != lp && Leaf::of(call).is_seamldr())?;
    Some(
        past.breach(Invariant::SerialLoader, &[call.lp, lp], None)
            .expected("one LP is inside P-SEAMLDR at a time")
            .seen(format!("CPU {lp} enters P-SEAMLDR while CPU {} is inside", call.lp))
            .events(past.cite([call, event.record])),
    )
}

fn refused(past: &Tracker, event: &Event<'_>, lp: u16, leaf: Leaf) -> Breach {
    let entry = past.calls.get(usize::from(lp)).copied().flatten();
    past.breach(Invariant::SerialLoader, &[lp], None)
        .expected("the kernel calls P-SEAMLDR from one LP at a time")
        .seen(format!("P-SEAMLDR refuses CPU {lp}'s {} because another LP is inside", leaf.name()))
        .events(past.cite(entry.iter().chain([event.record])))
}
