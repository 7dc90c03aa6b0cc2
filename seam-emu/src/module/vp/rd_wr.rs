//! TDH.VP.RD and TDH.VP.WR: read and write a field of a vCPU's control structures. Source: TDX module `tdh_vp_rd_wr.c`.

use super::vmcs;
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
/// Management fields. Source: TDX module `tdvps_fields_lookup.c`.
const VCPU_INDEX: u32 = 2;
const NUM_TDVPS_PAGES: u32 = 3;
const VCPU_EPOCH: u32 = 6;
const PEND_NMI: u32 = 11;
/// Other guest state: details; bit 0 an interrupt waits.
const STATE_DETAILS: u32 = 0x100;
/// The first field that a VMM may read: the notification vector of posted interrupts.
const FIRST_FIELD: u64 = 0x0024_0001_0000_0002;
/// Place of the TDCS page that the shared EPT pointer names at first (`ZERO_PAGE_INDEX`).
const ZERO_PAGE: usize = 4;

/// RCX: the vCPU's TDVPR; RDX: field. R8 out: value, 0 on error. Version 1: RDX out: the first field if RDX was all ones;
/// the next field is not modelled.
pub(in crate::module) fn read(cx: &mut Context<'_>, version: u8, regs: &mut Regs) -> Outcome {
    let id = FieldId(regs.rdx);
    regs.r8 = 0;
    if version > 0 {
        regs.rdx = NO_FIELD;
    }
    let tdvpr = enter(cx, regs.rcx, Leaf::VpRd)?;
    if version > 0 && id.is_none() {
        regs.rdx = FIRST_FIELD;
        return Err(Status::METADATA_FIRST_FIELD_ID_IN_CONTEXT);
    }
    check_id(id)?;
    let zero_page = zero_page(cx, tdvpr);
    regs.r8 = value(cx.vcpu(tdvpr), id, zero_page)?;
    Ok(())
}

/// RCX: the vCPU's TDVPR; RDX: field; R8: value; R9: mask of bits to write. R8 out: the value before.
pub(in crate::module) fn write(cx: &mut Context<'_>, regs: &mut Regs) -> Outcome {
    let (id, value, mask) = (FieldId(regs.rdx), regs.r8, regs.r9);
    regs.r8 = 0;
    let tdvpr = enter(cx, regs.rcx, Leaf::VpWr)?;
    check_id(id)?;
    let zero_page = zero_page(cx, tdvpr);
    let platform = cx.platform;
    let vcpu = cx.vcpu(tdvpr);
    regs.r8 = match (id.class(), id.code()) {
        (CLASS_VMCS, code) => {
            let field = vmcs::find(code, Status::METADATA_FIELD_NOT_WRITABLE)?;
            field.write(&mut vcpu.vmcs, zero_page, (value, mask), platform)?
        }
        (CLASS_MANAGEMENT, PEND_NMI) => write_pend_nmi(vcpu, value, mask)?,
        (CLASS_MANAGEMENT, VCPU_INDEX | NUM_TDVPS_PAGES | VCPU_EPOCH) | (CLASS_OTHER_GUEST, STATE_DETAILS) => {
            return Err(Status::METADATA_FIELD_NOT_WRITABLE);
        }
        _ => return Err(Status::METADATA_FIELD_ID_INCORRECT),
    };
    Ok(())
}

/// Checks and locks, and makes the vCPU this LP's. A disabled vCPU can be read.
fn enter(cx: &mut Context<'_>, alleged: u64, leaf: Leaf) -> Result<u64, Status> {
    let (tdvpr, tdr) = cx.lock_vcpu(alleged, Operand::Rcx, Mode::Shared)?;
    cx.check_td(tdr, leaf, Some(Mode::Shared))?;
    cx.check_tdvps(tdvpr)?;
    cx.check_and_associate(tdvpr, leaf == Leaf::VpRd)?;
    Ok(tdvpr)
}

/// The id must be a single element's (`md_check_as_single_element_id`).
fn check_id(id: FieldId) -> Outcome {
    if id.is_single_element() { Ok(()) } else { Err(Status::METADATA_FIELD_ID_INCORRECT) }
}

/// The page that the shared EPT pointer names before the VMM writes it, with the TD's KeyID.
fn zero_page(cx: &mut Context<'_>, tdvpr: u64) -> u64 {
    let tdr = cx.vcpu(tdvpr).tdr;
    let keyid_shift = cx.platform.pa_bits;
    let td = cx.td(tdr);
    td.tdcs_pages.get(ZERO_PAGE).map_or(0, |page| page | u64::from(td.keyid) << keyid_shift)
}

/// A byte like any other.
fn write_pend_nmi(vcpu: &mut Vcpu, value: u64, mask: u64) -> Result<u64, Status> {
    let (written, old) = (mask as u8, vcpu.pend_nmi);
    if written == 0 {
        return Err(Status::METADATA_FIELD_NOT_WRITABLE);
    }
    let base = if written == u8::MAX { 0 } else { old };
    if value & mask & !0xFF != 0 {
        return Err(Status::METADATA_FIELD_VALUE_NOT_VALID);
    }
    vcpu.pend_nmi = base & !written | value as u8 & written;
    Ok(old.into())
}

/// Fields that Linux reads, what can be written, and a few more.
fn value(vcpu: &Vcpu, id: FieldId, zero_page: u64) -> Result<u64, Status> {
    match (id.class(), id.code()) {
        (CLASS_VMCS, code) => Ok(vmcs::find(code, Status::METADATA_FIELD_NOT_READABLE)?.read(&vcpu.vmcs, zero_page)),
        (CLASS_MANAGEMENT, VCPU_INDEX) => Ok(vcpu.index.into()),
        (CLASS_MANAGEMENT, NUM_TDVPS_PAGES) => Ok(vcpu.pages.len() as u64),
        (CLASS_MANAGEMENT, VCPU_EPOCH) => Ok(vcpu.epoch),
        (CLASS_MANAGEMENT, PEND_NMI) => Ok(vcpu.pend_nmi.into()),
        (CLASS_OTHER_GUEST, STATE_DETAILS) => Ok(vcpu.interrupt_waits.into()),
        _ => Err(Status::METADATA_FIELD_ID_INCORRECT),
    }
}
