//! Never two LPs inside P-SEAMLDR.

use super::rule::{Rule, held_in};
use crate::Invariant;
use crate::finding::{Breach, Finding};
use crate::run_end::RunEnd;
use crate::timeline::{Event, Leaf, Status, What};
use crate::tracker::Tracker;
use crate::update::Update;
use rig_wire::event::flags;

#[derive(Debug, Default)]
pub(crate) struct SerialLoader {
    /// The last update in which P-SEAMLDR was called, and those in which all went well.
    called_in: u32,
    held: Vec<u32>,
}

impl Rule for SerialLoader {
    fn invariant(&self) -> Invariant {
        Invariant::SerialLoader
    }

    fn observe(&mut self, past: &Tracker, event: &Event<'_>) -> Option<Breach> {
        let lp = event.lp()?;
        match event.what {
            What::CallEnter(leaf) if leaf.is_seamldr() => {
                self.called_in = past.update_of(lp).map_or(self.called_in, |update| update.serial);
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

    fn update_ended(&mut self, _past: &Tracker, update: &Update) -> Option<Breach> {
        self.held.extend((self.called_in == update.serial).then_some(update.number));
        None
    }

    fn finish(&mut self, past: &Tracker, _end: &RunEnd) -> Finding {
        held_in(past, &mut self.held, "no update called P-SEAMLDR")
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
