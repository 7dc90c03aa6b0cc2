//! Leaves of TDCALL that need the TD's control structures or its memory, for TDs that run machine code. Scripts have their own
//! words for them ([`crate::script`]). Source: TDX module `tdx_td_dispatcher.c` (`td_call`), `tdx_api_defs.h` for the numbers.

mod mem_page_accept;
mod mr_rtmr_extend;
mod stop;
mod vm_rd_wr;

use crate::Regs;
use crate::abi::Status;
use crate::abi::status::Operand;
use crate::context::Context;
use crate::entry::TdcallEnd;
use crate::script::Reach;
use stop::Stop;

/// Bits of RAX that number the leaf; above them, the version.
const LEAF: u64 = 0xFFFF;

/// Serves a TDCALL of the vCPU. A leaf that does not exist is refused, and so is one that is not modelled.
pub(crate) fn dispatch(cx: &mut Context<'_>, tdvpr: u64, regs: &mut Regs) -> TdcallEnd {
    let (leaf, version) = (regs.rax & LEAF, regs.rax >> 16);
    let outcome = match (leaf, version) {
        (2, 0) => mr_rtmr_extend::run(cx, tdvpr, regs),
        (6, 0) => mem_page_accept::run(cx, tdvpr, regs),
        (7, 0 | 1) => vm_rd_wr::read(cx, tdvpr, version, regs),
        (8, 0) => vm_rd_wr::write(cx, tdvpr, regs),
        _ => Err(Status::OPERAND_INVALID.operand(Operand::Rax).into()),
    };
    let status = match outcome {
        Ok(()) => Status::SUCCESS,
        Err(Stop::Status(status)) => status,
        Err(Stop::Reach(gpa, Reach::Violation { rwx, details })) => return TdcallEnd::Violation { gpa, rwx, details },
        Err(Stop::Reach(gpa, Reach::Ve)) => return TdcallEnd::Ve { gpa },
    };
    regs.rax = status.0;
    TdcallEnd::Done
}
