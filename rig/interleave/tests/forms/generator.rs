//! Makes cases of an instruction's form.

use super::case::{CODE, Case, DATA, DATA_SIZE};
use super::operands::Choice;
use super::values::value;
use fastrand::Rng;
use iced_x86::{Code, Encoder, Instruction, Mnemonic, OpKind, Register};
use rig_interleave::isa::{Registers, decode, flag, gpr};
use std::collections::BTreeMap;

/// Makes cases, the same ones for the same seed.
pub(super) struct Generator {
    random: Rng,
}

/// Attempts to find operands that can be encoded together: AH and R8B cannot.
const ATTEMPTS: usize = 8;
/// Where the stack pointer is for instructions that use the stack.
const STACK: u64 = DATA + 0x200;
/// Elements of the longest repetition.
const MOST_ELEMENTS: u64 = 5;

impl Generator {
    pub(super) fn new(seed: u64) -> Self {
        Self { random: Rng::with_seed(seed) }
    }

    /// A case of this form; none if it is not of 64-bit code, or has operands of a kind that the interpreter does not know.
    pub(super) fn case(&mut self, code: Code) -> Option<Case> {
        let form = code.op_code();
        if !form.mode64() || !form.is_instruction() {
            return None;
        }
        (0..ATTEMPTS).find_map(|_| self.attempt(code))
    }

    fn attempt(&mut self, code: Code) -> Option<Case> {
        let gs_base = self.random.u64(..0x1_0000);
        let mut instruction = Instruction::default();
        instruction.set_code(code);
        let form = code.op_code();
        let pinned = BTreeMap::new();
        let mut choice = Choice { random: &mut self.random, instruction, pinned, address: None, gs_base };
        for operand in 0..form.op_count() {
            choice.operand(operand, form.op_kind(operand))?;
        }
        let Choice { mut instruction, pinned, address, .. } = choice;
        if form.can_use_lock_prefix() && instruction.op0_kind() == OpKind::Memory && self.random.bool() {
            instruction.set_has_lock_prefix(true);
        }
        if form.can_use_rep_prefix() && self.random.u8(..4) != 0 {
            instruction.set_has_rep_prefix(true);
        }
        let mut encoder = Encoder::new(64);
        encoder.encode(&instruction, CODE).ok()?;
        let bytes = encoder.take_buffer();
        // What counts is what these bytes mean.
        let instruction = decode(&bytes, CODE);
        let mut registers = Registers { rip: CODE, ..Registers::default() };
        registers.gpr.fill_with(|| value(&mut self.random));
        registers.flags = self.random.u8(..) & flag::ARITHMETIC | flag::IF;
        let memory = (0..DATA_SIZE / 8).flat_map(|_| value(&mut self.random).to_le_bytes()).collect();
        let mut case = Case { instruction, bytes, registers, gs_base, memory };
        self.prepare(&mut case, &pinned, address);
        Some(case)
    }

    /// Gives registers and memory what the instruction needs for going well, and makes likely what otherwise is not.
    fn prepare(&mut self, case: &mut Case, pinned: &BTreeMap<usize, u64>, address: Option<u64>) {
        let i = case.instruction;
        let gpr = &mut case.registers.gpr;
        if i.is_stack_instruction() {
            gpr[gpr::RSP] = STACK;
            gpr[gpr::RBP] = STACK + 64;
        }
        if i.is_string_instruction() {
            gpr[gpr::RSI] = DATA + self.random.u64(..128);
            gpr[gpr::RDI] = DATA + self.random.u64(..128);
            gpr[gpr::RCX] = self.random.u64(..=MOST_ELEMENTS);
        }
        if matches!(i.mnemonic(), Mnemonic::Bt | Mnemonic::Bts | Mnemonic::Btr) && i.op1_kind() == OpKind::Register {
            let register = i.op1_register();
            // Mostly a bit of the operand, sometimes one beyond it.
            gpr[register.number()] = self.random.u64(..register.size() as u64 * 10);
        }
        for (number, value) in pinned {
            gpr[*number] = *value;
        }
        if i.mnemonic() == Mnemonic::Cmpxchg && self.random.bool() {
            make_equal(case, address);
        }
        if i.is_jmp_near_indirect() || i.is_call_near_indirect() || i.mnemonic() == Mnemonic::Ret {
            self.lead_somewhere(case, address);
        }
    }

    /// A jump's target must be an address that there can be.
    fn lead_somewhere(&mut self, case: &mut Case, address: Option<u64>) {
        let target = self.random.u64(CODE + 16..1 << 46);
        let i = case.instruction;
        let place = match i.op0_kind() {
            OpKind::Register if i.op_count() == 1 && i.op0_register() != Register::RSP => {
                case.registers.gpr[i.op0_register().number()] = target;
                return;
            }
            OpKind::Register if i.op_count() == 1 => {
                case.registers.gpr[gpr::RSP] = STACK;
                return;
            }
            OpKind::Memory => address.expect("a memory operand has its address"),
            _ => case.registers.gpr[gpr::RSP],
        };
        let at = (place - DATA) as usize;
        case.memory[at..at + 8].copy_from_slice(&target.to_le_bytes());
    }
}

/// The accumulator has what the first operand has.
fn make_equal(case: &mut Case, address: Option<u64>) {
    let i = case.instruction;
    // If the accumulator is a part of the address, it stays as it is.
    if i.memory_base() == Register::RAX || i.memory_index() == Register::RAX {
        return;
    }
    let value = match (i.op0_kind(), address) {
        (OpKind::Memory, Some(address)) => {
            let at = (address - DATA) as usize;
            u64::from_le_bytes(case.memory[at..at + 8].try_into().expect("eight bytes"))
        }
        _ => case.registers.gpr[i.op0_register().full_register().number()],
    };
    case.registers.gpr[gpr::RAX] = value;
}
