//! Registers of one CPU.

/// Bits of [`Registers::flags`].
pub mod flag {
    /// Carry.
    pub const CF: u8 = 1;
    /// Parity.
    pub const PF: u8 = 2;
    /// Auxiliary carry.
    pub const AF: u8 = 4;
    /// Zero.
    pub const ZF: u8 = 8;
    /// Sign.
    pub const SF: u8 = 16;
    /// Overflow.
    pub const OF: u8 = 32;
    /// Interrupts are enabled.
    pub const IF: u8 = 64;
    /// The six that arithmetic sets.
    pub const ARITHMETIC: u8 = CF | PF | AF | ZF | SF | OF;
}

/// Indices of [`Registers::gpr`], in the order of the instruction set.
pub mod gpr {
    #![expect(missing_docs, reason = "the names are the instruction set's own")]
    pub const RAX: usize = 0;
    pub const RCX: usize = 1;
    pub const RDX: usize = 2;
    pub const RSP: usize = 4;
    pub const RBP: usize = 5;
    pub const RSI: usize = 6;
    pub const RDI: usize = 7;
    pub const R8: usize = 8;
    pub const R9: usize = 9;
    pub const R10: usize = 10;
    pub const R11: usize = 11;
}

/// General registers, instruction pointer and flags.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Registers {
    /// RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8 to R15.
    pub gpr: [u64; 16],
    /// The instruction that comes next.
    pub rip: u64,
    /// Flags, by the bits of [`flag`].
    pub flags: u8,
    /// Flags whose values the instruction set leaves undefined. An instruction that depends on one is unknown.
    pub undefined: u8,
}

impl Registers {
    /// Sets the flags in `which`, which are then defined.
    pub fn set_flags(&mut self, which: u8, values: u8) {
        self.flags = self.flags & !which | values & which;
        self.undefined &= !which;
    }
}
