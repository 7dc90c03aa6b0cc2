//! REP STOS and REP MOVS. The direction flag is clear, as the kernel's calling convention says.

use super::bus::Bus;
use super::instruction::Execution;
use super::registers::gpr::{RAX, RCX, RDI, RSI};
use crate::image::mask;
use iced_x86::Mnemonic;

impl<B: Bus> Execution<'_, B> {
    /// Returns whether the instruction is one of these.
    pub(super) fn strings(&mut self) -> Result<bool, B::Stop> {
        let (size, moves) = match self.instruction.mnemonic() {
            Mnemonic::Stosb => (1, false),
            Mnemonic::Stosd => (4, false),
            Mnemonic::Stosq => (8, false),
            Mnemonic::Movsb => (1, true),
            Mnemonic::Movsq => (8, true),
            _ => return Ok(false),
        };
        if !self.instruction.has_rep_prefix() {
            return Ok(false);
        }
        while self.registers.gpr[RCX] != 0 {
            let value = if moves {
                let access = self.access(self.registers.gpr[RSI], size);
                self.registers.gpr[RSI] = self.registers.gpr[RSI].wrapping_add(size.into());
                self.bus.load(access)?
            } else {
                self.registers.gpr[RAX] & mask(size)
            };
            let access = self.access(self.registers.gpr[RDI], size);
            self.bus.store(access, value)?;
            self.registers.gpr[RDI] = self.registers.gpr[RDI].wrapping_add(size.into());
            self.registers.gpr[RCX] -= 1;
        }
        Ok(true)
    }
}
