//! Interrupts are disabled at every SEAMCALL inside the lockstep region, and at everything else that is recorded of a CPU
//! between its entry and its exit; no interrupt or exception is taken with RFLAGS.IF set there.

use super::rule::{Rule, held_in};
use crate::Invariant;
use crate::finding::{Breach, Finding};
use crate::run_end::RunEnd;
use crate::timeline::{Event, Place, What};
use crate::tracker::Tracker;
use crate::update::Update;
use rig_wire::event::{Kind, flags};

#[derive(Debug, Default)]
pub(crate) struct InterruptsOff {
    /// The last update in which a call was made, and those in which all went well.
    called_in: u32,
    held: Vec<u32>,
}

impl Rule for InterruptsOff {
    fn invariant(&self) -> Invariant {
        Invariant::InterruptsOff
    }

    fn observe(&mut self, past: &Tracker, event: &Event<'_>) -> Option<Breach> {
        let lp = event.lp()?;
        let update = past.update_of(lp).or(past.under_way().filter(|_| event.what == What::Enter(Place::Install)))?;
        let is_on = event.record.flags & flags::IF != 0;
        let follows = past.decoder.follows(Place::Install);
        match event.what {
            What::CallEnter(leaf) if leaf.step().is_some() || follows => {
                self.called_in = update.serial;
                is_on.then(|| {
                    breach(past, event, lp).seen(format!("CPU {lp} runs {} with interrupts enabled", leaf.name()))
                })
            }
            // Recorders that do not know leave the flag clear.
            What::Load(..) | What::Store(..) | What::Enter(_) | What::Exit(..) if is_on && follows => {
                Some(breach(past, event, lp).seen(format!("CPU {lp} {}", past.decoder.describe(event.record))))
            }
            What::Other if is_on && follows && event.record.kind == Kind::Interrupt as u16 => {
                let taken = "takes an interrupt or an exception with interrupts enabled, inside the section";
                Some(breach(past, event, lp).seen(format!("CPU {lp} {taken}")))
            }
            _ => None,
        }
    }

    fn update_ended(&mut self, _past: &Tracker, update: &Update) -> Option<Breach> {
        self.held.extend((self.called_in == update.serial).then_some(update.number));
        None
    }

    fn finish(&mut self, past: &Tracker, _end: &RunEnd) -> Finding {
        held_in(past, &mut self.held, "no SEAMCALL was made inside the section")
    }
}

fn breach(past: &Tracker, event: &Event<'_>, lp: u16) -> Breach {
    past.breach(Invariant::InterruptsOff, &[lp], past.step_of(lp))
        .expected("interrupts are disabled throughout the lockstep section")
        .events(past.cite([event.record]))
}
