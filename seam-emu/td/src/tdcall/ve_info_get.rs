//! TDG.VP.VEINFO.GET (leaf 3). Source: ABI on TDG.VP.VEINFO.GET, TDX module `tdg_vp_veinfo_get.c`.

use super::status;
use crate::td::{Td, gpr};

/// RCX out: exit reason; RDX: qualification; R8: linear address; R9: guest-physical address; R10: length and information of the
/// instruction. The next #VE can come afterwards.
pub(super) fn run(td: &mut Td<'_>) -> u64 {
    td.clear_outputs();
    (td.gprs[gpr::RCX], td.gprs[gpr::RDX]) = (0, 0);
    let Some(info) = td.vcpu.ve.take() else { return status::NO_VALID_VE_INFO };
    td.gprs[gpr::RCX] = u64::from(info.reason);
    td.gprs[gpr::RDX] = info.qualification;
    td.gprs[gpr::R8] = info.gla;
    td.gprs[gpr::R9] = info.gpa;
    td.gprs[gpr::R10] = u64::from(info.information) << 32 | u64::from(info.length);
    status::SUCCESS
}
