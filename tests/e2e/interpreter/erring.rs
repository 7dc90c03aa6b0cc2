//! Interpreters with an error, made of the real one: it takes one instruction for another, or forgets a part of the result.

use super::renamed::renamed;
use iced_x86::{Instruction, Mnemonic, OpKind};
use rig_interleave::isa::{Registers, flag, gpr};

/// An error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Erring {
    /// An addition is a subtraction.
    SumIsADifference,
    /// POP moves the stack pointer and leaves the register as it is.
    PopKeepsTheRegister,
    /// A jump if equal is one if not.
    JumpIfNotEqual,
    /// A register keeps its upper half when its lower one is written.
    UpperHalfIsKept,
    /// A return takes no more than its address from the stack: RSP stays.
    ReturnKeepsTheStack,
    /// CLI leaves interrupts enabled.
    InterruptsStayEnabled,
}

impl Erring {
    /// All of them.
    pub(super) const ALL: [Self; 6] = [
        Self::SumIsADifference,
        Self::PopKeepsTheRegister,
        Self::JumpIfNotEqual,
        Self::UpperHalfIsKept,
        Self::ReturnKeepsTheStack,
        Self::InterruptsStayEnabled,
    ];

    /// The instruction that is executed in place of this one.
    pub(super) fn taken_for(self, instruction: Instruction) -> Instruction {
        let (from, to) = match self {
            Self::SumIsADifference => ("Add_", "Sub_"),
            Self::JumpIfNotEqual => ("Je_", "Jne_"),
            _ => return instruction,
        };
        renamed(instruction, from, to)
    }

    /// Changes a right result to what the erring interpreter would have.
    pub(super) fn spoil(self, instruction: &Instruction, before: &Registers, after: &mut Registers) {
        match (self, instruction.mnemonic()) {
            (Self::UpperHalfIsKept, _) if instruction.op0_kind() == OpKind::Register => {
                let register = instruction.op0_register();
                if register.is_gpr32() {
                    after.gpr[register.number()] |= before.gpr[register.number()] & !0xffff_ffff;
                }
            }
            (Self::PopKeepsTheRegister, Mnemonic::Pop) if instruction.op0_kind() == OpKind::Register => {
                let number = instruction.op0_register().number();
                after.gpr[number] = before.gpr[number];
            }
            (Self::ReturnKeepsTheStack, Mnemonic::Ret) => after.gpr[gpr::RSP] = before.gpr[gpr::RSP],
            (Self::InterruptsStayEnabled, Mnemonic::Cli) => after.flags |= before.flags & flag::IF,
            _ => {}
        }
    }
}
