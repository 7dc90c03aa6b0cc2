//! TDH.SYS.INFO: the old way to learn about the module.

use crate::Regs;
use crate::abi::Status;
use crate::abi::seamldr::{Cmr, MAX_CMRS};
use crate::abi::status::Operand;
use crate::abi::tdmr::{MAX_RESERVED_AREAS, MAX_TDMRS, PAMT_ENTRY_SIZE};
use crate::context::{Context, Outcome};
use crate::image::CpuidConfig;
use zerocopy::{Immutable, IntoBytes, KnownLayout};

use super::rd::decimal;

/// Bytes of [`SysInfo`].
const SIZE: u64 = 1024;

/// `TDSYSINFO_STRUCT`. Source: TDX module `td_sys_info_t`.
#[derive(IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
struct SysInfo {
    attributes: u32,
    vendor_id: u32,
    build_date: u32,
    build_num: u16,
    minor: u16,
    major: u16,
    sys_rd: u8,
    reserved_0: [u8; 13],
    max_tdmrs: u16,
    max_reserved_per_tdmr: u16,
    pamt_entry_size: u16,
    reserved_1: [u8; 10],
    tdcs_base_size: u16,
    reserved_2: [u8; 2],
    tdvps_base_size: u16,
    tdvps_xfam_dependent_size: u8,
    reserved_3: [u8; 9],
    attributes_fixed0: u64,
    attributes_fixed1: u64,
    xfam_fixed0: u64,
    xfam_fixed1: u64,
    reserved_4: [u8; 32],
    num_cpuid_config: u32,
    cpuid_config: [CpuidConfig; 32],
    reserved_5: [u8; 124],
}
const _: () = assert!(size_of::<SysInfo>() == SIZE as usize);

/// RCX: buffer of RDX bytes, aligned to 1024; R8: array of R9 CMRs, aligned to 512. RDX out: bytes written; R9: CMRs.
pub(in crate::module) fn run(cx: &mut Context<'_>, regs: &mut Regs) -> Outcome {
    let (size, cmrs) = (regs.rdx, regs.r9);
    (regs.rdx, regs.r9) = (0, 0);
    let lp = cx.lp;
    if !cx.module().lp_initialized[lp] {
        return Err(Status::SYS_LP_INIT_NOT_DONE);
    }
    let info_pa = cx.shared(regs.rcx, SIZE, Operand::Rcx)?;
    if size < SIZE {
        return Err(Status::OPERAND_INVALID.operand(Operand::Rdx));
    }
    // As in the source, the buffer is cleared before the rest is checked.
    cx.write(info_pa.0, &[0; SIZE as usize]);
    let cmr_pa = cx.shared(regs.r8, size_of::<[Cmr; MAX_CMRS]>() as u64, Operand::R8)?;
    if cmrs < MAX_CMRS as u64 {
        return Err(Status::OPERAND_INVALID.operand(Operand::R9));
    }
    let info = sys_info(cx);
    cx.write_as(info_pa, &info);
    let mut table = [Cmr::default(); MAX_CMRS];
    for (cmr, range) in table.iter_mut().zip(&cx.config.memory) {
        *cmr = Cmr { base: range.base, size: range.size };
    }
    cx.write_as(cmr_pa, &table);
    (regs.rdx, regs.r9) = (SIZE, MAX_CMRS as u64);
    Ok(())
}

/// The structure's contents.
fn sys_info(cx: &mut Context<'_>) -> SysInfo {
    let built = &cx.module().identity.descriptor;
    SysInfo {
        attributes: 0,
        vendor_id: 0x8086,
        build_date: decimal(built.build_date),
        build_num: built.build_num,
        minor: built.minor,
        major: built.major,
        sys_rd: 1,
        reserved_0: [0; 13],
        max_tdmrs: MAX_TDMRS as u16,
        max_reserved_per_tdmr: MAX_RESERVED_AREAS as u16,
        pamt_entry_size: PAMT_ENTRY_SIZE as u16,
        reserved_1: [0; 10],
        tdcs_base_size: built.tdcs_pages * 4096,
        reserved_2: [0; 2],
        tdvps_base_size: built.tdvps_pages * 4096,
        tdvps_xfam_dependent_size: 0,
        reserved_3: [0; 9],
        attributes_fixed0: built.attributes_fixed0,
        attributes_fixed1: built.attributes_fixed1,
        xfam_fixed0: built.xfam_fixed0,
        xfam_fixed1: built.xfam_fixed1,
        reserved_4: [0; 32],
        num_cpuid_config: built.num_cpuid_config.into(),
        cpuid_config: built.cpuid_config,
        reserved_5: [0; 124],
    }
}
