//! What is asked of a kernel before it is explored, and where the proof puts memory of its own.

use super::subject::Subject;
use crate::contract::HEAP;
use crate::local::stack;
use serde::{Deserialize, Serialize};
use std::ops::Range;

const HEAP_SIZE: u64 = 0x10_0000;

/// Where the CPUs begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Entry {
    /// At the function that the uploader gives to `stop_machine`, with interrupts disabled.
    Section,
    /// At `multi_cpu_stop()`, which disables them and gathers the CPUs.
    StopMachine,
}

/// What stands for the kernel's spin locks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Locking {
    /// Their own code.
    #[default]
    Real,
    /// Their contract: the locked instruction of `_raw_spin_lock` waits until the lock is free.
    Contract,
}

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// CPUs, 1 to 8.
    pub cpus: usize,
    /// Which code updates the module.
    pub subject: Subject,
    /// Where they begin.
    pub entry: Entry,
    /// Whether CPUs have store buffers.
    pub store_buffers: bool,
    /// What stands for spin locks.
    pub lock: Locking,
    /// Whether what is dead stays a part of the state.
    pub keeps_dead: bool,
    /// Whether the lock's loop keeps its count.
    pub keeps_pending_loop: bool,
}

impl Entry {
    /// The function in which the CPUs begin.
    pub const fn function(self, subject: Subject) -> &'static str {
        match self {
            Self::Section => subject.section(),
            Self::StopMachine => "multi_cpu_stop",
        }
    }
}

/// What the proof adds to memory, where no kernel has any.
pub(super) fn made_regions(cpus: usize) -> Vec<Range<u64>> {
    (0..cpus as u8).map(stack).chain(std::iter::once(HEAP..HEAP + HEAP_SIZE)).collect()
}
