//! What was seen of each update as a whole: how long its CPUs took to gather, the first SEAMCALL that failed, and its TDs.

use crate::attempt::FailedCall;
use crate::timeline::{Event, Place, What, Word};
use crate::tracker::Tracker;
use rig_wire::event::Kind;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// One update whose section was seen to begin.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UpdateFigures {
    /// Which update of the run, from 1: the number of its upload where uploads are announced.
    pub update: u32,
    /// The upload that it belongs to, by its number from 1; 0: no upload was announced.
    pub upload: u32,
    /// How `stop_machine` gathered the CPUs; none: it was not observed, or the guest's clock was not read.
    pub gathering: Option<Gathering>,
    /// The first SEAMCALL of its steps that failed and is not retried.
    pub failed_call: Option<FailedCall>,
    /// TDs of the old module at SHUTDOWN.
    pub tds_before: u32,
    /// TDs of the new module at UPDATE.
    pub tds_after: u32,
}

/// How `stop_machine` gathered the CPUs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Gathering {
    /// When it began, nanoseconds of guest time: the kernel stored the first state.
    pub began_ns: u64,
    /// From there to the first CPU's entry into the install function, nanoseconds. By then all CPUs are gathered.
    pub took_ns: u64,
}

/// Longest run of which each update is kept.
const UPDATES_MAX: usize = 1000;
/// [`Kind::TdDigest`]'s `c` for a digest that SHUTDOWN took.
const AT_SHUTDOWN: u64 = 1;
/// [`Kind::TdDigest`]'s `c` for a digest that UPDATE took.
const AT_UPDATE: u64 = 2;

/// Collects [`UpdateFigures`] while a run is judged.
#[derive(Debug, Default)]
pub(crate) struct FiguresTally {
    done: Vec<UpdateFigures>,
    open: Open,
}

/// The update under way.
#[derive(Debug, Default)]
struct Open {
    /// Which update it is, from 1; 0: none.
    serial: u32,
    figures: UpdateFigures,
    /// When the kernel stored the first state, until a CPU enters the install function.
    prepared_ns: Option<u64>,
    before: BTreeSet<u64>,
    after: BTreeSet<u64>,
}

impl FiguresTally {
    /// Takes an event, with the past before it.
    pub(crate) fn observe(&mut self, past: &Tracker, event: &Event<'_>) {
        let Some((serial, update)) = past.under_way().map(|update| (update.serial, update.number)) else { return };
        if self.open.serial != serial {
            self.close();
            let upload = past.upload.unwrap_or(0);
            let figures = UpdateFigures { update, upload, ..UpdateFigures::default() };
            self.open = Open { serial, figures, ..Open::default() };
        }
        self.open.observe(event);
    }

    fn close(&mut self) {
        let Open { serial, mut figures, before, after, .. } = std::mem::take(&mut self.open);
        if serial != 0 && self.done.len() < UPDATES_MAX {
            (figures.tds_before, figures.tds_after) = (before.len() as u32, after.len() as u32);
            self.done.push(figures);
        }
    }

    /// All updates, in order.
    pub(crate) fn finish(mut self) -> Vec<UpdateFigures> {
        self.close();
        self.done
    }
}

impl Open {
    fn observe(&mut self, event: &Event<'_>) {
        let record = event.record;
        match event.what {
            What::Store(Word::State, 1) => self.prepared_ns = Some(record.guest_ns).filter(|ns| *ns != 0),
            What::Enter(Place::Install) => {
                if let Some(began_ns) = self.prepared_ns.take() {
                    let took_ns = record.guest_ns.saturating_sub(began_ns);
                    self.figures.gathering = Some(Gathering { began_ns, took_ns });
                }
            }
            What::CallExit(leaf, status) if leaf.step().is_some() && !status.is_success() && !status.is_retried() => {
                let failed = || FailedCall { lp: record.lp, leaf: leaf.name(), status: status.name() };
                self.figures.failed_call.get_or_insert_with(failed);
            }
            What::Other if record.kind == Kind::TdDigest as u16 => match record.c {
                AT_SHUTDOWN => drop(self.before.insert(record.a)),
                AT_UPDATE => drop(self.after.insert(record.a)),
                _ => {}
            },
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::UPDATES_MAX;
    use crate::Step;
    use crate::synthetic::Synthetic;
    use crate::timeline::Leaf;

    #[test]
    fn gathering_is_no_part_of_shutdown() {
        let statistics = Synthetic::plain(4, 2).judge().0.statistics;
        assert_eq!(statistics.updates.iter().map(|u| (u.update, u.upload)).collect::<Vec<_>>(), [(1, 1), (2, 2)]);
        for figures in &statistics.updates {
            let gathering = figures.gathering.unwrap();
            // The imitation's CPUs come in after 40 to 100 microseconds.
            assert!((40_000..110_000).contains(&gathering.took_ns), "{gathering:?}");
            let is_shutdown = |s: &&crate::stats::StepTiming| (s.update, s.step) == (figures.update, Step::Shutdown);
            let shutdown = statistics.steps.iter().find(is_shutdown).unwrap();
            assert_eq!(shutdown.began_ns, gathering.began_ns + gathering.took_ns);
        }
    }

    #[test]
    fn a_thousand_updates_are_told_and_no_more() {
        let updates = |count: u32| Synthetic::plain(1, count).seamcalls_only().judge().0.statistics.updates.len();
        assert_eq!((updates(UPDATES_MAX as u32), updates(UPDATES_MAX as u32 + 1)), (UPDATES_MAX, UPDATES_MAX));
    }

    /// A record of another kind may carry the number that tells a digest of SHUTDOWN.
    #[test]
    fn only_digests_count_tds() {
        let mut run = Synthetic::new(2).boot().tds(1).update();
        let shutdown = |r: &rig_wire::event::Record| Leaf::of(r) == Leaf::SHUTDOWN;
        let at = run.records.iter().position(shutdown).unwrap();
        let kind = rig_wire::event::Kind::Interrupt as u16;
        let (lp, a, c) = (0, 7, super::AT_SHUTDOWN);
        run.records.insert(at + 1, rig_wire::event::Record { lp, kind, a, c, ..Default::default() });
        run.renumber();
        let updates = run.judge().0.statistics.updates;
        assert_eq!((updates[0].tds_before, updates[0].tds_after), (1, 1));
    }

    #[test]
    fn what_is_not_seen_is_not_timed() {
        let statistics = Synthetic::plain(4, 1).seamcalls_only().judge().0.statistics;
        assert_eq!(statistics.updates[0].gathering, None);
        assert!(statistics.steps.iter().any(|s| s.step == Step::Shutdown && s.took_ns > 0), "{statistics:?}");
    }

    #[test]
    fn the_first_failure_and_the_tds_are_told() {
        let run = Synthetic::new(4).boot().tds(3).update().fault(Leaf::INSTALL, 2, 0x8000_0000_0003_0001).update();
        let updates = run.judge().0.statistics.updates;
        assert_eq!((updates[0].failed_call.clone(), updates[0].tds_before, updates[0].tds_after), (None, 3, 3));
        let failed = updates[1].failed_call.clone().unwrap();
        assert_eq!((failed.lp, failed.leaf.as_str()), (2, "INSTALL"));
        assert_eq!(failed.status, "ENOENTROPY (0x8000000000030001)");
        assert_eq!((updates[1].tds_before, updates[1].tds_after), (3, 0));
    }
}
