//! One instruction with its operands.

use super::bus::{Access, Bus};
use super::registers::Registers;
use super::registers::gpr::RSP;
use crate::image::mask;
use iced_x86::{Instruction, Mnemonic, OpKind, Register};

/// An instruction that is being executed on one CPU.
pub(super) struct Execution<'a, B> {
    pub(super) registers: &'a mut Registers,
    pub(super) instruction: &'a Instruction,
    pub(super) gs_base: u64,
    pub(super) bus: &'a mut B,
}

/// The index of a general register; the instruction's form was checked before.
fn index(register: Register) -> usize {
    register.full_register() as usize - Register::RAX as usize
}

fn is_high(register: Register) -> bool {
    matches!(register, Register::AH | Register::BH | Register::CH | Register::DH)
}

impl<B: Bus> Execution<'_, B> {
    /// Whether registers and addressing are of a kind that is modelled: general registers, and addresses of 64 bits in the flat
    /// segments or GS.
    pub(super) fn has_known_operands(&self) -> bool {
        let i = self.instruction;
        (0..i.op_count()).all(|operand| match i.op_kind(operand) {
            OpKind::Register => i.op_register(operand).is_gpr(),
            OpKind::Memory => {
                let wide = |r: Register| r == Register::None || r == Register::RIP || r.is_gpr64();
                wide(i.memory_base()) && wide(i.memory_index()) && i.memory_segment() != Register::FS
            }
            OpKind::FarBranch16 | OpKind::FarBranch32 => false,
            _ => true,
        })
    }

    /// Bytes of operand 0, or 8 if it has no size.
    pub(super) fn size(&self) -> u8 {
        self.size_of(0)
    }

    pub(super) fn size_of(&self, operand: u32) -> u8 {
        let i = self.instruction;
        match i.op_kind(operand) {
            OpKind::Register => i.op_register(operand).size() as u8,
            OpKind::Memory => i.memory_size().size() as u8,
            _ => 8,
        }
    }

    pub(super) fn is_memory(&self, operand: u32) -> bool {
        self.instruction.op_kind(operand) == OpKind::Memory
    }

    fn is_locked(&self) -> bool {
        let i = self.instruction;
        let exchange = i.mnemonic() == Mnemonic::Xchg && (0..i.op_count()).any(|o| self.is_memory(o));
        i.has_lock_prefix() || exchange
    }

    /// The address of the memory operand.
    pub(super) fn address(&self) -> u64 {
        let base = if self.instruction.memory_segment() == Register::GS { self.gs_base } else { 0 };
        self.offset().wrapping_add(base)
    }

    /// The same within its segment.
    pub(super) fn offset(&self) -> u64 {
        let i = self.instruction;
        let mut address = i.memory_displacement64();
        if !i.is_ip_rel_memory_operand() {
            if i.memory_base() != Register::None {
                address = address.wrapping_add(self.registers.gpr[index(i.memory_base())]);
            }
            if i.memory_index() != Register::None {
                let scaled = self.registers.gpr[index(i.memory_index())].wrapping_mul(i.memory_index_scale().into());
                address = address.wrapping_add(scaled);
            }
        }
        address
    }

    pub(super) fn access(&self, address: u64, size: u8) -> Access {
        Access { address, size, locked: self.is_locked(), stack_pointer: self.registers.gpr[RSP] }
    }

    /// The value of an operand, without bits above its size; immediates are extended to 64 bits.
    pub(super) fn get(&mut self, operand: u32) -> Result<u64, B::Stop> {
        match self.instruction.op_kind(operand) {
            OpKind::Register => Ok(self.register(self.instruction.op_register(operand))),
            OpKind::Memory => {
                let access = self.access(self.address(), self.size_of(operand));
                self.bus.load(access)
            }
            _ => Ok(self.instruction.immediate(operand)),
        }
    }

    /// The value of an operand, cut to the size of operand 0.
    pub(super) fn get_cut(&mut self, operand: u32) -> Result<u64, B::Stop> {
        Ok(self.get(operand)? & mask(self.size()))
    }

    pub(super) fn put(&mut self, operand: u32, value: u64) -> Result<(), B::Stop> {
        if self.instruction.op_kind(operand) == OpKind::Register {
            self.set_register(self.instruction.op_register(operand), value);
            return Ok(());
        }
        let size = self.size_of(operand);
        let access = self.access(self.address(), size);
        self.bus.store(access, value & mask(size))
    }

    fn register(&self, register: Register) -> u64 {
        let value = self.registers.gpr[index(register)];
        if is_high(register) { value >> 8 & 0xff } else { value & mask(register.size() as u8) }
    }

    /// Writes a register; one of 32 bits clears the upper half, smaller ones keep the rest.
    pub(super) fn set_register(&mut self, register: Register, value: u64) {
        let whole = &mut self.registers.gpr[index(register)];
        *whole = match register.size() as u8 {
            _ if is_high(register) => *whole & !0xff00 | (value & 0xff) << 8,
            8 => value,
            4 => value & 0xffff_ffff,
            size => *whole & !mask(size) | value & mask(size),
        };
    }

    /// Whether the instruction puts so many bytes on the stack (if negative) or takes them: a prefix makes the same instruction of
    /// 16 bits.
    pub(super) fn moves_stack_by(&self, bytes: i32) -> bool {
        self.instruction.stack_pointer_increment() == bytes
    }

    pub(super) fn push(&mut self, value: u64) -> Result<(), B::Stop> {
        let top = self.registers.gpr[RSP].wrapping_sub(8);
        self.registers.gpr[RSP] = top;
        let access = self.access(top, 8);
        self.bus.store(access, value)
    }

    pub(super) fn pop(&mut self) -> Result<u64, B::Stop> {
        let top = self.registers.gpr[RSP];
        let access = self.access(top, 8);
        let value = self.bus.load(access)?;
        self.registers.gpr[RSP] = top.wrapping_add(8);
        Ok(value)
    }
}
