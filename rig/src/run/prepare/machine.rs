//! What the machine of a run is started from.

use super::backend::Bridge;
use crate::machine::clone_command;
use crate::machine::command::{AGENT_SOCKET, MachineSpec};
use crate::machine::sockets::RuntimeDir;
use crate::run::folder::{CONSOLE, PLAN, RunFolder};
use crate::trouble::Trouble;
use rig_images::Images;
use rig_wire::plan::Plan;
use seam_emu::Config;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

/// Names among the sockets.
pub(crate) const RING: &str = "ring";
pub(crate) const CONTROL: &str = "control.sock";
pub(crate) const MAILBOX: &str = "mailbox.sock";

/// What a machine is started from.
#[derive(Debug)]
pub(crate) struct MachineParts {
    /// QEMU, without its arguments.
    pub(crate) qemu: Command,
    /// A QEMU of one's own.
    pub(crate) own_qemu: Option<PathBuf>,
    /// The machine.
    pub(crate) spec: MachineSpec,
    /// The plan for the emulator; a file in the run folder has the same.
    pub(crate) plan: Plan<Config>,
    /// Who brings SEAMCALLs to the firmware.
    pub(crate) bridge: Bridge,
    /// Sockets and ring.
    pub(crate) runtime: RuntimeDir,
    /// As long as it exists, the cache keeps what the machine is made of.
    pub(crate) images: Arc<Images>,
}

impl MachineParts {
    /// The same machine once more, with its evidence in another folder and with sockets of its own.
    pub(super) fn again(&self, folder: &RunFolder) -> Result<Self, Trouble> {
        let runtime = RuntimeDir::create()?;
        let mut plan = self.plan.clone();
        plan.ring = plan.ring.map(|_| runtime.path(RING));
        plan.control = plan.control.map(|_| runtime.path(CONTROL));
        plan.exchange = plan.exchange.map(|_| runtime.path(AGENT_SOCKET));
        let mut spec = self.spec.clone();
        spec.console = folder.file(CONSOLE);
        spec.plugin = spec.plugin.map(|(library, _)| (library, folder.file(PLAN)));
        let (qemu, own_qemu) = (clone_command(&self.qemu), self.own_qemu.clone());
        Ok(Self { qemu, own_qemu, spec, plan, bridge: self.bridge, runtime, images: Arc::clone(&self.images) })
    }

    /// Writes the plan where the emulator looks for it.
    pub(crate) fn write_plan(&self, folder: &RunFolder) -> Result<(), Trouble> {
        folder.write_json(PLAN, &self.plan)
    }
}
