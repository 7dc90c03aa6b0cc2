//! One instruction with all that it depends on, and what it leaves behind.

use iced_x86::Instruction;
use rig_interleave::isa::Registers;

/// Where the instruction lies.
pub(super) const CODE: u64 = 0x40_1000;
/// Where the memory lies that it may touch: low enough for an address of 31 bits.
pub(super) const DATA: u64 = 0x1000_0000;
/// Bytes of that memory.
pub(super) const DATA_SIZE: usize = 1024;

/// An instruction and the state before it.
#[derive(Clone, Debug)]
pub(super) struct Case {
    pub(super) instruction: Instruction,
    pub(super) bytes: Vec<u8>,
    pub(super) registers: Registers,
    pub(super) gs_base: u64,
    pub(super) memory: Vec<u8>,
}

/// The state after it.
#[derive(Clone, Debug)]
pub(super) struct After {
    pub(super) registers: Registers,
    /// None: it touched memory that it should not.
    pub(super) memory: Option<Vec<u8>>,
}
