//! TDG.VM.RD and TDG.VM.WR (leaves 7 and 8): fields of the TD's control structures, as far as the TD may know and change them.
//! Sources: TDX module `tdg_vm_rd_wr.c`; `tdr_tdcs_fields_lookup.c` (`guest_rd_mask`, `guest_wr_mask`); `metadata_td.c`.

use super::stop::TdgOutcome;
use crate::Regs;
use crate::abi::Status;
use crate::abi::field::{FieldId, NO_FIELD};
use crate::abi::status::Operand;
use crate::context::Context;
use crate::module::td::Td;

/// Classes.
const MANAGEMENT: u8 = 16;
const EXECUTION: u8 = 17;
const MEASUREMENT: u8 = 19;
/// Fields that a TD may write: whether the module tells it of suspected single-stepping, and what it controls.
const NOTIFY_ENABLES: u32 = 16;
const TD_CTLS: u32 = 23;
/// Of either, the bit that may be written.
const WRITABLE: u64 = 1;
/// First of the words of the four RTMRs.
const RTMR: u32 = 0x40;
/// The first field that a TD may read: the TD's unique number, which is not modelled.
const FIRST_FIELD: u64 = 0x8010_0003_0000_0020;

/// RCX: 0; RDX: field. R8 out: its value, 0 on error. Version 1: RDX out: the first field if RDX was all ones; the next field is
/// not modelled.
pub(super) fn read(cx: &mut Context<'_>, tdvpr: u64, version: u64, regs: &mut Regs) -> TdgOutcome {
    let id = FieldId(regs.rdx);
    regs.r8 = 0;
    if version > 0 {
        regs.rdx = NO_FIELD;
    }
    check_vm(regs.rcx)?;
    if version > 0 && id.is_none() {
        regs.rdx = FIRST_FIELD;
        return Err(Status::METADATA_FIRST_FIELD_ID_IN_CONTEXT.into());
    }
    check_id(id)?;
    let tdr = cx.vcpu(tdvpr).tdr;
    regs.r8 = value(cx.td(tdr), id)?;
    Ok(())
}

/// RCX: 0; RDX: field; R8: value; R9: mask of bits to write. R8 out: the value before.
pub(super) fn write(cx: &mut Context<'_>, tdvpr: u64, regs: &mut Regs) -> TdgOutcome {
    let (id, wanted, mask) = (FieldId(regs.rdx), regs.r8, regs.r9);
    regs.r8 = 0;
    check_vm(regs.rcx)?;
    check_id(id)?;
    let tdr = cx.vcpu(tdvpr).tdr;
    let td = cx.td(tdr);
    let before = value(td, id)?;
    if !matches!((id.class(), id.code()), (EXECUTION, NOTIFY_ENABLES | TD_CTLS)) || mask & WRITABLE == 0 {
        return Err(Status::METADATA_FIELD_NOT_WRITABLE.into());
    }
    // What cannot be written must be as it is (`md_write_element`).
    let fixed = mask & !WRITABLE;
    let changes = (wanted ^ before) & mask != 0;
    // TD_CTLS.PENDING_VE_DISABLE is the TD's to change where CONFIG_FLAGS.FLEXIBLE_PENDING_VE is set, which is not modelled.
    if wanted & fixed != before & fixed || (id.code() == TD_CTLS && changes) {
        return Err(Status::METADATA_FIELD_VALUE_NOT_VALID.into());
    }
    if id.code() == NOTIFY_ENABLES {
        td.notify_enables = wanted & WRITABLE;
    }
    regs.r8 = before;
    Ok(())
}

/// A TD without nested VMs names itself by 0.
fn check_vm(rcx: u64) -> TdgOutcome {
    if rcx == 0 { Ok(()) } else { Err(Status::OPERAND_INVALID.operand(Operand::Rcx).into()) }
}

fn check_id(id: FieldId) -> TdgOutcome {
    if id.is_single_element() { Ok(()) } else { Err(Status::METADATA_FIELD_ID_INCORRECT.into()) }
}

/// What a TD may read, as far as it is modelled.
fn value(td: &Td, id: FieldId) -> Result<u64, Status> {
    let settings = &td.settings;
    Ok(match (id.class(), id.code()) {
        (MANAGEMENT, 1) => td.vcpus.into(),
        (MANAGEMENT, 5) => 0, // NUM_L2_VMS
        (EXECUTION, 0) => settings.attributes,
        (EXECUTION, 1) => settings.xfam,
        (EXECUTION, 2) => settings.max_vcpus.into(),
        (EXECUTION, 3) => settings.config_flags & 1, // GPAW
        (EXECUTION, 12) => settings.tsc_frequency.into(),
        (EXECUTION, NOTIFY_ENABLES) => td.notify_enables,
        (EXECUTION, 22) => settings.config_flags,
        // PENDING_VE_DISABLE is SEPT_VE_DISABLE at first (`tdh_mng_init.c`).
        (EXECUTION, TD_CTLS) => u64::from(!settings.gets_ve_for_pending()),
        (MEASUREMENT, code @ 0..6) => word(&td.measurement.mrtd, code),
        (MEASUREMENT, code @ (0x10..0x16 | 0x18..0x1E | 0x20..0x26)) => {
            word(&settings.ids, (code - 0x10) / 8 * 6 + code % 8)
        }
        (MEASUREMENT, code @ RTMR..0x58) => word(&td.measurement.rtmr(code - RTMR), (code - RTMR) % 6),
        // The VMM's alone: among others EPTP, and the counter's offset, multiplier and virtual value.
        (EXECUTION, 4 | 10 | 11 | 13..=15 | 17 | 18) | (MANAGEMENT, 2 | 4) => {
            return Err(Status::METADATA_FIELD_NOT_READABLE);
        }
        _ => return Err(Status::METADATA_FIELD_ID_INCORRECT),
    })
}

/// The `n`th 8 bytes.
fn word(bytes: &[u8], n: u32) -> u64 {
    let at = n as usize * 8;
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("8 bytes"))
}
