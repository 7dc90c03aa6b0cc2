//! A run that is ready to start.

use super::machine::MachineParts;
use super::options::{AtBreach, Options};
use super::subject::SubjectParts;
use crate::machine::command::Processor;
use crate::run::folder::RunFolder;
use crate::run::record::description::RunDescription;
use crate::trouble::Trouble;
use rig_wire::plan::Hold;
use std::path::Path;

/// A run that is ready to start.
#[derive(Debug)]
pub struct Prepared {
    description: RunDescription,
    machine: MachineParts,
    subject: SubjectParts,
    /// Boot, even where a snapshot would do.
    cold: bool,
    /// Leave the machine stopped where an invariant breaks.
    at_breach: Option<AtBreach>,
}

impl Prepared {
    pub(super) fn new(
        description: RunDescription,
        machine: MachineParts,
        subject: SubjectParts,
        options: &Options,
    ) -> Self {
        Self { description, machine, subject, cold: options.cold, at_breach: options.at_breach }
    }

    /// Whether the machine is left stopped where an invariant breaks, and for how long.
    pub(crate) fn at_breach(&self) -> Option<AtBreach> {
        self.at_breach
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
        if self.machine.spec.terminal.is_some() {
            return Some("a snapshot has no terminal");
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

    /// On a processor that does not say that it is a virtual one.
    pub(crate) fn on_bare_metal(mut self) -> Self {
        if self.machine.spec.processor == Processor::TdxHost {
            self.machine.spec.processor = Processor::BareTdxHost;
        }
        self
    }

    /// Can hold CPUs at the places of these holds, by schedules that it is given while it runs. Updates are not told apart: a CPU
    /// that is held where the section begins would begin another at each turn.
    pub(crate) fn holding_at(mut self, holds: Vec<Hold>) -> Self {
        // Without updates the first schedule is in force at once.
        self.machine.plan.schedules = vec![Vec::new(), holds];
        self.machine.plan.update_function = None;
        self
    }

    /// The same run once more, with its evidence in another folder and with sockets of its own.
    pub(crate) fn again(&self, folder: RunFolder) -> Result<Self, Trouble> {
        let machine = self.machine.again(&folder)?;
        let description = RunDescription { folder, ..self.description.clone() };
        Ok(Self { description, machine, subject: self.subject.clone(), cold: self.cold, at_breach: None })
    }

    /// The run folder, absolute.
    pub fn folder(&self) -> &Path {
        self.description.folder.path()
    }
}
