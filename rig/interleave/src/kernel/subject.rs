//! Which code updates the module, by the names of its parts.

use crate::contract::{Contract, KMOD_SECTION, KMOD_UPLOADER, SECTION, UPLOADER};
use serde::{Deserialize, Serialize};

/// Which code updates the module.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Subject {
    /// Linux's own.
    #[default]
    InTree,
    /// The update kernel module, which counts acknowledgements under a lock.
    KmodLock,
    /// The update kernel module, which counts acknowledgements by atomic instructions.
    KmodAtomic,
}

impl Subject {
    /// The function that every CPU runs inside `stop_machine`.
    pub const fn section(self) -> &'static str {
        match self {
            Self::InTree => "do_seamldr_install_module",
            Self::KmodLock | Self::KmodAtomic => "lockstep_run",
        }
    }

    /// The state machine's variable, its least size, and its first words when the section begins: the step, the counts of
    /// acknowledgements and of failures, the lock (`struct update_ctrl` of Linux's `seamldr.c`, `struct lockstep` of
    /// `guest-kmod/update.h`).
    pub(super) const fn control(self) -> (&'static str, u64, [u64; 4]) {
        match self {
            Self::InTree => ("update_ctrl", 16, [1, 0, 0, 0]),
            // The lead sets the first step in the section.
            Self::KmodLock | Self::KmodAtomic => ("lockstep", 24, [0, 0, 0, 0]),
        }
    }

    /// The function that starts the section and tells the uploader what came of it.
    pub(super) const fn uploader(self) -> &'static str {
        match self {
            Self::InTree => "seamldr_install_module",
            Self::KmodLock | Self::KmodAtomic => "lockstep_update",
        }
    }

    /// Its second and third argument; the first is the image or what describes it.
    pub(super) const fn uploader_arguments(self, image_bytes: u64) -> [u64; 2] {
        match self {
            Self::InTree => [image_bytes, 0],
            // `ack` and `engine`: ACK_LOCK or ACK_ATOMIC, ENGINE_STOP_MACHINE.
            Self::KmodLock => [0, 0],
            Self::KmodAtomic => [1, 0],
        }
    }

    /// What must be called before the section starts, lest CPUs come and go. `stop_machine()` does that by itself.
    pub(super) const fn locks_hotplug_by(self) -> Option<&'static str> {
        match self {
            Self::InTree => Some("cpus_read_lock"),
            Self::KmodLock | Self::KmodAtomic => None,
        }
    }

    /// Whether the kernel's record of the module is this code's work.
    pub(super) const fn records(self) -> bool {
        matches!(self, Self::InTree)
    }

    /// Functions that are not executed in the section.
    pub(super) fn section_contracts(self) -> Vec<Contract> {
        match self {
            Self::InTree => SECTION.to_vec(),
            Self::KmodLock | Self::KmodAtomic => [SECTION, KMOD_SECTION].concat(),
        }
    }

    /// Functions that are not executed in the uploader's part.
    pub(super) fn uploader_contracts(self) -> Vec<Contract> {
        let more = match self {
            Self::InTree => UPLOADER,
            Self::KmodLock | Self::KmodAtomic => KMOD_UPLOADER,
        };
        [&self.section_contracts(), more].concat()
    }
}
