//! What is asked of a proof.

use crate::kernel::{Entry, Locking, Subject};
use serde::{Deserialize, Serialize};

/// How memory orders accesses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MemoryModel {
    /// A store is visible at once.
    #[default]
    SequentiallyConsistent,
    /// Each CPU has a store buffer, whose stores become visible later, in their order.
    Tso,
}

impl MemoryModel {
    /// For reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SequentiallyConsistent => "sequentially-consistent",
            Self::Tso => "tso",
        }
    }
}

/// Where the initial state comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InitialState {
    /// The kernel's ELF file, in which what a boot sets is filled in.
    #[default]
    Elf,
    /// A machine that stands where every CPU is about to enter the section.
    Machine,
}

/// What answers SEAMCALLs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answers {
    /// The small model.
    #[default]
    Small,
    /// seam-emu, in the state in which the machine has it.
    Emulated,
    /// seam-emu; where the small model would answer otherwise the proof ends.
    Both,
}

/// What is to be proved.
#[expect(clippy::struct_excessive_bools, reason = "each is an option of the command line")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// CPUs, 1 to 8.
    pub cpus: usize,
    /// Which code updates the module.
    pub subject: Subject,
    /// Where the initial state comes from.
    pub state: InitialState,
    /// What answers SEAMCALLs.
    pub firmware: Answers,
    /// Whether an update failed in the machine before this one.
    pub after_failed: bool,
    /// Whether one SEAMCALL, whichever, may fail in each way of [`crate::firmware::Failure::ALL`].
    pub failures: bool,
    /// Where the CPUs begin.
    pub entry: Entry,
    /// How memory orders accesses.
    pub memory: MemoryModel,
    /// What stands for the kernel's spin locks.
    pub lock: Locking,
    /// Whether states that differ only by an exchange of CPUs, the lead left out, are one.
    pub symmetry: bool,
    /// Debugging: what is dead stays a part of the state. It makes more states and must change no verdict.
    pub keeps_dead: bool,
    /// Debugging: the code is not changed at all. It makes far more states and must change no verdict.
    pub keeps_pending_loop: bool,
    /// The memory that the search may use, in MiB.
    pub memory_mib: usize,
}

impl Default for Request {
    /// Two CPUs, no failure, 4 GiB.
    fn default() -> Self {
        Self {
            cpus: 2,
            subject: Subject::InTree,
            state: InitialState::Elf,
            firmware: Answers::Small,
            after_failed: false,
            failures: false,
            entry: Entry::Section,
            memory: MemoryModel::SequentiallyConsistent,
            lock: Locking::Real,
            symmetry: false,
            keeps_dead: false,
            keeps_pending_loop: false,
            memory_mib: 4096,
        }
    }
}
