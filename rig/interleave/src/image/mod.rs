//! Code and initial memory: where they come from, and what lies where.

mod elf;
mod initial;
mod machine;
mod memory;
mod paging;
mod physical;
mod source;
mod symbols;

pub use elf::ElfImage;
pub use initial::InitialImage;
pub use machine::MachineImage;
pub use memory::{Memory, mask};
pub use physical::StandingMachine;
pub use source::{Source, StandingCpu};
pub use symbols::Symbols;
