//! What every step of a scenario needs: the guest, the emulator, and the scenario itself.

use super::error::{StepError, failed};
use crate::guest::Guest;
use crate::machine::control::Emulator;
use crate::run::conduct::observer::HoldTally;
use crate::run::conduct::snapshot::note::Note;
use crate::run::prepare::subject::GuestModule;
use crate::run::record::guest_report::GuestReport;
use crate::scenario::Scenario;
use crate::symbols::KmodPlan;
use rig_wire::agent::{Answer, Command};
use rig_wire::event::Mark;
use rig_wire::plan::Control;
use std::time::Instant;

/// A guest, and the scenario whose steps are made in it.
pub(crate) struct StepContext<'a> {
    /// The agent.
    pub(crate) guest: &'a Guest,
    /// The emulator, for marks in the timeline.
    pub(crate) emulator: &'a Emulator,
    /// What was recorded so far.
    pub(crate) tally: &'a HoldTally,
    /// What to do.
    pub(crate) scenario: &'a Scenario,
    /// Kernel modules to load, in this order.
    pub(crate) modules: &'a [GuestModule],
    /// How to find what is watched in the subject's module; none: all is known.
    pub(crate) kmod_plan: Option<&'a KmodPlan>,
    /// When QEMU was started.
    pub(crate) started: Instant,
    /// The note of the snapshot from which the machine goes on; none: it boots.
    pub(crate) saved: Option<&'a Note>,
    /// Says what is under way.
    pub(crate) say: &'a (dyn Fn(&str) + Sync),
}

impl StepContext<'_> {
    /// Sends a command to the agent, after saying what is under way.
    pub(crate) async fn ask(
        &self,
        report: &mut GuestReport,
        doing: &str,
        command: Command,
    ) -> Result<Answer, StepError> {
        self.doing(report, doing);
        self.guest.request(command).await.map_err(|error| failed(report, error))
    }

    /// Marks a place in the timeline.
    pub(super) async fn mark(&self, mark: Mark, argument: u64) -> Result<(), StepError> {
        self.emulator.ask(&Control::Mark { mark: mark as u64, argument }).await?;
        Ok(())
    }

    /// Says what is under way, and keeps that for the description of a hang.
    pub(super) fn doing(&self, report: &mut GuestReport, doing: &str) {
        doing.clone_into(&mut report.doing);
        (self.say)(doing);
    }
}
