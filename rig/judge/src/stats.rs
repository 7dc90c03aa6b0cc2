//! Figures of a run: how long SEAMCALLs and steps took, who kept the others waiting, and what became of each update.

use crate::Step;
use crate::figures::{FiguresTally, UpdateFigures};
use crate::timeline::{Event, Leaf, Place, What, Word};
use crate::tracker::Tracker;
use hdrhistogram::Histogram;
use rig_wire::event::Record;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Figures of a run. Times are guest times; what is timed is left out when the guest's clock was not read.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Statistics {
    /// Each leaf that was called.
    pub leaves: Vec<LeafTiming>,
    /// Each step of each update.
    pub steps: Vec<StepTiming>,
    /// Each update whose section was seen to begin.
    #[serde(default)]
    pub updates: Vec<UpdateFigures>,
}

/// How long one leaf took.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LeafTiming {
    /// Its name.
    pub leaf: String,
    /// Calls that ended.
    pub calls: u64,
    /// Shortest, nanoseconds.
    pub min_ns: u64,
    /// Median, nanoseconds.
    pub p50_ns: u64,
    /// 99 of 100 were shorter, nanoseconds.
    pub p99_ns: u64,
    /// Longest, nanoseconds.
    pub max_ns: u64,
}

/// How long one step of one update took.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StepTiming {
    /// Which update of the run, from 1.
    pub update: u32,
    /// Which step.
    pub step: Step,
    /// When it began, nanoseconds of guest time: the state advanced to it, or its first SEAMCALL. SHUTDOWN begins when the first
    /// CPU enters the install function, since the kernel stores its state before `stop_machine` gathers the CPUs.
    pub began_ns: u64,
    /// From there to the last acknowledgement, or the end of its last SEAMCALL.
    pub took_ns: u64,
    /// The CPU that came last.
    pub slowest_lp: u16,
    /// What the others spent waiting for it, all added up.
    pub waited_ns: u64,
}

/// Gathers the figures while a run is judged. Holds one histogram per leaf and one time per LP.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    leaves: BTreeMap<Leaf, Histogram<u64>>,
    steps: Vec<StepTiming>,
    current: Option<OpenStep>,
    updates: FiguresTally,
}

/// Longest run that is kept; a run of more updates keeps its first steps.
const STEPS_MAX: usize = 6 * 1000;

#[derive(Debug)]
struct OpenStep {
    update: u32,
    step: Step,
    began_ns: u64,
    /// A CPU has entered the install function.
    entered: bool,
    /// When each LP was through.
    done_ns: BTreeMap<u16, u64>,
}

impl Tally {
    /// Takes an event, with the past before it.
    pub(crate) fn observe(&mut self, past: &Tracker, event: &Event<'_>) {
        self.updates.observe(past, event);
        let now_ns = event.record.guest_ns;
        let Some(lp) = event.lp().filter(|_| now_ns != 0) else { return };
        let update = past.under_way().map(|u| u.number);
        let watched = past.decoder.watches(Word::State);
        match (event.what, update) {
            (What::CallExit(leaf, _), update) => {
                self.call_ended(past, leaf, event.record);
                if let (Some(step), Some(update), false) = (leaf.step(), update, watched) {
                    self.done(update, step, lp, now_ns);
                }
            }
            (What::CallEnter(leaf), Some(update)) if !watched => {
                if let Some(step) = leaf.step() {
                    self.begin(update, step, now_ns);
                }
            }
            (What::Store(Word::State, value), Some(update)) => {
                if let Some(step) = Step::from_number(value) {
                    self.begin(update, step, now_ns);
                }
            }
            (What::Enter(Place::Install), Some(update)) => self.gathered(update, now_ns),
            (What::Store(Word::NumAck, count), Some(update)) if count != 0 => {
                let step = self.current.as_ref().map_or(Step::Shutdown, |open| open.step);
                self.done(update, step, lp, now_ns);
            }
            _ => {}
        }
    }

    fn call_ended(&mut self, past: &Tracker, leaf: Leaf, record: &Record) {
        let Some(entry) = past.calls.get(usize::from(record.lp)).copied().flatten() else { return };
        let empty = || Histogram::new(3).expect("three significant digits are allowed");
        let took_ns = record.guest_ns.saturating_sub(entry.guest_ns);
        let times = self.leaves.entry(leaf).or_insert_with(empty);
        times.record(took_ns).expect("the histogram grows with its values");
    }

    fn begin(&mut self, update: u32, step: Step, now_ns: u64) {
        if self.current.as_ref().is_none_or(|open| (open.update, open.step) != (update, step)) {
            self.close();
            self.current = Some(OpenStep { update, step, began_ns: now_ns, entered: false, done_ns: BTreeMap::new() });
        }
    }

    /// The first CPU enters the install function: what passed before was `stop_machine`'s gathering.
    fn gathered(&mut self, update: u32, now_ns: u64) {
        let is_first = |open: &&mut OpenStep| (open.update, open.step, open.entered) == (update, Step::Shutdown, false);
        if let Some(open) = self.current.as_mut().filter(is_first) {
            (open.began_ns, open.entered) = (now_ns, true);
        }
    }

    fn done(&mut self, update: u32, step: Step, lp: u16, now_ns: u64) {
        self.begin(update, step, now_ns);
        if let Some(open) = &mut self.current {
            open.done_ns.insert(lp, now_ns);
        }
    }

    fn close(&mut self) {
        let Some(open) = self.current.take() else { return };
        let last = open.done_ns.iter().max_by_key(|(_, ns)| **ns);
        if let Some((lp, last_ns)) = last.filter(|_| self.steps.len() < STEPS_MAX) {
            let waited_ns = open.done_ns.values().map(|ns| last_ns - ns).fold(0, u64::saturating_add);
            let took_ns = last_ns.saturating_sub(open.began_ns);
            let OpenStep { update, step, began_ns, .. } = open;
            self.steps.push(StepTiming { update, step, began_ns, took_ns, slowest_lp: *lp, waited_ns });
        }
    }

    pub(crate) fn finish(mut self) -> Statistics {
        self.close();
        let leaves = self.leaves.iter().map(|(leaf, times)| LeafTiming {
            leaf: leaf.name(),
            calls: times.len(),
            min_ns: times.min(),
            p50_ns: times.value_at_quantile(0.5),
            p99_ns: times.value_at_quantile(0.99),
            max_ns: times.max(),
        });
        Statistics { leaves: leaves.collect(), steps: self.steps, updates: self.updates.finish() }
    }
}

#[cfg(test)]
mod tests {
    use crate::Step;
    use crate::synthetic::Synthetic;

    #[test]
    fn steps_and_leaves_are_timed() {
        for run in [Synthetic::plain(4, 2), Synthetic::plain(4, 2).seamcalls_only()] {
            let statistics = run.judge().0.statistics;
            let install = statistics.leaves.iter().find(|l| l.leaf == "INSTALL").unwrap();
            assert_eq!(install.calls, 8);
            // The imitation draws 120 to 180 microseconds.
            assert!((120_000..181_000).contains(&install.p50_ns) && install.min_ns >= 119_900, "{install:?}");
            let steps: Vec<_> = statistics.steps.iter().filter(|s| s.step == Step::CpuInstall).collect();
            assert_eq!(steps.iter().map(|s| s.update).collect::<Vec<_>>(), [1, 2]);
            // One after the other, under the loader's lock.
            assert!(steps[0].took_ns >= 4 * 120_000 && steps[0].took_ns < 4 * 200_000, "{steps:?}");
            assert!(steps[0].waited_ns >= (1 + 2 + 3) * 120_000, "{steps:?}");
        }
    }

    #[test]
    fn the_lead_keeps_the_others_waiting_in_its_steps() {
        let statistics = Synthetic::plain(8, 1).judge().0.statistics;
        for step in statistics.steps.iter().filter(|s| matches!(s.step, Step::Shutdown | Step::RunUpdate)) {
            assert_eq!(step.slowest_lp, 0, "{step:?}");
        }
    }

    /// Five steps an update: those of the first twelve hundred are kept, and not one more.
    #[test]
    fn a_run_of_many_updates_keeps_its_first_steps() {
        let steps = Synthetic::plain(1, 1202).judge().0.statistics.steps;
        assert_eq!((steps.len(), steps.last().unwrap().update), (super::STEPS_MAX, 1200));
    }
}
