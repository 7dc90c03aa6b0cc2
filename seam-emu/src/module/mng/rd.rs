//! TDH.MNG.RD: reads a field of a TD's control structures.

use crate::Regs;
use crate::abi::field::{FieldId, NO_FIELD};
use crate::abi::status::Operand;
use crate::abi::{Leaf, Status};
use crate::context::{Context, Outcome};
use crate::locks::Mode;
use crate::module::td::{Td, cpuid};

/// Classes. Source: TDX module `tdr_tdcs_fields_lookup.c`.
const CLASS_CPUID: u8 = 20;
const CLASS_EXECUTION: u8 = 17;
/// MRTD has codes 0 to 5; then MRCONFIGID, MROWNER and MROWNERCONFIG.
const CLASS_MEASUREMENT: u8 = 19;
/// Of the TDR and of the TDCS.
const CLASS_TDR: u8 = 0;
const CLASS_MANAGEMENT: u8 = 16;
/// The first field that a VMM may read: whether the TD is dead.
const FIRST_FIELD: u64 = 0x8010_0000_0000_0001;

/// RCX: the TD's TDR; RDX: field. R8 out: its value, 0 on error. Version 1: RDX out: the first field if RDX was all ones;
/// the next field is not modelled. Source: `tdh_mng_rd_wr.c`.
pub(in crate::module) fn run(cx: &mut Context<'_>, version: u8, regs: &mut Regs) -> Outcome {
    let id = FieldId(regs.rdx);
    regs.r8 = 0;
    if version > 0 {
        regs.rdx = NO_FIELD;
    }
    let tdr = cx.lock_td(regs.rcx, Operand::Rcx, Mode::Shared)?;
    cx.check_td(tdr, Leaf::MngRd, Some(Mode::Shared))?;
    if version > 0 && id.is_none() {
        regs.rdx = FIRST_FIELD;
        return Err(Status::METADATA_FIRST_FIELD_ID_IN_CONTEXT);
    }
    if !id.is_single_element() {
        return Err(Status::METADATA_FIELD_ID_INCORRECT);
    }
    let platform_eax = cx.config.cpuid_1_eax;
    regs.r8 = value(cx.td(tdr), id, platform_eax)?;
    Ok(())
}

/// Fields that Linux reads, and a few more.
fn value(td: &Td, id: FieldId, platform_eax: u32) -> Result<u64, Status> {
    let settings = &td.settings;
    Ok(match (id.class(), id.code()) {
        (CLASS_TDR, 2) => td.tdcs_pages.len() as u64,
        (CLASS_TDR, 4) => td.children,
        (CLASS_MANAGEMENT, 1) => td.vcpus.into(),
        (CLASS_MANAGEMENT, 2) => td.associated_vcpus.into(),
        (CLASS_EXECUTION, 0) => settings.attributes,
        (CLASS_EXECUTION, 1) => settings.xfam,
        (CLASS_EXECUTION, 2) => settings.max_vcpus.into(),
        (CLASS_EXECUTION, 3) => settings.config_flags & 1,
        // Memory errors, which are not modelled, make a TD dead. TSC offset and multiplier: the TD's clock is the host's.
        (CLASS_TDR, 1) | (CLASS_EXECUTION, 10) => 0,
        (CLASS_EXECUTION, 11) => 1 << 48,
        (CLASS_EXECUTION, 12) => settings.tsc_frequency.into(),
        (CLASS_EXECUTION, 22) => settings.config_flags,
        // Fields that the TD itself may know: notifications, what it controls, its registers of measurements.
        (CLASS_EXECUTION, 13 | 16 | 23) | (CLASS_MEASUREMENT, 0x40..0x58) => {
            return Err(Status::METADATA_FIELD_NOT_READABLE);
        }
        (CLASS_MEASUREMENT, code @ 0..6) => word(&td.measurement.mrtd, code),
        (CLASS_MEASUREMENT, code @ (0x10..0x16 | 0x18..0x1E | 0x20..0x26)) => {
            word(&settings.ids, (code - 0x10) / 8 * 6 + code % 8)
        }
        (CLASS_CPUID, code) => cpuid::element(&settings.cpuid, &settings.traits(platform_eax), code)?,
        _ => return Err(Status::METADATA_FIELD_ID_INCORRECT),
    })
}

/// The `n`th 8 bytes.
fn word(bytes: &[u8], n: u32) -> u64 {
    let at = n as usize * 8;
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("8 bytes"))
}
