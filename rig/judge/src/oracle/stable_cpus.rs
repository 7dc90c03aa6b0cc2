//! The online set does not change during an update.

use super::rule::{Rule, held_in};
use crate::Invariant;
use crate::finding::{Breach, Finding};
use crate::run_end::RunEnd;
use crate::timeline::{Event, Place, What, Word};
use crate::tracker::Tracker;
use crate::update::Update;

#[derive(Debug, Default)]
pub(crate) struct StableCpus {
    held: Vec<u32>,
}

impl Rule for StableCpus {
    fn invariant(&self) -> Invariant {
        Invariant::StableCpus
    }

    fn observe(&mut self, past: &Tracker, event: &Event<'_>) -> Option<Breach> {
        let (lp, update) = (event.lp()?, past.under_way()?);
        match event.what {
            What::Enter(Place::SetOnline) => Some(
                past.breach(Invariant::StableCpus, &[lp], None)
                    .expected("no CPU comes or goes during an update")
                    .seen(format!("CPU {lp} changes the online set"))
                    .events(past.cite([&update.begun, event.record])),
            ),
            What::Load(Word::NumOnline, now) => {
                miscounts(past, update, event, lp, now).or_else(|| recount(past, update, event, lp, now))
            }
            _ => None,
        }
    }

    fn update_ended(&mut self, past: &Tracker, update: &Update) -> Option<Breach> {
        let observed = past.decoder.follows(Place::SetOnline) || update.num_online.is_some();
        let was_entered = update.was_entered(past.decoder.follows(Place::Install));
        self.held.extend((observed && was_entered).then_some(update.number));
        None
    }

    fn finish(&mut self, past: &Tracker, _end: &RunEnd) -> Finding {
        let recorded = past.decoder.follows(Place::SetOnline) || past.decoder.watches(Word::NumOnline);
        let otherwise =
            if recorded { "no update came to its end" } else { "changes of the online set were not recorded" };
        held_in(past, &mut self.held, otherwise)
    }
}

/// The kernel counts another number of CPUs than were seen to come online: a subset of them would update.
fn miscounts(past: &Tracker, update: &Update, event: &Event<'_>, lp: u16, now: u64) -> Option<Breach> {
    let online = update.online.len() as u64;
    (past.setup.knows_online && now != online).then(|| {
        past.breach(Invariant::StableCpus, &[lp], None)
            .expected(format!("the kernel counts the {online} CPUs that came online and did not leave"))
            .seen(format!("CPU {lp} reads {now} as the number of online CPUs"))
            .events(past.cite([&update.begun, event.record]))
    })
}

fn recount(past: &Tracker, update: &Update, event: &Event<'_>, lp: u16, now: u64) -> Option<Breach> {
    let (before, record) = update.num_online.filter(|(before, _)| *before != now)?;
    Some(
        past.breach(Invariant::StableCpus, &[lp], None)
            .expected(format!("{before} CPUs are online throughout the update"))
            .seen(format!("the kernel counts {now}"))
            .events(past.cite([&record, event.record])),
    )
}
