//! A run that is under way: every record is written down and judged in one go, so that the recording is judged alike later.

use crate::examination::{Examination, Examined};
use crate::form::Malformed;
use crate::timeline::{EventsError, EventsWriter};
use crate::{Breach, Livelock, RunEnd, Setup};
use rig_wire::event::{Kind, NO_LP, Record};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

/// Writes `events.bin` and the console's lines beside it, and judges both.
#[derive(Debug)]
pub struct Recorder {
    events: EventsWriter,
    console: BufWriter<File>,
    console_path: PathBuf,
    lines: u64,
    examination: Examination,
}

impl Recorder {
    /// Creates both files, or replaces them.
    pub fn create(events: &Path, console: &Path, setup: Setup) -> Result<Self, EventsError> {
        let file = File::create(console).map_err(|source| EventsError::Io { path: console.into(), source })?;
        Ok(Self {
            events: EventsWriter::create(events, &setup)?,
            console: BufWriter::new(file),
            console_path: console.into(),
            lines: 0,
            examination: Examination::new(setup),
        })
    }

    /// Records and judges the next event; its `seq` becomes its place in the file. Returns the first breach.
    pub fn record(&mut self, record: &Record) -> Result<Option<Breach>, EventsError> {
        let record = self.events.append(record)?;
        Ok(self.examination.record(&record, None))
    }

    /// The LP that repeats one failing SEAMCALL without end, if there is one.
    pub fn livelock(&self) -> Option<Livelock> {
        self.examination.livelock()
    }

    /// Records and judges a line of the guest's console, without its line end; `guest_us` is the guest's time, microseconds.
    pub fn console_line(&mut self, line: &str, guest_us: Option<u64>) -> Result<Option<Breach>, EventsError> {
        let record = Record {
            lp: NO_LP,
            kind: Kind::Console as u16,
            a: self.lines,
            guest_ns: guest_us.map_or(0, |us| us.saturating_mul(1000)),
            ..Record::default()
        };
        // A line is one line in the file, whatever the guest sends.
        let line = line.replace(['\n', '\r'], " ");
        let written = writeln!(self.console, "{line}");
        written.map_err(|source| EventsError::Io { path: self.console_path.clone(), source })?;
        self.lines += 1;
        let record = self.events.append(&record)?;
        Ok(self.examination.record(&record, Some(&line)))
    }

    /// What is wrong with the recording, if anything is: then nothing more is judged, and the run is to end.
    pub fn fault(&self) -> Option<&Malformed> {
        self.examination.fault()
    }

    /// Hands what was recorded to the operating system, so that it survives the death of this process.
    pub fn flush(&mut self) -> Result<(), EventsError> {
        self.console.flush().map_err(|source| EventsError::Io { path: self.console_path.clone(), source })?;
        self.events.flush()
    }

    /// Records the run's end, and judges what can only be judged then.
    pub fn finish(mut self, end: &RunEnd) -> Result<Examined, EventsError> {
        self.flush()?;
        // What the file says is how the run ended. That the recording cannot be trusted is found again by whoever reads it.
        self.events.finish(end)?;
        Ok(self.examination.finish(end))
    }
}
