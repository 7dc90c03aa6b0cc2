//! Operands: registers, immediates, and memory by each kind of address.

use super::case::{CODE, DATA};
use super::values::value;
use fastrand::Rng;
use iced_x86::{Instruction, OpCodeOperandKind as Kind, OpKind, Register};
use std::collections::BTreeMap;

/// What an instruction is made of, while its operands are chosen.
pub(super) struct Choice<'a> {
    pub(super) random: &'a mut Rng,
    pub(super) instruction: Instruction,
    /// What registers must hold so that the memory operand lies in the window, by their numbers.
    pub(super) pinned: BTreeMap<usize, u64>,
    /// The memory operand's address.
    pub(super) address: Option<u64>,
    pub(super) gs_base: u64,
}

/// How far jumps go: neither to themselves nor farther than one byte says.
const NEAREST: u64 = 16;
const FARTHEST: u64 = 100;
/// The memory operand lies so far inside of the window that a stack pointer which is a part of its address does, too.
const MARGIN: u64 = 256;
const INNER: u64 = 512;

impl Choice<'_> {
    /// Chooses an operand. None: it is of a kind that the interpreter does not know for any instruction.
    pub(super) fn operand(&mut self, operand: u32, kind: Kind) -> Option<()> {
        let memory_or = |choice: &mut Self, size| {
            if choice.random.bool() { choice.memory(operand) } else { choice.any(operand, size) }
        };
        match kind {
            Kind::r8_or_mem => memory_or(self, 1),
            Kind::r16_or_mem => memory_or(self, 2),
            Kind::r32_or_mem => memory_or(self, 4),
            Kind::r64_or_mem => memory_or(self, 8),
            Kind::mem => self.memory(operand),
            Kind::mem_offs => self.offset(operand),
            Kind::r8_reg | Kind::r8_opcode => self.any(operand, 1),
            Kind::r16_reg | Kind::r16_rm | Kind::r16_opcode => self.any(operand, 2),
            Kind::r32_reg | Kind::r32_rm | Kind::r32_opcode => self.any(operand, 4),
            Kind::r64_reg | Kind::r64_rm | Kind::r64_opcode => self.any(operand, 8),
            Kind::al => self.register(operand, Register::AL),
            Kind::cl => self.register(operand, Register::CL),
            Kind::ax => self.register(operand, Register::AX),
            Kind::eax => self.register(operand, Register::EAX),
            Kind::rax => self.register(operand, Register::RAX),
            Kind::seg_rSI => self.instruction.set_op_kind(operand, OpKind::MemorySegRSI),
            Kind::es_rDI => self.instruction.set_op_kind(operand, OpKind::MemoryESRDI),
            Kind::br64_1 | Kind::br64_4 => {
                self.instruction.set_op_kind(operand, OpKind::NearBranch64);
                self.instruction.set_near_branch64(CODE + self.random.u64(NEAREST..FARTHEST));
            }
            _ => return self.immediate(operand, kind),
        }
        Some(())
    }

    fn immediate(&mut self, operand: u32, kind: Kind) -> Option<()> {
        let kind = match kind {
            Kind::imm8 | Kind::imm8_const_1 => OpKind::Immediate8,
            Kind::imm8sex16 => OpKind::Immediate8to16,
            Kind::imm8sex32 => OpKind::Immediate8to32,
            Kind::imm8sex64 => OpKind::Immediate8to64,
            Kind::imm16 => OpKind::Immediate16,
            Kind::imm32 => OpKind::Immediate32,
            Kind::imm32sex64 => OpKind::Immediate32to64,
            Kind::imm64 => OpKind::Immediate64,
            _ => return None,
        };
        let is_one = self.instruction.code().op_code().op_kind(operand) == Kind::imm8_const_1;
        let number = if is_one { 1 } else { value(self.random) };
        self.instruction.set_op_kind(operand, kind);
        let extended = match kind {
            OpKind::Immediate8to16 | OpKind::Immediate8to32 | OpKind::Immediate8to64 => i64::from(number as i8),
            OpKind::Immediate32to64 => i64::from(number as i32),
            OpKind::Immediate8 => i64::from(number as u8),
            OpKind::Immediate16 => i64::from(number as u16),
            OpKind::Immediate32 => i64::from(number as u32),
            _ => number.cast_signed(),
        };
        self.instruction.set_immediate_i64(operand, extended);
        Some(())
    }

    fn register(&mut self, operand: u32, register: Register) {
        self.instruction.set_op_kind(operand, OpKind::Register);
        self.instruction.set_op_register(operand, register);
    }

    /// A register of this size, each of them.
    fn any(&mut self, operand: u32, size: usize) {
        let register = loop {
            let register = Register::AL + self.random.u32(..256) % (Register::R15 as u32 - Register::AL as u32 + 1);
            if register.is_gpr() && register.size() == size {
                break register;
            }
        };
        self.register(operand, register);
    }

    /// Memory by an absolute address of 64 bits.
    fn offset(&mut self, operand: u32) {
        let address = self.place();
        self.instruction.set_op_kind(operand, OpKind::Memory);
        self.instruction.set_memory_displ_size(8);
        self.instruction.set_memory_displacement64(address);
    }

    /// A place in the window; without the base of GS, if the operand is to have it.
    fn place(&mut self) -> u64 {
        let address = DATA + MARGIN + self.random.u64(..INNER);
        self.address = Some(address);
        if self.random.u8(..5) == 0 {
            self.instruction.set_segment_prefix(Register::GS);
            return address - self.gs_base;
        }
        address
    }

    fn memory(&mut self, operand: u32) {
        let address = self.place();
        self.instruction.set_op_kind(operand, OpKind::Memory);
        let i = &mut self.instruction;
        match self.random.u8(..6) {
            0 => {
                i.set_memory_base(Register::RIP);
                i.set_memory_displ_size(8);
                i.set_memory_displacement64(address);
            }
            1 => {
                i.set_memory_displ_size(4);
                i.set_memory_displacement64(address);
            }
            _ => self.based(address),
        }
    }

    /// Memory by a base, an index or both, and a displacement.
    fn based(&mut self, address: u64) {
        let (base, index) = (self.random.usize(..16), self.random.usize(..16));
        let has_index = index != 4 && index != base && self.random.bool();
        let has_base = !has_index || self.random.bool();
        let i = &mut self.instruction;
        let displacement = match self.random.u8(..3) {
            0 if has_base => 0,
            // A stack pointer stays in the window.
            1 | 2 if has_base && (base == 4 || self.random.bool()) => self.random.i64(-64..64),
            _ => self.random.i64(-4096..4096),
        };
        i.set_memory_displ_size(match displacement {
            _ if !has_base => 4,
            0 => 0,
            -128..=127 => 1,
            _ => 4,
        });
        i.set_memory_displacement64(displacement.cast_unsigned());
        let mut rest = address.wrapping_sub(displacement.cast_unsigned());
        if has_index {
            let scale = 1 << self.random.u32(..4);
            i.set_memory_index(Register::RAX + index as u32);
            i.set_memory_index_scale(scale);
            // Without a base the index alone leads there, so the displacement takes what is left.
            let number = if has_base { self.random.u64(..8).wrapping_sub(2) } else { rest / u64::from(scale) };
            self.pinned.insert(index, number);
            rest = rest.wrapping_sub(number.wrapping_mul(scale.into()));
        }
        if has_base {
            i.set_memory_base(Register::RAX + base as u32);
            self.pinned.insert(base, rest);
        } else {
            i.set_memory_displacement64(displacement.cast_unsigned().wrapping_add(rest));
        }
    }
}
