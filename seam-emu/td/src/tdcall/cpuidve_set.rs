//! TDG.VP.CPUIDVE.SET (leaf 5). Source: TDX module `tdg_vp_cpuidve_set.c`.

use super::status;
use crate::td::{Td, gpr};
use crate::vcpu::CpuidVe;

const SUPERVISOR: u64 = 1;
const USER: u64 = 1 << 1;

/// RCX: where each CPUID raises #VE from now on.
pub(super) fn run(td: &mut Td<'_>) -> u64 {
    let wish = td.gprs[gpr::RCX];
    if wish & !(SUPERVISOR | USER) != 0 {
        return status::OPERAND_INVALID_RCX;
    }
    td.vcpu.cpuid_ve = CpuidVe { supervisor: wish & SUPERVISOR != 0, user: wish & USER != 0 };
    status::SUCCESS
}
