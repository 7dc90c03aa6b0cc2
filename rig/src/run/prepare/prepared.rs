//! A run that is ready to start.

use super::machine::MachineParts;
use super::subject::SubjectParts;
use crate::run::folder::RunFolder;
use crate::run::record::description::RunDescription;
use crate::trouble::Trouble;
use std::path::Path;

/// A run that is ready to start.
#[derive(Debug)]
pub struct Prepared {
    description: RunDescription,
    machine: MachineParts,
    subject: SubjectParts,
    /// Boot, even where a snapshot would do.
    cold: bool,
}

impl Prepared {
    pub(super) fn new(description: RunDescription, machine: MachineParts, subject: SubjectParts, cold: bool) -> Self {
        Self { description, machine, subject, cold }
    }

    /// What is to be run.
    pub(crate) fn description(&self) -> &RunDescription {
        &self.description
    }

    /// What the machine is started from.
    pub(crate) fn machine(&self) -> &MachineParts {
        &self.machine
    }

    /// What brings the subject into the guest.
    pub(crate) fn subject(&self) -> &SubjectParts {
        &self.subject
    }

    /// All parts, to start a machine from them.
    pub(crate) fn into_parts(self) -> (RunDescription, MachineParts, SubjectParts) {
        (self.description, self.machine, self.subject)
    }

    /// Why this run must boot; none: a snapshot will do.
    pub(crate) fn cold_reason(&self) -> Option<&'static str> {
        if self.cold {
            return Some("asked for");
        }
        if self.machine.plan.firmware.machine_code {
            return Some("machine code of trust domains cannot be saved");
        }
        self.machine.plan.ring.is_none().then_some("without recording, the events of the boot are not known")
    }

    /// The large files are kept, even if the run passes.
    pub(crate) fn keeping_evidence(mut self) -> Self {
        self.description.keep = true;
        self
    }

    /// The same run once more, with its evidence in another folder and with sockets of its own.
    pub(crate) fn again(&self, folder: RunFolder) -> Result<Self, Trouble> {
        let machine = self.machine.again(&folder)?;
        let description = RunDescription { folder, ..self.description.clone() };
        Ok(Self { description, machine, subject: self.subject.clone(), cold: self.cold })
    }

    /// The run folder, absolute.
    pub fn folder(&self) -> &Path {
        self.description.folder.path()
    }
}
