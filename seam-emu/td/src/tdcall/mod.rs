//! TDCALL: leaves of the TDX module for its TDs, one file each. Source: ABI, chapter on guest-side interface functions.

mod cpuidve_set;
mod status;
mod ve_info_get;
pub mod vmcall;
mod vp_info;

use crate::td::{Next, Td, gpr};
use crate::vmcb;

/// Bytes of the instruction.
const LENGTH: u64 = 4;
/// Bits of RAX that number the leaf; above them, the version.
const LEAF: u64 = 0xFFFF;

/// Numbers of the registers that TDCALLs of [`is_answered_at_once`] use, beside RAX.
pub const USED_AT_ONCE: [usize; 6] = [gpr::RCX, gpr::RDX, gpr::R8, gpr::R9, gpr::R10, gpr::R11];

/// Whether a TDCALL with this RAX is answered without its VMM.
pub fn is_answered_at_once(rax: u64) -> bool {
    rax & LEAF != vmcall::LEAF
}

/// Whether the firmware serves a TDCALL with this RAX, and refuses those that do not exist.
pub fn is_firmwares(rax: u64) -> bool {
    !matches!(rax & LEAF, vmcall::LEAF | 1 | 3 | 5)
}

/// The firmware has served a TDCALL of [`is_firmwares`].
pub fn finish(td: &mut Td<'_>, status: u64) {
    td.advance(LENGTH);
    td.vmcb.set(vmcb::RAX, status);
}

/// Answers a TDCALL of [`is_answered_at_once`] that is not the firmware's before it exits. RAX and RIP, which only an exit writes to the VMCB, are the
/// caller's: RAX is that of the instruction, and the answer's is returned.
pub fn answer(td: &mut Td<'_>, rax: u64) -> u64 {
    td.vmcb.set(vmcb::RAX, rax);
    let next = run(td);
    debug_assert_eq!(next, Next::Resume, "only TDG.VP.VMCALL leaves");
    td.vmcb.get(vmcb::RAX)
}

/// Runs the leaf that RAX names.
pub(crate) fn run(td: &mut Td<'_>) -> Next {
    let rax = td.vmcb.get(vmcb::RAX);
    if is_firmwares(rax) {
        return Next::Firmware;
    }
    td.advance(LENGTH);
    let status = match rax & LEAF {
        _ if rax & !LEAF != 0 => status::OPERAND_INVALID_RAX,
        vmcall::LEAF => match vmcall::begin(td) {
            Ok(leave) => return Next::Leave(leave),
            Err(status) => status,
        },
        1 => vp_info::run(td),
        3 => ve_info_get::run(td),
        5 => cpuidve_set::run(td),
        other => unreachable!("leaf {other} is the firmware's"),
    };
    td.vmcb.set(vmcb::RAX, status);
    Next::Resume
}
