//! TDH.MNG.RD: reads a field of a TD's control structures.

use crate::Regs;
use crate::abi::field::{FieldId, NO_FIELD};
use crate::abi::status::Operand;
use crate::abi::{Leaf, Status};
use crate::context::{Context, Outcome};
use crate::locks::Mode;
use crate::module::td::Td;

/// Class of `CPUID_VALUES`. Source: TDX module `tdr_tdcs_fields_lookup.h`.
const CLASS_CPUID: u8 = 20;
/// Class of the execution controls.
const CLASS_EXECUTION: u8 = 17;
/// Class of the measurements; MRTD has codes 0 to 5.
const CLASS_MEASUREMENT: u8 = 32;
/// Class of the TD's management fields.
const CLASS_MANAGEMENT: u8 = 16;

/// RCX: the TD's TDR; RDX: field. R8 out: its value, 0 on error; RDX: not the next field, which is not modelled.
pub(in crate::module) fn run(cx: &mut Context<'_>, regs: &mut Regs) -> Outcome {
    let id = FieldId(regs.rdx);
    regs.r8 = 0;
    regs.rdx = NO_FIELD;
    let tdr = cx.lock_td(regs.rcx, Operand::Rcx, Mode::Shared)?;
    cx.check_td(tdr, Leaf::MngRd, Some(Mode::Shared))?;
    regs.r8 = value(cx.td(tdr), id).ok_or(Status::METADATA_FIELD_ID_INCORRECT.operand(Operand::Rdx))?;
    Ok(())
}

/// Fields that Linux reads, and a few more. Source: Linux `tdx_arch.h`, TDX module `tdr_tdcs_fields_lookup.h`.
fn value(td: &Td, id: FieldId) -> Option<u64> {
    match (id.class(), id.code()) {
        (CLASS_MANAGEMENT, 0) => Some(td.vcpus.into()),
        (CLASS_MANAGEMENT, 4) => Some(td.associated_vcpus.into()),
        (CLASS_EXECUTION, 0) => Some(td.settings.attributes),
        (CLASS_EXECUTION, 1) => Some(td.settings.xfam),
        (CLASS_EXECUTION, 2) => Some(td.settings.max_vcpus.into()),
        // TSC offset and multiplier: the TD's clock is the host's.
        (CLASS_EXECUTION, 10) => Some(0),
        (CLASS_EXECUTION, 11) => Some(1 << 48),
        (CLASS_MEASUREMENT, code @ 0..6) => {
            let at = code as usize * 8;
            Some(u64::from_le_bytes(td.measurement.mrtd[at..at + 8].try_into().expect("8 bytes")))
        }
        (CLASS_CPUID, code) => cpuid(td, code),
        _ => None,
    }
}

/// Field code: element in bit 0, subleaf in 7:1, no subleaf in 8, leaf in 15:9, leaf's bit 31 in 16.
fn cpuid(td: &Td, code: u32) -> Option<u64> {
    let leaf = (code >> 9) & 0x7F | (code >> 16 & 1) << 31;
    let subleaf = if code & 0x100 != 0 { u32::MAX } else { (code >> 1) & 0x7F };
    let row = td.settings.cpuid.iter().find(|row| row[0] == leaf && row[1] == subleaf)?;
    let pair = if code & 1 == 0 { [row[2], row[3]] } else { [row[4], row[5]] };
    Some(u64::from(pair[0]) | u64::from(pair[1]) << 32)
}
