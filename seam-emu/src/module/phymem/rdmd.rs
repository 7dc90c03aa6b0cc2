//! TDH.PHYMEM.PAGE.RDMD: what the module knows about a physical page.

use crate::Regs;
use crate::abi::Status;
use crate::abi::status::Operand;
use crate::context::{Context, Outcome};
use crate::locks::{LockId, Mode};
use crate::module::protected::{PageType, PamtEntry};

/// RCX: the page. RCX out: page type; RDX: owner (TDR); R8: page size (0 = 4 KB); R9: blocking epoch of private and
/// secure EPT pages; R10, R11: 0.
pub(in crate::module) fn run(cx: &mut Context<'_>, regs: &mut Regs) -> Outcome {
    let alleged = regs.rcx;
    (regs.rcx, regs.rdx, regs.r8, regs.r9, regs.r10, regs.r11) = (0, 0, 0, 0, 0, 0);
    let page = cx.platform.private_pa(alleged).ok_or(Status::OPERAND_INVALID.operand(Operand::Rcx))?;
    let tdmr = cx.module().tdmrs.iter().find(|tdmr| tdmr.is_usable(page.0));
    let reserved = tdmr.ok_or(Status::OPERAND_ADDR_RANGE_ERROR.operand(Operand::Rcx))?.is_reserved(page.0);
    cx.lock(LockId::Pamt(page.0), Mode::Shared, Status::OPERAND_BUSY.operand(Operand::Rcx))?;
    let free = PamtEntry { kind: if reserved { PageType::Rsvd } else { PageType::Nda }, owner: 0, bepoch: 0 };
    let entry = cx.world.protected.pamt.get(&page.0).copied().unwrap_or(free);
    regs.rcx = entry.kind as u64;
    regs.rdx = entry.owner;
    regs.r9 = entry.bepoch;
    Ok(())
}
