//! Addition, subtraction, comparison, and compare-and-exchange.

use super::bus::Bus;
use super::flags::{add, sub};
use super::instruction::Execution;
use super::registers::flag::{ARITHMETIC, CF};
use super::registers::gpr::RAX;
use crate::image::mask;
use iced_x86::{Mnemonic, Register};

impl<B: Bus> Execution<'_, B> {
    /// Returns whether the instruction is one of these.
    pub(super) fn arithmetic(&mut self) -> Result<bool, B::Stop> {
        let size = self.size();
        match self.instruction.mnemonic() {
            Mnemonic::Add => {
                let (a, b) = (self.get(0)?, self.get_cut(1)?);
                self.finish(add(a, b, size), ARITHMETIC)?;
            }
            Mnemonic::Sub => {
                let (a, b) = (self.get(0)?, self.get_cut(1)?);
                self.finish(sub(a, b, size), ARITHMETIC)?;
            }
            Mnemonic::Inc => {
                let a = self.get(0)?;
                self.finish(add(a, 1, size), ARITHMETIC & !CF)?;
            }
            Mnemonic::Dec => {
                let a = self.get(0)?;
                self.finish(sub(a, 1, size), ARITHMETIC & !CF)?;
            }
            Mnemonic::Neg => {
                let a = self.get(0)?;
                self.finish(sub(0, a, size), ARITHMETIC)?;
            }
            Mnemonic::Cmp => {
                let (a, b) = (self.get(0)?, self.get_cut(1)?);
                self.registers.set_flags(ARITHMETIC, sub(a, b, size).1);
            }
            Mnemonic::Xadd => {
                let (a, b) = (self.get(0)?, self.get(1)?);
                // Of two registers the second is written first, so that `xadd eax, eax` leaves the sum. Memory is written first,
                // since the register may be a part of its address.
                if !self.is_memory(0) {
                    self.put(1, a)?;
                }
                self.finish(add(a, b, size), ARITHMETIC)?;
                if self.is_memory(0) {
                    self.put(1, a)?;
                }
            }
            Mnemonic::Cmpxchg => return self.compare_exchange(size),
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn finish(&mut self, (result, flags): (u64, u8), which: u8) -> Result<(), B::Stop> {
        self.put(0, result)?;
        self.registers.set_flags(which, flags);
        Ok(())
    }

    /// The first operand is written in both cases by Intel's manual. In memory that changes nothing, as it is locked or the CPU's
    /// own. A register of 32 bits would lose its upper half, which it does not on processors of AMD's: unknown.
    fn compare_exchange(&mut self, size: u8) -> Result<bool, B::Stop> {
        let old = self.get(0)?;
        let expected = self.registers.gpr[RAX] & mask(size);
        if expected == old {
            let new = self.get(1)?;
            self.put(0, new)?;
        } else if size == 4 && !self.is_memory(0) {
            return Ok(false);
        } else {
            let accumulator = match size {
                8 => Register::RAX,
                4 => Register::EAX,
                2 => Register::AX,
                _ => Register::AL,
            };
            self.set_register(accumulator, old);
        }
        self.registers.set_flags(ARITHMETIC, sub(expected, old, size).1);
        Ok(true)
    }
}
