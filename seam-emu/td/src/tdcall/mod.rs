//! TDCALL: leaves of the TDX module for its TDs, one file each. Source: ABI, chapter on guest-side interface functions.

mod ve_info_get;
pub mod vmcall;
mod vp_info;

use crate::serve::{Next, Td, gpr};
use crate::vmcb;

/// Bytes of the instruction.
const LENGTH: u64 = 4;
/// Bits of RAX that number the leaf; above them, the version.
const LEAF: u64 = 0xFFFF;

/// Statuses of the module. Source: TDX module `tdx_error_codes_defs.h`; the low bits name the operand.
mod status {
    pub(super) const SUCCESS: u64 = 0;
    pub(super) const OPERAND_INVALID_RAX: u64 = 0xC000_0100_0000_0000;
    pub(super) const OPERAND_INVALID_RCX: u64 = 0xC000_0100_0000_0001;
    pub(super) const NO_VALID_VE_INFO: u64 = 0xC000_0704_0000_0000;
}

/// Runs the leaf that RAX names. Leaves that are not modelled are refused as ones that do not exist.
pub(crate) fn run(td: &mut Td<'_>) -> Next {
    let rax = td.vmcb.get(vmcb::RAX);
    td.advance(LENGTH);
    let status = match rax & LEAF {
        _ if rax & !LEAF != 0 => status::OPERAND_INVALID_RAX,
        0 => match vmcall::begin(td) {
            Ok(leave) => return Next::Leave(leave),
            Err(status) => status,
        },
        1 => vp_info::run(td),
        3 => ve_info_get::run(td),
        _ => status::OPERAND_INVALID_RAX,
    };
    td.vmcb.set(vmcb::RAX, status);
    Next::Resume
}

/// Sets R8 to R11 to zero, which most leaves use for outputs.
fn clear(td: &mut Td<'_>) {
    td.gprs[gpr::R8..=gpr::R11].fill(0);
}
