//! TDH.PHYMEM.PAGE.RECLAIM: takes back a page of a TD whose KeyID was freed.

use crate::Regs;
use crate::abi::Status;
use crate::abi::status::Operand;
use crate::context::{Context, Outcome};
use crate::locks::{LockId, Mode};
use crate::module::protected::PageType;
use crate::module::td::Lifecycle;
use crate::module::td::sept::span;

/// RCX: the page. RCX out: its type; RDX: its owner; R8: its size (0 is 4 KB, 1 is 2 MB, 2 is 1 GB). The TDR is the last.
pub(in crate::module) fn run(cx: &mut Context<'_>, regs: &mut Regs) -> Outcome {
    let alleged = regs.rcx;
    (regs.rcx, regs.rdx, regs.r8, regs.r9, regs.r10, regs.r11) = (0, 0, 0, 0, 0, 0);
    let page = cx.platform.private_pa(alleged).ok_or(Status::OPERAND_INVALID.operand(Operand::Rcx))?.0;
    let entry = cx.page(page).ok_or(Status::OPERAND_ADDR_RANGE_ERROR.operand(Operand::Rcx))?;
    cx.lock_pamt(page, entry.level, Mode::Exclusive, Status::OPERAND_BUSY.operand(Operand::Rcx))?;
    if matches!(entry.kind, PageType::Nda | PageType::Rsvd) {
        return Err(Status::PAGE_METADATA_INCORRECT.operand(Operand::Rcx));
    }
    (regs.rcx, regs.rdx, regs.r8) = (entry.kind as u64, entry.owner, entry.level.into());
    if !page.is_multiple_of(span(entry.level)) {
        return Err(Status::OPERAND_INVALID.operand(Operand::Rcx));
    }
    let is_root = entry.kind == PageType::Tdr;
    let tdr = if is_root { page } else { entry.owner };
    if !is_root {
        cx.lock(LockId::Pamt(tdr), Mode::Shared, Status::OPERAND_BUSY.operand(Operand::Tdr))?;
    }
    if cx.td(tdr).lifecycle != Lifecycle::Teardown {
        return Err(Status::LIFECYCLE_STATE_INCORRECT);
    }
    if is_root && cx.td(tdr).children != 0 {
        return Err(Status::TD_ASSOCIATED_PAGES_EXIST);
    }
    cx.free_page(page);
    match entry.kind {
        PageType::Tdr => drop(cx.world.protected.tds.remove(&page)),
        PageType::Tdvpr => drop(cx.world.protected.vcpus.remove(&page)),
        _ => {}
    }
    Ok(())
}
