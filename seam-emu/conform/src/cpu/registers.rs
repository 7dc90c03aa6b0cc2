//! A software CPU's registers, as services see them.

use crate::services::Registers;
use iced_x86::Register;
use seam_emu::Regs;
use unicorn_engine::{RegisterX86, Unicorn};

/// The registers of a CPU that stands before the instruction at `rip`.
pub(super) struct CpuRegisters<'a, 'b, D> {
    pub(super) cpu: &'a mut Unicorn<'b, D>,
    pub(super) rip: u64,
}

/// ZF and CF, and all arithmetic flags.
const ZF: u64 = 1 << 6;
const CF: u64 = 1;
const ARITHMETIC: u64 = 0x8D5;

/// Unicorn's name of a register.
fn name(register: Register) -> RegisterX86 {
    match register {
        Register::RAX => RegisterX86::RAX,
        Register::RCX => RegisterX86::RCX,
        Register::RDX => RegisterX86::RDX,
        Register::RBX => RegisterX86::RBX,
        Register::RSP => RegisterX86::RSP,
        Register::RBP => RegisterX86::RBP,
        Register::RSI => RegisterX86::RSI,
        Register::RDI => RegisterX86::RDI,
        Register::R8 => RegisterX86::R8,
        Register::R9 => RegisterX86::R9,
        Register::R10 => RegisterX86::R10,
        Register::R11 => RegisterX86::R11,
        Register::R12 => RegisterX86::R12,
        Register::R13 => RegisterX86::R13,
        Register::R14 => RegisterX86::R14,
        Register::R15 => RegisterX86::R15,
        Register::FS => RegisterX86::FS_BASE,
        Register::GS => RegisterX86::GS_BASE,
        Register::RIP => RegisterX86::RIP,
        other => panic!("services do not use {other:?}"),
    }
}

/// Reads a register; the engine knows all that are named here.
pub(super) fn get<D>(cpu: &Unicorn<'_, D>, register: RegisterX86) -> u64 {
    cpu.reg_read(register).expect("the CPU has the register")
}

/// Sets a register; the engine knows all that are named here.
pub(super) fn set<D>(cpu: &mut Unicorn<'_, D>, register: RegisterX86, value: u64) {
    cpu.reg_write(register, value).expect("the CPU has the register");
}

/// The operands' registers, in the order of [`operands`].
const OPERANDS: [RegisterX86; 14] = [
    RegisterX86::RAX,
    RegisterX86::RCX,
    RegisterX86::RDX,
    RegisterX86::RBX,
    RegisterX86::RSI,
    RegisterX86::RDI,
    RegisterX86::R8,
    RegisterX86::R9,
    RegisterX86::R10,
    RegisterX86::R11,
    RegisterX86::R12,
    RegisterX86::R13,
    RegisterX86::R14,
    RegisterX86::R15,
];

/// The words of a call's operands.
fn operands(regs: &mut Regs) -> [&mut u64; 14] {
    let Regs { rax, rcx, rdx, rbx, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15 } = regs;
    [rax, rcx, rdx, rbx, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15]
}

/// Sets the registers of a call's operands.
pub(super) fn set_operands<D>(cpu: &mut Unicorn<'_, D>, regs: &Regs) {
    let mut regs = *regs;
    for (register, value) in OPERANDS.into_iter().zip(operands(&mut regs)) {
        set(cpu, register, *value);
    }
}

/// The registers of a call's results.
pub(super) fn results<D>(cpu: &Unicorn<'_, D>) -> Regs {
    let mut regs = Regs::default();
    for (register, value) in OPERANDS.into_iter().zip(operands(&mut regs)) {
        *value = get(cpu, register);
    }
    regs
}

impl<D> Registers for CpuRegisters<'_, '_, D> {
    fn get(&self, register: Register) -> u64 {
        if register == Register::RIP { self.rip } else { get(self.cpu, name(register)) }
    }

    fn set(&mut self, register: Register, value: u64) {
        set(self.cpu, name(register), value);
    }

    fn set_flags(&mut self, zero: bool, carry: bool) {
        let flags = get(self.cpu, RegisterX86::EFLAGS) & !ARITHMETIC;
        let new = if zero { ZF } else { 0 } | if carry { CF } else { 0 };
        set(self.cpu, RegisterX86::EFLAGS, flags | new);
    }
}
