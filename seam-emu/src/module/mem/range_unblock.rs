//! TDH.MEM.RANGE.UNBLOCK: undoes TDH.MEM.RANGE.BLOCK, once no stale translation can be left.

use super::{Ask, check_entry, target};
use crate::abi::status::Operand;
use crate::abi::{Leaf, Status};
use crate::context::{Context, Outcome};
use crate::locks::Mode;
use crate::module::td::OpState;
use crate::module::td::sept::Entry;
use crate::{Generation, Regs};

/// RCX: address and level; RDX: the TD's TDR. On error RCX and RDX tell about the entry.
pub(in crate::module) fn run(cx: &mut Context<'_>, regs: &mut Regs) -> Outcome {
    let leaf = Leaf::MemRangeUnblock;
    let target = target(cx, regs, &Ask { leaf, tree: Mode::Exclusive, levels: 0..=u8::MAX })?;
    check_entry(cx, regs, &target, leaf)?;
    let entry = target.walked.entry;
    let blocked_in = cx.world.protected.pamt[&entry.pa].bepoch;
    let td = cx.td(target.tdr);
    if td.op_state == OpState::Runnable && !td.is_tracked(blocked_in) {
        // 1.5.01 names the tree (`tdh_mem_range_unblock.c`), the 2.0 tree the entry, as do 1.5.05, 1.5.16 and 1.5.25 (run).
        let built = &cx.module().identity.descriptor;
        let later = built.major >= 2 || built.generation() >= Generation::V1_5_05;
        let operand = if later { Operand::Rcx } else { Operand::SeptTree };
        return Err(Status::TLB_TRACKING_NOT_DONE.operand(operand));
    }
    td.sept.set(target.gpa, target.walked.level, Entry { state: entry.state.unblocked(), ..entry });
    Ok(())
}
