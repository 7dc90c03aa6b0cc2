//! The firmware's state, apart from calls in flight.

use crate::abi::seamldr::SeamExtend;
use crate::module::{Handoff, Module, Protected};
use crate::seamldr::Loader;
use serde::{Deserialize, Serialize};

/// Everything that SEAMCALLs read and change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct World {
    /// What the processor knows about the module.
    pub(crate) seamextend: SeamExtend,
    /// The SEAM database.
    pub(crate) seamdb: SeamDb,
    /// P-SEAMLDR's own data.
    pub(crate) loader: Loader,
    /// What the module's part of the SEAM range holds; none before the first INSTALL and after a failed one.
    pub(crate) module: Option<Module>,
    /// The handoff data at the start of the module's data region.
    pub(crate) handoff: Handoff,
    /// What only the module can read in memory: PAMTs, secure EPTs and TD control structures.
    pub(crate) protected: Protected,
}

/// The SEAM database: one entry per module installed since it was cleared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SeamDb {
    /// Entries that fit.
    pub(crate) capacity: u32,
    /// Entries in use.
    pub(crate) used: u32,
}

impl SeamDb {
    /// Entries that are free.
    pub(crate) fn free(self) -> u32 {
        self.capacity - self.used
    }

    /// Forgets all entries.
    pub(crate) fn clear(&mut self) {
        self.used = 0;
    }

    /// Adds an entry.
    pub(crate) fn insert(&mut self) {
        assert!(self.used < self.capacity, "P-SEAMLDR checks for room before it inserts");
        self.used += 1;
    }
}
