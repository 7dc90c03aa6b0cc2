//! What an instruction reads and writes, as bits: general registers from bit 0, flags from bit 16.

use crate::isa::{flag, gpr};
use iced_x86::{Instruction, InstructionInfoFactory, Mnemonic, OpAccess, Register, RflagsBits};

/// What is read, and what is written whatever happens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Effects {
    pub(super) reads: u32,
    pub(super) writes: u32,
}

/// The bit of a flag of [`flag`].
pub(super) const fn flag_bits(flags: u8) -> u32 {
    (flags as u32) << 16
}

const FLAGS: [(u32, u8); 6] = [
    (RflagsBits::CF, flag::CF),
    (RflagsBits::PF, flag::PF),
    (RflagsBits::AF, flag::AF),
    (RflagsBits::ZF, flag::ZF),
    (RflagsBits::SF, flag::SF),
    (RflagsBits::OF, flag::OF),
];

impl Effects {
    /// Of an instruction.
    pub(super) fn of(instruction: &Instruction) -> Self {
        if instruction.mnemonic() == Mnemonic::Seamcall {
            return Self::of_seamcall();
        }
        let mut effects = Self::default();
        for used in InstructionInfoFactory::new().info(instruction).used_registers() {
            let register = used.register();
            if register.is_gpr() {
                let bit = 1 << (register.full_register() as u32 - Register::RAX as u32);
                match used.access() {
                    OpAccess::Read | OpAccess::CondRead | OpAccess::ReadWrite | OpAccess::ReadCondWrite => {
                        effects.reads |= bit;
                    }
                    // A write of 8 or 16 bits keeps the rest.
                    OpAccess::Write if register.size() >= 4 => effects.writes |= bit,
                    _ => {}
                }
            }
        }
        // A shift by CL leaves the flags alone if CL is zero.
        let shift = matches!(instruction.mnemonic(), Mnemonic::Shl | Mnemonic::Shr | Mnemonic::Sar);
        for (theirs, ours) in FLAGS {
            if instruction.rflags_read() & theirs != 0 || instruction.mnemonic() == Mnemonic::Pushfq {
                effects.reads |= flag_bits(ours);
            }
            if instruction.rflags_modified() & theirs != 0 && !shift {
                effects.writes |= flag_bits(ours);
            }
        }
        effects
    }

    /// RAX, RCX, RDX and R8 to R11 go in (Linux's `tdxcall.S`). What comes out is written or kept.
    fn of_seamcall() -> Self {
        let inputs = [gpr::RAX, gpr::RCX, gpr::RDX, gpr::R8, gpr::R9, gpr::R10, gpr::R11];
        Self { reads: inputs.iter().map(|register| 1 << register).sum(), writes: 0 }
    }

    /// Of a function that is not executed: its arguments, and the registers that it may change by the calling convention.
    pub(super) fn of_contract() -> Self {
        let arguments = [gpr::RDI, gpr::RSI, gpr::RDX, gpr::RCX, gpr::R8, gpr::R9, gpr::RSP];
        let changed = [gpr::RAX, gpr::RCX, gpr::RDX, gpr::RSI, gpr::RDI, gpr::R8, gpr::R9, gpr::R10, gpr::R11];
        Self {
            reads: arguments.iter().map(|register| 1 << register).sum(),
            writes: changed.iter().map(|register| 1 << register).sum(),
        }
    }
}
