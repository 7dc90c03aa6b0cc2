//! Errors of an interpreter. Each is made of the real one: it executes another instruction than it is given, or forgets a part of
//! the result.

use super::case::Case;
use super::renamed::renamed;
use iced_x86::{Instruction, Mnemonic, OpKind};
use rig_interleave::isa::{Registers, flag, gpr};

/// An error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Planted {
    /// An arithmetic shift fills with zeroes.
    ShiftLosesTheSign,
    /// A sign extension fills with zeroes.
    ExtensionLosesTheSign,
    /// "Below or equal" is taken for "below".
    EqualIsNotBelowOrEqual,
    /// A bit is cleared that is to be set.
    BitIsCleared,
    /// A register keeps its upper half when its lower one is written.
    UpperHalfIsKept,
    /// INC changes the carry.
    IncrementCarries,
    /// A comparison that failed does not load the accumulator.
    AccumulatorIsKept,
}

impl Planted {
    /// All of them.
    pub(super) const ALL: [Self; 7] = [
        Self::ShiftLosesTheSign,
        Self::ExtensionLosesTheSign,
        Self::EqualIsNotBelowOrEqual,
        Self::BitIsCleared,
        Self::UpperHalfIsKept,
        Self::IncrementCarries,
        Self::AccumulatorIsKept,
    ];

    /// The instruction that is executed in place of this one.
    pub(super) fn taken_for(self, instruction: Instruction) -> Instruction {
        let (from, to) = match self {
            Self::ShiftLosesTheSign => ("Sar_", "Shr_"),
            Self::ExtensionLosesTheSign => ("Movsx_", "Movzx_"),
            Self::EqualIsNotBelowOrEqual => ("Setbe_", "Setb_"),
            Self::BitIsCleared => ("Bts_", "Btr_"),
            _ => return instruction,
        };
        renamed(instruction, from, to)
    }

    /// Changes a right result to what the erring interpreter would have.
    pub(super) fn spoil(self, case: &Case, registers: &mut Registers) {
        let before = &case.registers;
        match (self, case.instruction.mnemonic()) {
            (Self::UpperHalfIsKept, _) if case.instruction.op0_kind() == OpKind::Register => {
                let register = case.instruction.op0_register();
                if register.is_gpr32() {
                    let number = register.number();
                    registers.gpr[number] |= before.gpr[number] & !0xffff_ffff;
                }
            }
            (Self::IncrementCarries, Mnemonic::Inc) => registers.flags ^= flag::CF,
            (Self::AccumulatorIsKept, Mnemonic::Cmpxchg) => registers.gpr[gpr::RAX] = before.gpr[gpr::RAX],
            _ => {}
        }
    }
}
