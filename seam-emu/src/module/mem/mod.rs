//! Leaves about a TD's private memory.

pub(super) mod page_add;
pub(super) mod page_aug;
pub(super) mod page_demote;
pub(super) mod page_promote;
pub(super) mod page_remove;
pub(super) mod range_block;
pub(super) mod range_unblock;
pub(super) mod sept_add;
pub(super) mod track;

use crate::Regs;
use crate::abi::status::Operand;
use crate::abi::{Leaf, Status};
use crate::context::Context;
use crate::locks::{LockId, Mode};
use crate::module::td::OpState;
use crate::module::td::sept::{Walked, check_gpa};
use std::ops::RangeInclusive;

/// A secure EPT entry that a leaf is to work on.
struct Target {
    tdr: u64,
    gpa: u64,
    walked: Walked,
}

/// What a leaf asks of its target.
struct Ask {
    leaf: Leaf,
    /// How the tree is locked.
    tree: Mode,
    /// Levels that it takes; none for the end: up to the root.
    levels: RangeInclusive<u8>,
}

/// Checks and locks the TD (RDX) and walks to the entry (RCX: address and level). On error RCX and RDX tell about the
/// entry where the walk ended. Source: the common beginning of the TDX module's `tdh_mem_*`.
fn target(cx: &mut Context<'_>, regs: &mut Regs, ask: &Ask) -> Result<Target, Status> {
    let (raw, alleged) = (regs.rcx, regs.rdx);
    (regs.rcx, regs.rdx) = (0, 0);
    let tdr = cx.lock_td(alleged, Operand::Rdx, Mode::Shared)?;
    cx.check_td(tdr, ask.leaf, Some(Mode::Shared))?;
    let root = cx.td(tdr).settings.root_level();
    let (gpa, level) = check_gpa(raw, *ask.levels.start()..=(*ask.levels.end()).min(root))?;
    if gpa >= cx.td(tdr).settings.shared_bit() {
        return Err(Status::OPERAND_INVALID.operand(Operand::Rcx));
    }
    cx.lock(LockId::SeptTree(tdr), ask.tree, Status::OPERAND_BUSY.operand(Operand::SeptTree))?;
    let walked = cx.td(tdr).sept.walk(gpa, level, root).map_err(|stopped| {
        (regs.rcx, regs.rdx) = cx.details(stopped);
        Status::EPT_WALK_FAILED.operand(Operand::Rcx)
    })?;
    let lock = LockId::SeptEntry { tdr, gpa, level };
    cx.lock(lock, Mode::Exclusive, Status::OPERAND_BUSY.operand(Operand::Rcx)).inspect_err(|_| {
        (regs.rcx, regs.rdx) = cx.details(walked);
    })?;
    Ok(Target { tdr, gpa, walked })
}

/// Refuses an entry whose state the leaf does not take.
fn check_entry(cx: &Context<'_>, regs: &mut Regs, target: &Target, leaf: Leaf) -> Result<(), Status> {
    if target.walked.entry.state.allows(leaf) {
        return Ok(());
    }
    (regs.rcx, regs.rdx) = cx.details(target.walked);
    Err(Status::EPT_ENTRY_STATE_INCORRECT.operand(Operand::Rcx))
}

/// Whether the TD can have no translation left through the target, whose PAMT entry is that of `page`: it must be blocked, and
/// tracked since. A TD that cannot run yet has no translations. Source: TDX module `sept_state_is_any_blocked`,
/// `is_tlb_tracked`.
fn check_untranslated(cx: &mut Context<'_>, regs: &mut Regs, target: &Target, page: u64) -> Result<(), Status> {
    let blocked_in = cx.world.protected.pamt[&page].bepoch;
    let td = cx.td(target.tdr);
    if td.op_state != OpState::Runnable {
        return Ok(());
    }
    if !target.walked.entry.state.is_blocked() {
        (regs.rcx, regs.rdx) = cx.details(target.walked);
        return Err(Status::GPA_RANGE_NOT_BLOCKED.operand(Operand::Rcx));
    }
    if td.is_tracked(blocked_in) { Ok(()) } else { Err(Status::TLB_TRACKING_NOT_DONE.operand(Operand::Rcx)) }
}
