//! The VMX facade: what Linux's TDX host code needs of a CPU and TCG lacks.
//!
//! TCG raises #GP when CR4.VMXE is set and #UD on VMXON and VMXOFF. Here CR4.VMXE lives in a shadow bit of each vCPU, and
//! VMXON and VMXOFF enter and leave VMX root operation (SDM volume 3, chapters 25 and 33). CPUID bits come from QEMU's CPU
//! model (`x-force-features`), so that CPUID needs no interception.

use crate::decode;
use crate::emulator::Emulator;
use crate::memory;
use crate::registers::{self, GPR, Reg};
use crate::seamcall;
use crate::ticks;
use crate::vmx_state::{VMX_ROOT, VMXE};

const CR4_VMXE: u64 = 1 << 13;

/// `IA32_FEATURE_CONTROL`: locked, VMX outside SMX enabled.
const FEATURE_CONTROL: u64 = 0x5;
/// `IA32_VMX_BASIC`: revision 4, VMCS of 4096 bytes, memory type 6 (write-back), true controls (bit 55).
const VMX_BASIC: u64 = 4 | 0x1000 << 32 | 6 << 50 | 1 << 55;
/// `IA32_VMX_BASIC` bit 60: SEAMRET from P-SEAMLDR keeps the current VMCS.
const VMX_BASIC_SEAMRET_KEEPS_VMCS: u64 = 1 << 60;

/// VMXON: the address to go on at, or none to let TCG raise #UD.
pub(crate) fn vmxon(emulator: &Emulator, vcpu: usize, pc: u64) -> Option<u64> {
    if !emulator.facade.has(vcpu, VMXE) || registers::read(Reg::Cs) & 3 != 0 {
        return None;
    }
    let length = decode::length(&memory::read_code::<15>(pc), pc)?;
    emulator.facade.set(vcpu, VMX_ROOT, true);
    Some(pc + length)
}

/// VMXOFF: #UD outside VMX root operation.
pub(crate) fn vmxoff(emulator: &Emulator, vcpu: usize, pc: u64) -> Option<u64> {
    if !emulator.facade.in_vmx_root(vcpu) {
        return None;
    }
    emulator.facade.set(vcpu, VMX_ROOT, false);
    Some(pc + 3)
}

/// INVEPT and INVVPID: always a success, since nothing but TDs with machine code is translated by an EPT here. #UD outside VMX root operation.
pub(crate) fn invalidate(emulator: &Emulator, vcpu: usize, pc: u64) -> Option<u64> {
    if !emulator.facade.in_vmx_root(vcpu) || registers::read(Reg::Cs) & 3 != 0 {
        return None;
    }
    let next = pc + decode::length(&memory::read_code::<15>(pc), pc)?;
    if let Some(root) = &emulator.root {
        root.invalidate();
    }
    let code = memory::read_code::<15>(next);
    decode::after_success(&code, next).or_else(|| {
        seamcall::report_unknown(emulator, vcpu as u16, next, &code);
        Some(next)
    })
}

/// MOVDIR64B: moves 64 bytes to an address aligned to 64. What hardware would refuse is reported and raises #UD.
pub(crate) fn movdir64b(emulator: &Emulator, vcpu: usize, pc: u64) -> Option<u64> {
    let code = memory::read_code::<15>(pc);
    let moved = decode::movdir64b(&code, pc, |number| registers::read(GPR[usize::from(number)])).and_then(
        |(length, source, destination)| {
            let line = memory::read_virtual::<64>(source).filter(|_| destination.is_multiple_of(64))?;
            memory::write_virtual(destination, &line).then_some(pc + length)
        },
    );
    if moved.is_none() {
        seamcall::report_unknown(emulator, vcpu as u16, pc, &code);
    }
    moved
}

/// `mov r64, %cr4`: VMXE goes to the shadow, everything else to the real register, through QEMU's gdb interface, which
/// flushes what has to be flushed.
pub(crate) fn write_cr4(emulator: &Emulator, vcpu: usize, register: u8, next: u64) -> Option<u64> {
    let value = registers::read(GPR[usize::from(register)]);
    let wanted = value & CR4_VMXE != 0;
    if !wanted && !emulator.facade.has(vcpu, VMXE) {
        return None;
    }
    let rest = value & !CR4_VMXE;
    if registers::read(Reg::Cr4) != rest {
        registers::write(Reg::Cr4, rest);
    }
    emulator.facade.set(vcpu, VMXE, wanted);
    Some(next)
}

/// `mov %cr4, r64`, with the shadowed bit.
pub(crate) fn read_cr4(emulator: &Emulator, vcpu: usize, register: u8, next: u64) -> Option<u64> {
    if !emulator.facade.has(vcpu, VMXE) {
        return None;
    }
    registers::write(GPR[usize::from(register)], registers::read(Reg::Cr4) | CR4_VMXE);
    Some(next)
}

/// RDMSR of a register that the facade or the firmware defines; none leaves it to TCG.
pub(crate) fn rdmsr(emulator: &Emulator, pc: u64) -> Option<u64> {
    let index = registers::read(Reg::Rcx) as u32;
    let value = vmx_msr(index, emulator.plan.seamret_keeps_vmcs).or_else(|| emulator.firmware().msr(index))?;
    registers::write(Reg::Rax, value & 0xffff_ffff);
    registers::write(Reg::Rdx, value >> 32);
    Some(pc + 2)
}

/// WRMSR: `IA32_FEATURE_CONTROL` is locked. Linux reads the lock and does not write it; a write is dropped here, where
/// hardware would raise #GP, which the plugin interface cannot. Some timers are set here, in place of TCG.
pub(crate) fn wrmsr(emulator: &Emulator, vcpu: usize, pc: u64) -> Option<u64> {
    let index = registers::read(Reg::Rcx) as u32;
    let value = || registers::read(Reg::Rdx) << 32 | registers::read(Reg::Rax) & 0xffff_ffff;
    let served = index == 0x3a || ticks::is_of_timer(index) && emulator.ticks.write(vcpu, index, value());
    served.then_some(pc + 2)
}

/// The VMX capability registers (SDM volume 3, appendix A). Control registers allow every setting: high word all ones,
/// low word 0.
fn vmx_msr(index: u32, seamret_keeps_vmcs: bool) -> Option<u64> {
    const ALLOW_ALL: u64 = 0xffff_ffff_0000_0000;
    Some(match index {
        0x3a => FEATURE_CONTROL,
        0x480 if seamret_keeps_vmcs => VMX_BASIC | VMX_BASIC_SEAMRET_KEEPS_VMCS,
        0x480 => VMX_BASIC,
        // Pin-based controls have 8 bits; Linux warns of settings above bit 15 (arch/x86/kernel/cpu/feat_ctl.c).
        0x481 | 0x48d => 0xff_0000_0000,
        0x482..=0x484 | 0x48b | 0x48e..=0x490 => ALLOW_ALL,
        // IA32_VMX_MISC: preemption timer rate 5, activity states, 256 CR3 targets' limit left at 4.
        0x485 => 0x4_01e5,
        // Bits of CR0 and CR4 fixed in VMX operation.
        0x486 => 0x8000_0021,
        0x487 => 0xffff_ffff,
        0x488 => 0x2000,
        0x489 => 0x7f_ffff,
        0x48a => 0x2e,
        // EPT: execute-only, 4 and 5 levels, UC and WB, 2 MB, 1 GB, INVEPT, accessed and dirty; VPID with INVVPID.
        0x48c => 0xf01_0673_4141,
        0x491 | 0x492 => 0,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vmx_basic_follows_the_erratum_switch() {
        assert_eq!(vmx_msr(0x480, true).unwrap() >> 60 & 1, 1);
        assert_eq!(vmx_msr(0x480, false).unwrap() >> 60 & 1, 0);
        assert_eq!(vmx_msr(0x480, true).unwrap() >> 32 & 0x1fff, 4096);
        assert_eq!(vmx_msr(0x10, true), None);
    }

    #[test]
    fn pin_based_controls_fit_what_linux_accepts() {
        for msr in [0x481, 0x48d] {
            assert_eq!(vmx_msr(msr, true).unwrap() >> 32 >> 16, 0);
        }
    }
}
