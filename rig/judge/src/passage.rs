//! How long CPUs take from one step to the next: from the last acknowledgement of a step until the last CPU has left it, that
//! is until it has seen the next step. From the last step each CPU leaves by itself, and none waits for another.

use crate::Step;
use crate::timeline::{Decoder, Event, EventsError, EventsReader, What, Word, is_mark};
use rig_wire::event::Mark;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// The passage of all CPUs from one step to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Passage {
    /// Which update, from 1.
    pub update: u32,
    /// The step that they left.
    pub step: Step,
    /// From the first acknowledgement to the last one, nanoseconds of the guest's clock.
    pub acks_ns: u64,
    /// From the last acknowledgement until the last CPU had left, nanoseconds of the guest's clock.
    pub leave_ns: u64,
}

/// Reads the passages of a recorded run. A step that not all LPs left, as after a failure, has none.
pub fn passages(events: &Path) -> Result<Vec<Passage>, EventsError> {
    let reader = EventsReader::open(events)?;
    let decoder = Decoder::new(reader.setup());
    let mut all = Passages::new(usize::from(reader.setup().lps));
    for record in reader {
        all.observe(&decoder.decode(&record?));
    }
    Ok(all.done)
}

/// What is known of one step of the update under way.
#[derive(Clone, Copy, Debug, Default)]
struct Open {
    first_ack_ns: u64,
    last_ack_ns: u64,
    last_left_ns: u64,
    left: usize,
}

#[derive(Debug)]
struct Passages {
    update: u32,
    /// The step that each LP saw last.
    seen: Vec<u64>,
    open: [Open; Step::ALL.len()],
    done: Vec<Passage>,
}

impl Passages {
    fn new(lps: usize) -> Self {
        Self { update: 0, seen: vec![0; lps], open: Default::default(), done: Vec::new() }
    }

    fn observe(&mut self, event: &Event<'_>) {
        let now_ns = event.record.guest_ns;
        match (event.what, event.lp().map(usize::from).filter(|lp| *lp < self.seen.len())) {
            (What::Mark(mark), _) if is_mark(mark, Mark::UpdateBegin) => {
                *self = Self {
                    update: self.update + 1,
                    done: std::mem::take(&mut self.done),
                    ..Self::new(self.seen.len())
                };
            }
            (What::Store(Word::NumAck, count), Some(lp)) if count != 0 => self.acked(self.seen[lp], now_ns),
            // Whoever advances the step has left the one before, and reads nothing new.
            (What::Store(Word::State, to) | What::Load(Word::State, to), Some(lp)) => self.saw(lp, to, now_ns),
            _ => {}
        }
    }

    fn acked(&mut self, step: u64, now_ns: u64) {
        if let Some(open) = self.open.get_mut(step as usize) {
            open.last_ack_ns = open.last_ack_ns.max(now_ns);
            open.first_ack_ns = if open.first_ack_ns == 0 { now_ns } else { open.first_ack_ns.min(now_ns) };
        }
    }

    fn saw(&mut self, lp: usize, to: u64, now_ns: u64) {
        let from = std::mem::replace(&mut self.seen[lp], to);
        let waits = |step: &Step| (Step::Shutdown..=Step::RunUpdate).contains(step) && to == from + 1;
        let Some(step) = Step::from_number(from).filter(waits) else { return };
        let all = self.seen.len();
        let open = &mut self.open[from as usize];
        open.left += 1;
        open.last_left_ns = open.last_left_ns.max(now_ns);
        if open.left == all && open.last_ack_ns != 0 {
            self.done.push(Passage {
                update: self.update,
                step,
                acks_ns: open.last_ack_ns - open.first_ack_ns,
                leave_ns: open.last_left_ns.saturating_sub(open.last_ack_ns),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rig_wire::event::Record;

    fn of(name: &str) -> Vec<Passage> {
        passages(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)).unwrap()
    }

    #[test]
    fn a_recorded_update_has_a_passage_for_each_step() {
        for (name, updates) in [("in-tree-4.events.bin", 1), ("in-tree-16.events.bin", 2)] {
            let passages = of(name);
            let steps: Vec<Step> = passages.iter().map(|p| p.step).collect();
            assert_eq!(steps, Step::ALL[1..5].repeat(updates), "{name}: {passages:?}");
            assert!(passages.iter().all(|p| p.leave_ns > 0 && p.leave_ns < 1_000_000_000), "{passages:?}");
        }
    }

    /// Whoever reads a damaged recording must not fall over an LP that the machine does not have.
    #[test]
    fn an_lp_that_is_not_there_is_left_out() {
        let mut passages = Passages::new(2);
        for lp in [2, 3, u16::MAX] {
            for what in [What::Load(Word::State, 1), What::Store(Word::NumAck, 1)] {
                passages.observe(&Event { record: &Record { lp, ..Record::default() }, what });
            }
        }
        assert!(passages.done.is_empty());
    }

    /// Who acknowledged first and last, and who saw the next step last, at other times than the beginning of time.
    #[test]
    fn a_passage_is_timed_from_its_acknowledgements() {
        let mut passages = Passages::new(2);
        let mut at = |guest_ns, lp, what| {
            passages.observe(&Event { record: &Record { lp, guest_ns, ..Record::default() }, what });
        };
        at(90, 0, What::Mark(Mark::UpdateBegin as u64));
        at(100, 0, What::Store(Word::State, 1));
        at(110, 1, What::Load(Word::State, 1));
        at(120, 0, What::Store(Word::NumAck, 1));
        at(150, 1, What::Store(Word::NumAck, 2));
        at(151, 1, What::Store(Word::State, 2));
        at(152, 1, What::Store(Word::NumAck, 0));
        at(180, 0, What::Load(Word::State, 2));
        assert_eq!(passages.done, [Passage { update: 1, step: Step::Shutdown, acks_ns: 30, leave_ns: 30 }]);
    }

    /// The counter may be reset before the state advances, and marks of other kinds may stand anywhere: neither is an
    /// acknowledgement, or begins an update.
    #[test]
    fn neither_a_reset_nor_another_mark_changes_a_passage() {
        let mut passages = Passages::new(1);
        let events = [
            What::Mark(Mark::UpdateBegin as u64),
            What::Store(Word::State, 1),
            What::Store(Word::NumAck, 1),
            What::Mark(Mark::HostTook as u64),
            What::Store(Word::NumAck, 0),
            What::Load(Word::State, 2),
        ];
        for (guest_ns, what) in (100..).zip(events) {
            passages.observe(&Event { record: &Record { guest_ns, ..Record::default() }, what });
        }
        assert_eq!(passages.done, [Passage { update: 1, step: Step::Shutdown, acks_ns: 0, leave_ns: 3 }]);
    }

    /// An LP that was in one step and is in the step after the next was not seen to leave the first.
    #[test]
    fn a_step_that_is_skipped_has_none() {
        let mut passages = Passages::new(1);
        for what in [What::Store(Word::State, 1), What::Store(Word::NumAck, 1), What::Store(Word::State, 3)] {
            passages.observe(&Event { record: &Record { guest_ns: 100, ..Record::default() }, what });
        }
        assert_eq!(passages.done, []);
    }

    #[test]
    fn a_step_that_failed_has_none() {
        let steps: Vec<Step> = of("install-fails-4.events.bin").iter().map(|p| p.step).collect();
        assert_eq!(steps, [Step::Shutdown]);
    }
}
