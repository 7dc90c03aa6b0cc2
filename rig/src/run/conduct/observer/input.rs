//! Messages to the observer while it reads the ring.

use crate::guest::KernelLine;
use crate::machine::Gauge;
use rig_judge::RunEnd;
use std::path::PathBuf;
use std::sync::mpsc::Sender;

/// A message to the observer while it reads the ring.
#[derive(Debug)]
pub(super) enum Input {
    /// A line of the kernel's log.
    Line(KernelLine),
    /// Watch what the host takes from this machine.
    Host(Gauge),
    /// The machine is gone.
    Finish(RunEnd),
}

/// Brings the lines of the kernel's log to the judge.
#[derive(Clone, Debug)]
pub(crate) struct Lines(pub(super) Sender<Input>);

impl Lines {
    /// Shows the judge a line and keeps it in the log.
    pub(crate) fn line(&self, line: KernelLine) {
        // Lines that come after the end are dropped: the judge has finished.
        let _ = self.0.send(Input::Line(line));
    }
}

/// What was recorded before the machine was saved from which this one goes on.
#[derive(Clone, Debug)]
pub(crate) struct Past {
    /// Events file.
    pub(crate) events: PathBuf,
    /// Lines of the kernel's log, to which the events refer.
    pub(crate) log: PathBuf,
}
