//! After a CPU failed, no CPU begins a later step, all leave, and the uploader is told.

use super::rule::{Rule, held_in};
use crate::finding::{Breach, Finding};
use crate::run_end::RunEnd;
use crate::timeline::{Event, Leaf, What, Word, is_mark};
use crate::tracker::Tracker;
use crate::update::{Failure, Update};
use crate::{Invariant, Step};
use rig_wire::event::{Kind, Mark, Record, UpdateOutcome, update_ended};

#[derive(Debug, Default)]
pub(crate) struct StopOnFailure {
    /// CPUs failed in so many updates.
    failures: u32,
    /// Of these, the updates of whose failure the uploader was told.
    held: Vec<u32>,
    /// The failure of the last update, until the uploader's outcome comes.
    untold: Option<(u32, Failure)>,
    /// Where the last upload began, by its record's place.
    upload_begun: u64,
}

impl Rule for StopOnFailure {
    fn invariant(&self) -> Invariant {
        Invariant::StopOnFailure
    }

    fn observe(&mut self, past: &Tracker, event: &Event<'_>) -> Option<Breach> {
        if let What::Mark(mark) = event.what {
            if is_mark(mark, Mark::UpdateBegin) {
                (self.untold, self.upload_begun) = (None, event.record.seq);
            }
            return if is_mark(mark, Mark::UpdateEnd) { self.told(past, event.record) } else { None };
        }
        if let Some(breach) = initialises_regardless(past, event) {
            return Some(breach);
        }
        let failure = past.failure()?;
        let failed_in = failure.step?;
        let begun = match event.what {
            What::CallEnter(leaf) => past.update_of(event.lp()?).and(leaf.step()),
            What::Store(Word::State, to) => Some(Step::from_number(to).unwrap_or(Step::Done)),
            _ => None,
        };
        let unread = is_read(&failure.record) && begun == Some(Step::Shutdown);
        let begun = begun.filter(|step| *step > failed_in || unread)?;
        Some(
            past.breach(Invariant::StopOnFailure, &[event.lp()?], Some(begun))
                .expected(format!("no CPU begins a later step after CPU {} failed in {failed_in}", failure.lp))
                .seen(format!("CPU {} goes on to {begun}", event.record.lp))
                .events(past.cite([&failure.record, event.record])),
        )
    }

    fn update_ended(&mut self, past: &Tracker, update: &Update) -> Option<Breach> {
        let failure = update.failure.as_ref()?;
        self.failures += 1;
        if update.begun.seq >= self.upload_begun {
            self.untold = Some((update.number, failure.clone()));
        }
        stayed(past, update, failure)
    }

    fn finish(&mut self, past: &Tracker, end: &RunEnd) -> Finding {
        if let (RunEnd::Hung { .. }, Some(update)) = (end, past.under_way())
            && let Some(breach) = update.failure.as_ref().and_then(|failure| stayed(past, update, failure))
        {
            return Finding::Broken(Box::new(breach));
        }
        let otherwise = match self.failures {
            0 => "no CPU failed in an update",
            _ => "a CPU failed, and what the uploader was told of it was not read back",
        };
        held_in(past, &mut self.held, otherwise)
    }
}

impl StopOnFailure {
    fn told(&mut self, past: &Tracker, record: &Record) -> Option<Breach> {
        // The mark may come while the update still counts as under way, because a CPU never left.
        let open = past.under_way().and_then(|u| Some((u.number, u.failure.clone()?)));
        let (number, failure) = self.untold.take().or(open)?;
        let (_, outcome) = update_ended(record.b);
        if outcome == UpdateOutcome::Failed {
            self.held.push(number);
        }
        (outcome == UpdateOutcome::Succeeded).then(|| {
            let mut breach = past.breach(Invariant::StopOnFailure, &[failure.lp], failure.step);
            breach.update = Some(number);
            breach
                .expected("the uploader is told that the update failed")
                .seen(format!("CPU {} failed, and the uploader is told of success", failure.lp))
                .events(past.cite([&failure.record, record]))
        })
    }
}

/// LP.INIT begins although SYS.INIT failed, which belongs to the same step. The module refuses that, so the update fails
/// whether the kernel looked at SYS.INIT's status or not.
fn initialises_regardless(past: &Tracker, event: &Event<'_>) -> Option<Breach> {
    let What::CallEnter(Leaf::LP_INIT) = event.what else { return None };
    let lp = event.lp()?;
    let failed = past.update_of(lp)?.sys_init_failed?;
    Some(
        past.breach(Invariant::StopOnFailure, &[lp], Some(Step::CpuInit))
            .expected(format!("no CPU makes LP.INIT after SYS.INIT failed on CPU {}", failed.lp))
            .seen(format!("CPU {lp} goes on to LP.INIT"))
            .events(past.cite([&failed, event.record])),
    )
}

/// A SYS.RD: in an update a failure of it is one of reading what SHUTDOWN needs.
fn is_read(record: &Record) -> bool {
    record.kind == Kind::SeamcallExit as u16 && Leaf::of(record) == Leaf::SYS_RD
}

/// CPUs that stay in the section after a failure although no SEAMCALL keeps them.
fn stayed(past: &Tracker, update: &Update, failure: &Failure) -> Option<Breach> {
    let calling = |lp: &u16| past.calls.get(usize::from(*lp)).is_some_and(Option::is_some);
    let lps: Vec<u16> = update.inside.iter().filter(|lp| !calling(lp)).collect();
    let last: Vec<Record> =
        lps.iter().take(8).filter_map(|lp| past.last.get(usize::from(*lp)).copied().flatten()).collect();
    (!lps.is_empty()).then(|| {
        let mut breach = past.breach(Invariant::StopOnFailure, &lps, failure.step);
        breach.update = Some(update.number);
        breach
            .expected(format!("every CPU leaves the section after CPU {} failed", failure.lp))
            .seen("they stay in the section")
            .events(past.cite(last.iter().chain([&failure.record])))
    })
}
