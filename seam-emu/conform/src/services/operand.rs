//! Operands of instructions.

use super::{Cpu, ServiceFault};
use crate::sites::Site;
use iced_x86::{OpKind, Register};

impl Cpu<'_> {
    /// The linear address of a memory operand.
    pub(super) fn address(&self, site: &Site, operand: u32) -> Result<u64, ServiceFault> {
        let rip = self.registers.get(Register::RIP);
        // The instruction was decoded at its offset; an address that is relative to it is relative to where it runs.
        let moved =
            if site.instruction.is_ip_rel_memory_operand() { rip.wrapping_sub(site.instruction.ip()) } else { 0 };
        let address = site.instruction.virtual_address(operand, 0, |register, _, _| {
            Some(match register {
                Register::FS | Register::GS => self.registers.get(register),
                segment if segment.is_segment_register() => 0,
                other => {
                    let value = self.registers.get(other.full_register());
                    if other.size() == 4 { value & 0xFFFF_FFFF } else { value }
                }
            })
        });
        address.map(|address| address.wrapping_add(moved)).ok_or(ServiceFault::Operand)
    }

    /// The 64-bit value of an operand.
    pub(super) fn value(&self, site: &Site, operand: u32) -> Result<u64, ServiceFault> {
        match site.instruction.op_kind(operand) {
            OpKind::Register => Ok(self.registers.get(site.instruction.op_register(operand).full_register())),
            OpKind::Memory => {
                let mut bytes = [0; 8];
                self.read(self.address(site, operand)?, &mut bytes)?;
                Ok(u64::from_le_bytes(bytes))
            }
            _ => Err(ServiceFault::Operand),
        }
    }

    /// Writes an operand: 64 bits of memory, or a register of 64 bits or 32.
    pub(super) fn put(&mut self, site: &Site, operand: u32, value: u64) -> Result<(), ServiceFault> {
        match site.instruction.op_kind(operand) {
            OpKind::Register => {
                let register = site.instruction.op_register(operand);
                let value = if register.size() == 4 { value & 0xFFFF_FFFF } else { value };
                self.registers.set(register.full_register(), value);
                Ok(())
            }
            OpKind::Memory => Ok(self.write(self.address(site, operand)?, &value.to_le_bytes())?),
            _ => Err(ServiceFault::Operand),
        }
    }
}
