//! What every step of a scenario needs: the guest, the emulator, and the scenario itself.

use super::error::{DriveError, failed};
use crate::guest::Guest;
use crate::machine::control::Emulator;
use crate::run::conduct::snapshot::note::Note;
use crate::run::prepare::subject::GuestModule;
use crate::run::record::told::Told;
use crate::scenario::Scenario;
use crate::symbols::KmodPlan;
use rig_wire::agent::{Answer, Command};
use rig_wire::event::Mark;
use rig_wire::plan::Control;
use std::time::Instant;

/// A guest, and the scenario through which it is driven.
pub(crate) struct Drive<'a> {
    /// The agent.
    pub(crate) guest: &'a Guest,
    /// The emulator, for marks in the timeline.
    pub(crate) emulator: &'a Emulator,
    /// What to do.
    pub(crate) scenario: &'a Scenario,
    /// Kernel modules to load, in this order.
    pub(crate) modules: &'a [GuestModule],
    /// How to find what is watched in the subject's module; none: all is known.
    pub(crate) placing: Option<&'a KmodPlan>,
    /// When QEMU was started.
    pub(crate) started: Instant,
    /// What was told when the machine was saved from which it goes on; none: it boots.
    pub(crate) saved: Option<&'a Note>,
    /// Says what is under way.
    pub(crate) say: &'a (dyn Fn(&str) + Sync),
}

impl Drive<'_> {
    /// Asks the agent for something, and says so.
    pub(crate) async fn ask(&self, told: &mut Told, doing: &str, command: Command) -> Result<Answer, DriveError> {
        self.doing(told, doing);
        self.guest.request(command).await.map_err(|error| failed(told, error))
    }

    /// Marks a place in the timeline.
    pub(super) async fn mark(&self, mark: Mark, argument: u64) -> Result<(), DriveError> {
        self.emulator.ask(&Control::Mark { mark: mark as u64, argument }).await?;
        Ok(())
    }

    /// Says what is under way, and keeps it for the words of a hang.
    pub(super) fn doing(&self, told: &mut Told, doing: &str) {
        doing.clone_into(&mut told.doing);
        (self.say)(doing);
    }
}
