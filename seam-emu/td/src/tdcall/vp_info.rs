//! TDG.VP.INFO (leaf 1). Source: ABI on TDG.VP.INFO, TDX module `tdg_vp_info.c`.

use super::status;
use crate::td::{Td, gpr};

/// RCX out: GPAW; RDX: ATTRIBUTES; R8: number and most vCPUs; R9: this one's index; R10 and R11: 0, so no TDG.SYS.RD.
pub(super) fn run(td: &mut Td<'_>) -> u64 {
    let about = td.vcpu.about;
    td.clear_outputs();
    td.gprs[gpr::RCX] = u64::from(about.gpaw);
    td.gprs[gpr::RDX] = about.attributes;
    td.gprs[gpr::R8] = u64::from(about.max_vcpus) << 32 | u64::from(about.vcpus);
    td.gprs[gpr::R9] = u64::from(about.index);
    status::SUCCESS
}
