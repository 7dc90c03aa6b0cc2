//! TDH.MEM.PAGE.AUG: adds a page that the TD must accept.

use super::{Ask, check_entry, target};
use crate::Regs;
use crate::abi::Leaf;
use crate::abi::status::Operand;
use crate::context::{Context, Outcome};
use crate::locks::Mode;
use crate::module::protected::PageType;
use crate::module::td::sept::{Entry, EntryState};

/// RCX: guest-physical address, level 0 (2 MB pages are not modelled); RDX: the TD's TDR; R8: the page.
pub(in crate::module) fn run(cx: &mut Context<'_>, regs: &mut Regs) -> Outcome {
    let leaf = Leaf::MemPageAug;
    cx.unmodelled = regs.rcx & 0b111 == 1;
    let target = target(cx, regs, &Ask { leaf, tree: Mode::Shared, levels: 0..=0 })?;
    check_entry(regs, &target, leaf)?;
    let page = cx.lock_page(regs.r8, Operand::R8, Mode::Exclusive, PageType::Nda)?;
    cx.give_page(page, PageType::Reg, target.tdr);
    cx.td(target.tdr).sept.set(target.gpa, 0, Entry { state: EntryState::Pending, pa: page });
    Ok(())
}
