//! Logic, shifts, and single bits.

use super::bus::Bus;
use super::flags::{Shift, of_result, shift};
use super::instruction::Execution;
use super::registers::flag::{ARITHMETIC, CF, ZF};
use iced_x86::{Mnemonic, OpKind};

impl<B: Bus> Execution<'_, B> {
    /// Returns whether the instruction is one of these.
    pub(super) fn bits(&mut self) -> Result<bool, B::Stop> {
        match self.instruction.mnemonic() {
            Mnemonic::And => self.logic(|a, b| a & b)?,
            Mnemonic::Or => self.logic(|a, b| a | b)?,
            Mnemonic::Xor => self.logic(|a, b| a ^ b)?,
            Mnemonic::Test => {
                let (a, b) = (self.get(0)?, self.get_cut(1)?);
                self.registers.set_flags(ARITHMETIC, of_result(a & b, self.size()));
            }
            Mnemonic::Not => {
                let a = self.get(0)?;
                self.put(0, !a)?;
            }
            Mnemonic::Shl => self.shifted(Shift::Left)?,
            Mnemonic::Shr => self.shifted(Shift::Right)?,
            Mnemonic::Sar => self.shifted(Shift::Arithmetic)?,
            Mnemonic::Bt | Mnemonic::Bts | Mnemonic::Btr => return self.one_bit(),
            Mnemonic::Tzcnt => return self.trailing_zeroes(),
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn logic(&mut self, operation: impl Fn(u64, u64) -> u64) -> Result<(), B::Stop> {
        let (a, b) = (self.get(0)?, self.get_cut(1)?);
        let result = operation(a, b);
        self.put(0, result)?;
        self.registers.set_flags(ARITHMETIC, of_result(result, self.size()));
        Ok(())
    }

    fn shifted(&mut self, kind: Shift) -> Result<(), B::Stop> {
        let size = self.size();
        let a = self.get(0)?;
        let count = (self.get(1)? & if size == 8 { 63 } else { 31 }) as u32;
        if count == 0 {
            // No flag changes, but a register of 32 bits loses its upper half.
            return if self.is_memory(0) { Ok(()) } else { self.put(0, a) };
        }
        let (result, flags) = shift(kind, a, count, size);
        self.put(0, result)?;
        self.registers.set_flags(ARITHMETIC, flags);
        // The decoder's list of undefined flags does not look at the count.
        if kind != Shift::Arithmetic && count >= u32::from(size) * 8 {
            self.registers.undefined |= CF;
        }
        Ok(())
    }

    /// BT, BTS, BTR. A bit number in a register that leads out of the memory operand is unknown.
    fn one_bit(&mut self) -> Result<bool, B::Stop> {
        let bits = u64::from(self.size()) * 8;
        let number = self.get(1)?;
        if self.is_memory(0) && self.instruction.op1_kind() == OpKind::Register && number >= bits {
            return Ok(false);
        }
        let bit = 1 << (number & (bits - 1));
        let a = self.get(0)?;
        match self.instruction.mnemonic() {
            Mnemonic::Bts => self.put(0, a | bit)?,
            Mnemonic::Btr => self.put(0, a & !bit)?,
            _ => {}
        }
        self.registers.set_flags(CF, if a & bit == 0 { 0 } else { CF });
        Ok(true)
    }

    /// For zero, TZCNT differs from BSF, as which older processors execute it: unknown.
    fn trailing_zeroes(&mut self) -> Result<bool, B::Stop> {
        let a = self.get(1)?;
        if a == 0 {
            return Ok(false);
        }
        let zeroes = u64::from(a.trailing_zeros());
        self.put(0, zeroes)?;
        self.registers.set_flags(CF | ZF, if zeroes == 0 { ZF } else { 0 });
        Ok(true)
    }
}
