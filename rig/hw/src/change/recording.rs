//! The recording of a change: what probes and the kernel's log show, written down and judged in one go.

use crate::observe::LogLines;
use rig_judge::timeline::EventsError;
use rig_judge::{Breach, Examined, Recorder, RunEnd, Setup};
use rig_wire::event::{Kind, Mark, NO_LP, Record, UpdateOutcome, update_end};
use std::fs;
use std::path::Path;

pub(super) const EVENTS: &str = "events.bin";
pub(super) const LOG: &str = "kmsg.log";

/// What the judge says to what was recorded.
#[derive(Debug, PartialEq)]
#[must_use = "a breach, and a recording that fails, end the updates"]
pub(super) enum Judged {
    /// No invariant broke, and all was written.
    Sound,
    /// The first invariant that broke, in words.
    Broken(String),
    /// Not all was written, for this reason.
    Unwritten(String),
}

/// Events and log, which are judged as they are written.
#[derive(Debug)]
pub(super) struct Recording {
    recorder: Recorder,
    /// The description of the host that the judge has.
    pub(super) setup: Setup,
}

/// What was observed of an update.
#[derive(Debug)]
pub(super) struct ObservedUpdate<'a> {
    /// Its number, from 1.
    pub(super) number: u32,
    /// What the kernel said of it.
    pub(super) outcome: UpdateOutcome,
    /// Its events.
    pub(super) records: &'a [Record],
    /// What the kernel logged since it began.
    pub(super) log: &'a LogLines,
}

impl Recording {
    /// Begins the files in this folder.
    pub(super) fn create(folder: &Path, setup: Setup) -> Result<Self, EventsError> {
        let recorder = Recorder::create(&folder.join(EVENTS), &folder.join(LOG), setup.clone())?;
        Ok(Self { recorder, setup })
    }

    /// One update, from its beginning to its end.
    pub(super) fn update(&mut self, observed: &ObservedUpdate<'_>) -> Judged {
        let mut judged = self.mark(Mark::UpdateBegin, u64::from(observed.number));
        for record in observed.records {
            judged = judged.and(of(self.recorder.record(record)));
        }
        let us = observed.records.last().map(|record| record.guest_ns / 1000);
        judged = judged.and(self.log(observed.log, us));
        judged = judged.and(self.mark(Mark::UpdateEnd, update_end(observed.number, observed.outcome)));
        match self.recorder.fault() {
            Some(fault) => judged.and(Judged::Unwritten(fault.to_string())),
            None => judged,
        }
    }

    /// Lines of the kernel's log; `us`: the time of the event that they follow.
    pub(super) fn log(&mut self, log: &LogLines, us: Option<u64>) -> Judged {
        log.lines.iter().fold(Judged::Sound, |judged, line| judged.and(of(self.recorder.console_line(line, us))))
    }

    /// Ends the files and judges what can only be judged then.
    pub(super) fn finish(self, end: &RunEnd) -> Result<Examined, EventsError> {
        self.recorder.finish(end)
    }

    fn mark(&mut self, mark: Mark, argument: u64) -> Judged {
        let record = Record { lp: NO_LP, kind: Kind::Mark as u16, a: mark as u64, b: argument, ..Record::default() };
        of(self.recorder.record(&record))
    }
}

impl Judged {
    /// The first that is not sound; what follows is recorded all the same.
    fn and(self, next: Self) -> Self {
        if self == Self::Sound { next } else { self }
    }
}

fn of(result: Result<Option<Breach>, EventsError>) -> Judged {
    match result {
        Ok(None) => Judged::Sound,
        Ok(Some(breach)) => Judged::Broken(breach.summary()),
        Err(error) => Judged::Unwritten(format!("the recording cannot be written: {error}")),
    }
}

/// Lines of the log that was recorded in this folder.
pub(super) fn console(folder: &Path) -> Result<Vec<String>, std::io::Error> {
    Ok(String::from_utf8_lossy(&fs::read(folder.join(LOG))?).lines().map(str::to_owned).collect())
}
