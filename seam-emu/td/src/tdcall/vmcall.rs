//! TDG.VP.VMCALL (leaf 0): the TD asks its VMM. Source: ABI on TDG.VP.VMCALL and TDH.VP.ENTER, TDX module `tdg_vp_vmcall.c`.

use super::status;
use crate::td::{Leave, Td, gpr};
use crate::ve::reason;
use crate::vmcb;

/// Its number.
pub(super) const LEAF: u64 = 0;
/// Registers that may pass: RDX, RBX, RBP, RSI, RDI and R8 to R15. RAX and RCX have a meaning of their own, RSP never passes.
/// Bits 16 to 31 would pass XMM registers; they are refused here, where the module takes them.
const PASSABLE: u64 = 0xFFEC;

/// Leaves to the VMM. RCX: one bit for each register that passes; the others are 0 for the VMM.
pub(super) fn begin(td: &mut Td<'_>) -> Result<Leave, u64> {
    let mask = td.gprs[gpr::RCX];
    if mask & !PASSABLE != 0 {
        return Err(status::OPERAND_INVALID_RCX);
    }
    td.vcpu.vmcall = Some(mask);
    let mut gprs = [0; 16];
    for number in passing(mask) {
        gprs[number] = td.gprs[number];
    }
    gprs[gpr::RCX] = mask;
    Ok(Leave { rax: reason::TDCALL, gprs })
}

/// Passes the VMM's answer in: the same registers, and a RAX that tells of success.
pub(crate) fn finish(td: &mut Td<'_>, mask: u64, vmm: &[u64; 16]) {
    for number in passing(mask) {
        td.gprs[number] = vmm[number];
    }
    td.vmcb.set(vmcb::RAX, status::SUCCESS);
}

fn passing(mask: u64) -> impl Iterator<Item = usize> {
    (0..16).filter(move |number| mask >> number & 1 != 0)
}
