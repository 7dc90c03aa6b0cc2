//! Either source, so that all that works on it exists once.

use super::elf::ElfImage;
use super::machine::MachineImage;
use super::source::{Source, StandingCpu};
use super::symbols::Symbols;

/// Where a proof takes code and initial memory from.
#[derive(Clone, Debug)]
pub enum InitialImage {
    /// The kernel's ELF file.
    Elf(ElfImage),
    /// A machine that stands.
    Machine(MachineImage),
}

impl Source for InitialImage {
    fn bytes(&self, address: u64) -> Option<&[u8]> {
        match self {
            Self::Elf(elf) => elf.bytes(address),
            Self::Machine(machine) => machine.bytes(address),
        }
    }

    fn symbols(&self) -> &Symbols {
        match self {
            Self::Elf(elf) => elf.symbols(),
            Self::Machine(machine) => machine.symbols(),
        }
    }

    fn digest(&self) -> &str {
        match self {
            Self::Elf(elf) => elf.digest(),
            Self::Machine(machine) => machine.digest(),
        }
    }

    fn cpus(&self) -> &[StandingCpu] {
        match self {
            Self::Elf(elf) => elf.cpus(),
            Self::Machine(machine) => machine.cpus(),
        }
    }
}

impl From<ElfImage> for InitialImage {
    fn from(elf: ElfImage) -> Self {
        Self::Elf(elf)
    }
}

impl From<MachineImage> for InitialImage {
    fn from(machine: MachineImage) -> Self {
        Self::Machine(machine)
    }
}
