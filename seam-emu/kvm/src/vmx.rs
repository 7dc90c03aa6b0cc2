//! VMX operation as far as the TDX host code needs it: VMXON, VMXOFF and CR4.VMXE, which a guest of KVM without nested
//! virtualisation does not have. Source: Intel SDM volume 3, chapters 25 and 33, and section 2.5 "Control Registers".

use crate::emulator::Emulator;
use crate::registers::{self, ARITHMETIC};
use crate::turn::Turn;
use crate::{Exception, Vcpu, VcpuError};
use kvm_bindings::kvm_regs;

const VMXE: u64 = 1 << 13;

/// VMXON. Its operand is not looked at.
pub(crate) fn vmxon(emulator: &Emulator, lp: u16, cpl: u8, registers: &mut kvm_regs) -> Turn {
    let mut lp = emulator.lp(lp);
    if !lp.vmxe {
        return Turn::Raise(Exception::UndefinedOpcode);
    }
    if cpl > 0 {
        return Turn::Raise(Exception::GeneralProtection);
    }
    // Outside of a guest, VMXON in VMX root operation is VMfail; without a current VMCS that is CF.
    let failed = if lp.in_vmx_root { registers::CF } else { 0 };
    lp.in_vmx_root = true;
    registers.rflags = registers.rflags & !ARITHMETIC | failed;
    Turn::Go
}

/// VMXOFF.
pub(crate) fn vmxoff(emulator: &Emulator, lp: u16, cpl: u8, registers: &mut kvm_regs) -> Turn {
    let mut lp = emulator.lp(lp);
    if !lp.in_vmx_root {
        return Turn::Raise(Exception::UndefinedOpcode);
    }
    if cpl > 0 {
        return Turn::Raise(Exception::GeneralProtection);
    }
    lp.in_vmx_root = false;
    registers.rflags &= !ARITHMETIC;
    Turn::Go
}

/// `mov %cr4, r64`, with the shadowed bit.
pub(crate) fn read_cr4(
    emulator: &Emulator,
    lp: u16,
    to: u8,
    vcpu: &impl Vcpu,
    registers: &mut kvm_regs,
) -> Result<Turn, VcpuError> {
    let shadow = if emulator.lp(lp).vmxe { VMXE } else { 0 };
    registers::write(registers, to, vcpu.cr4()? & !VMXE | shadow);
    Ok(Turn::Go)
}

/// `mov r64, %cr4`: VMXE goes to the shadow, everything else to KVM. VMXE cannot be cleared in VMX operation.
pub(crate) fn write_cr4(
    emulator: &Emulator,
    lp: u16,
    from: u8,
    vcpu: &mut impl Vcpu,
    registers: &kvm_regs,
) -> Result<Turn, VcpuError> {
    let value = registers::read(registers, from);
    let (wanted, rest) = (value & VMXE != 0, value & !VMXE);
    if !wanted && emulator.lp(lp).in_vmx_root {
        return Ok(Turn::Raise(Exception::GeneralProtection));
    }
    if vcpu.cr4()? != rest && !vcpu.set_cr4(rest)? {
        return Ok(Turn::Raise(Exception::GeneralProtection));
    }
    emulator.lp(lp).vmxe = wanted;
    Ok(Turn::Go)
}
