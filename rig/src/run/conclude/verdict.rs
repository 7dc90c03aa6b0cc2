//! From what is known of a run to its verdict, and its files.

use super::evidence::Evidence;
use super::expected;
use super::facts::facts;
use super::holds;
use super::program_files::{keep_clients, keep_orders};
use super::recorded::Recorded;
use super::remedy::remedy;
use super::reports::write_reports;
use crate::run::folder::EVENTS;
use crate::run::record::run_record::RunRecord;
use crate::trouble::Trouble;
use rig_judge::timeline::{EventsError, EventsReader};
use rig_judge::verdict::HoldReport;
use rig_judge::{Outcome, RunEnd, Verdict};

/// Files that only the study of a failure needs.
const LARGE_FILES: [&str; 1] = ["module.bin"];

/// Makes the verdict and writes it.
pub(crate) fn conclude(run: &RunRecord) -> Result<Verdict, Trouble> {
    let (folder, scenario, blind) = (&run.description.folder, &run.description.scenario, run.conditions.blind);
    let (recorded, end) = match recorded(run) {
        Ok(recorded) => (recorded, run.end.clone()),
        // There is none to read, or the run has ended for a reason of its own that comes first.
        Err(_) if blind || matches!(run.end, RunEnd::Lost { .. }) => (Recorded::default(), run.end.clone()),
        Err(cause) => (Recorded::default(), RunEnd::Lost { cause }),
    };
    let (holds, log) = (hold_reports(run), folder.kernel_log());
    let mut facts = facts(run, &log);
    facts.holds.clone_from(&holds);
    let evidence = Evidence {
        guest: &run.guest,
        end: &end,
        findings: &run.findings,
        recorded: &recorded,
        holds: &holds,
        log: &log,
        unobservable: &run.description.setup.unobservable,
        blind,
        exploring: run.conditions.exploring,
    };
    let mut verdict = expected::verdict(scenario, facts, &evidence);
    verdict.remedy = verdict.remedy.take().or_else(|| remedy(&verdict, run.interrupted).map(Into::into));
    write_reports(&run.description, &verdict)?;
    keep_orders(folder, &run.guest.hw)?;
    keep_clients(folder, &run.guest.clients)?;
    if matches!(verdict.verdict, Outcome::Passed | Outcome::Xfail) && !run.description.keep {
        // What a passed run leaves should be small; what is gone already needs no removing.
        for name in LARGE_FILES {
            let _ = std::fs::remove_file(folder.file(name));
        }
    }
    Ok(verdict)
}

/// What the recording shows beside what the judge found in it, or why it cannot be read. One that ends in the middle of a record is
/// read so far: the end of the run explains that already.
fn recorded(run: &RunRecord) -> Result<Recorded, String> {
    let cannot = |error: EventsError| format!("the recording cannot be read: {error}");
    let mut failure = None;
    let events = EventsReader::open(&run.description.folder.file(EVENTS)).map_err(cannot)?;
    let records = events.map_while(|record| match record {
        Ok(record) => Some(record),
        Err(EventsError::Truncated { .. }) => None,
        Err(error) => {
            failure = Some(error);
            None
        }
    });
    let recorded = Recorded::of(&run.description.scenario.faults, records);
    failure.map_or(Ok(recorded), |error| Err(cannot(error)))
}

/// What became of the holds, from the recorded events.
fn hold_reports(run: &RunRecord) -> Vec<HoldReport> {
    let schedules = &run.conditions.schedules;
    if schedules.iter().all(Vec::is_empty) {
        return Vec::new();
    }
    match EventsReader::open(&run.description.folder.file(EVENTS)) {
        Ok(events) => holds::report(schedules, &run.description.setup.watches, events.map_while(Result::ok)),
        Err(_) => holds::report(schedules, &run.description.setup.watches, []),
    }
}
