//! TDH.MEM.PAGE.AUG: adds a page that the TD must accept.

use super::{Ask, check_entry, target};
use crate::Regs;
use crate::abi::Leaf;
use crate::abi::status::Operand;
use crate::context::{Context, Outcome};
use crate::locks::Mode;
use crate::module::protected::PageType;
use crate::module::td::sept::{Entry, EntryState};

/// RCX: guest-physical address, level 0 (4 KB) or 1 (2 MB); RDX: the TD's TDR; R8: the page.
pub(in crate::module) fn run(cx: &mut Context<'_>, regs: &mut Regs) -> Outcome {
    let leaf = Leaf::MemPageAug;
    let target = target(cx, regs, &Ask { leaf, tree: Mode::Shared, levels: 0..=1 })?;
    check_entry(cx, regs, &target, leaf)?;
    let level = target.walked.level;
    let page = cx.lock_free_range(regs.r8, Operand::R8, level)?;
    cx.give_range(page, level, PageType::Reg, target.tdr);
    cx.td(target.tdr).sept.set(target.gpa, level, Entry { state: EntryState::Pending, pa: page });
    Ok(())
}
