//! TDH.MEM.PAGE.REMOVE: takes a page from a TD.

use super::{Ask, check_entry, target};
use crate::Regs;
use crate::abi::status::Operand;
use crate::abi::{Leaf, Status};
use crate::context::{Context, Outcome};
use crate::locks::{LockId, Mode};
use crate::module::td::OpState;
use crate::module::td::sept::{Entry, EntryState};

/// RCX: guest-physical address, level 0 to 2; RDX: the TD's TDR. RCX out: the page. Entries above level 0 map tables only,
/// because larger pages are not modelled; those are refused as the source refuses them.
pub(in crate::module) fn run(cx: &mut Context<'_>, regs: &mut Regs) -> Outcome {
    let leaf = Leaf::MemPageRemove;
    let target = target(cx, regs, &Ask { leaf, tree: Mode::Shared, levels: 0..=2 })?;
    check_entry(regs, &target, leaf)?;
    let entry = target.walked.entry;
    cx.lock(LockId::Pamt(entry.pa), Mode::Exclusive, Status::OPERAND_BUSY.operand(Operand::Rcx))?;
    let blocked_in = cx.world.protected.pamt[&entry.pa].bepoch;
    let td = cx.td(target.tdr);
    // A TD that cannot run yet has no translations to track.
    if td.op_state == OpState::Runnable {
        if !entry.state.is_blocked() {
            (regs.rcx, regs.rdx) = target.walked.details();
            return Err(Status::GPA_RANGE_NOT_BLOCKED.operand(Operand::Rcx));
        }
        if !td.is_tracked(blocked_in) {
            return Err(Status::TLB_TRACKING_NOT_DONE.operand(Operand::Rcx));
        }
    }
    td.sept.set(target.gpa, 0, Entry { state: EntryState::Free, pa: 0 });
    cx.free_page(entry.pa);
    regs.rcx = entry.pa;
    Ok(())
}
