//! The whole firmware: one value that answers every SEAMCALL of the platform.

use crate::{Caller, Config, ConfigError, GuestMemory, Note, Regs, Reply};
use thiserror::Error;

/// P-SEAMLDR, the TDX module, the SEAM database and the platform beneath them.
#[derive(Debug)]
pub struct Firmware {
    config: Config,
    notes: Vec<Note>,
}

/// Why the firmware did not start.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BootError {
    /// The configuration describes no possible platform.
    #[error(transparent)]
    Config(#[from] ConfigError),
}

/// Why a saved state was refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RestoreError {
    /// The configuration describes no possible platform.
    #[error(transparent)]
    Config(#[from] ConfigError),
}

impl Firmware {
    /// The platform after its module was loaded (SEAMLDR.INSTALL, scenario LOAD) and before TDH.SYS.INIT.
    /// `module_image` is a file of the form that Linux takes (blob version 0x200).
    pub fn boot(config: Config, module_image: &[u8]) -> Result<Self, BootError> {
        config.validate()?;
        let _ = module_image;
        Ok(Self { config, notes: Vec::new() })
    }

    /// One execution of the SEAMCALL instruction by an LP, at `now_ns` of the platform's clock (never backwards).
    pub fn seamcall(&mut self, caller: Caller, regs: &mut Regs, mem: &mut dyn GuestMemory, now_ns: u64) -> Reply {
        let _ = (caller, regs, mem, now_ns);
        unimplemented!("the leaves land next")
    }

    /// Value of an MSR that the SEAM platform defines; none for any other MSR.
    pub fn msr(&self, index: u32) -> Option<u64> {
        let _ = index;
        unimplemented!("the platform lands next")
    }

    /// State of the TDX module: 0 `SYSINIT_PENDING`, 1 `SYSINIT_DONE`, 2 `SYSCONFIG_DONE`, 3 `SYS_READY`,
    /// 4 `SYS_SHUTDOWN`, 5 not loaded.
    pub fn module_state(&self) -> u64 {
        unimplemented!("the module lands next")
    }

    /// For each TD its TDR's physical address and a SHA-384 digest of all that belongs to it.
    pub fn td_digests(&self, mem: &dyn GuestMemory) -> Vec<(u64, [u8; 48])> {
        let _ = mem;
        Vec::new()
    }

    /// What happened since the last call of this function, in order.
    pub fn take_notes(&mut self) -> Vec<Note> {
        std::mem::take(&mut self.notes)
    }

    /// States, lock holders, calls in flight and the session bitmap, in words.
    pub fn describe(&self) -> String {
        format!("{:?}", self.config)
    }

    /// The whole state; equal states give equal bytes.
    pub fn save(&self) -> Vec<u8> {
        unimplemented!("saving lands next")
    }

    /// The state that [`Firmware::save`] gave, on the same configuration.
    pub fn restore(config: Config, bytes: &[u8]) -> Result<Self, RestoreError> {
        let _ = bytes;
        config.validate()?;
        unimplemented!("restoring lands next")
    }
}
