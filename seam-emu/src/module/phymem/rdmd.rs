//! TDH.PHYMEM.PAGE.RDMD: what the module knows about a physical page.

use crate::Regs;
use crate::abi::Status;
use crate::abi::status::Operand;
use crate::context::{Context, Outcome};
use crate::locks::Mode;

/// RCX: the page. RCX out: page type; RDX: owner (TDR); R8: page size (0 = 4 KB, 1 = 2 MB, 2 = 1 GB); R9: blocking epoch of private and
/// secure EPT pages; R10, R11: 0.
pub(in crate::module) fn run(cx: &mut Context<'_>, regs: &mut Regs) -> Outcome {
    let alleged = regs.rcx;
    (regs.rcx, regs.rdx, regs.r8, regs.r9, regs.r10, regs.r11) = (0, 0, 0, 0, 0, 0);
    let page = cx.platform.private_pa(alleged).ok_or(Status::OPERAND_INVALID.operand(Operand::Rcx))?.0;
    let entry = cx.page(page).ok_or(Status::OPERAND_ADDR_RANGE_ERROR.operand(Operand::Rcx))?;
    cx.lock_pamt(page, entry.level, Mode::Shared, Status::OPERAND_BUSY.operand(Operand::Rcx))?;
    regs.rcx = entry.kind as u64;
    regs.rdx = entry.owner;
    regs.r8 = entry.level.into();
    regs.r9 = entry.bepoch;
    Ok(())
}
