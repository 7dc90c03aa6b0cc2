//! TDH.MEM.RANGE.BLOCK: keeps a TD from making new translations through an entry.

use super::{Ask, target};
use crate::Regs;
use crate::abi::status::Operand;
use crate::abi::{Leaf, Status};
use crate::context::{Context, Outcome};
use crate::locks::Mode;
use crate::module::td::sept::Entry;

/// RCX: address and level; RDX: the TD's TDR. On error RCX and RDX tell about the entry.
pub(in crate::module) fn run(cx: &mut Context<'_>, regs: &mut Regs) -> Outcome {
    let leaf = Leaf::MemRangeBlock;
    let target = target(cx, regs, &Ask { leaf, tree: Mode::Exclusive, levels: 0..=u8::MAX })?;
    let entry = target.walked.entry;
    if !entry.state.allows(leaf) {
        (regs.rcx, regs.rdx) = cx.details(target.walked);
        let already = entry.state.is_blocked();
        let status = if already { Status::GPA_RANGE_ALREADY_BLOCKED } else { Status::EPT_ENTRY_STATE_INCORRECT };
        return Err(status.operand(Operand::Rcx));
    }
    let translations = cx.new_translations();
    let td = cx.td(target.tdr);
    td.translations = translations;
    td.sept.set(target.gpa, target.walked.level, Entry { state: entry.state.blocked(), ..entry });
    let epoch = td.epoch;
    cx.world.protected.pamt.get_mut(&entry.pa).expect("mapped pages are the TD's").bepoch = epoch;
    Ok(())
}
