//! TDH.VP.RD and TDH.VP.WR: read and write a field of a vCPU's control structures.

use crate::Regs;
use crate::abi::field::{FieldId, NO_FIELD};
use crate::abi::status::Operand;
use crate::abi::{Leaf, Status};
use crate::context::{Context, Outcome};
use crate::locks::Mode;
use crate::module::td::vcpu::Vcpu;

/// Class of TD VMCS fields; the field code is the VMCS encoding.
const CLASS_VMCS: u8 = 0;
/// Class of other guest state.
const CLASS_OTHER_GUEST: u8 = 17;
/// Class of management fields.
const CLASS_MANAGEMENT: u8 = 32;
/// Management field: a non-maskable interrupt waits.
const PEND_NMI: u32 = 11;
/// Other guest state: details; bit 0 an interrupt waits.
const STATE_DETAILS: u32 = 0x100;
/// TD VMCS fields that the VMM may write. Source: TDX module `td_vmcs_fields_lookup.c` (`vmm_wr_mask`), by Linux's use:
/// posted-interrupt vector and descriptor, pin- and secondary processor-based controls, notify window, shared EPT.
const WRITABLE: [u32; 6] = [0x0002, 0x2016, 0x4000, 0x401E, 0x4024, 0x203C];

/// RCX: the vCPU's TDVPR; RDX: field. R8 out: value, 0 on error. The next field is not modelled.
pub(in crate::module) fn read(cx: &mut Context<'_>, regs: &mut Regs) -> Outcome {
    let id = FieldId(regs.rdx);
    (regs.rdx, regs.r8) = (NO_FIELD, 0);
    let (tdvpr, tdr) = cx.lock_vcpu(regs.rcx, Operand::Rcx, Mode::Shared)?;
    cx.check_td(tdr, Leaf::VpRd, Some(Mode::Shared))?;
    cx.check_tdvps(tdvpr)?;
    check_state(cx, tdvpr)?;
    regs.r8 = value(cx.vcpu(tdvpr), id).ok_or(Status::METADATA_FIELD_ID_INCORRECT.operand(Operand::Rdx))?;
    Ok(())
}

/// RCX: the vCPU's TDVPR; RDX: field; R8: value; R9: mask of bits to write. R8 out: the value before.
pub(in crate::module) fn write(cx: &mut Context<'_>, regs: &mut Regs) -> Outcome {
    let (id, value, mask) = (FieldId(regs.rdx), regs.r8, regs.r9);
    regs.r8 = 0;
    let (tdvpr, tdr) = cx.lock_vcpu(regs.rcx, Operand::Rcx, Mode::Shared)?;
    cx.check_td(tdr, Leaf::VpWr, Some(Mode::Shared))?;
    cx.check_tdvps(tdvpr)?;
    check_state(cx, tdvpr)?;
    let vcpu = cx.vcpu(tdvpr);
    match (id.class(), id.code()) {
        (CLASS_VMCS, code) if WRITABLE.contains(&code) => {
            let field = vcpu.vmcs.entry(code).or_default();
            regs.r8 = *field;
            *field = *field & !mask | value & mask;
            Ok(())
        }
        (CLASS_MANAGEMENT, PEND_NMI) => {
            regs.r8 = vcpu.pend_nmi.into();
            // One bit, which the VMM can only set.
            vcpu.pend_nmi |= value & mask & 1 != 0;
            Ok(())
        }
        (CLASS_VMCS, _) => Err(Status::METADATA_FIELD_NOT_WRITABLE.operand(Operand::Rdx)),
        _ => Err(Status::METADATA_FIELD_ID_INCORRECT.operand(Operand::Rdx)),
    }
}

/// The vCPU must be ready, and be on this LP or on none, which makes it this one's.
fn check_state(cx: &mut Context<'_>, tdvpr: u64) -> Outcome {
    if !cx.vcpu(tdvpr).ready {
        return Err(cx.vcpu_state_incorrect(tdvpr));
    }
    cx.associate(tdvpr)?;
    Ok(())
}

/// Fields that Linux reads, and what can be written.
fn value(vcpu: &Vcpu, id: FieldId) -> Option<u64> {
    match (id.class(), id.code()) {
        (CLASS_VMCS, code) if WRITABLE.contains(&code) => Some(vcpu.vmcs.get(&code).copied().unwrap_or(0)),
        (CLASS_MANAGEMENT, PEND_NMI) => Some(vcpu.pend_nmi.into()),
        (CLASS_OTHER_GUEST, STATE_DETAILS) => Some(vcpu.machine.interrupt_waits().into()),
        _ => None,
    }
}
