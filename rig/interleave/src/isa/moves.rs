//! Moves, the stack, exchanges, and what changes nothing.

use super::bus::Bus;
use super::flags::sign_extend;
use super::instruction::Execution;
use super::registers::flag::{AF, CF, IF, OF, PF, SF, ZF};
use super::registers::gpr::{RAX, RBP, RSP};
use iced_x86::{Code, ConditionCode, FlowControl, Mnemonic};

impl<B: Bus> Execution<'_, B> {
    /// Returns whether the instruction is one of these.
    pub(super) fn moves(&mut self) -> Result<bool, B::Stop> {
        let i = self.instruction;
        match i.mnemonic() {
            // Fences order nothing where all memory is in order; prefetches and hints have no effect.
            Mnemonic::Endbr64
            | Mnemonic::Nop
            | Mnemonic::Pause
            | Mnemonic::Prefetcht0
            | Mnemonic::Prefetchw
            | Mnemonic::Lfence
            | Mnemonic::Sfence
            | Mnemonic::Mfence => {}
            Mnemonic::Mov | Mnemonic::Movzx => {
                let value = self.get(1)?;
                self.put(0, value)?;
            }
            Mnemonic::Movsx | Mnemonic::Movsxd => {
                let value = sign_extend(self.get(1)?, self.size_of(1));
                self.put(0, value)?;
            }
            Mnemonic::Lea => self.set_register(i.op0_register(), self.offset()),
            Mnemonic::Cdqe => self.registers.gpr[RAX] = sign_extend(self.registers.gpr[RAX], 4),
            Mnemonic::Xchg => {
                let (a, b) = (self.get(0)?, self.get(1)?);
                self.put(0, b)?;
                self.put(1, a)?;
            }
            // LOOPE and LOOPNE have a condition, too.
            _ if i.condition_code() != ConditionCode::None && i.flow_control() == FlowControl::Next => {
                return self.conditional();
            }
            _ => return self.stack(),
        }
        Ok(true)
    }

    /// `SETcc` and `CMOVcc`. A conditional move of 32 bits that is not done clears the upper half all the same.
    fn conditional(&mut self) -> Result<bool, B::Stop> {
        match self.instruction.op_count() {
            1 => {
                let value = u64::from(self.holds());
                self.put(0, value)?;
            }
            2 => {
                let (new, old) = (self.get(1)?, self.get(0)?);
                let value = if self.holds() { new } else { old };
                self.put(0, value)?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn stack(&mut self) -> Result<bool, B::Stop> {
        match self.instruction.mnemonic() {
            Mnemonic::Push if self.moves_stack_by(-8) => {
                let value = self.get(0)?;
                self.push(value)?;
            }
            Mnemonic::Pop if self.moves_stack_by(8) => {
                let value = self.pop()?;
                self.put(0, value)?;
            }
            Mnemonic::Leave if self.instruction.code() == Code::Leaveq => {
                self.registers.gpr[RSP] = self.registers.gpr[RBP];
                self.registers.gpr[RBP] = self.pop()?;
            }
            Mnemonic::Pushfq => {
                let image = self.flags_image();
                self.push(image)?;
            }
            Mnemonic::Cli => self.registers.flags &= !IF,
            Mnemonic::Sti => self.registers.flags |= IF,
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// RFLAGS as PUSHF stores it; bit 1 is always set.
    fn flags_image(&self) -> u64 {
        let places = [(CF, 0), (PF, 2), (AF, 4), (ZF, 6), (SF, 7), (IF, 9), (OF, 11)];
        let set = places.iter().filter(|(flag, _)| self.registers.flags & flag != 0);
        set.fold(2, |image, (_, place)| image | 1 << place)
    }
}
