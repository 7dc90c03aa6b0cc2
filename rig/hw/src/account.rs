//! Who did what in which order in a recorded update: what two recorders of the same update must agree on.
//!
//! The emulator and kprobes do not record at the same instants. Where CPUs run freely beside each other the two may order them
//! differently; what each CPU does in itself, and all that happens under a lock, must be the same.

use rig_judge::Setup;
use rig_judge::timeline::{Decoder, Leaf, Place, Status, What, Word};
use rig_wire::event::Record;
use std::collections::BTreeMap;

/// One step of one CPU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// It entered the lockstep section.
    Entered,
    /// It saw this state.
    Saw(u64),
    /// It called this leaf of an update.
    Called(Leaf),
    /// That call ended so.
    Returned(Leaf, Status),
    /// It acknowledged, as the one with this number.
    Acknowledged(u64),
    /// It left the section with this result.
    Left(i32),
}

/// One update.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// What each CPU did.
    pub cpus: BTreeMap<u16, Vec<Step>>,
    /// Acknowledgements in their order: the CPU and the counter.
    pub acknowledgements: Vec<(u16, u64)>,
    /// The states that were stored, and by which CPU, in their order.
    pub states: Vec<(u16, u64)>,
    /// INSTALL and the steps of the lead CPU in the order in which they began, which a lock and the state machine force.
    pub serial_calls: Vec<(u16, Leaf)>,
}

/// The updates of a recorded run, one after another; an update begins when a CPU enters the section that none is in.
pub fn account(setup: &Setup, records: impl IntoIterator<Item = Record>) -> Vec<Account> {
    let decoder = Decoder::new(setup);
    let mut all: Vec<Account> = Vec::new();
    let mut inside = std::collections::BTreeSet::new();
    for record in records {
        let event = decoder.decode(&record);
        let Some(lp) = event.lp() else { continue };
        if event.what == What::Enter(Place::Install) {
            if inside.is_empty() {
                all.push(Account::default());
            }
            inside.insert(lp);
        }
        if !inside.contains(&lp) {
            continue;
        }
        let account = all.last_mut().expect("who is inside has entered");
        account.take(lp, event.what);
        if matches!(event.what, What::Exit(Place::Install, _)) {
            inside.remove(&lp);
        }
    }
    all
}

impl Account {
    fn take(&mut self, lp: u16, what: What) {
        let step = match what {
            What::Enter(Place::Install) => Step::Entered,
            What::Exit(Place::Install, result) => Step::Left(result),
            What::Load(Word::State, state) => Step::Saw(state),
            What::CallEnter(leaf) if leaf.step().is_some() => {
                if !matches!(leaf, Leaf::SYS_INIT | Leaf::LP_INIT) {
                    self.serial_calls.push((lp, leaf));
                }
                Step::Called(leaf)
            }
            What::CallExit(leaf, status) if leaf.step().is_some() => Step::Returned(leaf, status),
            What::Store(Word::NumAck, number) if number != 0 => {
                self.acknowledgements.push((lp, number));
                Step::Acknowledged(number)
            }
            What::Store(Word::State, state) => return self.states.push((lp, state)),
            _ => return,
        };
        self.cpus.entry(lp).or_default().push(step);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rig_judge::synthetic::Synthetic;

    #[test]
    fn every_cpu_has_its_steps() {
        let run = Synthetic::plain(3, 2);
        let all = account(&run.setup, run.records.clone());
        assert_eq!(all.len(), 2);
        for update in &all {
            assert_eq!(update.cpus.len(), 3);
            assert_eq!(update.acknowledgements.len(), 15, "five steps of three CPUs");
            assert_eq!(update.states.iter().map(|(_, state)| *state).collect::<Vec<_>>()[..4], [2, 3, 4, 5]);
            let serial: Vec<Leaf> = update.serial_calls.iter().map(|(_, leaf)| *leaf).collect();
            assert_eq!(serial, [Leaf::SHUTDOWN, Leaf::INSTALL, Leaf::INSTALL, Leaf::INSTALL, Leaf::UPDATE]);
            let second = &update.cpus[&1];
            assert_eq!((second.first(), second.last()), (Some(&Step::Entered), Some(&Step::Left(0))));
        }
    }

    /// The twin: two recordings that differ in one acknowledgement do not agree.
    #[test]
    fn another_order_of_acknowledgements_is_another_account() {
        let run = Synthetic::plain(3, 1);
        let mut swapped = run.records.clone();
        let acks: Vec<usize> = (0..swapped.len())
            .filter(|at| {
                let decoder = Decoder::new(&run.setup);
                matches!(decoder.decode(&swapped[*at]).what, What::Store(Word::NumAck, n) if n != 0)
            })
            .collect();
        let (first, second) = (swapped[acks[0]].lp, swapped[acks[1]].lp);
        (swapped[acks[0]].lp, swapped[acks[1]].lp) = (second, first);
        assert_ne!(account(&run.setup, run.records.clone()), account(&run.setup, swapped));
    }
}
