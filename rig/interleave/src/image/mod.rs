//! Code and initial memory: where they come from, and what lies where.

mod elf;
mod memory;
mod source;
mod symbols;

pub use elf::ElfImage;
pub use memory::{Memory, mask};
pub use source::Source;
pub use symbols::Symbols;
